"""Distances along the graph of k nearest neighbours, as Naitzat, Zhitnikov and Lim (2020) use."""

from __future__ import annotations

import numpy as np

from core.metrics.neighbours import nearest_in


def graph_distances(distances: np.ndarray, neighbours: int, hops: bool) -> np.ndarray:
    """Shortest paths (n, n) in the graph of the ``neighbours`` nearest points (symmetric union).

    distances (n, n) between distinct points. Lengths are sums of the edges' distances, or numbers
    of edges where ``hops``; infinite between parts of the graph that no path joins. Fewer points
    than neighbours are all joined.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    n = len(distances)
    k = min(neighbours, n - 1)
    near = nearest_in(distances, k)
    edges = np.ones(n * k) if hops else near.distances.ravel()
    rows = np.repeat(np.arange(n), k)
    graph = csr_array((edges, (rows, near.indices.ravel())), shape=(n, n))
    # directed=False follows an edge both ways: the symmetric union
    return shortest_path(graph, method="D", directed=False, unweighted=hops)

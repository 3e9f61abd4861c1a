"""Edges in the order of their lengths, and closed paths that represent the bars of dimension 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.results import Cycle

LARGEST = 1 << 24  # ranks up to here are exact in float32, which the engines compute in


@dataclass(frozen=True, slots=True)
class Edges:
    """All pairs of landmarks by rank: 1 for the shortest. Pairs of equal length have an order, too,
    so that every class of dimension 1 is born with one edge of its own."""

    ranks: np.ndarray  # (n, n) float32, 0 on the diagonal, inf where the distance is
    lengths: np.ndarray  # (m + 1,) of rank 0, 1, …: ascending
    ends: np.ndarray  # (m + 1, 2) landmarks; of rank 0 unused

    def diagrams(self, ranked: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Diagrams in lengths from diagrams in ranks; bars of no length are left out."""
        return tuple(self._lengths(diagram) for diagram in ranked)

    def _lengths(self, diagram: np.ndarray) -> np.ndarray:
        finite = np.isfinite(diagram)
        values = np.full(diagram.shape, np.inf)
        values[finite] = self.lengths[diagram[finite].astype(np.int64)]
        return values[values[:, 1] > values[:, 0]]


def ranked_edges(distances: np.ndarray) -> Edges:
    """The edges of landmarks with these distances (n, n). Ties keep the order of the landmarks."""
    n = len(distances)
    above = np.triu_indices(n, 1)
    lengths = distances[above]
    joined = np.flatnonzero(np.isfinite(lengths))
    order = joined[np.argsort(lengths[joined], kind="stable")]
    if len(order) >= LARGEST:
        raise ValueError(f"{n} landmarks have too many edges to be ranked")
    ranked = np.full(len(lengths), np.inf, dtype=np.float32)
    ranked[order] = np.arange(1, len(order) + 1)
    ranks = np.zeros((n, n), dtype=np.float32)
    ranks[above] = ranked
    ranks += ranks.T
    ends = np.column_stack(above)[order]
    return Edges(
        ranks,
        np.concatenate([[0.0], lengths[order]]),
        np.concatenate([np.zeros((1, 2), dtype=ends.dtype), ends]),
    )


def longest_cycles(
    edges: Edges, distances: np.ndarray, loops: np.ndarray, count: int
) -> tuple[Cycle, ...]:
    """Representatives of the ``count`` longest bars of dimension 1, longest first.

    distances (n, n) of the landmarks, loops (bars, 2) their diagram in ranks. A class is born with
    the edge that closes a path of earlier edges: this edge and the shortest such path between its
    ends are a cycle of the class, up to older classes. So the cycles of different bars are
    independent of each other.
    """
    values = np.append(edges.lengths, np.inf)
    known = np.where(np.isfinite(loops), loops, len(edges.lengths)).astype(np.int64)
    birth, death = values[known].T
    order = np.argsort(birth - death, kind="stable")[:count]
    return tuple(
        Cycle(float(birth[i]), float(death[i]), _closed(edges, distances, int(known[i, 0])))
        for i in order
        if death[i] > birth[i]
    )


def _closed(edges: Edges, distances: np.ndarray, rank: int) -> np.ndarray:
    """The landmarks (m,) that the cycle passes which is closed by the edge of this rank."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    start, end = (int(i) for i in edges.ends[rank])
    earlier = csr_array(np.where(edges.ranks < rank, distances, 0.0))
    _, before = dijkstra(earlier, directed=False, indices=start, return_predecessors=True)
    path = [end]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return np.array(path, dtype=np.int32)

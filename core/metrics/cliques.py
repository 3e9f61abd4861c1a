"""Betti numbers of Naitzat, Zhitnikov and Lim: neighbours within a few steps, at one scale.

Their distance of two points is the number of edges between them in the graph of k nearest
neighbours (JMLR 2020, section 4), and all layers are read at one scale, so only the pairs within
that many steps matter. Unlike ``core.metrics.topology`` this keeps every point, thousands of them,
and reads the Betti numbers of the one complex, without persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.metrics.neighbours import distinct, nearest

if TYPE_CHECKING:
    from scipy import sparse

STEPS = 2  # the paper's scale, 2.5, lies between two and three steps


def betti_within_steps(
    points: np.ndarray, neighbours: int, max_dim: int, steps: int = STEPS
) -> tuple[int, ...]:
    """beta_0 … beta_max_dim over Z/2 of the Vietoris-Rips complex of the pairs within ``steps``.

    points (n, D); two of them are one step apart where one is among the ``neighbours`` nearest of
    the other; copies of a point count once. All are joined where there are too few of them.
    """
    from ripser import ripser
    from scipy import sparse

    points = points[distinct(points)]
    n = len(points)
    if n <= neighbours + 1:
        return (1,) + (0,) * max_dim
    rows = np.repeat(np.arange(n), neighbours)
    columns = nearest(points, neighbours).indices.ravel()
    step = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    step = step + step.T + sparse.eye_array(n)
    joined = step
    for _ in range(steps - 1):
        joined = joined @ step
    core = sparse.triu(strong_collapse(joined), 1).tocoo()
    core.data[:] = 1
    diagrams = ripser(core, maxdim=max_dim, distance_matrix=True)["dgms"]
    return tuple(int(np.isinf(diagram[:, 1]).sum()) for diagram in diagrams)


def strong_collapse(joined: sparse.csr_array) -> sparse.csr_array:
    """A smaller graph whose clique complex has the same homotopy type (Barmak and Minian 2012).

    joined (n, n): pattern of a symmetric graph, diagonal included. A vertex whose neighbours are
    all neighbours of another one as well is left out, over and over.
    """
    while True:
        joined.data = np.ones_like(joined.data)
        sizes = np.diff(joined.indptr)
        shared = ((joined @ joined) * joined).tocoo()  # common neighbours of every joined pair
        row, column = shared.row, shared.col
        dominated = (shared.data == sizes[row]) & (row != column)
        # of two that dominate each other, the first stays
        leaves = dominated & ((sizes[column] > sizes[row]) | (column < row))
        keep = np.setdiff1d(np.arange(len(sizes)), row[leaves])
        if len(keep) == len(sizes):
            return joined
        joined = joined[keep][:, keep]

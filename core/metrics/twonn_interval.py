"""TwoNN with its interval, and nothing else: for many layers of many checkpoints.

The same numbers as ``intrinsic_dimension`` of the same points and seed, from one short list of
neighbours and without a loop over subsets.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from core.metrics import intervals
from core.metrics.dimension_curves import EQUAL
from core.metrics.intrinsic_dimension import DISCARD, MINIMUM, twonn
from core.metrics.neighbours import Neighbours, distance_matrix, distinct
from core.results import Estimate

_LIST = 10  # neighbours of a point: that 9 of them are left out happens once in 25 layers
SUBSETS = 50


def twonn_estimate(points: np.ndarray, seed: int = 0, subsets: int = SUBSETS) -> Estimate:
    """The TwoNN dimension of points (n, D) with its 95 % interval by the delete-d jackknife.

    Copies of an earlier point are left out. No value where fewer than 10 distinct points are left,
    or where the two nearest neighbours of every point are equally far. At most some thousand
    points: the matrix of their distances is made.
    """
    if not np.isfinite(points).all():
        return Estimate(None, reason="the features contain NaN or infinite values")
    kept = distinct(points)
    if len(kept) < MINIMUM:
        return Estimate(None, reason=f"needs {MINIMUM} or more distinct points, got {len(kept)}")
    distances = distance_matrix(points[kept])
    near = _nearest(distances, min(_LIST, len(kept) - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = twonn(near.distances[:, 1] / near.distances[:, 0])
    if value is None:
        return Estimate(None, reason="the nearest neighbours of every point are equally far")
    masks = _masks(len(kept), subsets, seed)
    replicates = _twonn_rows(_subset_ratios(near, distances, masks))
    replicates = replicates[np.isfinite(replicates)]
    low, high = (
        intervals.jackknife(value, replicates, len(kept)) if len(replicates) else (None,) * 2
    )
    return Estimate(value, low, high)


def _nearest(distances: np.ndarray, k: int) -> Neighbours:
    """As ``nearest_in``; for so few neighbours torch is twice as fast as numpy."""
    np.fill_diagonal(distances, -1.0)  # every point is its own nearest, and left out
    found = torch.from_numpy(distances).topk(k + 1, dim=1, largest=False)
    np.fill_diagonal(distances, 0.0)
    return Neighbours(found.values[:, 1:].numpy(), found.indices[:, 1:].numpy())


@lru_cache(maxsize=32)
def _masks(points: int, subsets: int, seed: int) -> np.ndarray:
    """(s, n) bool: the random subsets of 80 % of the points."""
    generator = np.random.default_rng(seed)
    masks = np.stack(list(intervals.subsets(points, subsets, generator)))
    masks.flags.writeable = False
    return masks


def _subset_ratios(near: Neighbours, distances: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """r2/r1 of the m points of every subset among themselves, (s, m)."""
    alive = masks[:, near.indices]  # (s, n, list)
    rows = np.arange(len(near.indices))
    first = alive.argmax(axis=2)  # (s, n)
    np.put_along_axis(alive, first[:, :, None], False, axis=2)
    second = alive.argmax(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = near.distances[rows, second] / near.distances[rows, first]
    # without a second survivor in the list, the whole row is searched
    short = masks & ~np.take_along_axis(alive, second[:, :, None], axis=2)[:, :, 0]
    for s, i in zip(*np.nonzero(short), strict=True):
        r = np.sort(distances[i][masks[s]])[1:3]
        ratios[s, i] = r[1] / r[0] if r[0] > 0 else np.nan
    return ratios[masks].reshape(len(masks), -1)


def _twonn_rows(ratios: np.ndarray) -> np.ndarray:
    """``twonn`` of every row of (s, m) ratios; NaN where it is undefined."""
    if not np.isfinite(ratios).all():
        return np.array([twonn(row) or np.nan for row in ratios])
    total = ratios.shape[1]
    kept = int(total * (1 - DISCARD))
    x = np.log(np.sort(ratios, axis=1)[:, :kept])
    y = -np.log1p(-np.arange(1, kept + 1) / total)
    square = np.einsum("sm,sm->s", x, x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(square > kept * EQUAL**2, x @ y / square, np.nan)


def participation_ratio(points: np.ndarray) -> float | None:
    """(sum λ)² / sum λ² of the eigenvalues λ of the covariance of points (n, D), from the smaller
    Gram matrix, without an eigendecomposition. None where all points coincide or are not finite."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    squares = float(np.square(gram).sum())
    if not np.isfinite(squares) or squares == 0:
        return None
    return float(np.trace(gram)) ** 2 / squares

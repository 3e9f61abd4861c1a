"""Curves behind TwoNN and the maximum likelihood estimate, from neighbours found before."""

from __future__ import annotations

import numpy as np

from core.metrics import intervals
from core.results import NeighbourCurve, RatioPlot

SMALLEST_K = 5
LARGEST_K = 100
STEPS = 12  # values of k at most
DRAWN = 120  # points of a log-log plot at most
EQUAL = 1e-9  # logarithms of ratios below which distances count as equal


def curve_neighbours(points: int, k: int) -> np.ndarray:
    """Numbers of neighbours, ascending, about evenly spaced in log k, that include ``k``.

    From 5 (or ``k``) to 100, or to what every subset of 80 % of the points still has.
    """
    largest = max(k, min(LARGEST_K, round(intervals.SHARE * points) - 1))
    smallest = min(k, SMALLEST_K)
    spaced = np.unique(np.geomspace(smallest, largest, STEPS).round().astype(int))
    inner = spaced[1:-1]
    if k not in spaced:
        inner[np.abs(np.log(inner / k)).argmin()] = k
    return spaced


def estimates_over_k(distances: np.ndarray, ks: np.ndarray) -> np.ndarray:
    """Maximum likelihood dimension for every k of ``ks`` >= 2, (m,), at once.

    ``distances`` (n, >= max k) ascend. 1/m_k = mean log T_k - 1/(k-1) sum_{j<k} mean log T_j over
    the points, as ``mle`` for one k; points with T_1 = 0 are left out. NaN where undefined.
    """
    kept = distances[:, 0] > 0
    if not kept.any():
        return np.full(len(ks), np.nan)
    near = distances[:, : ks[-1]] if kept.all() else distances[kept, : ks[-1]]
    logs = np.log(near).mean(0)  # (max k,)
    inverse = logs[ks - 1] - logs.cumsum()[ks - 2] / (ks - 1)
    inverse[inverse <= EQUAL] = np.nan
    return 1 / inverse


def mle_curve(distances: np.ndarray, ks: np.ndarray, replicates: np.ndarray) -> NeighbourCurve:
    """The estimate over k with delete-d jackknife intervals.

    ``replicates`` (s, m) are the estimates on subsets, for the same ``ks``.
    """
    values = estimates_over_k(distances, ks)
    bounds = np.full((len(ks), 2), np.nan)
    for i, value in enumerate(values):
        known = replicates[np.isfinite(replicates[:, i]), i]
        if np.isfinite(value) and len(known):
            bounds[i] = intervals.jackknife(float(value), known, len(distances))
    return NeighbourCurve(ks, values, bounds[:, 0], bounds[:, 1])


def ratio_plot(distances: np.ndarray, discard: float) -> RatioPlot | None:
    """Points (log mu, -log(1 - F(mu))) of TwoNN, mu = T_2/T_1, at most 120 of them.

    F(mu_(i)) = i/N as in ``twonn``, which fits all but the share ``discard`` of the largest. The
    largest ratio has 1 - F = 0 and cannot be drawn. Evenly thinned in rank, with the last point
    of the fit among them. None if fewer than two points can be drawn.
    """
    near = distances[distances[:, 0] > 0]
    logs = np.sort(np.log(near[:, 1] / near[:, 0]))
    total = len(logs)
    kept = int(total * (1 - discard))
    if kept < 2:
        return None
    ranks = np.unique(np.linspace(1, total - 1, min(DRAWN - 1, total - 1)).round().astype(int))
    ranks = np.union1d(ranks, kept)
    return RatioPlot(logs[ranks - 1], -np.log1p(-ranks / total), float(logs[kept - 1]))

"""Confidence intervals by subsampling without replacement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SHARE = 0.8  # of the points in each subset


def subsets(points: int, count: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """``count`` random subsets of 80 % of the points, each as a mask (points,)."""
    size = round(SHARE * points)
    for _ in range(count):
        mask = np.zeros(points, dtype=bool)
        mask[generator.permutation(points)[:size]] = True
        yield mask


def jackknife(estimate: float, replicates: np.ndarray, points: int) -> tuple[float, float]:
    """95 % interval of an estimate on n points by the delete-d jackknife.

    ``replicates`` are the estimates on subsets of m = 0.8 n points. With
    v = m/(n - m) mean (theta_s - mean theta_s)^2 the interval is theta -+ 1.96 sqrt(v)
    (Shao and Wu, A general theory for jackknife variance estimation, 1989). The quantiles of the
    replicates are no interval: fewer points shift the estimate itself.
    """
    size = round(SHARE * points)
    half = 1.96 * float(np.sqrt(size / (points - size) * np.var(replicates)))
    return estimate - half, estimate + half

"""One neighbour search for TwoNN and MLE at every k against scikit-dimension's two calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import skdim

from core.metrics.dimension_curves import curve_neighbours, estimates_over_k
from core.metrics.intrinsic_dimension import mle, twonn
from core.metrics.neighbours import nearest

T = TypeVar("T")

K = 20
POINTS, DIMENSION = 5000, 64
MANY, WIDE = 10_000, 3072


def _ours(points: np.ndarray) -> tuple[float | None, float | None]:
    """TwoNN and MLE at k = 20, after the curve over all k from the same neighbours."""
    ks = curve_neighbours(len(points), K)
    distances = nearest(points, int(ks[-1])).distances
    estimates_over_k(distances, ks)
    return twonn(distances[:, 1] / distances[:, 0]), mle(distances, K)


def _scikit_dimension(points: np.ndarray) -> tuple[float, float]:
    twice = skdim.id.TwoNN().fit(points).dimension_
    return twice, skdim.id.MLE().fit(points, n_neighbors=K).dimension_


def _best(function: Callable[[], T], repeats: int = 3) -> tuple[T, float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = function()
        times.append(time.perf_counter() - start)
    return value, min(times)


def run() -> dict[str, float]:
    """Seconds of both, their ratio, the largest relative difference, and a large search."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(POINTS, 10)) @ rng.normal(size=(10, DIMENSION))
    points += 0.05 * rng.normal(size=points.shape)
    values, ours = _best(lambda: _ours(points))
    expected, theirs = _best(lambda: _scikit_dimension(points))
    wide = rng.normal(size=(MANY, WIDE)).astype(np.float32)
    start = time.perf_counter()
    _ours(wide)
    return {
        "one_search_seconds": ours,
        "scikit_dimension_seconds": theirs,
        "times_faster": theirs / ours,
        "relative_difference": float(np.max(np.abs(np.array(values) / np.array(expected) - 1))),
        "seconds_for_10000_points_in_3072_dimensions": time.perf_counter() - start,
    }


if __name__ == "__main__":
    print(run())

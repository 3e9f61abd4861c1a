"""The same measure of all points and of every class, over one matrix of distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from core.metrics.neighbours import FULL_LIMIT, distance_matrix
from core.results import Scoped

T = TypeVar("T")


def by_scope(
    measure: Callable[[np.ndarray, np.ndarray | None], T],
    points: np.ndarray,
    labels: np.ndarray,
    classes: int,
    distances: np.ndarray | None,
) -> Scoped[T]:
    """``measure(points, distances)`` of all (n, D) points and of each class (labels
    0 … classes - 1). Up to ``FULL_LIMIT`` finite points one matrix (n, n), made here unless given,
    serves all; beyond, distances are None. All points are passed on without a copy."""
    if distances is None and len(points) <= FULL_LIMIT and np.isfinite(points).all():
        distances = distance_matrix(points)

    def of_class(label: int) -> T:
        rows = np.flatnonzero(labels == label)
        near = None if distances is None else distances[np.ix_(rows, rows)]
        return measure(points[rows], near)

    return Scoped(measure(points, distances), tuple(of_class(label) for label in range(classes)))

"""nc1 from features against the textbook way, scipy.linalg.pinv of the d x d matrix, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

from core.metrics.collapse import neural_collapse
from core.metrics.moments import class_moments

CLASSES, DIMENSION, SAMPLES = 10, 2048, 5000


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(SAMPLES) % CLASSES
    means = rng.normal(size=(CLASSES, DIMENSION))
    features = means[labels] + rng.normal(size=(SAMPLES, DIMENSION))
    return features.astype(np.float32), labels


def _textbook(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """nc1 by both d x d covariances, and the seconds that the pseudo-inverse alone took.

    The cut-off is set by hand: with the default one the pseudo-inverse inverts rounding error.
    """
    features = features.astype(np.float64)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(CLASSES)])
    residuals = features - means[labels]
    within = residuals.T @ residuals / SAMPLES
    centred = means - means.mean(axis=0)
    between = centred.T @ centred / CLASSES
    start = time.perf_counter()
    inverse = scipy.linalg.pinv(between, rtol=1e-10)
    seconds = time.perf_counter() - start
    return float(np.trace(within @ inverse)) / CLASSES, seconds


def _best(function: Callable[[], float | None], repeats: int = 5) -> tuple[float | None, float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = function()
        times.append(time.perf_counter() - start)
    return value, min(times)


def run() -> dict[str, float]:
    """Seconds of both, their ratio, and the relative difference of the two values."""
    features, labels = _data()
    value, ours = _best(lambda: neural_collapse(class_moments(features, labels, CLASSES)).nc1)
    expected, pinv = _textbook(features, labels)
    assert value is not None
    return {
        "nc1_from_features_seconds": ours,
        "scipy_pinv_seconds": pinv,
        "times_faster": pinv / ours,
        "relative_difference": abs(value / expected - 1),
    }


if __name__ == "__main__":
    print(run())

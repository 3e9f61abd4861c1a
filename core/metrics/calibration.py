"""Whether a network's confidence is right: the probability that it gives its prediction, against
how often that prediction is right.

Guo et al. 2017 ("On calibration of modern neural networks", ICML).
"""

from __future__ import annotations

import numpy as np

from core.robustness.results import BINS, Reliability


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Images by confidence in ``bins`` equally wide bins ((m-1)/B, m/B]; 0 belongs to the first.

    confidence (N,), the largest probability of every image, in [0, 1]; right (N,) whether it was
    right. ValueError for other numbers or lengths.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(right, dtype=np.float64)
    if confidence.ndim != 1 or confidence.shape != right.shape:
        raise ValueError(f"confidence and right have shapes {confidence.shape} and {right.shape}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a confidence lies in [0, 1]")
    place = np.digitize(confidence, np.linspace(0.0, 1.0, bins + 1)[1:-1], right=True)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # empty bins are NaN
        return Reliability(
            counts,
            np.bincount(place, confidence, bins) / counts,
            np.bincount(place, right, bins) / counts,
        )


def ece(table: Reliability) -> float | None:
    """Expected calibration error, Σ_b (n_b / n) |accuracy_b - confidence_b| (Guo et al. 2017, eq.
    3), over the n = Σ n_b images of ``table``; None where there are none.

    It is 0 for perfect calibration, at most 1, and biased upwards where bins hold few images.
    """
    counts = np.asarray(table.counts, dtype=np.float64)
    if not (total := counts.sum()):
        return None
    gaps = np.abs(np.asarray(table.accuracy, float) - np.asarray(table.confidence, float))
    return float((counts * np.where(counts > 0, gaps, 0.0)).sum() / total)

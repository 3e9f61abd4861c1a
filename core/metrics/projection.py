"""The few coordinates of a layer's features that pictures show."""

from __future__ import annotations

import numpy as np

from core.metrics.moments import ClassMoments
from core.results import Projection

MOST_DIRECTIONS = 99
"""Directions of the class means that are stored per sample: all of them up to 100 classes, the
ones with the largest spread of means beyond."""


def projection(
    sample_features: np.ndarray, moments: ClassMoments, components: int = 10
) -> Projection:
    """Principal components of sample_features (S, d), and their place among the class means.

    Components are those of the samples about their own mean, at most ``components``; each has its
    largest weight positive, so the picture is the same every time. ``explained`` is NaN where all
    samples coincide.
    """
    samples = np.asarray(sample_features, dtype=np.float64)
    centre = samples.mean(axis=0)
    directions, variance = _principal_directions(samples - centre, components)
    total = np.square(samples - centre).sum()
    explained = variance / total if total > 0 else np.full(len(variance), np.nan)
    basis = moments.basis[:MOST_DIRECTIONS]
    return Projection(
        pca=_rounded((samples - centre) @ directions.T),
        explained=explained.astype(np.float32),
        pca_means=((moments.means - centre) @ directions.T).astype(np.float32),
        means_span=_rounded((samples - moments.global_mean) @ basis.T),
    )


def _principal_directions(centred: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (c, d) and sums of squares (c,), from the smaller of the two Gram matrices."""
    samples, width = centred.shape
    keep = min(components, samples, width)
    gram = centred.T @ centred if width <= samples else centred @ centred.T
    squares, vectors = np.linalg.eigh(gram)
    squares = np.maximum(squares[::-1][:keep], 0.0)
    directions = vectors[:, ::-1][:, :keep].T  # (c, d), or (c, S) of the samples
    if width > samples:
        # a direction of no variance would be rounding error blown up to unit length: zero instead
        directions = directions @ centred  # (c, d)
        real = squares > 1e-12 * squares.max(initial=0.0)
        directions[~real] = 0.0
        directions[real] /= np.linalg.norm(directions[real], axis=1, keepdims=True)
    largest = directions[np.arange(keep), np.abs(directions).argmax(axis=1)]
    return directions * np.sign(largest)[:, None], squares


def _rounded(values: np.ndarray) -> np.ndarray:
    """``values`` as float32 with 12 bits of mantissa: within 1.3e-4 of themselves, enough for
    pictures, and stored in little more than half the bytes."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x400) & 0xFFFFF800).astype(np.uint32).view(np.float32)

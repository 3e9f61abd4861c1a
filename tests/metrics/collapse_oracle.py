"""Independent makers of features and textbook formulas with d x d matrices, for the tests here."""

from __future__ import annotations

import numpy as np


def simplex(classes: int) -> np.ndarray:
    """Unit vectors (K, K-1) of the simplex ETF, in its own K-1 dimensions."""
    vertices = np.eye(classes) - 1.0 / classes
    directions = np.linalg.svd(vertices)[2][: classes - 1]
    return vertices @ directions.T * np.sqrt(classes / (classes - 1))


def exact_noise(dimension: int, sigma: float) -> np.ndarray:
    """2·dimension points (2d, d) of mean 0 and covariance exactly sigma² I."""
    points = np.concatenate([np.eye(dimension), -np.eye(dimension)])
    return sigma * np.sqrt(dimension) * points


def collapsed(classes: int, sigma: float, dimension: int | None = None) -> tuple:
    """Unit simplex-ETF means with exact isotropic noise in their K-1 directions, then rotated into
    ``dimension`` by orthonormal columns. Returns features (N, d), labels (N,), means (K, d)."""
    rng = np.random.default_rng(classes)
    dimension = dimension or classes - 1
    frame = np.linalg.qr(rng.normal(size=(dimension, classes - 1)))[0]
    means = simplex(classes)
    noise = exact_noise(classes - 1, sigma)
    features = (means[:, None] + noise[None]).reshape(-1, classes - 1)
    labels = np.repeat(np.arange(classes), len(noise))
    return features @ frame.T, labels, means @ frame.T


def blobs(seed: int, classes: int, dimension: int, sizes: list[int]) -> tuple:
    """Gaussian classes of the given sizes with correlated noise: features (N, d), labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), sizes))
    mixing = rng.normal(size=(dimension, dimension)) / np.sqrt(dimension)
    means = 2 * rng.normal(size=(classes, dimension))
    return means[labels] + rng.normal(size=(len(labels), dimension)) @ mixing, labels


def textbook(features: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Means (K, d) and the d x d matrices of docs/metrics.md, written as they stand there."""
    features = np.asarray(features, dtype=np.float64)
    classes = labels.max() + 1
    groups = [features[labels == k] for k in range(classes)]
    means = np.stack([g.mean(axis=0) for g in groups])
    centred = means - means.mean(axis=0)
    sample_centred = means - features.mean(axis=0)
    share = np.bincount(labels) / len(labels)
    covariances = np.stack([np.atleast_2d(np.cov(g.T, bias=True)) for g in groups])  # (K, d, d)
    return {
        "means": means,
        "within": covariances.mean(axis=0),
        "between": centred.T @ centred / classes,
        "ssw": np.einsum("k,kde->de", share, covariances),
        "ssb": (sample_centred * share[:, None]).T @ sample_centred,
        "traces": np.trace(covariances, axis1=1, axis2=2),
    }

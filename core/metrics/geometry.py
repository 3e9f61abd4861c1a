"""Cosines, angles, norms and order of class means and classifier rows. Numpy alone: pages use it.

Most functions take a ``ClassGeometry``; ``of`` is "means" (mu_k - mu_G) or "classifier" (w_k).
Classes without samples, and vectors of length zero, have no direction: their entries are NaN.
"""

from __future__ import annotations

import numpy as np

from core.results import ClassGeometry

_NO_LENGTH = 1e-9  # relative to the longest vector: what is left of 0 after rounding


def norms(geometry: ClassGeometry, of: str = "means") -> np.ndarray:
    """(K,) ||mu_k - mu_G||, or ||w_k||, in units of the features or the weights."""
    if of == "means":
        return np.linalg.norm(geometry.mean_coordinates.astype(np.float64), axis=1)
    return np.sqrt(np.maximum(np.diag(_classifier_gram(geometry)), 0.0))


def cosines(geometry: ClassGeometry, of: str = "means") -> np.ndarray:
    """(K, K) cosines between the centred class means, or between the classifier's rows."""
    if of == "means":
        return cosine_matrix(geometry.mean_coordinates.astype(np.float64))
    lengths = norms(geometry, of)
    return _normalised(_classifier_gram(geometry), lengths, lengths)


def cosine_matrix(vectors: np.ndarray) -> np.ndarray:
    """(K, K) cosines between the rows of vectors (K, r)."""
    lengths = np.linalg.norm(vectors, axis=1)
    return _normalised(vectors @ vectors.T, lengths, lengths)


def alignment(geometry: ClassGeometry) -> np.ndarray:
    """(K, K) cos(w_j, mu_k - mu_G): row j of the classifier, column k of the means."""
    if geometry.classifier_coordinates is None:
        raise ValueError("this geometry holds no classifier")
    rows = geometry.classifier_coordinates.astype(np.float64)
    products = rows @ geometry.mean_coordinates.astype(np.float64).T
    return _normalised(products, norms(geometry, "classifier"), norms(geometry))


def angles_degrees(cosine: np.ndarray) -> np.ndarray:
    """Angles in degrees of an array of cosines, clipped to [-1, 1] first."""
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def pair_angles_degrees(geometry: ClassGeometry, of: str = "means") -> np.ndarray:
    """The angles in degrees of all pairs k < k' that have one: (K(K-1)/2,) or fewer."""
    cosine = cosines(geometry, of)
    angles = angles_degrees(cosine[np.triu_indices(len(cosine), 1)])
    return angles[np.isfinite(angles)]


def simplex_cosine(classes: int) -> float | None:
    """-1/(K-1): the cosine between any two vertices of the simplex ETF; None for K < 2."""
    return -1.0 / (classes - 1) if classes > 1 else None


def cluster_order(cosine: np.ndarray) -> np.ndarray:
    """Permutation (K,) that puts similar classes side by side: leaves of an average linkage.

    The distance is 1 - cosine (K, K). Order of leaves as ``scipy.cluster.hierarchy``: the older
    cluster on the left. Classes without a direction (NaN) come last.
    """
    usable = np.flatnonzero(np.isfinite(np.diag(cosine)))
    distance = 1.0 - cosine[np.ix_(usable, usable)]
    np.fill_diagonal(distance, np.inf)
    leaves = [[int(k)] for k in usable]
    age = list(range(len(usable)))  # clusters are numbered as they come to be
    for step in range(len(usable) - 1):
        i, j = divmod(int(distance.argmin()), len(usable))
        if age[i] > age[j]:
            i, j = j, i
        share = len(leaves[i]) / (len(leaves[i]) + len(leaves[j]))
        merged = share * distance[i] + (1.0 - share) * distance[j]
        merged[i] = np.inf
        distance[i], distance[:, i] = merged, merged
        distance[j], distance[:, j] = np.inf, np.inf
        leaves[i] += leaves[j]
        age[i] = len(usable) + step
    missing = np.setdiff1d(np.arange(len(cosine)), usable)
    merged_all = max(leaves, key=len, default=[])
    return np.array([*merged_all, *missing], dtype=np.int64)


def _classifier_gram(geometry: ClassGeometry) -> np.ndarray:
    if geometry.classifier_gram is None:
        raise ValueError("this geometry holds no classifier")
    return geometry.classifier_gram.astype(np.float64)


def _normalised(products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """products (J, K) over lengths (J,) and (K,), clipped: rounding can leave [-1, 1]."""
    left, right = (_lengths(values) for values in (left, right))
    return np.clip(products / left[:, None] / right[None, :], -1.0, 1.0)


def _lengths(values: np.ndarray) -> np.ndarray:
    longest = np.nanmax(values, initial=0.0)
    return np.where(values > _NO_LENGTH * longest, values, np.nan)

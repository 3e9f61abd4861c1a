"""Per-class means and the within-class covariance in the directions that neural collapse needs.

A class is empty when it has no samples: its mean and spread are NaN, and every sum and average
over classes below leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.errors import UserError

_BLOCK_ENTRIES = 1 << 18  # float64 entries copied at a time: 2 MB stay in the cache


@dataclass(frozen=True, slots=True)
class ClassMoments:
    """First and second moments of the features of one layer, class by class.

    The pseudo-inverse of the between-class covariance acts on the span of the centred class means
    alone, so within-class covariances are kept in that span only: r x r, never d x d.
    """

    counts: np.ndarray  # (K,) int64, samples per class
    means: np.ndarray  # (K, d) mu_k
    within_trace: np.ndarray  # (K,) sigma_k^2 = (1/n_k) sum_i ||h_ki - mu_k||^2
    basis: np.ndarray  # (r, d) orthonormal rows spanning mu_k - mu_G, largest spread first
    within_class: np.ndarray  # (r, r) Sigma_W in the basis: every class weighs the same
    within_sample: np.ndarray  # (r, r) SSW in the basis: every sample weighs the same

    @property
    def present(self) -> np.ndarray:
        """(K,) bool: the classes that have samples."""
        return self.counts > 0

    @property
    def global_mean(self) -> np.ndarray:
        """(d,) mu_G: the mean of the class means, every class weighing the same."""
        return self.means[self.present].mean(axis=0)

    @property
    def mean_coordinates(self) -> np.ndarray:
        """(K, r) mu_k - mu_G in the basis; loses nothing."""
        return (self.means - self.global_mean) @ self.basis.T


def class_moments(features: np.ndarray, labels: np.ndarray, classes: int) -> ClassMoments:
    """The moments of features (N, d) with labels (N,) in 0 … classes-1, in two passes.

    Sums are taken in float64, block by block, so no float64 copy of all features is made.
    Raises UserError for shapes that do not fit, labels out of range, and NaN or infinite features.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    _validate(features, labels, classes)
    labels = labels.astype(np.int64)
    counts = np.bincount(labels, minlength=classes)
    means = np.full((classes, features.shape[1]), np.nan)  # (K, d)
    means[counts > 0] = 0.0
    unusable = 0
    for block, runs in _sorted_blocks(features, labels):
        for k, rows in runs:
            total = block[rows].sum(axis=0)
            if not np.isfinite(total).all():
                unusable += int((~np.isfinite(block[rows]).all(axis=1)).sum())
            means[k] += total
    if unusable:
        raise UserError(
            f"{unusable} of {len(features)} feature vectors hold NaN or infinite values; "
            "leave them out or compute the features again in float32"
        )
    means /= np.maximum(counts, 1)[:, None]

    basis = span_of_means(means, counts, _epsilon(features.dtype))  # (r, d)
    squares = np.zeros(classes)
    within_class = np.zeros((len(basis), len(basis)))
    within_sample = np.zeros_like(within_class)
    for block, runs in _sorted_blocks(features, labels):
        for k, rows in runs:
            block[rows] -= means[k]
            squares[k] += np.vdot(block[rows], block[rows])
        coordinates = block @ basis.T  # (n, r)
        within_sample += coordinates.T @ coordinates
        for k, rows in runs:
            coordinates[rows] /= np.sqrt(counts[k])
        within_class += coordinates.T @ coordinates
    return ClassMoments(
        counts=counts,
        means=means,
        within_trace=np.where(counts > 0, squares / np.maximum(counts, 1), np.nan),
        basis=basis,
        within_class=within_class / max(1, int((counts > 0).sum())),
        within_sample=within_sample / max(1, len(labels)),
    )


def span_of_means(
    means: np.ndarray, counts: np.ndarray, epsilon: float = float(np.finfo(np.float32).eps)
) -> np.ndarray:
    """Orthonormal rows (r, d) spanning the centred means (K, d) of the non-empty classes.

    Directions come with the largest spread of means first. ``epsilon`` is the relative rounding
    error of the features that were averaged (float32 by default): a singular value below
    10 · epsilon · ||means||_F is rounding error, and inverting it would invent separation.
    """
    present = means[counts > 0]
    if len(present) < 2:
        return np.zeros((0, means.shape[1]))
    centred = present - present.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    rank = int((singular > 10 * epsilon * np.linalg.norm(present)).sum())
    return directions[: min(rank, len(present) - 1)]  # (r, d)


def moment_warnings(moments: ClassMoments, class_names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What to know before reading numbers made from these moments: one sentence each."""
    counts = moments.counts
    names = class_names or tuple(str(k) for k in range(len(counts)))
    found = []
    if (counts == 0).any():
        found.append(
            f"no samples of {_listed(names, counts == 0)}: left out of every class average"
        )
    if (counts == 1).any():
        found.append(f"one sample of {_listed(names, counts == 1)}: its spread is 0 by definition")
    return tuple(found)


def _listed(names: tuple[str, ...], chosen: np.ndarray, most: int = 5) -> str:
    picked = [name for name, keep in zip(names, chosen, strict=True) if keep]
    more = f" and {len(picked) - most} more" if len(picked) > most else ""
    return ("class " if len(picked) == 1 else "classes ") + ", ".join(picked[:most]) + more


def _epsilon(dtype: np.dtype) -> float:
    return float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)


def _sorted_blocks(
    features: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[np.ndarray, list[tuple[int, slice]]]]:
    """Fresh float64 blocks (n, d) in the order of the labels, and which rows are of which class."""
    order = np.argsort(labels, kind="stable")
    rows = max(1, _BLOCK_ENTRIES // max(1, features.shape[1]))
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        present, first = np.unique(labels[chosen], return_index=True)
        edges = [*first.tolist(), len(chosen)]
        runs = [(int(k), slice(*edges[i : i + 2])) for i, k in enumerate(present)]
        yield features[chosen].astype(np.float64), runs


def _validate(features: np.ndarray, labels: np.ndarray, classes: int) -> None:
    if features.ndim != 2 or features.dtype.kind not in "fiub":
        raise UserError(
            "features must be a table of numbers with one row per sample (N, d), "
            f"got shape {features.shape} of {features.dtype}"
        )
    if labels.shape != (len(features),):
        raise UserError(
            f"need one label per feature vector: got {len(features)} feature vectors "
            f"and labels of shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise UserError(f"labels must be whole numbers from 0, got {labels.dtype}")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise UserError(
            f"labels must lie in 0 … {classes - 1} for {classes} classes, "
            f"got {labels.min()} … {labels.max()}"
        )

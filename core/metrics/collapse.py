"""Neural collapse: NC1 to NC4 of the features of one layer and, if given, the classifier on them.

One function per key of ``core.results.NeuralCollapse``; docs/metrics.md defines them all.
Sources: Papyan, Han and Donoho (PNAS 2020); Zhu et al. (NeurIPS 2021) for nc2 and nc3; Galanti,
György and Hutter (ICLR 2022) for cdnv.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from core.metrics.geometry import cosine_matrix
from core.metrics.moments import ClassMoments
from core.results import ClassGeometry, NeuralCollapse

_BLOCK_ENTRIES = 1 << 20  # float64 entries copied at a time


def neural_collapse(
    moments: ClassMoments | None,
    weight: np.ndarray | None = None,
    nc4: float | None = None,
) -> NeuralCollapse:
    """Every key of the neural collapse table that these moments and this classifier allow.

    weight (K, d) is the classifier's. ``nc4`` is made from the samples themselves, by the function
    ``nc4``, and only passed on. ``moments`` None: the keys that the classifier has alone. An
    undefined key is None, and ``reasons[key]`` says why. Classes without samples are left out of
    whatever is made of class means.
    """
    given = _Given(moments, weight, nc4)
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for key, function in _KEYS.items():
        try:
            value = function(given)
        except _Undefined as undefined:
            reasons[key] = str(undefined)
            continue
        if np.isfinite(value):
            values[key] = float(value)
        else:
            reasons[key] = "not a finite number: features or weights are too large or not finite"
    return NeuralCollapse(**values, reasons=reasons)


def class_geometry(moments: ClassMoments, weight: np.ndarray | None = None) -> ClassGeometry:
    """Class means (and the classifier's rows, weight (K, d)) in the span of the centred means.

    A weight whose shape does not fit the moments is left out; ``neural_collapse`` says why.
    """
    fits = weight is not None and weight.shape == moments.means.shape
    rows = np.asarray(weight, dtype=np.float64) if fits else None
    return ClassGeometry(
        counts=moments.counts,
        mean_coordinates=moments.mean_coordinates,
        within_trace=moments.within_trace,
        classifier_coordinates=None if rows is None else rows @ moments.basis.T,
        classifier_gram=None if rows is None else rows @ rows.T,
    )


def nearest_class_mean(features: np.ndarray, means: np.ndarray) -> np.ndarray:
    """argmin_k ||h - mu_k|| of every row of features (N, d): (N,) int64.

    Rows of means (K, d) that are NaN (classes without samples) are never nearest.
    """
    present = np.flatnonzero(np.isfinite(means).all(axis=1))
    centre = means[present].mean(axis=0)  # taking it off keeps digits when features are far from 0
    centred = means[present] - centre
    offsets = 0.5 * np.einsum("kd,kd->k", centred, centred)
    nearest = np.empty(len(features), dtype=np.int64)
    for rows in _row_blocks(features):
        scores = (features[rows].astype(np.float64) - centre) @ centred.T - offsets  # (n, K)
        nearest[rows] = present[scores.argmax(axis=1)]
    return nearest


def ncc_accuracy(features: np.ndarray, labels: np.ndarray, means: np.ndarray) -> float | None:
    """Share of samples (N, d) whose nearest class mean is their own class's; None without any."""
    if len(features) == 0:
        return None
    return float((nearest_class_mean(features, means) == labels).mean())


def nc4(
    features: np.ndarray, means: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
) -> float | None:
    """Share of samples (N, d) where argmax_k (W h + b)_k is not the nearest class mean.

    means and weight (K, d), bias (K,). None without samples.
    """
    if len(features) == 0:
        return None
    predicted = np.empty(len(features), dtype=np.int64)
    for rows in _row_blocks(features):
        logits = features[rows].astype(np.float64) @ np.asarray(weight, dtype=np.float64).T
        predicted[rows] = (logits if bias is None else logits + bias).argmax(axis=1)
    return float((predicted != nearest_class_mean(features, means)).mean())


def between_within_trace(centred: np.ndarray, within: np.ndarray) -> float:
    """tr(Sigma_W Sigma_B^+) for Sigma_B = centredᵀ centred of full rank; both in r directions.

    centred (K, r), within (r, r). By a QR factor of ``centred``, so that Sigma_B, whose condition
    number is the square of it, is never formed.
    """
    _, triangle = np.linalg.qr(centred)  # (r, r), Sigma_B = triangleᵀ triangle
    half = np.linalg.solve(triangle.T, within)
    return float(np.trace(np.linalg.solve(triangle.T, half.T)))


class _Undefined(Exception):
    """Why a quantity has no value."""


class _Given:
    """What the keys are made of; asking for what is not there raises ``_Undefined``."""

    def __init__(
        self, moments: ClassMoments | None, weight: np.ndarray | None, nc4: float | None
    ) -> None:
        self._moments = moments
        self._weight = None if weight is None else np.asarray(weight, dtype=np.float64)
        self._nc4 = nc4

    @property
    def moments(self) -> ClassMoments:
        """Moments of two classes or more."""
        if self._moments is None:
            raise _Undefined("no features were given")
        present = int(self._moments.present.sum())
        if present < 2:
            raise _Undefined(f"needs samples of 2 or more classes, got {present}")
        return self._moments

    @cached_property
    def means(self) -> np.ndarray:
        """(K', r) mu_k - mu_G of the classes that have samples, in the basis."""
        if len(self.moments.basis) == 0:
            raise _Undefined("all class means coincide")
        return self.moments.mean_coordinates[self.moments.present]

    @cached_property
    def cosines(self) -> np.ndarray:
        """(K'(K'-1),) cosines of all ordered pairs of class means."""
        matrix = cosine_matrix(self.means)
        off_diagonal = matrix[~np.eye(len(matrix), dtype=bool)]
        if np.isnan(off_diagonal).any():
            raise _Undefined("a class mean lies on the mean of all, so it has no direction")
        return off_diagonal

    @cached_property
    def rows(self) -> np.ndarray:
        """(K, d) the classifier's rows, two or more."""
        if self._weight is None:
            raise _Undefined("no classifier acts on these features")
        if self._weight.ndim != 2 or len(self._weight) < 2:
            raise _Undefined(
                f"needs a classifier with 2 or more rows, got shape {self._weight.shape}"
            )
        if not self._weight.any():
            raise _Undefined("the classifier's weights are all zero")
        return self._weight

    @cached_property
    def centred_means(self) -> np.ndarray:
        """(K, d) mu_k - mu_G, where every one of them has its own row in the classifier."""
        rows, moments, _ = self.rows, self.moments, self.means
        if rows.shape[0] != len(moments.counts):
            raise _Undefined(
                f"the classifier has {rows.shape[0]} classes, the data {len(moments.counts)}"
            )
        if rows.shape[1] != moments.means.shape[1]:
            raise _Undefined(
                f"the classifier takes {rows.shape[1]} features, the means have "
                f"{moments.means.shape[1]}"
            )
        if not moments.present.all():
            missing = ", ".join(str(k) for k in np.flatnonzero(~moments.present)[:5])
            raise _Undefined(f"every row of the classifier needs its mean: no samples of {missing}")
        return moments.means - moments.global_mean

    @property
    def nc4(self) -> float:
        if self._nc4 is None:
            raise _Undefined(
                "no classifier acts on these features"
                if self._weight is None
                else "needs the classifier's prediction and the nearest class mean of every sample"
            )
        return self._nc4


def _nc1(given: _Given) -> float:
    classes = len(given.means)
    within = given.moments.within_class
    return between_within_trace(given.means / np.sqrt(classes), within) / classes


def _nc1_quotient(given: _Given) -> float:
    between = np.square(given.means).sum(axis=1).mean()
    return float(given.moments.within_trace[given.moments.present].mean() / between)


def _cdnv(given: _Given) -> float:
    spread = given.moments.within_trace[given.moments.present]  # (K',)
    gram = given.means @ given.means.T
    squares = np.diag(gram)
    pairs = np.triu_indices(len(gram), 1)  # symmetric: each pair once
    distance = (squares[:, None] + squares[None, :] - 2 * gram)[pairs]
    if (distance <= 1e-12 * distance.max()).any():
        raise _Undefined("two classes have the same mean")
    return float(((spread[:, None] + spread[None, :])[pairs] / (2 * distance)).mean())


def _nc2_means(given: _Given) -> float:
    return _distance_to_simplex(given.means @ given.means.T)


def _nc2_classifier(given: _Given) -> float:
    return _distance_to_simplex(given.rows @ given.rows.T)


def _nc3(given: _Given) -> float:
    return _distance_to_simplex(given.rows @ given.centred_means.T)


def _nc3_alignment(given: _Given) -> float:
    rows, means = given.rows, given.centred_means
    return float(np.linalg.norm(rows / np.linalg.norm(rows) - means / np.linalg.norm(means)))


def _etf_target(given: _Given) -> float:
    return -1.0 / (int(given.moments.present.sum()) - 1)


def _equinorm(vectors: np.ndarray) -> float:
    lengths = np.linalg.norm(vectors, axis=1)
    return float(lengths.std() / lengths.mean())


def _distance_to_simplex(gram: np.ndarray) -> float:
    """|| gram/||gram||_F - (I - 11ᵀ/K)/sqrt(K-1) ||_F of a (K, K) matrix; 0 for a simplex ETF."""
    classes, length = len(gram), np.linalg.norm(gram)
    if length == 0:
        raise _Undefined("the classifier is orthogonal to every class mean")
    simplex = (np.eye(classes) - 1.0 / classes) / np.sqrt(classes - 1)
    return float(np.linalg.norm(gram / length - simplex))


_KEYS: dict[str, Callable[[_Given], float]] = {
    "nc1": _nc1,
    "nc1_quotient": _nc1_quotient,
    "cdnv": _cdnv,
    "nc2_means": _nc2_means,
    "nc2_classifier": _nc2_classifier,
    "nc3": _nc3,
    "nc3_alignment": _nc3_alignment,
    "nc4": lambda given: given.nc4,
    "cosine_mean": lambda given: float(given.cosines.mean()),
    "cosine_std": lambda given: float(given.cosines.std()),
    "cosine_max": lambda given: float(given.cosines.max()),
    "equiangularity": lambda given: float(np.abs(given.cosines - _etf_target(given)).mean()),
    "equinorm_means": lambda given: _equinorm(given.means),
    "equinorm_classifier": lambda given: _equinorm(given.rows),
    "etf_target": _etf_target,
}


def _row_blocks(features: np.ndarray) -> list[slice]:
    rows = max(1, _BLOCK_ENTRIES // max(1, features.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(features), rows)]

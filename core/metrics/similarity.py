"""How alike two representations of the same images are: linear CKA, and Procrustes of class means.

Both compare features of different widths, and neither sees a rotation or a common scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import UserError

LEAST_SAMPLES = 4
"""The unbiased estimator divides by n - 3."""


def linear_cka(x: np.ndarray, y: np.ndarray, unbiased: bool = True) -> float | None:
    """Linear centred kernel alignment of features x (n, d1) and y (n, d2) of the same n samples.

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), K = x xᵀ, L = y yᵀ: 1 for features that agree up
    to a rotation and a scale (Kornblith et al. 2019). ``unbiased`` takes the estimator of HSIC
    without bias (Song et al. 2012, equation 5; used for CKA by Nguyen, Raghu and Kornblith 2021):
    about 0 for independent features, where the plain one, tr(KHLH), tends to 1 as d/n grows; it can
    come out slightly below 0. Computed in float64, in feature space (d1 × d2) or by Gram matrices
    (n × n), whichever is smaller. None where one of the features has no spread; UserError for
    shapes that do not fit and fewer than 4 samples.
    """
    x, y = _centred(x), _centred(y)
    _same_samples(x, y)
    inner = _inner_of_features if x.shape[1] * y.shape[1] <= len(x) ** 2 else _inner_of_grams
    both, one, other = (inner(a, b, unbiased) for a, b in ((x, y), (x, x), (y, y)))
    return _ratio(both, one, other)


def cka_matrix(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> np.ndarray:
    """Unbiased linear CKA of every layer of ``xs`` with every layer of ``ys``. (L1, L2)

    Layers (n, d) hold the same n samples. Each Gram matrix is made once, those of ``xs`` are kept:
    8 n² bytes a layer. NaN where CKA is undefined.
    """
    grams = np.stack([_u_centred(x).ravel() for x in xs])  # (L1, n²)
    own = np.einsum("ij,ij->i", grams, grams)
    result = np.full((len(xs), len(ys)), np.nan)
    for j, y in enumerate(ys):
        _same_samples(xs[0], y)
        gram = _u_centred(y).ravel()
        other = float(gram @ gram)
        for i, both in enumerate(grams @ gram):
            value = _ratio(float(both), float(own[i]), other)
            result[i, j] = np.nan if value is None else value
    return result


def _u_centred(x: np.ndarray) -> np.ndarray:
    """The Gram matrix of x, centred so that the inner product of two of them is n(n-3) times the
    unbiased HSIC (Székely and Rizzo 2014, U-centring). (n, n) float64."""
    gram = _gram(_centred(x))
    n = len(gram)
    rows = gram.sum(axis=1) / (n - 2)
    gram -= rows[:, None] + rows[None, :] - rows.sum() / (n - 1)
    np.fill_diagonal(gram, 0.0)
    return gram


def _gram(x: np.ndarray) -> np.ndarray:
    gram = x @ x.T
    np.fill_diagonal(gram, 0.0)
    return gram


def _inner_of_grams(x: np.ndarray, y: np.ndarray, unbiased: bool) -> float:
    if unbiased:
        return float(np.vdot(_u_centred(x), _u_centred(y)))
    return float(np.vdot(x @ x.T, y @ y.T))


def _inner_of_features(x: np.ndarray, y: np.ndarray, unbiased: bool) -> float:
    """n(n-3) times the unbiased HSIC, or (n-1)² times the plain one, of centred x and y, without a
    matrix of n × n: with rows that sum to zero, the row sums of the Gram matrix without its
    diagonal are minus the diagonal, |x_i|²."""
    plain = float(np.square(x.T @ y).sum())
    if not unbiased:
        return plain
    n = len(x)
    a, b = np.square(x).sum(axis=1), np.square(y).sum(axis=1)  # (n,) diagonals
    total = float(a.sum()) * float(b.sum()) / ((n - 1) * (n - 2))
    return plain - float(a @ b) + total - 2 * float(a @ b) / (n - 2)


def _ratio(both: float, one: float, other: float) -> float | None:
    if not (one > 0 and other > 0):
        return None
    return float(both / np.sqrt(one) / np.sqrt(other))


def _centred(x: np.ndarray) -> np.ndarray:
    """(n, d) float64 with mean 0 and largest entry about 1, so that no square over- or underflows.

    Neither estimator changes by it. What is only the rounding error of the mean becomes 0.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < LEAST_SAMPLES:
        raise UserError(
            f"CKA needs features (n, d) of {LEAST_SAMPLES} or more samples, got shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise UserError("CKA needs finite features; leave out what is NaN or infinite")
    largest = float(np.abs(x).max(initial=0.0))
    x = x / (largest or 1.0)
    x -= x.mean(axis=0)
    spread = float(np.abs(x).max(initial=0.0))
    return x / spread if spread > 16 * np.finfo(np.float64).eps else np.zeros_like(x)


def _same_samples(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise UserError(f"CKA needs the same samples twice, got {len(x)} and {len(y)}")


def procrustes_distance(a: np.ndarray, b: np.ndarray) -> float | None:
    """The angle, in degrees, between two configurations of K points, a (K, d1) and b (K, d2).

    arccos of the largest inner product <A, BQ> over rotations and reflections Q, which is the
    nuclear norm of AᵀB; A and B are a and b centred, of Frobenius norm 1, the narrower one padded
    with zeros (Williams et al. 2021, the angular shape distance: it obeys the triangle inequality).
    0 for copies that are rotated, mirrored, scaled or moved; 90 for configurations that share
    nothing. A row that is NaN in one (a class without samples) is left out of both. None where
    fewer than two points are left, or all points of one coincide.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise UserError(
            f"the distance is of two lists of as many points (K, d), got {a.shape} and {b.shape}"
        )
    known = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    if known.sum() < 2:
        return None
    one, other = _shape(a[known]), _shape(b[known])
    if one is None or other is None:
        return None
    left, _, right = np.linalg.svd(one.T @ other, full_matrices=False)
    # |A - BQ|² is 2 - 2 <A, BQ>, but an arccos near 1 would lose half of the digits; the last two
    # terms are what the other one's zero columns leave alone
    gap = _square(one @ left - other @ right.T)
    gap += _square(one - one @ left @ left.T) + _square(other - other @ right.T @ right)
    return float(np.degrees(2 * np.arcsin(min(1.0, np.sqrt(gap) / 2))))


def _square(a: np.ndarray) -> float:
    return float(np.square(a).sum())


def _shape(points: np.ndarray) -> np.ndarray | None:
    """Points (K, d) centred, of norm 1, in at most K coordinates; None where they coincide."""
    points = points / (float(np.abs(points).max(initial=0.0)) or 1.0)
    points = points - points.mean(axis=0)
    norm = float(np.linalg.norm(points))
    if norm <= 1e-12:
        return None
    if points.shape[1] > len(points):
        points = np.linalg.qr(points.T)[1].T  # a rotation: no distance changes
    return points / norm


def procrustes_matrix(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> np.ndarray:
    """``procrustes_distance`` of every configuration (K, d) of ``xs`` with every one of ``ys``, in
    degrees. (L1, L2); NaN where it is undefined."""
    values = [[procrustes_distance(x, y) for y in ys] for x in xs]
    return np.array([[np.nan if v is None else v for v in row] for row in values])

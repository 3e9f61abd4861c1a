"""Dimension of a point cloud: TwoNN, maximum likelihood, and the PCA spectrum.

One neighbour search serves both estimators, their intervals and all classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.metrics import intervals
from core.metrics.dimension_curves import (
    EQUAL,
    curve_neighbours,
    estimates_over_k,
    mle_curve,
    ratio_plot,
)
from core.metrics.neighbours import (
    BLOCK,
    FULL_LIMIT,
    Neighbours,
    distance_matrix,
    distinct,
    nearest,
    nearest_in,
)
from core.metrics.scopes import by_scope
from core.results import Decimation, Estimate, IntrinsicDimension, Scoped

MINIMUM = 10  # distinct points below which no nonlinear estimate is given
FEW = 100  # points below which a warning is given
SPECTRUM = 256
SMALLEST = 50  # points at the end of the decimation curve
DISCARD = 0.1  # share of the largest ratios that TwoNN leaves out


def twonn(ratios: np.ndarray) -> float | None:
    """TwoNN dimension from the ratios r2/r1 of the distances to the two nearest points, (n,).

    Slope through the origin of -log(1 - F(mu)) on log(mu), F(mu_(i)) = i/N with i from 1, without
    the largest 10 % (Facco, d'Errico, Rodriguez and Laio, Scientific Reports 2017). Ratios that
    are not finite (r1 = 0) are left out. None if fewer than two are left or all of them are 1.
    """
    ratios = np.sort(ratios[np.isfinite(ratios)])
    total = len(ratios)
    kept = int(total * (1 - DISCARD))
    x = np.log(ratios[:kept])
    y = -np.log1p(-np.arange(1, kept + 1) / total)
    square = float(x @ x)
    return float(x @ y) / square if kept > 1 and square > kept * EQUAL**2 else None


def mle(distances: np.ndarray, k: int) -> float | None:
    """Maximum likelihood dimension from ascending neighbour distances (n, >= k), k >= 2.

    1/m = (1/N) sum_i 1/(k-1) sum_{j<k} log(T_k/T_j) (Levina and Bickel 2004, averaged over points
    as in MacKay and Ghahramani 2005). Points with T_1 = 0 are left out. None if no point is left
    or all k distances are equal everywhere.
    """
    logs = np.log(distances[distances[:, 0] > 0, :k])
    inverse = float(np.mean(logs[:, -1] - logs[:, :-1].mean(1))) if len(logs) else 0.0
    return 1 / inverse if inverse > EQUAL else None


def pca_spectrum(
    points: np.ndarray, distances: np.ndarray | None, generator: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """Share of variance of every principal component, descending; float64.

    From the smaller of the two Gram matrices: (D, D), or (n, n) by double centring of the squared
    distances. Where both are larger than ``FULL_LIMIT``, a random subset of that many points
    stands for all; the second value says so.
    """
    n, ambient = points.shape
    subset = min(n, ambient) > FULL_LIMIT
    if subset:
        points = points[generator.permutation(n)[:FULL_LIMIT]]
        distances, n = None, FULL_LIMIT
    if ambient <= n:
        mean = points.mean(0, dtype=np.float64)
        gram = np.zeros((ambient, ambient))
        for start in range(0, n, BLOCK // (2 * ambient)):
            block = points[start : start + BLOCK // (2 * ambient)] - mean
            gram += block.T @ block
    else:
        gram = (distance_matrix(points) if distances is None else distances) ** 2
        gram *= -0.5
        gram -= gram.mean(0)
        gram -= gram.mean(1)[:, None]
    values = np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)
    return values / values.sum(), subset


def intrinsic_dimension(
    points: np.ndarray,
    *,
    k: int = 20,
    seed: int = 0,
    subsets: int = 50,
    neighbours: Neighbours | None = None,
    distances: np.ndarray | None = None,
    decimation: bool = True,
    projected: int | None = None,
    ambient: int | None = None,
) -> IntrinsicDimension:
    """Every estimate of METRICS for one cloud of (n, D) points.

    Copies of an earlier point are dropped and counted. ``neighbours`` (of these points, without
    duplicates) or ``distances`` (n, n) are used instead of a search where they are given.
    ``projected`` and ``ambient`` describe a random projection made before; they are passed on.
    """
    n, width = points.shape
    generator = np.random.default_rng(seed)
    warnings = []
    if projected is not None:
        warnings.append(f"measured after a random projection to {projected} dimensions")
    finite = bool(np.isfinite(points).all())
    kept = distinct(points) if finite else np.arange(0)
    duplicates = n - len(kept) if finite else 0

    spectrum = np.zeros(0)
    if len(kept) > 1:
        spectrum, subset = pca_spectrum(points, distances, generator)
        if subset:
            warnings.append(f"PCA on {FULL_LIMIT} of {n} points")
    if duplicates:
        warnings.append(f"{duplicates} duplicate points dropped")
        points, neighbours = points[kept], None
        distances = None if distances is None else distances[np.ix_(kept, kept)]

    reason = _why_undefined(n, len(kept), finite)
    twonn_estimate = mle_estimate = Estimate(None, reason=reason)
    curve = over_k = ratios = None
    if reason is None:
        if len(kept) < FEW:
            warnings.append(f"few points ({len(kept)}): expect wide intervals and bias")
        used = min(k, round(intervals.SHARE * len(kept)) - 1)
        if used < k:
            warnings.append(f"{used} instead of {k} neighbours in the maximum likelihood estimate")
        search = _Search(points, distances)
        ks = curve_neighbours(len(kept), used)
        near = neighbours if neighbours is not None else search.list(int(ks[-1]))
        ks = ks[ks <= near.distances.shape[1]]
        twonn_estimate, mle_estimate, replicates = _estimates(
            near, search, used, ks, subsets, generator
        )
        over_k = mle_curve(near.distances, ks, replicates)
        ratios = ratio_plot(near.distances, DISCARD)
        if decimation and len(kept) >= SMALLEST:
            curve = _decimation(twonn_estimate, mle_estimate, search, used, generator)
    return IntrinsicDimension(
        twonn=twonn_estimate,
        mle=mle_estimate,
        pca_90=_components(spectrum, 0.90),
        pca_95=_components(spectrum, 0.95),
        pca_99=_components(spectrum, 0.99),
        participation_ratio=float(1 / (spectrum @ spectrum)) if len(spectrum) else None,
        points=n,
        duplicates=duplicates,
        ambient=ambient or width,
        projected=projected,
        spectrum=spectrum[:SPECTRUM],
        decimation=curve,
        warnings=tuple(warnings),
        mle_curve=over_k,
        ratio_plot=ratios,
    )


def dimensions(
    points: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    k: int = 20,
    seed: int = 0,
    subsets: int = 50,
    distances: np.ndarray | None = None,
    decimation: bool = True,
    projected: int | None = None,
    ambient: int | None = None,
) -> Scoped[IntrinsicDimension]:
    """``intrinsic_dimension`` of all (n, D) points and of each class (labels 0 … classes - 1).

    Up to ``FULL_LIMIT`` points one matrix of distances (made here unless given) serves all.
    """

    def measure(cloud: np.ndarray, near: np.ndarray | None) -> IntrinsicDimension:
        return intrinsic_dimension(
            cloud,
            k=k,
            seed=seed,
            subsets=subsets,
            distances=near,
            decimation=decimation,
            projected=projected,
            ambient=ambient,
        )

    return by_scope(measure, points, labels, classes, distances)


def _why_undefined(points: int, distinct_points: int, finite: bool) -> str | None:
    if not finite:
        return "the features contain NaN or infinite values"
    if points >= MINIMUM and distinct_points == 1:
        return f"all {points} points are equal"
    if distinct_points < MINIMUM:
        return f"needs {MINIMUM} or more distinct points, got {distinct_points}"
    return None


def _components(spectrum: np.ndarray, share: float) -> int | None:
    """Principal components that explain this share of the variance."""
    if not len(spectrum):
        return None
    return int(np.searchsorted(np.cumsum(spectrum), share - 1e-12)) + 1


class _Search:
    """Neighbours of distinct points, from their distances where these are known."""

    def __init__(self, points: np.ndarray, distances: np.ndarray | None) -> None:
        if distances is None and len(points) <= FULL_LIMIT:
            distances = distance_matrix(points)
        self.points, self.distances = points, distances

    def list(self, k: int) -> Neighbours:
        """So many neighbours that k of them are almost surely among 80 % of the points."""
        length = min(len(self.points) - 1, int(k / intervals.SHARE + 3 * np.sqrt(k)))
        if self.distances is None:
            return nearest(self.points, length)
        return nearest_in(self.distances, length)

    def within(self, rows: np.ndarray, k: int) -> np.ndarray:
        """Distances (m, k) to the k nearest of the same m rows."""
        if self.distances is None:
            return nearest(self.points[rows], k).distances
        return nearest_in(self.distances[np.ix_(rows, rows)], k).distances

    def of(self, row: int) -> np.ndarray:
        """Distances (n,) from one point to all."""
        if self.distances is not None:
            return self.distances[row]
        return np.sqrt(((self.points.astype(np.float64) - self.points[row]) ** 2).sum(1))


def _survivors(near: Neighbours, mask: np.ndarray, search: _Search, k: int) -> np.ndarray:
    """Distances (m, k) of the m masked points to their k nearest masked points.

    Neighbours in a subset are the survivors of the longer list; where the list is too short, the
    row is searched again.
    """
    rows = np.flatnonzero(mask)
    alive = mask[near.indices[rows]]  # (m, length)
    rank = alive.cumsum(1, dtype=np.int16)
    alive &= rank <= k
    full = rank[:, -1] >= k
    if full.all():
        return near.distances[rows][alive].reshape(-1, k)
    found = np.empty((len(rows), k))
    found[full] = near.distances[rows[full]][alive[full]].reshape(-1, k)
    for i in np.flatnonzero(~full):
        found[i] = np.sort(search.of(rows[i])[mask])[1 : k + 1]
    return found


def _estimates(
    near: Neighbours,
    search: _Search,
    k: int,
    ks: np.ndarray,
    subsets: int,
    generator: np.random.Generator,
) -> tuple[Estimate, Estimate, np.ndarray]:
    """TwoNN and MLE with delete-d jackknife intervals, from one neighbour search.

    The third value holds the maximum likelihood estimates of every subset over ``ks`` (s, m).
    """
    n = len(near.distances)
    twonns, over_k = [], np.empty((subsets, len(ks)))
    for i, mask in enumerate(intervals.subsets(n, subsets, generator)):
        distances = _survivors(near, mask, search, int(ks[-1]))
        twonns.append(_twonn_of(distances))
        over_k[i] = estimates_over_k(distances, ks)
    at_k = over_k[:, np.searchsorted(ks, k)]
    return (
        _estimate(_twonn_of(near.distances), [v for v in twonns if v is not None], n),
        _estimate(mle(near.distances, k), at_k[np.isfinite(at_k)], n),
        over_k,
    )


def _estimate(value: float | None, replicates: Sequence[float] | np.ndarray, n: int) -> Estimate:
    if value is None:
        return Estimate(None, reason="the nearest neighbours of every point are equally far")
    low = high = None
    if len(replicates):
        low, high = intervals.jackknife(value, np.asarray(replicates), n)
    # Eckmann and Ruelle (1992): n points tell dimensions up to about 2 log10(n).
    biased = value > 2 * np.log10(n)
    warning = f"high estimates are biased low at {n} points"
    return Estimate(value, low, high, warnings=(warning,) if biased else ())


def _twonn_of(distances: np.ndarray) -> float | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        return twonn(distances[:, 1] / distances[:, 0])


def _decimation(
    twonn_estimate: Estimate,
    mle_estimate: Estimate,
    search: _Search,
    k: int,
    generator: np.random.Generator,
) -> Decimation:
    """Mean estimates on n, n/2, n/4, … points: at each size, disjoint parts of all points."""
    n = len(search.points)
    sizes, curves = [n], ([twonn_estimate.value], [mle_estimate.value])
    while (size := n // 2 ** len(sizes)) >= max(SMALLEST, k + 2):
        order = generator.permutation(n)
        parts = [order[start : start + size] for start in range(0, n - size + 1, size)]
        found = [search.within(part, k) for part in parts]
        for curve, values in zip(
            curves, ([_twonn_of(d) for d in found], [mle(d, k) for d in found]), strict=True
        ):
            known = [value for value in values if value is not None]
            curve.append(float(np.mean(known)) if known else None)
        sizes.append(size)
    twonn_curve, mle_curve = (np.array(curve, dtype=float) for curve in curves)
    return Decimation(np.array(sizes), twonn_curve, mle_curve)

"""The manifold lab: every estimator of the dimension on a manifold whose dimension is known.

Pages import this module; the estimators are imported when a worker first needs them.
"""

from __future__ import annotations

import csv
import io
import secrets
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.data.manifolds import MANIFOLDS, Manifold, ManifoldSpec, check, find_manifold, sample
from core.progress import IsCancelled, Progress, never, silent
from core.progress import check as stop_if
from core.results import Estimate, IntrinsicDimension

DIMENSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 50, 70, 100)
SWEPT = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 70)
AMBIENT = (3, 5, 10, 20, 50, 100, 200, 500, 1000)
POINTS = (250, 500, 1000, 1500, 2500, 5000)
NOISES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SEEDS = tuple(range(20))
SUBSETS = 20  # for the intervals beside the main ones
DRAWN = 3000  # points of the picture
CLOSE = 0.1  # relative error below which an estimate is called right


@dataclass(frozen=True, slots=True)
class Preset:
    """A case for a lecture: all choices, and what it teaches."""

    id: str
    title: str
    spec: ManifoldSpec
    lesson: str


@dataclass(frozen=True, slots=True)
class LabResult:
    """What the estimators say of one sample, beside the truth. m = min(n, DRAWN) points drawn."""

    spec: ManifoldSpec
    span: int  # dimension of the smallest flat that holds the manifold without noise
    estimates: IntrinsicDimension
    clean: IntrinsicDimension | None  # of the same points without noise; None where there is none
    components: np.ndarray  # (m, <= 3) float32, principal components
    own: np.ndarray  # (m, <= 3) float32, the manifold's own first coordinates
    coordinate: np.ndarray  # (m,) float32


@dataclass(frozen=True, slots=True)
class Sweep:
    """Estimates against the true dimension, one entry a dimension; ``clean`` is without noise."""

    spec: ManifoldSpec  # ``dim`` is the lowest one
    dims: tuple[int, ...]
    twonn: tuple[Estimate, ...]
    mle: tuple[Estimate, ...]
    clean: tuple[Estimate, ...] | None  # TwoNN; None where there is no noise anyway


def dimensions(manifold: Manifold) -> tuple[int, ...]:
    """The dimensions that the lab offers for a manifold."""
    return tuple(m for m in DIMENSIONS if manifold.lowest <= m <= manifold.highest)


def ambients(manifold: Manifold, dim: int) -> tuple[int, ...]:
    """The ambient dimensions that the lab offers: the smallest possible one, then round ones."""
    least = manifold.least(dim)
    return (least, *(d for d in AMBIENT if d > least))


def measure(
    spec: ManifoldSpec, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> LabResult:
    """Sample a manifold and estimate its dimension in every way; UserError for a bad spec."""
    manifold = check(spec)
    progress(0, 2, f"Measuring {spec.points:,} points")
    drawn = sample(spec)
    estimates = _estimate(drawn.points, spec.seed)
    stop_if(cancelled)
    clean = None
    if spec.noise:
        progress(1, 2, "Measuring the same points without noise")
        clean = _quick(replace(spec, noise=0.0))
        stop_if(cancelled)
    shown = slice(min(spec.points, DRAWN))
    return LabResult(
        spec=spec,
        span=manifold.span(spec.dim, spec.ambient),
        estimates=estimates,
        clean=clean,
        components=_components(drawn.points)[shown].astype(np.float32),
        own=(drawn.points[shown] @ drawn.frame[:, :3]).astype(np.float32),
        coordinate=drawn.coordinate[shown].astype(np.float32),
    )


def swept(spec: ManifoldSpec) -> ManifoldSpec:
    """The sweep beside a sample: its manifold, or the flat cube where that has one dimension."""
    manifold = find_manifold(spec.manifold)
    if manifold.lowest == manifold.highest:
        manifold = MANIFOLDS["cube"]
    return replace(spec, manifold=manifold.id, dim=manifold.lowest)


def sweep(
    spec: ManifoldSpec, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Sweep:
    """Estimates for every dimension of SWEPT, at the spec's number of points, noise and seed.

    The ambient dimension is the spec's, or the smallest possible one where that is larger.
    """
    manifold = find_manifold(spec.manifold)
    dims = tuple(m for m in SWEPT if manifold.lowest <= m <= manifold.highest)
    found: list[IntrinsicDimension] = []
    clean: list[IntrinsicDimension] = []
    for i, m in enumerate(dims):
        progress(i, len(dims), f"Dimension {m} of {dims[0]} to {dims[-1]}")
        one = replace(spec, dim=m, ambient=max(spec.ambient, manifold.least(m)))
        found.append(_quick(one))
        if spec.noise:
            clean.append(_quick(replace(one, noise=0.0)))
        stop_if(cancelled)
    return Sweep(
        spec=spec,
        dims=dims,
        twonn=tuple(d.twonn for d in found),
        mle=tuple(d.mle for d in found),
        clean=tuple(d.twonn for d in clean) or None,
    )


def _quick(spec: ManifoldSpec) -> IntrinsicDimension:
    return _estimate(sample(spec).points, spec.seed, subsets=SUBSETS, decimation=False)


def _estimate(points: np.ndarray, seed: int, **options: Any) -> IntrinsicDimension:
    from core.metrics.intrinsic_dimension import intrinsic_dimension

    return intrinsic_dimension(points, seed=seed, **options)


def _components(points: np.ndarray) -> np.ndarray:
    """The first three principal components (n, <= 3) of points (n, D)."""
    centred = points - points.mean(0)
    if points.shape[1] <= 3:
        return centred
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return centred @ vectors[:, :-4:-1]


# --- in words ----------------------------------------------------------------------------------


def reading(result: LabResult) -> str:
    """What is to be seen, in one plain sentence from the numbers."""
    truth, twonn = result.spec.dim, result.estimates.twonn.value
    if twonn is None:
        return f"TwoNN has no answer here: {result.estimates.twonn.reason}."
    return f"TwoNN reads {twonn:.1f} where the truth is {truth}{_why(result)}{_linear(result)}."


def is_close(value: float, truth: int) -> bool:
    """True where an estimate rounds to the truth or is within CLOSE of it."""
    return abs(value - truth) <= max(CLOSE * truth, 0.3)


def _why(result: LabResult) -> str:
    spec, twonn = result.spec, result.estimates.twonn.value
    assert twonn is not None
    clean = None if result.clean is None else result.clean.twonn.value
    if is_close(twonn, spec.dim):
        return ""
    if twonn > spec.dim:
        if clean is not None and twonn > 1.05 * clean:
            return (
                f", because noise fills all {spec.ambient} ambient dimensions: without it the same "
                f"points read {clean:.1f}"
            )
        return (
            f", because the set bends between neighbours: {spec.points:,} points are too few "
            "to see it as flat"
        )
    lost = round(100 * (1 - twonn / spec.dim))
    edge = ", and most points lie near the edge" if spec.manifold in ("cube", "ball") else ""
    return (
        f", {lost} % too low, because {spec.points:,} points are few in {spec.dim} dimensions: "
        f"even the nearest neighbour is far away{edge}"
    )


def _linear(result: LabResult) -> str:
    linear, truth = result.estimates.pca_95, result.spec.dim
    if linear is None or linear <= truth or result.span <= truth:
        return ""
    return (
        f"; PCA needs {linear} components for 95 % of the variance, because it counts the room "
        "that a bent set takes"
    )


def points_csv(spec: ManifoldSpec) -> str:
    """The points of a sample as CSV: the intrinsic coordinate, then the ambient coordinates."""
    drawn = sample(spec)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    name = find_manifold(spec.manifold).coordinate
    writer.writerow([name, *(f"x{i + 1}" for i in range(spec.ambient))])
    for value, row in zip(drawn.coordinate, drawn.points, strict=True):
        writer.writerow([f"{value:.7g}", *(f"{x:.7g}" for x in row)])
    return buffer.getvalue()


# --- cases for a lecture -----------------------------------------------------------------------

PRESETS = (
    Preset(
        "roll",
        "Swiss roll: PCA says 3, TwoNN says 2",
        ManifoldSpec("swiss-roll", 2, 3),
        "A rolled-up sheet takes the room of 3 dimensions; its points have 2 ways to move.",
    ),
    Preset(
        "curve",
        "A curve in 100 dimensions",
        ManifoldSpec("curve", 1, 100),
        "One number says where a point is, yet PCA finds nearly a hundred directions.",
    ),
    Preset(
        "noise",
        "Noise lifts the dimension",
        ManifoldSpec("moebius", 2, 50, noise=0.05),
        "Up close one sees the noise, from afar the strip: few points, or many neighbours, "
        "look from afar.",
    ),
    Preset(
        "cube",
        "A 70-cube reads 40",
        ManifoldSpec("cube", 70, 100),
        "High dimensions read low. In 70 dimensions 1,500 points are a handful.",
    ),
    Preset(
        "sphere",
        "A 10-sphere, nearly right",
        ManifoldSpec("sphere", 10, 50, points=2500),
        "No edge, little curvature, many points: the estimate is only a little low.",
    ),
    Preset(
        "torus",
        "Curvature reads high",
        ManifoldSpec("torus", 10, 20),
        "Ten small circles: neighbours lie so far round them that chords no longer follow arcs.",
    ),
    Preset(
        "waves",
        "Bent into 50 dimensions",
        ManifoldSpec("waves", 5, 50, points=2500),
        "Like the features of a network: few ways to move, many linear dimensions.",
    ),
)


def preset_of(spec: ManifoldSpec) -> Preset | None:
    """The preset that has these choices."""
    return next((preset for preset in PRESETS if preset.spec == spec), None)


def surprise() -> ManifoldSpec:
    """Choices at random, different every time; the seed they hold makes the points."""
    manifold = MANIFOLDS[secrets.choice(list(MANIFOLDS))]
    dim = secrets.choice([m for m in dimensions(manifold) if m <= 20])
    return ManifoldSpec(
        manifold.id,
        dim,
        secrets.choice([d for d in ambients(manifold, dim) if d <= 200]),
        noise=secrets.choice((0.0, 0.0, 0.01, 0.02, 0.05)),
        seed=secrets.choice(SEEDS),
    )

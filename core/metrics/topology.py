"""Betti numbers of a point cloud: persistent homology of farthest-point landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.errors import UserError
from core.metrics.neighbours import FULL_LIMIT, distance_matrix
from core.metrics.persistence import best_scale, betti_at, net
from core.metrics.scopes import by_scope
from core.results import Scoped, Topology

MINIMUM = 4  # distinct points below which nothing is computed
FEW = 50  # points below which a warning is given
LEVEL = 0.95  # of the confidence bound
SUBSAMPLE = 0.98  # share of the points in each subsample
SUBSAMPLES = 100
LANDMARK_NOISE = 0.75  # of the cover radius
GRID_NOISE = 1 / 3  # of the spacing
OUTLYING = 2  # a point is outlying where its 5th neighbour is so many medians away …
TRIMMED = 0.05  # … and it is among this share of the points, the sparsest


def topology(
    points: np.ndarray,
    *,
    max_dim: int = 1,
    landmarks: int = 400,
    seed: int = 0,
    rule: str = "confidence",
    scale: float | None = None,
    distances: np.ndarray | None = None,
) -> Topology:
    """Vietoris-Rips persistent homology over Z/2 of one cloud of (n, D) points.

    ``distances`` (n, n) replaces the Euclidean ones. Isolated points (at most 5 %) are left out:
    each would be a component of its own. ``betti`` counts, at one scale for all dimensions, the
    significant bars (rule ``confidence``) or all bars (rule ``fixed``, at the given ``scale``).
    """
    if rule not in ("confidence", "fixed"):
        raise UserError(f"the rule of the scale is confidence or fixed, not {rule!r}")
    if rule == "fixed" and scale is None:
        raise UserError("the fixed rule needs a scale: give a distance in the features' units")
    n = len(points)
    if not np.isfinite(points).all():
        return _undefined("the features contain NaN or infinite values", n, rule, max_dim)
    if n < MINIMUM:
        return _undefined(_too_few(n), n, rule, max_dim)
    generator = np.random.default_rng(seed)
    warnings = []
    if n < FEW:
        warnings.append(f"few points ({n}) to see holes")
    if n > FULL_LIMIT:
        rows = generator.permutation(n)[:FULL_LIMIT]
        points, distances = points[rows], None
        warnings.append(f"topology of {FULL_LIMIT} of {n} points, drawn at random")
    if distances is None:
        distances = distance_matrix(points)
    copies = np.tril(distances == 0, -1).any(1)
    distances = distances[np.ix_(~copies, ~copies)] if copies.any() else distances
    dense = _dense(distances)
    if not dense.all():
        warnings.append(f"{np.sum(~dense)} isolated points left out")
        distances = distances[np.ix_(dense, dense)]

    chosen, cover_radius = farthest_points(distances, landmarks, generator)
    if len(chosen) < MINIMUM:
        reason = f"all {n} points are equal" if len(chosen) == 1 else _too_few(len(chosen))
        return _undefined(reason, n, rule, max_dim)
    result = Topology(
        betti=(),
        scale=scale,
        rule=rule,
        confidence=None,
        diagrams=_persistence(distances[np.ix_(chosen, chosen)], max_dim),
        landmarks=len(chosen),
        points=n,
        cover_radius=cover_radius,
        warnings=tuple(warnings),
        spacing=float(np.median(np.partition(distances, 1, axis=1)[:, 1])),
    )
    if rule == "confidence":
        bound = confidence_bound(distances, result.spacing, cover_radius, generator)
        result = replace(result, confidence=bound)
        result = replace(result, scale=best_scale(result))
    assert result.scale is not None
    return replace(result, betti=betti_at(result, result.scale))


def topologies(
    points: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    max_dim: int = 1,
    landmarks: int = 400,
    seed: int = 0,
    rule: str = "confidence",
    scale: float | None = None,
    distances: np.ndarray | None = None,
) -> Scoped[Topology]:
    """``topology`` of all (n, D) points and of each class (labels 0 … classes - 1).

    Up to ``FULL_LIMIT`` points one matrix of distances (made here unless given) serves all.
    """

    def measure(cloud: np.ndarray, near: np.ndarray | None) -> Topology:
        return topology(
            cloud,
            max_dim=max_dim,
            landmarks=landmarks,
            seed=seed,
            rule=rule,
            scale=scale,
            distances=near,
        )

    return by_scope(measure, points, labels, classes, distances)


def farthest_points(
    distances: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Landmarks (<= count,), each the point farthest from those before it, and the cover radius.

    The first is drawn at random. Every point lies within the cover radius of a landmark. Stops
    early where all points are landmarks or copies of one.
    """
    n = len(distances)
    chosen = [int(generator.integers(n))]
    gap = distances[chosen[0]].copy()
    while len(chosen) < min(count, n) and gap.max() > 0:
        chosen.append(int(gap.argmax()))
        np.minimum(gap, distances[chosen[-1]], out=gap)
    return np.array(chosen, dtype=np.intp), float(gap.max())


def confidence_bound(
    distances: np.ndarray, spacing: float, cover_radius: float, generator: np.random.Generator
) -> float:
    """Bound c on how far sampling moves the cloud; holes longer than 2 c are significant.

    The 95 % quantile of the Hausdorff distance between the points and random subsamples of them
    (Fasy et al., Annals of Statistics 2014), with subsamples of 98 % of the points, net of the
    spacing of the points. No less than what regular points make by themselves: landmarks, holes as
    long as 1.1 cover radii and components 2.2 apart; a cubic grid, holes 0.4 spacings long. The
    constants were set on shapes of known homology; benchmarks/bench_topology.py gives the rate of
    right answers on seeds that they were not set on.
    """
    n = len(distances)
    missing = max(1, n - round(SUBSAMPLE * n))
    moved = np.empty(SUBSAMPLES)
    for i in range(SUBSAMPLES):
        order = generator.permutation(n)
        out, kept = order[:missing], order[missing:]
        moved[i] = distances[out][:, kept].min(1).max()
    bound = float(np.quantile(moved, LEVEL))
    return max(
        net(bound, spacing),
        LANDMARK_NOISE * net(cover_radius, spacing),
        GRID_NOISE * spacing,
    )


def _dense(distances: np.ndarray) -> np.ndarray:
    """Mask (n,) of the points that are not isolated."""
    n = len(distances)
    neighbour = max(5, round(0.02 * n))
    if n <= neighbour:
        return np.ones(n, dtype=bool)
    reach = np.partition(distances, neighbour, axis=1)[:, neighbour]  # the point itself is 0th
    limit = max(OUTLYING * np.median(reach), np.quantile(reach, 1 - TRIMMED))
    return (reach <= limit) | (np.median(reach) == 0)


def _persistence(distances: np.ndarray, max_dim: int) -> tuple[np.ndarray, ...]:
    """Diagrams (bars, 2) of dimensions 0 … max_dim."""
    from ripser import ripser

    diagrams = ripser(distances, maxdim=max_dim, distance_matrix=True)["dgms"]
    return tuple(np.asarray(diagram, dtype=np.float64) for diagram in diagrams)


def _too_few(distinct: int) -> str:
    return f"needs {MINIMUM} or more distinct points, got {distinct}"


def _undefined(reason: str, points: int, rule: str, max_dim: int) -> Topology:
    return Topology(
        betti=(None,) * (max_dim + 1),
        scale=None,
        rule=rule,
        confidence=None,
        diagrams=tuple(np.zeros((0, 2)) for _ in range(max_dim + 1)),
        landmarks=0,
        points=points,
        cover_radius=0.0,
        reason=reason,
    )

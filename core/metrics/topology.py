"""Betti numbers of a point cloud: persistent homology of farthest-point landmarks."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from core.errors import UserError
from core.metrics.bottleneck import entropy
from core.metrics.cycles import longest_cycles, ranked_edges
from core.metrics.engines import fastest, persistence
from core.metrics.graph_distances import graph_distances
from core.metrics.neighbours import FULL_LIMIT, distance_matrix
from core.metrics.persistence import best_scale, betti_at, net
from core.metrics.scopes import by_scope
from core.results import DISTANCES, LANDMARKS, Scoped, Topology, TopologyOptions

DEFAULT = TopologyOptions()
MINIMUM = 4  # distinct points below which nothing is computed
FEW = 50  # points below which a warning is given
LEVEL = 0.95  # of the confidence bound
SUBSAMPLE = 0.98  # share of the points in each subsample
SUBSAMPLES = 100
LANDMARK_NOISE = 0.75  # of the cover radius
GRID_NOISE = 1 / 3  # of the spacing
OUTLYING = 2  # a point is outlying where its 5th neighbour is so many medians away …
TRIMMED = 0.05  # … and it is among this share of the points, the sparsest
NEARLY_ALL = 1.5  # times the usual number of landmarks
POWER = {1: 2.4, 2: 3.8}  # of the landmarks, measured from 100 to 400, and to 200
SECONDS_OF_SUBSAMPLE = 2.5e-9  # of one distance in a Hausdorff distance
SECONDS_OF_PATH = 2.5e-8  # of one edge seen from one point
BYTES_OF_SIMPLEX = 1.0  # most columns are never stored
TRIAL = 100  # landmarks of the trial behind a forecast


def topology(
    points: np.ndarray,
    options: TopologyOptions = DEFAULT,
    *,
    distances: np.ndarray | None = None,
) -> Topology:
    """Vietoris-Rips persistent homology over Z/2 of one cloud of (n, D) points.

    ``distances`` (n, n) replaces the Euclidean ones. Isolated points (at most 5 %) are left out:
    each would be a component of its own. ``betti`` counts, at one scale for all dimensions, the
    significant bars (rule ``confidence``) or all bars (rule ``fixed``, at the given scale). For
    ``geodesic`` and ``hops`` all distances, landmarks and the cover radius are those along the
    graph of the ``neighbours`` nearest points; parts that it does not join are components.
    ``rows`` of the result are landmarks as rows of ``points``. UserError for unknown options.
    """
    _validate(options)
    n = len(points)
    if not np.isfinite(points).all():
        return _undefined("the features contain NaN or infinite values", n, options)
    if n < MINIMUM:
        return _undefined(_too_few(n), n, options)
    generator = np.random.default_rng(options.seed)
    warnings = []
    if n < FEW:
        warnings.append(f"few points ({n}) to see holes")
    kept = np.arange(n)
    if n > FULL_LIMIT:
        kept = generator.permutation(n)[:FULL_LIMIT]
        distances = None
        warnings.append(f"topology of {FULL_LIMIT} of {n} points, drawn at random")
    if distances is None:
        distances = distance_matrix(points[kept])
    copies = np.tril(distances == 0, -1).any(1)
    if copies.any():
        kept, distances = kept[~copies], distances[np.ix_(~copies, ~copies)]
    dense = _dense(distances)
    if not dense.all():
        warnings.append(f"{np.sum(~dense)} isolated points left out")
        kept, distances = kept[dense], distances[np.ix_(dense, dense)]
    if options.distance != "euclidean" and len(kept) >= MINIMUM:
        distances = graph_distances(distances, options.neighbours, options.distance == "hops")

    count = _landmarks(len(kept), options)
    chosen, cover_radius = farthest_points(distances, count, generator)
    if len(chosen) < MINIMUM:
        reason = f"all {n} points are equal" if len(chosen) == 1 else _too_few(len(chosen))
        return _undefined(reason, n, options)
    among = distances[np.ix_(chosen, chosen)]
    engine = fastest(len(chosen))
    edges = ranked_edges(among)
    ranked = persistence(edges.ranks, options.max_dim, engine)
    result = Topology(
        betti=(),
        scale=options.scale,
        rule=options.rule,
        confidence=None,
        diagrams=edges.diagrams(ranked),
        landmarks=len(chosen),
        points=n,
        cover_radius=cover_radius,
        distance=options.distance,
        warnings=tuple(warnings),
        spacing=float(np.median(np.partition(distances, 1, axis=1)[:, 1])),
        neighbours=None if options.distance == "euclidean" else options.neighbours,
        rows=kept[chosen].astype(np.int32),
        coordinates=_principal(points[kept[chosen]]),
        engine=engine,
    )
    result = replace(
        result,
        entropy=tuple(entropy(diagram) for diagram in result.diagrams),
        cycles=longest_cycles(edges, among, ranked[1], options.cycles),
    )
    if options.rule == "confidence":
        bound = confidence_bound(distances, result.spacing, cover_radius, generator)
        result = replace(result, confidence=bound)
        result = replace(result, scale=best_scale(result))
    assert result.scale is not None
    return replace(result, betti=betti_at(result, result.scale))


def topologies(
    points: np.ndarray,
    labels: np.ndarray,
    classes: int,
    options: TopologyOptions = DEFAULT,
    *,
    distances: np.ndarray | None = None,
) -> Scoped[Topology]:
    """``topology`` of all (n, D) points and of each class (labels 0 … classes - 1).

    ``rows`` are those of ``points`` for every class, too. Up to ``FULL_LIMIT`` points one matrix of
    distances (made here unless given) serves all.
    """

    def measure(cloud: np.ndarray, near: np.ndarray | None) -> Topology:
        return topology(cloud, options, distances=near)

    found = by_scope(measure, points, labels, classes, distances)

    def in_points(cell: Topology, label: int) -> Topology:
        if cell.rows is None:
            return cell
        return replace(cell, rows=np.flatnonzero(labels == label)[cell.rows].astype(np.int32))

    return Scoped(found.all, tuple(in_points(cell, k) for k, cell in enumerate(found.classes)))


def forecast(points: int, options: TopologyOptions) -> tuple[float, int]:
    """Seconds and bytes of ``topology`` on so many points, without the distances between them.

    From one trial with ``TRIAL`` landmarks in 8 dimensions and a confidence bound of its size; the
    time of homology in dimension k grows about as the landmarks to the power k + 2 (1.0 to 1.3
    powers less in practice for clouds with little noise).
    """
    count = min(points, _landmarks(points, options))
    size = min(points, FULL_LIMIT)
    few = min(TRIAL, count)
    if few < MINIMUM:
        return 0.0, 0
    cloud = np.random.default_rng(0).standard_normal((few, 8))
    trial = replace(options, landmarks=few, rule="fixed", scale=1.0)
    started = time.perf_counter()
    topology(cloud, trial)
    seconds = (time.perf_counter() - started) * (count / few) ** POWER[options.max_dim]
    seconds += SUBSAMPLES * SECONDS_OF_SUBSAMPLE * size * max(1, round((1 - SUBSAMPLE) * size))
    if options.distance != "euclidean":
        seconds += SECONDS_OF_PATH * size**2 * options.neighbours
    simplices = count ** (options.max_dim + 2) / 24  # columns that an engine may hold
    memory = 3 * 8 * size**2 + 8 * 3 * count**2 + int(BYTES_OF_SIMPLEX * simplices)
    return seconds, memory


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
        nearest = distances[out][:, kept].min(1)
        moved[i] = nearest[np.isfinite(nearest)].max(initial=0.0)  # a part may be left out whole
    bound = float(np.quantile(moved, LEVEL))
    return max(
        net(bound, spacing),
        LANDMARK_NOISE * net(cover_radius if np.isfinite(cover_radius) else 0.0, spacing),
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


def _landmarks(points: int, options: TopologyOptions) -> int:
    """How many landmarks to draw of so many points: all where the usual number is nearly that, as
    leaving a few of evenly spread points out makes holes."""
    if options.landmarks is not None:
        return options.landmarks
    usual = LANDMARKS[options.max_dim]
    return points if points <= NEARLY_ALL * usual else usual


def _principal(points: np.ndarray) -> np.ndarray:
    """Principal coordinates (n, <= 3) of the landmarks, the largest 1, for a picture."""
    centred = points.astype(np.float64)
    centred -= centred.mean(0)
    left, singular, _ = np.linalg.svd(centred @ centred.T, hermitian=True)
    coordinates = left[:, :3] * np.sqrt(singular[:3])
    coordinates = coordinates[:, : min(3, points.shape[1])]
    return (coordinates / (np.abs(coordinates).max() or 1.0)).astype(np.float16)


def _validate(options: TopologyOptions) -> None:
    if options.rule not in ("confidence", "fixed"):
        raise UserError(f"the rule of the scale is confidence or fixed, not {options.rule!r}")
    if options.rule == "fixed" and options.scale is None:
        raise UserError("the fixed rule needs a scale: give a distance in the features' units")
    if options.distance not in DISTANCES:
        raise UserError(f"the distance is one of {', '.join(DISTANCES)}, not {options.distance!r}")
    if options.max_dim not in LANDMARKS:
        raise UserError(f"the highest dimension is 1 or 2, not {options.max_dim}")
    if options.neighbours < 1:
        raise UserError(f"the graph needs 1 or more neighbours, not {options.neighbours}")


def _too_few(distinct: int) -> str:
    return f"needs {MINIMUM} or more distinct points, got {distinct}"


def _undefined(reason: str, points: int, options: TopologyOptions) -> Topology:
    dimensions = options.max_dim + 1
    return Topology(
        betti=(None,) * dimensions,
        scale=None,
        rule=options.rule,
        confidence=None,
        diagrams=tuple(np.zeros((0, 2)) for _ in range(dimensions)),
        landmarks=0,
        points=points,
        cover_radius=0.0,
        distance=options.distance,
        reason=reason,
    )

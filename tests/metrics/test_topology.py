import time

import gudhi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import cdist

from benchmarks.shapes import SHAPES, circle_polygon, clifford_torus, sample
from core.errors import UserError
from core.metrics.bottleneck import bottleneck, entropy
from core.metrics.engines import has_giotto, persistence
from core.metrics.graph_distances import graph_distances
from core.metrics.persistence import betti_at, betti_curve, significant, threshold
from core.metrics.topology import farthest_points, forecast, topologies, topology
from core.results import Topology, TopologyOptions

HOLES = ("circle", "two circles", "figure eight", "linked rings", "three blobs", "sphere", "torus")
FLAT = [name for name, (_, betti) in SHAPES.items() if len(betti) == 2]


@pytest.mark.parametrize("ambient", [None, 50])
@pytest.mark.parametrize("name", FLAT)
def test_shape_with_noise(name: str, ambient: int | None) -> None:
    noise = 0.05 if ambient is None else 0.02
    result = topology(sample(name, 600, 7, noise, ambient), TopologyOptions(landmarks=200))
    assert result.betti == SHAPES[name][1]


MOVES = {
    "as_drawn": lambda points, rng: points,
    "isometry": lambda points, rng: points @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + 7,
    "scaled": lambda points, rng: 1000 * points,
    "in_50_dimensions": lambda points, rng: (
        points @ np.linalg.qr(rng.normal(size=(50, 3)))[0].T + rng.normal(size=(1, 50))
    ),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("name", HOLES)
def test_every_shape_has_its_holes_wherever_it_lies(name: str, move: str) -> None:
    betti = SHAPES[name][1]
    points = MOVES[move](sample(name, 1200, 7), np.random.default_rng(8))
    landmarks = {"sphere": 100, "torus": 180}.get(name, 200)
    result = topology(points, TopologyOptions(len(betti) - 1, landmarks, cycles=1))
    assert result.betti == betti


@pytest.mark.parametrize("name", ["sphere", "torus"])
def test_surfaces_with_noise_in_50_dimensions(name: str) -> None:
    points = sample(name, 1200, 7, 0.02, ambient=50)
    landmarks = {"sphere": 100, "torus": 180}[name]
    assert topology(points, TopologyOptions(2, landmarks)).betti == SHAPES[name][1]


def test_regular_polygon_has_one_loop_of_known_length() -> None:
    result = topology(circle_polygon(100))
    step = np.pi / 100
    assert result.betti == (1, 1)
    assert result.diagrams[1] == pytest.approx(
        np.array([[2 * np.sin(step), 2 * np.sin(34 * step)]]), abs=1e-6
    )
    assert result.cover_radius == 0
    assert result.landmarks == result.points == 100


def test_clifford_torus_has_two_equal_loops_and_a_void() -> None:
    result = topology(clifford_torus(16), TopologyOptions(2))
    assert result.betti == (1, 2, 1)
    loops = significant(result)[1]
    assert loops[0] == pytest.approx(loops[1], abs=1e-6)


def test_diagrams_equal_gudhi() -> None:
    points = np.random.default_rng(0).uniform(size=(60, 3))
    result = topology(points, TopologyOptions(2))
    assert result.landmarks == len(points)
    tree = gudhi.RipsComplex(points=points).create_simplex_tree(max_dimension=3)
    tree.compute_persistence(homology_coeff_field=2)
    for dimension, diagram in enumerate(result.diagrams):
        expected = tree.persistence_intervals_in_dimension(dimension)
        order, expected_order = np.lexsort(diagram.T), np.lexsort(expected.T)
        finite = np.isfinite(expected[expected_order])
        assert np.array_equal(np.isfinite(diagram[order]), finite)
        assert diagram[order][finite] == pytest.approx(expected[expected_order][finite], abs=1e-5)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e3]))
def test_isometry_and_scale_change_nothing(seed: int, factor: float) -> None:
    points = sample("figure eight", 120, 3)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(12, 3)))[0]
    moved = factor * (points @ rotation.T + rng.normal(size=12))
    first, second = topology(points), topology(moved)
    assert second.betti == first.betti == (1, 2)
    assert second.scale == pytest.approx(factor * first.scale, rel=1e-4)
    assert np.sort(second.diagrams[1], 0) == pytest.approx(
        factor * np.sort(first.diagrams[1], 0), rel=1e-4
    )


def test_farthest_points_cover_more_closely_as_they_grow_in_number() -> None:
    points = np.random.default_rng(1).normal(size=(300, 4))
    distances = cdist(points, points)
    radii = []
    for count in (1, 10, 50, 300):
        chosen, radius = farthest_points(distances, count, np.random.default_rng(2))
        assert len(set(chosen)) == count
        assert radius == pytest.approx(distances[:, chosen].min(1).max())
        radii.append(radius)
    assert radii == sorted(radii, reverse=True)
    assert radii[-1] == 0


def test_betti_curve_counts_bars_that_are_alive() -> None:
    diagram = np.array([[0.0, 1.0], [0.5, 2.0], [0.0, np.inf]])
    assert betti_curve(diagram, np.array([0.0, 0.5, 1.0, 2.0])).tolist() == [2, 3, 2, 1]


def test_fixed_scale_counts_every_bar() -> None:
    points = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    assert [
        topology(points, TopologyOptions(rule="fixed", scale=s)).betti[0] for s in (0.5, 1.5, 9.0)
    ] == [6, 2, 1]
    result = topology(points, TopologyOptions(rule="fixed", scale=1.5))
    assert result.confidence is None
    assert threshold(result, 1) == 0
    assert betti_at(result, 0.5) == (6, 0)


def test_moving_the_scale_changes_the_betti_numbers() -> None:
    result = topology(circle_polygon(100))
    assert betti_at(result, 1.0) == (1, 1)
    assert betti_at(result, 1.9) == (1, 0)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((0, 3)), "needs 4 or more distinct points, got 0"),
        (np.eye(3), "needs 4 or more distinct points, got 3"),
        (np.ones((20, 3)), "all 20 points are equal"),
        (np.full((20, 3), np.nan), "the features contain NaN or infinite values"),
    ],
)
def test_undefined_has_a_reason(points: np.ndarray, reason: str) -> None:
    result = topology(points, TopologyOptions(2))
    assert result.betti == (None, None, None)
    assert result.reason == reason


def test_few_isolated_and_repeated_points() -> None:
    few = topology(circle_polygon(20))
    assert few.warnings == ("few points (20) to see holes",)
    far = np.concatenate([circle_polygon(100), [[9.0, 9.0]]])
    result = topology(far)
    assert result.betti == (1, 1)
    assert result.warnings == ("1 isolated points left out",)
    twice = topology(np.concatenate([circle_polygon(100)] * 2))
    assert twice.betti == (1, 1)
    assert twice.landmarks == 100


def test_equidistant_points_are_one_component() -> None:
    assert topology(np.eye(10)).betti == (1, 0)


def test_unknown_rule_and_missing_scale_are_refused() -> None:
    with pytest.raises(UserError, match="confidence or fixed"):
        topology(np.eye(5), TopologyOptions(rule="guess"))
    with pytest.raises(UserError, match="needs a scale"):
        topology(np.eye(5), TopologyOptions(rule="fixed"))


def test_classes_share_one_matrix_of_distances() -> None:
    points = np.concatenate([circle_polygon(60), circle_polygon(60) + 6, np.full((5, 2), 50.0)])
    labels = np.repeat([0, 1, 3], [60, 60, 5])
    result = topologies(points, labels, 4)
    assert [one.betti for one in result.classes[:2]] == [(1, 1), (1, 1)]
    assert result.classes[2].points == 0
    assert result.classes[3].reason == "all 5 points are equal"
    assert np.allclose(result.classes[1].diagrams[1], topology(points[60:120]).diagrams[1])


# --- along the graph of nearest neighbours -------------------------------------------------------


@pytest.mark.parametrize("hops", [False, True])
def test_graph_distances_equal_dense_shortest_paths(hops: bool) -> None:
    points = np.random.default_rng(3).normal(size=(40, 3))
    distances = cdist(points, points)
    graph = np.full((40, 40), np.inf)
    for i, row in enumerate(distances):
        for j in np.argsort(row)[1:6]:
            graph[i, j] = graph[j, i] = 1.0 if hops else row[j]
    expected = shortest_path(np.where(np.isfinite(graph), graph, 0.0), method="FW")
    assert graph_distances(distances, 5, hops) == pytest.approx(expected)


def test_parts_that_no_path_joins_are_components() -> None:
    points = np.concatenate([circle_polygon(60), circle_polygon(60) + 9])
    for distance in ("geodesic", "hops"):
        result = topology(points, TopologyOptions(distance=distance, neighbours=4))
        assert result.betti[0] == 2
        assert np.isinf(result.diagrams[0][:, 1]).sum() == 2


@pytest.mark.parametrize("name", ["circle", "two circles", "figure eight", "linked rings"])
def test_geodesic_distance_sees_the_same_holes(name: str) -> None:
    options = TopologyOptions(landmarks=200, distance="geodesic", neighbours=10)
    assert topology(sample(name, 600, 7), options).betti == SHAPES[name][1]


# --- loops, entropy, distance of diagrams, engines -----------------------------------------------


def test_the_loop_of_a_circle_goes_round_once() -> None:
    result = topology(sample("circle", 300, 1), TopologyOptions(landmarks=120))
    points = sample("circle", 300, 1)[result.rows]
    path = points[result.cycles[0].path]
    angle = np.unwrap(np.arctan2(*np.concatenate([path, path[:1]])[:, :2].T))
    assert abs(angle[-1] - angle[0]) == pytest.approx(2 * np.pi)
    assert result.cycles[0].birth == pytest.approx(result.diagrams[1][:, 0][_longest(result)])


def test_the_loops_of_a_figure_eight_are_different() -> None:
    points = sample("figure eight", 600, 2)
    result = topology(points, TopologyOptions(landmarks=200))
    centres = [points[result.rows[c.path]].mean(0)[0] for c in result.cycles[:2]]
    assert sorted(np.sign(centres)) == [-1, 1]


def test_loops_of_equal_edges_go_round() -> None:
    result = topology(circle_polygon(100))
    assert len(result.cycles[0].path) == 100
    points = clifford_torus(16)
    torus = topology(points, TopologyOptions(cycles=2))
    turns = []  # of both circles, by each loop: independent modulo 2
    for cycle in torus.cycles:
        path = points[torus.rows[np.append(cycle.path, cycle.path[0])]]
        angles = [np.unwrap(np.arctan2(path[:, i + 1], path[:, i])) for i in (0, 2)]
        turns.append([round((a[-1] - a[0]) / (2 * np.pi)) for a in angles])
    assert round(np.linalg.det(turns)) % 2 == 1


def test_edges_of_a_loop_are_no_longer_than_its_birth() -> None:
    points = np.random.default_rng(5).normal(size=(80, 3))
    result = topology(points, TopologyOptions(cycles=20))
    among = cdist(points[result.rows], points[result.rows])
    for cycle in result.cycles:
        edges = among[cycle.path, np.roll(cycle.path, 1)]
        assert edges.max() == pytest.approx(cycle.birth, rel=1e-5)
        assert len(set(cycle.path.tolist())) == len(cycle.path) >= 4


def _longest(result: Topology) -> int:
    return int((result.diagrams[1][:, 1] - result.diagrams[1][:, 0]).argmax())


def test_entropy_of_one_bar_is_0_and_of_equal_bars_the_logarithm_of_their_number() -> None:
    assert entropy(np.array([[0.0, 2.0]])) == 0
    assert entropy(np.array([[0.0, 1.0]] * 5 + [[0.0, np.inf]])) == pytest.approx(np.log(5))
    assert entropy(np.zeros((0, 2))) is None


def test_bottleneck_of_known_diagrams() -> None:
    one = np.array([[0.0, 4.0], [0.0, np.inf]])
    assert bottleneck(one, one) == 0
    assert bottleneck(one, np.array([[0.5, 4.0], [0.25, np.inf]])) == 0.5
    assert bottleneck(one, np.array([[0.0, np.inf]])) == 2  # to the diagonal
    assert bottleneck(one, np.zeros((0, 2))) == np.inf


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 25), st.integers(0, 25))
def test_bottleneck_equals_gudhi(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    diagrams = [np.cumsum(rng.random((n, 2)), axis=1) for n in (first, second)]
    expected = gudhi.bottleneck_distance(*diagrams)
    assert bottleneck(*diagrams) == pytest.approx(expected, abs=1e-9)
    assert bottleneck(*diagrams[::-1]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.skipif(not has_giotto(), reason="giotto-ph is not installed")
@pytest.mark.parametrize("max_dim", [1, 2])
def test_engines_give_equal_diagrams(max_dim: int) -> None:
    points = np.random.default_rng(4).normal(size=(70, 5))
    distances = cdist(points, points)
    distances[:20, 20:] = distances[20:, :20] = np.inf
    both = [persistence(distances, max_dim, engine) for engine in ("ripser", "giotto-ph")]
    for one, other in zip(*both, strict=True):
        one, other = (d[np.lexsort(d.T)] for d in (one, other))
        assert np.array_equal(np.isinf(one), np.isinf(other))
        assert one[np.isfinite(one)] == pytest.approx(other[np.isfinite(other)], abs=1e-5)


def test_the_forecast_is_of_the_right_size() -> None:
    points = sample("gaussian", 300, 0)
    for options in (TopologyOptions(landmarks=300), TopologyOptions(2, 150)):
        seconds, memory = forecast(len(points), options)
        started = time.perf_counter()
        topology(points, options)
        took = time.perf_counter() - started
        assert took / 4 < seconds < 4 * took + 0.2
        assert 1e5 < memory < 1e9

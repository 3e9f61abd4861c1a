import gudhi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from benchmarks.shapes import SHAPES, circle_polygon, clifford_torus, sample
from core.errors import UserError
from core.metrics.persistence import betti_at, betti_curve, significant, threshold
from core.metrics.topology import farthest_points, topologies, topology

FLAT = [name for name, (_, betti) in SHAPES.items() if len(betti) == 2]


@pytest.mark.parametrize("ambient", [None, 50])
@pytest.mark.parametrize("name", FLAT)
def test_shape_with_noise(name: str, ambient: int | None) -> None:
    noise = 0.05 if ambient is None else 0.02
    result = topology(sample(name, 600, 7, noise, ambient), landmarks=200)
    assert result.betti == SHAPES[name][1]


@pytest.mark.parametrize(("name", "landmarks"), [("sphere", 100), ("torus", 180)])
def test_surface_has_its_void(name: str, landmarks: int) -> None:
    result = topology(sample(name, 1200, 7), max_dim=2, landmarks=landmarks)
    assert result.betti == SHAPES[name][1]


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
    result = topology(clifford_torus(16), max_dim=2)
    assert result.betti == (1, 2, 1)
    loops = significant(result)[1]
    assert loops[0] == pytest.approx(loops[1], abs=1e-6)


def test_diagrams_equal_gudhi() -> None:
    points = np.random.default_rng(0).uniform(size=(60, 3))
    result = topology(points, max_dim=2)
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
    assert [topology(points, rule="fixed", scale=s).betti[0] for s in (0.5, 1.5, 9.0)] == [6, 2, 1]
    result = topology(points, rule="fixed", scale=1.5)
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
    result = topology(points, max_dim=2)
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
        topology(np.eye(5), rule="guess")
    with pytest.raises(UserError, match="needs a scale"):
        topology(np.eye(5), rule="fixed")


def test_classes_share_one_matrix_of_distances() -> None:
    points = np.concatenate([circle_polygon(60), circle_polygon(60) + 6, np.full((5, 2), 50.0)])
    labels = np.repeat([0, 1, 3], [60, 60, 5])
    result = topologies(points, labels, 4)
    assert [one.betti for one in result.classes[:2]] == [(1, 1), (1, 1)]
    assert result.classes[2].points == 0
    assert result.classes[3].reason == "all 5 points are equal"
    assert np.allclose(result.classes[1].diagrams[1], topology(points[60:120]).diagrams[1])

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from core.metrics import neighbours
from core.metrics.neighbours import distance_matrix, distinct, nearest, nearest_in


def naive(points: np.ndarray, k: int) -> np.ndarray:
    distances = cdist(points.astype(np.float64), points.astype(np.float64))
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, :k]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dimension", [1, 3, 200])
def test_nearest_equals_exhaustive_search(dtype: type, dimension: int) -> None:
    points = np.random.default_rng(0).normal(size=(300, dimension)).astype(dtype)
    found = nearest(points, 7)
    assert found.distances == pytest.approx(naive(points, 7), rel=1e-12)
    direct = np.linalg.norm(
        points[found.indices].astype(np.float64) - points[:, None].astype(np.float64), axis=2
    )
    assert direct == pytest.approx(found.distances, rel=1e-12)
    assert not (found.indices == np.arange(300)[:, None]).any()


def test_nearest_in_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(1).normal(size=(150, 40)).astype(np.float32)
    monkeypatch.setattr(neighbours, "BLOCK", 1000)
    assert nearest(points, 5).distances == pytest.approx(naive(points, 5), rel=1e-12)
    assert distance_matrix(points) == pytest.approx(cdist(points, points), rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1e-4, 1.0]))
def test_no_cancellation_in_tight_clusters_far_from_the_mean(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    centres = 100 * rng.normal(size=(4, 30))
    points = np.repeat(centres, 25, axis=0) + spread * rng.normal(size=(100, 30))
    expected = naive(points, 10)
    assert nearest(points, 10).distances == pytest.approx(expected, rel=1e-7)
    assert nearest_in(distance_matrix(points), 10).distances == pytest.approx(expected, rel=1e-7)
    single = points.astype(np.float32)
    assert nearest(single, 10).distances == pytest.approx(naive(single, 10), rel=1e-12)


def test_duplicates_are_at_distance_zero_and_counted_once() -> None:
    points = np.random.default_rng(2).normal(size=(40, 6)).astype(np.float32)
    twice = np.concatenate([points, points[:15], points[:15]])
    assert (nearest(twice, 2).distances[:15] == 0).all()
    assert (distance_matrix(twice)[:15, 40:55].diagonal() == 0).all()
    assert distinct(twice).tolist() == list(range(40))
    assert distinct(np.array([[0.0, 1.0], [-0.0, 1.0]])).tolist() == [0]


def test_distance_matrix_is_a_metric() -> None:
    distances = distance_matrix(np.random.default_rng(3).normal(size=(60, 500)))
    assert np.array_equal(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    assert (distances[:, :, None] + distances[None] >= distances[:, None] - 1e-9).all()


@pytest.mark.parametrize("k", [0, 5])
def test_impossible_number_of_neighbours(k: int) -> None:
    points = np.eye(5)
    with pytest.raises(ValueError, match=f"need 1 to 4 neighbours of 5 points, got {k}"):
        nearest(points, k)
    with pytest.raises(ValueError, match="need 1 to 4"):
        nearest_in(distance_matrix(points), k)


@pytest.mark.parametrize("kind", ["gaussian", "clusters", "lattice"])
def test_long_lists_equal_a_plain_search(kind: str) -> None:
    """Enough neighbours that they are searched below a threshold; ties and clusters included."""
    rng = np.random.default_rng(6)
    points = {
        "gaussian": rng.normal(size=(2500, 6)),
        "clusters": np.repeat(rng.normal(size=(50, 6)), 50, 0) + 1e-3 * rng.normal(size=(2500, 6)),
        "lattice": np.stack(np.meshgrid(*[np.arange(50.0)] * 2), -1).reshape(-1, 2),
    }[kind]
    found = nearest(points, 100)
    expected = np.sort(cdist(points, points), axis=1)[:, 1:101]
    assert found.distances == pytest.approx(expected, rel=1e-9, abs=1e-12)
    chosen = np.linalg.norm(points[found.indices] - points[:, None], axis=2)
    assert chosen == pytest.approx(found.distances, rel=1e-9, abs=1e-12)

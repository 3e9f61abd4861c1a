import dataclasses

import numpy as np
import pytest
import skdim
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from core.metrics import intrinsic_dimension as module
from core.metrics.intervals import jackknife, subsets
from core.metrics.intrinsic_dimension import dimensions, intrinsic_dimension, mle, twonn
from core.metrics.neighbours import distance_matrix, nearest


def sorted_distances(points: np.ndarray) -> np.ndarray:
    return np.sort(cdist(points, points), axis=1)[:, 1:]


def naive_mle(distances: np.ndarray, k: int) -> float:
    inverses = [np.mean([np.log(row[k - 1] / row[j]) for j in range(k - 1)]) for row in distances]
    return 1 / float(np.mean(inverses))


def ball(n: int, d: int, ambient: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, d))
    points *= rng.uniform(size=(n, 1)) ** (1 / d) / np.linalg.norm(points, axis=1, keepdims=True)
    return points @ np.linalg.qr(rng.normal(size=(ambient, d)))[0].T


def test_twonn_of_the_known_ball() -> None:
    points = skdim.datasets.hyperBall(n=30, d=5, random_state=0)
    assert intrinsic_dimension(points).twonn.value == pytest.approx(4.52231, abs=5e-6)


def test_twonn_recovers_the_exponent_of_an_exact_pareto() -> None:
    n, dimension = 1000, 7
    quantiles = (1 - np.arange(1, n + 1) / n)[:-1] ** (-1 / dimension)
    assert twonn(np.append(quantiles, 1e9)) == pytest.approx(dimension)


def test_mle_of_a_geometric_sequence_in_closed_form() -> None:
    # T_j = a^j: mean over j < k of log(T_k/T_j) is log(a) k/2.
    distances = np.tile(1.5 ** np.arange(1.0, 21.0), (5, 1))
    assert mle(distances, 20) == pytest.approx(1 / (10 * np.log(1.5)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_independent_implementations(dtype: type) -> None:
    points = np.random.default_rng(1).normal(size=(400, 12)).astype(dtype)
    result = intrinsic_dimension(points)
    exact = points.astype(np.float64)
    distances = sorted_distances(exact)
    assert result.twonn.value == pytest.approx(skdim.id.TwoNN().fit(exact).dimension_, rel=1e-6)
    assert result.mle.value == pytest.approx(naive_mle(distances, 20), rel=1e-9)
    assert result.mle.value == pytest.approx(skdim.id.MLE().fit(exact).dimension_, rel=1e-6)
    shares = np.linalg.svd(exact - exact.mean(0), compute_uv=False) ** 2
    shares /= shares.sum()
    assert result.spectrum == pytest.approx(shares, rel=1e-9)
    assert result.participation_ratio == pytest.approx(1 / (shares**2).sum())
    assert result.pca_95 == int((np.cumsum(shares) < 0.95).sum()) + 1


def test_spectrum_of_wide_points_comes_from_their_distances() -> None:
    points = np.random.default_rng(2).normal(size=(60, 500)) * np.linspace(0.1, 2, 500)
    shares = np.linalg.svd(points - points.mean(0), compute_uv=False) ** 2
    result = intrinsic_dimension(points)
    assert result.spectrum == pytest.approx(shares / shares.sum(), abs=1e-12)


def test_linear_subspace_has_its_dimension() -> None:
    points = ball(1500, 5, 40)
    result = intrinsic_dimension(points)
    assert result.twonn.low < 5 < result.twonn.high
    assert result.mle.value == pytest.approx(5, rel=0.12)
    assert (result.pca_90, result.pca_99) == (5, 5)
    assert result.participation_ratio == pytest.approx(5, rel=0.02)


def test_one_search_gives_what_searching_every_subset_gives() -> None:
    points = np.random.default_rng(3).normal(size=(200, 6))
    result = intrinsic_dimension(points, subsets=20)
    values: tuple[list[float], list[float]] = ([], [])
    for mask in subsets(200, 20, np.random.default_rng(0)):
        distances = sorted_distances(points[mask])
        values[0].append(twonn(distances[:, 1] / distances[:, 0]))
        values[1].append(naive_mle(distances, 20))
    for estimate, replicates in zip((result.twonn, result.mle), values, strict=True):
        expected = jackknife(estimate.value, np.array(replicates), 200)
        assert (estimate.low, estimate.high) == pytest.approx(expected, rel=1e-9)


def test_short_lists_of_neighbours_are_searched_again() -> None:
    points = np.random.default_rng(4).normal(size=(120, 5))
    short = intrinsic_dimension(points, neighbours=nearest(points, 21))
    assert short.mle.low == pytest.approx(intrinsic_dimension(points).mle.low, rel=1e-9)


def test_many_points_are_searched_without_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(5).normal(size=(300, 8))
    expected = intrinsic_dimension(points)
    monkeypatch.setattr(module, "FULL_LIMIT", 100)
    result = intrinsic_dimension(points)
    assert result.twonn.value == pytest.approx(expected.twonn.value, rel=1e-9)
    assert result.mle.low == pytest.approx(expected.mle.low, rel=1e-9)
    assert result.decimation.mle == pytest.approx(expected.decimation.mle, rel=1e-9)
    assert result.spectrum == pytest.approx(expected.spectrum)


def test_interval_is_as_wide_as_fresh_samples_scatter_and_rather_wider() -> None:
    result = intrinsic_dimension(ball(400, 3, 3))
    fresh = [intrinsic_dimension(ball(400, 3, 3, s), subsets=0).twonn.value for s in range(1, 31)]
    half = (result.twonn.high - result.twonn.low) / 2
    assert 0.7 < half / (1.96 * np.std(fresh)) < 3


def test_decimation_ends_at_fifty_points_or_more() -> None:
    result = intrinsic_dimension(ball(800, 2, 10))
    assert result.decimation.sizes.tolist() == [800, 400, 200, 100, 50]
    assert result.decimation.twonn[0] == result.twonn.value
    assert result.decimation.twonn == pytest.approx(np.full(5, 2), abs=0.4)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-4, 1.0, 1e4]))
def test_isometry_and_scale_change_nothing(seed: int, factor: float) -> None:
    points = ball(150, 4, 6)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(20, 6)))[0]
    moved = intrinsic_dimension(factor * (points @ rotation.T + rng.normal(size=20)))
    still = intrinsic_dimension(points)
    assert moved.twonn.value == pytest.approx(still.twonn.value, rel=1e-6)
    assert moved.mle.high == pytest.approx(still.mle.high, rel=1e-6)
    assert (moved.pca_90, moved.pca_99) == (still.pca_90, still.pca_99)


def test_duplicates_are_dropped_and_counted() -> None:
    points = np.random.default_rng(6).normal(size=(200, 4))
    clean, twice = (intrinsic_dimension(p) for p in (points, np.concatenate([points, points[:30]])))
    assert (twice.duplicates, twice.points) == (30, 230)
    assert "30 duplicate points dropped" in twice.warnings
    assert twice.twonn == clean.twonn
    assert twice.mle == clean.mle


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((0, 4)), "needs 10 or more distinct points, got 0"),
        (np.eye(9), "needs 10 or more distinct points, got 9"),
        (np.ones((30, 4)), "all 30 points are equal"),
        (np.full((30, 4), np.inf), "the features contain NaN or infinite values"),
        (np.eye(30), "the nearest neighbours of every point are equally far"),
    ],
)
def test_undefined_has_a_reason(points: np.ndarray, reason: str) -> None:
    result = intrinsic_dimension(points)
    assert result.twonn.value is None
    assert result.twonn.reason == result.mle.reason == reason


def test_constant_points_have_no_spectrum() -> None:
    result = intrinsic_dimension(np.ones((30, 4)))
    assert result.pca_90 is result.participation_ratio is None
    assert len(result.spectrum) == 0


def test_warnings_name_bias_few_points_and_projection() -> None:
    result = intrinsic_dimension(
        np.random.default_rng(7).normal(size=(20, 30)), projected=30, ambient=9000
    )
    assert (result.ambient, result.projected) == (9000, 30)
    assert result.warnings == (
        "measured after a random projection to 30 dimensions",
        "few points (20): expect wide intervals and bias",
        "15 instead of 20 neighbours in the maximum likelihood estimate",
    )
    assert result.twonn.warnings == ("high estimates are biased low at 20 points",)
    assert intrinsic_dimension(ball(500, 2, 3)).twonn.warnings == ()


def test_classes_are_measured_as_if_alone() -> None:
    rng = np.random.default_rng(8)
    points, labels = rng.normal(size=(260, 50)).astype(np.float32), np.arange(260) % 2
    points[labels == 1, 4:] = 0
    result = dimensions(points, labels, 3)
    for label in (0, 1):
        alone = intrinsic_dimension(points[labels == label])
        assert result.classes[label].twonn.value == pytest.approx(alone.twonn.value, rel=1e-5)
        assert result.classes[label].pca_99 == alone.pca_99
    assert result.all.points == 260
    assert result.classes[2].twonn.reason == "needs 10 or more distinct points, got 0"
    given = dimensions(points, labels, 3, distances=distance_matrix(points))
    assert dataclasses.astuple(given.all.twonn) == dataclasses.astuple(result.all.twonn)


def test_a_class_with_nan_leaves_the_others_alone() -> None:
    points = np.random.default_rng(9).normal(size=(60, 5))
    points[3, 2] = np.nan
    result = dimensions(points, np.repeat([0, 1], 30), 2)
    assert result.all.twonn.value is result.classes[0].twonn.value is None
    assert result.classes[1].twonn.value is not None

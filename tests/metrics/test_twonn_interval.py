"""TwoNN with its interval, without a loop: against the estimator that does everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from core.metrics import intervals
from core.metrics.intrinsic_dimension import intrinsic_dimension, twonn
from core.metrics.neighbours import distance_matrix, nearest_in
from core.metrics.twonn_interval import participation_ratio, twonn_estimate


@pytest.mark.parametrize("shape", [(600, 64), (120, 3), (40, 200), (10, 2)])
def test_the_numbers_are_those_of_the_whole_estimator(shape: tuple[int, int]) -> None:
    points = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    whole = intrinsic_dimension(points, seed=3, decimation=False)
    found = twonn_estimate(points, seed=3)
    assert found.value == pytest.approx(whole.twonn.value, rel=1e-12)
    assert found.low == pytest.approx(whole.twonn.low, rel=1e-9)
    assert found.high == pytest.approx(whole.twonn.high, rel=1e-9)
    assert participation_ratio(points) == pytest.approx(whole.participation_ratio, rel=1e-6)


def test_the_interval_is_that_of_a_plain_loop() -> None:
    points = np.random.default_rng(1).uniform(size=(200, 4))
    replicates = []
    for mask in intervals.subsets(len(points), 50, np.random.default_rng(7)):
        near = nearest_in(distance_matrix(points[mask]), 2).distances
        replicates.append(twonn(near[:, 1] / near[:, 0]))
    found = twonn_estimate(points, seed=7)
    assert found.value is not None
    low, high = intervals.jackknife(found.value, np.array(replicates), len(points))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_the_dimension_of_a_cube() -> None:
    flat = np.random.default_rng(0).uniform(size=(1000, 3)) @ np.eye(3, 20)
    found = twonn_estimate(flat)
    assert found.value == pytest.approx(3, abs=0.3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 3 < found.high


def test_copies_are_left_out() -> None:
    points = np.random.default_rng(2).standard_normal((50, 5))
    assert twonn_estimate(np.concatenate([points, points])).value == twonn_estimate(points).value


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((50, 4)), "distinct"),
        (np.random.default_rng(0).standard_normal((9, 4)), "distinct"),
        (np.full((50, 4), np.nan), "NaN"),
        (np.eye(50), "equally far"),
    ],
)
def test_what_is_undefined_says_why(points: np.ndarray, reason: str) -> None:
    found = twonn_estimate(points)
    assert found.value is None
    assert reason in (found.reason or "")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_turning_and_scaling_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((60, 6))
    turned = scale * points @ np.linalg.qr(rng.standard_normal((6, 6)))[0] + 5
    a, b = twonn_estimate(points), twonn_estimate(turned)
    assert b.value == pytest.approx(a.value, rel=1e-6)
    assert b.low == pytest.approx(a.low, rel=1e-6)
    assert participation_ratio(turned) == pytest.approx(participation_ratio(points), rel=1e-6)


def test_the_participation_ratio_is_that_of_the_spectrum() -> None:
    wide = np.random.default_rng(4).standard_normal((20, 70)) * np.linspace(0.1, 3, 70)
    for points in (wide, wide.T):
        share = PCA().fit(points).explained_variance_ratio_
        assert participation_ratio(points) == pytest.approx(1 / np.square(share).sum(), rel=1e-9)
    assert participation_ratio(np.diag([1.0] * 4)) == pytest.approx(3)
    assert participation_ratio(np.ones((5, 3))) is None

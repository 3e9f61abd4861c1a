import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.metrics import dimension_curves as module
from core.metrics.dimension_curves import curve_neighbours, estimates_over_k, mle_curve, ratio_plot
from core.metrics.intervals import jackknife, subsets
from core.metrics.intrinsic_dimension import DISCARD, dimensions, intrinsic_dimension, mle
from core.metrics.neighbours import nearest


def cloud(n: int = 300, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_neighbours_of_the_curve_are_spaced_evenly_in_their_logarithm() -> None:
    ks = curve_neighbours(2000, 20)
    assert (ks[0], ks[-1]) == (5, 100)
    assert len(ks) == module.STEPS
    assert 20 in ks
    steps = np.diff(np.log(ks))
    assert steps.max() < 2.5 * steps.min()


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 3000), st.integers(2, 60))
def test_the_curve_holds_k_and_what_every_subset_has(points: int, k: int) -> None:
    used = min(k, round(0.8 * points) - 1)
    ks = curve_neighbours(points, used)
    assert used in ks
    assert np.all(np.diff(ks) > 0)
    assert ks[-1] < round(0.8 * points)
    assert ks[0] >= 2


def test_all_k_at_once_equal_one_k_at_a_time() -> None:
    distances = nearest(cloud(), 100).distances
    ks = np.array([2, 3, 5, 20, 64, 100])
    expected = [mle(distances, int(k)) for k in ks]
    assert estimates_over_k(distances, ks) == pytest.approx(expected, rel=1e-12)


def test_geometric_distances_in_closed_form() -> None:
    # T_j = a^j: 1/m_k = log(a) k/2
    distances = np.tile(1.1 ** np.arange(1.0, 41.0), (3, 1))
    ks = np.array([2, 10, 40])
    assert estimates_over_k(distances, ks) == pytest.approx(2 / (ks * np.log(1.1)))


def test_the_curve_at_twenty_is_the_estimate_with_its_interval() -> None:
    result = intrinsic_dimension(cloud())
    curve = result.mle_curve
    at = curve.neighbours.tolist().index(20)
    assert curve.values[at] == pytest.approx(result.mle.value, rel=1e-12)
    assert (curve.low[at], curve.high[at]) == pytest.approx((result.mle.low, result.mle.high))
    assert np.all(curve.low < curve.values)
    assert np.all(curve.values < curve.high)


def test_intervals_equal_those_of_searching_every_subset() -> None:
    points = cloud(150)
    curve = intrinsic_dimension(points, subsets=8).mle_curve
    for i, k in enumerate(curve.neighbours):
        values = [
            mle(nearest(points[mask], int(k)).distances, int(k))
            for mask in subsets(150, 8, np.random.default_rng(0))
        ]
        expected = jackknife(curve.values[i], np.array(values), 150)
        assert (curve.low[i], curve.high[i]) == pytest.approx(expected, rel=1e-6)


def test_equal_distances_leave_a_gap_in_the_curve() -> None:
    distances = np.concatenate([np.ones((20, 5)), np.full((20, 5), 2.0)], axis=1)
    curve = mle_curve(distances, np.array([5, 10]), np.full((4, 2), np.nan))
    assert np.isnan(curve.values[0])
    assert curve.values[1] > 0
    assert np.isnan(curve.low).all()


@pytest.mark.parametrize("n", [40, 300, 1500])
def test_the_line_through_the_plotted_points_has_the_slope_of_twonn(n: int) -> None:
    result = intrinsic_dimension(cloud(n))
    plot = result.ratio_plot
    used = plot.log_ratio <= plot.limit
    x, y = plot.log_ratio[used], plot.log_survival[used]
    assert (x @ y) / (x @ x) == pytest.approx(result.twonn.value, rel=1e-9 if n <= 120 else 0.02)
    assert len(plot.log_ratio) <= module.DRAWN
    assert plot.limit in plot.log_ratio
    assert 1 - used.mean() == pytest.approx(DISCARD, abs=0.03)


def test_points_of_an_exact_pareto_lie_on_their_line() -> None:
    n, d = 400, 5
    survival = 1 - np.arange(1, n + 1) / n
    survival[-1] = 1e-6  # the largest ratio is not drawn
    distances = np.column_stack([np.ones(n), survival ** (-1 / d)])
    plot = ratio_plot(distances, DISCARD)
    assert plot.log_survival == pytest.approx(d * plot.log_ratio)
    assert plot.limit == pytest.approx(np.log(10) / d)


def test_every_class_has_its_curves() -> None:
    points, labels = cloud(400), np.arange(400) % 4
    scoped = dimensions(points, labels, 4)
    alone = intrinsic_dimension(points[labels == 2])
    assert scoped.classes[2].mle_curve.values == pytest.approx(alone.mle_curve.values)
    assert scoped.classes[2].ratio_plot.limit == pytest.approx(alone.ratio_plot.limit)
    assert scoped.classes[2].mle_curve.neighbours[-1] == 79


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1e3]))
def test_isometry_and_scale_change_no_curve(seed: int, factor: float) -> None:
    points = cloud(120, 4)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(9, 4)))[0]
    still, moved = (
        intrinsic_dimension(p, subsets=5) for p in (points, factor * points @ rotation.T)
    )
    assert moved.mle_curve.values == pytest.approx(still.mle_curve.values, rel=1e-6)
    assert moved.ratio_plot.log_ratio == pytest.approx(still.ratio_plot.log_ratio, rel=1e-5)


def test_nothing_to_draw_without_estimates() -> None:
    few = intrinsic_dimension(cloud(5))
    assert few.mle_curve is None
    assert few.ratio_plot is None

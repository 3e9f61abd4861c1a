import numpy as np
import pytest
import skdim
from hypothesis import given, settings
from hypothesis import strategies as st

from core.metrics.dimension_references import SHAPES, references, true_dimension
from core.metrics.intrinsic_dimension import mle, twonn
from core.metrics.neighbours import nearest
from scripts.dimension_references import DIMENSIONS, readings, sample


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dimension", [2, 10, 50])
def test_a_fresh_simulation_lies_within_the_spread(shape: str, dimension: int) -> None:
    known = references(500, shape)
    at = DIMENSIONS.index(dimension)
    generator = np.random.default_rng([99, dimension])
    found = readings(sample(shape, 500, dimension, generator))
    for name, value in zip(("twonn", "mle"), found, strict=True):
        mean, sd = getattr(known, name)[at], getattr(known, f"{name}_sd")[at]
        assert abs(value - mean) < 4 * sd


@pytest.mark.parametrize(
    ("shape", "dimension", "published"), [("sphere", 10, 9.3), ("cube", 20, 14.8), ("cube", 70, 40)]
)
def test_twonn_at_2500_points_reads_what_is_known(
    shape: str, dimension: int, published: float
) -> None:
    known = references(2500, shape)
    assert known.twonn[DIMENSIONS.index(dimension)] == pytest.approx(published, rel=0.06)


def test_scikit_dimension_reads_the_same() -> None:
    points = np.random.default_rng(5).random((500, 15))
    known = references(500)
    at = DIMENSIONS.index(15)
    value = skdim.id.TwoNN().fit(points).dimension_
    assert abs(value - known.twonn[at]) < 4 * known.twonn_sd[at]


def test_low_dimensions_are_read_right_and_high_ones_low() -> None:
    for shape in SHAPES:
        known = references(5000, shape)
        assert known.twonn[:3] == pytest.approx([1, 2, 3], rel=0.04)
        assert np.all(known.twonn[5:] < known.dimensions[5:])
        assert np.all(np.diff(known.twonn) > 0)


def test_between_tabulated_sizes_log_n_is_interpolated() -> None:
    low, middle, high = (references(n).mle for n in (500, round(np.sqrt(500 * 1000)), 1000))
    assert middle == pytest.approx((low + high) / 2, rel=1e-3)
    assert references(20).twonn == pytest.approx(references(50).twonn)
    assert references(10**6).twonn == pytest.approx(references(5000).twonn)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(50, 5000),
    st.floats(1.5, 90),
    st.sampled_from(("twonn", "mle")),
    st.sampled_from(SHAPES),
)
def test_the_inverse_undoes_the_table(points: int, truth: float, name: str, shape: str) -> None:
    known = references(points, shape)
    reading = float(np.interp(truth, known.dimensions, getattr(known, name)))
    value, low, high = true_dimension(reading, points, name, shape)
    assert value == pytest.approx(truth, rel=1e-6)
    assert low <= value <= high


def test_outside_the_table_there_is_no_answer() -> None:
    assert true_dimension(500.0, 1000) is None
    assert true_dimension(0.1, 1000) is None


def test_samples_have_their_shape() -> None:
    generator = np.random.default_rng(0)
    sphere = sample("sphere", 30, 4, generator)
    assert sphere.shape == (30, 5)
    assert np.linalg.norm(sphere, axis=1) == pytest.approx(np.ones(30))
    cube = sample("cube", 30, 4, generator)
    assert cube.shape == (30, 4)
    assert 0 <= cube.min() < cube.max() <= 1


def test_readings_are_the_estimators() -> None:
    points = np.random.default_rng(1).random((60, 3))
    distances = nearest(points, 20).distances
    assert readings(points) == (
        twonn(distances[:, 1] / distances[:, 0]),
        mle(distances, 20),
    )

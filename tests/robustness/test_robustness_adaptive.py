"""λ chosen from the reconstruction error: the line, and the best setting under noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.robustness.adaptive import best_setting, fit_line

VALUES = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5])


def images_right(shares: list[float], count: int = 1000) -> np.ndarray:
    """(M, N): the first of the images are the easy ones, at every setting."""
    return np.arange(count) < count * np.array(shares)[:, None]


def test_a_clear_peak_is_found() -> None:
    assert best_setting(images_right([0.2, 0.4, 0.8, 0.6, 0.3, 0.1]), VALUES) == 0.2


def test_a_plateau_has_its_mean_as_its_best() -> None:
    assert best_setting(images_right([0.2, 0.8, 0.8, 0.8, 0.3, 0.1]), VALUES) == pytest.approx(0.2)
    # settings that are as good as the best one up to chance count with it: 3 images ≤ 2 √3
    near = images_right([0.2, 0.8, 0.797, 0.797, 0.3, 0.1])
    assert best_setting(near, VALUES) == pytest.approx(0.2)
    # 5 images > 2 √5
    assert best_setting(images_right([0.2, 0.8, 0.795, 0.795, 0.3, 0.1]), VALUES) == 0.1


def test_a_difference_counts_by_the_images_that_differ() -> None:
    """12 images of 1000 in favour are clear where none speaks against them (12 > 2 √12), and are
    not where 212 change sides (12 < 2 √212)."""
    first = np.arange(1000) < 500
    clear = np.stack([first, np.arange(1000) < 512])
    assert best_setting(clear, np.array([0.0, 1.0])) == 1.0
    other = first.copy()
    other[:100], other[500:612] = False, True  # 100 against, 112 for
    assert best_setting(np.stack([first, other]), np.array([0.0, 1.0])) == 0.5


def test_where_nothing_is_right_all_settings_are_equal() -> None:
    nothing = np.zeros((6, 50), dtype=bool)
    assert best_setting(nothing, VALUES) == pytest.approx(VALUES.mean())


def test_chance_does_not_move_the_best_setting_to_an_end() -> None:
    """A wide parabola, 500 images: the most accurate setting alone wanders three times as far."""
    rng = np.random.default_rng(0)
    values = np.linspace(0, 1, 21)
    truth = 0.7 - 0.2 * (values - 0.5) ** 2
    ours, plain = np.zeros(200), np.zeros(200)
    for i in range(200):
        hard = rng.random(500)
        right = (hard < truth[:, None]) ^ (rng.random((21, 500)) < 0.03)
        ours[i] = best_setting(right, values)
        plain[i] = values[right.sum(1).argmax()]
    assert np.square(ours - 0.5).mean() < np.square(plain - 0.5).mean() / 4


@given(
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True),
)
def test_a_perfect_line_is_recovered(slope: float, intercept: float, places: list[int]) -> None:
    errors = np.array(places) / 100
    line = fit_line(errors, intercept + slope * errors)
    assert line.slope == pytest.approx(slope, abs=1e-8)
    assert line.intercept == pytest.approx(intercept, abs=1e-8)


def test_as_scipy_fits_it() -> None:
    rng = np.random.default_rng(1)
    errors = rng.random(30)
    best = 0.3 + 0.8 * errors + 0.1 * rng.normal(size=30)
    line, theirs = fit_line(errors, best), stats.linregress(errors, best)
    assert line.slope == pytest.approx(theirs.slope)
    assert line.intercept == pytest.approx(theirs.intercept)
    assert line.r2 == pytest.approx(theirs.rvalue**2)


def test_what_does_not_vary_has_a_level_line() -> None:
    level = fit_line(np.array([0.1, 0.2, 0.3]), np.full(3, 0.1))
    assert level.slope == pytest.approx(0.0, abs=1e-12)
    assert level.r2 is None
    assert level.intercept == pytest.approx(0.1)
    one_error = fit_line(np.full(3, 0.2), np.array([0.1, 0.2, 0.6]))
    assert (one_error.slope, one_error.r2) == (0.0, pytest.approx(0.0))
    assert one_error.intercept == pytest.approx(0.3)


def test_lambda_stays_within_the_settings_that_were_tried() -> None:
    line = fit_line(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert line.at(np.array([-1.0, 0.0, 0.3, 9.0]), VALUES).tolist() == [0.05, 0.05, 0.3, 0.5]

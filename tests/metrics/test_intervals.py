import numpy as np
import pytest

from core.metrics.intervals import jackknife, subsets


def test_subsets_hold_four_fifths_and_follow_the_seed() -> None:
    first, again = (list(subsets(103, 5, np.random.default_rng(0))) for _ in range(2))
    assert [mask.sum() for mask in first] == [82] * 5
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


def test_jackknife_of_the_mean_is_the_textbook_interval() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=400)
    replicates = np.array([values[mask].mean() for mask in subsets(400, 3000, rng)])
    low, high = jackknife(values.mean(), replicates, 400)
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_equal_replicates_give_no_width() -> None:
    assert jackknife(3.0, np.full(50, 2.0), 10) == (3.0, 3.0)

"""Reliability and expected calibration error: closed forms, a naive loop, properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metrics.calibration import ece, reliability
from core.robustness.results import BINS, Reliability

IMAGES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_closed_form() -> None:
    # ten images at 0.9, of which 6 are right; ten at 0.5, of which 5 are right
    confidence = np.repeat([0.9, 0.5], 10)
    right = np.concatenate([np.arange(10) < 6, np.arange(10) < 5])
    assert ece(reliability(confidence, right)) == pytest.approx(0.5 * 0.3 + 0.5 * 0.0)


def test_two_wrongs_of_opposite_sign_cancel_inside_a_bin_only() -> None:
    same = reliability(np.array([0.51, 0.53]), np.array([True, False]))  # one bin of 15
    assert ece(same) == pytest.approx(abs(0.5 - 0.52))
    apart = reliability(np.array([0.2, 0.8]), np.array([True, False]))
    assert ece(apart) == pytest.approx(0.8)


def test_bins_are_closed_on_the_right() -> None:
    table = reliability(np.array([0.0, 1 / 15, 0.0667, 1.0]), np.ones(4))
    assert table.counts[[0, 1, 14]].tolist() == [2, 1, 1]
    assert np.isnan(table.accuracy[2])
    assert np.isnan(table.confidence[2])


def naive(confidence: list[float], right: list[bool]) -> float:
    """Guo et al. 2017, equations 2 and 3, image by image."""
    total = 0.0
    for m in range(1, BINS + 1):
        inside = [
            i
            for i, p in enumerate(confidence)
            if (m - 1) / BINS < p <= m / BINS or (m == 1 and p == 0)
        ]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=60))
def test_as_an_independent_loop_has_it(images: list[tuple[int, bool]]) -> None:
    # off the bins' borders, where a rounding decides
    confidence = [(i + 0.37) / 1001 for i, _ in images]
    right = [r for _, r in images]
    assert ece(reliability(np.array(confidence), np.array(right))) == pytest.approx(
        naive(confidence, right), abs=1e-12
    )


@given(IMAGES)
def test_it_counts_every_image_and_keeps_its_bounds(
    images: list[tuple[float, bool]],
) -> None:
    confidence, right = np.array([p for p, _ in images]), np.array([r for _, r in images])
    table = reliability(confidence, right)
    error = ece(table)
    assert table.counts.sum() == len(images)
    assert error is not None
    # no finer than one bin, and no coarser than image by image
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= error
    assert error <= np.abs(confidence - right).mean() + 1e-9


@given(IMAGES, st.randoms())
def test_the_order_of_the_images_does_not_matter(images: list, random) -> None:
    mixed = list(images)
    random.shuffle(mixed)
    first, second = (
        ece(reliability(np.array([p for p, _ in i]), np.array([r for _, r in i])))
        for i in (images, mixed)
    )
    assert first == pytest.approx(second, abs=1e-12)


def test_a_network_that_draws_its_answers_from_its_confidence_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    assert ece(reliability(confidence, rng.random(200_000) < confidence)) < 0.01


def test_nothing_is_undefined_rather_than_perfect() -> None:
    empty = np.full(BINS, np.nan)
    assert ece(Reliability(np.zeros(BINS, dtype=int), empty, empty)) is None
    assert ece(reliability(np.array([]), np.array([]))) is None


@pytest.mark.parametrize("wrong", [[1.1], [-0.1], [np.nan]])
def test_what_is_no_probability_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability(np.array(wrong), np.array([True]))
    with pytest.raises(ValueError, match="shapes"):
        reliability(np.array([0.5]), np.array([True, False]))

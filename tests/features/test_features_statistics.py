"""Streaming class statistics against the two-pass moments of all features, and over any split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.features.statistics import WIDE, ClassStatistics, ProjectedStatistics, nearest_class
from core.metrics.moments import class_moments


def _features(n: int, d: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    means = 3 * rng.normal(size=(classes, d))
    return (means[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


def _stream(
    features: np.ndarray, labels: np.ndarray, classes: int, cuts: list[int]
) -> ProjectedStatistics:
    """Each piece in its own accumulator, merged from the right."""
    pieces = np.split(np.arange(len(features)), sorted(cuts))
    firsts = [
        ClassStatistics(classes, features.shape[1]).update(torch.from_numpy(features[i]), labels[i])
        for i in pieces
    ]
    first = firsts.pop()
    while firsts:
        first = firsts.pop().merge(first)
    means = first.compute()
    seconds = [
        ProjectedStatistics(means).update(torch.from_numpy(features[i]), labels[i]) for i in pieces
    ]
    second = seconds.pop()
    while seconds:
        second = seconds.pop().merge(second)
    return second


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), seed=st.integers(0, 100))
def test_any_split_gives_the_moments_of_all_features(cuts: list[int], seed: int) -> None:
    features, labels = _features(60, 7, 4, seed)
    expected = class_moments(features, labels, 4)
    got = _stream(features, labels, 4, cuts).compute()
    np.testing.assert_array_equal(got.counts, expected.counts)
    np.testing.assert_allclose(got.means, expected.means, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got.within_trace, expected.within_trace, rtol=1e-6)
    spread = got.basis.T @ got.within_class @ got.basis  # the basis may turn: compare in R^d
    np.testing.assert_allclose(
        spread, expected.basis.T @ expected.within_class @ expected.basis, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        np.trace(got.within_sample), np.trace(expected.within_sample), rtol=1e-6
    )


def test_wide_features_agree_in_float32() -> None:
    features, labels = _features(50, WIDE, 3, 0)
    expected = class_moments(features, labels, 3)
    got = _stream(features, labels, 3, [13, 30]).compute()
    np.testing.assert_allclose(got.means, expected.means, atol=1e-6)
    np.testing.assert_allclose(got.within_trace, expected.within_trace, rtol=1e-5)
    np.testing.assert_allclose(
        np.trace(got.within_class), np.trace(expected.within_class), rtol=1e-4
    )


def test_large_means_keep_small_spread() -> None:
    rng = np.random.default_rng(0)
    features = (1e3 + 1e-1 * rng.normal(size=(4000, 3))).astype(np.float32)
    labels = np.repeat([0, 1], 2000)
    got = _stream(features, labels, 2, list(range(0, 4000, 100))).compute()
    exact = features.astype(np.float64)
    expected = [exact[labels == k].var(axis=0).sum() for k in (0, 1)]
    np.testing.assert_allclose(got.within_trace, expected, rtol=1e-6)


def test_empty_class_is_nan_and_never_nearest() -> None:
    features, labels = _features(30, 5, 2, 1)
    second = _stream(features, labels, 3, [])
    moments = second.compute()
    assert np.isnan(moments.means[2]).all()
    assert np.isnan(moments.within_trace[2])
    assert second.ncc_accuracy is not None
    assert second.ncc_accuracy > 0.9


def test_nearest_class_in_the_span_is_the_nearest_in_full_space() -> None:
    features, labels = _features(80, 6, 4, 2)
    moments = class_moments(features, labels, 4)
    coordinates = (features - moments.global_mean) @ moments.basis.T
    distances = np.linalg.norm(features[:, None] - moments.means, axis=2)
    np.testing.assert_array_equal(
        nearest_class(coordinates, moments.mean_coordinates), distances.argmin(1)
    )


def test_second_looks_around_different_means_do_not_merge() -> None:
    features, labels = _features(20, 3, 2, 3)
    other = _stream(features + 1, labels, 2, [])
    with pytest.raises(ValueError, match="different means"):
        _stream(features, labels, 2, []).merge(other)

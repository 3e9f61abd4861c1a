"""Class moments against numpy's covariances, at the edges, and under moves of the features."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from collapse_oracle import blobs, collapsed, textbook
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.metrics.moments import class_moments, moment_warnings, span_of_means


@pytest.mark.parametrize(
    ("classes", "dimension", "sizes"),
    [(5, 12, [40] * 5), (4, 9, [3, 50, 17, 80]), (8, 3, [30] * 8), (2, 1, [10, 20])],
)
def test_moments_agree_with_the_textbook_matrices(classes, dimension, sizes):
    features, labels = blobs(0, classes, dimension, sizes)
    moments = class_moments(features, labels, classes)
    expected = textbook(features, labels)
    basis = moments.basis
    assert basis.shape == (min(classes - 1, dimension), dimension)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
    np.testing.assert_array_equal(moments.counts, sizes)
    np.testing.assert_allclose(moments.means, expected["means"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.within_trace, expected["traces"], rtol=1e-10)
    for name, found in (("within", moments.within_class), ("ssw", moments.within_sample)):
        np.testing.assert_allclose(found, basis @ expected[name] @ basis.T, atol=1e-10)


def test_the_basis_loses_nothing_of_the_centred_means():
    features, labels = blobs(1, 6, 20, [30] * 6)
    moments = class_moments(features, labels, 6)
    centred = moments.means - moments.global_mean
    np.testing.assert_allclose(moments.mean_coordinates @ moments.basis, centred, atol=1e-12)


def test_exact_covariance_is_found_exactly():
    features, labels, means = collapsed(7, sigma=0.2, dimension=11)
    moments = class_moments(features, labels, 7)
    np.testing.assert_allclose(moments.means, means, atol=1e-14)
    np.testing.assert_allclose(moments.within_class, 0.04 * np.eye(6), atol=1e-14)
    np.testing.assert_allclose(moments.within_trace, np.full(7, 0.04 * 6), rtol=1e-12)


def test_small_classes_weigh_as_much_as_large_ones_in_within_class_only():
    features = np.array([[0.0], [2.0], *[[10.0 - 3], [10.0 + 3]] * 9])
    labels = np.array([0, 0, *[1] * 18])
    moments = class_moments(features, labels, 2)
    assert moments.within_class == pytest.approx(np.array([[(1 + 9) / 2]]))
    assert moments.within_sample == pytest.approx(np.array([[(2 * 1 + 18 * 9) / 20]]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), offset=st.floats(-1e4, 1e4), scale=st.floats(1e-3, 1e3))
def test_spread_ignores_translation_and_follows_scale_and_order(seed, offset, scale):
    features, labels = blobs(seed, 3, 5, [8, 12, 9])
    order = np.random.default_rng(seed).permutation(len(labels))
    before = class_moments(features, labels, 3)
    after = class_moments(scale * (features + offset)[order], labels[order], 3)
    np.testing.assert_allclose(after.within_trace, scale**2 * before.within_trace, rtol=1e-6)
    np.testing.assert_allclose(
        np.trace(after.within_class), scale**2 * np.trace(before.within_class), rtol=1e-6
    )


def test_directions_that_are_only_rounding_error_are_left_out():
    rng = np.random.default_rng(0)
    labels = np.arange(2000) % 10
    plane = rng.normal(size=(2, 64))  # a bottleneck two units wide
    means = 3 * rng.normal(size=(10, 2))
    features = (means[labels] + rng.normal(size=(2000, 2))) @ plane + 5
    assert class_moments(features.astype(np.float32), labels, 10).basis.shape == (2, 64)
    assert class_moments(features, labels, 10).basis.shape == (2, 64)


def test_directions_far_smaller_than_the_largest_are_kept():
    means = np.array([[1.0, 0, 0], [-1, 1e-4, 0], [0, -1e-4, 1e-4], [0, 0, -1e-4]])
    assert len(span_of_means(means, np.ones(4))) == 3


def test_empty_classes_are_nan_and_change_nothing_for_the_others():
    features, labels = blobs(2, 4, 6, [20] * 4)
    few = class_moments(features, labels, 4)
    spread_out = class_moments(features, labels + 1 + (labels > 1), 6)
    np.testing.assert_array_equal(spread_out.present, [False, True, True, False, True, True])
    assert np.isnan(spread_out.means[[0, 3]]).all()
    assert np.isnan(spread_out.within_trace[[0, 3]]).all()
    np.testing.assert_allclose(spread_out.within_class, few.within_class)
    np.testing.assert_allclose(spread_out.within_sample, few.within_sample)
    np.testing.assert_allclose(spread_out.mean_coordinates[[1, 2, 4, 5]], few.mean_coordinates)


def test_warnings_name_the_classes():
    features = np.arange(8.0).reshape(4, 2)
    moments = class_moments(features, np.array([0, 0, 2, 2]), 4)
    (warning,) = moment_warnings(moments, ("cat", "dog", "owl", "fox"))
    assert "dog, fox" in warning
    moments = class_moments(features, np.array([0, 1, 1, 1]), 2)
    assert "one sample of class 0" in moment_warnings(moments)[0]
    assert moment_warnings(class_moments(features, np.array([0, 0, 1, 1]), 2)) == ()
    many = class_moments(features, np.array([0, 0, 1, 1]), 20)
    assert "and 13 more" in moment_warnings(many)[0]


@pytest.mark.parametrize(("labels", "classes"), [([0, 0, 0], 1), ([1, 1, 1], 2)])
def test_one_class_has_no_directions(labels, classes):
    moments = class_moments(np.eye(3), np.array(labels), classes)
    assert moments.basis.shape == (0, 3)
    assert moments.within_class.shape == (0, 0)


def test_no_samples_at_all():
    moments = class_moments(np.zeros((0, 3)), np.zeros(0, dtype=int), 2)
    assert not moments.present.any()
    assert moments.basis.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, np.uint8])
def test_other_types_are_summed_in_float64(dtype):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 200, size=(20_000, 3)).astype(dtype)
    labels = np.arange(20_000, dtype=np.uint8) % 2
    moments = class_moments(features, labels, 2)
    expected = features[::2].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(moments.means[0], expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((3, 2, 2)), np.zeros(3, int), r"\(N, d\), got shape \(3, 2, 2\)"),
        (np.array([["a"], ["b"]]), np.zeros(2, int), "table of numbers"),
        (np.zeros((3, 2)), np.zeros(2, int), "one label per feature vector: got 3"),
        (np.zeros((3, 2)), np.zeros(3), "whole numbers"),
        (np.zeros((3, 2)), np.array([0, 1, 5]), "0 … 1 for 2 classes, got 0 … 5"),
        (np.zeros((3, 2)), np.array([0, 1, -1]), "got -1 … 1"),
        (np.array([[0, np.nan], [1, 2], [np.inf, 0]]), np.array([0, 1, 1]), "2 of 3 feature"),
    ],
)
def test_what_does_not_fit_is_named(features, labels, message):
    with pytest.raises(UserError, match=message):
        class_moments(features, labels, 2)


def test_no_float64_copy_of_all_features_is_made():
    features = np.ones((20_000, 256), dtype=np.float32)
    labels = np.arange(20_000) % 10
    tracemalloc.start()
    class_moments(features, labels, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < features.nbytes / 2

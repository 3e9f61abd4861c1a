"""Principal components and coordinates among the class means."""

from __future__ import annotations

import numpy as np
import pytest
from collapse_oracle import blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from core.metrics.collapse import class_geometry
from core.metrics.moments import class_moments
from core.metrics.projection import MOST_DIRECTIONS, projection

STORED = 1.3e-4  # relative rounding of what pictures store


@pytest.mark.parametrize(("dimension", "size"), [(15, 20), (300, 10), (4, 10)])
def test_agrees_with_scikit_learn(dimension, size):
    features, labels = blobs(0, 5, dimension, [size] * 5)
    moments = class_moments(features, labels, 5)
    found = projection(features, moments, components=6)
    kept = min(6, dimension)
    pca = PCA(kept, svd_solver="full").fit(features)
    assert found.pca.shape == (5 * size, kept)
    np.testing.assert_allclose(found.explained, pca.explained_variance_ratio_, rtol=1e-4)
    scores = pca.transform(features)
    signs = np.sign((scores * found.pca).sum(axis=0))
    np.testing.assert_allclose(found.pca, scores * signs, rtol=STORED, atol=1e-4)
    np.testing.assert_allclose(found.pca_means, pca.transform(moments.means) * signs, atol=1e-4)


def test_a_plane_has_two_components_and_nothing_more():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(60, 2)) * [3, 1]
    frame = np.linalg.qr(rng.normal(size=(200, 2)))[0]
    labels = np.arange(60) % 3
    for width in (200, 40):  # more features than samples, and fewer
        features = plane @ frame[:width].T
        found = projection(features, class_moments(features, labels, 3), components=5)
        assert found.explained[:2].sum() == pytest.approx(1)
        np.testing.assert_allclose(found.explained[2:], 0, atol=1e-6)
        np.testing.assert_allclose(found.pca[:, 2:], 0, atol=1e-5)


def test_means_span_keeps_distances_to_the_means_within_their_span():
    features, labels = blobs(2, 4, 30, [15] * 4)
    moments = class_moments(features, labels, 4)
    found = projection(features, moments)
    geometry = class_geometry(moments)
    np.testing.assert_allclose(
        [found.means_span[labels == k].mean(axis=0) for k in range(4)],
        geometry.mean_coordinates,
        rtol=STORED,
        atol=1e-4,
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), offset=st.floats(-50, 50))
def test_the_picture_is_the_same_after_a_translation_or_another_order(seed, offset):
    features, labels = blobs(seed, 3, 6, [12] * 3)
    order = np.random.default_rng(seed).permutation(36)
    before = projection(features, class_moments(features, labels, 3), components=3)
    moved = (features + offset)[order]
    after = projection(moved, class_moments(moved, labels[order], 3), components=3)
    np.testing.assert_allclose(after.pca, before.pca[order], atol=1e-3)
    np.testing.assert_allclose(after.explained, before.explained, rtol=1e-4)


def test_at_the_edges():
    labels = np.array([0, 1, 2])
    points = np.ones((3, 2))
    found = projection(points, class_moments(points, labels, 3))
    assert np.isnan(found.explained).all()
    np.testing.assert_array_equal(found.pca, np.zeros((3, 2)))
    assert found.means_span.shape == (3, 0)
    missing = projection(np.eye(3), class_moments(np.eye(3), labels, 4))
    assert np.isnan(missing.pca_means[3]).all()
    assert np.isfinite(missing.pca_means[:3]).all()


def test_many_classes_are_stored_in_the_directions_of_largest_spread():
    features, labels = blobs(3, 130, 140, [2] * 130)
    found = projection(features, class_moments(features, labels, 130))
    assert found.means_span.shape == (260, MOST_DIRECTIONS)
    assert found.pca.dtype == np.float32

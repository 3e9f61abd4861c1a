"""Cosines, angles, norms and order of class means, as pages use them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from collapse_oracle import simplex
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from core.metrics.geometry import (
    alignment,
    angles_degrees,
    cluster_order,
    cosines,
    norms,
    pair_angles_degrees,
    simplex_cosine,
)
from core.results import ClassGeometry


def _geometry(means, classifier=None):
    means = np.asarray(means, dtype=np.float64)
    rows = None if classifier is None else np.asarray(classifier, dtype=np.float64)
    return ClassGeometry(
        counts=np.ones(len(means), dtype=int),
        mean_coordinates=means,
        within_trace=np.zeros(len(means)),
        classifier_coordinates=rows,
        classifier_gram=None if rows is None else rows @ rows.T,
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_simplex_has_the_angles_of_a_simplex(classes):
    geometry = _geometry(5 * simplex(classes), simplex(classes))
    target = simplex_cosine(classes)
    for of in ("means", "classifier"):
        matrix = cosines(geometry, of)
        np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-12)
        np.testing.assert_allclose(matrix[~np.eye(classes, dtype=bool)], target, atol=1e-12)
        angles = pair_angles_degrees(geometry, of)
        assert len(angles) == classes * (classes - 1) // 2
        np.testing.assert_allclose(angles, np.degrees(np.arccos(target)), atol=1e-5)
    np.testing.assert_allclose(norms(geometry), 5)
    np.testing.assert_allclose(norms(geometry, "classifier"), 1)
    np.testing.assert_allclose(np.diag(alignment(geometry)), 1)


def test_two_opposite_means_are_clipped_before_the_arccos():
    mean = np.array([0.1, 0.3, 0.7])
    for scale in np.linspace(0.1, 10, 50):  # rounding takes some of these cosines below -1
        angles = pair_angles_degrees(_geometry([scale * mean, -mean]))
        np.testing.assert_allclose(angles, [180.0], atol=1e-5)
    assert angles_degrees(np.array([-1.0000001, 1.0000001])).tolist() == [180.0, 0.0]


def test_what_has_no_direction_is_nan_and_left_out_of_the_pairs():
    geometry = _geometry([[1, 0], [0, 0], [np.nan, np.nan], [0, 2]])
    matrix = cosines(geometry)
    assert np.isnan(matrix[1:3]).all()
    assert pair_angles_degrees(geometry).tolist() == [90.0]
    assert cluster_order(matrix).tolist() == [0, 3, 1, 2]


def test_one_class():
    assert simplex_cosine(1) is None
    assert pair_angles_degrees(_geometry([[1.0, 0.0]])).size == 0
    assert cluster_order(np.array([[1.0]])).tolist() == [0]
    assert np.isnan(cosines(_geometry(np.zeros((1, 0))))).all()


def test_a_geometry_without_classifier_says_so():
    for function in (alignment, lambda g: cosines(g, "classifier")):
        with pytest.raises(ValueError, match="no classifier"):
            function(_geometry(np.eye(3)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 40))
def test_the_order_is_the_one_of_scipy(seed, classes):
    vectors = np.random.default_rng(seed).normal(size=(classes, 5))
    matrix = cosines(_geometry(vectors))
    distance = 1 - (matrix + matrix.T) / 2
    np.fill_diagonal(distance, 0)
    expected = leaves_list(linkage(squareform(distance), "average"))
    assert cluster_order(matrix).tolist() == expected.tolist()


def test_similar_classes_come_side_by_side():
    groups = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    vectors = np.eye(3)[groups] + 0.05 * np.random.default_rng(0).normal(size=(8, 3))
    ordered = groups[cluster_order(cosines(_geometry(vectors)))]
    assert np.count_nonzero(np.diff(ordered)) == 2


def test_pages_pay_for_numpy_alone():
    code = (
        "import sys, core.metrics.geometry; "
        "print({'torch', 'sklearn', 'scipy', 'ripser'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"

"""Separation D = tr(SSW SSB^+) and the law it follows over the layers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from collapse_oracle import blobs, collapsed, textbook
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from core.metrics.collapse import neural_collapse
from core.metrics.moments import class_moments
from core.metrics.separation import separation, separation_law


def test_closed_form_of_a_simplex_with_isotropic_noise():
    features, labels, _ = collapsed(10, sigma=0.1, dimension=30)
    assert separation(class_moments(features, labels, 10)) == pytest.approx(0.81, rel=1e-10)


@pytest.mark.parametrize(
    ("classes", "dimension", "sizes"),
    [(5, 40, [30] * 5), (4, 50, [5, 40, 90, 12]), (8, 3, [30] * 8), (2, 5, [3, 90])],
)
def test_agrees_with_the_d_by_d_matrices(classes, dimension, sizes):
    features, labels = blobs(1, classes, dimension, sizes)
    book = textbook(features, labels)
    expected = np.trace(book["ssw"] @ scipy.linalg.pinv(book["ssb"], rtol=1e-9))
    assert separation(class_moments(features, labels, classes)) == pytest.approx(expected, rel=1e-8)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 8), scale=st.floats(1e-2, 1e2))
def test_balanced_classes_give_k_times_nc1_at_any_scale(seed, classes, scale):
    features, labels = blobs(seed, classes, 6, [15] * classes)
    moments = class_moments(scale * features + 1, labels, classes)
    nc1 = neural_collapse(moments).nc1
    assert separation(moments) == pytest.approx(classes * nc1, rel=1e-9)


def test_undefined_without_two_different_means():
    assert separation(class_moments(np.eye(3), np.zeros(3, int), 1)) is None
    assert separation(class_moments(np.ones((4, 2)), np.array([0, 0, 1, 1]), 2)) is None


def test_an_exact_law_is_recovered():
    law = separation_law(["a", "b", "c", "d"], [100 * 0.4**i for i in range(4)])
    assert law.rho == pytest.approx(0.4)
    assert law.r2 == pytest.approx(1.0)
    assert np.exp(law.intercept) == pytest.approx(100)
    assert law.minimum_layer is None
    assert law.reason is None


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.integers(1, 10**6), min_size=3, max_size=20, unique=True))
def test_the_fit_is_the_least_squares_line(values):
    law = separation_law([str(i) for i in range(len(values))], values)
    line = linregress(np.arange(len(values)), np.log(values))
    assert np.log(law.rho) == pytest.approx(line.slope, rel=1e-6, abs=1e-9)
    assert law.intercept == pytest.approx(line.intercept, rel=1e-6, abs=1e-9)
    assert law.r2 == pytest.approx(line.rvalue**2, rel=1e-6, abs=1e-9)


def test_a_rising_phase_starts_at_the_minimum():
    law = separation_law(["a", "b", "c", "d"], [9.0, 3.0, 1.0, 2.0])
    assert law.minimum_layer == "c"


def test_layers_without_a_positive_value_keep_their_place_and_are_named():
    law = separation_law(["a", "b", "c", "d", "e"], [8.0, None, 2.0, 0.0, 0.5])
    assert law.rho == pytest.approx(0.5)
    assert law.r2 == pytest.approx(1.0)
    assert law.reason == "no positive separation at b, d: left out"


@pytest.mark.parametrize("values", [[], [3.0], [None, 2.0], [None, None]])
def test_too_few_layers(values):
    law = separation_law([str(i) for i in range(len(values))], values)
    assert law.rho is None
    assert "2 or more layers" in law.reason


def test_a_constant_separation_has_no_r2():
    law = separation_law(["a", "b", "c"], [2.0, 2.0, 2.0])
    assert law.rho == pytest.approx(1.0)
    assert law.r2 is None

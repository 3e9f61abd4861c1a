"""Separation D = tr(SSW SSB^+) and the law it follows over the layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from collapse_oracle import blobs, collapsed, textbook
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress
from synthetic import synthetic_analysis

from core.metrics.collapse import neural_collapse
from core.metrics.moments import class_moments
from core.metrics.separation import (
    breaking,
    one_per_block,
    phases,
    separation,
    separation_law,
)


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
    assert law.correlation == pytest.approx(-1)
    assert law.residuals == pytest.approx(np.zeros(4), abs=1e-12)
    assert law.breaks is None


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.integers(1, 10**6), min_size=3, max_size=20, unique=True))
def test_the_fit_is_the_least_squares_line(values):
    law = separation_law([str(i) for i in range(len(values))], values)
    line = linregress(np.arange(len(values)), np.log(values))
    assert np.log(law.rho) == pytest.approx(line.slope, rel=1e-6, abs=1e-9)
    assert law.intercept == pytest.approx(line.intercept, rel=1e-6, abs=1e-9)
    assert law.r2 == pytest.approx(line.rvalue**2, rel=1e-6, abs=1e-9)
    assert law.correlation == pytest.approx(line.rvalue, rel=1e-6, abs=1e-9)
    fitted = line.intercept + line.slope * np.arange(len(values))
    assert law.residuals == pytest.approx(np.log(values) - fitted, abs=1e-9)
    assert law.residuals.sum() == pytest.approx(0, abs=1e-8)


def test_a_rising_phase_starts_at_the_minimum():
    law = separation_law(["a", "b", "c", "d"], [9.0, 3.0, 1.0, 2.0])
    assert law.minimum_layer == "c"


def test_layers_without_a_positive_value_keep_their_place_and_are_named():
    law = separation_law(["a", "b", "c", "d", "e"], [8.0, None, 2.0, 0.0, 0.5])
    assert law.rho == pytest.approx(0.5)
    assert law.r2 == pytest.approx(1.0)
    assert law.reason == "no positive separation at b, d: left out"
    assert np.isnan(law.residuals).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("values", [[], [3.0], [None, 2.0], [None, None]])
def test_too_few_layers(values):
    law = separation_law([str(i) for i in range(len(values))], values)
    assert law.rho is None
    assert "2 or more layers" in law.reason


def test_a_constant_separation_has_no_r2():
    law = separation_law(["a", "b", "c"], [2.0, 2.0, 2.0])
    assert law.rho == pytest.approx(1.0)
    assert law.r2 is None
    assert law.correlation is None


@settings(max_examples=15, deadline=None)
@given(place=st.integers(1, 10), factor=st.sampled_from([0.2, 5.0]), seed=st.integers(0, 100))
def test_the_layer_off_an_otherwise_exact_law_is_named(place, factor, seed):
    noise = np.exp(0.02 * np.random.default_rng(seed).normal(size=12))
    values = 100 * 0.5 ** np.arange(12) * noise
    names = [f"b{i}" for i in range(12)]
    assert separation_law(names, values.tolist()).breaks is None
    values[place] *= factor
    assert separation_law(names, values.tolist()).breaks == f"b{place}"


def test_no_layer_stands_out_among_few_or_in_rounding_errors():
    assert breaking(np.array([0.0, 3.0, 0.0, 0.0, 0.0])) is None
    assert breaking(np.array([0.0, 0.09, 0.0, 0.0, 0.001, 0.0, np.nan])) is None
    assert breaking(np.array([0.0, np.nan, 0.01, -0.5, 0.0, 0.001, 0.0])) == 3


def test_one_point_a_block():
    def names(kinds):
        layer = synthetic_analysis(layers=2).layers[0]
        layers = [replace(layer, name=f"{i} {k}", kind=k) for i, k in enumerate(kinds)]
        return [int(layer.name[0]) for layer in one_per_block(layers)]

    residual = ["Input", "ReLU", "BasicBlock", "Bottleneck", "AdaptiveAvgPool2d", "Output"]
    assert names(residual) == [2, 3]
    assert names(["Input", "ReLU", "GELU", "MaxPool2d", "Output"]) == [1, 2]
    assert names(["Input", "EncoderBlock", "LayerNorm", "Output"]) == [1]
    assert names(["Input", "Output"]) == []


def test_two_phases_of_a_quantity():
    found = phases([3.0, None, 100.0, 20.0, 1.0, 2.0, 4.0])
    assert (found.start, found.minimum, found.end) == (2, 4, 6)
    assert (found.fall, found.rise) == (pytest.approx(100), pytest.approx(3))
    assert found.rises
    falling = phases([4.0, 2.0, 1.0])
    assert (falling.end, falling.rise, falling.rises) == (2, 0.0, False)
    assert not phases([4.0, 1.0, 1.05]).rises


@pytest.mark.parametrize("values", [[], [None], [1.0], [1.0, 2.0], [None, 1.0, 2.0], [-1.0, 0.0]])
def test_no_phase_without_a_fall(values):
    assert phases(values) is None

"""Share of nonzero activations: counted by hand, by torch's names, and by drawing again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from core.metrics.sparsity import (
    EXACT_ZERO_ACTIVATIONS,
    SMOOTH_ACTIVATIONS,
    overlaps,
    set_sizes,
    share_histogram,
    sparsity,
)

EXACT = {"approximate": False, "threshold": 0.0, "is_activation": True, "relu_like": True}


def test_counted_by_hand():
    activations = np.array([[0.0, 2, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    found = sparsity(
        (activations != 0).mean(axis=1),
        (activations != 0).sum(axis=0),
        np.array([0, 0, 2]),
        3,
        **EXACT,
    )
    assert found.nonzero_fraction.value == pytest.approx(3 / 12)
    assert found.dead_fraction == 0.5
    np.testing.assert_allclose(found.class_nonzero_fraction, [3 / 8, np.nan, 0])
    assert (found.relu_like, found.approximate, found.threshold) == (True, False, 0.0)


def test_half_of_a_symmetric_input_passes_a_relu():
    rng = np.random.default_rng(0)
    active = rng.normal(size=(400, 300)) > 0
    found = sparsity(
        active.mean(axis=1), active.any(axis=0), np.zeros(400, dtype=int), 1, **EXACT
    ).nonzero_fraction
    assert found.low < 0.5 < found.high
    # the width of a mean of N shares of units that are on with probability 1/2
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(400 * 300), rel=0.15)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        shares = rng.beta(2, 5, size=60)
        found = sparsity(shares, np.ones(1), np.zeros(60, dtype=int), 1, **EXACT).nonzero_fraction
        hits += found.low <= 2 / 7 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_the_interval_lies_within_shares_and_holds_the_mean(shares):
    found = sparsity(np.array(shares), np.ones(2), np.zeros(len(shares), int), 1, **EXACT)
    estimate = found.nonzero_fraction
    assert 0 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1


def test_one_sample_or_none():
    one = sparsity(np.array([0.25]), np.array([True, False]), np.array([1]), 2, **EXACT)
    assert one.nonzero_fraction.value == 0.25
    assert one.nonzero_fraction.low is None
    none = sparsity(np.zeros(0), np.zeros(0), np.zeros(0, dtype=int), 2, **EXACT)
    assert none.nonzero_fraction.value is None
    assert none.nonzero_fraction.reason == "no samples"
    assert none.dead_fraction is None


def _torch_names(names):
    return sorted(name for name in names if hasattr(torch.nn, name))


@pytest.mark.parametrize("name", _torch_names(EXACT_ZERO_ACTIVATIONS))
def test_exact_zeros_of_torch_s_activations(name):
    made = getattr(torch.nn, name)(*((0.5, 0.0) if name == "Threshold" else ()))
    assert (made(torch.linspace(-5, 5, 1000)) == 0).float().mean() > 0.05


@pytest.mark.parametrize("name", _torch_names(SMOOTH_ACTIVATIONS))
def test_activations_without_exact_zeros(name):
    assert (getattr(torch.nn, name)().eval()(torch.linspace(-5, 5, 1000)) != 0).all()


def _bits(sets):
    return np.packbits(np.array(sets, dtype=bool), axis=1)


def test_overlap_of_active_sets_by_hand():
    sets = _bits([[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    samples = np.array([3, 2, 1, 4, 0])
    np.testing.assert_array_equal(set_sizes(sets, samples), [3, 3, 1, 0, np.nan])
    found = overlaps(sets, samples)
    np.testing.assert_allclose(found[:3, :3], [[1, 0.5, 0], [0.5, 1, 1 / 3], [0, 1 / 3, 1]])
    assert np.isnan(found[3, 3])  # two empty sets
    assert found[3, 0] == 0
    assert np.isnan(found[4]).all()  # a class without samples


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_overlap_is_that_of_scikit_learn_s_jaccard_score(seed):
    sets = np.random.default_rng(seed).random((4, 37)) < 0.4
    found = overlaps(_bits(sets), np.ones(4, dtype=int))
    expected = [[jaccard_score(a, b) for b in sets] for a in sets]
    np.testing.assert_allclose(found, expected)


def test_histograms_hold_all_units_and_samples_and_agree_with_the_mean():
    active = np.random.default_rng(0).random((200, 40)) < np.linspace(0, 1, 40)
    found = sparsity(
        active.mean(1).astype(np.float32),
        active.any(0),
        np.zeros(200, dtype=int),
        1,
        unit_counts=active.sum(0),
        **EXACT,
    )
    assert found.unit_histogram.shape == found.sample_histogram.shape == (20,)
    assert (found.unit_histogram.sum(), found.sample_histogram.sum()) == (40, 200)
    middles = (np.arange(20) + 0.5) / 20
    for histogram in (found.unit_histogram, found.sample_histogram):
        mean = (middles * histogram).sum() / histogram.sum()
        assert abs(mean - found.nonzero_fraction.value) <= 0.025
    assert found.class_units is None


def test_a_share_on_an_edge_falls_into_the_bin_above():
    found = share_histogram(np.float32([0, 0.05, 0.15, 0.3, 0.95, 1]))
    assert found.nonzero()[0].tolist() == [0, 1, 3, 6, 19]
    assert found[19] == 2

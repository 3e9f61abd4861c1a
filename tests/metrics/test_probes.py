"""Linear probes: what is separable is read, what is noise is not, and the interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from collapse_oracle import blobs, collapsed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from core.metrics.probes import linear_probe, wilson_interval


def test_separated_classes_are_read_without_error():
    features, labels, _ = collapsed(5, sigma=0.05, dimension=20)
    found = linear_probe(features, labels, seed=0)
    assert found.value == 1.0
    assert found.low < 1.0
    assert found.high == pytest.approx(1.0)


def test_noise_is_read_at_chance():
    rng = np.random.default_rng(0)
    found = linear_probe(rng.normal(size=(1200, 5)), np.arange(1200) % 4, seed=0)
    assert found.low < 0.25 < found.high


def test_two_gaussians_reach_the_error_of_bayes():
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    features = rng.normal(size=(4000, 1)) + 2 * labels[:, None]
    found = linear_probe(features, labels, seed=0)
    assert found.low < 0.8413 < found.high  # Phi(1)


def test_agrees_with_the_same_steps_by_hand():
    features, labels = blobs(0, 6, 8, [30] * 6)
    features[:, 0] *= 1e4
    train_x, test_x, train_y, test_y = train_test_split(
        features, labels, test_size=45, stratify=labels, random_state=3
    )
    scaler = StandardScaler().fit(train_x)
    model = LogisticRegression(max_iter=500).fit(scaler.transform(train_x), train_y)
    expected = model.score(scaler.transform(test_x), test_y)
    assert linear_probe(features, labels, seed=3).value == pytest.approx(expected)


def test_the_same_seed_gives_the_same_number():
    features, labels = blobs(1, 4, 3, [25] * 4)
    assert linear_probe(features, labels, 7) == linear_probe(features, labels, 7)


def test_too_little_to_learn_from():
    one = linear_probe(np.eye(8), np.zeros(8, int), 0)
    assert one.value is None
    assert one.reason == "needs 2 or more classes, got 1"
    few = linear_probe(np.eye(8), np.array([0, 0, 0, 0, 0, 2, 2, 2]), 0)
    assert few.value is None
    assert few.reason == "needs 4 or more samples of every class, class 2 has 3"
    assert linear_probe(np.eye(8), np.arange(8) % 2, 0).value is not None


@settings(max_examples=30, deadline=None)
@given(trials=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_agrees_with_scipy(trials, share):
    successes = round(share * trials)
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )

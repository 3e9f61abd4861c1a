"""Linear probes: what is separable is read, what is noise is not, and the interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from collapse_oracle import blobs, collapsed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from core.metrics.probes import STRENGTHS, linear_probe, wilson_interval


def test_separated_classes_are_read_without_error():
    features, labels, _ = collapsed(5, sigma=0.05, dimension=20)
    found = linear_probe(features, labels, seed=0).accuracy
    assert found.value == 1.0
    assert found.low < 1.0
    assert found.high == pytest.approx(1.0)


def test_noise_is_read_at_chance():
    rng = np.random.default_rng(0)
    found = linear_probe(rng.normal(size=(1200, 5)), np.arange(1200) % 4, seed=0).accuracy
    assert found.low < 0.25 < found.high


def test_two_gaussians_reach_the_error_of_bayes():
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    features = rng.normal(size=(4000, 1)) + 2 * labels[:, None]
    found = linear_probe(features, labels, seed=0).accuracy
    assert found.low < 0.8413 < found.high  # Phi(1)


@pytest.mark.parametrize(("dimension", "scale"), [(8, 1e4), (200, 1.0)])
def test_agrees_with_a_search_by_scikit_learn(dimension, scale):
    """One held-out quarter, the penalty by GridSearchCV on one split of the rest."""
    features, labels = blobs(0, 6, dimension, [40] * 6)
    features[:, 0] *= scale
    kwargs = {"random_state": 3, "test_size": 60, "stratify": labels}
    train_x, test_x, train_y, test_y = train_test_split(features, labels, **kwargs)
    rows = np.arange(len(train_y))
    split = train_test_split(rows, test_size=45, stratify=train_y, random_state=3)
    scaled = StandardScaler().fit(train_x)
    search = GridSearchCV(
        LogisticRegression(max_iter=2000),
        {"C": STRENGTHS},
        scoring="neg_log_loss",
        cv=[split],
    ).fit(scaled.transform(train_x), train_y)
    found = linear_probe(features, labels, seed=3)
    assert found.strength == search.best_params_["C"]
    expected = (search.predict(scaled.transform(test_x)) == test_y).mean()
    assert found.accuracy.value == pytest.approx(expected)


def test_few_samples_of_many_features_are_penalised_more():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = rng.normal(size=(120, 300))
    features[:, :3] += np.eye(3)[labels]
    assert linear_probe(features, labels, 0).strength <= 1e-2
    separated, classes, _ = collapsed(3, sigma=0.05, dimension=20)
    assert linear_probe(separated, classes, 0).strength == STRENGTHS[-1]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_scaling_and_shifting_features_changes_nothing(seed, scale):
    features, labels = blobs(seed, 3, 4, [20] * 3)
    moved = linear_probe(scale * features + 2 * scale, labels, 0)
    assert moved.accuracy.value == linear_probe(features, labels, 0).accuracy.value


def test_the_same_seed_gives_the_same_number():
    features, labels = blobs(1, 4, 3, [25] * 4)
    assert linear_probe(features, labels, 7) == linear_probe(features, labels, 7)


def test_too_little_to_learn_from():
    one = linear_probe(np.eye(8), np.zeros(8, int), 0).accuracy
    assert one.value is None
    assert one.reason == "needs 2 or more classes, got 1"
    few = linear_probe(np.eye(8), np.array([0, 0, 0, 0, 0, 2, 2, 2]), 0).accuracy
    assert few.value is None
    assert few.reason == "needs 4 or more samples of every class, class 2 has 3"
    assert linear_probe(np.eye(8), np.arange(8) % 2, 0).accuracy.value is not None


@settings(max_examples=30, deadline=None)
@given(trials=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_agrees_with_scipy(trials, share):
    successes = round(share * trials)
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )

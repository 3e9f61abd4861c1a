"""Neural collapse: closed forms, the d x d formulas of docs/metrics.md, invariances, edges."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import scipy.linalg
from collapse_oracle import blobs, collapsed, exact_noise, simplex, textbook
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from core.metrics.collapse import (
    class_geometry,
    nc4,
    ncc_accuracy,
    nearest_class_mean,
    neural_collapse,
)
from core.metrics.moments import class_moments
from core.results import NeuralCollapse

KEYS = [f.name for f in fields(NeuralCollapse) if f.name != "reasons"]


def _collapse(features, labels, classes, weight=None):
    return neural_collapse(class_moments(features, labels, classes), weight)


# --- closed forms ------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "sigma"), [(10, 0.1), (3, 0.5), (2, 0.3), (100, 0.05)])
def test_simplex_means_with_isotropic_noise(classes, sigma):
    features, labels, means = collapsed(classes, sigma, dimension=classes + 5)
    found = _collapse(features, labels, classes, weight=3 * means)
    assert found.nc1 == pytest.approx(sigma**2 * (classes - 1) ** 2 / classes, rel=1e-10)
    assert found.nc1_quotient == pytest.approx(sigma**2 * (classes - 1), rel=1e-10)
    # ||mu_k - mu_k'||^2 = 2K/(K-1) between unit vertices, sigma_k^2 = (K-1) sigma^2
    assert found.cdnv == pytest.approx(sigma**2 * (classes - 1) ** 2 / (2 * classes), rel=1e-10)
    assert found.cosine_mean == pytest.approx(-1 / (classes - 1))
    assert found.cosine_max == pytest.approx(-1 / (classes - 1))
    assert found.etf_target == pytest.approx(-1 / (classes - 1))
    zero = ("nc2_means", "nc2_classifier", "nc3", "nc3_alignment", "cosine_std")
    for key in (*zero, "equiangularity", "equinorm_means", "equinorm_classifier"):
        assert getattr(found, key) == pytest.approx(0, abs=1e-12), key


def test_the_value_in_the_definitions():
    features, labels, _ = collapsed(10, sigma=0.1)
    assert _collapse(features, labels, 10).nc1 == pytest.approx(0.0810, abs=1e-12)


def test_collapsed_features_have_nc1_zero():
    labels = np.repeat(np.arange(4), 6)
    found = _collapse(simplex(4)[labels], labels, 4)
    assert found.nc1 == pytest.approx(0, abs=1e-25)
    assert found.cdnv == pytest.approx(0, abs=1e-25)


def test_orthogonal_means_are_centred_before_their_cosines_are_taken():
    labels = np.repeat(np.arange(5), 2)
    found = _collapse(np.eye(5)[labels], labels, 5)
    assert found.cosine_mean == pytest.approx(-0.25)
    assert found.nc2_means == pytest.approx(0, abs=1e-12)


def test_two_classes_stay_within_the_range_of_a_cosine():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    found = _collapse(rng.normal(size=(40, 7)) + 1e3 + labels[:, None], labels, 2)
    assert found.cosine_max == -1.0
    assert found.cosine_std == 0.0
    assert found.equiangularity == 0.0


def test_a_classifier_turned_by_a_right_angle_is_not_aligned():
    features, labels, means = collapsed(3, 0.1)
    turned = means @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = _collapse(features, labels, 3, turned)
    assert found.nc2_classifier == pytest.approx(0, abs=1e-12)
    assert found.nc3_alignment == pytest.approx(np.sqrt(2))


# --- the textbook ------------------------------------------------------------------------------


def _naive(features, labels, weight):
    """Every key as docs/metrics.md writes it, with d x d matrices and loops."""
    book = textbook(features, labels)
    means, classes = book["means"], len(book["means"])
    m = (means - means.mean(axis=0)).T  # (d, K)
    unit = m / np.linalg.norm(m, axis=0)
    pairs = [(k, j) for k in range(classes) for j in range(classes) if k != j]
    cosine = np.array([unit[:, k] @ unit[:, j] for k, j in pairs])
    target = (np.eye(classes) - 1 / classes) / np.sqrt(classes - 1)
    traces = book["traces"]
    lengths, rows = np.linalg.norm(m, axis=0), np.linalg.norm(weight, axis=1)

    def distance(gram):
        return np.linalg.norm(gram / np.linalg.norm(gram) - target)

    return {
        "nc1": np.trace(book["within"] @ scipy.linalg.pinv(book["between"], rtol=1e-9)) / classes,
        "nc1_quotient": np.trace(book["within"]) / np.trace(book["between"]),
        "cdnv": np.mean(
            [(traces[k] + traces[j]) / (2 * np.sum((means[k] - means[j]) ** 2)) for k, j in pairs]
        ),
        "nc2_means": distance(m.T @ m),
        "nc2_classifier": distance(weight @ weight.T),
        "nc3": distance(weight @ m),
        "nc3_alignment": np.linalg.norm(
            weight / np.linalg.norm(weight) - m.T / np.linalg.norm(m.T)
        ),
        "cosine_mean": cosine.mean(),
        "cosine_std": cosine.std(),
        "cosine_max": cosine.max(),
        "equiangularity": np.abs(cosine + 1 / (classes - 1)).mean(),
        "equinorm_means": lengths.std() / lengths.mean(),
        "equinorm_classifier": rows.std() / rows.mean(),
        "etf_target": -1 / (classes - 1),
    }


@pytest.mark.parametrize(
    ("classes", "dimension", "sizes"),
    [
        (10, 64, [30] * 10),
        (4, 200, [5, 40, 90, 12]),  # d > N, unbalanced
        (9, 4, [30] * 9),  # d < K-1
        (2, 6, [10, 70]),
        (3, 2, [20, 30, 40]),
    ],
)
def test_every_key_agrees_with_the_textbook(classes, dimension, sizes):
    features, labels = blobs(3, classes, dimension, sizes)
    weight = np.random.default_rng(4).normal(size=(classes, dimension))
    found = _collapse(features, labels, classes, weight)
    for key, expected in _naive(features, labels, weight).items():
        assert getattr(found, key) == pytest.approx(expected, rel=1e-8, abs=1e-12), key


def test_wide_features_where_the_pseudo_inverse_of_the_matrix_is_wrong():
    rng = np.random.default_rng(0)
    features, labels, means = collapsed(10, sigma=0.1, dimension=2048)
    frame = np.linalg.qr((means - means.mean(axis=0))[:9].T)[0]  # of the span of the means
    noise = rng.normal(size=features.shape)
    noise -= noise @ frame @ frame.T  # orthogonal to the means: nc1 does not see it
    features = np.concatenate([features + noise, features - noise]) + rng.normal(size=2048)
    labels = np.tile(labels, 2)
    # np.linalg.pinv of the 2048 x 2048 matrix gives nc1 = -4e14 here: its cut-off of 1e-15 lets
    # rounding error be inverted
    assert _collapse(features, labels, 10).nc1 == pytest.approx(0.0810, rel=1e-9)
    as_float32 = _collapse(features.astype(np.float32), labels, 10)
    assert as_float32.nc1 == pytest.approx(0.0810, rel=1e-4)


# --- properties --------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(1e-3, 1e3),
    offset=st.floats(-100, 100),
    weight_scale=st.floats(1e-3, 1e3),
)
def test_no_key_depends_on_rotation_scale_translation_or_names(seed, scale, offset, weight_scale):
    rng = np.random.default_rng(seed)
    features, labels = blobs(seed, 4, 6, [9, 14, 11, 20])
    weight = rng.normal(size=(4, 6))
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    names = rng.permutation(4)  # class k is called names[k]
    moved = scale * features @ rotation + offset
    renamed = np.empty_like(weight)
    renamed[names] = weight_scale * weight @ rotation
    before = _collapse(features, labels, 4, weight)
    after = _collapse(moved, names[labels], 4, renamed)
    for key in KEYS:
        if key != "nc4":
            expected = getattr(before, key)
            assert getattr(after, key) == pytest.approx(expected, rel=1e-6, abs=1e-9), key


@settings(max_examples=10, deadline=None)
@given(classes=st.integers(2, 12), sigma=st.floats(0.01, 1.0), factor=st.floats(1.01, 3.0))
def test_more_noise_means_less_collapse(classes, sigma, factor):
    little = _collapse(*collapsed(classes, sigma)[:2], classes)
    much = _collapse(*collapsed(classes, sigma * factor)[:2], classes)
    for key in ("nc1", "nc1_quotient", "cdnv"):
        assert getattr(much, key) > getattr(little, key)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 12), dimension=st.integers(2, 12))
def test_rankins_bound(seed, classes, dimension):
    features, labels = blobs(seed, classes, dimension, [3] * classes)
    found = _collapse(features, labels, classes)
    assert found.cosine_max >= -1 / (classes - 1) - 1e-12


# --- what is undefined says why ----------------------------------------------------------------


def test_without_a_classifier():
    features, labels, _ = collapsed(4, 0.1)
    found = _collapse(features, labels, 4)
    for key in ("nc2_classifier", "nc3", "nc3_alignment", "nc4", "equinorm_classifier"):
        assert getattr(found, key) is None
        assert found.reasons[key] == "no classifier acts on these features"
    assert len(found.reasons) == 5


def test_with_the_classifier_alone():
    found = neural_collapse(None, simplex(5))
    assert found.nc2_classifier == pytest.approx(0, abs=1e-12)
    assert found.equinorm_classifier == pytest.approx(0, abs=1e-12)
    assert found.nc1 is None
    assert found.reasons["nc1"] == "no features were given"
    assert found.reasons["nc3"] == "no features were given"


def test_every_key_has_a_value_or_a_reason():
    features, labels, means = collapsed(4, 0.1)
    with np.errstate(all="ignore"):
        overflowing = class_moments(features * 1e200, labels, 4)
    cases = [
        (class_moments(features[:0], labels[:0], 4), means),
        (class_moments(features[labels == 2], labels[labels == 2], 4), means),
        (class_moments(np.ones((8, 3)), np.arange(8) % 4, 4), means),
        (class_moments(features, labels, 5), means),
        (class_moments(features, labels, 4), np.zeros((4, 3))),
        (class_moments(features, labels, 4), means[:1]),
        (class_moments(features, labels, 4), means * np.nan),
        (overflowing, means),
        (None, None),
    ]
    for moments, weight in cases:
        with np.errstate(all="ignore"):
            found = neural_collapse(moments, weight)
        for key in KEYS:
            value = getattr(found, key)
            assert (value is None) == (key in found.reasons), key
            assert value is None or np.isfinite(value)


@pytest.mark.parametrize(
    ("key", "features", "labels", "weight", "reason"),
    [
        ("nc1", np.eye(3), [0, 0, 0], None, "needs samples of 2 or more classes, got 1"),
        ("nc1", np.ones((4, 3)), [0, 0, 1, 1], None, "all class means coincide"),
        ("cdnv", [[0.0], [0], [1]], [0, 1, 2], None, "two classes have the same mean"),
        ("cosine_mean", [[-1.0], [0], [1]], [0, 1, 2], None, "has no direction"),
        ("nc3", np.eye(3), [0, 1, 1], np.ones((5, 3)), "classifier has 5 classes, the data 3"),
        ("nc3", np.eye(3), [0, 1, 2], np.ones((3, 4)), "takes 4 features, the means have 3"),
        ("nc3", np.eye(3), [0, 1, 1], np.ones((3, 3)), "no samples of 2"),
        ("nc2_classifier", np.eye(3), [0, 1, 2], np.ones((1, 3)), "2 or more rows"),
        ("nc4", np.eye(3), [0, 1, 2], np.eye(3), "nearest class mean of every sample"),
    ],
)
def test_reasons(key, features, labels, weight, reason):
    found = _collapse(np.array(features), np.array(labels), 3, weight)
    assert getattr(found, key) is None
    assert reason in found.reasons[key]


def test_empty_classes_are_left_out_of_the_means_but_not_of_the_classifier():
    features, labels, means = collapsed(4, 0.2)
    found = _collapse(features, labels * 2, 8, np.repeat(means, 2, axis=0))
    alone = _collapse(features, labels, 4)
    for key in ("nc1", "cdnv", "cosine_mean", "nc2_means", "etf_target"):
        assert getattr(found, key) == pytest.approx(getattr(alone, key), rel=1e-12), key
    assert "no samples of 1, 3, 5, 7" in found.reasons["nc3"]
    assert found.nc2_classifier is not None


# --- nearest class mean ------------------------------------------------------------------------


def test_nearest_class_mean_agrees_with_scipy_far_from_the_origin():
    features, labels = blobs(5, 6, 10, [50] * 6)
    moments = class_moments(features + 1e5, labels, 6)
    expected = cdist(features + 1e5, moments.means).argmin(axis=1)
    found = nearest_class_mean(features + 1e5, moments.means)
    np.testing.assert_array_equal(found, expected)
    accuracy = ncc_accuracy(features + 1e5, labels, moments.means)
    assert accuracy == pytest.approx((expected == labels).mean())


def test_a_class_without_samples_is_never_nearest():
    means = np.array([[np.nan, np.nan], [0.0, 0.0], [1.0, 1.0]])
    assert nearest_class_mean(np.array([[0.2, 0.1], [2.0, 0.7]]), means).tolist() == [1, 2]


def test_nc4_counts_disagreement_with_the_classifier():
    means = np.array([[1.0, 0.0], [-1.0, 0.0]])
    features = np.array([[0.5, 0], [0.1, 0], [-0.1, 0], [-0.5, 0]])
    assert nc4(features, means, means) == 0.0
    assert nc4(features, means, means, bias=np.array([0.0, 0.4])) == 0.25
    assert nc4(features, means, -means) == 1.0
    assert nc4(features[:0], means, means) is None
    assert ncc_accuracy(features[:0], np.zeros(0), means) is None


def test_nc4_and_accuracy_do_not_depend_on_blocks(monkeypatch):
    features, labels = blobs(6, 3, 4, [40] * 3)
    means = class_moments(features, labels, 3).means
    whole = nc4(features, means, means), ncc_accuracy(features, labels, means)
    monkeypatch.setattr("core.metrics.collapse._BLOCK_ENTRIES", 28)
    assert (nc4(features, means, means), ncc_accuracy(features, labels, means)) == whole


# --- geometry ----------------------------------------------------------------------------------


def test_class_geometry_keeps_every_product():
    features, labels = blobs(7, 5, 30, [20] * 5)
    weight = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    moments = class_moments(features, labels, 5)
    geometry = class_geometry(moments, weight)
    centred = moments.means - moments.global_mean
    rows = geometry.classifier_coordinates
    np.testing.assert_allclose(
        geometry.mean_coordinates @ geometry.mean_coordinates.T, centred @ centred.T, atol=1e-10
    )
    np.testing.assert_allclose(rows @ geometry.mean_coordinates.T, weight @ centred.T, atol=1e-5)
    np.testing.assert_allclose(geometry.classifier_gram, weight @ weight.T, rtol=1e-4, atol=1e-4)
    assert class_geometry(moments, weight[:, :7]).classifier_gram is None


def test_noise_maker_is_exact():
    noise = exact_noise(4, 0.3)
    np.testing.assert_allclose(np.cov(noise.T, bias=True), 0.09 * np.eye(4), atol=1e-15)


def test_every_key_is_defined_in_the_documentation(repo):
    text = (repo / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1] for line in text.splitlines() if line.startswith("| `")}
    defined = {name.strip(" `") for row in rows for name in row.split(",")}
    assert not set(KEYS) - defined

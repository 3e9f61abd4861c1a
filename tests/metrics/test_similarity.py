"""CKA and Procrustes: closed forms, explicit kernels, scipy, and what they must not see."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.stats import ortho_group

from core.errors import UserError
from core.metrics.similarity import (
    cka_matrix,
    linear_cka,
    procrustes_distance,
    procrustes_matrix,
)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(4, 40), st.integers(1, 60), st.integers(1, 60))


def hsic_by_formula(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012, equation 5, term by term."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    one = np.ones(n)
    first = np.trace(k @ m)
    second = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ m @ one)
    return (first + second - third) / (n * (n - 3))


def hsic_by_tuples(k: np.ndarray, m: np.ndarray) -> float:
    """The U-statistic itself (Gretton et al. 2005): averages over all ordered tuples of different
    samples."""
    n = len(k)
    pairs = np.mean([k[i, j] * m[i, j] for i, j in permutations(range(n), 2)])
    four = np.mean([k[i, j] * m[p, q] for i, j, p, q in permutations(range(n), 4)])
    three = np.mean([k[i, j] * m[i, q] for i, j, q in permutations(range(n), 3)])
    return float(pairs + four - 2 * three)


def plain_hsic(k: np.ndarray, m: np.ndarray) -> float:
    n = len(k)
    h = np.eye(n) - 1 / n
    return float(np.trace(k @ h @ m @ h) / (n - 1) ** 2)


def cka_by(hsic, x, y):
    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def features(n, d, rng, correlated_with=None):
    x = rng.normal(size=(n, d)) + 3 * rng.normal(size=d)
    if correlated_with is not None:
        x += correlated_with @ rng.normal(size=(correlated_with.shape[1], d))
    return x


def rotation(d, rng):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


# --- CKA ---------------------------------------------------------------------------------------


@given(SIZES, SEEDS)
@settings(max_examples=60, deadline=None)
def test_cka_is_its_formula_with_explicit_kernels(sizes, seed):
    n, d1, d2 = sizes
    rng = np.random.default_rng(seed)
    x = features(n, d1, rng)
    y = features(n, d2, rng, x)
    k, m = x @ x.T, y @ y.T
    if min(hsic_by_formula(k, k), hsic_by_formula(m, m)) > 0.05:
        assert linear_cka(x, y) == pytest.approx(cka_by(hsic_by_formula, x, y), rel=1e-8, abs=1e-8)
    assert linear_cka(x, y, unbiased=False) == pytest.approx(cka_by(plain_hsic, x, y), rel=1e-8)


def test_the_estimator_is_the_average_over_all_tuples_of_samples():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 3))
    y = x @ rng.normal(size=(3, 5)) + rng.normal(size=(7, 5))
    k, m = x @ x.T, y @ y.T
    assert hsic_by_formula(k, m) == pytest.approx(hsic_by_tuples(k, m), rel=1e-10)
    assert linear_cka(x, y) == pytest.approx(cka_by(hsic_by_tuples, x, y), rel=1e-10)


@pytest.mark.parametrize(("d1", "d2"), [(3, 4), (300, 200)])
def test_feature_space_and_gram_matrices_agree(d1, d2):
    rng = np.random.default_rng(2)
    x = features(50, d1, rng)
    y = features(50, d2, rng, x)
    for unbiased in (True, False):
        wide = [np.hstack([a, np.zeros((50, 400))]) for a in (x, y)]  # forces the other way
        assert linear_cka(x, y, unbiased) == pytest.approx(linear_cka(*wide, unbiased), rel=1e-9)
    assert cka_matrix([x], [y])[0, 0] == pytest.approx(linear_cka(x, y), rel=1e-9)


def test_a_case_in_closed_form():
    # plain CKA of one-dimensional features is their squared correlation
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    y = np.array([[0.0], [1.0], [0.0], [1.0]])
    assert linear_cka(x, y, unbiased=False) == pytest.approx(0.2)
    # unbiased, of the corners of a square: U-centred Gram matrices hold -4/3 for opposite corners
    # and 2/3 for neighbours. Mirrored: 1. Reordered so that no opposite corners stay opposite:
    # (8 · -8/9 + 4 · 4/9) / (4 · 16/9 + 8 · 4/9) = -1/2
    square = np.array([[1.0, 1], [1, -1], [-1, -1], [-1, 1]])
    assert linear_cka(square, square[:, ::-1]) == pytest.approx(1)
    assert linear_cka(square, square[[0, 2, 1, 3]]) == pytest.approx(-0.5)


@given(SIZES, SEEDS, st.floats(1e-12, 1e12))
@settings(max_examples=60, deadline=None)
def test_rotations_scales_and_shifts_are_not_seen(sizes, seed, scale):
    n, d1, d2 = sizes
    rng = np.random.default_rng(seed)
    x = features(n, d1, rng)
    y = features(n, d2, rng, x)
    k, m = x @ x.T, y @ y.T
    if min(hsic_by_formula(k, k), hsic_by_formula(m, m)) < 0.05:
        return
    turned = scale * (x @ rotation(d1, rng) + rng.normal(size=d1))
    assert linear_cka(turned, y) == pytest.approx(linear_cka(x, y), rel=1e-5, abs=1e-5)
    assert linear_cka(x, turned) == pytest.approx(1, abs=1e-5)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x), rel=1e-10, abs=1e-12)


def test_other_linear_maps_are_seen():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, 5))
    stretched = x @ np.diag([20.0, 1, 1, 1, 1])
    # in the limit of many samples: (20² + 4) / sqrt(5 (20⁴ + 4)), which is 0.4517
    assert linear_cka(x, stretched) == pytest.approx(0.4517, abs=0.01)


def test_independent_wide_features_are_not_alike_by_the_unbiased_estimator():
    rng = np.random.default_rng(4)
    values = [
        [linear_cka(*rng.normal(size=(2, 100, 800)), unbiased=u) for u in (True, False)]
        for _ in range(20)
    ]
    unbiased, plain = np.mean(values, axis=0)
    assert abs(unbiased) < 0.02
    assert plain > 0.85


def test_a_large_offset_costs_no_digits():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 8)).round(3)
    y = (x @ rng.normal(size=(8, 4))).round(3)
    assert linear_cka(x + 2.0**20, y) == pytest.approx(linear_cka(x, y), rel=1e-7)
    assert linear_cka(x.astype(np.float32), y) == pytest.approx(linear_cka(x, y), rel=1e-6)


def test_features_without_spread_have_no_cka():
    x = np.random.default_rng(0).normal(size=(10, 3))
    assert linear_cka(np.full((10, 4), 0.1), x) is None
    assert linear_cka(np.zeros((10, 0)), x) is None
    assert np.isnan(cka_matrix([np.ones((10, 2))], [x])).all()


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        (np.zeros((3, 2)), np.zeros((3, 2)), "4 or more"),
        (np.eye(5), np.eye(6), "5 and 6"),
        (np.full((5, 2), np.nan), np.eye(5), "finite"),
        (np.zeros(5), np.eye(5), "shape"),
    ],
)
def test_wrong_input_is_named(x, y, why):
    with pytest.raises(UserError, match=why):
        linear_cka(x, y)


def test_a_matrix_has_a_row_for_every_layer_of_the_first():
    rng = np.random.default_rng(6)
    xs = [features(30, d, rng) for d in (2, 7, 50)]
    ys = [features(30, d, rng, xs[0]) for d in (4, 9)]
    found = cka_matrix(xs, ys)
    assert found.shape == (3, 2)
    assert found == pytest.approx(np.array([[linear_cka(x, y) for y in ys] for x in xs]))
    assert np.diag(cka_matrix(xs, xs)) == pytest.approx(np.ones(3))


# --- Procrustes --------------------------------------------------------------------------------


@given(st.integers(2, 12), st.integers(1, 20), SEEDS, st.floats(1e-9, 1e9))
@settings(max_examples=60, deadline=None)
def test_moved_turned_mirrored_scaled_and_padded_copies_are_at_distance_0(k, d, seed, scale):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k, d))
    moved = scale * np.hstack([a @ rotation(d, rng) + rng.normal(size=d), np.ones((k, 3))])
    assert procrustes_distance(a, moved) == pytest.approx(0, abs=1e-5)


@given(st.integers(3, 12), st.integers(1, 20), st.integers(1, 20), SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_distance_is_that_of_scipy(k, d1, d2, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(k, d1)), rng.normal(size=(k, d2))
    d = max(d1, d2)
    padded = [np.hstack([x, np.zeros((k, d - x.shape[1]))]) for x in (a, b)]
    angle = procrustes_distance(a, b)
    _, _, disparity = procrustes(*padded)  # 1 minus the squared cosine
    assert np.sin(np.radians(angle)) ** 2 == pytest.approx(disparity, abs=1e-9)
    one, other = (x - x.mean(0) for x in padded)
    _, nuclear = orthogonal_procrustes(other, one)
    cosine = nuclear / np.linalg.norm(one) / np.linalg.norm(other)
    assert np.cos(np.radians(angle)) == pytest.approx(cosine, abs=1e-9)


def test_a_rectangle_against_a_square():
    # singular values of AᵀB: 1/2 + … : cos = (2 + 1) / (√2 √5) for sides 2:1 and 1:1
    square = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], dtype=float)
    rectangle = square * [2, 1]
    expected = np.degrees(np.arccos(3 / np.sqrt(10)))  # 18.43°
    assert procrustes_distance(square, rectangle) == pytest.approx(expected, rel=1e-12)


def test_configurations_that_share_nothing_are_at_a_right_angle():
    a = np.array([[1.0, 0], [-1, 0], [0, 0], [0, 0]])
    b = np.array([[0.0, 0], [0, 0], [1, 0], [-1, 0]])
    assert procrustes_distance(a, b) == pytest.approx(90)


@given(st.integers(3, 10), st.lists(st.integers(1, 12), min_size=3, max_size=3), SEEDS)
@settings(max_examples=60, deadline=None)
def test_it_is_a_metric(k, widths, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (rng.normal(size=(k, d)) for d in widths)
    ab, bc, ac = procrustes_distance(a, b), procrustes_distance(b, c), procrustes_distance(a, c)
    assert 0 <= ab <= 90 + 1e-9
    assert ab == pytest.approx(procrustes_distance(b, a), abs=1e-6)
    assert ac <= ab + bc + 1e-6


def test_wide_means_are_as_narrow_ones():
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(10, 6)), rng.normal(size=(10, 9))
    turn = ortho_group.rvs(400, random_state=1)
    wide = np.hstack([a, np.zeros((10, 394))]) @ turn
    assert procrustes_distance(wide, b) == pytest.approx(procrustes_distance(a, b), abs=1e-9)


def test_a_class_without_samples_is_left_out_of_both():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 6, 4))
    a[2] = np.nan
    rest = [0, 1, 3, 4, 5]
    assert procrustes_distance(a, b) == pytest.approx(procrustes_distance(a[rest], b[rest]))
    assert procrustes_distance(a[:3, :], np.full((3, 4), np.nan)) is None
    assert procrustes_distance(np.ones((4, 2)), b[:4]) is None
    with pytest.raises(UserError, match="as many points"):
        procrustes_distance(a, b[:3])
    assert np.isnan(procrustes_matrix([np.ones((4, 2))], [b[:4]])).all()

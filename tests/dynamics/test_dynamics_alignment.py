"""PCA axes that follow from epoch to epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from synthetic_dynamics import synthetic_dynamics

from core.dynamics.alignment import aligned, rotation
from core.dynamics.results import Dynamics


def with_clouds(points: np.ndarray, means: np.ndarray) -> Dynamics:
    """A run whose pictures are these points (E, S, 3) and means (E, K, 3)."""
    made = synthetic_dynamics(epochs=tuple(range(len(points))), classes=means.shape[1])
    labels = np.arange(points.shape[1]) % means.shape[1]
    return replace(made, points=points, point_means=means, labels=labels)


def turned_clouds(rng: np.random.Generator, epochs: int = 5) -> tuple[np.ndarray, np.ndarray]:
    turns = [np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(epochs)]
    points, means = rng.standard_normal((30, 3)), rng.standard_normal((4, 3))
    return np.stack([points @ q for q in turns]), np.stack([means @ q for q in turns])


def test_turned_and_mirrored_copies_fall_on_each_other() -> None:
    points, means = turned_clouds(np.random.default_rng(0))
    found, found_means = aligned(with_clouds(points, means))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(points[0], points.shape), atol=1e-5)
    np.testing.assert_allclose(found_means, np.broadcast_to(means[0], means.shape), atol=1e-5)


def test_the_rotation_is_scipys() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((40, 3)), rng.standard_normal((40, 3))
    np.testing.assert_allclose(rotation(a, b), orthogonal_procrustes(a, b)[0], atol=1e-12)


def moves(points: np.ndarray, means: np.ndarray) -> float:
    both = np.concatenate([points, means], axis=1).astype(np.float64)
    return float(np.square(np.diff(both, axis=0)).sum())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), epochs=st.integers(2, 6), points=st.integers(1, 20))
def test_distances_stay_and_moves_never_grow(seed: int, epochs: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    cloud = rng.standard_normal((epochs, points, 3)) * rng.uniform(0.1, 3, (epochs, 1, 3))
    means = rng.standard_normal((epochs, 4, 3))
    found, found_means = aligned(with_clouds(cloud, means))
    for before, after in zip(cloud, found, strict=True):
        np.testing.assert_allclose(pdist(after), pdist(before), atol=1e-4)
    assert moves(found, found_means) <= moves(cloud, means) * (1 + 1e-5) + 1e-6


def test_an_epoch_without_points_is_passed_over() -> None:
    points, means = turned_clouds(np.random.default_rng(2))
    first = points[0].copy()
    points[2], means[2] = np.nan, np.nan
    found, _ = aligned(with_clouds(points, means))
    assert np.isnan(found[2]).all()
    for epoch in (1, 3, 4):
        np.testing.assert_allclose(found[epoch], first, atol=1e-5)


def test_a_class_without_samples_takes_no_part() -> None:
    points, means = turned_clouds(np.random.default_rng(3))
    means[:, 1] = np.nan
    found, found_means = aligned(with_clouds(points, means))
    assert np.isnan(found_means[:, 1]).all()
    np.testing.assert_allclose(found[4], points[0], atol=1e-5)


def test_single_precision_points_do() -> None:
    made = synthetic_dynamics()
    points, means = aligned(made)
    assert points.shape == made.points.shape
    assert means.shape == made.point_means.shape
    assert np.isfinite(points).all()
    assert points[0] == pytest.approx(made.points[0].astype(np.float32))

"""Counts of zeros while outputs stream by, against the whole array at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.features.zeros import SmallCounts, ZeroCounts


@pytest.mark.parametrize("units", [1, 10, 64, 192, 1000])
def test_exact_zeros(units: int) -> None:
    rng = np.random.default_rng(units)
    x = np.maximum(rng.normal(size=(30, units)), 0).astype(np.float32)
    x[:, 0] = -0.0
    counts = ZeroCounts(np.zeros(30, dtype=int), 1, units)
    for i in range(0, 30, 7):
        rows = slice(i, min(i + 7, 30))
        counts.update(rows, torch.from_numpy(x[rows]))
    np.testing.assert_allclose(counts.share, (x != 0).mean(1), rtol=1e-6)
    np.testing.assert_array_equal(counts.active, (x != 0).any(0))


def test_small_values_of_smooth_activations() -> None:
    rng = np.random.default_rng(0)
    x = (10.0 ** rng.uniform(-6, 0, size=(64, 500))).astype(np.float32)
    x[:, 3] = 1e-7
    x[40, 5] = 7.0  # the maximum comes late
    counts = SmallCounts(np.zeros(64, dtype=int), 1, 500)
    for i in range(0, 64, 16):
        counts.update(slice(i, i + 16), torch.from_numpy(x[i : i + 16]))
    counts.finish()
    assert counts.threshold == pytest.approx(7e-3)
    np.testing.assert_allclose(counts.share, (x > 7e-3).mean(1), atol=0.01)
    np.testing.assert_array_equal(counts.active, (x > counts.threshold).any(0))


def _relu(samples: int, units: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = rng.normal(size=units)  # so that some units are nearly always on, others never
    return np.maximum(rng.normal(size=(samples, units)) + 2 * level, 0).astype(np.float32)


def _streamed(x: np.ndarray, labels: np.ndarray, classes: int, batch: int) -> ZeroCounts:
    counts = ZeroCounts(labels, classes, x.shape[1])
    for i in range(0, len(x), batch):
        rows = slice(i, min(i + batch, len(x)))
        counts.update(rows, torch.from_numpy(x[rows]))
    return counts


def _sets(counts: ZeroCounts | SmallCounts, units: int) -> np.ndarray:
    return np.unpackbits(counts.units.sets, axis=1, count=units).astype(bool)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("batch", [1, 7, 300, 1000])
def test_active_sets_against_a_naive_count(ordered: bool, batch: int) -> None:
    x, rng = _relu(600, 83), np.random.default_rng(1)
    labels = rng.integers(0, 4, 600)
    labels[labels == 2] = 3  # class 2 is empty
    labels = np.sort(labels) if ordered else labels
    counts = _streamed(x, labels, 4, batch)
    np.testing.assert_array_equal(counts.units.counts, (x != 0).sum(0))
    sets = _sets(counts, 83)
    for k in (0, 1, 3):
        np.testing.assert_array_equal(sets[k], (x[labels == k] != 0).mean(0) >= 0.5)
    assert not sets[2].any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 50))
def test_order_and_batches_do_not_matter(seed: int, batch: int) -> None:
    x, rng = _relu(60, 20, seed), np.random.default_rng(seed)
    labels, shuffled = rng.integers(0, 3, 60), rng.permutation(60)
    one = _streamed(x, labels, 3, 60)
    other = _streamed(x[shuffled], labels[shuffled], 3, batch)
    np.testing.assert_array_equal(one.units.counts, other.units.counts)
    np.testing.assert_array_equal(one.units.sets, other.units.sets)
    np.testing.assert_array_equal(one.share[shuffled], other.share)


def test_too_many_classes_and_units_leave_the_sets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.features.zeros.MAX_CLASS_UNITS", 50)
    x = _relu(30, 20)
    counts = _streamed(x, np.arange(30) % 3, 3, 8)
    assert counts.units.sets is None
    np.testing.assert_array_equal(counts.units.counts, (x != 0).sum(0))


def test_gelu_s_counts_are_near_those_at_the_final_threshold_even_in_the_worst_order() -> None:
    generator = torch.Generator().manual_seed(0)
    level = 2 * torch.randn(400, generator=generator)
    scale = torch.linspace(0.5, 1.5, 1000)[:, None]  # class by class, the largest come last
    x = torch.nn.functional.gelu(scale * (torch.randn(1000, 400, generator=generator) + level))
    labels = np.arange(1000) // 100
    counts = SmallCounts(labels, 10, 400)
    for i in range(0, 1000, 64):
        counts.update(slice(i, min(i + 64, 1000)), x[i : i + 64])
    counts.finish()
    exact = (x.abs() > 1e-3 * x.abs().max()).numpy()
    assert counts.threshold == pytest.approx(1e-3 * float(x.abs().max()))
    sets = np.array([exact[labels == k].mean(0) >= 0.5 for k in range(10)])
    assert (_sets(counts, 400) != sets).mean() < 0.01
    assert abs(counts.units.counts.mean() - exact.sum(0).mean()) < 0.02 * 1000

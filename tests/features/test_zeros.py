"""Counts of zeros while outputs stream by, against the whole array at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

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

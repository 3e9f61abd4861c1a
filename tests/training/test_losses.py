"""Losses: closed forms, plain loops, and what must hold for any logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.training.losses import Loss, make

LOGITS = arrays(np.float64, (6, 4), elements=st.floats(-20, 20))
LABELS = torch.tensor([0, 1, 2, 3, 1, 0])
ALL = {
    "ce": {},
    "focal": {"focusing": 3.0},
    "ls": {"smoothing": 0.1},
    "mse": {"weight": 2.0, "target": 5.0},
}


def plainly(name: str, z: np.ndarray, labels: np.ndarray, parameters: dict[str, float]) -> float:
    """The definitions of docs/metrics.md, one number after the other."""
    total = 0.0
    for row, y in zip(z, labels, strict=True):
        log_p = [v - max(row) - math.log(sum(math.exp(w - max(row)) for w in row)) for v in row]
        if name == "ce":
            total += -log_p[y]
        elif name == "focal":
            total += -((1 - math.exp(log_p[y])) ** parameters["focusing"]) * log_p[y]
        elif name == "ls":
            a, k = parameters["smoothing"], len(row)
            target = [(1 - a) * (j == y) + a / k for j in range(k)]
            total += -sum(t * v for t, v in zip(target, log_p, strict=True))
        else:
            k, m = parameters["weight"], parameters["target"]
            total += 0.5 * (k * (row[y] - m) ** 2 + sum(row[j] ** 2 for j in range(4) if j != y))
    return total / len(z)


@pytest.mark.parametrize("name", ALL)
@given(LOGITS)
@settings(max_examples=30, deadline=None)
def test_every_loss_is_its_definition(name: str, z: np.ndarray) -> None:
    found = float(make(name, ALL[name])(torch.from_numpy(z), LABELS))
    assert found == pytest.approx(plainly(name, z, LABELS.numpy(), ALL[name]), rel=1e-9, abs=1e-9)


def test_closed_forms() -> None:
    flat = torch.zeros(1, 4, dtype=torch.float64)
    y = torch.tensor([2])
    log4 = math.log(4)
    assert float(make("ce", {})(flat, y)) == pytest.approx(log4)
    assert float(make("focal", {"focusing": 3.0})(flat, y)) == pytest.approx(0.75**3 * log4)
    assert float(make("ls", {"smoothing": 0.3})(flat, y)) == pytest.approx(log4)
    assert float(make("mse", {"weight": 1.0, "target": 1.0})(flat, y)) == pytest.approx(0.5)
    best = torch.zeros(1, 4, dtype=torch.float64)
    best[0, 2] = 5.0
    assert float(make("mse", {"weight": 3.0, "target": 5.0})(best, y)) == 0.0


@given(LOGITS)
@settings(max_examples=30, deadline=None)
def test_special_cases_are_cross_entropy(z: np.ndarray) -> None:
    logits = torch.from_numpy(z)
    ce = float(make("ce", {})(logits, LABELS))
    assert float(make("focal", {"focusing": 0.0})(logits, LABELS)) == pytest.approx(ce, abs=1e-9)
    assert float(make("ls", {"smoothing": 0.0})(logits, LABELS)) == pytest.approx(ce)
    assert float(make("focal", {"focusing": 2.0})(logits, LABELS)) <= ce + 1e-12


@pytest.mark.parametrize("name", ALL)
def test_gradients_stay_finite_where_a_sample_is_certain(name: str) -> None:
    loss: Loss = make(name, ALL[name])
    logits = torch.tensor([[80.0, -80.0, 0.0, 0.0], [0.0, 200.0, 0.0, 0.0]], requires_grad=True)
    loss(logits, torch.tensor([0, 1])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()

"""Projected gradient descent: inside its ball, as strong as theory allows, stronger with effort."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.errors import Cancelled
from core.models.sdnet import SDNet
from core.robustness.descent import (
    Attack,
    is_right,
    margin,
    project,
    random_in_ball,
    random_on_sphere,
)

NORMS = st.sampled_from(["linf", "l2"])
RADII = st.sampled_from([0.0, 1e-3, 0.03, 0.5, 2.0, 50.0])
SEEDS = st.integers(0, 10_000)


def size(delta: torch.Tensor, norm: str) -> torch.Tensor:
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.square().sum(1).sqrt()


def drawn(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """Two classes, logits (0, w·x + b)."""

    def __init__(self, seed: int = 0, bias: float = 0.0) -> None:
        super().__init__()
        self.w = nn.Parameter(drawn(seed, (12,)))
        self.b = nn.Parameter(torch.tensor(bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(out), out], 1)


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 30), nn.Tanh(), nn.Linear(30, 3)).double()


def images(count: int = 40, seed: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


# --- the ball ------------------------------------------------------------------------------------


@given(SEEDS, RADII, NORMS, st.sampled_from([0.01, 1.0, 100.0]))
@settings(deadline=None)
def test_projection_ends_in_the_ball_and_the_box(
    seed: int, radius: float, norm: str, scale: float
) -> None:
    x = images(4, seed)
    delta = project(drawn(seed, (4, 3, 2, 2), scale), x, radius, norm)
    assert (size(delta, norm) <= radius * (1 + 1e-5) + 1e-6).all()
    assert ((x + delta >= -1e-6) & (x + delta <= 1 + 1e-6)).all()
    again = project(delta, x, radius, norm)
    assert torch.allclose(again, delta, atol=1e-5)


@given(SEEDS, st.sampled_from([0.01, 0.1, 0.6]))
@settings(deadline=None)
def test_in_linf_it_is_the_nearest_point_of_both(seed: int, radius: float) -> None:
    x, delta = images(3, seed), drawn(seed, (3, 3, 2, 2), 0.3)
    nearest = np.clip(
        (x + delta).numpy(),
        np.maximum(x.numpy() - radius, 0),
        np.minimum(x.numpy() + radius, 1),
    )
    assert torch.allclose(x + project(delta, x, radius, "linf"), torch.tensor(nearest), atol=1e-6)


@given(SEEDS, st.sampled_from([0.01, 0.2]))
@settings(deadline=None)
def test_what_is_inside_stays(seed: int, radius: float) -> None:
    x = 0.25 + 0.5 * images(3, seed)
    for norm in ("linf", "l2"):
        inside = 0.99 * random_in_ball(x.shape, radius, norm, torch.Generator().manual_seed(seed))
        assert torch.allclose(project(inside, x, radius, norm), inside, atol=1e-6)


def test_in_l2_a_long_perturbation_keeps_its_direction() -> None:
    x, delta = torch.full((2, 3, 2, 2), 0.5), drawn(1, (2, 3, 2, 2))
    made = project(delta, x, 0.3, "l2")
    assert torch.allclose(size(made, "l2"), torch.tensor(0.3))
    assert torch.allclose(
        torch.cosine_similarity(made.flatten(1), delta.flatten(1)), torch.ones(2), atol=1e-5
    )


def test_random_starts_fill_the_ball_evenly() -> None:
    made = random_in_ball((20_000, 1, 1, 3), 2.0, "l2", torch.Generator().manual_seed(0))
    lengths = size(made, "l2").numpy()
    # in d dimensions the share within a radius r is (r / ε)^d
    for share in (0.2, 0.5, 0.9):
        assert (lengths <= 2 * share ** (1 / 3)).mean() == pytest.approx(share, abs=0.015)
    flat = random_in_ball((5000, 1, 2, 2), 2.0, "linf", torch.Generator().manual_seed(0)).numpy()
    assert (np.abs(flat) <= 2).all()
    assert flat.std() == pytest.approx(2 / 3**0.5, 0.02)
    for norm in ("linf", "l2"):
        edge = random_on_sphere((50, 3, 2, 2), 0.7, norm, torch.Generator().manual_seed(0))
        assert torch.allclose(size(edge, norm), torch.tensor(0.7))


# --- the attack ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [1 / 255, 0.1, 0.8])
def test_adversarial_images_are_images_within_the_radius(norm: str, radius: float) -> None:
    x = images().double()
    worst, _ = Attack(norm, radius, 7, 2).run(small_network(), x, torch.arange(40) % 3, early=False)
    assert (size(worst - x, norm) <= radius + 1e-9).all()
    assert ((worst >= 0) & (worst <= 1)).all()
    assert (size(worst - x, norm) > 0.5 * radius).any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("restarts", [1, 2])
def test_a_linear_model_s_worst_case_in_linf(seed: int, restarts: int) -> None:
    """Away from the box the margin falls by ε‖w‖₁, and no further (Goodfellow et al. 2015)."""
    network, x = Linear(seed), 0.4 + 0.2 * images()
    for label in (0, 1):
        labels = torch.full((40,), label)
        _, lowest = Attack("linf", 0.05, 20, restarts).run(network, x, labels, early=False)
        theory = margin(network(x), labels) - 0.05 * network.w.abs().sum()
        assert torch.allclose(lowest, theory.detach(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_model_s_worst_case_in_l2(seed: int) -> None:
    """It falls by ε‖w‖₂. Steps of 2.5 ε together turn a start at a right angle to within
    2 arctan(e^-2.5) of the gradient: 1.4 % of ε‖w‖₂ is left; with more reach nothing is."""
    network, x, labels = Linear(seed), 0.4 + 0.2 * images(), torch.ones(40, dtype=torch.long)
    fall = 0.05 * network.w.square().sum().sqrt().detach()
    theory = margin(network(x), labels).detach() - fall
    _, lowest = Attack("l2", 0.05, 200, reach=20.0).run(network, x, labels, early=False)
    assert torch.allclose(lowest, theory, atol=1e-4)
    _, lowest = Attack("l2", 0.05, 20).run(network, x, labels, early=False)
    left = 1 - math.cos(2 * math.atan(math.exp(-2.5)))
    assert (lowest >= theory - 1e-5).all()
    # a start may lie behind the right angle, but among 12 dimensions hardly far
    assert ((lowest - theory) / fall).median() < 1.5 * left
    assert ((lowest - theory) / fall).max() < 0.2


def test_at_the_box_only_what_is_left_of_the_ball_counts() -> None:
    network, x = Linear(1), torch.zeros(5, 3, 2, 2)
    labels = torch.ones(5, dtype=torch.long)
    _, lowest = Attack("linf", 0.1, 20).run(network, x, labels, early=False)
    theory = -0.1 * network.w.clamp_max(0).abs().sum()  # values can only rise
    assert torch.allclose(lowest, theory.detach().expand(5), atol=1e-5)


def naive(network: nn.Module, x: np.ndarray, label: int, start: np.ndarray, steps: int) -> float:
    """The lowest margin along PGD in L∞ on one image, with finite differences for gradients."""

    def logits(v: np.ndarray) -> np.ndarray:
        return network(torch.tensor(v)[None])[0].detach().numpy()

    def entropy(v: np.ndarray) -> float:
        out = logits(v)
        return float(np.log(np.exp(out).sum()) - out[label])

    at = np.clip(x + np.clip(start, -0.2, 0.2), 0, 1)
    lowest = np.inf
    for step in range(steps + 1):
        out = logits(at)
        lowest = min(lowest, out[label] - np.delete(out, label).max())
        if step == steps:
            return float(lowest)
        gradient = np.zeros_like(at)
        for i in np.ndindex(*at.shape):
            moved = at.copy()
            moved[i] += 1e-6
            gradient[i] = (entropy(moved) - entropy(at)) / 1e-6
        at = np.clip(at + 2.5 * 0.2 / steps * np.sign(gradient), x - 0.2, x + 0.2).clip(0, 1)
    return float(lowest)


def test_as_plain_code_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small_network(), images(3).double()
    labels = torch.tensor([0, 1, 2])
    start = drawn(3, (3, 3, 2, 2), 0.1).double()
    monkeypatch.setattr("core.robustness.descent.random_in_ball", lambda *_: start)
    _, lowest = Attack("linf", 0.2, 6).run(network, x, labels, early=False)
    theirs = [naive(network, x[i].numpy(), int(labels[i]), start[i].numpy(), 6) for i in range(3)]
    assert lowest.tolist() == pytest.approx(theirs, abs=1e-9)


@given(SEEDS, NORMS, st.sampled_from([0.02, 0.3]))
@settings(deadline=None, max_examples=20)
def test_more_restarts_are_never_weaker(seed: int, norm: str, radius: float) -> None:
    network, x = small_network(seed), images(10, seed).double()
    labels = network(x).argmax(1)
    before = None
    for restarts in (1, 2, 3):
        _, lowest = Attack(norm, radius, 5, restarts, seed).run(network, x, labels, early=False)
        assert before is None or (lowest <= before).all()
        before = lowest


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_steps_and_larger_radii_break_more(norm: str) -> None:
    network, x = small_network(), images(200).double()
    labels = network(x).argmax(1)
    middle = 0.03 if norm == "linf" else 0.1

    def left(radius: float, steps: int) -> int:
        _, lowest = Attack(norm, radius, steps).run(network, x, labels, early=False)
        return int((lowest > 0).sum())

    assert left(middle, 20) <= left(middle, 3) <= left(middle, 1)
    assert left(4 * middle, 20) < left(middle, 20) < left(middle / 4, 20) < 200
    assert left(0.0, 3) == 200


class Bent(nn.Module):
    """Class 1 but for a bump of class 0 around (0.8, 0.2, …): the gradient turns on the way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        goal = torch.tensor([0.8, 0.2]).repeat(6).to(x)
        far = (x.flatten(1) - goal) * torch.linspace(0.5, 2.0, 12).to(x)
        out = far.square().sum(1) - 0.3
        return torch.stack([torch.zeros_like(out), out], 1)


def test_one_step_does_not_do_where_the_loss_bends() -> None:
    x, labels = images(200), torch.ones(200, dtype=torch.long)
    left = [
        int((Attack("l2", 1.5, steps).run(Bent(), x, labels, early=False)[1] > 0).sum())
        for steps in (1, 3, 20)
    ]
    assert left[2] < left[1] < left[0]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_stopping_early_breaks_the_same_images(norm: str) -> None:
    network, x = small_network(), images(100).double()
    labels = network(x).argmax(1)
    attack = Attack(norm, 0.05, 10, 2)
    every, each = (attack.run(network, x, labels, early=e) for e in (True, False))
    assert ((every[1] > 0) == (each[1] > 0)).all()
    assert 0 < (each[1] > 0).sum() < 100
    # and the images given back are those that break it
    for worst, lowest in (every, each):
        assert (is_right(network, worst, labels) == (lowest > 0)).all()
        assert torch.allclose(margin(network(worst), labels).detach(), lowest)


def test_random_noise_is_weaker_than_the_gradient() -> None:
    network, x = Linear(), 0.4 + 0.2 * images()
    labels = torch.ones(40, dtype=torch.long)
    noise = random_on_sphere(x.shape, 0.05, "linf", torch.Generator().manual_seed(0))
    _, lowest = Attack("linf", 0.05, 10).run(network, x, labels, early=False)
    assert (lowest < margin(network(x + noise), labels)).all()


def test_the_gradient_goes_through_the_unrolled_iterations() -> None:
    torch.manual_seed(0)
    network = SDNet((3, 8, 8), (6, 8), 3, lam=0.05).eval().requires_grad_(False)
    x = torch.rand(20, 3, 8, 8)
    labels = network(x).argmax(1)
    noise = random_on_sphere(x.shape, 0.05, "linf", torch.Generator().manual_seed(0))
    _, lowest = Attack("linf", 0.05, 10).run(network, x, labels, early=False)
    assert (lowest < margin(network((x + noise).clamp(0, 1)), labels)).all()


def test_the_margin_of_a_tie_is_not_right() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [3.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    assert margin(logits, torch.tensor([0, 0, 1])).tolist() == [0.0, 1.0, -1.0]


def test_it_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        Attack("linf", 0.1, 5).run(
            Linear(), images(), torch.ones(40, dtype=torch.long), cancelled=lambda: True
        )

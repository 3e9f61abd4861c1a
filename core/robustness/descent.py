"""Projected gradient descent: the smallest change of an image that a network takes for another
class, within a ball.

Madry et al. 2018 ("Towards deep learning models resistant to adversarial attacks", ICLR).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.progress import IsCancelled, check, never

REACH = 2.5  # radii: any point of the ball can be reached, with room to turn

_SMALLEST = 1e-30  # of a gradient's norm, before it is divided by


def project(delta: Tensor, x: Tensor, radius: float, norm: str) -> Tensor:
    """A perturbation brought into the ball of that radius, and x + delta into [0, 1].

    For "linf" it is the nearest such point; for "l2" first the ball, then the box, which holds x,
    so that cutting off at it only shortens delta. delta, x (N, C, H, W), x in [0, 1].
    """
    if norm == "linf":
        delta = delta.clamp(-radius, radius)
    else:
        length = torch.linalg.vector_norm(delta.flatten(1), dim=1).clamp_min(_SMALLEST)
        delta = delta * (radius / length).clamp_max(1.0).reshape(-1, 1, 1, 1)
    return (x + delta).clamp(0.0, 1.0) - x


def random_in_ball(
    shape: torch.Size | tuple[int, ...], radius: float, norm: str, generator: torch.Generator
) -> Tensor:
    """(N, C, H, W) perturbations, uniform in the ball."""
    if norm == "linf":
        return radius * (2 * torch.rand(shape, generator=generator) - 1)
    scale = torch.rand(shape[0], 1, 1, 1, generator=generator)
    dim = int(np.prod(shape[1:]))
    return random_on_sphere(shape, radius, norm, generator) * scale ** (1 / dim)


def random_on_sphere(
    shape: torch.Size | tuple[int, ...], radius: float, norm: str, generator: torch.Generator
) -> Tensor:
    """(N, C, H, W) perturbations as large as the ball allows: its corners, or its sphere."""
    noise = torch.randn(shape, generator=generator)
    if norm == "linf":
        return radius * torch.where(noise >= 0, 1.0, -1.0)
    length = torch.linalg.vector_norm(noise.flatten(1), dim=1).clamp_min(_SMALLEST)
    return noise * (radius / length).reshape(-1, 1, 1, 1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(N,) logit of the label minus the largest other one; from 0 down the image is taken for
    another class."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


@dataclass(frozen=True, slots=True)
class Attack:
    """Projected gradient descent.

    From a random point of the ball, ``steps`` steps of ``reach`` · radius / steps along the sign
    of the gradient ("linf") or the gradient at length 1 ("l2"), each followed by ``project``. The
    loss is the cross-entropy in even restarts and the margin of the logits (Carlini and Wagner
    2017) in odd ones: where a confident network's cross-entropy is flat, the margin is not.
    """

    norm: str
    radius: float
    steps: int
    restarts: int = 1
    seed: int = 0
    reach: float = REACH  # length of all steps together, in radii

    def run(
        self,
        network: nn.Module,
        x: Tensor,
        labels: Tensor,
        *,
        early: bool = True,
        cancelled: IsCancelled = never,
    ) -> tuple[Tensor, Tensor]:
        """The worst image found for each of x (N, C, H, W), of lowest margin over all steps and
        restarts, and its margin (N,). With ``early`` an image is left alone once it is broken."""
        worst = x.clone()
        lowest = x.new_full((len(x),), torch.inf)
        for restart in range(self.restarts):
            generator = torch.Generator().manual_seed(seeded(self.seed, restart))
            start = random_in_ball(x.shape, self.radius, self.norm, generator).to(x)
            alive = torch.arange(len(x), device=x.device)
            if early:
                alive = alive[lowest > 0]
            delta = project(start[alive], x[alive], self.radius, self.norm)
            for step in range(self.steps + 1):
                check(cancelled)
                if not len(alive):
                    break
                last = step == self.steps
                found, gradient = _look(
                    network, x[alive] + delta, labels[alive], restart % 2 == 1, not last
                )
                better = found < lowest[alive]
                lowest[alive[better]] = found[better]
                worst[alive[better]] = (x[alive] + delta)[better]
                if last:
                    break
                delta = self._step(delta, x[alive], gradient)
                if early:
                    going = found > 0
                    alive, delta = alive[going], delta[going]
        return worst, lowest

    def _step(self, delta: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
        """Up the loss; gradient as delta (N, C, H, W)."""
        if self.norm == "linf":
            direction = gradient.sign()
        else:
            length = torch.linalg.vector_norm(gradient.flatten(1), dim=1).clamp_min(_SMALLEST)
            direction = gradient / length.reshape(-1, 1, 1, 1)
        moved = delta + self.reach * self.radius / self.steps * direction
        return project(moved, x, self.radius, self.norm)


def _look(
    network: nn.Module, x: Tensor, labels: Tensor, by_margin: bool, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Margins (N,), and the gradient of the loss at x, whose samples do not mix."""
    if not with_gradient:
        with torch.no_grad():
            return margin(network(x), labels), x
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(x)
        margins = margin(logits, labels)
        entropy = functional.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(-margins.sum() if by_margin else entropy, x)
    return margins.detach(), gradient


def seeded(*parts: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def is_right(network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """(N,) bool"""
    with torch.no_grad():
        return margin(network(x), labels) > 0

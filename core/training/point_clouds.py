"""Small fully connected networks trained on two classes of points, and their layers' outputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from core.progress import IsCancelled, Progress, check, never, silent

SLOPE = 0.2  # of leaky ReLU, as of Naitzat, Zhitnikov and Lim
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(SLOPE),
}
GAINS = {"tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + SLOPE**2))}
BATCH = 128
LEARNING_RATES = {"tanh": 0.002, "relu": 0.005, "leaky_relu": 0.005}  # the highest of one cycle


@dataclass(frozen=True, slots=True)
class Trained:
    """A network and how its training went, epoch by epoch."""

    model: nn.Sequential
    loss: np.ndarray  # (epochs,) mean cross-entropy on the training points during the epoch
    accuracy: np.ndarray  # (epochs,) on the training points, after the epoch


def network(dim: int, width: int, depth: int, activation: str, seed: int) -> nn.Sequential:
    """``depth`` hidden layers of ``width`` units and two logits, dim-width-…-width-2.

    Initialised after Glorot and Bengio (tanh) or He et al. (the others), biases 0.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    sizes = [dim] + [width] * depth + [2]
    for inside, outside in itertools.pairwise(sizes):
        linear = nn.Linear(inside, outside)
        fan = (inside + outside) / 2 if activation == "tanh" else inside
        bound = GAINS[activation] * math.sqrt(3 / fan)
        nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def train(
    model: nn.Sequential,
    points: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    seed: int,
    rate: float,
    *,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Trained:
    """Train ``model`` in place with Adam on points (n, dim) float32, labels (n,) of 0 and 1.

    The learning rate rises to ``rate`` and falls again (one-cycle schedule of Smith and Topin).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # layers this small lose time when threads share them
    try:
        return _train(model, points, labels, epochs, seed, rate, progress, cancelled)
    finally:
        torch.set_num_threads(threads)


def _train(
    model: nn.Sequential,
    points: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    seed: int,
    rate: float,
    progress: Progress,
    cancelled: IsCancelled,
) -> Trained:
    x, y = torch.from_numpy(points), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(model.parameters(), foreach=True)
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    losses, accuracies = [], []
    for epoch in range(epochs):
        check(cancelled)
        total = 0.0
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        losses.append(total / len(x))
        accuracies.append(accuracy(model, points, labels))
        progress(epoch + 1, epochs, f"training, {100 * accuracies[-1]:.1f} % right")
    return Trained(model, np.array(losses), np.array(accuracies))


@torch.no_grad()
def accuracy(model: nn.Sequential, points: np.ndarray, labels: np.ndarray) -> float:
    """Share of the points (n, dim) on the right side."""
    found = model(torch.from_numpy(points)).argmax(1).numpy()
    return float((found == labels).mean())


@torch.no_grad()
def layer_outputs(model: nn.Sequential, points: np.ndarray) -> list[np.ndarray]:
    """The points (n, dim), the outputs (n, width) of every activation, and the logits (n, 2)."""
    held = torch.from_numpy(points)
    outputs = [points]
    for layer in model:
        held = layer(held)
        if not isinstance(layer, nn.Linear):
            outputs.append(held.numpy())
    return [*outputs, held.numpy()]

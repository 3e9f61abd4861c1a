"""Points of a loss landscape against plain code that makes and loads a state dictionary for each.

Both sides evaluate the same points on the same images and agree; one thread, CPU time, so that
other work on the machine matters little. Plain code once with the images in memory, and once
reading them again for every point, as a loop over a data loader does.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.checkpoints import open_checkpoint
from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.data.preprocessing import Preprocessing
from core.landscape.directions import filter_normalised
from core.landscape.surface import Evaluator
from core.library import BUNDLED_RUNS
from core.models.building import build

CASES = {
    "mlp": ("digits-mlp/epoch_00600.safetensors", "digits-train", 512, 25),
    "resnet20": ("resnet20-cifar10/resnet20-12fca82f.th", "cifar10", 64, 4),
}
BATCH = 128  # of plain code


def _plain(
    module: nn.Module,
    directions: list[dict[str, Tensor]],
    places: np.ndarray,
    images: Callable[[], Tensor],
    labels: Tensor,
) -> np.ndarray:
    """Losses (M,) at places (M, 2), without anything shared between points."""
    state = {k: v.clone() for k, v in module.state_dict().items()}
    losses = []
    with torch.inference_mode():
        for place in places.tolist():
            moved = dict(state)
            for step, direction in zip(place, directions, strict=True):
                for name, change in direction.items():
                    moved[name] = moved[name] + step * change
            module.load_state_dict(moved)
            total = 0.0
            for x, y in zip(images().split(BATCH), labels.split(BATCH), strict=True):
                total += float(functional.cross_entropy(module(x), y, reduction="sum"))
            losses.append(total / len(labels))
        module.load_state_dict(state)
    return np.array(losses)


def _read(dataset: Dataset, preprocessing: Preprocessing) -> Tensor:
    return torch.from_numpy(load_batch(dataset, np.arange(len(dataset)), preprocessing))


def _best(function: Callable[[], np.ndarray], repeats: int = 3) -> tuple[float, np.ndarray]:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        value = function()
        times.append(time.process_time() - started)
    return min(times), value


def _case(file: str, data: str, count: int, points: int) -> dict[str, float]:
    checkpoint = open_checkpoint(BUNDLED_RUNS / file)
    model = build(checkpoint.tensors, checkpoint.metadata)
    dataset = open_dataset(data)
    dataset = dataset.select(dataset.stratified(count, 0))
    again = partial(_read, dataset, model.preprocessing)
    held = again()
    labels = torch.from_numpy(dataset.labels)
    plain = copy.deepcopy(model.module)
    ours = Evaluator(model.module, held.numpy(), dataset.labels, device=torch.device("cpu"))
    origin, draws = ours.weights.read(), torch.Generator().manual_seed(0)
    directions = [filter_normalised(ours.weights, origin, draws) for _ in range(2)]
    named = [ours.weights.named(direction) for direction in directions]
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (points, 2))
    seconds, losses = _best(lambda: ours.at(origin, directions, places)[0])
    memory, expected = _best(partial(_plain, plain, named, places, lambda: held, labels))
    reading, _ = _best(partial(_plain, plain, named, places, again, labels), repeats=1)
    return {
        "ms_a_point": 1000 * seconds / points,
        "plain_ms_a_point": 1000 * memory / points,
        "times_faster": memory / seconds,
        "times_faster_than_reading_again": reading / seconds,
        "relative_difference": float(np.abs(losses / expected - 1).max()),
    }


def run() -> dict[str, float]:
    """CPU milliseconds a point of both sides, ratios, and the largest relative difference."""
    torch.set_num_threads(1)
    return {
        f"{name}_{key}": value
        for name, case in CASES.items()
        for key, value in _case(*case).items()
    }


if __name__ == "__main__":
    print(run())

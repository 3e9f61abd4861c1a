"""Train networks of many sizes and keep the share of their activations that is not zero.

python -m scripts.train_sizes --out FILE

Goes on in FILE where it stopped; when every cell is trained, the bundled result, which Size and
sparsity draws, becomes a copy of it. About half an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.data.preprocessing import Preprocessing
from core.features.devices import torch_threads
from core.training.networks import normalisation
from core.training.sizes import CELLS, DATA, MEASURED, SIZES, Cell, recipe_of
from core.training.steps import Training

DIGITS = 4  # kept of every number


@lru_cache(maxsize=3)
def images_of(name: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test images (N, C, H, W) and labels (N,).

    Minus the mean training image, over the standard deviation of what remains, so that no unit
    is on or off for the mean image's sake.
    """
    sets = []
    for spec in (DATA[name].train, DATA[name].test):
        dataset = open_dataset(spec)
        height, width, channels = dataset.image(0).shape
        plain = Preprocessing(height, width, channels, *normalisation(channels))
        x = torch.from_numpy(load_batch(dataset, np.arange(len(dataset)), plain))
        sets.append((x, torch.from_numpy(dataset.labels)))
    (x, y), (x_test, y_test) = sets
    mean = x.mean(dim=0)
    spread = (x - mean).std()
    return ((x - mean) / spread, y), ((x_test - mean) / spread, y_test)


def start_symmetric(model: nn.Module) -> None:
    """He initialisation (2015) of every layer that a ReLU follows, biases 0: a unit is then as
    likely to be on as off, and the share of non-zeros starts at ½ in expectation."""
    followed = {"mlp": "linear", "cnn": "conv", "vit": "fc1"}[model.metadata()["architecture"]]  # type: ignore[operator]
    for name, module in model.named_modules():
        if followed in name and isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Counter:
    """Counts what is not zero in the output of every ReLU while a network runs."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, nn.ReLU)]
        self.counting = False
        self.clear()
        for i, layer in enumerate(self.layers):
            layer.register_forward_hook(lambda _, __, out, i=i: self._count(i, out))

    def clear(self) -> None:
        self.nonzero = [0] * len(self.layers)
        self.total = [0] * len(self.layers)
        self.largest: list[Tensor | None] = [None] * len(self.layers)

    def _count(self, i: int, out: Tensor) -> None:
        if not self.counting:
            return
        units = out.movedim(1, -1) if out.ndim == 4 else out  # channels of an image
        units = units.reshape(-1, units.shape[-1])  # (samples × places, units)
        self.nonzero[i] += int(torch.count_nonzero(units))
        self.total[i] += units.numel()
        largest, before = units.amax(dim=0), self.largest[i]
        self.largest[i] = largest if before is None else torch.maximum(before, largest)

    def shares(self) -> list[float]:
        """Share of non-zeros of every layer, first to last."""
        return [n / total for n, total in zip(self.nonzero, self.total, strict=True)]

    def dead(self) -> list[float]:
        """Share of every layer's units that are zero everywhere."""
        return [float((t == 0).double().mean()) for t in self.largest if t is not None]


def measure(cell: Cell, last: int | None = None) -> dict[str, Any]:
    """Train one cell and keep what the page shows; ``last``: stop after that epoch."""
    (x, y), (x_test, y_test) = images_of(cell.data)
    recipe = recipe_of(cell)
    epochs = [e for e in MEASURED if last is None or e <= last]
    rows = []
    with torch_threads(1):
        training = Training(recipe, x, y, int(y.max()) + 1, cell.seed)
        start_symmetric(training.model)
        counter = Counter(training.model)
        for epoch in range(epochs[-1] + 1):
            if epoch:
                training.epoch()
            if epoch in epochs:
                rows.append(_measured(training, counter, (x, y), (x_test, y_test)))
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    parameters = sum(p.numel() for p in training.model.parameters())
    return asdict(cell) | {"parameters": parameters, "epochs": epochs} | columns


def _measured(
    training: Training,
    counter: Counter,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
) -> dict[str, Any]:
    counter.clear()
    counter.counting = True
    _, train_accuracy = training.evaluate(*train)
    counter.counting = False
    _, test_accuracy = training.evaluate(*test)
    return {
        "train_accuracy": round(train_accuracy, DIGITS),
        "test_accuracy": round(test_accuracy, DIGITS),
        "shares": _rounded(counter.shares()),
        "dead": _rounded(counter.dead()),
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, DIGITS) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else []
    done = {Cell(*(r[k] for k in ("setup", "width", "depth", "data", "seed"))) for r in rows}
    for cell in CELLS:
        if cell in done:
            continue
        started = time.process_time()
        rows.append(measure(cell))
        out.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        temporary = out.with_name(f".{out.name}")
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        temporary.replace(out)
        ends = f"accuracy {rows[-1]['train_accuracy'][-1]}, non-zero {rows[-1]['shares'][-1]}"
        print(f"{cell} {time.process_time() - started:.1f} s, {ends}", flush=True)
    shutil.copyfile(out, SIZES)


if __name__ == "__main__":
    main()

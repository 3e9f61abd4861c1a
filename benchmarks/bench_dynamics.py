"""What measuring a whole run costs on top of its bare forward passes. The ratio, in one run.

Run as ``python -m benchmarks.bench_dynamics [CHECKPOINTS [IMAGES]]``. ResNet-20 of the CIFAR family
with random weights on made-up images (the cost does not depend on them), all its automatic layers,
one torch thread. The bare side opens the same files, loads the weights and runs the same images,
decoded once, through the network without looking at any layer; the other side is everything that
``core.dynamics.compute.run`` does: telling the network, layers, statistics, dimension, pictures,
and keeping the results. Times are the process's CPU seconds, which other programs on the machine
disturb less than the clock; the sides alternate.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

from core.checkpoints import open_checkpoint
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.dynamics import compute
from core.dynamics.request import request_of
from core.features import devices, passes
from core.models.building import build
from core.models.load import load
from core.models.mlp import MLP
from core.models.resnet import constructors

BATCH = 64
PACE = devices.Pace(BATCH, 1, 0.0)


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _made_run(folder: Path, checkpoints: int, images: int, side: int) -> Run:
    """A run of ``checkpoints`` random networks and a data set of made-up images."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % 10
    shade = rng.integers(0, 128, (10, 1, 1, 3), dtype=np.uint8)
    noise = rng.integers(0, 128, (images, side, side, 3), dtype=np.uint8)
    data = folder / "images.npz"
    np.savez(data, X=noise + shade[labels], y=labels)
    files = []
    for i in range(checkpoints):
        torch.manual_seed(i)
        if side == 32:
            module = constructors()["resnet20_cifar"](10, 3)
            metadata = {"mean": "0.5, 0.5, 0.5", "std": "0.5, 0.5, 0.5"}
        else:
            module = MLP((3, side, side), (128,) * 10, 10)
            metadata = module.metadata()
        tensors = {k: v for k, v in module.state_dict().items() if v.dtype != torch.int64}
        save_file(tensors, folder / f"epoch_{i:05d}.safetensors", metadata)
        files.append(RunCheckpoint(f"epoch_{i:05d}.safetensors", i))
    return Run("made", folder, "Made", "Made", tuple(files), (DataEntry(str(data), "made"),))


def _bare(run: Run) -> None:
    dataset = open_dataset(run.data[0].id)
    checkpoint = open_checkpoint(run.folder / run.checkpoints[0].file)
    model = build(checkpoint.tensors, checkpoint.metadata)
    placed = passes.place(model, "cpu")
    order = np.argsort(dataset.labels, kind="stable")
    batches = [
        placed.tensor(load_batch(dataset, order[i : i + BATCH], model.preprocessing))
        for i in range(0, len(order), BATCH)
    ]
    for entry in run.checkpoints:
        checkpoint = open_checkpoint(run.folder / entry.file)
        load(model.module, checkpoint.tensors, entry.file)
        with torch.inference_mode():
            for batch in batches:
                model.module(batch)


def _measured(run: Run) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as cache,
        mock.patch.dict(os.environ, FEATURESCOPE_CACHE=cache),
        mock.patch.object(passes, "find_pace", return_value=PACE),
    ):
        result = compute.run(request_of(run, run.data[0].id, device="cpu"))
        assert len(result.epochs) == len(run.checkpoints)
        return {"layers": float(len(result.layers)), **result.seconds}


def _again(run: Run) -> float:
    """Seconds of a second time, when everything is kept."""
    with (
        tempfile.TemporaryDirectory() as cache,
        mock.patch.dict(os.environ, FEATURESCOPE_CACHE=cache),
    ):
        request = request_of(run, run.data[0].id, device="cpu")
        compute.run(request)
        return _seconds(lambda: compute.run(request))[0]


def run(checkpoints: int = 20, images: int = 2000, repeats: int = 1) -> dict[str, float]:
    """The ratio and what it is made of."""
    torch.set_num_threads(1)
    sides: dict[str, list[tuple[float, float]]] = {"bare": [], "measured": []}
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        made = _made_run(Path(name), checkpoints, images, 32)
        for _ in range(repeats):
            sides["bare"].append(_seconds(lambda: _bare(made)))
            sides["measured"].append(_seconds(lambda: found.update(_measured(made))))
    with tempfile.TemporaryDirectory() as name:
        small = _made_run(Path(name), 10, 1437, 5)
        _measured(small)  # the first time imports
        perceptron, _ = _seconds(lambda: _measured(small))
        again = _again(small)
    cpu = {k: statistics.median(t[0] for t in v) for k, v in sides.items()}
    wall = {k: statistics.median(t[1] for t in v) for k, v in sides.items()}
    return {
        "checkpoints": checkpoints,
        "images": images,
        "layers": found["layers"],
        "measured_over_bare": cpu["measured"] / cpu["bare"],
        "measured_over_bare_wall": wall["measured"] / wall["bare"],
        "all_over_forward_of_the_measured_side": found["all"] / found["forward"],
        "bare_seconds": cpu["bare"],
        "perceptron_12_layers_seconds_a_checkpoint": perceptron / 10,
        "perceptron_again_seconds": again,
    }


if __name__ == "__main__":
    counts = [int(a) for a in sys.argv[1:3]]
    print(json.dumps(run(*counts), indent=1))

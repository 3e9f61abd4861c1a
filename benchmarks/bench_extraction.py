"""What reading every layer costs on top of the bare forward pass. Ratios, in one run.

Run as ``python -m benchmarks.bench_extraction [IMAGES]``. ResNet-20 with random weights on made-up
images (the cost does not depend on them); one torch thread; the bare pass reads the same images
the same way, with no layer tapped. Times are the process's CPU seconds, which other programs on
the machine disturb less than the clock; medians over interleaved repeats.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch

from core.data.dataset import Dataset
from core.data.preprocessing import Preprocessing
from core.features import devices, passes
from core.features.extract import extract
from core.models.resnet import constructors
from core.results import Settings

BATCH = 64


def _data(images: int) -> Dataset:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, images)
    names = tuple(map(str, range(10)))
    return Dataset("made", "0", labels, names, lambda i: pixels[i % 256], np.arange(images))


def _cpu_seconds(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """The largest growth of resident memory in bytes, in a list of one, sampled (Linux only)."""

    def resident() -> int:
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

    peak, stop, start = [0], threading.Event(), resident()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], resident() - start)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def run(images: int = 10_000, repeats: int = 3) -> dict[str, float]:
    """The ratios and what they are made of."""
    torch.set_num_threads(1)
    module = constructors()["resnet20_cifar"](10, 3).eval()
    half = (0.5, 0.5, 0.5)
    model = SimpleNamespace(
        module=module, preprocessing=Preprocessing(32, 32, 3, half, half), classes=10
    )
    data = _data(images)
    placed = passes.place(model, "cpu")
    pace = devices.Pace(BATCH, 1, 0.0)

    def bare() -> None:
        order = np.argsort(data.labels, kind="stable")
        passes.run_pass(
            placed, data, (), order, pace, (), finished=lambda r, o: None, cancelled=lambda: False
        )

    def read(features: str, metrics: tuple[str, ...]) -> None:
        settings = Settings(
            layers="all", features=features, metrics=metrics, batch_size=BATCH, device="cpu"
        )
        # the trial is left out: the pace is that of the bare pass
        with mock.patch.object(passes, "find_pace", return_value=pace):
            extract(model, data, settings)

    work = {
        "bare": bare,
        "pooled": lambda: read("pooled", ("collapse", "sparsity")),
        "flat": lambda: read("flat", ("collapse",)),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    peak: list[int] = [0]
    for _ in range(repeats):
        for name, job in work.items():
            with _peak_memory() as grown:
                times[name].append(_cpu_seconds(job))
            if name == "pooled":
                peak[0] = max(peak[0], grown[0])
    cpu = {name: statistics.median(t[0] for t in values) for name, values in times.items()}
    wall = {name: statistics.median(t[1] for t in values) for name, values in times.items()}
    with torch.inference_mode():
        traced = passes.probe(placed, data)
    stored = 4 * images * sum(int(np.prod(c.shape)) for c in traced.calls if c.leaf and c.shape)
    return {
        "images": images,
        "pooled_over_bare": cpu["pooled"] / cpu["bare"],
        "pooled_over_bare_wall": wall["pooled"] / wall["bare"],
        "flat_over_bare": cpu["flat"] / cpu["bare"],
        "flat_over_bare_wall": wall["flat"] / wall["bare"],
        "memory_over_stored_activations": peak[0] / stored,
        "bare_seconds": cpu["bare"],
    }


if __name__ == "__main__":
    counts = [int(a) for a in sys.argv[1:2]]
    print(json.dumps(run(*counts), indent=1))

"""What a first layer of convolutional sparse coding costs: SDNet beside the plain network.

Run as ``python -m benchmarks.bench_sdnet``. Two networks, each with a convolution first and with a
CSC layer first: the bundled ResNet-8 (recipes cifar-plain and cifar-sdnet), and ResNet-18 with the
stem for CIFAR, as in Dai et al. 2022. Training is a forward and a backward pass and a step of SGD
on one batch; inference is the forward pass in evaluation mode. Speeds are medians over interleaved
repeats. The peak of memory is that of the GPU's allocator, or without a GPU the resident memory of
a process of its own, less that of the process before its network is made.

The lecture has, for ResNet-18 on CIFAR-10 and a GPU, 1,500 images/s against the plain network's
1,600 in training (0.94), and 1.2 GB against 1.0 GB (1.2).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from core.features.devices import memory_format
from core.models.csc import CSC2d
from core.models.resnet import constructors
from core.training.networks import build_network
from core.training.recipes import RECIPES

LECTURE_SPEED, LECTURE_MEMORY = 1500 / 1600, 1.2 / 1.0
LAM = 0.1


@dataclass(frozen=True, slots=True)
class Size:
    """A network, and how much of it fits into the time."""

    name: str  # "resnet8" or "resnet18"
    batch: int
    repeats: int


SIZES = {
    "cpu": (Size("resnet8", 128, 7), Size("resnet18", 16, 3)),
    "cuda": (Size("resnet8", 512, 30), Size("resnet18", 128, 30)),
}


def network(name: str, iterations: int) -> nn.Module:
    """The plain network for 0 iterations, else SDNet with so many."""
    torch.manual_seed(0)
    if name == "resnet8":
        recipe = RECIPES["cifar-sdnet" if iterations else "cifar-plain"]
        if iterations:
            options = {**recipe.network_options, "iterations": iterations}
            recipe = replace(recipe, network_options=options)
        return build_network(recipe, (3, 32, 32), 10)
    module = constructors()["resnet18_cifar"](10, 3)
    if iterations:
        plain = module.get_submodule("conv1")
        csc = CSC2d(3, 64, 3, 1, 1, lam=LAM, iterations=iterations)
        csc.weight.data = plain.weight.data  # type: ignore[union-attr, assignment]
        module.set_submodule("conv1", csc)
    return module


def work(name: str, iterations: int, mode: str, batch: int, device: str) -> Callable[[], None]:
    """One step of training, or one forward pass, on a batch of made-up images."""
    place = torch.device(device)
    module = network(name, iterations)
    layout = memory_format(module, place)
    module = module.to(place, memory_format=layout)  # type: ignore[call-overload]
    module.train(mode == "training")
    x = torch.randn(batch, 3, 32, 32).to(place).contiguous(memory_format=layout)
    y = (torch.arange(batch) % 10).to(place)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)

    def train() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(module(x), y).backward()
        optimiser.step()

    def infer() -> None:
        with torch.inference_mode():
            module(x)

    return train if mode == "training" else infer


def _timed(job: Callable[[], None], device: str) -> float:
    """Seconds of the process (CPU), or of the clock with a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        job()
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    job()
    return time.process_time() - started


def speeds(size: Size, mode: str, choices: tuple[int, ...], device: str) -> dict[int, float]:
    """Images a second for every number of iterations, measured in turn."""
    jobs = {i: work(size.name, i, mode, size.batch, device) for i in choices}
    for job in jobs.values():
        job()  # allocates, chooses kernels, and starts the power method
    seconds: dict[int, list[float]] = {i: [] for i in choices}
    for _ in range(size.repeats):
        for i, job in jobs.items():
            seconds[i].append(_timed(job, device))
    return {i: size.batch / statistics.median(found) for i, found in seconds.items()}


def peak(size: Size, iterations: int, mode: str, device: str) -> float:
    """Bytes beyond what there was before the network was made."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        job = work(size.name, iterations, mode, size.batch, device)
        for _ in range(3):
            job()
        torch.cuda.synchronize()
        return float(torch.cuda.max_memory_allocated() - before)
    child = [size.name, str(iterations), mode, str(size.batch)]
    command = [sys.executable, "-m", "benchmarks.bench_sdnet", "--peak", *child]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_of_this_process(name: str, iterations: int, mode: str, batch: int) -> int:
    """Linux only. Not ``ru_maxrss``, which remembers the parent process."""
    torch.set_num_threads(1)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of importing torch
    before = _resident("VmRSS")
    job = work(name, iterations, mode, batch, "cpu")
    for _ in range(2):
        job()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def run(choices: tuple[int, ...] = (0, 2, 4)) -> dict[str, float | str]:
    """Ratios of SDNet to the plain network, and the plain network's own numbers."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found: dict[str, float | str] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "one thread of the CPU",
        "lecture_training_speed": LECTURE_SPEED,
        "lecture_training_memory": LECTURE_MEMORY,
    }
    for size in SIZES[device]:
        for mode in ("training", "inference"):
            key = f"{size.name}_{mode}"
            speed = speeds(size, mode, choices, device)
            memory = {i: peak(size, i, mode, device) for i in choices}
            found[f"{key}_plain_images_a_second"] = speed[0]
            found[f"{key}_plain_mebibytes"] = memory[0] / 2**20
            for i in choices[1:]:
                found[f"{key}_speed_{i}_iterations"] = speed[i] / speed[0]
                found[f"{key}_memory_{i}_iterations"] = memory[i] / memory[0]
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        name, iterations, mode, batch = sys.argv[2:]
        print(_peak_of_this_process(name, int(iterations), mode, int(batch)))
    else:
        print(json.dumps(run(), indent=1))

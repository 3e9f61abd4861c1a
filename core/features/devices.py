"""Where the model runs, with how many threads and how many images at a time.

Everything runs in float32. Mixed precision is left out: it could help on CUDA only, and there was
no CUDA device to measure its speed and its error on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from core.errors import UserError

BATCH_SIZES = {"cpu": (32, 64, 16), "cuda": (256, 512), "mps": (128, 256)}
"""Tried in this order. On a CPU 16-64 images keep a layer's output in the cache."""

_FEW = 4  # images on which thread counts are compared
_TRIAL_SECONDS = 0.5  # a batch that takes longer is not tried


@dataclass(frozen=True, slots=True)
class Pace:
    """How the model is run."""

    batch_size: int
    threads: int
    seconds_per_image: float


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; auto: CUDA, then MPS, then CPU. UserError if it is not there."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    kind = name.split(":", maxsplit=1)[0]
    if kind not in available:
        raise UserError(f"there is no device {name!r}: use auto, cpu, cuda or mps")
    if not available[kind]:
        raise UserError(f"this machine has no {kind} device: use --device auto or cpu")
    return torch.device(name)


def memory_format(module: nn.Module, device: torch.device) -> torch.memory_format:
    """channels-last for convolutional networks: 1.8 times faster on a CPU (ResNet-20)."""
    convolutional = any(isinstance(m, nn.Conv2d) for m in module.modules())
    use = convolutional and device.type in ("cpu", "cuda")
    return torch.channels_last if use else torch.contiguous_format


def cores() -> int:
    """CPU cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run with this many torch threads and put the old number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_out_of_memory(error: BaseException) -> bool:
    """True for a MemoryError and for what torch raises in its place."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "memory" in str(error).lower()


def find_pace(
    run: Callable[[int], None], device: torch.device, most: int, fixed: int | None = None
) -> Pace:
    """Threads and batch size, by trying ``run(images)`` with at most ``most`` images.

    Two threads on busy cores can be many times slower than one: more are tried only on a machine
    with idle cores, and kept only if they are faster. ``fixed`` is a batch size asked for; it is
    halved only when memory runs out. A batch that would take longer than half a second on a CPU
    is not tried: slow models (over 10 ms an image) gain nothing.
    """
    pace = _try(run, min(_FEW, most), 1)
    if device.type == "cpu" and cores() > 1 and not _busy():
        pace = min(pace, _try(run, pace.batch_size, cores()), key=lambda p: p.seconds_per_image)
    sizes = (fixed,) if fixed else BATCH_SIZES[device.type]
    best: Pace | None = None
    for size in dict.fromkeys(min(s, most) for s in sizes):
        if device.type == "cpu" and pace.seconds_per_image * size > _TRIAL_SECONDS:
            return best or Pace(size, pace.threads, pace.seconds_per_image)
        tried = _try(run, size, pace.threads)
        if best is not None and tried.seconds_per_image > 0.97 * best.seconds_per_image:
            break
        best = tried
    return best or pace


def _busy() -> bool:
    """True if the cores have had more to do than they can during the last minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > cores()


def _try(run: Callable[[int], None], size: int, threads: int) -> Pace:
    with torch_threads(threads):
        while True:
            try:
                run(size)  # the first run allocates and chooses kernels
                started = time.perf_counter()
                run(size)
                return Pace(size, threads, (time.perf_counter() - started) / size)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or size == 1:
                    raise
                size //= 2
                free_memory()


def free_memory() -> None:
    """Give cached blocks back to the device after it ran out of memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

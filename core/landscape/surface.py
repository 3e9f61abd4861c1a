"""Mean cross-entropy and accuracy of one network at many parameters, on images read once."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UserError
from core.features import devices
from core.features.readings import first_tensor
from core.landscape.weights import Weights
from core.progress import IsCancelled, check, never

BATCHES = {"cpu": (64, 512), "cuda": (512, 2048), "mps": (256,)}
"""Tried in this order; small networks gain from large batches, large ones from the cache."""

SLOW = 0.5  # seconds; after a batch that took longer no larger one is tried

_FIRST = 16  # images of the first trial of a pace

Done = Callable[[int, np.ndarray], None]
"""done(points so far, losses of the last part)."""


class Evaluator:
    """Losses of a network at origin + Σ coordinate · direction.

    images (N, C, H, W) and labels (N,) stay on ``device``. On a CPU, ``workers`` threads with a
    copy of the network each take points in turn: nearly as many times faster, which threads inside
    one small network are not. The module is moved, and its tensors become views of one vector.
    ``measured``: the running statistics of batch normalisation are measured again on the images at
    every point, which takes a second pass; otherwise they move as the vector does.
    """

    def __init__(
        self,
        module: nn.Module,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        device: torch.device,
        workers: int = 1,
        batch_size: int | None = None,
        measured: bool = False,
    ) -> None:
        layout = devices.memory_format(module, device)
        module = module.eval().to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self._device = device
        count = workers if device.type == "cpu" else 1
        copies = [module, *(copy.deepcopy(module) for _ in range(count - 1))]
        self.workers = len(copies)
        self.weights = Weights(copies[0])
        self._free: queue.SimpleQueue[Weights] = queue.SimpleQueue()
        for weights in (self.weights, *map(Weights, copies[1:])):
            self._free.put(weights)
        self._images = torch.from_numpy(images).to(device).contiguous(memory_format=layout)
        self._labels = torch.from_numpy(labels).to(device)
        self._check_outputs()
        self.measured = measured and self.weights.has_statistics
        self.batch_size = batch_size or self._try_batches()

    def at(
        self,
        origin: Tensor,
        directions: Sequence[Tensor] = (),
        coordinates: np.ndarray | None = None,
        *,
        images: int | None = None,
        part: int = 1,
        done: Done | None = None,
        cancelled: IsCancelled = never,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(losses (M,), accuracies (M,)) in float64 at coordinates (M, k) of k directions (P,).

        ``images``: only the first of them. Without directions, it is the network at the origin, its
        own running statistics included.
        ``done`` is called after every ``part`` points. A loss that is not a finite number is NaN.
        Raises Cancelled between two points.
        """
        places = np.zeros((1, 0)) if coordinates is None else np.asarray(coordinates, np.float64)
        losses, accuracies = np.full(len(places), np.nan), np.full(len(places), np.nan)
        again = self.measured and bool(directions)
        stop = threading.Event()

        def work(rows: range) -> range:
            torch.set_num_threads(1)  # of this thread alone
            weights = self._free.get()
            try:
                for row in rows:
                    if stop.is_set() or cancelled():
                        break
                    weights.move(origin, list(zip(places[row].tolist(), directions, strict=True)))
                    if again:
                        self._measure(weights, images)
                    losses[row], accuracies[row] = self._evaluate(weights.module, images)
            finally:
                self._free.put(weights)
            return rows

        parts = [range(i, min(i + part, len(places))) for i in range(0, len(places), part)]
        finished = 0
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for future in as_completed([pool.submit(work, rows) for rows in parts]):
                    rows = future.result()
                    check(cancelled)
                    finished += len(rows)
                    if done is not None:
                        done(finished, losses[rows.start : rows.stop])
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        return np.where(np.isfinite(losses), losses, np.nan), accuracies

    @torch.inference_mode()
    def _evaluate(self, module: nn.Module, images: int | None = None) -> tuple[float, float]:
        """(mean cross-entropy, accuracy) of the module as it is now; one synchronisation."""
        total = len(self._labels) if images is None else min(images, len(self._labels))
        loss: Tensor | float = 0.0
        right: Tensor | float = 0.0
        for start in range(0, total, self.batch_size):
            rows = slice(start, min(start + self.batch_size, total))
            logits, labels = _output(module, self._images[rows]), self._labels[rows]
            if self._device.type != "mps":  # which has no float64
                logits = logits.double()
            loss = loss + functional.cross_entropy(logits, labels, reduction="sum")
            right = right + (logits.argmax(1) == labels).sum()
        both = torch.stack([torch.as_tensor(loss), torch.as_tensor(right).to(loss.dtype)])  # type: ignore[union-attr]
        mean = both.cpu().numpy() / total
        return float(mean[0]), float(mean[1])

    @torch.inference_mode()
    def _measure(self, weights: Weights, images: int | None) -> None:
        with weights.measuring():
            for batch in self._images[:images].split(self.batch_size):
                weights.module(batch)

    def _check_outputs(self) -> None:
        """UserError unless the network gives every image a number per class."""
        largest = int(self._labels.max())
        with torch.inference_mode():
            try:
                shape = _output(self.weights.module, self._images[:2]).shape
            except (RuntimeError, ValueError, AssertionError, IndexError) as error:
                if devices.is_out_of_memory(error):
                    raise
                reason = (str(error).strip().splitlines() or ["no reason given"])[0]
                raise UserError(
                    f"the model cannot take these images ({reason}): change the input size"
                ) from error
        if len(shape) != 2 or shape[1] <= largest:
            outputs = "×".join(map(str, shape[1:]))
            raise UserError(
                f"the network has {outputs} outputs and the data {largest + 1} classes, so there "
                "is no cross-entropy: choose data with the classes that it was trained on"
            )

    def pace(self, least: float = 0.3) -> float:
        """Seconds an image and point with all workers busy, tried for ``least`` seconds or more."""
        origin = self.weights.read()
        still = torch.zeros_like(origin)
        images, points = min(_FIRST, len(self._labels)), self.workers
        while True:
            started = time.perf_counter()
            self.at(origin, (still,), np.zeros((points, 1)), images=images)
            seconds = time.perf_counter() - started
            if seconds >= least:
                return seconds / (images * points)
            grown = min(len(self._labels), 4 * images)
            images, points = grown, points * (4 if grown == images else 1)

    def _try_batches(self) -> int:
        """The batch size that takes least time an image."""
        best, least = 1, float("inf")
        for size in dict.fromkeys(min(s, len(self._labels)) for s in BATCHES[self._device.type]):
            self.batch_size = size
            with devices.torch_threads(1):
                self._evaluate(self.weights.module, size)  # allocates and chooses kernels
                started = time.perf_counter()
                self._evaluate(self.weights.module, size)
            seconds = time.perf_counter() - started
            if seconds / size < least:
                best, least = size, seconds / size
            if seconds > SLOW:
                break
        return best


def _output(module: nn.Module, images: Tensor) -> Tensor:
    output = first_tensor(module(images))
    if output is None:
        raise UserError("the network returns no tensor: choose one that returns class scores")
    return output

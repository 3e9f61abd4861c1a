"""One pass of the images through the model, with every tapped tensor handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.features import devices
from core.features.hooks import Sink, TappedModel
from core.features.taps import Tap, Trace, trace
from core.progress import IsCancelled, Progress, check


class ModelLike(Protocol):
    """What is needed of ``core.models.Model``."""

    @property
    def module(self) -> nn.Module: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def classes(self) -> int: ...


Reader = Callable[[slice, Tensor], None]
"""reader(rows of this pass, tensor (B, ...)): must copy or reduce at once; one per tap."""

_PROBE = 2  # images that the trace runs on


@dataclass(frozen=True, slots=True)
class Placed:
    """A model on its device, in the memory format in use."""

    model: ModelLike
    device: torch.device
    format: torch.memory_format

    def tensor(self, batch: np.ndarray) -> Tensor:
        """(B, C, H, W) on the device."""
        return torch.from_numpy(batch).to(self.device).contiguous(memory_format=self.format)

    @property
    def channels_last(self) -> bool:
        return self.format == torch.channels_last


def place(model: ModelLike, device: str) -> Placed:
    """Move the model to ``device``, in eval mode. The caller holds the module's lock."""
    where = devices.choose_device(device)
    layout = devices.memory_format(model.module, where)
    model.module.eval().to(device=where, memory_format=layout)  # type: ignore[call-overload]
    return Placed(model, where, layout)


def probe(placed: Placed, dataset: Dataset) -> Trace:
    """The trace of the first images; UserError where the model cannot take them."""
    first = np.arange(min(_PROBE, len(dataset)))
    if not len(first):
        raise UserError("there are no images to analyse: choose data with at least one image")
    batch = placed.tensor(load_batch(dataset, first, placed.model.preprocessing))
    try:
        return trace(placed.model.module, batch)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        if devices.is_out_of_memory(error):
            raise
        shape = "×".join(map(str, placed.model.preprocessing.shape))
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise UserError(
            f"the model cannot take images of {shape} ({reason}): change the input size"
        ) from error


def find_pace(
    placed: Placed,
    dataset: Dataset,
    taps: Sequence[Tap],
    readers: Sequence[Reader],
    fixed: int | None,
) -> devices.Pace:
    """Threads and batch size by trying the first images, with the taps read."""
    most = max(devices.BATCH_SIZES[placed.device.type])
    images = load_batch(
        dataset, np.arange(min(len(dataset), fixed or most)), placed.model.preprocessing
    )

    with TappedModel(placed.model.module, taps) as tapped:

        def run(size: int) -> None:
            batch = images[:size]
            output = tapped(placed.tensor(batch), _at(slice(0, len(batch)), readers))
            output.sum().item()  # waits for the device

        return devices.find_pace(run, placed.device, len(images), fixed and len(images))


class Meter:
    """Counts images over all passes and reports how many there have been."""

    def __init__(self, total: int, progress: Progress, what: str) -> None:
        self._total, self._progress, self._what = total, progress, what
        self._done = 0

    def add(self, images: int) -> None:
        self._done += images
        count = f"{self._done:,} of {self._total:,} images"
        self._progress(self._done, self._total, f"{self._what}, {count}")


def run_pass(
    placed: Placed,
    dataset: Dataset,
    taps: Sequence[Tap],
    positions: np.ndarray,
    pace: devices.Pace,
    readers: Sequence[Reader],
    *,
    finished: Callable[[slice, Any], None],
    cancelled: IsCancelled,
    whole: bool = True,
) -> None:
    """Run the images at ``positions`` through the model; every batch of a tap goes to its reader.

    ``finished(rows, output)`` follows each batch. Not ``whole``: passes end with the last tap, and
    output is None. Raises Cancelled between batches.
    """
    with TappedModel(placed.model.module, taps) as tapped, devices.torch_threads(pace.threads):
        for rows, batch in _batches(
            dataset, positions, placed.model.preprocessing, pace.batch_size
        ):
            check(cancelled)
            x, sink = placed.tensor(batch), _at(rows, readers)
            output = tapped(x, sink) if whole else tapped.read(x, sink)  # type: ignore[func-returns-value]
            finished(rows, output)


def _at(rows: slice, readers: Sequence[Reader]) -> Sink:
    return lambda i, x: readers[i](rows, x)


def _batches(
    dataset: Dataset, positions: np.ndarray, preprocessing: Preprocessing, size: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Row ranges with their images; the next batch is read while the model works on this one."""
    ranges = [slice(i, min(i + size, len(positions))) for i in range(0, len(positions), size)]
    with ThreadPoolExecutor(1) as reader:

        def read(rows: slice) -> np.ndarray:
            return load_batch(dataset, positions[rows], preprocessing)

        waiting = reader.submit(read, ranges[0]) if ranges else None
        for i, rows in enumerate(ranges):
            assert waiting is not None
            batch = waiting.result()
            waiting = reader.submit(read, ranges[i + 1]) if i + 1 < len(ranges) else None
            yield rows, batch

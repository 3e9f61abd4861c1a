"""The whole outputs of the kept samples, layer by layer, within a memory budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.data.dataset import Dataset
from core.errors import UserError
from core.features import devices, passes
from core.features.hooks import module_lock
from core.features.passes import ModelLike
from core.features.readings import flattened, pooled, pooled_dim
from core.features.taps import Tap
from core.progress import IsCancelled, Progress, never, silent

BUDGET_BYTES = 768 << 20
LARGEST_PROJECTION = 2048  # dimensions; distances of 2,000 points keep to about 3 %
SMALLEST_PROJECTION = 32


@dataclass(frozen=True, slots=True)
class FlatSample:
    """One layer's outputs of the kept samples."""

    layer: int  # index in the taps
    array: np.ndarray  # (S, D) float32, rows as ``positions``
    ambient: int  # D before any projection
    projected: int | None  # D after the random projection; None if none was needed


def flat_samples(
    model: ModelLike,
    dataset: Dataset,
    taps: Sequence[Tap],
    positions: np.ndarray,
    *,
    pool: bool = False,
    budget_bytes: int = BUDGET_BYTES,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 32,
    threads: int = 1,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Iterator[FlatSample]:
    """The flattened outputs of every tap for the images at ``positions``, in the taps' order.

    ``pool``: the pooled features instead.

    As many layers as fit ``budget_bytes`` are read in one pass over the images; several passes are
    better than a projection. A layer that alone exceeds the budget is multiplied by a seeded
    Gaussian matrix (D, p) with entries N(0, 1/p), batch by batch, which keeps squared distances in
    expectation, with a relative standard deviation of sqrt(2/p). Arrays are freed as the caller
    lets go of them. Raises UserError where even the smallest projection exceeds the budget.
    """
    groups = _groups([width(tap, pool) for tap in taps], len(positions), budget_bytes)
    meter = passes.Meter(len(groups) * len(positions), progress, "Whole outputs")
    for group in groups:
        with module_lock(model.module):
            placed = passes.place(model, device)
            read = [taps[i] for i in group]
            wells = [
                _Well(tap, pool, len(positions), budget_bytes, seed, placed.device) for tap in read
            ]
            passes.run_pass(
                placed,
                dataset,
                read,
                positions,
                devices.Pace(batch_size, threads, 0.0),
                [well.update for well in wells],
                finished=lambda rows, _: meter.add(rows.stop - rows.start),
                cancelled=cancelled,
                whole=False,
            )
        for i in group:
            well = wells.pop(0)
            yield FlatSample(i, well.array, well.ambient, well.projected)
            del well


def width(tap: Tap, pool: bool) -> int:
    """Numbers that are read of one sample."""
    return pooled_dim(tap.shape) if pool else int(np.prod(tap.shape))


def _groups(widths: Sequence[int], samples: int, budget: int) -> list[list[int]]:
    """Consecutive layers that are read together: their arrays fit the budget."""
    groups: list[list[int]] = []
    used = budget + 1
    for i, numbers in enumerate(widths):
        need = 4 * samples * numbers
        if used + need > budget:
            groups.append([])
            used = 0
        groups[-1].append(i)
        used += need
    return groups


class _Well:
    """Where one layer's outputs gather."""

    def __init__(
        self, tap: Tap, pool: bool, samples: int, budget: int, seed: int, device: torch.device
    ) -> None:
        self._tap, self._pool = tap, pool
        self.ambient = width(tap, pool)
        self.projected: int | None = None
        self._matrix: Tensor | None = None
        if 4 * samples * self.ambient > budget:
            self.projected = min(LARGEST_PROJECTION, budget // (4 * (self.ambient + samples)))
            if self.projected < SMALLEST_PROJECTION:
                raise UserError(
                    f"layer {tap.name} has {self.ambient} numbers per image, too many even for a "
                    "random projection: choose other layers, or pooled features"
                )
            generator = torch.Generator().manual_seed(seed)
            matrix = torch.randn(self.ambient, self.projected, generator=generator)
            self._matrix = matrix.div_(self.projected**0.5).to(device)  # (D, p)
        self.array = np.empty((samples, self.projected or self.ambient), dtype=np.float32)

    def update(self, rows: slice, x: Tensor) -> None:
        read = pooled(x, self._tap.class_token) if self._pool else flattened(x)
        whole = read.float()  # (B, D)
        whole = whole if self._matrix is None else whole @ self._matrix
        torch.from_numpy(self.array[rows]).copy_(whole)

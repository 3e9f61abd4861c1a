"""The grid of widths and epochs: test accuracy of every loss, its mean and spread over the seeds.

The lecture's "right top corner": wider networks trained longer are better and steadier, and there
the losses stop to differ (Zhou et al. 2022, "Are all losses created equal").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.training.grid import GRID

LOSSES = {"ce": "cross-entropy", "focal": "focal", "ls": "label smoothing", "mse": "MSE"}


@dataclass(frozen=True, slots=True)
class LossGrid:
    """One loss. W widths and E numbers of epochs, ascending; NaN where a cell has no run."""

    loss: str  # as a recipe names it
    title: str
    widths: tuple[int, ...]
    epochs: tuple[int, ...]
    mean: np.ndarray  # (W, E) of the test accuracy in percent, over the seeds
    sd: np.ndarray  # (W, E) in percentage points, dividing by one less; NaN for a single seed
    seeds: np.ndarray  # (W, E)

    @property
    def corners(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(mean, sd) of the narrowest network trained shortest, and of the widest trained
        longest."""
        low, high = (0, 0), (-1, -1)
        return (
            (float(self.mean[low]), float(self.sd[low])),
            (float(self.mean[high]), float(self.sd[high])),
        )


def bundled_grid() -> tuple[LossGrid, ...]:
    """The grids of every loss as they were trained here; empty where there is no such file."""
    if not GRID.is_file():
        return ()
    return _read(GRID, GRID.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[LossGrid, ...]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return grids_of(tree if isinstance(tree, list) else tree["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} is not a grid of runs ({error!r}); make it again") from error


def grids_of(rows: Sequence[Mapping[str, Any]]) -> tuple[LossGrid, ...]:
    """One grid a loss from rows with ``loss``, ``width``, ``epochs``, ``seed`` and
    ``test_accuracy`` (a share). KeyError for a row without one of them."""
    widths = tuple(sorted({int(r["width"]) for r in rows}))
    epochs = tuple(sorted({int(r["epochs"]) for r in rows}))
    losses = dict.fromkeys(str(r["loss"]) for r in rows)
    order = [*(n for n in LOSSES if n in losses), *(n for n in losses if n not in LOSSES)]
    return tuple(
        _grid(name, [r for r in rows if r["loss"] == name], widths, epochs) for name in order
    )


def _grid(
    loss: str, rows: Sequence[Mapping[str, Any]], widths: tuple[int, ...], epochs: tuple[int, ...]
) -> LossGrid:
    cells: dict[tuple[int, int], dict[int, float]] = {}
    for r in rows:
        at = widths.index(int(r["width"])), epochs.index(int(r["epochs"]))
        cells.setdefault(at, {})[int(r["seed"])] = 100 * float(r["test_accuracy"])
    shape = (len(widths), len(epochs))
    mean, sd, seeds = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, np.int64)
    for at, by_seed in cells.items():
        values = list(by_seed.values())
        mean[at], seeds[at] = np.mean(values), len(values)
        if len(values) > 1:
            sd[at] = np.std(values, ddof=1)
    return LossGrid(loss, LOSSES.get(loss, loss), widths, epochs, mean, sd, seeds)

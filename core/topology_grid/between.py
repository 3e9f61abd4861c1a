"""How much the persistence diagrams change from one layer to the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core import library
from core.progress import IsCancelled, Progress, check, never, silent
from core.results import Topology
from core.topology_grid.cells import grid_of_analysis, opened, scopes

Steps = tuple[float | None, ...]
"""One number for every pair of consecutive layers."""


@dataclass(frozen=True, slots=True)
class BetweenRequest:
    """A finished grid by its id, or the topology of a finished analysis."""

    grid: str | None = None
    run: str = ""
    epoch: int | None = None
    data: str | None = None


def between_layers(
    request: BetweenRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> tuple[dict[str | int, Steps], ...]:
    """Bottleneck distances of consecutive layers: per dimension, by scope.

    Layers have different units, so every diagram is first divided by the last finite death of its
    cell, of any dimension: 0 is no change, and a loop as long as the whole cloud counts up to 1/2.
    None where either layer has no diagram.
    """
    grid = opened(request.grid) if request.grid else None
    if grid is None:
        grid = grid_of_analysis(library.load(request.run, request.epoch, request.data))
    found: list[dict[str | int, Steps]] = [{} for _ in range(grid.dimensions)]
    for done, scope in enumerate(scopes(grid.classes)):
        check(cancelled)
        progress(done, grid.classes + 1, "Bottleneck distances")
        column = [_scaled(cell) for cell in grid.column(scope)]
        for dimension, by_scope in enumerate(found):
            by_scope[scope] = tuple(
                _distance(one, other, dimension) for one, other in pairwise(column)
            )
    return tuple(found)


Diagrams = tuple[np.ndarray, ...]


def _scaled(cell: Topology | None) -> Diagrams | None:
    """The diagrams in units of the cell's last finite death."""
    if cell is None or cell.reason is not None:
        return None
    deaths = np.concatenate([diagram[:, 1] for diagram in cell.diagrams])
    last = float(deaths[np.isfinite(deaths)].max(initial=0.0))
    return tuple(diagram / last for diagram in cell.diagrams) if last > 0 else None


def _distance(one: Diagrams | None, other: Diagrams | None, dimension: int) -> float | None:
    if one is None or other is None or dimension >= min(len(one), len(other)):
        return None
    from core.metrics.bottleneck import bottleneck

    return bottleneck(one[dimension], other[dimension])

"""The job that computes a grid, and its forecast."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core import library
from core.errors import UserError
from core.features.devices import cores
from core.forecasting import seconds_per_product
from core.metrics import topology
from core.progress import IsCancelled, Progress, check, never, silent
from core.topology_grid.cells import ALL, GridRequest, begin, cell_path, grid_id, scopes
from core.topology_grid.crew import REMEDY, Crew, Task
from core.topology_grid.sources import BUDGET_BYTES, Source, open_source

Cell = tuple[int, str | int]
"""A layer's position in the source, and ``ALL`` or the index of a class."""

MEMORY_BYTES = 3 << 30  # of all workers together
FILES = 3  # layers whose points may lie on disk at a time
POLL_SECONDS = 0.1
FORGOTTEN_SECONDS = 6 * 3600  # points left behind by a computation that was killed


@dataclass(frozen=True, slots=True)
class GridForecast:
    """What computing the missing cells of a grid will cost; good to a factor of two."""

    seconds: float
    memory_bytes: int
    cells: int  # to compute
    workers: int

    def describe(self) -> str:
        """ "about 40 s, 0.6 GiB" """
        minutes = self.seconds / 60
        span = f"{max(1, round(self.seconds))} s" if minutes < 2 else f"{minutes:.0f} min"
        return f"about {span}, {self.memory_bytes / (1 << 30):.1f} GiB"


def forecast(
    request: GridRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> GridForecast:
    """Cost of ``compute`` for what is missing, from small trials. UserError where it is too much
    for the memory that it may use."""
    request.check()
    progress(0, 1, "Trying a few images and cells")
    source = open_source(request, cancelled)
    missing = _missing(request, source)
    cost = _cost_of_cells(request, source, missing, cancelled)
    return _with_reading(cost, source, sorted({index for index, _ in missing}))


def compute(
    request: GridRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> str:
    """Compute the missing cells of a grid, keep each one as it is finished, return the grid's id.

    The forecast comes before the first cell. Raises Cancelled within a tenth of a second and a
    batch of images; what is finished stays. UserError, in one sentence, for whatever is wrong
    with the input, too large for the memory, or ended from outside.
    """
    request.check()
    grid = grid_id(request)
    progress(0, 1, "Opening the files")
    source = open_source(request, cancelled)
    begin(grid, source.layers, len(source.class_names))
    missing = _missing(request, source)
    if not missing:
        return grid
    check(cancelled)
    cost = _cost_of_cells(request, source, missing, cancelled)
    with _points_folder() as place:
        crew = Crew(cost.workers, MEMORY_BYTES)
        try:
            work = _Work(request, source, missing, place, crew, progress, cancelled)
            layers = sorted({index for index, _ in missing})
            at_once = source.at_once(layers)
            work.hand_over(at_once)
            rest = [index for index in layers if index not in at_once]
            work.say(f"Forecast: {_with_reading(cost, source, rest).describe()}")
            work.hand_over(rest)
            work.finish()
        finally:
            crew.end()
    return grid


@dataclass
class _Work:
    """Layers on their way to the crew, and cells on their way back."""

    request: GridRequest
    source: Source
    missing: Sequence[Cell]
    place: Path  # of the points
    crew: Crew
    progress: Progress
    cancelled: IsCancelled
    done: int = 0

    def say(self, what: str) -> None:
        self.progress(self.done, len(self.missing), what)

    def tend(self, seconds: float) -> None:
        """Report what is finished within ``seconds``; raise Cancelled."""
        for task in self.crew.collect(seconds):
            self.done += 1
            self.say(task.label)
        check(self.cancelled)

    def tended(self) -> bool:
        """For loops that ask whether to stop: the crew must not wait while the network runs."""
        self.tend(0)
        return self.cancelled()

    def hand_over(self, layers: Sequence[int]) -> None:
        """Read layers, and hand their cells to the crew as far as the disk has room for them."""
        for index, points in self.source.clouds(layers, self.tended) if layers else ():
            while self.crew.files >= FILES:
                self.tend(POLL_SECONDS)
            file = self.place / f"{index}.npy"
            np.save(file, points)
            del points
            self.crew.add([self._task(*cell, file) for cell in self.missing if cell[0] == index])

    def finish(self) -> None:
        while self.crew.unfinished:
            self.tend(POLL_SECONDS)

    def _task(self, layer: int, scope: str | int, file: Path) -> Task:
        source = self.source
        name = "all classes" if scope == ALL else source.class_names[int(scope)]
        return Task(
            label=f"{source.layers[layer]}, {name}",
            points=file,
            rows=None if scope == ALL else np.flatnonzero(source.labels == scope),
            options=self.request.options,
            target=cell_path(grid_id(self.request), layer, scope),
        )


@contextmanager
def _points_folder() -> Iterator[Path]:
    """A folder for the points of the layers at work; old ones left behind are removed."""
    parent = library.cache_folder() / "topology"
    for old in parent.glob("points-*"):
        if time.time() - old.stat().st_mtime > FORGOTTEN_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix="points-", dir=parent, ignore_cleanup_errors=True
    ) as place:
        yield Path(place)


def _missing(request: GridRequest, source: Source) -> list[Cell]:
    """Layer's position and scope of the cells to compute, layer by layer, classes first."""
    names = source.layers if request.layers is None else request.layers
    if unknown := [name for name in names if name not in source.layers]:
        raise UserError(f"there is no layer {unknown[0]}: choose among {', '.join(source.layers)}")
    grid = grid_id(request)
    return [
        (index, scope)
        for index, name in enumerate(source.layers)
        if name in names
        for scope in scopes(len(source.class_names))
        if not cell_path(grid, index, scope).is_file()
    ]


def _cost_of_cells(
    request: GridRequest, source: Source, missing: Sequence[Cell], cancelled: IsCancelled
) -> GridForecast:
    """The cost once the points are there. UserError where a cell is too large."""
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    widths = source.widths()
    product = seconds_per_product()
    sizes: Counter[int] = Counter()
    distances = 0.0
    for index, scope in missing:
        n = len(source.labels) if scope == ALL else int(counts[int(scope)])
        sizes[n] += 1
        distances += product * n * n * min(widths[index], BUDGET_BYTES // (4 * n + 1))
    homology, memory = 0.0, 0
    for n, cells in sizes.items():
        check(cancelled)
        if not n:
            continue  # a class without samples
        seconds, needed = topology.forecast(n, request.options)
        homology += cells * seconds
        memory = max(memory, needed)
    if memory > MEMORY_BYTES:
        raise UserError(
            f"one cell needs about {memory / (1 << 30):.1f} GiB of memory, more than the "
            f"{MEMORY_BYTES / (1 << 30):.0f} GiB that it may use: {REMEDY}"
        )
    workers = max(1, min(cores(), len(missing), MEMORY_BYTES // max(memory, 1)))
    return GridForecast(
        seconds=(homology + distances) / workers,
        memory_bytes=BUDGET_BYTES + workers * memory,
        cells=len(missing),
        workers=workers,
    )


def _with_reading(cost: GridForecast, source: Source, layers: Sequence[int]) -> GridForecast:
    """The same with the time to read these layers, on a core that the workers share."""
    reading = source.seconds(layers) if layers else 0.0
    return replace(cost, seconds=max(cost.seconds + reading / cores(), reading))

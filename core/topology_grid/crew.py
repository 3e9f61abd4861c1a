"""Worker processes that measure cells, one thread each.

Not ``concurrent.futures``: a worker in the middle of a cell must end at once when the reader
cancels, its memory is watched, and its death is a sentence with the cell's name.
"""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from core import store
from core.errors import UserError
from core.jobs import main_module_left_alone, resident_bytes
from core.results import TopologyOptions
from core.worker import limit_threads

AHEAD = 3  # cells that a worker holds, so that it need not wait for the next one
FORKS = sys.platform == "linux"  # a worker has the libraries at once, and shares their memory
REMEDY = "choose fewer landmarks or a lower dimension"


@dataclass(frozen=True, slots=True)
class Task:
    """One cell to measure."""

    label: str  # "layer1.0, cat", for messages
    points: Path  # .npy (S, D)
    rows: np.ndarray | None  # of the class; None: all points
    options: TopologyOptions
    target: Path  # where the cell is kept


class Crew:
    """As many processes as asked for, from the first task to ``end``."""

    def __init__(self, count: int, memory_bytes: int) -> None:
        """``memory_bytes``: what all of them together may take beyond their libraries."""
        self._memory_bytes = memory_bytes
        self._waiting: deque[Task] = deque()
        self._held: dict[Connection, deque[Task]] = {}
        self._processes: dict[Connection, BaseProcess] = {}
        self._baseline: dict[Connection, int] = {}
        self._left: Counter[Path] = Counter()  # cells to measure of every file of points
        for _ in range(count):
            line, process = _start(tuple(self._held))
            self._held[line] = deque()
            self._processes[line] = process
            self._baseline[line] = resident_bytes(process.pid) or 0

    def add(self, tasks: list[Task]) -> None:
        """Queue tasks; a file of points is deleted after the last of its tasks."""
        self._waiting.extend(tasks)
        self._left.update(task.points for task in tasks)
        self._hand_out()

    @property
    def processes(self) -> tuple[BaseProcess, ...]:
        return tuple(self._processes.values())

    @property
    def unfinished(self) -> int:
        return len(self._waiting) + sum(len(held) for held in self._held.values())

    @property
    def files(self) -> int:
        """Files of points that are still needed."""
        return len(self._left)

    def collect(self, seconds: float) -> list[Task]:
        """The tasks that are finished now, or within ``seconds``. UserError where one failed."""
        busy = [line for line, held in self._held.items() if held]
        done: list[Task] = []
        for line in connection.wait(busy, seconds):
            assert isinstance(line, Connection)
            task = self._held[line][0]
            try:
                kind, text = line.recv()
            except (EOFError, OSError):
                kind, text = "fault", f"the worker was ended, probably for want of memory: {REMEDY}"
            if kind == "fault":
                raise UserError(f"{task.label}: {text}")
            if kind == "bug":
                raise RuntimeError(f"{task.label}: {text}")
            done.append(self._held[line].popleft())
        for task in done:
            self._left[task.points] -= 1
            if not self._left[task.points]:
                del self._left[task.points]
                task.points.unlink(missing_ok=True)
        self._hand_out()
        self._watch_memory()
        return done

    def end(self) -> None:
        """End the processes, wherever they are."""
        for process in self._processes.values():
            process.kill()
        for line, process in self._processes.items():
            process.join()
            line.close()

    def _hand_out(self) -> None:
        while self._waiting:
            line = min(self._held, key=lambda line: len(self._held[line]))
            if len(self._held[line]) >= AHEAD:
                return
            task = self._waiting.popleft()
            self._held[line].append(task)
            line.send(task)

    def _watch_memory(self) -> None:
        used = [
            (resident_bytes(process.pid) or 0) - self._baseline[line]
            for line, process in self._processes.items()
        ]
        if sum(used) > self._memory_bytes:
            raise UserError(
                f"this needs more than the {self._memory_bytes / (1 << 30):.3g} GiB of memory "
                f"that it may use: {REMEDY}"
            )


def measure(task: Task) -> None:
    """Compute one cell and keep it. Rows of the cell are those of all samples."""
    from core.metrics.topology import topology

    if task.target.is_file():
        return
    points = np.load(task.points, mmap_mode="r")
    points = np.array(points if task.rows is None else points[task.rows])  # (n, D)
    cell = topology(points, task.options)
    if task.rows is not None and cell.rows is not None:
        cell = replace(cell, rows=task.rows[cell.rows])
    store.save(task.target, cell)


def _start(ours: Sequence[Connection]) -> tuple[Connection, BaseProcess]:
    """A worker and the line to it; ``ours`` are the lines to the workers before it."""
    context: Any = multiprocessing.get_context("fork" if FORKS else "spawn")
    mine, theirs = context.Pipe()
    inherited = (*ours, mine) if FORKS else ()
    process = context.Process(
        target=_work, args=(theirs, inherited), daemon=True, name="featurescope cell"
    )
    with main_module_left_alone():
        process.start()
    theirs.close()
    return mine, process


def _work(line: Connection, inherited: Sequence[Connection]) -> None:
    """The inside of a worker: tasks come, ("done", "") or what went wrong goes back.

    ``inherited`` are copies of the other ends: while one is open, the end of the parent is not
    noticed.
    """
    for other in inherited:
        other.close()
    limit_threads(1)
    while True:
        try:
            task = line.recv()
        except (EOFError, OSError):
            return
        try:
            measure(task)
            answer = ("done", "")
        except UserError as error:
            answer = ("fault", str(error))
        except MemoryError:
            answer = ("fault", f"this needs more memory than the machine has; {REMEDY}")
        except Exception:
            answer = ("bug", traceback.format_exc())
        line.send(answer)

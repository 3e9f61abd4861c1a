"""What a page or the command line asks of ``core.dynamics.compute``. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.checkpoints.runs import Run


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One checkpoint of a run, and the state of its file: a file that grows is another one."""

    file: str  # name in the run's folder
    epoch: int
    size: int  # bytes; -1 where there is no such file
    changed: int  # nanoseconds since 1970


@dataclass(frozen=True, slots=True)
class DynamicsRequest:
    """The checkpoints of one run, one data set, and the settings. Hashable.

    It differs as soon as a checkpoint appears or changes, so that a result kept for a request is
    never a stale one.
    """

    run: str  # id
    folder: str
    files: tuple[CheckpointFile, ...]
    data: str  # as ``open_dataset`` is asked for it
    data_name: str = ""
    seed: int = 0
    device: str = "auto"


def request_of(run: Run, data_id: str, *, seed: int = 0, device: str = "auto") -> DynamicsRequest:
    """The request for all checkpoints of ``run``, with their files as they are now."""
    names = {entry.id: entry.title for entry in run.data}
    files = tuple(
        CheckpointFile(c.file, i if c.epoch is None else c.epoch, *_state(run.folder / c.file))
        for i, c in enumerate(run.checkpoints)
    )
    return DynamicsRequest(
        run=run.id,
        folder=str(run.folder),
        files=files,
        data=data_id,
        data_name=names.get(data_id, ""),
        seed=seed,
        device=device,
    )


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns

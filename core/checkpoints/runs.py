"""A run: the checkpoints of one training in order, in a folder with a ``run.json``.

    run.json                      what it is, how it was made, its history
    epoch_00010.safetensors …     the checkpoints that run.json lists
    analyses/epoch_00010--digits-test.npz …  finished analyses, one per checkpoint and data set

Imports neither torch nor anything else that is slow.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError


@dataclass(frozen=True, slots=True)
class DataEntry:
    """A data set that a run was analysed on: its name for ``open_dataset`` and for people."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """One checkpoint file of a run; ``epoch`` is None for a single published network."""

    file: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The contents of ``run.json`` and where it lies."""

    id: str
    folder: Path
    title: str
    group: str
    checkpoints: tuple[RunCheckpoint, ...]
    data: tuple[DataEntry, ...]
    source: str = ""  # where it comes from, in a sentence
    recipe: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    # columns of equal length; "epoch" has their epochs, which are 0, 1, 2, … without it
    history: dict[str, list[float]] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)  # of the finished network
    finished: bool = True  # False while it is still training

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs of the checkpoints; empty for a single network."""
        return tuple(c.epoch for c in self.checkpoints if c.epoch is not None)

    def checkpoint(self, epoch: int | None) -> RunCheckpoint:
        """The checkpoint of that epoch; the last one for None or an epoch that is not there."""
        return next((c for c in self.checkpoints if c.epoch == epoch), self.checkpoints[-1])

    def checkpoint_path(self, epoch: int | None) -> Path:
        return self.folder / self.checkpoint(epoch).file

    def analysis_path(self, epoch: int | None, data_id: str) -> Path:
        """Where the finished analysis of that checkpoint on that data set is stored."""
        stem = Path(self.checkpoint(epoch).file).stem
        return self.folder / "analyses" / f"{stem}--{data_id}.npz"


def open_run(folder: Path) -> Run:
    """Read ``run.json``; UserError if the folder is no run."""
    file = Path(folder) / "run.json"
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        return Run(
            id=Path(folder).name,
            folder=Path(folder),
            title=str(tree["title"]),
            group=str(tree.get("group", "Runs")),
            checkpoints=tuple(RunCheckpoint(**c) for c in tree["checkpoints"]),
            data=tuple(DataEntry(**d) for d in tree["data"]),
            source=tree.get("source", ""),
            recipe=tree.get("recipe"),
            settings=tree.get("settings", {}),
            seed=tree.get("seed"),
            versions=tree.get("versions", {}),
            history=tree.get("history", {}),
            results=tree.get("results", {}),
            finished=bool(tree.get("finished", True)),
        )
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no run.json; give the folder of a run") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not a run description ({error!r}); write it again") from error


def write_run(run: Run) -> None:
    """Write ``run.json`` into the run's folder in one step."""
    tree = {k: v for k, v in asdict(run).items() if k not in ("id", "folder")}
    run.folder.mkdir(parents=True, exist_ok=True)
    temporary = run.folder / ".run.json"
    temporary.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    temporary.replace(run.folder / "run.json")


def runs_below(root: Path) -> tuple[Run, ...]:
    """Every run directly below ``root``, in the order of their folder names."""
    if not root.is_dir():
        return ()
    return tuple(open_run(p.parent) for p in sorted(root.glob("*/run.json")))

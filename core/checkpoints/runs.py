"""A run: the checkpoints of one training in order, in a folder with a ``run.json``.

    run.json                      what it is, how it was made, its history
    epoch_00010.safetensors …     the checkpoints that run.json lists
    analyses/epoch_00010--digits-test.npz …  finished analyses, one per checkpoint and data set

docs/run_folders.md has the keys of ``run.json``. ``core.checkpoints.scanning`` finds such folders,
and folders of checkpoint files without a ``run.json``.

Imports neither torch nor anything else that is slow.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

from core.errors import UserError

TENSOR_ORDER = "tensor_order"
"""Metadata key of checkpoints that ``RunWriter`` writes: the tensors' names, one a line, in the
order of the state dict."""

_NAME = re.compile(r"[\w@.+\-]+")


@dataclass(frozen=True, slots=True)
class DataEntry:
    """A data set that a run was analysed on: its name (or path) for ``open_dataset`` and for
    people. A path may be relative to the run's folder."""

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

    @property
    def first_data(self) -> str | None:
        """Id of the first data set; None where the run names no data."""
        return self.data[0].id if self.data else None

    def checkpoint(self, epoch: int | None) -> RunCheckpoint:
        """The checkpoint of that epoch; the last one for None or an epoch that is not there.
        UserError for a run that has no checkpoint yet."""
        if not self.checkpoints:
            raise UserError(f"{self.title} has no checkpoint yet; wait for the first one")
        return next((c for c in self.checkpoints if c.epoch == epoch), self.checkpoints[-1])

    def checkpoint_path(self, epoch: int | None) -> Path:
        return self.folder / self.checkpoint(epoch).file

    def analysis_path(self, epoch: int | None, data_id: str) -> Path:
        """Where the finished analysis of that checkpoint on that data set is stored."""
        stem = Path(self.checkpoint(epoch).file).stem
        if not _NAME.fullmatch(data_id):  # a path
            data_id = "data-" + hashlib.sha256(data_id.encode()).hexdigest()[:16]
        return self.folder / "analyses" / f"{stem}--{data_id}.npz"


def open_run(folder: Path) -> Run:
    """Read ``run.json``; UserError if the folder is no run. Checkpoints are in the order of their
    epochs; there are none where ``run.json`` lists none."""
    file = Path(folder) / "run.json"
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        return Run(
            id=Path(folder).name,
            folder=Path(folder),
            title=str(tree["title"]),
            group=str(tree.get("group", "Runs")),
            checkpoints=_checkpoints(tree.get("checkpoints", [])),
            data=tuple(_entry(d) for d in tree.get("data", [])),
            source=str(tree.get("source", "")),
            recipe=tree.get("recipe"),
            settings=dict(tree.get("settings", {})),
            seed=tree.get("seed"),
            versions=dict(tree.get("versions", {})),
            history={str(k): _column(v) for k, v in dict(tree.get("history", {})).items()},
            results=dict(tree.get("results", {})),
            finished=bool(tree.get("finished", True)),
        )
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no run.json; give the folder of a run") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); check its rights") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is not a run description ({error!r}); write it again") from error


def _checkpoints(trees: list[dict[str, Any]]) -> tuple[RunCheckpoint, ...]:
    found = [RunCheckpoint(**tree) for tree in trees]
    for checkpoint in found:
        path = PurePath(checkpoint.file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{checkpoint.file} lies outside the run's folder")
        if checkpoint.epoch is not None and type(checkpoint.epoch) is not int:
            raise ValueError(f"the epoch {checkpoint.epoch!r} is no whole number")
    if any(c.epoch is None for c in found):
        return tuple(found)
    return tuple(sorted(found, key=lambda c: c.epoch or 0))


def _entry(tree: str | dict[str, str]) -> DataEntry:
    if isinstance(tree, str):
        return DataEntry(tree, tree)
    return DataEntry(str(tree["id"]), str(tree.get("title", tree["id"])))


def _column(values: list[float | None]) -> list[float]:
    """One column of the history; null is NaN."""
    column = [math.nan if v is None else v for v in values]
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in column):
        raise ValueError("the history holds something that is no number")
    return column


def data_spec(folder: Path, data_id: str) -> str:
    """The name or path for ``open_dataset`` of a data set of the run in ``folder``: a path may be
    relative to that folder, and a corruption or variant may follow it (``images.zip@half-1``)."""
    data, at, changed = data_id.rpartition("@")
    for path, rest in ((data_id, ""), (data, at + changed)):
        if path and not PurePath(path).is_absolute() and (folder / path).exists():
            return f"{folder / path}{rest}"
    return data_id


def splits_of(entries: Sequence[DataEntry]) -> dict[str, DataEntry]:
    """What a run was trained on ("train"), and another data set ("test"): those with that word in
    their ids; where none has it, in the order of the run, as ``RunWriter`` writes it."""
    if not entries:
        return {}
    training = next((d for d in entries if _says("train", d.id)), entries[0])
    others = [d for d in entries if d != training]
    test = next((d for d in others if _says("test", d.id)), next(iter(others), None))
    return {"train": training} | ({} if test is None else {"test": test})


def _says(split: str, data_id: str) -> bool:
    return split in data_id.partition("@")[0].replace("_", "-").split("-")


def write_run(run: Run) -> None:
    """Write ``run.json`` into the run's folder in one step."""
    tree = {k: v for k, v in asdict(run).items() if k not in ("id", "folder")}
    for column in tree["history"].values():  # JSON knows neither NaN nor infinity
        column[:] = [v if math.isfinite(v) else None for v in column]
    run.folder.mkdir(parents=True, exist_ok=True)
    temporary = run.folder / ".run.json"
    temporary.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    temporary.replace(run.folder / "run.json")

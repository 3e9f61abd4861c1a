"""Tables of a run on disk: ``RUN/robustness/corruptions.npz`` and ``attacks-NORM.npz``, as
``scripts.bundle_robustness`` writes them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from core import library, store
from core.checkpoints.runs import Run
from core.errors import UserError
from core.robustness.comparisons import run_ids
from core.robustness.request import NORMS
from core.robustness.results import AttackTable, CorruptionTable

MOST_SEEDS = 10

T = TypeVar("T")


def corruption_path(folder: Path) -> Path:
    """Where the table of the run in ``folder`` lies."""
    return folder / "robustness" / "corruptions.npz"


def attack_path(folder: Path, norm: str) -> Path:
    """The same of its table of attacks in that norm."""
    if norm not in NORMS:
        raise UserError(f"there is no attack in the norm {norm!r}: use {' or '.join(NORMS)}")
    return folder / "robustness" / f"attacks-{norm}.npz"


def corruption_table(run: Run | str) -> CorruptionTable | None:
    """The table of a run, or of the run of that id; None where there is none."""
    folder = _folder(run)
    return None if folder is None else _kept(_corruptions, corruption_path(folder))


def attack_table(run: Run | str, norm: str) -> AttackTable | None:
    """The table of a run in that norm, or of the run of that id; None where there is none."""
    folder = _folder(run)
    return None if folder is None else _kept(_attacks, attack_path(folder, norm))


def runs_of(recipe: str) -> tuple[Run, ...]:
    """The runs of a recipe that this server has, seed 0 first."""
    found = (library.find(run_id) for run_id in run_ids(recipe, MOST_SEEDS))
    return tuple(run for run in found if run is not None)


def _folder(run: Run | str) -> Path | None:
    found = library.find(run) if isinstance(run, str) else run
    return None if found is None else found.folder


def _kept(read: Callable[[Path, int, int], T], path: Path) -> T | None:
    try:
        status = path.stat()
        return read(path, status.st_size, status.st_mtime_ns)
    except (OSError, UserError):  # not there, of an older version, or cut off
        return None


@lru_cache(maxsize=256)
def _corruptions(path: Path, size: int, changed: int) -> CorruptionTable:
    table = store.load(CorruptionTable, path)
    return replace(table, values=_as_written(table.values))


@lru_cache(maxsize=256)
def _attacks(path: Path, size: int, changed: int) -> AttackTable:
    table = store.load(AttackTable, path)
    return replace(table, values=_as_written(table.values), radii=_as_written(table.radii))


def _as_written(values: np.ndarray) -> np.ndarray:
    """The shortest float64 numbers that were rounded to these float32 ones when they were stored:
    0.1 again, so that a setting is found among the others."""
    return np.array([float(np.format_float_positional(v, unique=True)) for v in values])

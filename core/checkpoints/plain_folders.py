"""Checkpoint files without a ``run.json``, read as a run: their names tell the epochs.

    epoch_0.pt, epoch_10.pt, epoch_200.pt        any text, then "epoch" and a number
    model-epoch=03-val_loss=0.12.ckpt            Lightning's names
    step_1000.safetensors, iter-50.pth           "step" or "iter", where no name has an epoch
    ckpt_12.pt, checkpoint-12.pt, 12.pt          a number at the end, in two files or more

Files are only listed here: opening them is the business of ``core.checkpoints.opening``.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.checkpoints.runs import RunCheckpoint

SUFFIXES = (".pt", ".pth", ".th", ".ckpt", ".safetensors")
SETTLED_SECONDS = 1.5
"""A file that changed later than this may still be half written."""

_NUMBER = r"[_\-=. ]?0*(\d{1,9})(?!\d)"
_NAMED = tuple(
    re.compile(rf"(?<![a-z]){word}{_NUMBER}", re.IGNORECASE)
    for word in ("(?:epochs?|ep)", "(?:global_?step|steps?|iter(?:ation)?s?|it)")
)
_LAST = re.compile(r"(?P<before>.*?[_\-=. ]|)0*(?P<number>\d{1,9})")
_SELDOM = ("ckpt", "checkpoint")  # names of one file with a number that still tell an epoch


@dataclass(frozen=True, slots=True)
class Listing:
    """The checkpoint files and the folders in one folder."""

    checkpoints: tuple[RunCheckpoint, ...]
    folders: tuple[str, ...]
    newest: float  # when the last checkpoint changed, seconds since 1970; 0 without one
    settled: bool  # False: look again, a file was left out that may still be written


def numbered(names: Iterable[str]) -> tuple[RunCheckpoint, ...]:
    """The checkpoints among file ``names``, in the order of their epochs; of two files of one
    epoch the later in natural order. Empty where the names tell no epochs."""
    files = sorted((n for n in names if n.lower().endswith(SUFFIXES)), key=_by_stem)
    for pattern in _NAMED:
        found = {}
        for name in files:
            if match := pattern.search(Path(name).stem):
                found[int(match[1])] = name
        if found:
            return _in_order(found)
    return _in_order(_by_last_number(files))


def natural(name: str) -> list[tuple[int, int | str]]:
    """A sort key by which ``epoch_9.pt`` comes before ``epoch_10.pt``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p]


def _by_stem(name: str) -> list[tuple[int, int | str]]:
    return natural(Path(name).stem)


def list_folder(folder: Path) -> Listing:
    """What one folder holds. Hidden files and folders are left out, and files that changed less
    than SETTLED_SECONDS ago; OSError where it cannot be read."""
    names, folders = [], []
    newest, settled = 0.0, True
    changed = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                changed[entry.name] = entry.stat().st_mtime
    now = time.time()
    for name, when in changed.items():
        if 0 <= now - when < SETTLED_SECONDS:
            settled = False
        else:
            names.append(name)
            newest = max(newest, when)
    return Listing(numbered(names), tuple(sorted(folders, key=natural)), newest, settled)


def _by_last_number(files: list[str]) -> dict[int, str]:
    """The largest group of names that differ in the number at their end alone."""
    groups: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in files:
        path = Path(name)
        if match := _LAST.fullmatch(path.stem):
            groups[match["before"].lower(), path.suffix.lower()][int(match["number"])] = name
    if not groups:
        return {}
    (before, _), found = max(groups.items(), key=lambda item: len(item[1]))
    return found if len(found) > 1 or before.rstrip("_-=. ").endswith(_SELDOM) else {}


def _in_order(found: dict[int, str]) -> tuple[RunCheckpoint, ...]:
    return tuple(RunCheckpoint(found[epoch], epoch) for epoch in sorted(found))

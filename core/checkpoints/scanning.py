"""Finding runs below a folder, again and again: what did not change is not read again.

A run is a folder with a ``run.json``, or one of numbered checkpoint files (``plain_folders``).
Looking again costs a ``stat`` or two for every folder, so that pages do it whenever they are drawn.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from core.checkpoints.plain_folders import Listing, list_folder
from core.checkpoints.runs import Run, open_run
from core.errors import UserError

log = logging.getLogger(__name__)

DEPTH = 3  # folders within folders: lightning_logs/version_0/checkpoints
MAX_FOLDERS = 2000
QUIET_SECONDS = 600.0
"""A folder of plain files counts as finished when no file came for so long."""
_RACY_SECONDS = 2.0  # two changes within a tick of the file system's clock look like one

_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """The runs below a folder, and a sentence for each that could not be read."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]


_lock = threading.Lock()
_described: dict[Path, tuple[_Signature, Run | UserError]] = {}
_listed: dict[Path, tuple[_Signature, Listing]] = {}


def runs_below(root: Path, depth: int = DEPTH) -> Found:
    """The run that ``root`` itself is, or every run in its folders down to ``depth``, in natural
    order. The id of a run is its path below ``root``, joined by dots."""
    runs: list[Run] = []
    problems: list[str] = []
    budget = [MAX_FOLDERS]

    def visit(folder: Path, names: tuple[str, ...]) -> None:
        budget[0] -= 1
        try:
            run, inside = _look(folder)
        except UserError as error:
            problems.append(str(error))
            return
        except OSError:
            return  # gone meanwhile, or not ours to read
        if run is not None:
            runs.append(_named(run, names))
        elif len(names) < depth:
            for name in inside:
                if budget[0] > 0:
                    visit(folder / name, (*names, name))

    if root.is_dir():
        with _lock:
            visit(root, ())
    return Found(tuple(runs), tuple(problems))


def look_again(run: Run) -> Run | None:
    """The run as its folder is now, under the id that it has; None where it is gone."""
    try:
        with _lock:
            found, _ = _look(run.folder)
    except (UserError, OSError):
        return None
    if found is None:
        return None
    title = run.title if found.title == found.folder.name else found.title
    return replace(found, id=run.id, title=title)


def _named(run: Run, names: tuple[str, ...]) -> Run:
    """The run with an id that is unique below the root, and a title that tells where it lies."""
    if not names:
        return run
    plain = run.title == run.folder.name
    shown = names[:-1] if len(names) > 1 and names[-1] == "checkpoints" else names
    return replace(run, id=".".join(names), title="/".join(shown) if plain else run.title)


def _look(folder: Path) -> tuple[Run | None, tuple[str, ...]]:
    """The run in a folder, or the folders within it. UserError for a broken ``run.json``."""
    run = _description(folder)
    if run is not None and run.checkpoints:
        return run, ()
    listing = _listing(folder)
    if run is not None:
        return replace(run, checkpoints=listing.checkpoints), ()
    if listing.checkpoints:
        return _plain(folder, listing), ()
    return None, listing.folders


def _plain(folder: Path, listing: Listing) -> Run:
    return Run(
        id=folder.name,
        folder=folder,
        title=folder.name,
        group="Checkpoint files",
        checkpoints=listing.checkpoints,
        data=(),
        source=f"checkpoint files in the folder {folder.name}",
        finished=time.time() - listing.newest > QUIET_SECONDS,
    )


def _description(folder: Path) -> Run | None:
    """The contents of ``run.json``, parsed again only when it changed; None without one."""
    try:
        status = os.stat(folder / "run.json")
    except FileNotFoundError:
        return None
    signature = (status.st_mtime_ns, status.st_size, status.st_ino)
    known = _described.get(folder)
    if known is None or known[0] != signature:
        read: Run | UserError
        try:
            read = open_run(folder)
        except UserError as error:
            log.warning("left out: %s", error)
            read = error
        known = _described[folder] = (signature, read)
    if isinstance(known[1], UserError):
        raise known[1]
    return known[1]


def _listing(folder: Path) -> Listing:
    """The names in a folder, listed again only when one came or went."""
    status = os.stat(folder)
    signature = (status.st_mtime_ns, 0, status.st_ino)
    known = _listed.get(folder)
    if known is None or known[0] != signature:
        listing = list_folder(folder)
        if not listing.settled or abs(time.time() - status.st_mtime) < _RACY_SECONDS:
            _listed.pop(folder, None)
            return listing
        known = _listed[folder] = (signature, listing)
    return known[1]

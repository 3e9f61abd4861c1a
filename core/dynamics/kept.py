"""Finished measurements of a run: bundled beside it, or in the cache. Imports no torch.

A run's own file, ``RUN/dynamics/DATA.npz``, holds all its checkpoints. Those that are not in it
have one file each in the cache, named by a digest of checkpoint, data and settings.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from core import library, store
from core.checkpoints.runs import Run, RunCheckpoint, data_spec
from core.dynamics.request import CheckpointFile, DynamicsRequest, request_of
from core.dynamics.results import Dynamics, join, joinable, take
from core.errors import UserError

VERSION = 1
"""Of what is measured: a higher number measures everything in the cache anew."""

CHEAP = 64 << 20
"""Bytes up to which a checkpoint is compared with the digest in its run's bundled measurement."""


def kept(run: Run, data_id: str) -> Dynamics | None:
    """Everything measured so far of a run on one of its data sets; None if there is nothing."""
    return collected(request_of(run, data_id))


def missing(run: Run, data_id: str) -> tuple[RunCheckpoint, ...]:
    """The checkpoints whose file is there and that were not measured yet."""
    done = kept(run, data_id)
    files = () if done is None else done.files
    return tuple(
        c for c in run.checkpoints if c.file not in files and (run.folder / c.file).is_file()
    )


def bundled_path(run: Run, data_id: str) -> Path:
    """Where the measurements of a whole run on that data set are stored beside it."""
    return _bundled(run.folder, data_id)


def _bundled(folder: Path, data_id: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9._@,+-]+", "-", data_id).strip("-.")[-60:] or "data"
    if name != data_id:  # a path: two of them must not share a file
        name += "-" + hashlib.sha256(data_id.encode()).hexdigest()[:8]
    return folder / "dynamics" / f"{name}.npz"


def cached_path(checkpoint_sha256: str, request: DynamicsRequest) -> Path:
    """The cache file of one checkpoint on the data of the request."""
    parts = [
        VERSION,
        checkpoint_sha256,
        library.data_digest(data_spec(Path(request.folder), request.data)),
        request.seed,
    ]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    return library.cache_folder() / "dynamics" / f"{key}.npz"


def collected(request: DynamicsRequest) -> Dynamics | None:
    """The measurements that exist for a request as one. Where they do not fit together (the network
    was told apart differently), those of most checkpoints count, of the latest where that ties."""
    groups: list[list[Dynamics]] = []
    for part in found(request).values():
        group = next((g for g in groups if joinable([g[0], part])), None)
        if group is None:
            groups.append([part])
        else:
            group.append(part)
    return join(max(reversed(groups), key=len)) if groups else None


def found(request: DynamicsRequest) -> dict[str, Dynamics]:
    """The measurement of every checkpoint that has one, by file name, in the request's order."""
    folder = Path(request.folder)
    bundled = _load(_bundled(folder, request.data))
    rows = {} if bundled is None else {name: i for i, name in enumerate(bundled.files)}
    parts: dict[str, Dynamics] = {}
    for file in request.files:
        digest = _digest_of(folder, file)
        if bundled is not None and file.file in rows:
            i = rows[file.file]
            # where the file was left out to save space, its name and epoch must do
            same = digest is None or file.size > CHEAP or digest == bundled.sha256[i]
            if same and int(bundled.epochs[i]) == file.epoch:
                parts[file.file] = take(bundled, [i])
                continue
        part = None if digest is None else _load(cached_path(digest, request))
        if part is not None:
            # the same weights may lie in another run, under another name and epoch
            epochs = np.array([file.epoch], dtype=np.int64)
            parts[file.file] = replace(part, files=(file.file,), epochs=epochs)
    return parts


def _digest_of(folder: Path, file: CheckpointFile) -> str | None:
    """None where there is no such file, any more or yet."""
    try:
        return library.file_sha256(folder / file.file) if file.size >= 0 else None
    except (OSError, UserError):
        return None


def _load(path: Path) -> Dynamics | None:
    try:
        status = path.stat()
    except OSError:
        return None
    try:
        return _read(path, status.st_size, status.st_mtime_ns)
    except UserError:  # of an older version, or cut off: measured again
        return None


@lru_cache(maxsize=1024)
def _read(path: Path, size: int, changed: int) -> Dynamics:
    return store.load(Dynamics, path)

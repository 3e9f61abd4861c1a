"""What can be looked at: the bundled runs, the operator's runs, and finished analyses.

Pages ask here. Imports neither torch nor anything else that is slow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from core import store
from core.checkpoints.runs import Run, runs_below
from core.data.corruptions import spec_of, split_spec
from core.data.variants import split_variant
from core.errors import UserError
from core.request import AnalysisRequest
from core.results import SCHEMA, Analysis

BUNDLED_RUNS = Path(__file__).resolve().parent.parent / "checkpoints"
DEFAULT_RUN = "resnet20-cifar10"
_ANALYSIS_ID = re.compile(r"analysis-[0-9a-f]{20}")


def cache_folder() -> Path:
    """Where finished analyses are kept: FEATURESCOPE_CACHE, else the user's cache folder."""
    folder = os.environ.get("FEATURESCOPE_CACHE")
    if folder:
        return Path(folder)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "featurescope"


def runs() -> tuple[Run, ...]:
    """The bundled runs, then those below FEATURESCOPE_RUNS."""
    own = os.environ.get("FEATURESCOPE_RUNS")
    found = _bundled() + (runs_below(Path(own)) if own else ())
    return tuple(sorted(found, key=lambda run: run.id != DEFAULT_RUN))


@lru_cache(maxsize=1)
def _bundled() -> tuple[Run, ...]:
    return runs_below(BUNDLED_RUNS)


def find(run_id: str) -> Run | None:
    """The run of that id, or None. Analyses of uploads (``is_analysis_id``) are not runs."""
    return next((run for run in runs() if run.id == run_id), None)


def load(run_id: str, epoch: int | None = None, data_id: str | None = None) -> Analysis:
    """The finished analysis of a run's checkpoint on one of its data sets, or of an upload.

    UserError if there is none: the id is unknown, or it was not analysed yet.
    """
    if is_analysis_id(run_id):
        path = analysis_path(run_id)
        if not path.is_file():
            raise UserError(
                "this analysis is no longer kept on this server; open the checkpoint again"
            )
        return store.load(Analysis, path)
    run = find(run_id)
    if run is None:
        raise UserError(f"there is no run {run_id} here; choose one in the sidebar")
    path = run.analysis_path(epoch, data_id or run.data[0].id)
    if not path.is_file():
        raise UserError(f"{run.title} has not been analysed on {data_id}; choose other data")
    return store.load(Analysis, path)


def is_analysis_id(run_id: str) -> bool:
    """True for the id that ``analysis_id`` gives to the analysis of an upload."""
    return _ANALYSIS_ID.fullmatch(run_id) is not None


def analysis_id(checkpoint_sha256: str, data_key: str | None, request: AnalysisRequest) -> str:
    """The id of an analysis: a digest of everything that it depends on, shown names included."""
    names = (request.checkpoint_name, request.data_name, request.model)
    parts = [SCHEMA, checkpoint_sha256, data_key, names, asdict(request.settings)]
    key = json.dumps(parts, sort_keys=True)
    return "analysis-" + hashlib.sha256(key.encode()).hexdigest()[:20]


def analysis_path(run_id: str) -> Path:
    """The cache file of an analysis id."""
    if not is_analysis_id(run_id):
        raise UserError(f"{run_id} is not the id of an analysis")
    return cache_folder() / "analyses" / f"{run_id}.npz"


def file_sha256(path: Path) -> str:
    """The digest of a file's content, computed once while the file stays the same."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_key(request: AnalysisRequest) -> str | None:
    """What a cache knows the data of a request by: its digest, or the name of bundled data."""
    if request.data is None:
        return None
    if split_variant(request.data)[1] is not None:
        return request.data
    data, corruption = split_spec(request.data)
    if not Path(data).is_file():
        return request.data
    sha256 = file_sha256(Path(data))
    return sha256 if corruption is None else spec_of(sha256, *corruption)


def run_table() -> list[dict[str, Any]]:
    """One row per run: its last checkpoint's accuracies and collapse, for ``core runs``."""
    return [_row(run) for run in runs()]


def _row(run: Run) -> dict[str, Any]:
    final: dict[str, float | None] = {
        key: run.history[key][-1]
        for key in ("train_accuracy", "test_accuracy")
        if key in run.history
    }
    path = run.analysis_path(None, run.data[0].id)
    if path.is_file():
        analysis = store.load(Analysis, path)
        final.setdefault("test_accuracy", analysis.accuracy)
        if analysis.penultimate is not None:
            final |= analysis.penultimate.collapse.values()
    return {
        "name": run.id,
        "recipe": run.recipe,
        "epochs": list(run.epochs),
        "data": run.data[0].id,
        "final": final,
    }

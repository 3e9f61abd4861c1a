"""What can be looked at: the bundled runs, the operator's runs, and finished analyses.

Pages ask here. Imports neither torch nor anything else that is slow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from core import store
from core.checkpoints import hugging_face
from core.checkpoints.plain_folders import natural
from core.checkpoints.runs import Run, data_spec
from core.checkpoints.scanning import Found, look_again, runs_below
from core.data.opening import BUNDLED
from core.errors import UserError
from core.request import AnalysisRequest, FitRequest
from core.results import SCHEMA, Analysis, Settings

BUNDLED_RUNS = Path(__file__).resolve().parent.parent / "checkpoints"
DEFAULT_RUN = "resnet20-cifar10"
WEIGHTS = "weights"
"""In the place of a data set: what the weights alone tell."""
_known: dict[tuple[str, tuple[str, str]], Run] = {}  # where runs were when they were last listed
_ANALYSIS_ID = re.compile(r"analysis-[0-9a-f]{20}")


def cache_folder() -> Path:
    """Where finished analyses are kept: FEATURESCOPE_CACHE, else the user's cache folder."""
    folder = os.environ.get("FEATURESCOPE_CACHE")
    if folder:
        return Path(folder)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "featurescope"


def runs() -> tuple[Run, ...]:
    """Every run that this server knows: published networks, the operator's runs
    (FEATURESCOPE_RUNS), runs trained on the page Train, and the bundled trainings.

    Folders are looked at anew; only what changed is read again.
    """
    return _found().runs


def problems() -> tuple[str, ...]:
    """A sentence for every run folder that is left out because its ``run.json`` is broken."""
    return _found().problems


def trained_folder() -> Path:
    """Where the page Train puts its runs."""
    return cache_folder() / "runs"


def _found() -> Found:
    bundled = runs_below(BUNDLED_RUNS, depth=1)
    own = [runs_below(Path(part)) for part in _operators_folders()]
    here = runs_below(trained_folder(), depth=1)
    published = [run for run in bundled.runs if run.group == "Published"]
    published.sort(key=lambda run: run.id != DEFAULT_RUN)
    trained = [run for run in bundled.runs if run.group != "Published"]
    trained.sort(key=lambda run: (run.group != "Digits", run.group, natural(run.title)))
    newest_first = here.runs[::-1]
    ordered = [*published, *(run for found in own for run in found.runs), *newest_first, *trained]
    said = [*bundled.problems, *(text for found in own for text in found.problems), *here.problems]
    found = Found(_with_own_ids(ordered), tuple(said))
    _known.clear()
    _known.update({(run.id, _places()): run for run in found.runs})
    return found


def _operators_folders() -> list[str]:
    """The folders that FEATURESCOPE_RUNS names, joined by the system's separator of paths."""
    parts = os.environ.get("FEATURESCOPE_RUNS", "").split(os.pathsep)
    return list(dict.fromkeys(filter(None, parts)))


def _with_own_ids(found: list[Run]) -> tuple[Run, ...]:
    """The runs with ids that differ: where two folders share a name, bundled ones keep it."""
    bundled = {run.id for run in found if run.folder.parent == BUNDLED_RUNS}
    taken: set[str] = set()
    result = []
    for run in found:
        claimed = run.id in taken or (run.id in bundled and run.folder.parent != BUNDLED_RUNS)
        if claimed or is_analysis_id(run.id):
            digest = hashlib.sha256(str(run.folder.absolute()).encode()).hexdigest()[:6]
            run = replace(run, id=f"{run.id}-{digest}")
        if run.id not in taken:
            taken.add(run.id)
            result.append(run)
    return tuple(result)


def titles() -> dict[str, str]:
    """Id and label of every run that Explore can show, in the order of ``runs``.

    Left out are bundled repetitions with other seeds, and runs with neither a checkpoint file nor a
    finished analysis, which have just begun.
    """
    shown = [run for run in runs() if is_explorable(run) and not _repeats(run)]
    labels = {run.id: _label(run) for run in shown}
    twice = {label for label, count in Counter(labels.values()).items() if count > 1}
    return {i: f"{label} ({i})" if label in twice else label for i, label in labels.items()}


def _repeats(run: Run) -> bool:
    return run.folder.parent == BUNDLED_RUNS and bool(run.seed)


def _label(run: Run) -> str:
    if run.folder.parent == BUNDLED_RUNS and run.group not in ("Published", "Trained here"):
        return f"{run.group}: {run.title}"
    return run.title


def fit_request(run: Run) -> FitRequest | None:
    """What to ask of ``core.fitting:data_that_fits`` for a run that names no data: of its first
    checkpoint, which stays while the run grows. None where there is no file."""
    if not run.checkpoints:
        return None
    path = run.folder / run.checkpoints[0].file
    if not path.is_file():
        return None
    status = path.stat()
    return FitRequest(str(path), status.st_size, status.st_mtime_ns)


def is_explorable(run: Run) -> bool:
    """True where at least one checkpoint can be opened, or was analysed."""
    if not run.checkpoints:
        return False
    last = run.checkpoint_path(None)
    return last.is_file() or any((run.folder / "analyses").glob("*.npz"))


def find(run_id: str) -> Run | None:
    """The run of that id, as its folder is now, or None. Analyses of uploads (``is_analysis_id``)
    are not runs."""
    known = _known.get((run_id, _places()))
    again = None if known is None else look_again(known)
    return again or next((run for run in runs() if run.id == run_id), None)


def _places() -> tuple[str, str]:
    return os.environ.get("FEATURESCOPE_RUNS", ""), str(cache_folder())


class NotAnalysed(UserError):
    """There is no analysis yet, and ``request`` makes it."""

    def __init__(self, sentence: str, request: AnalysisRequest) -> None:
        super().__init__(sentence)
        self.request = request


def load(run_id: str, epoch: int | None = None, data_id: str | None = None) -> Analysis:
    """The finished analysis of a run's checkpoint on one of its data sets, or of an upload.

    NotAnalysed where it can be made; UserError where there is no such thing.
    """
    return store.load(Analysis, analysis_file(run_id, epoch, data_id))


def analysis_file(run_id: str, epoch: int | None = None, data_id: str | None = None) -> Path:
    """The file that ``load`` reads: beside the run's checkpoints, or in the cache."""
    if is_analysis_id(run_id):
        path = analysis_path(run_id)
        if not path.is_file():
            raise UserError(
                "this analysis is no longer kept on this server; open the checkpoint again"
            )
        return path
    run = find(run_id)
    if run is None:
        raise UserError(f"there is no run {run_id} here; choose one in the sidebar")
    data_id = data_id or run.first_data
    if data_id is not None:
        path = run.analysis_path(epoch, data_id)
        if path.is_file():
            return path
    request = request_for(run, epoch, data_id)
    key = analysis_id(file_sha256(Path(request.checkpoint)), data_key(request), request)
    path = analysis_path(key)
    if not path.is_file():
        raise NotAnalysed(f"{run.title} has not been analysed on {data_id} yet", request)
    return path


def request_for(run: Run, epoch: int | None, data_id: str | None) -> AnalysisRequest:
    """What to ask of ``core.analysis`` for one checkpoint of a run on its data, or on bundled data
    where it names none; WEIGHTS: of its weights alone. UserError where that cannot be."""
    listed = {entry.id: entry.title for entry in run.data}
    known = data_id in listed or (not listed and data_id in (*BUNDLED, WEIGHTS))
    if data_id is None or not known:
        on = f"on {data_id}" if data_id else "on any data"
        raise UserError(f"{run.title} has not been analysed {on}; choose other data")
    checkpoint = run.checkpoint_path(epoch)
    if not checkpoint.is_file():
        raise UserError(
            f"the checkpoint {checkpoint.name} of {run.title} is not in its folder, and it was not "
            "analysed before; choose another epoch or run"
        )
    if data_id == WEIGHTS:
        return AnalysisRequest(str(checkpoint), settings=Settings(architecture=WEIGHTS))
    settings = Settings(max_images=run.settings.get("max_images"))
    data = data_spec(run.folder, data_id)
    name = "" if data == data_id else listed[data_id]
    return AnalysisRequest(str(checkpoint), data, data_name=name, settings=settings)


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
    """The digest of a file's content, computed once while the file stays the same; of a folder of
    Hugging Face transformers that of what is read of it."""
    if path.is_dir() and hugging_face.is_hugging_face(path):
        return hugging_face.digest(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_key(request: AnalysisRequest) -> str | None:
    """What a cache knows the data of a request by; None for the weights alone."""
    return None if request.data is None else data_digest(request.data)


def data_digest(data: str) -> str:
    """A data set's name, or the digest of its file; what follows the ``@`` of a corruption or a
    variant stays."""
    if Path(data).is_file():
        return file_sha256(Path(data))
    base, at, change = data.rpartition("@")
    return file_sha256(Path(base)) + at + change if at and Path(base).is_file() else data

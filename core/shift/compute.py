"""Profiles of a network on data sets that were not analysed yet; what pages submit as a job."""

from __future__ import annotations

from pathlib import Path

from core import library, store
from core.analysis import analyze
from core.progress import IsCancelled, Progress, never, silent
from core.request import AnalysisRequest
from core.shift.profile import Profile, profile_of


def measure(
    requests: tuple[AnalysisRequest, ...],
    *,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> tuple[Profile, ...]:
    """The profile of every request, in order; each is kept on disk and never computed twice."""
    profiles = []
    for i, request in enumerate(requests):

        def report(done: int, total: int, what: str, before: int = i) -> None:
            where = f", data set {before + 1} of {len(requests)}" if len(requests) > 1 else ""
            progress(before * total + done, len(requests) * total, what + where)

        path = _path(request)
        if not path.is_file():
            analysis = analyze(request, progress=report, cancelled=cancelled)
            store.save(path, profile_of(analysis, request.data or ""))
        profiles.append(store.load(Profile, path))
    return tuple(profiles)


def _path(request: AnalysisRequest) -> Path:
    key = library.analysis_id(
        library.file_sha256(Path(request.checkpoint)), library.data_key(request), request
    )
    return library.cache_folder() / "profiles" / f"{key}.npz"

"""The files behind the analysis on the page, for what is computed from them anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core import library
from core.checkpoints.runs import data_spec
from core.data.opening import BUNDLED
from core.request import AnalysisRequest
from pages._ui.sidebar import request_of
from pages._ui.view import View

TEXTS = (
    "Of a text transformer there is what was measured when it was opened; this takes a network "
    "that classifies images."
)
MISSING = (
    "The files behind this analysis are not on the server any more: bring the checkpoint again "
    "to compute more than what was kept."
)


def request_behind(view: View) -> AnalysisRequest | None:
    """What to ask of ``core`` to read the same network on the same data again.

    The architecture is the one that the analysis found, so that nothing is ranked again. None
    where only weights were read, or the files are gone (``MISSING`` says what to do): they were
    another session's, or this session's folder was cleared.
    """
    analysis = view.analysis
    if not analysis.layers or analysis.data is None or view.of_texts:
        return None
    run = library.find(view.run)
    request = request_of(view.run)
    data_id = None if run is None else view.data or run.first_data
    if run is not None and data_id is not None:
        request = AnalysisRequest(
            checkpoint=str(run.checkpoint_path(view.epoch)),
            data=data_spec(run.folder, data_id),
            checkpoint_name=analysis.checkpoint.name,
        )
    if request is None:
        return None
    if request.data is None:  # nobody chose images: the analysis took bundled ones that fit
        titles = {title: name for name, title in BUNDLED.items()}
        request = replace(request, data=titles.get(analysis.data.name))
    if request.data is None or not _there(request):
        return None
    settings = analysis.settings
    if request.model is None and analysis.checkpoint.architecture is not None:
        settings = replace(settings, architecture=analysis.checkpoint.architecture)
    return replace(request, settings=settings)


def missing(view: View) -> str:
    """Why ``request_behind`` is None."""
    return TEXTS if view.of_texts else MISSING


def _there(request: AnalysisRequest) -> bool:
    """Whether the files of a request still exist; bundled data go by a name."""
    assert request.data is not None
    data = Path(request.data)
    return Path(request.checkpoint).is_file() and (data.parent == Path() or data.exists())

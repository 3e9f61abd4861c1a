"""What has to be made before a page can be shown: an analysis, or a look at which data fit.

A run that a person brought was not analysed beforehand. Its pages start the work in a worker, show
its progress, and are drawn when it is done; finished analyses are kept on disk.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import streamlit as st

from core import library
from core.checkpoints.runs import DataEntry, Run
from core.data.opening import BUNDLED
from core.request import AnalysisRequest, FitRequest
from pages._ui.live import forget, result_of

ANALYSE = "core.analysis:run"
FIT = "core.fitting:data_that_fits"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function of ``core`` whose result the view needs, and what to say meanwhile."""

    title: str
    line: str
    function: str
    request: Hashable
    what: str
    note: str


def analysis_wanted(
    run: Run | None, epoch: int | None, data: str, request: AnalysisRequest
) -> Wanted:
    """The analysis of one checkpoint of a run on one data set."""
    parts = (f"epoch {epoch}" if epoch is not None else "", data)
    return Wanted(
        run.title if run is not None else "",
        " · ".join(filter(None, parts)),
        ANALYSE,
        request,
        "Analysing this checkpoint",
        "This checkpoint is analysed for the first time. The page appears when it is done, and at "
        "once from then on.",
    )


def fit_wanted(run: Run) -> Wanted | str:
    """Which bundled data fit a run that names none; a sentence where its files are gone."""
    request = library.fit_request(run)
    if request is None:
        return f"The checkpoints of {run.title} are not in its folder; choose another run."
    return Wanted(
        run.title,
        "",
        FIT,
        request,
        "Looking which data fit",
        "This run does not say which data it was trained on.",
    )


def data_of_run(run: Run) -> tuple[DataEntry, ...] | None:
    """The data sets on which a run can be looked at, the default first: those that it names, else
    bundled ones that fit, and its weights alone. None while that has to be found out (``make``)."""
    if run.data:
        return run.data
    request = library.fit_request(run)
    fitting = _fits().get(request)
    if request is None or fitting is None:
        return None
    weights = DataEntry(library.WEIGHTS, "Weights alone")
    return (*(DataEntry(name, BUNDLED[name]) for name in fitting), weights)


def make(wanted: Wanted) -> None:
    """Start the work or show how far it is; draw the page again once it is done."""
    st.caption(wanted.note)
    result = result_of("wanted", wanted.function, wanted.request, wanted.what)
    if result is None:
        return
    if isinstance(wanted.request, FitRequest):
        _fits()[wanted.request] = result
    elif not library.analysis_path(result).is_file():  # somebody emptied the cache
        forget(wanted.function, wanted.request)
    st.rerun()


def _fits() -> dict[FitRequest | None, tuple[str, ...]]:
    return st.session_state.setdefault("_fits", {})

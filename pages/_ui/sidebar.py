"""The choices common to all pages: run, epoch, data and layer. Drawn by ``app.py``."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core import library
from core.errors import UserError
from core.request import AnalysisRequest
from core.results import Analysis, LayerAnalysis
from pages._ui.choices import choose, drop, keep
from pages._ui.view import View


@st.cache_resource(max_entries=32, show_spinner=False)
def analysis_of(run: str, epoch: int | None, data: str | None) -> Analysis:
    """The finished analysis; one copy for all readers, never changed."""
    return library.load(run, epoch, data)


def show() -> None:
    """Draw the choices; ``st.session_state["view"]`` is then a View, or says why there is none."""
    titles = {run.id: run.title for run in library.runs()} | own_analyses() | _linked()
    if not titles:
        st.session_state["view"] = "There is no run on this server yet. Bring a checkpoint."
        return
    st.session_state["view"] = _choose(titles)


def own_analyses() -> dict[str, str]:
    """Id and title of what this session analysed itself, newest last."""
    return st.session_state.setdefault("_own_analyses", {})


def open_analysis(run: str, request: AnalysisRequest | None) -> None:
    """List an analysis of this session's own and go to its Overview.

    ``request`` made it; None where the files are another session's.
    """
    own_analyses()[run] = _title(run)
    if request is not None:
        _requests()[run] = request
    st.switch_page("pages/overview.py", query_params={"run": run})


def request_of(run: str | None) -> AnalysisRequest | None:
    """What this session asked for to get this analysis; None where it did not make it."""
    return _requests().get(run)


def _requests() -> dict[str | None, AnalysisRequest]:
    return st.session_state.setdefault("_requests", {})


def _title(run: str) -> str:
    analysis = analysis_of(run, None, None)
    asked = analysis.settings.architecture
    names = [
        analysis.checkpoint.name,
        analysis.data.name if analysis.data else "",
        "" if asked in ("auto", "weights") else asked,
    ]
    return ", ".join(dict.fromkeys(name for name in names if name))


def _linked() -> dict[str, str]:
    """The analysis of an upload that a link names: not listed, but whoever has the link sees it."""
    seen = st.session_state.setdefault("_linked_analyses", {})
    asked = st.query_params.get("run", "")
    if library.is_analysis_id(asked) and asked not in seen | own_analyses():
        try:
            seen[asked] = _title(asked)
        except UserError:
            return seen  # the choice of the run says that it is not there
    return seen


def _choose(titles: dict[str, str]) -> View | str:
    ids = list(titles)
    select = partial(st.selectbox, "Run", format_func=titles.__getitem__)
    run_id = choose("run", ids, ids[0], select)
    run = library.find(run_id)
    epoch = data = None
    if run is not None and len(run.epochs) > 1:
        epoch = choose("epoch", run.epochs, run.epochs[-1], partial(st.select_slider, "Epoch"))
    else:
        drop("epoch")
    if run is not None and len(run.data) > 1:
        names = {entry.id: entry.title for entry in run.data}
        pick = partial(st.selectbox, "Data", format_func=names.__getitem__)
        data = choose("data", list(names), run.data[0].id, pick)
    elif run is not None and run.data:
        data = keep("data", run.data[0].id, run.data[0].id)
    else:
        drop("data")
    try:
        analysis = analysis_of(run_id, epoch, data)
    except UserError as error:
        return str(error)
    return View(titles[run_id], epoch, analysis, _choose_layer(analysis), run_id, data)


def _choose_layer(analysis: Analysis) -> LayerAnalysis | None:
    if not analysis.layers:
        drop("layer")
        return None
    last = analysis.penultimate.layer if analysis.penultimate else analysis.layers[-1].name

    def label(name: str) -> str:
        return f"{name} (penultimate)" if analysis.penultimate and name == last else name

    names = [layer.name for layer in analysis.layers]
    return analysis.layer(
        choose("layer", names, last, partial(st.selectbox, "Layer", format_func=label))
    )

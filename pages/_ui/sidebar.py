"""The choices common to all pages: run, epoch, data and layer. Drawn by ``app.py``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from core import library, store
from core.errors import UserError
from core.library import NotAnalysed
from core.request import AnalysisRequest
from core.results import Analysis, LayerAnalysis
from core.text import plain
from pages._ui.choices import choose, drop, keep
from pages._ui.view import View
from pages._ui.wanted import Wanted, analysis_wanted, data_of_run, fit_wanted

FOLLOW_SECONDS = 3.0


def analysis_of(run: str, epoch: int | None, data: str | None) -> Analysis:
    """The finished analysis; one copy for all readers, never changed. UserError without one."""
    path = library.analysis_file(run, epoch, data)
    return _read(str(path), path.stat().st_mtime_ns)


@st.cache_resource(max_entries=32, show_spinner=False)
def _read(path: str, changed: int) -> Analysis:
    return store.load(Analysis, Path(path))


def show() -> None:
    """Draw the choices; ``st.session_state["view"]`` is then a View, what has to be made before
    there is one (Wanted), or a sentence that says why there is none."""
    listed = library.titles()
    titles = listed | own_analyses() | _linked()
    if not titles:
        st.session_state["view"] = "There is no run on this server yet. Bring a checkpoint."
        return
    st.session_state["view"] = _choose(titles)
    _say_problems()
    _follow(tuple(listed), _growth())


@st.fragment(run_every=FOLLOW_SECONDS)
def _follow(listed: tuple[str, ...], growth: tuple[str, int]) -> None:
    """Draw the page again when a run comes or goes, or the chosen one has a new checkpoint."""
    if (tuple(library.titles()), _growth()) != (listed, growth):
        st.rerun()


def _growth() -> tuple[str, int]:
    """The chosen run and how many checkpoints it has."""
    run = library.find(str(st.session_state.get("choice_run", "")))
    return (run.id, len(run.checkpoints)) if run is not None else ("", 0)


def _say_problems() -> None:
    """One line for run folders that are left out; the sentences are behind it."""
    problems = library.problems()
    if problems:
        count = "1 folder is" if len(problems) == 1 else f"{len(problems)} folders are"
        with st.popover(f"{count} left out", type="tertiary", icon=":material/folder_off:"):
            for problem in problems:
                st.caption(plain(problem))


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


def _choose(titles: dict[str, str]) -> View | Wanted | str:
    ids = list(titles)
    select = partial(st.selectbox, "Run", format_func=titles.__getitem__)
    run_id = choose("run", ids, ids[0], select)
    run = library.find(run_id)
    epoch = data = None
    names: dict[str, str] = {}
    if run is not None and len(run.epochs) > 1:
        epoch = choose("epoch", run.epochs, run.epochs[-1], partial(st.select_slider, "Epoch"))
    else:
        drop("epoch")
    if run is not None:
        entries = data_of_run(run)
        if entries is None:
            return fit_wanted(run)
        names = {entry.id: entry.title for entry in entries}
        if len(names) > 1:
            pick = partial(st.selectbox, "Data", format_func=names.__getitem__)
            data = choose("data", list(names), entries[0].id, pick)
        elif names:
            data = keep("data", entries[0].id, entries[0].id)
    if data is None:
        drop("data")
    try:
        analysis = analysis_of(run_id, epoch, data)
    except NotAnalysed as wanted:
        return analysis_wanted(run, epoch, names.get(data, ""), wanted.request)
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

"""Choices that live in the URL under ids, so that a link shows what its sender saw.

Streamlit's own ``bind="query-params"`` puts the label of an option into the URL; labels change
and two uploads can share one, so the ids go there instead. Rules: what the URL newly says wins,
then what was chosen in this session, then the default; what the URL says wrongly is named once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

T = TypeVar("T")


def begin() -> None:
    """First in every run: forget what a run that was interrupted wanted the URL to say."""
    _asked().clear()


def choose(key: str, options: Sequence[T], default: T, draw: Callable[..., Any]) -> T:
    """The option chosen in the widget that ``draw(options=…, key=…)`` makes; the URL follows it."""
    settle(key, options, default)
    value = draw(options=list(options), key=f"choice_{key}")
    return keep(key, default if value is None else value, default)


def settle(key: str, options: Sequence[T], default: T) -> None:
    """Set the value of the widget ``choice_key`` before it is drawn."""
    kept, written = _kept(), _written()
    widget = f"choice_{key}"
    asked = st.query_params.get(key)
    if asked is not None and asked != written.get(key):
        match = [option for option in options if str(option) == asked]
        if match:
            st.session_state[widget] = match[0]
        else:
            notice(f"The link asks for {key} “{asked}”, which is not there; showing {default}.")
        written[key] = asked
    if widget not in st.session_state:
        st.session_state[widget] = kept.get(key, default)
    value = st.session_state[widget]
    # set in every run: a browser that was still drawing the run before would miss it otherwise
    st.session_state[widget] = value if value in options else default


def keep(key: str, value: T, default: object = None) -> T:
    """Remember ``value``; ``write`` puts it into the URL unless it is ``default``."""
    _kept()[key] = value
    _asked()[key] = None if value == default else str(value)
    return value


def write() -> None:
    """Let the URL say what is shown: once at the end of a run, so that it is one step of the
    browser's history. While the reader goes back in that history, it is left alone."""
    context = get_script_run_ctx()
    wanted = {key: value for key, value in _asked().items() if value is not None}
    st.session_state["_written"] = wanted
    _asked().clear()
    if presenting():
        wanted["present"] = "1"
    if st.query_params.to_dict() != wanted and not (context and context.is_history_navigation):
        st.query_params.from_dict(wanted)


def recall(key: str) -> str | None:
    """What the URL says of a value that no widget chooses, or what it was in this session."""
    asked = st.query_params.get(key)
    if asked is None or asked == _written().get(key):
        asked = _kept().get(key)
    return None if asked is None else keep(key, str(asked))


def set_choice(key: str, value: object) -> None:
    """Choose for the reader, from a callback or before the widget is drawn."""
    st.session_state[f"choice_{key}"] = value
    _kept()[key] = value


def drop(key: str) -> None:
    """Forget a choice that means nothing here; it leaves the URL at the end of the run."""
    _kept().pop(key, None)
    _asked().pop(key, None)


def link() -> dict[str, str]:
    """The query parameters of a link to another page: what the sidebar says."""
    shared = {key: _asked().get(key) for key in ("run", "epoch", "data", "layer")}
    return {key: value for key, value in shared.items() if value is not None}


def here(page: str) -> str:
    """The address of this page with all choices made so far in this run."""
    chosen = {key: value for key, value in _asked().items() if value is not None}
    base = str(st.context.url or f"/{page}").split("?", maxsplit=1)[0]
    return f"{base}?{urlencode(chosen)}" if chosen else base


def presenting() -> bool:
    """True under ``?present=1``: larger figures and type, no sidebar. Lasts for the session."""
    if "present" in st.query_params:
        st.session_state["_present"] = st.query_params["present"] == "1"
    return bool(st.session_state.get("_present"))


def notice(text: str) -> None:
    """A line shown once above the page's content."""
    st.session_state.setdefault("_notices", []).append(text)


def take_notices() -> list[str]:
    """The notices of this run, each given once."""
    return st.session_state.pop("_notices", [])


def _kept() -> dict[str, Any]:
    return st.session_state.setdefault("_kept", {})


def _asked() -> dict[str, str | None]:
    """What the URL is to say at the end of this run."""
    return st.session_state.setdefault("_asked", {})


def _written() -> dict[str, str]:
    return st.session_state.setdefault("_written", {})

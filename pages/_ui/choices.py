"""Choices that live in the URL under ids, so that a link shows what its sender saw.

Streamlit's own ``bind="query-params"`` puts the label of an option into the URL; labels change
and two uploads can share one, so the ids go there instead. Rules: what the URL newly says wins,
then what was chosen in this session, then the default; what the URL says wrongly is named once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")


def choose(key: str, options: Sequence[T], default: T, draw: Callable[..., Any]) -> T:
    """The option chosen in the widget that ``draw(options=…, key=…)`` makes; the URL follows it."""
    settle(key, options, default)
    value = draw(options=list(options), key=f"choice_{key}")
    return keep(key, options[0] if value is None else value)


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
    if st.session_state[widget] not in options:
        st.session_state[widget] = default


def keep(key: str, value: T) -> T:
    """Remember ``value`` for this session and write it into the URL."""
    _kept()[key] = value
    _written()[key] = str(value)
    if st.query_params.get(key) != str(value):
        st.query_params[key] = str(value)
    return value


def recall(key: str) -> str | None:
    """What the URL says of a value that no widget chooses, or what it was in this session."""
    asked = st.query_params.get(key) or _kept().get(key)
    return None if asked is None else keep(key, str(asked))


def set_choice(key: str, value: object) -> None:
    """Choose for the user, from a callback or before the widget is drawn."""
    st.session_state[f"choice_{key}"] = value
    _kept()[key] = value
    _written()[key] = str(value)


def drop(key: str) -> None:
    """Take a choice that means nothing here out of the URL."""
    _kept().pop(key, None)
    if key in st.query_params:
        del st.query_params[key]


def link(**changes: object) -> dict[str, str]:
    """The query parameters of a link to another page: what the sidebar says, with ``changes``."""
    shared = {k: v for k, v in _kept().items() if k in ("run", "epoch", "data", "layer")}
    return {k: str(v) for k, v in (shared | changes).items() if v is not None}


def presenting() -> bool:
    """True under ``?present=1``: larger figures and type, no sidebar. Lasts for the session."""
    if "present" in st.query_params:
        st.session_state["_present"] = st.query_params["present"] == "1"
    elif st.session_state.get("_present"):
        st.query_params["present"] = "1"
    return bool(st.session_state.get("_present"))


def notice(text: str) -> None:
    """A line shown once above the page's content."""
    st.session_state.setdefault("_notices", []).append(text)


def take_notices() -> list[str]:
    """The notices of this run, each given once."""
    return st.session_state.pop("_notices", [])


def _kept() -> dict[str, Any]:
    return st.session_state.setdefault("_kept", {})


def _written() -> dict[str, str]:
    return st.session_state.setdefault("_written", {})

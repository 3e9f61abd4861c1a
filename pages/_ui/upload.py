"""Files that a reader drops: one private folder for each session, gone when the session is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import streamlit as st


def session_folder() -> tempfile.TemporaryDirectory[str]:
    """The session's folder. Python removes it with its last reference: the session's, or that of
    a job which still reads from it (``hold``)."""
    if "_folder" not in st.session_state:
        st.session_state["_folder"] = tempfile.TemporaryDirectory(
            prefix="featurescope-", ignore_cleanup_errors=True
        )
    return st.session_state["_folder"]


def store(uploaded: Any) -> Path:
    """Write an uploaded file into the session's folder, once; its path.

    The path is made of Streamlit's id of the upload: nothing of the user's file name gets into it.
    """
    path = Path(session_folder().name) / uploaded.file_id
    if not path.exists():
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(uploaded.getbuffer())
        part.replace(path)
    return path

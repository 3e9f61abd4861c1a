"""The row of headline numbers, each with its collapsed value beneath."""

from __future__ import annotations

import streamlit as st

from core.headline import headlines
from pages._ui.view import View


def headline_row(view: View) -> None:
    """The six headline numbers of the chosen layer."""
    if view.layer is None:
        return
    with st.container(key="metrics"):
        for item in headlines(view.layer, view.collapse, view.geometry):
            st.metric(
                item.label,
                item.value,
                delta=item.beside or None,
                delta_color="off",
                delta_arrow="off",
                help=item.meaning,
                border=True,
            )

"""Cards: a heading, "How to read this", and a figure, a table or a few sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.figures import theme
from core.figures.export import figure_csv
from pages._ui.choices import link


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a figure: what to see (Markdown), its formula (LaTeX), where it comes from."""

    text: str
    formula: str = ""
    source: str = ""


@contextmanager
def card(
    key: str, title: str, reading: Reading, figure: go.Figure | None = None, page: str | None = None
) -> Iterator[None]:
    """A card. ``page`` makes it lead to that page; ``figure`` offers its data as CSV."""
    with st.container(border=True, key=f"card_{key}"):
        with st.container(
            horizontal=True,
            wrap=False,
            vertical_alignment="center",
            gap="xsmall",
            key=f"head_{key}",
        ):
            st.header(title, anchor=False)
            if page is not None:
                st.page_link(
                    page,
                    label=":material/arrow_forward:",
                    help=f"Open the page behind {title}",
                    query_params=link(),
                )
            with st.popover("How to read this", type="tertiary", icon=":material/help:"):
                _how(key, reading, figure)
        yield


def figure_card(
    key: str,
    title: str,
    figure: go.Figure,
    style: theme.Style,
    reading: Reading,
    *,
    alt: str,
    page: str | None = None,
    wide: bool = False,
    **select: Any,
) -> Any:
    """A card with one figure; returns the selection where ``on_select="rerun"`` is given.

    A ``wide`` figure scrolls sideways inside its card on a phone.
    """
    if select:  # Plotly would fade everything that is not selected
        look = {"unselected": {"marker": {"opacity": 0.5}}, "selected": {"marker": {"opacity": 1}}}
        figure.update_traces(look, selector={"type": "scatter"})
    with (
        card(key, title, reading, figure, page),
        st.container(key=f"wide_{key}") if wide else nullcontext(),
    ):
        return st.plotly_chart(
            figure,
            theme=None,
            key=f"chart_{key}",
            alt=alt,
            config=theme.config(style, f"featurescope-{key}"),
            **select,
        )


def _how(key: str, reading: Reading, figure: go.Figure | None) -> None:
    with st.container(key=f"how_{key}"):
        formula = f"$${reading.formula}$$" if reading.formula else ""
        source = f":small[{reading.source}]" if reading.source else ""
        st.markdown("\n\n".join(part for part in (reading.text, formula, source) if part))
        if figure is not None:
            st.download_button(
                "Data as CSV",
                data=lambda: figure_csv(figure),
                file_name=f"featurescope-{key}.csv",
                mime="text/csv",
                key=f"csv_{key}",
                on_click="ignore",
                type="tertiary",
                icon=":material/download:",
            )

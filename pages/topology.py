"""Topology: components and loops of the feature cloud, layer by layer and class by class."""

from functools import partial

import streamlit as st

from core.figures.topology import Reading as Counting
from core.text import plain
from core.topology_grid import ALL
from core.topology_grid.table import grid_csv
from pages._ui import frame
from pages._ui.cards import Reading, card
from pages._ui.choices import choose
from pages._ui.topology_cloud import of_cloud
from pages._ui.topology_grid import (
    REFRESH_SECONDS,
    Shown,
    betti_cards,
    changes,
    growing_cards,
    shown,
)
from pages._ui.topology_options import NAMES, choose_counting, choose_options
from pages._ui.view import View, choose_points


def chosen_cell(view: View, now: Shown, counting: Counting, scope: str | int) -> None:
    """The diagram and the loops of the chosen layer and class."""
    who = "all classes" if scope == ALL else view.class_names[int(scope)]
    st.subheader(f"At {plain(view.layer.name)}, {plain(who)}", anchor=False)
    cell = now.grid.cells.get((view.layer.name, scope))
    if cell is None:
        about = Reading("A cell is one layer's samples, of one class or of all.")
        with card("none", "No diagram yet", about):
            st.markdown(
                "This cell is being computed."
                if now.running
                else "This cell is not computed; choose another layer, or compute it above."
            )
        return
    first = cell.scale if counting.counted != "fixed" else counting.scale * cell.spacing
    of_cloud(view, cell, who, first)


view = frame.view(__file__)
frame.heading("Topology", view)
frame.needs_layers(view)
now = shown(view, *choose_options(view))
with st.container(horizontal=True, vertical_alignment="bottom", key="topology_counting"):
    counting = choose_counting(now.grid)
    scope = choose_points(view, len(view.class_names))
st.session_state["_topology_found"] = (view.layer.name, scope) in now.grid.cells
if now.running:
    st.fragment(growing_cards, run_every=REFRESH_SECONDS)(view, now.id, counting, scope)
elif now.grid.cells:
    betti_cards(view, now, counting, scope)
if now.grid.cells:
    chosen_cell(view, now, counting, scope)
    several = len(now.grid.layers) > 1
    st.subheader("Across the layers" if several else "As a table", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dimension = 1
        if several:
            dimension = choose(
                "dimension",
                list(range(max(2, now.grid.dimensions))),
                1,
                partial(
                    st.segmented_control, "Holes", required=True, format_func=NAMES.__getitem__
                ),
            )
        st.download_button(
            "All cells as CSV",
            data=lambda: grid_csv(now.grid, view.class_names),
            file_name="featurescope-topology.csv",
            mime="text/csv",
            key="csv_topology",
            on_click="ignore",
            icon=":material/download:",
        )
    if several:
        changes(view, now, dimension, scope)

"""The cells of the Topology page: the analysis' own, or computed while the reader waits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from core.figures import topology, topology_lines
from core.figures.loops import HOLES
from core.figures.topology import Reading as Counting
from core.results import TopologyOptions
from core.topology_grid import ALL, Grid, GridRequest, grid_id, grid_of_analysis, opened
from core.topology_grid.between import BetweenRequest, Steps
from pages._ui import frame, live
from pages._ui.cards import Reading, figure_card
from pages._ui.choices import set_choice
from pages._ui.source import missing, request_behind
from pages._ui.topology_cloud import SOURCE
from pages._ui.topology_options import NAMES, own_options
from pages._ui.view import View

AT_ONCE_SECONDS = 5.0
REFRESH_SECONDS = 1.0
WHAT = {
    "rule": "Counted are bars that stand out from sampling noise, at the scale where most of them "
    "are alive.",
    "fixed": "Counted are **all** bars alive at one scale, the chosen number of times the median "
    "distance of a point to its nearest neighbour.",
    "peak": "Counted are all bars, **noise included**, at the scale where most are alive: a "
    "wrinkled cloud has many, a tight one few.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """The grid on the page; ``id`` where it was computed for the reader, not with the analysis."""

    grid: Grid
    id: str | None = None
    running: bool = False


def shown(view: View, options: TopologyOptions, features: str) -> Shown:
    """The analysis' own topology, or one with other options, as far as it is computed."""
    own = grid_of_analysis(view.analysis)
    if own.cells and (options, features) == own_options(view.analysis):
        return Shown(own)
    source = request_behind(view)
    if source is None:
        frame.empty(missing(view), "Open your own", "pages/open_your_own.py")
        return Shown(Grid(own.layers, own.classes, {}))
    return computed(GridRequest(source, options, None, features), own)


def computed(request: GridRequest, own: Grid) -> Shown:
    """The grid of a request. What is not there yet is computed at once where that is a matter of
    seconds; otherwise a button says what it costs."""
    grid = grid_id(request)

    def now(running: bool = False) -> Shown:
        return Shown(opened(grid) or Grid(own.layers, own.classes, {}), grid, running)

    if (there := opened(grid)) is not None and there.is_complete():
        return now()
    cost = live.result_of(
        "topology_forecast", "core.topology_grid.compute:forecast", request, "Forecast"
    )
    if cost is None:
        return now()
    if cost.seconds > AT_ONCE_SECONDS and st.session_state.get("_topology_asked") != grid:
        label = f"Compute ({cost.describe()})"
        if not st.button(label, type="primary", icon=":material/play_arrow:", key="compute"):
            return now()
        st.session_state["_topology_asked"] = grid
        st.rerun()
    live.result_of("topology", "core.topology_grid.compute:compute", request, "Topology")
    return now(running=live.running("topology") is not None)


def on_cell(key: str, view: View, grid: Grid) -> None:
    """A click on a cell chooses its layer and class."""
    chosen = picked_cell(st.session_state.get(f"chart_{key}"), grid)
    if chosen is not None:
        layer, scope = chosen
        if layer in [la.name for la in view.analysis.layers]:
            set_choice("layer", layer)
        if scope is not None:
            set_choice("class", scope)
        st.session_state["_topology_picked"] = True


def picked_cell(event: object, grid: Grid) -> tuple[str, str | int | None] | None:
    """Layer and scope of a click; scope None where only a layer was meant."""
    selection = getattr(event, "selection", None)
    for point in selection.points if selection is not None else []:
        match point.get("customdata"):
            case [int(layer), scope] if 0 <= layer < len(grid.layers):
                return grid.layers[layer], ALL if scope == -1 else scope
    return None


def betti_cards(view: View, now: Shown, counting: Counting, scope: str | int) -> None:
    """The main figures: one heat map with its sum for every dimension."""
    style, grid = frame.style("large"), now.grid
    selected = (view.layer.name, scope)
    columns = st.columns(2)
    for dimension in range(max(2, grid.dimensions)):
        # every point is born at scale 0: at their peak, components are just the landmarks
        count = Counting() if counting.counted == "peak" and not dimension else counting
        key = f"betti_{dimension}"
        with columns[dimension % 2]:
            figure_card(
                key,
                f"{NAMES[dimension].capitalize()} by layer",
                topology.betti_grid(
                    grid,
                    view.class_names,
                    style,
                    dimension,
                    count,
                    order=topology.class_order(view.analysis),
                    selected=selected,
                    running=now.running,
                ),
                style,
                Reading(
                    "One row for each class, one column for each layer; click a cell to see its "
                    "diagram below. Above, the sum over the classes, which falls as the layers "
                    "simplify the classes, and the number of all samples together. A collapsed "
                    "class is one component without loops, β₀ = 1 and β₁ = 0; all samples "
                    f"together then have K components. {WHAT[count.counted]}",
                    r"\beta_k(\varepsilon)=\operatorname{rank} H_k(\mathrm{VR}_\varepsilon),"
                    r"\quad \beta(M)=\textstyle\sum_{c}\beta(M_c)",
                    SOURCE,
                ),
                alt=f"Heat map of the number of {HOLES[dimension]}, classes against layers, with "
                "their sum over the classes above.",
                wide=True,
                on_select=partial(on_cell, key, view, grid),
                selection_mode="points",
            )


def growing_cards(view: View, grid: str, counting: Counting, scope: str | int) -> None:
    """The same while cells are being computed, drawn anew every second; the whole page only when
    the reader chose a cell, or the chosen cell is finished."""
    there = opened(grid)
    if there is None:
        return
    found = (view.layer.name, scope) in there.cells
    if st.session_state.pop("_topology_picked", False) or (
        found and not st.session_state["_topology_found"]
    ):
        st.rerun()
    betti_cards(view, Shown(there, grid, running=True), counting, scope)


def changes(view: View, now: Shown, dimension: int, scope: str | int) -> None:
    """What follows from all layers together: entropy, and the step from layer to layer."""
    left, right = st.columns(2)
    style, grid = frame.style(), now.grid
    selected = (view.layer.name, scope)
    with left:
        figure_card(
            "entropy",
            "Persistence entropy",
            topology_lines.entropy_by_layer(grid, view.class_names, style, dimension, selected),
            style,
            Reading(
                "How evenly the lengths of the bars are spread: 0 for a single bar, the logarithm "
                "of their number where all are equally long. One dominant loop lowers it.",
                r"-\textstyle\sum_i p_i\log p_i,\quad p_i=\ell_i/\sum_j\ell_j",
                "Chintakunta et al. 2015; Atienza et al. 2019",
            ),
            alt=f"Persistence entropy of {HOLES[dimension]} by layer, of every class and of all.",
        )
    with right:
        steps = bottlenecks(view, now)
        if steps is None:
            st.caption("The bottleneck distances come when all cells are computed.")
            return
        values = steps[dimension] if dimension < len(steps) else {}
        places = [i + 0.5 for i in range(len(grid.layers) - 1)]
        figure_card(
            "bottleneck",
            "Change from layer to layer",
            topology_lines.lines_by_layer(
                grid, view.class_names, values, style, "bottleneck distance", selected, places
            ),
            style,
            Reading(
                f"How far the bars of {HOLES[dimension]} must be moved to turn the diagram of one "
                "layer into that of the next: the largest move of the best matching. Layers have "
                "different units, so each diagram is first divided by its last death.",
                r"d_B(D_l,D_{l+1})=\min_{\gamma}\max_{x}\lVert x-\gamma(x)\rVert_\infty",
                "Cohen-Steiner, Edelsbrunner and Harer 2007",
            ),
            alt=f"Bottleneck distance of the diagrams of {HOLES[dimension]} of consecutive layers.",
        )


def bottlenecks(view: View, now: Shown) -> tuple[dict[str | int, Steps], ...] | None:
    """Distances of consecutive layers, computed by a worker once all cells are there."""
    if now.running or not now.grid.is_complete():
        return None
    request = BetweenRequest(grid=now.id)
    if now.id is None:
        request = BetweenRequest(run=view.run, epoch=view.epoch, data=view.data)
    return live.result_of(
        "bottleneck", "core.topology_grid.between:between_layers", request, "Bottleneck distances"
    )

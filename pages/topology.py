"""Topology: components and loops of the feature cloud, layer by layer and class by class."""

from dataclasses import dataclass
from functools import partial

import streamlit as st

from core.figures import topology, topology_lines
from core.figures.loops import HOLES
from core.figures.topology import Reading as Counting
from core.results import Analysis, TopologyOptions
from core.text import plain
from core.topology_grid import ALL, Grid, GridRequest, grid_id, grid_of_analysis, opened
from core.topology_grid.between import BetweenRequest, Steps
from core.topology_grid.table import grid_csv
from pages._ui import frame, live
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, set_choice
from pages._ui.source import MISSING, request_behind
from pages._ui.topology_cloud import DISTANCES, SOURCE, of_cloud
from pages._ui.view import View, choose_points

NAMES = {0: "components (β₀)", 1: "loops (β₁)", 2: "voids (β₂)"}
COUNTED = {"rule": "significant", "fixed": "all at one scale", "peak": "all at their peak"}
LANDMARKS = {1: [100, 150, 200, 300, 400, 600], 2: [60, 100, 150, 200, 300]}
USUAL_LANDMARKS = {1: 400, 2: 200}
NEIGHBOURS = [5, 8, 10, 15, 20, 30]
SCALES = [i / 4 for i in range(2, 33)]
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


def choose_options(view: View) -> tuple[TopologyOptions, str]:
    """How the topology is computed: the analysis' own way unless the reader wants another."""
    own, features = own_options(view.analysis)
    with st.container(horizontal=True, vertical_alignment="bottom", key="topology_options"):
        distance = choose(
            "distance",
            list(DISTANCES),
            own.distance,
            partial(st.selectbox, "Distance", format_func=DISTANCES.__getitem__, width=290),
        )
        neighbours = own.neighbours
        if distance != "euclidean":
            neighbours = choose(
                "neighbours",
                NEIGHBOURS,
                own.neighbours,
                partial(st.selectbox, "Neighbours k", width=130),
            )
        max_dim = choose(
            "up_to",
            [1, 2],
            own.max_dim,
            partial(st.segmented_control, "Up to", required=True, format_func=NAMES.__getitem__),
        )
        usual = (own.landmarks if max_dim == own.max_dim else None) or USUAL_LANDMARKS[max_dim]
        landmarks = choose(
            "landmarks" if max_dim == 1 else "landmarks_2",
            sorted({*LANDMARKS[max_dim], usual}),
            usual,
            partial(st.selectbox, "Landmarks", width=130),
        )
        if not view.of_features:
            features = choose(
                "features",
                ["flat", "pooled"],
                features,
                partial(st.segmented_control, "Features", required=True),
            )
    return (
        TopologyOptions(max_dim, landmarks, distance, neighbours, seed=own.seed),
        features,
    )


def own_options(analysis: Analysis) -> tuple[TopologyOptions, str]:
    """How the topology in the analysis was computed."""
    settings = analysis.settings
    landmarks = settings.landmarks or USUAL_LANDMARKS[settings.max_dim]
    features = "pooled" if settings.features == "pooled" else "flat"
    return TopologyOptions(settings.max_dim, landmarks, seed=settings.seed), features


def choose_counting(grid: Grid) -> Counting:
    """Which bars count, and at which scale."""
    counted = choose(
        "bars",
        list(COUNTED),
        "rule" if not grid.cells or topology.has_holes(grid, 1) else "peak",
        partial(
            st.segmented_control, "Bars counted", required=True, format_func=COUNTED.__getitem__
        ),
    )
    if counted != "fixed":
        return Counting(counted)
    scale = choose(
        "times",
        SCALES,
        2.5,
        partial(st.select_slider, "Scale, in neighbour distances", width=280),
    )
    return Counting("fixed", scale)


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
        frame.empty(MISSING, "Open your own", "pages/open_your_own.py")
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
    if now.running or len(now.grid.layers) < 2 or not now.grid.is_complete():
        return None
    request = BetweenRequest(grid=now.id)
    if now.id is None:
        request = BetweenRequest(run=view.run, epoch=view.epoch, data=view.data)
    return live.result_of(
        "bottleneck", "core.topology_grid.between:between_layers", request, "Bottleneck distances"
    )


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
    st.subheader("Across the layers", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dimension = choose(
            "dimension",
            list(range(max(2, now.grid.dimensions))),
            1,
            partial(st.segmented_control, "Holes", required=True, format_func=NAMES.__getitem__),
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
    changes(view, now, dimension, scope)

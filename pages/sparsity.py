"""Sparsity: how much of each layer is zero, for which units, samples and classes, and when."""

from functools import partial

import streamlit as st

from core import library
from core.errors import UserError
from core.figures import sparsity
from core.figures.theme import number
from core.figures.topology import class_order
from core.results import Activation, Analysis
from core.text import plain
from pages._ui import frame, language
from pages._ui.cards import Reading, figure_card
from pages._ui.choices import choose, keep, recall
from pages._ui.sidebar import analysis_of, own_analyses
from pages._ui.view import View

WHICH = {"activations": "activations", "blocks": "blocks", "all": "all layers"}
LINES = {"layer": "one line", "position": "by place in the block"}
PARTS = {
    "inside": "inside blocks",
    "outputs": "outside and at the end of blocks",
    "all": "all activations",
}
MAX_NETWORKS = 5
SHARE = r"\frac{1}{N\,d}\,\#\{(i,j): a_{ij}\neq 0\}"
ACTIVE_SET = r"A_k=\{u: a_u\neq 0 \text{ on at least half of the samples of class } k\}"


@st.cache_resource(max_entries=16, show_spinner="Reading the epochs")
def rows_by_epoch(run_id: str, data: str | None) -> dict[int, tuple[Activation, ...]]:
    """The activations of every analysed checkpoint of a run."""
    run = library.find(run_id)
    found = {}
    for epoch in run.epochs if run is not None else ():
        try:
            found[epoch] = sparsity.rows_of(library.load(run_id, epoch, data))
        except UserError:
            continue  # a checkpoint that was not analysed on these data
    return found


def choose_row(rows: tuple[Activation, ...], view: View) -> Activation:
    """The layer to look into: that of the sidebar where it is among the rows, else the last."""
    names = [row.name for row in rows]
    own = view.layer.name if view.layer is not None else ""
    name = choose(
        "activation",
        names,
        own if own in names else names[-1],
        partial(st.selectbox, "Layer to look into", width=300),
    )
    return rows[names.index(name)]


def shares(rows: tuple[Activation, ...], selected: str, by_position: bool) -> None:
    large = frame.style("large")
    figure_card(
        "nonzero",
        "Share of non-zeros by layer",
        sparsity.nonzero(rows, large, selected, by_position),
        large,
        Reading(
            "How many activations are not zero, averaged over samples and units; the band is the "
            "95 % interval over samples. Open symbols are approximate: layers without exact zeros "
            "(GELU, SiLU, tanh) count $|a|$ above a thousandth of the largest. By place in the "
            "block, the first activation of every block is one line, the second another: in "
            "residual networks the last one follows the addition of the shortcut and stays denser.",
            SHARE,
        ),
        alt="Share of non-zero activations by layer, with 95 % intervals.",
        wide=True,
    )


def summary(rows: tuple[Activation, ...]) -> None:
    """The same in a sentence."""
    known = [r for r in rows if r.sparsity.nonzero_fraction.value is not None]
    if not known:
        return
    least = min(known, key=lambda r: r.sparsity.nonzero_fraction.value or 0.0)
    most = max(known, key=lambda r: r.sparsity.nonzero_fraction.value or 0.0)
    dead = [r for r in rows if (r.sparsity.dead_fraction or 0) > 0]
    text = (
        f"Mean over {len(known)} layers {percent(sparsity.mean_share(rows))}; sparsest "
        f"{plain(least.name)} ({percent(least.sparsity.nonzero_fraction.value)}), densest "
        f"{plain(most.name)} ({percent(most.sparsity.nonzero_fraction.value)}). "
    )
    text += f"{len(dead)} layers have dead units." if dead else "No layer has dead units."
    if any(r.sparsity.approximate for r in rows):
        text += " Layers with open symbols have no exact zeros: their shares are approximate."
    st.caption(text)


def percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1, " %")


def of_layer(row: Activation, rows: tuple[Activation, ...], texts: bool) -> None:
    """Dead units of every layer, and the two distributions of the chosen one."""
    unit = (
        "A unit is one of the MLP's hidden units, and a sample here is a token."
        if texts
        else "A unit is one number of the output, a channel at a position."
    )
    style = frame.style()
    columns = st.columns(3)
    found = row.sparsity
    approximate = (
        " Here the threshold is that of the largest activation seen until then, so the counts are "
        "approximate."
        if found.approximate
        else ""
    )
    with columns[0]:
        figure_card(
            "units",
            "Units",
            sparsity.share_histogram(found.unit_histogram, style, "units"),
            style,
            Reading(
                f"On how many samples each unit is active. {unit} Left: units for few samples, or "
                f"dead; right: units that are always on.{approximate}"
            ),
            alt=f"Histogram of units by share of samples they are active on, at {row.name}.",
        )
    with columns[1]:
        figure_card(
            "samples",
            "Samples",
            sparsity.share_histogram(found.sample_histogram, style, "samples"),
            style,
            Reading("How many units each sample activates: a narrow peak means all alike."),
            alt=f"Histogram of samples by share of units active on them, at {row.name}.",
        )
    with columns[2]:
        figure_card(
            "dead",
            "Dead units by layer",
            sparsity.dead_units(rows, style, row.name),
            style,
            Reading("Units that are zero on every sample of these data; others may wake them."),
            alt="Share of dead units by layer.",
        )


def classes(view: View, row: Activation, rows: tuple[Activation, ...]) -> None:
    large, names = frame.style("large"), view.class_names
    order = class_order(view.analysis)
    overlap = row.sparsity.class_overlap
    left, right = st.columns(2)
    with left:
        share = row.sparsity.class_nonzero_fraction.tolist()
        known_classes = [k for k in range(len(names)) if share[k] == share[k]]  # NaN: no samples
        figure_card(
            "by_class",
            "Non-zeros by class",
            sparsity.by_class(rows, names, large, order),
            large,
            Reading(
                "One row a class, one column a layer; the darker, the more units its samples "
                "activate."
            ),
            alt="Heat map of the share of non-zeros, classes against layers.",
        )
        if known_classes:
            least, most = (f(known_classes, key=share.__getitem__) for f in (min, max))
            st.caption(
                f"At {plain(row.name)}, {plain(names[most])} activates most units "
                f"({percent(share[most])}), {plain(names[least])} fewest ({percent(share[least])})."
            )
    with right:
        figure_card(
            "overlap",
            "Units that classes share",
            sparsity.class_overlap(overlap, names, large, order),
            large,
            Reading(
                "A unit belongs to the active set of a class if it is active on at least half of "
                "the class's samples. Dark pairs have nearly the same set, pale ones use units of "
                "their own. Left out where classes × units exceed 67 million, and beyond 256 "
                "classes.",
                ACTIVE_SET + r",\quad J_{kl}=\frac{|A_k\cap A_l|}{|A_k\cup A_l|}",
                "Jaccard 1901",
            ),
            alt=f"Heat map of the overlap of active sets, classes against classes, at {row.name}.",
        )
        pair = sparsity.most_shared(overlap)
        if pair is not None:
            a, b, jaccard = pair
            st.caption(
                f"At {plain(row.name)}, {plain(names[a])} and {plain(names[b])} share most: "
                f"{percent(jaccard)} of the units that either uses."
            )


def epochs(view: View) -> None:
    run = library.find(view.run)
    if run is None or len(run.epochs) < 2:
        return
    large = frame.style("large")
    figure_card(
        "epochs",
        "Over the epochs",
        sparsity.over_epochs(rows_by_epoch(view.run, view.data), large),
        large,
        Reading(
            "One line an activation, up to eight of them; the axis is logarithmic in 1 + epoch, "
            "as most happens early. Epoch 0 is the untrained network, where a ReLU passes about "
            "half of a symmetric input."
        ),
        alt="Share of non-zeros of every layer against the epoch.",
        wide=True,
    )


def networks(view: View) -> None:
    """Up to five networks, by relative depth, and whether larger is sparser."""
    titles = library.titles() | own_analyses()
    titles.setdefault(view.run, view.title)
    large = frame.style("large")
    chosen = choose_networks(titles, view)
    part = choose(
        "part",
        list(PARTS),
        "inside",
        partial(st.segmented_control, "Activations", required=True, format_func=PARTS.__getitem__),
    )
    found = {run: known(run, view) for run in chosen}
    analyses = {run: analysis for run, analysis in found.items() if analysis is not None}
    rows = sparsity.compared(list(analyses.values()), part)
    shown = [
        sparsity.Network(titles[run], analysis.checkpoint.parameters, own)
        for (run, analysis), own in zip(analyses.items(), rows, strict=True)
    ]
    figure_card(
        "networks",
        "Networks side by side",
        sparsity.side_by_side(shown, large),
        large,
        Reading(
            "Every network's activations at their relative depth. “Larger is sparser” would put "
            "the line of the network with more parameters below the other. In residual networks "
            "it matters which ones: the outputs of blocks carry the sum of all blocks before "
            "them. Networks without blocks show all their activations. Compare networks on the "
            "same data.",
            source="Li et al., ICLR 2023 (“The lazy neuron phenomenon”)",
        ),
        alt="Share of non-zeros against relative depth, one line a network.",
        wide=True,
    )
    if not shown:
        return
    st.caption(plain(sparsity.sparser(shown)))
    if part != "outputs" and not all(map(sparsity.inside_is_known, analyses.values())):
        st.caption(
            "One of these analyses does not hold the activations inside blocks, so all are "
            "compared outside and at the end of blocks."
        )


def choose_networks(titles: dict[str, str], view: View) -> list[str]:
    """Ids in the URL, joined by commas; first the network of the sidebar and its siblings."""
    default = default_networks(view, list(titles))
    if "choice_networks" not in st.session_state:
        asked = [run for run in (recall("networks") or "").split(",") if run in titles]
        st.session_state["choice_networks"] = asked[:MAX_NETWORKS] or default
    chosen = st.multiselect(
        "Networks",
        list(titles),
        format_func=titles.__getitem__,
        max_selections=MAX_NETWORKS,
        key="choice_networks",
    )
    keep("networks", ",".join(chosen), ",".join(default))
    return chosen


def default_networks(view: View, ids: list[str]) -> list[str]:
    """The network in the sidebar, and the other published ones on the same data."""

    def data_of(run_id: str) -> str | None:
        run = library.find(run_id)
        return run.first_data if run is not None else None

    others = [i for i in ids if i != view.run and data_of(i) == view.data]
    return [view.run, *others][:MAX_NETWORKS]


def known(run_id: str, view: View) -> Analysis | None:
    """The analysis of a network, on the data of the page where it has them; None without one."""
    run = library.find(run_id)
    same = run is not None and view.data in [entry.id for entry in run.data]
    try:
        return (
            view.analysis
            if run_id == view.run
            else analysis_of(run_id, None, view.data if same else None)
        )
    except UserError:
        return None


view = frame.view(__file__)
frame.heading("Sparsity", view)
frame.needs_layers(view)
frame.needs(
    bool(view.analysis.mlps or sparsity.rows_of(view.analysis, "all")),
    "The zeros of this network were not counted: its analysis was made without sparsity.",
)
if view.analysis.mlps:
    language.mlps(view.analysis.mlps)
with st.container(horizontal=True, vertical_alignment="bottom", key="sparsity_options"):
    which = "activations"
    if not view.analysis.mlps:  # whose activations are all there is
        which = choose(
            "which",
            list(WHICH),
            "activations",
            partial(st.segmented_control, "Layers", required=True, format_func=WHICH.__getitem__),
        )
    rows = sparsity.rows_of(view.analysis, which)
    by_position = False
    if which == "activations" and any(r.position for r in rows) and not view.analysis.mlps:
        lines = choose(
            "lines",
            list(LINES),
            "layer",
            partial(st.segmented_control, "Lines", required=True, format_func=LINES.__getitem__),
        )
        by_position = lines == "position"
    row = choose_row(rows, view) if rows else None
if which == "activations" and not sparsity.inside_is_known(view.analysis):
    st.caption("This analysis does not hold the activations inside blocks.")
if row is None:
    frame.empty(
        "None of these layers is there: choose all layers.", "Go to Layers", "pages/layers.py"
    )
else:
    if not view.analysis.mlps:
        shares(rows, row.name, by_position)
        summary(rows)
    st.subheader(f"At {plain(row.name)}", anchor=False)
    of_layer(row, rows, bool(view.analysis.mlps))
    st.subheader("Classes", anchor=False)
    classes(view, row, rows)
if library.find(view.run) is not None or own_analyses():
    st.subheader("Training and size", anchor=False)
    epochs(view)
    networks(view)

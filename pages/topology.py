"""Topology: components and loops of the feature cloud, layer by layer and class by class."""

from functools import partial

import streamlit as st

from core.figures import topology
from core.metrics.persistence import rounded_scale, scale_grid
from core.results import Topology
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.view import View, choose_points

SOURCE = "Naitzat, Zhitnikov and Lim, JMLR 2020; Fasy et al. 2014 (confidence)"
BARS = {"rule": "significant", "peak": "all, at their peak"}
NAMES = {0: "components (β₀)", 1: "loops (β₁)", 2: "voids (β₂)"}


def by_layer(view: View, dimension: int, bars: str) -> None:
    left, right = st.columns([57, 43])
    style = frame.style()
    what = {
        "rule": "Counted are bars that stand out from sampling noise, at the scale where most of "
        "them are alive.",
        "peak": "Counted are all bars, **noise included**, at the scale where most are alive: a "
        "wrinkled cloud has many, a tight one few.",
    }
    with left:
        figure_card(
            "betti",
            f"{NAMES[dimension].capitalize()} by layer",
            topology.betti_by_layer(view.analysis, style, dimension, bars),
            style,
            Reading(
                "One row for each class, one column for each layer. A collapsed class is one "
                f"component without loops: β₀ = 1, β₁ = 0. {what[bars]}",
                r"\beta_k(\varepsilon)=\operatorname{rank} H_k(\mathrm{VR}_\varepsilon)",
                SOURCE,
            ),
            alt="Heat map of Betti numbers, classes against layers.",
        )
    with right:
        figure_card(
            "total",
            "All samples together",
            topology.betti_total(view.analysis, style, view.layer.name),
            style,
            Reading(
                "Betti numbers of the whole cloud. When the classes have come apart, its number "
                "of components is the number of classes $K$.",
                r"\beta_0(\text{all samples})\to K",
                SOURCE,
            ),
            alt="Line of the Betti numbers of all samples by layer.",
        )


def of_cloud(view: View, cloud: Topology, who: str) -> None:
    """Diagram, barcode and Betti curve of one layer and class, at a movable scale."""
    if not any(len(diagram) for diagram in cloud.diagrams):
        frame.empty(
            f"There is no diagram for {plain(who)}: {cloud.reason or 'too few points'}.",
            "Go to Overview",
            "pages/overview.py",
        )
        return
    scale = movable_scale(cloud)
    style = frame.style()
    left, middle, right = st.columns(3)
    with left:
        figure_card(
            "diagram",
            "Persistence diagram",
            topology.persistence_diagram(cloud, style, scale),
            style,
            Reading(
                "Every point is a component or a loop: born at one scale, gone at another. Far "
                "above the diagonal is structure, close to it is noise.",
                source=SOURCE,
            ),
            alt="Birth against death of every bar.",
        )
    with middle:
        figure_card(
            "barcode",
            "Barcode",
            topology.barcode(cloud, style, scale),
            style,
            Reading(
                "The same bars as lines from birth to death. The Betti number at a scale is the "
                "number of bars that the dashed line crosses.",
                source=SOURCE,
            ),
            alt="Bars from birth to death, by dimension.",
        )
    with right:
        figure_card(
            "curve",
            "Betti curve",
            topology.betti_curve(cloud, style, scale),
            style,
            Reading(
                "Number of bars alive at every scale. The dashed line is the scale at which the "
                "numbers are read; move it above.",
                r"\beta_k(\varepsilon)",
                SOURCE,
            ),
            alt="Betti numbers against scale, with the chosen scale.",
        )
    facts(cloud, scale, who)


def movable_scale(cloud: Topology) -> float:
    """The scale chosen by the reader, at first the one that the rule chose."""
    options = scale_grid(cloud)
    middle = options[len(options) // 2]
    chosen = rounded_scale(cloud.scale) if cloud.scale is not None else middle
    return choose("scale", options, chosen, partial(st.select_slider, "Scale ε"))


def facts(cloud: Topology, scale: float, who: str) -> None:
    parts = [
        f"{cloud.landmarks:,} landmarks of {cloud.points:,} points",
        f"every point within {cloud.cover_radius:.3g} of a landmark",
        f"{cloud.distance} distance",
    ]
    if cloud.scale is not None:
        numbers = ", ".join(
            f"β{'₀₁₂'[k]} = {'n/a' if b is None else b}" for k, b in enumerate(cloud.betti)
        )
        parts.insert(0, f"{who}: {numbers} at ε = {cloud.scale:.3g} (rule: {cloud.rule})")
    elif cloud.reason:
        parts.insert(0, f"{who}: Betti numbers undefined, {cloud.reason}")
    st.caption(plain(" · ".join(parts)))
    for warning in cloud.warnings:
        st.caption(plain(warning))


view = frame.view(__file__)
frame.heading("Topology", view)
frame.needs_layers(view)
measured = [layer.topology for layer in view.analysis.layers if layer.topology is not None]
frame.needs(bool(measured), "Topology was not measured in this analysis.")
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
    dimension = choose(
        "dimension",
        list(range(len(measured[0].all.diagrams) or 2)),
        1,
        partial(st.segmented_control, "Count", required=True, format_func=NAMES.__getitem__),
    )
    bars = "rule"
    if dimension > 0:
        some = topology.has_significant_holes(view.analysis, dimension)
        bars = choose(
            "bars",
            list(BARS),
            "rule" if some else "peak",
            partial(
                st.segmented_control, "Bars by layer", required=True, format_func=BARS.__getitem__
            ),
        )
    scope = choose_points(view, min(len(scoped.classes) for scoped in measured))
by_layer(view, dimension, bars)
st.subheader(f"At {plain(view.layer.name)}", anchor=False)
scoped = view.layer.topology
if scoped is None:
    with card("none", "No diagram", Reading("Topology was measured at other layers.")):
        st.markdown("This layer was not measured; choose another one in the sidebar.")
else:
    cloud = scoped.all if scope == "all" else scoped.classes[int(scope)]
    of_cloud(view, cloud, "all classes" if scope == "all" else view.class_names[int(scope)])

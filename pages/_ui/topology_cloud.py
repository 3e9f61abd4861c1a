"""One layer and class on the Topology page: diagram, barcode, Betti curve, and its loops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from core.figures import loops, persistence
from core.figures.theme import significant
from core.metrics.persistence import rounded_scale, scale_grid
from core.results import Cycle, Topology
from core.text import plain
from core.thumbnails import kept_tile
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, set_choice
from pages._ui.view import View

SOURCE = "Naitzat, Zhitnikov and Lim, JMLR 2020; Fasy et al. 2014 (confidence)"
STRIP = 12  # images of a loop
CLICKS = ("diagram", "barcode")


def of_cloud(view: View, cloud: Topology, who: str, first_scale: float | None) -> None:
    """Everything about one cell; ``first_scale`` is where the movable scale stands at first."""
    if not any(len(diagram) for diagram in cloud.diagrams):
        frame.empty(
            f"There is no diagram for {plain(who)}: {plain(cloud.reason or 'too few points')}.",
            "Go to Overview",
            "pages/overview.py",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        loop = choose_loop(cloud)
        scale = movable_scale(cloud, first_scale)
    diagrams(cloud, scale, loop)
    facts(cloud, who)
    of_loop(view, cloud, loop)


def choose_loop(cloud: Topology) -> int | None:
    """The bar of dimension 1 to look at, by its position in ``cycles``: the longest at first."""
    if not cloud.cycles:
        return None
    return choose(
        "loop",
        list(range(len(cloud.cycles))),
        0,
        partial(
            st.selectbox,
            "Loop to look at",
            format_func=lambda i: loop_name(i, cloud.cycles[i]),
            width=300,
        ),
    )


def loop_name(position: int, cycle: Cycle) -> str:
    dies = "never dies" if cycle.death == float("inf") else f"dies at {significant(cycle.death)}"
    return f"loop {position + 1}: born at {significant(cycle.birth)}, {dies}"


def movable_scale(cloud: Topology, first: float | None) -> float:
    """The scale chosen by the reader, at first the nearest to ``first``."""
    options = scale_grid(cloud)
    middle = options[len(options) // 2]
    wanted = middle if first is None else rounded_scale(first)
    nearest = min(options, key=lambda value: abs(value - wanted))
    return choose("scale", options, nearest, partial(st.select_slider, "Scale ε", width=320))


def picked_loop(event: Any, loops_there: int) -> int | None:
    """The position of the loop that a click on a diagram or a barcode chose."""
    points = event.selection.points if event is not None else []
    for point in points:
        chosen = point.get("customdata")
        chosen = chosen[0] if isinstance(chosen, list) and chosen else chosen
        if isinstance(chosen, int) and 0 <= chosen < loops_there:
            return chosen
    return None


def on_click(key: str, loops_there: int) -> None:
    """A click on a bar chooses its loop, as the list above does."""
    loop = picked_loop(st.session_state.get(f"chart_{key}"), loops_there)
    if loop is not None:
        set_choice("loop", loop)


def diagrams(cloud: Topology, scale: float, loop: int | None) -> None:
    style = frame.style()
    click = " Click a ringed loop to see it below." if cloud.cycles else ""
    drawn: list[tuple[str, str, Callable[..., Any], Reading, str]] = [
        (
            "diagram",
            "Persistence diagram",
            partial(persistence.diagram, loop=loop),
            Reading(
                "Every point is a component or a loop: born at one scale, gone at another. Far "
                f"above the diagonal is structure, close to it is noise.{click}",
                r"(b,d):\ \text{born at } \varepsilon=b,\ \text{filled in at } \varepsilon=d",
                SOURCE,
            ),
            "Birth against death of every bar.",
        ),
        (
            "barcode",
            "Barcode",
            partial(persistence.barcode, loop=loop),
            Reading(
                "The same bars as lines from birth to death. The Betti number at a scale is the "
                f"number of bars that the line crosses.{click}",
                source=SOURCE,
            ),
            "Bars from birth to death, by dimension.",
        ),
        (
            "curve",
            "Betti curve",
            persistence.betti_curve,
            Reading(
                "Number of bars alive at every scale; in colour those that count as structure. "
                "The line is the scale at which the numbers are read; move it above.",
                r"\beta_k(\varepsilon)=\#\{(b,d)\in H_k: b\le\varepsilon<d\}",
                SOURCE,
            ),
            "Betti numbers against scale, with the chosen scale.",
        ),
    ]
    for column, (key, title, draw, reading, alt) in zip(st.columns(3), drawn, strict=True):
        clicks: dict[str, Any] = {}
        if key in CLICKS and cloud.cycles:
            handler = partial(on_click, key, len(cloud.cycles))
            clicks = {"on_select": handler, "selection_mode": "points"}
        with column:
            figure_card(key, title, draw(cloud, style, scale), style, reading, alt=alt, **clicks)


def of_loop(view: View, cloud: Topology, loop: int | None) -> None:
    """The chosen loop in the cloud, and the images of its points."""
    left, right = st.columns([43, 57])
    style = frame.style()
    with left:
        figure_card(
            "loop",
            "The loop in the cloud",
            loops.cycle_view(cloud, style, loop),
            style,
            Reading(
                "Grey: the landmarks in their first two principal components. The closed line "
                "joins the points of one loop that represents the chosen bar; other loops round "
                "the same hole would do as well. In two of many dimensions a loop may look "
                "crossed or flat.",
                r"z=\textstyle\sum_i [x_i,x_{i+1}],\quad \partial z=0",
                "representative cocycle, closed by a shortest path (de Silva et al. 2011)",
            ),
            alt="Landmarks in two principal components, with the chosen loop drawn through them.",
        )
    what = "lines of the texts" if view.of_texts else "images"
    about = Reading(f"The {what} at the points of the loop, in order round it: what changes along?")
    with right, card("strip", f"{what.split(maxsplit=1)[0].capitalize()} round the loop", about):
        if loop is None or cloud.rows is None:
            st.markdown(
                "No loop of this cloud has a representative: there is none, or this analysis was "
                "made before they were kept."
            )
            return
        strip(view, cloud, loop)


def strip(view: View, cloud: Topology, loop: int) -> None:
    """At most ``STRIP`` images of the points of a loop, evenly spaced round it."""
    sample = view.analysis.sample
    path = cloud.cycles[loop].path
    places = sorted({i * len(path) // STRIP for i in range(STRIP)})
    rows = [int(cloud.rows[path[i]]) for i in places] if cloud.rows is not None else []
    found = [kept_tile(sample, row, 96) if sample is not None else None for row in rows]
    st.caption(f"{len(path)} landmarks round loop {loop + 1}; {len(rows)} of them shown in order")
    if any(image is None for image in found):
        ids = None if sample is None else sample.kept_ids
        names = rows if ids is None else [int(ids[row]) for row in rows]
        if view.of_texts:
            st.markdown("Lines " + ", ".join(f"{name + 1:,}" for name in names))
        else:
            st.markdown("No images were kept. Samples: " + ", ".join(map(str, names)))
        return
    with st.container(horizontal=True, gap="small", key="loop_strip"):
        for position, image in zip(places, found, strict=True):
            st.image(image, width=84, alt=f"Image {position + 1} of {len(path)} round the loop")


def facts(cloud: Topology, who: str) -> None:
    parts = [
        f"{cloud.landmarks:,} landmarks of {cloud.points:,} points",
        f"every point within {cloud.cover_radius:.3g} of a landmark",
        f"{DISTANCES[cloud.distance]}"
        + (f", k = {cloud.neighbours}" if cloud.neighbours is not None else ""),
        f"engine {cloud.engine}",
    ]
    if any(value is not None for value in cloud.entropy):
        shown = ", ".join("n/a" if e is None else f"{e:.2f}" for e in cloud.entropy)
        parts.append(f"persistence entropy {shown} nats")
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


DISTANCES = {
    "euclidean": "Euclidean distance",
    "geodesic": "shortest path in the neighbour graph",
    "hops": "hops in the neighbour graph",
}

"""Choices of the Topology page: how homology is computed, and which bars count."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.figures import topology
from core.figures.topology import Reading as Counting
from core.results import LANDMARKS as USUAL_LANDMARKS
from core.results import Analysis, TopologyOptions
from core.topology_grid import Grid
from pages._ui.choices import choose
from pages._ui.topology_cloud import DISTANCES
from pages._ui.view import View

NAMES = {0: "components (β₀)", 1: "loops (β₁)", 2: "voids (β₂)"}
COUNTED = {"rule": "significant", "fixed": "all at one scale", "peak": "all at their peak"}
LANDMARKS = {1: [100, 150, 200, 300, 400, 600], 2: [60, 100, 150, 200, 300]}
NEIGHBOURS = [5, 8, 10, 15, 20, 30]
SCALES = [i / 4 for i in range(2, 33)]


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
        if not (view.of_features or view.of_texts):
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

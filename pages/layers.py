"""Layers: how each layer pulls the classes apart, and how much of it is zero."""

from functools import partial

import pandas as pd
import streamlit as st

from core.figures import layers
from core.figures.theme import number
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.view import View

QUANTITIES = {"separation": "separation D", "nc1": "NC1"}
WHICH = {"activations": "activations", "all": "all layers"}


def separation(view: View, quantity: str) -> None:
    large = frame.style("large")
    law = view.analysis.separation_law
    figure_card(
        "separation",
        "Separation by layer",
        layers.separation_by_layer(view.analysis, large, quantity, selected=view.layer.name),
        large,
        Reading(
            "Spread within classes over distance between them, on a log axis. The law of data "
            "separation says that every layer multiplies it by about the same $\\rho$: a straight "
            "line, drawn dashed. Lower is better separated.",
            r"D_l=\operatorname{tr}(S_W S_B^\dagger)\approx\rho^{\,l}D_0",
            "He and Su, PNAS 2023; Papyan, Han and Donoho 2020 (NC1)",
        ),
        alt="Separation by layer on a logarithmic axis with the fitted law.",
    )
    if law is not None:
        if law.rho is None:
            st.caption(f"No law fitted: {law.reason or 'too few layers'}.")
        else:
            turn = (
                f" The lowest value is at {law.minimum_layer}; it rises again after it."
                if law.minimum_layer
                else ""
            )
            st.caption(
                f"Fitted law: ρ = {number(law.rho, 3)} a layer, R² = {number(law.r2, 2)}.{turn}"
            )


def nonzero(view: View, which: str) -> None:
    figure_card(
        "nonzero",
        "Share of non-zeros",
        layers.nonzero_by_layer(view.analysis, frame.style(), which, view.layer.name),
        frame.style(),
        Reading(
            "How many activations are not zero, averaged over samples and units. Layers without "
            "exact zeros (GELU, SiLU, tanh) count |a| above a thousandth of the largest.",
            r"\frac{1}{N\,d}\,\#\{(i,j): h_{ij}\neq 0\}",
        ),
        alt="Share of non-zero activations by layer.",
    )


def accuracy(view: View) -> None:
    figure_card(
        "accuracy",
        "Nearest-mean accuracy",
        layers.accuracy_by_layer(view.analysis, frame.style(), view.layer.name),
        frame.style(),
        Reading(
            "How many samples are nearest to the mean of their own class at each layer, beside "
            "the accuracy of the network itself.",
            r"\arg\min_k\|h-\mu_k\|",
            "Ben-Shaul and Dekel 2022",
        ),
        alt="Accuracy of the nearest-class-mean classifier by layer.",
    )


def table(view: View) -> None:
    rows = [
        {
            "layer": layer.name,
            "module": layer.kind,
            "shape": "×".join(map(str, layer.shape)),
            "NC1": layer.nc1,
            "separation": layer.separation,
            "nearest-mean accuracy": layer.ncc_accuracy,
            "non-zeros": layer.sparsity.nonzero_fraction.value if layer.sparsity else None,
            "dead units": layer.sparsity.dead_fraction if layer.sparsity else None,
        }
        for layer in view.analysis.layers
    ]
    decimals = st.column_config.NumberColumn(format="%.3f")
    with card("layers_table", "All layers", Reading("Download as CSV from the table's corner.")):
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height="content",
            column_config={k: decimals for k in rows[0] if k not in ("layer", "module", "shape")},
        )


view = frame.view(__file__)
frame.heading("Layers", view)
frame.needs_layers(view)
with st.container(horizontal=True, horizontal_alignment="distribute"):
    quantity = choose(
        "quantity",
        list(QUANTITIES),
        "separation",
        partial(
            st.segmented_control, "Quantity", required=True, format_func=QUANTITIES.__getitem__
        ),
    )
    which = choose(
        "which",
        list(WHICH),
        "activations",
        partial(st.segmented_control, "Non-zeros", required=True, format_func=WHICH.__getitem__),
    )
separation(view, quantity)
left, right = st.columns(2)
with left:
    nonzero(view, which)
with right:
    accuracy(view)
table(view)

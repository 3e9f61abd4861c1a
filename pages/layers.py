"""Layers: how each layer pulls the classes apart, the law it follows, and when the law appears."""

from functools import partial

import pandas as pd
import streamlit as st

from core import library
from core.errors import UserError
from core.figures import layers
from core.figures.theme import number
from core.metrics.separation import FEWEST_LAYERS, one_per_block, phases
from core.results import Analysis, LayerAnalysis, SeparationLaw
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, keep, link, recall
from pages._ui.probes import has_probes, with_probes
from pages._ui.sidebar import analysis_of
from pages._ui.view import View

QUANTITIES = {"separation": "separation D", "nc1": "NC1"}
OVER = {"blocks": "one a block", "all": "all layers"}
MAX_EPOCHS = 5
FEWEST_BLOCKS = 3


def separation(view: View, quantity: str, over: str) -> None:
    large = frame.style("large")
    figure_card(
        "separation",
        "Separation by layer",
        layers.separation_by_layer(view.analysis, large, quantity, view.layer.name, over),
        large,
        Reading(
            "Spread within classes over distance between them, on a log axis; lower is better "
            "separated. The law of data separation says that every layer multiplies it by about "
            "the same $\\rho$: a straight line, drawn dashed. The law speaks of one point a block; "
            "layers that it was not fitted to (input, stem, pooling, output) have open symbols.",
            r"D_l=\operatorname{tr}(S_W S_B^\dagger)\approx\rho^{\,l}D_0",
            "He and Su, PNAS 2023; Papyan, Han and Donoho 2020 (NC1)",
        ),
        alt="Separation by layer on a logarithmic axis with the fitted law.",
        wide=True,
    )
    st.caption(said_of_the_law(view.analysis, over))


def said_of_the_law(analysis: Analysis, over: str) -> str:
    """Both fits in a line each, and where the separation is lowest."""
    law, positions = layers.fitted(analysis, over)
    if law.rho is None:
        return f"No law was fitted: it {law.reason}."
    what = "blocks, one point each" if over == "blocks" else "layers shown"
    text = f"Fitted over the {len(positions)} {what}: {in_numbers(law)}."
    other = "all" if over == "blocks" else "blocks"
    law_of_others, others = layers.fitted(analysis, other)
    if law_of_others.rho is not None and others != positions:
        what = f"all {len(others)} layers shown" if other == "all" else f"the {len(others)} blocks"
        text += f" Over {what}: {in_numbers(law_of_others)}."
    text += f" {breaking(law, len(positions))}"
    found = phases([layer.separation for layer in analysis.layers])
    if found is not None and found.end > found.minimum:
        lowest, highest = analysis.layers[found.minimum], analysis.layers[found.end]
        text += (
            f" D is lowest at {plain(lowest.name)} and rises by {number(100 * found.rise, 1)} % "
            f"until {plain(highest.name)}."
        )
    return text


def in_numbers(law: SeparationLaw) -> str:
    return (
        f"ρ = {number(law.rho, 3)}, R² = {number(law.r2, 3)}, correlation of log D with the layer "
        f"{number(law.correlation, 3)}"
    )


def breaking(law: SeparationLaw, count: int) -> str:
    if law.breaks is not None:
        return f"**{plain(law.breaks)} breaks the law**: it lies farthest off the line."
    if count < FEWEST_LAYERS:
        return f"With fewer than {FEWEST_LAYERS} points none can be said to break the law."
    return "No layer breaks the law."


def off_the_line(view: View, over: str) -> None:
    style = frame.style()
    figure_card(
        "residuals",
        "Off the fitted line",
        layers.residuals(view.analysis, style, over),
        style,
        Reading(
            "How far each layer lies from the fitted line: 0.69 means twice the line's D. A layer "
            "breaks the law where its residual is the largest and more than 2.5 robust standard "
            "deviations (and 0.1) from zero; it is darker. Bars that go one way at both ends "
            "and the other way between them are a bend: no single layer's fault.",
            r"\log D_l-(\log D_0+l\log\rho)",
        ),
        alt="Residuals of the logarithm of the separation from the fitted law, by layer.",
    )


def accuracy(view: View, analysis: Analysis) -> None:
    style = frame.style()
    figure_card(
        "accuracy",
        "What can be read out",
        layers.accuracy_by_layer(analysis, style, view.layer.name),
        style,
        Reading(
            "How many samples lie nearest to the mean of their own class, and how many a linear "
            "probe gets right: a logistic regression fitted to three quarters of the samples, its "
            "L2 penalty chosen on these alone, and tested on the rest. The band is the 95 % "
            "interval of its accuracy.",
            r"\arg\min_k\|h-\mu_k\|",
            "Ben-Shaul and Dekel 2022; Alain and Bengio 2016; Wilson 1927 (interval)",
        ),
        alt="Accuracy of the nearest class mean and of a linear probe by layer.",
    )


def epochs(view: View, quantity: str, over: str) -> None:
    """Up to five checkpoints of a run over each other: the law appears with training."""
    run = library.find(view.run)
    if run is None or len(run.epochs) < 2:
        return
    st.subheader("Over the epochs", anchor=False)
    found = {}
    for epoch in choose_epochs(run.epochs):
        try:
            found[epoch] = analysis_of(view.run, epoch, view.data)
        except UserError:
            st.caption(f"Epoch {epoch} was not analysed on these data.")
    large = frame.style("large")
    figure_card(
        "epochs",
        "The law appears with training",
        layers.by_epoch(found, large, quantity),
        large,
        Reading(
            "One line an epoch; epoch 0 is the untrained network. With training the lines tilt "
            "down and become straight: every layer comes to do an equal share of the work. The "
            "table has the fit of each.",
            source="He and Su, PNAS 2023, figure 2",
        ),
        alt="Separation by layer on a logarithmic axis, one line an epoch.",
        wide=True,
    )
    rows = [
        {
            "epoch": epoch,
            "ρ": law.rho,
            "R²": law.r2,
            "correlation": law.correlation,
            "breaks the law": law.breaks or "",
        }
        for epoch, law in ((e, layers.fitted(a, over)[0]) for e, a in sorted(found.items()))
    ]
    about = Reading(
        "The fit over the points chosen above. A ρ above 1 means that layers push classes together."
    )
    with card("law_table", "The fitted law by epoch", about):
        decimals = st.column_config.NumberColumn(format="%.4f")
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height="content",
            column_config=dict.fromkeys(("ρ", "R²", "correlation"), decimals),
        )


def choose_epochs(known: tuple[int, ...]) -> list[int]:
    """Epochs in the URL, joined by commas; first untrained, early, middle and last."""
    last = len(known) - 1
    default = sorted({known[0], known[last // 4], known[last // 2], known[last]})
    if "choice_epochs" not in st.session_state:
        asked = [e for e in known if str(e) in (recall("epochs") or "").split(",")]
        st.session_state["choice_epochs"] = asked[:MAX_EPOCHS] or default
    chosen = st.multiselect("Epochs", known, max_selections=MAX_EPOCHS, key="choice_epochs")
    keep("epochs", ",".join(map(str, sorted(chosen))), ",".join(map(str, default)))
    return sorted(chosen)


def of_probe(layer: LayerAnalysis) -> dict[str, float | None]:
    found = layer.probe_accuracy
    return {
        "probe accuracy": found.value if found else None,
        "probe, low": found.low if found else None,
        "probe, high": found.high if found else None,
        "probe, 1/penalty": layer.probe_strength,
    }


def table(analysis: Analysis) -> None:
    rows = [
        {
            "layer": layer.name,
            "module": layer.kind,
            "shape": "×".join(map(str, layer.shape)),
            "NC1": layer.nc1,
            "separation": layer.separation,
            "nearest-mean accuracy": layer.ncc_accuracy,
            **(of_probe(layer) if has_probes(analysis) else {}),
        }
        for layer in analysis.layers
    ]
    decimals = st.column_config.NumberColumn(format="%.3f")
    about = Reading("Low and high bound the 95 % interval. Download as CSV from the corner.")
    with card("layers_table", "All layers", about):
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height="content",
            column_config={k: decimals for k in rows[0] if k not in ("layer", "module", "shape")},
        )


view = frame.view(__file__)
frame.heading("Layers", view)
frame.needs_layers(view)
with st.container(horizontal=True, vertical_alignment="bottom", key="layers_options"):
    quantity = choose(
        "quantity",
        list(QUANTITIES),
        "separation",
        partial(
            st.segmented_control, "Quantity", required=True, format_func=QUANTITIES.__getitem__
        ),
    )
    over = choose(
        "over",
        list(OVER),
        "blocks" if len(one_per_block(view.analysis.layers)) >= FEWEST_BLOCKS else "all",
        partial(st.segmented_control, "Law fitted to", required=True, format_func=OVER.__getitem__),
    )
separation(view, quantity, over)
analysis = with_probes(view)
left, right = st.columns(2)
with left:
    off_the_line(view, over)
with right:
    accuracy(view, analysis)
epochs(view, quantity, over)
table(analysis)
st.page_link(
    "pages/sparsity.py",
    label="How much of each layer is zero",
    icon=":material/arrow_forward:",
    query_params=link(),
)

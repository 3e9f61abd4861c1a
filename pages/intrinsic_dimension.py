"""Intrinsic dimension: how many numbers it takes to say where a sample lies, layer by layer."""

from functools import partial

import pandas as pd
import streamlit as st

from core.figures import dimension
from core.results import Estimate, IntrinsicDimension
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, set_choice
from pages._ui.view import View, choose_points

ESTIMATORS = {
    "twonn": "TwoNN",
    "mle": "MLE",
    "both": "both",
    "pca": "PCA counts",
    "participation_ratio": "participation ratio",
}
GROUPS = {"both": ("twonn", "mle"), "pca": ("pca_90", "pca_95", "pca_99")}
FORMULAS = {
    "twonn": (r"F(\mu)=1-\mu^{-d},\quad \mu=r_2/r_1", "Facco et al., Scientific Reports 2017"),
    "mle": (
        r"\frac1m=\frac1N\sum_i\frac1{k-1}\sum_{j<k}\log\frac{T_k(x_i)}{T_j(x_i)},\quad k=20",
        "Levina and Bickel 2004; MacKay and Ghahramani 2005",
    ),
    "pca": (r"\min\{m:\ \textstyle\sum_{i\le m}\lambda_i\ge p\sum_i\lambda_i\}", "PCA"),
    "participation_ratio": (r"(\textstyle\sum\lambda)^2/\sum\lambda^2", "Gao et al. 2017"),
}
FORMULAS["both"] = FORMULAS["twonn"]


def by_layer(view: View, estimator: str, scope: str | int) -> None:
    large = frame.style("large")
    formula, source = FORMULAS[estimator]
    selection = figure_card(
        "by_layer",
        "Dimension by layer",
        dimension.dimension_by_layer(
            view.analysis,
            large,
            estimators=GROUPS.get(estimator, (estimator,)),
            scope=scope,
            selected=view.layer.name,
        ),
        large,
        Reading(
            "From input to output. Typically it rises in the first layers and falls towards the "
            "classifier, to $K-1$ or below in a collapsed network. The band is a 95 % interval "
            "(delete-$d$ jackknife). Click a layer to choose it.",
            formula,
            f"{source}; Ansuini et al. 2019",
        ),
        alt="Line of the estimated dimension from input to output, with its interval and K − 1.",
        on_select=partial(choose_layer, view),
        selection_mode="points",
    )
    del selection


def choose_layer(view: View) -> None:
    """A click on a layer chooses it in the sidebar, too."""
    event = st.session_state.get("chart_by_layer")
    points = event.selection.points if event is not None else []
    names = [layer.name for layer in view.analysis.layers]
    position = points[0].get("x") if points else None
    if isinstance(position, int | float) and 0 <= round(position) < len(names):
        set_choice("layer", names[round(position)])


def of_layer(view: View, scope: str | int) -> None:
    """Spectrum and decimation of the chosen layer."""
    scoped = view.layer.dimension
    if scoped is None:
        frame.empty("This layer has no dimension.", "Go to Overview", "pages/overview.py")
        return
    cloud = scoped.all if scope == "all" else scoped.classes[int(scope)]
    style = frame.style()
    left, middle, right = st.columns(3)
    with left:
        figure_card(
            "spectrum",
            "PCA spectrum",
            dimension.pca_spectrum(cloud, style),
            style,
            Reading(
                "Share of variance of every principal component of the chosen layer. A sharp "
                "drop after $K-1$ is the linear picture of collapse.",
                r"\lambda_i/\textstyle\sum_j\lambda_j",
            ),
            alt="Share of variance by principal component.",
        )
    with middle:
        figure_card(
            "decimation",
            "Against number of points",
            dimension.decimation(cloud, style),
            style,
            Reading(
                "The estimates on random subsets. Where the curve still rises at its right end, "
                "the true dimension is larger than the estimate.",
                source="Facco et al., Scientific Reports 2017",
            ),
            alt="Estimates against the number of points.",
        )
    with right:
        about(view, cloud)


def about(view: View, cloud: IntrinsicDimension) -> None:
    with card("numbers", "The chosen layer", Reading("All estimators of one point cloud.")):
        rows = [
            ("TwoNN", text(cloud.twonn)),
            ("MLE, k = 20", text(cloud.mle)),
            *((f"PCA, {p} %", str(getattr(cloud, f"pca_{p}") or "n/a")) for p in (90, 95, 99)),
            ("participation ratio", text(Estimate(cloud.participation_ratio))),
            ("points", f"{cloud.points:,}"),
            ("features", f"{cloud.ambient:,}"),
        ]
        st.table(
            pd.DataFrame(rows, columns=["Estimator", view.layer.name.replace("_", r"\_")]),
            border="horizontal",
            hide_index=True,
        )
        notes = [f"{cloud.duplicates:,} duplicate points dropped."] if cloud.duplicates else []
        if cloud.projected:
            notes.append(f"Projected at random to {cloud.projected:,} dimensions first.")
        notes += cloud.warnings
        if notes:
            st.caption(" ".join(notes))


def text(estimate: Estimate) -> str:
    """An estimate with its interval."""
    if estimate.value is None:
        return "n/a"
    interval = (
        f" ({estimate.low:.1f} to {estimate.high:.1f})"
        if estimate.low is not None and estimate.high is not None
        else ""
    )
    return f"{estimate.value:.1f}{interval}"


def table(view: View, scope: str | int) -> None:
    rows = []
    for layer in view.analysis.layers:
        if layer.dimension is None:
            continue
        cloud = layer.dimension.all if scope == "all" else layer.dimension.classes[int(scope)]
        rows.append(
            {
                "layer": layer.name,
                "TwoNN": cloud.twonn.value,
                "low": cloud.twonn.low,
                "high": cloud.twonn.high,
                "MLE": cloud.mle.value,
                "PCA 90 %": cloud.pca_90,
                "PCA 95 %": cloud.pca_95,
                "PCA 99 %": cloud.pca_99,
                "participation ratio": cloud.participation_ratio,
                "points": cloud.points,
            }
        )
    tenth = st.column_config.NumberColumn(format="%.1f")
    columns = ("TwoNN", "low", "high", "MLE", "participation ratio")
    with card("table", "All layers", Reading("Download as CSV from the table's corner.")):
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height="content",
            column_config=dict.fromkeys(columns, tenth),
        )


view = frame.view(__file__)
frame.heading("Intrinsic dimension", view)
frame.needs_layers(view)
frame.needs(
    any(layer.dimension is not None for layer in view.analysis.layers),
    "The intrinsic dimension was not measured in this analysis.",
)
measured = [layer.dimension for layer in view.analysis.layers if layer.dimension is not None]
classes = min(len(d.classes) for d in measured)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
    estimator = choose(
        "estimator",
        list(ESTIMATORS),
        "twonn",
        partial(
            st.segmented_control, "Estimator", required=True, format_func=ESTIMATORS.__getitem__
        ),
    )
    scope = choose_points(view, classes)
by_layer(view, estimator, scope)
of_layer(view, scope)
if classes > 0:
    large = frame.style("large")
    figure_card(
        "by_class",
        "Dimension of every class",
        dimension.dimension_by_class(view.analysis, large, GROUPS.get(estimator, (estimator,))[0]),
        large,
        Reading(
            "The same curve for the samples of one class at a time, on shared axes. Classes that "
            "stay high keep more of their inner variety.",
            source="Ansuini et al. 2019",
        ),
        alt="Small panels of dimension by layer, one for each class.",
    )
table(view, scope)

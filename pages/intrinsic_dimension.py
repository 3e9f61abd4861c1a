"""Intrinsic dimension: how many numbers it takes to say where a sample lies, layer by layer."""

from functools import partial

import pandas as pd
import streamlit as st

from core import dimension_text, library
from core.errors import UserError
from core.figures import dimension, dimension_classes, dimension_curves
from core.results import Analysis, Estimate, IntrinsicDimension
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, set_choice
from pages._ui.sidebar import analysis_of
from pages._ui.view import View, choose_points

ESTIMATORS = {
    "twonn": "TwoNN",
    "mle": "MLE",
    "both": "both",
    "linear": "both and PCA",
    "pca": "PCA counts",
    "participation_ratio": "participation ratio",
}
GROUPS = {
    "both": ("twonn", "mle"),
    "linear": ("twonn", "mle", "pca_90", "pca_99"),
    "pca": ("pca_90", "pca_95", "pca_99"),
}
FEATURES = {"flat": "flattened", "pooled": "pooled"}
AXES = {"depth": "relative depth", "layer": "layer by layer"}
EPOCHS = {"one": "this epoch", "ends": "untrained and trained", "five": "five epochs"}
FORMULAS = {
    "twonn": (r"F(\mu)=1-\mu^{-d},\quad \mu=r_2/r_1", "Facco et al., Scientific Reports 2017"),
    "mle": (
        r"\frac1m=\frac1N\sum_i\frac1{k-1}\sum_{j<k}\log\frac{T_k(x_i)}{T_j(x_i)},\quad k=20",
        "Levina and Bickel 2004; MacKay and Ghahramani 2005",
    ),
    "pca": (r"\min\{m:\ \textstyle\sum_{i\le m}\lambda_i\ge p\sum_i\lambda_i\}", "PCA"),
    "participation_ratio": (r"(\textstyle\sum\lambda)^2/\sum\lambda^2", "Gao et al. 2017"),
}
FORMULAS["both"] = FORMULAS["linear"] = FORMULAS["twonn"]


def overlaid(view: View, which: str) -> dict[str, Analysis]:
    """Finished analyses of some epochs of the run, by name, in order."""
    run = library.find(view.run)
    epochs = run.epochs if run is not None else ()
    count = min(len(epochs), 2 if which == "ends" else 5)
    places = [round(i * (len(epochs) - 1) / (count - 1)) for i in range(count)] if count > 1 else []
    found = {}
    for place in places:
        try:
            found[f"epoch {epochs[place]}"] = analysis_of(view.run, epochs[place], view.data)
        except UserError:
            continue  # a checkpoint that was not analysed on these data
    return found


def by_layer(view: View, key: str, scope: str | int, features: str, axis: str, epochs: str) -> None:
    large = frame.style("large")
    formula, source = FORMULAS[key]
    estimators = GROUPS.get(key, (key,))
    shared = {"scope": scope, "selected": view.layer.name, "features": features, "axis": axis}
    several = overlaid(view, epochs) if epochs != "one" else {}
    if several:
        figure = dimension.dimension_over_epochs(several, large, estimators[0], **shared)
    else:
        figure = dimension.dimension_by_layer(
            view.analysis, large, estimators, log=key == "linear", **shared
        )
    figure_card(
        "by_layer",
        "Dimension by layer",
        figure,
        large,
        Reading(
            "From input to output. In large trained networks it rises in the first layers and "
            "falls towards the classifier, to $K-1$ or below in a collapsed network, as in the "
            "ResNets here; in a small perceptron it may fall from the start. Lay epochs over each "
            "other to see what training does. The number of principal components is far larger: "
            "the samples lie on a curved surface. The band "
            "is a 95 % interval (delete-$d$ jackknife). Click a layer to choose it.",
            formula,
            f"{source}; Ansuini et al. 2019",
        ),
        alt="Line of the estimated dimension from input to output, with its interval and K − 1.",
        on_select=partial(choose_layer, view),
        selection_mode="points",
    )
    described = several or {"": view.analysis}
    for name in dict.fromkeys([next(iter(described)), next(reversed(described))]):
        told = dimension_text.course(described[name], estimators[0], scope, features)
        if told:
            st.caption(plain(f"{name.capitalize()}: {told}" if name else told))


def choose_layer(view: View) -> None:
    """A click on a layer chooses it in the sidebar, too."""
    event = st.session_state.get("chart_by_layer")
    points = event.selection.points if event is not None else []
    names = [layer.name for layer in view.analysis.layers]
    position = points[0].get("customdata") if points else None
    if isinstance(position, list):
        position = position[0] if position else None
    if isinstance(position, int | float) and 0 <= round(position) < len(names):
        set_choice("layer", names[round(position)])


def of_layer(view: View, key: str, scope: str | int, features: str) -> None:
    """What stands behind the estimate of the chosen layer."""
    cloud = dimension.layer_dimension(view.layer, scope, features)
    if cloud is None:
        st.caption(plain(f"The dimension of {view.layer.name} was not measured on these features."))
        return
    estimator = "mle" if key == "mle" else "twonn"
    behind(cloud, estimator)
    left, middle, right = st.columns(3)
    style = frame.style()
    with left:
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
    with middle:
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
    with right:
        about(view, cloud)


def behind(cloud: IntrinsicDimension, estimator: str) -> None:
    """The estimate over k, TwoNN's fit, and what the estimator reads on known dimensions."""
    style = frame.style()
    left, middle, right = st.columns(3)
    with left:
        figure_card(
            "over_k",
            "MLE over neighbours",
            dimension_curves.mle_over_k(cloud, style),
            style,
            Reading(
                "Few neighbours look at a small piece of the surface: little bias, much scatter. "
                "Many see its curvature and its edges. A level curve is one to trust; the table "
                "gives $k = 20$.",
                FORMULAS["mle"][0].replace(",\\quad k=20", ""),
                FORMULAS["mle"][1],
            ),
            alt="Maximum likelihood estimate against the number of neighbours.",
        )
    with middle:
        figure_card(
            "ratio_fit",
            "The line that TwoNN fits",
            dimension_curves.ratio_fit(cloud, style),
            style,
            Reading(
                "For every sample the ratio $\\mu$ of the distances to its second and first "
                "neighbour. On a surface of dimension $d$ the points lie on a line through the "
                "origin with slope $d$. The largest tenth is left out (pale). Where the points "
                "bend away from the line, no single dimension fits.",
                r"-\log(1-F(\mu))=d\,\log\mu",
                FORMULAS["twonn"][1],
            ),
            alt="Points of the log-log plot and the line through the origin that TwoNN fits.",
        )
    with right:
        figure_card(
            "bias",
            "What known dimensions read",
            dimension_curves.bias(cloud, style, estimator),
            style,
            Reading(
                "Uniform samples of cubes and spheres with this many points. Below the dashed "
                "diagonal the estimator reads too low, the more the higher the dimension. The "
                "level line is the estimate of the chosen layer; the vertical one is the cube "
                "that reads the same.",
                source="Mean and spread over 5 to 20 seeds; between 50 and 5,000 points",
            ),
            alt="Estimates on cubes and spheres against their true dimension.",
        )
    value = getattr(cloud, estimator).value
    if value is not None:
        points = cloud.points - cloud.duplicates
        st.caption(dimension_text.reading(value, points, estimator))


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


def table(view: View, scope: str | int, features: str) -> None:
    rows = []
    for layer in view.analysis.layers:
        cloud = dimension.layer_dimension(layer, scope, features)
        if cloud is None:
            continue
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
pooled = any(layer.dimension_pooled is not None for layer in view.analysis.layers)
run = library.find(view.run)
segments = partial(st.segmented_control, required=True)


def pick(key: str, label: str, names: dict[str, str], default: str) -> str:
    draw = partial(segments, label, format_func=names.__getitem__)
    return choose(key, list(names), default, draw)


with st.container(horizontal=True, vertical_alignment="bottom", key="dimension_options"):
    estimator = pick("estimator", "Estimator", ESTIMATORS, "twonn")
    scope = choose_points(view, classes)
    features = pick("features", "Features", FEATURES, "flat") if pooled else "flat"
    epochs = "one"
    if run is not None and len(run.epochs) > 1:
        epochs = pick("epochs", "Epochs", EPOCHS, "one")
    axis = pick("axis", "Horizontal axis", AXES, "depth")
by_layer(view, estimator, scope, features, axis, epochs)
of_layer(view, estimator, scope, features)
if classes > 0:
    large = frame.style("large")
    figure_card(
        "by_class",
        "Dimension of every class",
        dimension_classes.dimension_by_class(
            view.analysis, large, GROUPS.get(estimator, (estimator,))[0], features
        ),
        large,
        Reading(
            "The same curve for the samples of one class at a time, on shared axes. Classes that "
            "stay high keep more of their inner variety.",
            source="Ansuini et al. 2019",
        ),
        alt="Small panels of dimension by layer, one for each class.",
    )
table(view, scope, features)

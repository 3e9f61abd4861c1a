"""Figures of the intrinsic dimension: estimates by layer, spectrum and decimation of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.series import (
    Line,
    as_array,
    by_layer_axes,
    finish_series,
    from_estimates,
    line_traces,
    series_look,
    subjects,
)
from core.figures.theme import (
    MINUS,
    Style,
    figure,
    interpolate,
    log_axis,
    message,
    number,
    reference_y,
)
from core.results import Analysis, IntrinsicDimension, LayerAnalysis

ESTIMATORS = {
    "twonn": "TwoNN",
    "mle": "MLE",
    "pca_90": "PCA 90 %",
    "pca_95": "PCA 95 %",
    "pca_99": "PCA 99 %",
    "participation_ratio": "participation ratio",
}
Scope = Literal["all"] | int
Features = Literal["flat", "pooled"]
Axis = Literal["layer", "depth"]


def dimension_by_layer(
    analysis: Analysis,
    style: Style,
    estimators: Sequence[str] = ("twonn",),
    scope: Scope = "all",
    selected: str | None = None,
    features: Features = "flat",
    axis: Axis = "layer",
    log: bool = False,
) -> go.Figure:
    """Estimates by layer with 95 % intervals, and K - 1, the span of collapsed class means.

    ``estimators`` are keys of ``ESTIMATORS``; ``scope`` is "all" or the index of a class;
    ``selected`` names the layer to mark; ``log`` makes the dimension's axis logarithmic.
    """
    lines = [
        estimate_line(analysis, key, scope, features)
        if len(estimators) == 1
        else _styled(analysis, key, scope, features, style)
        for key in estimators
    ]
    fig = _by_layer(analysis, lines, style, selected, axis, log)
    known = any(value is not None for line in lines for value in line.values)
    if known and scope == "all" and analysis.data is not None and analysis.data.classes > 1:
        _reference(fig, analysis.data.classes, lines[0], style)
        if log:  # of a log axis, annotations take exponents
            fig.layout.annotations[-1].y = np.log10(analysis.data.classes - 1)
    return fig


def dimension_over_epochs(
    analyses: Mapping[str, Analysis],
    style: Style,
    estimator: str = "twonn",
    scope: Scope = "all",
    selected: str | None = None,
    features: Features = "flat",
    axis: Axis = "layer",
) -> go.Figure:
    """One estimator by layer for several checkpoints of one network, in the order of training.

    ``analyses`` are by the name of their checkpoint. Intervals are drawn for two at most: more
    would hide each other.
    """
    colors = style.palette.sequential
    places = np.linspace(0.35, 1.0, len(analyses))
    lines = [
        replace(
            estimate_line(analysis, estimator, scope, features),
            name=name,
            color=interpolate(colors, float(place)),
            dash="solid" if place == 1 else "dot" if place == places[0] else "dash",
        )
        for (name, analysis), place in zip(analyses.items(), places, strict=True)
    ]
    if len(lines) > 2:
        lines = [replace(line, low=None, high=None) for line in lines]
    last = list(analyses.values())[-1]
    fig = _by_layer(last, lines, style, selected, axis, False)
    return fig.update_layout(yaxis_title_text=f"{ESTIMATORS[estimator]} dimension")


def _by_layer(
    analysis: Analysis,
    lines: Sequence[Line],
    style: Style,
    selected: str | None,
    axis: Axis,
    log: bool,
) -> go.Figure:
    """Lines over the layers of the analysis."""
    if not any(value is not None for line in lines for value in line.values):
        return message("The intrinsic dimension was not measured.", style)
    depths = np.array([layer.depth for layer in analysis.layers])
    x = depths if axis == "depth" else np.arange(len(depths))
    traces = [t for line in lines for t in line_traces(line, x, subjects(analysis), style)]
    title = f"{lines[0].name} dimension" if len(lines) == 1 else "intrinsic dimension"
    share = 0.75 if len(lines) <= 3 else 0.25 if style.is_card else 0.5
    everything = np.concatenate([as_array(line.values) for line in lines])
    scale = log_axis(everything) if log else {"rangemode": "tozero", "nticks": 6}
    fig = figure(
        style,
        traces,
        yaxis={"title": {"text": title}, **scale},
        **by_layer_axes(analysis, style, selected, share=share),
    )
    finish_series(fig, lines, style)
    if axis == "depth":
        _over_depth(fig, depths)
    return fig


def _over_depth(fig: go.Figure, depths: np.ndarray) -> None:
    """Turn what stands at positions of layers (axis, strip, labels) to their relative depths."""
    title = {"text": "relative depth, input 0 to output 1"}
    fig.layout.xaxis = {"title": title, "range": [-0.03, 1.03]}
    for strip in fig.layout.shapes:
        depth = depths[round((strip.x0 + strip.x1) / 2)]
        strip.update(x0=depth - 0.015, x1=depth + 0.015)
    for note in fig.layout.annotations:
        note.x = depths[int(note.x)]


def _reference(fig: go.Figure, classes: int, line: Line, style: Style) -> None:
    """K - 1, labelled at the end where the line is further away."""
    known = [v for v in line.values if v is not None]
    target = classes - 1
    side: Literal["left", "right"] = (
        "left" if abs(known[0] - target) >= abs(known[-1] - target) else "right"
    )
    reference_y(fig, target, f"K {MINUS} 1 = {target}", style, side)


def _styled(
    analysis: Analysis, estimator: str, scope: Scope, features: Features, style: Style
) -> Line:
    look = series_look(list(ESTIMATORS).index(estimator), style)
    return estimate_line(analysis, estimator, scope, features, **look)


def estimate_line(
    analysis: Analysis, estimator: str, scope: Scope, features: Features = "flat", **look: Any
) -> Line:
    """One estimator over the layers, with its interval where it has one."""
    measured = [layer_dimension(layer, scope, features) for layer in analysis.layers]
    values = [None if m is None else getattr(m, estimator) for m in measured]
    name = ESTIMATORS[estimator]
    if estimator in ("twonn", "mle"):
        line = from_estimates(name, values, **look)
        lows = [None if low is None else max(low, 0.0) for low in line.low or ()]
        line = replace(line, low=lows)  # the interval is symmetric; no dimension is negative
    else:
        line = Line(name, values, **look)
    return line


def layer_dimension(
    layer: LayerAnalysis, scope: Scope, features: Features = "flat"
) -> IntrinsicDimension | None:
    """What was measured of a layer's points; the pooled features of a vector are its own."""
    scoped = layer.dimension
    if features == "pooled" and len(layer.shape) > 1:
        scoped = layer.dimension_pooled
    if scoped is None:
        return None
    if scope == "all":
        return scoped.all
    return scoped.classes[scope] if scope < len(scoped.classes) else None


# --- one layer ---------------------------------------------------------------------------------


def pca_spectrum(dimension: IntrinsicDimension | None, style: Style) -> go.Figure:
    """Share of variance by principal component, log axis, with the counts for 90, 95 and 99 %."""
    if dimension is None or not np.any(dimension.spectrum > 0):
        return message("This layer has no PCA spectrum.", style)
    share = np.asarray(dimension.spectrum, dtype=np.float64)
    component = np.arange(1, len(share) + 1)
    drawn = share > share[0] * 1e-8
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "share of variance (%)",
            "x": component[drawn],
            "y": 100 * share[drawn],
            "customdata": 100 * np.cumsum(share)[drawn],
            "line": {"color": style.palette.accent, "width": style.measures.line},
            "hovertemplate": "<b>component %{x}</b><br>share %{y} %"
            "<br>together %{customdata:.1f} %<extra></extra>",
        }
    ]
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "principal component"}, "rangemode": "tozero"},
        yaxis={
            "title": {"text": "share of variance (%)"},
            "hoverformat": ".3~g",
            **log_axis(100 * share[drawn]),
        },
    )
    for i, percent in enumerate((90, 95, 99)):
        count = getattr(dimension, f"pca_{percent}")
        if count is None or not 1 <= count <= len(share) or not drawn[count - 1]:
            continue
        fig.add_trace(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{percent} % of variance",
                "x": [count],
                "y": [100 * share[count - 1]],
                "marker": {"size": style.measures.marker + 2, "color": style.palette.accent},
                "hovertemplate": f"<b>{count} components</b><br>{percent} % of variance"
                "<extra></extra>",
            }
        )
        fig.add_annotation(
            x=count,
            y=float(np.log10(100 * share[count - 1])),
            text=f"{percent} %: {count}",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=style.palette.muted,
            ax=26 + 10 * i,
            ay=-(16 + 10 * (2 - i)) * style.measures.ticks / 12,
            xanchor="left",
            standoff=5,
        )
    return fig


def decimation(dimension: IntrinsicDimension | None, style: Style) -> go.Figure:
    """Estimates against the number of points: a level curve is one to trust."""
    curve = None if dimension is None else dimension.decimation
    if curve is None or not len(curve.sizes):
        return message("No decimation curve: too few points.", style)
    lines = [
        Line(name, values.tolist(), color=look["color"], dash=look["dash"], symbols=symbols)
        for name, values, look, symbols in (
            ("TwoNN", curve.twonn, series_look(0, style), "circle"),
            ("MLE", curve.mle, series_look(1, style), "square"),
        )
    ]
    points = [f"{number(float(n), 0)} points" for n in curve.sizes]
    x = np.asarray(curve.sizes, dtype=np.float64)
    fig = figure(
        style,
        [t for line in lines for t in line_traces(line, x, points, style)],
        xaxis={
            "title": {"text": "points"},
            "type": "log",
            "tickmode": "array",
            "tickvals": x,
            "ticktext": [number(v, 0) for v in x],
        },
        yaxis={"title": {"text": "intrinsic dimension"}, "rangemode": "tozero", "nticks": 6},
    )
    finish_series(fig, lines, style)
    return fig

"""Figures of the intrinsic dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.series import (
    Line,
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
    escape,
    figure,
    layer_axis,
    log_axis,
    message,
    number,
    reference_y,
    short_labels,
    translucent,
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
_MAX_PANELS = 12


def dimension_by_layer(
    analysis: Analysis,
    style: Style,
    estimators: Sequence[str] = ("twonn",),
    scope: Literal["all"] | int = "all",
    selected: str | None = None,
) -> go.Figure:
    """Estimates by layer with 95 % intervals, and K - 1, the span of collapsed class means.

    ``estimators`` are keys of ``ESTIMATORS``; ``scope`` is "all" or the index of a class;
    ``selected`` names the layer to mark.
    """
    lines = [
        _line(analysis, key, scope)
        if len(estimators) == 1
        else _styled(analysis, key, scope, style)
        for key in estimators
    ]
    if not any(value is not None for line in lines for value in line.values):
        return message("The intrinsic dimension was not measured.", style)
    x = np.arange(len(analysis.layers))
    traces = [t for line in lines for t in line_traces(line, x, subjects(analysis), style)]
    title = f"{lines[0].name} dimension" if len(lines) == 1 else "intrinsic dimension"
    fig = figure(
        style,
        traces,
        yaxis={"title": {"text": title}, "rangemode": "tozero", "nticks": 6},
        **by_layer_axes(
            analysis,
            style,
            selected,
            share=0.75 if len(lines) <= 3 else 0.25 if style.is_card else 0.5,
        ),
    )
    if scope == "all" and analysis.data is not None and analysis.data.classes > 1:
        _reference(fig, analysis.data.classes, lines[0], style)
    finish_series(fig, lines, style)
    return fig


def _reference(fig: go.Figure, classes: int, line: Line, style: Style) -> None:
    """K - 1, labelled at the end where the line is further away."""
    known = [v for v in line.values if v is not None]
    target = classes - 1
    side: Literal["left", "right"] = (
        "left" if abs(known[0] - target) >= abs(known[-1] - target) else "right"
    )
    reference_y(fig, target, f"K {MINUS} 1 = {target}", style, side)


def _styled(analysis: Analysis, estimator: str, scope: Literal["all"] | int, style: Style) -> Line:
    look = series_look(list(ESTIMATORS).index(estimator), style)
    return _line(analysis, estimator, scope, **look)


def _line(analysis: Analysis, estimator: str, scope: Literal["all"] | int, **look: Any) -> Line:
    measured = [_of(layer, scope) for layer in analysis.layers]
    values = [None if m is None else getattr(m, estimator) for m in measured]
    name = ESTIMATORS[estimator]
    if estimator in ("twonn", "mle"):
        line = from_estimates(name, values, **look)
        lows = [None if low is None else max(low, 0.0) for low in line.low or ()]
        line = replace(line, low=lows)  # the interval is symmetric; no dimension is negative
    else:
        line = Line(name, values, **look)
    return line


def _of(layer: LayerAnalysis, scope: Literal["all"] | int) -> IntrinsicDimension | None:
    if layer.dimension is None:
        return None
    if scope == "all":
        return layer.dimension.all
    return layer.dimension.classes[scope] if scope < len(layer.dimension.classes) else None


# --- by class ----------------------------------------------------------------------------------


def dimension_by_class(analysis: Analysis, style: Style, estimator: str = "twonn") -> go.Figure:
    """One panel a class with shared axes, at most 12; otherwise all classes as muted lines."""
    if analysis.data is None or not any(_of(layer, 0) for layer in analysis.layers):
        return message("The intrinsic dimension was not measured by class.", style)
    names = analysis.data.class_names
    lines = [_line(analysis, estimator, k) for k in range(len(names))]
    if not any(v is not None for line in lines for v in line.values):
        return message("No class has enough samples to estimate a dimension.", style)
    if style.is_card or len(names) > _MAX_PANELS:
        return _all_classes(analysis, lines, estimator, style)
    return _panels(analysis, lines, estimator, style)


def _panels(analysis: Analysis, lines: Sequence[Line], estimator: str, style: Style) -> go.Figure:
    assert analysis.data is not None
    columns = min(3, len(lines))
    rows = -(-len(lines) // columns)
    height = max(style.measures.height, 130 * rows + 60)
    x = np.arange(len(analysis.layers))
    overall = _line(analysis, estimator, "all", color=style.palette.axis)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    labels = []
    layers = [layer.name for layer in analysis.layers]
    short = short_labels(analysis.data.class_names, 20)
    largest = max(
        h for line in (*lines, overall) for h in (*line.values, *(line.high or ())) if h is not None
    )
    gap_x, gap_y = 0.04, (40 if style.size == "presentation" else 28) / height
    wide, tall = (1 - gap_x * (columns - 1)) / columns, (1 - gap_y * rows) / rows
    for k, line in enumerate(lines):
        row, column = divmod(k, columns)
        suffix = "" if k == 0 else str(k + 1)
        left, top = column * (wide + gap_x), 1 - gap_y - row * (tall + gap_y)
        bottom_panel = k + columns >= len(lines)
        axis = layer_axis(layers, style, title=False, share=0.75 / columns)
        layout[f"xaxis{suffix}"] = axis | {
            "domain": [left, left + wide],
            "anchor": f"y{suffix}",
            "matches": None if k == 0 else "x",
            "showticklabels": bottom_panel,
        }
        layout[f"yaxis{suffix}"] = {
            "domain": [max(top - tall, 0), top],
            "anchor": f"x{suffix}",
            "range": [0, 1.05 * largest],
            "nticks": 4,
            "showticklabels": column == 0,
        }
        plain = Line(overall.name, overall.values, color=overall.color)
        background = line_traces(plain, x, subjects(analysis), style, suffix)[-1]
        background |= {"mode": "lines", "hoverinfo": "skip", "name": "all classes"}
        background.pop("hovertemplate")
        front = line_traces(line, x, subjects(analysis), style, suffix)
        front[-1]["name"] = escape(analysis.data.class_names[k])
        traces += [background, *front]
        labels.append(
            {
                "text": escape(short[k]),
                "x": left,
                "xref": "paper",
                "xanchor": "left",
                "y": top,
                "yref": "paper",
                "yanchor": "bottom",
            }
        )
    labels.append(
        {
            "text": "pale: all classes together",
            "x": 0,
            "xref": "x domain",
            "xanchor": "left",
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "font": {"color": style.palette.muted},
        }
    )
    margin = {"t": 2 * style.measures.ticks}
    fig = figure(style, traces, height=height, margin=margin, **layout)
    fig.update_layout(annotations=labels)
    return fig


def _all_classes(
    analysis: Analysis, lines: Sequence[Line], estimator: str, style: Style
) -> go.Figure:
    """Every class as a thin muted line, all classes together in the accent colour."""
    assert analysis.data is not None
    x = np.arange(len(analysis.layers))
    faint = translucent(style.palette.muted, 0.35)
    traces = []
    for name, line in zip(analysis.data.class_names, lines, strict=True):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(name),
                "x": x,
                "y": list(line.values),
                "line": {"color": faint, "width": 1},
                "hovertemplate": f"<b>{escape(name)}</b><br>{line.name} %{{y}}<extra></extra>",
            }
        )
    overall = _line(analysis, estimator, "all")
    together = line_traces(overall, x, subjects(analysis), style)
    together[-1]["name"] = "all classes together"
    fig = figure(
        style,
        [*traces, *together],
        yaxis={
            "title": {"text": f"{ESTIMATORS[estimator]} dimension"},
            "rangemode": "tozero",
            "nticks": 6,
            "hoverformat": ".1f",
        },
        **by_layer_axes(analysis, style, None),
    )
    values = [v for v in overall.values if v is not None]
    if values:
        peak = int(np.argmax([-np.inf if v is None else v for v in overall.values]))
        fig.add_annotation(
            x=peak,
            y=max(values),
            text="all classes together",
            yanchor="bottom",
            yshift=6,
            xanchor="left" if peak < 0.4 * len(x) else "center",
            font={"color": style.palette.accent},
        )
        fig.update_layout(margin_t=28)
    return fig


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

"""The intrinsic dimension of every class by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.dimension import Features, estimate_line, layer_dimension
from core.figures.series import Line, by_layer_axes, line_traces, subjects
from core.figures.theme import (
    Style,
    escape,
    figure,
    layer_axis,
    message,
    short_labels,
    translucent,
)
from core.results import Analysis

_MAX_PANELS = 12


def dimension_by_class(
    analysis: Analysis, style: Style, estimator: str = "twonn", features: Features = "flat"
) -> go.Figure:
    """One panel a class with shared axes, at most 12; otherwise all classes as muted lines."""
    if analysis.data is None or not any(
        layer_dimension(layer, 0, features) for layer in analysis.layers
    ):
        return message("The intrinsic dimension was not measured by class.", style)
    names = analysis.data.class_names
    lines = [estimate_line(analysis, estimator, k, features) for k in range(len(names))]
    overall = estimate_line(analysis, estimator, "all", features)
    if not any(v is not None for line in lines for v in line.values):
        return message("No class has enough samples to estimate a dimension.", style)
    if style.is_card or len(names) > _MAX_PANELS:
        return _all_classes(analysis, lines, overall, style)
    return _panels(analysis, lines, replace(overall, color=style.palette.axis), style)


def _panels(analysis: Analysis, lines: Sequence[Line], overall: Line, style: Style) -> go.Figure:
    assert analysis.data is not None
    columns = min(3, len(lines))
    rows = -(-len(lines) // columns)
    height = max(style.measures.height, 130 * rows + 60)
    x = np.arange(len(analysis.layers))
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
    analysis: Analysis, lines: Sequence[Line], overall: Line, style: Style
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
    together = line_traces(overall, x, subjects(analysis), style)
    together[-1]["name"] = "all classes together"
    fig = figure(
        style,
        [*traces, *together],
        yaxis={
            "title": {"text": f"{overall.name} dimension"},
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

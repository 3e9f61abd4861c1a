"""What stands behind the dimension of one point cloud: over k, TwoNN's fit, and the bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.series import Line, finish_series, line_traces, series_look
from core.figures.theme import (
    Style,
    figure,
    log_axis,
    message,
    number,
    reference_x,
    theory_line,
    translucent,
)
from core.metrics.dimension_references import SHAPES, references, true_dimension
from core.results import IntrinsicDimension

NAMES = {"twonn": "TwoNN", "mle": "MLE"}


def mle_over_k(dimension: IntrinsicDimension | None, style: Style) -> go.Figure:
    """The maximum likelihood estimate against its number of neighbours, with intervals."""
    curve = None if dimension is None else dimension.mle_curve
    if curve is None:
        return message("This analysis holds no curve over k.", style)
    line = Line(
        "MLE",
        _known(curve.values),
        [None if v is None else max(v, 0.0) for v in _known(curve.low)],
        _known(curve.high),
    )
    if not any(v is not None for v in line.values):
        return message("The neighbours of every point are equally far.", style)
    k = np.asarray(curve.neighbours, dtype=np.float64)
    ticks = [v for v in (2, 5, 10, 20, 50, 100) if k[0] <= v <= k[-1]]
    return figure(
        style,
        line_traces(line, k, [f"k = {int(v)}" for v in k], style),
        xaxis={
            "title": {"text": "neighbours k"},
            "type": "log",
            "tickmode": "array",
            "tickvals": ticks,
        },
        yaxis={"title": {"text": "MLE dimension"}, "rangemode": "tozero", "nticks": 6},
    )


def _known(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def ratio_fit(dimension: IntrinsicDimension | None, style: Style) -> go.Figure:
    """TwoNN's log-log plot: its slope through the origin is the dimension.

    Points beyond the limit, which the fit leaves out, are pale.
    """
    plot = None if dimension is None else dimension.ratio_plot
    if dimension is None or plot is None:
        return message("This analysis holds no points of TwoNN's fit.", style)
    used = plot.log_ratio <= plot.limit
    color = style.palette.accent
    traces: list[dict[str, Any]] = []
    for mask, name, look in (
        (used, "used by the fit", color),
        (~used, "left out", translucent(style.palette.muted, 0.5)),
    ):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": plot.log_ratio[mask],
                "y": plot.log_survival[mask],
                "marker": {"size": max(4, style.measures.marker - 2), "color": look},
                "hovertemplate": "log μ %{x:.3f}<br>−log(1 − F) %{y:.2f}<extra></extra>",
            }
        )
    slope = dimension.twonn.value
    if slope is not None:
        end = min(float(plot.log_ratio[-1]), float(plot.log_survival[-1]) / slope)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"slope {number(slope, 1)}",
                "x": [0.0, end],
                "y": [0.0, slope * end],
                "line": theory_line(style),
                "hoverinfo": "skip",
            }
        )
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "log μ, μ = r₂/r₁"}, "rangemode": "tozero", "nticks": 6},
        yaxis={"title": {"text": "−log(1 − F(μ))"}, "rangemode": "tozero", "nticks": 6},
    )
    fig.update_layout(showlegend=True, margin_b=30 if style.size != "presentation" else 44)
    return fig


def bias(dimension: IntrinsicDimension | None, style: Style, estimator: str = "twonn") -> go.Figure:
    """What the estimator reads on cubes and spheres of known dimension, at this number of points.

    The estimate is the horizontal line; where it meets the curves, samples read like it. The
    dashed diagonal is an estimator without bias. Both axes are logarithmic.
    """
    value = None if dimension is None else getattr(dimension, estimator).value
    if dimension is None or value is None:
        return message("There is no estimate to compare with known dimensions.", style)
    points = dimension.points - dimension.duplicates
    traces: list[dict[str, Any]] = []
    lines = []
    for i, shape in enumerate(SHAPES):
        known = references(points, shape)
        mean, sd = getattr(known, estimator), getattr(known, f"{estimator}_sd")
        line = Line(
            shape,
            mean.tolist(),
            np.maximum(mean - 2 * sd, mean / 10).tolist(),
            (mean + 2 * sd).tolist(),
            hover=[f"reads {number(v, 1)} ± {number(s, 1)}" for v, s in zip(mean, sd, strict=True)],
            symbols=("circle", "square")[i],
            **series_look(i, style),
        )
        subjects = [f"{shape} of dimension {d:g}" for d in known.dimensions]
        traces += line_traces(line, known.dimensions, subjects, style)
        lines.append(line)
    ends = [float(known.dimensions[0]), float(known.dimensions[-1])]
    flat = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    traces.append(flat | {"x": ends, "y": ends, "line": theory_line(style), "name": "no bias"})
    here = {"color": style.palette.ink, "width": 1}
    traces.append(flat | {"x": ends, "y": [value] * 2, "line": here, "name": "estimate"})
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "true dimension"}, **log_axis(np.array(ends))},
        yaxis={"title": {"text": f"{NAMES[estimator]} reads"}, **log_axis(np.array(ends))},
    )
    finish_series(fig, lines, style)
    fig.add_annotation(
        x=0,
        xref="x domain",
        xanchor="left",
        y=float(np.log10(value)),
        yanchor="bottom",
        text=f"estimate {number(value, 1)}",
    )
    found = true_dimension(value, points, estimator)
    if found is not None:
        reference_x(fig, found[0], f"a cube of {found[0]:.0f}", style)
        fig.layout.annotations[-1].x = float(np.log10(found[0]))  # exponents, on a log axis
    return fig

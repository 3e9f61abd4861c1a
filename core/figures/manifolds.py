"""Figures of the manifold lab: the points, the estimates beside the truth, and their bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.data.manifolds import find_manifold
from core.figures.dimension import ESTIMATORS
from core.figures.labels import spatial_scene
from core.figures.scatter import three_columns
from core.figures.series import Line, finish_series, from_estimates, line_traces, series_look
from core.figures.theme import (
    Style,
    colorscale,
    figure,
    log_axis,
    message,
    number,
    reference_x,
    theory_line,
)
from core.manifold_lab import LabResult, Sweep
from core.results import Estimate, IntrinsicDimension

_WIDE = 12  # ratio of largest to smallest estimate beyond which their axis is logarithmic


def cloud(
    result: LabResult, style: Style, coordinates: Literal["own", "components"] = "own"
) -> go.Figure:
    """The points in three coordinates, coloured by an intrinsic one."""
    manifold = find_manifold(result.spec.manifold)
    points = three_columns(getattr(result, coordinates))  # (m, 3)
    axes = "PC 1 to 3" if coordinates == "components" else "coordinates 1 to 3"
    ramp = style.palette.sequential[2:]
    colors = (*ramp, *ramp[-2::-1]) if manifold.periodic else ramp
    trace = {
        "type": "scatter3d",
        "mode": "markers",
        "name": manifold.title,
        **{axis: points[:, i].astype(np.float32) for i, axis in enumerate("xyz")},
        "customdata": result.coordinate,
        "marker": {
            "size": 4 if style.size == "presentation" else 2.5,
            "color": result.coordinate,
            "colorscale": colorscale(colors),
            "showscale": False,
        },
        "hovertemplate": f"<b>{manifold.coordinate} %{{customdata:.2f}}</b>"
        f"<br>{axes} %{{x:.2f}}, %{{y:.2f}}, %{{z:.2f}}<extra></extra>",
    }
    height = _height(style)
    scene = spatial_scene((), points[:0], points, (style.measures.width, height), style, 1.45)
    margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    return figure(style, [trace], height=height, margin=margin, scene=scene)


def _height(style: Style) -> int:
    return 420 if style.is_large else style.measures.height


# --- estimates ---------------------------------------------------------------------------------


def estimates(result: LabResult, style: Style) -> go.Figure:
    """One row an estimator: value, 95 % interval, and the truth as the line to meet.

    Open symbols are the same points without noise. The axis is logarithmic where the values differ
    by more than a factor of 12.
    """
    keys = list(ESTIMATORS)
    measured = [_as_estimate(result.estimates, key) for key in keys]
    known = [e.value for e in measured if e.value is not None and e.value > 0]
    if not known:
        return message("No estimator has an answer for these points.", style)
    traces = [_dots("with noise" if result.clean else "estimate", measured, style)]
    if result.clean is not None:
        clean = [_as_estimate(result.clean, key) for key in keys]
        known += [e.value for e in clean if e.value is not None and e.value > 0]
        traces.insert(0, _dots("without noise", clean, style, hollow=True))
    truth = result.spec.dim
    wide = max(*known, truth) > _WIDE * min(*known, truth)
    axis = (
        log_axis(np.array([0.8 * min(*known, truth), 1.3 * max(*known, truth)]))
        if wide
        else {"range": [0, 1.12 * max(*known, truth, *(e.high or 0 for e in measured))]}
    )
    fig = figure(
        style,
        traces,
        height=_height(style),
        xaxis={"title": {"text": "dimension"}, "showgrid": True, **axis},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(keys))),
            "ticktext": [ESTIMATORS[key] for key in keys],
            "range": [len(keys) - 0.5, -0.5],
            "showline": False,
            "ticks": "",
        },
        showlegend=result.clean is not None,
    )
    reference_x(fig, float(truth), f"truth {truth}", style)
    if wide:  # Plotly places annotations of a log axis by their exponents
        fig.layout.annotations[-1].x = float(np.log10(truth))
    if result.clean is not None:
        fig.update_layout(margin_b=44 if style.size == "presentation" else 30)
    return fig


def _as_estimate(dimension: IntrinsicDimension, key: str) -> Estimate:
    value = getattr(dimension, key)
    return value if isinstance(value, Estimate) else Estimate(value)


def _dots(
    name: str, measured: Sequence[Estimate], style: Style, hollow: bool = False
) -> dict[str, Any]:
    color = style.palette.muted if hollow else style.palette.accent
    rows = [i for i, e in enumerate(measured) if e.value is not None]
    shown = [measured[i] for i in rows]
    names = list(ESTIMATORS.values())
    values = [float(e.value or 0.0) for e in shown]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": values,
        "y": rows,
        "text": [
            f"<b>{names[i]}</b><br>{name} {_text(e)}" for i, e in zip(rows, shown, strict=True)
        ],
        "marker": {
            "size": style.measures.marker + 4,
            "color": color,
            "symbol": "circle-open" if hollow else "circle",
            "line": {"width": 2},
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max((e.high or v) - v, 0.0) for e, v in zip(shown, values, strict=True)],
            "arrayminus": [
                max(v - max(e.low or v, 0.05 * v), 0.0) for e, v in zip(shown, values, strict=True)
            ],
            "color": color,
            "thickness": style.measures.line,
            "width": 4,
            "visible": not hollow,
        },
        "hovertemplate": "%{text}<extra></extra>",
    }


def _text(estimate: Estimate) -> str:
    text = number(estimate.value, 1)
    if estimate.low is not None and estimate.high is not None:
        text += f"<br>95 %: {number(estimate.low, 1)} to {number(estimate.high, 1)}"
    return text


# --- bias --------------------------------------------------------------------------------------


def bias(sweep: Sweep, style: Style, selected: int | None = None) -> go.Figure:
    """Estimates against the true dimension; the dashed diagonal is an estimator without bias.

    Both axes are logarithmic, so that noise (low dimensions) and bias (high ones) show.
    ``selected`` is the dimension to mark.
    """
    lines = [
        from_estimates("TwoNN", sweep.twonn, **series_look(0, style)),
        from_estimates("MLE", sweep.mle, symbols="square", **series_look(1, style)),
    ]
    if sweep.clean is not None:
        values = [e.value for e in sweep.clean]
        muted = style.palette.muted
        lines.append(
            Line("TwoNN without noise", values, color=muted, dash="dot", symbols="circle-open")
        )
    known = [v for line in lines for v in line.values if v is not None]
    if not known:
        return message("No estimator has an answer for so few points.", style)
    x = np.array(sweep.dims, dtype=np.float64)
    titles = [f"truth {m}" for m in sweep.dims]
    fig = figure(
        style,
        [
            _diagonal(sweep, style),
            *(t for line in lines for t in line_traces(line, x, titles, style)),
        ],
        xaxis={
            "title": {"text": f"true dimension ({find_manifold(sweep.spec.manifold).title})"},
            **log_axis(x),
        },
        yaxis={"title": {"text": "estimate"}, **log_axis(np.array([*x, *known]))},
    )
    if selected in sweep.dims:
        strip = {"type": "rect", "x0": selected / 1.08, "x1": selected * 1.08, "y0": 0, "y1": 1}
        look = {"fillcolor": style.palette.surface, "line": {"width": 0}, "layer": "below"}
        fig.add_shape(yref="paper", **strip, **look)
    fig.add_annotation(
        x=float(np.log10(sweep.dims[-1])),  # of a log axis, annotations take exponents
        y=float(np.log10(sweep.dims[-1])),
        text="truth",
        xanchor="right",
        xshift=-10,
        yanchor="bottom",
    )
    finish_series(fig, lines, style)
    return fig


def _diagonal(sweep: Sweep, style: Style) -> dict[str, Any]:
    ends = [sweep.dims[0], sweep.dims[-1]]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "truth",
        "x": ends,
        "y": ends,
        "line": theory_line(style),
        "hoverinfo": "skip",
        "showlegend": False,
    }

"""Figures of the persistent homology of one point cloud: diagram, barcode, Betti curve, loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.loops import HOLES, SUBSCRIPTS, SYMBOLS, choosable, dimension_color, loop_marks
from core.figures.theme import MAX_POINTS, Style, figure, message, significant, translucent
from core.metrics.persistence import betti_at, threshold
from core.metrics.persistence import betti_curve as bars_alive
from core.metrics.persistence import significant as significant_bars
from core.results import Topology

_MAX_BARS = 60  # of one dimension in a barcode


def _nothing(topology: Topology | None) -> str | None:
    """Why there is no diagram to draw; None if there is one."""
    if topology is None:
        return "The topology was not measured here."
    if not any(len(d) for d in topology.diagrams):
        return topology.reason or "There are no bars."
    return None


def _top(topology: Topology, scale: float | None) -> float:
    """The largest finite scale to show."""
    finite = [float(d[np.isfinite(d)].max()) for d in topology.diagrams if np.isfinite(d).any()]
    return max([1e-12, *finite, scale or 0.0])


def _longest(diagram: np.ndarray, count: int) -> np.ndarray:
    """Rows of the ``count`` longest bars, in order of birth and death."""
    length = diagram[:, 1] - diagram[:, 0]
    kept = np.argsort(-length, kind="stable")[:count]
    return kept[np.lexsort((diagram[kept, 1], diagram[kept, 0]))]


def diagram(
    topology: Topology | None,
    style: Style,
    scale: float | None = None,
    loop: int | None = None,
) -> go.Figure:
    """Birth and death of every hole, with the confidence band and the chosen scale.

    The band belongs to the highest dimension drawn: points in it may be noise. Points that count
    as noise in their own dimension are pale. Holes alive at the scale lie above and to the left
    of its mark. Loops with a representative are ringed, the one at ``loop`` filled; a selected
    point's ``customdata`` is that position in ``cycles``.
    """
    reason = _nothing(topology)
    if topology is None or reason:
        return message(reason or "", style)
    scale = topology.scale if scale is None else scale
    top = 1.04 * _top(topology, scale)
    never = 1.09 * top  # where bars that never die are drawn
    palette = style.palette
    traces: list[dict[str, Any]] = []
    width = threshold(topology, len(topology.diagrams) - 1)
    if width > 0:
        traces.append(
            {
                "type": "scatter",
                "mode": "none",
                "name": "confidence band",
                "x": [0, top, top, max(top - width, 0), 0],
                "y": [0, top, top, top, min(width, top)],
                "fill": "toself",
                "fillcolor": palette.band,
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    for d, bars in enumerate(topology.diagrams):
        rows = _longest(bars, MAX_POINTS // len(topology.diagrams))
        births, deaths = bars[rows].T
        endless = ~np.isfinite(deaths)
        drawn = np.where(endless, never, deaths)
        real = deaths - births > threshold(topology, d)
        for mine, kind in ((~real, ", noise"), (real, "")):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": HOLES[d] + kind,
                    "showlegend": not kind or not real.any(),
                    "x": births[mine].astype(np.float32),
                    "y": drawn[mine].astype(np.float32),
                    "text": [significant(v) if np.isfinite(v) else "∞" for v in deaths[mine]],
                    "marker": {
                        "size": style.measures.marker,
                        "symbol": SYMBOLS[d],
                        "color": dimension_color(d, style),
                        "opacity": 0.3 if kind else 0.9,
                    },
                    "hovertemplate": f"<b>{HOLES[d]}{kind}</b><br>born at %{{x}}"
                    "<br>dies at %{text}<extra></extra>",
                    "cliponaxis": False,
                }
            )
    places = [
        (cycle.birth, never if np.isinf(cycle.death) else cycle.death) for cycle in topology.cycles
    ]
    traces += loop_marks(topology, places, loop, style)
    fig = figure(
        style,
        traces,
        height=430 if style.is_large else style.measures.height,
        showlegend=True,
        margin={"t": 28, "b": 30 if style.size != "presentation" else 44},
        xaxis={"title": {"text": "birth (scale)"}, "range": [-0.03 * top, top]},
        yaxis={"title": {"text": "death (scale)"}, "range": [-0.03 * top, 1.03 * never]},
    )
    fig.update_xaxes(hoverformat=".3~g", nticks=6, showgrid=False)
    line = {"color": palette.axis, "width": 1}
    fig.add_shape(type="line", x0=0, x1=top, y0=0, y1=top, line=line)
    _ticks_with_never(fig, top, never)
    if width > 0:
        fig.add_annotation(
            text=f"{HOLES[len(topology.diagrams) - 1]} in the band may be noise",
            x=1.0,
            xref="paper",
            xanchor="right",
            y=0.02,
            yref="paper",
            yanchor="bottom",
            font={"color": style.palette.muted},
        )
    if scale is not None:
        mark = {"color": palette.accent, "width": 1.5}
        fig.add_shape(type="line", x0=scale, x1=scale, y0=scale, y1=1.03 * never, line=mark)
        fig.add_shape(type="line", x0=-0.03 * top, x1=scale, y0=scale, y1=scale, line=mark)
        _scale_label(fig, scale, top, style)
    return fig


def _group_name(dimension: int) -> str:
    return f"{HOLES[dimension]} (H{'₀₁₂'[dimension]})"


def _ticks_with_never(fig: go.Figure, top: float, never: float) -> None:
    """Round ticks up to ``top``, and ∞ for bars that never die."""
    step = 10 ** np.floor(np.log10(top / 2))
    step *= next(m for m in (1, 2, 5, 10) if top / (m * step) <= 5)
    ticks = np.arange(0, top * 0.97, step)
    fig.update_yaxes(
        tickmode="array",
        tickvals=[*ticks.tolist(), never],
        ticktext=[*(significant(v).rstrip("0").rstrip(".") or "0" for v in ticks), "∞"],
    )


def _scale_label(fig: go.Figure, scale: float, top: float, style: Style) -> None:
    place = scale / top
    fig.add_annotation(
        x=scale,
        y=1,
        yref="paper",
        yanchor="bottom",
        xanchor="left" if place < 0.25 else "right" if place > 0.75 else "center",
        text=f"scale {significant(scale)}",
        font={"color": style.palette.accent},
    )


def barcode(
    topology: Topology | None,
    style: Style,
    scale: float | None = None,
    loop: int | None = None,
) -> go.Figure:
    """One bar a hole from birth to death; significant ones in colour, the others pale.

    Loops with a representative have a ring, the one at ``loop`` is drawn thick; a selected
    point's ``customdata`` is that position in ``cycles``.
    """
    reason = _nothing(topology)
    if topology is None or reason:
        return message(reason or "", style)
    scale = topology.scale if scale is None else scale
    top = 1.04 * _top(topology, scale)
    traces: list[dict[str, Any]] = []
    groups: list[tuple[float, str]] = []
    row = 0
    limit = _MAX_BARS if not style.is_card else _MAX_BARS // 2
    loops, heights = (
        np.zeros((0, 2)),
        np.zeros(0, dtype=np.intp),
    )  # bars of dimension 1 and their heights
    for d, bars in enumerate(topology.diagrams):
        rows = _longest(bars, limit)
        if not len(rows):
            continue
        places = row + np.arange(len(rows))
        shown = "" if len(rows) == len(bars) else f", {len(rows)} longest of {len(bars)}"
        groups.append((row - 1.2, _group_name(d) + shown))
        lengths = bars[rows, 1] - bars[rows, 0]
        if d == 1:
            loops, heights = bars[rows], places
        for real in (False, True):
            mine = (lengths > threshold(topology, d)) == real
            traces += _bars(bars[rows[mine]], places[mine], d, real, 1.1 * top, style)
        row += len(rows) + 4
    traces += choosable(topology, loops, heights, loop, 1.1 * top, style)
    fig = figure(
        style,
        traces,
        height=430 if style.is_large else style.measures.height,
        margin={"t": 28},
        xaxis={"title": {"text": "scale"}, "range": [-0.01 * top, top], "nticks": 6},
        yaxis={"range": [row - 3, -4], "visible": False},
    )
    for y, text in groups:
        fig.add_annotation(
            x=0,
            y=y,
            text=text,
            xref="paper",
            xanchor="left",
            yanchor="middle",
            bgcolor=translucent(style.palette.background, 0.65),
        )
    if scale is not None:
        mark = {"color": style.palette.accent, "width": 1.5}
        fig.add_shape(type="line", x0=scale, x1=scale, y0=0, y1=1, yref="paper", line=mark)
        _scale_label(fig, scale, top, style)
    return fig


def _bars(
    bars: np.ndarray, places: np.ndarray, dimension: int, real: bool, end: float, style: Style
) -> list[dict[str, Any]]:
    """One trace of all bars (n, 2) of a kind, separated by gaps."""
    if not len(bars):
        return []
    births, deaths = bars.T
    ends = np.where(np.isfinite(deaths), deaths, end)
    xs = [v for b, e in zip(births.tolist(), ends.tolist(), strict=True) for v in (b, e, None)]
    texts = [
        f"born at {significant(b)}<br>"
        + (f"dies at {significant(d)}" if np.isfinite(d) else "never dies")
        for b, d in bars.tolist()
    ]
    color = dimension_color(dimension, style)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{HOLES[dimension]}, {'significant' if real else 'noise'}",
            "x": xs,
            "y": [v for p in places.tolist() for v in (p, p, None)],
            "text": [v for text in texts for v in (text, text, "")],
            "line": {
                "color": color if real else translucent(style.palette.muted, 0.45),
                "width": style.measures.line if real else 1,
            },
            "hovertemplate": f"<b>{HOLES[dimension]}</b><br>%{{text}}<extra></extra>",
        }
    ]


def betti_curve(topology: Topology | None, style: Style, scale: float | None = None) -> go.Figure:
    """Betti numbers against the scale, one panel a dimension, with the chosen scale marked.

    In colour the significant bars, which the reported Betti numbers count; pale all of them.
    """
    reason = _nothing(topology)
    if topology is None or reason:
        return message(reason or "", style)
    scale = topology.scale if scale is None else scale
    top = 1.04 * _top(topology, scale)
    scales = np.linspace(0, top, 400)
    count = len(topology.diagrams)
    gap = 0.14 if style.is_card else 0.1
    tall = (1 - gap * (count - 1)) / count
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    for d, diagram in enumerate(topology.diagrams):
        suffix = "" if d == 0 else str(d + 1)
        every = bars_alive(diagram, scales)
        alive = bars_alive(significant_bars(topology)[d], scales)
        upper = 1 - d * (tall + gap)
        layout[f"yaxis{suffix}"] = {
            "domain": [max(upper - tall, 0), upper],
            "anchor": "x",
            "title": {"text": SUBSCRIPTS[d]},
            "range": [0, 1.12 * max(1, int(every.max()))],
            "nticks": 4,
            "tickformat": ",d",
        }
        for counts, kind, color, width in (
            (every, ", all bars", translucent(style.palette.muted, 0.5), 1),
            (alive, "", dimension_color(d, style), style.measures.line),
        ):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{HOLES[d]} {SUBSCRIPTS[d]}{kind}",
                    "x": scales.astype(np.float32),
                    "y": counts.astype(np.int32),
                    "yaxis": f"y{suffix}",
                    "line": {"color": color, "width": width, "shape": "hv"},
                    "hovertemplate": f"<b>{HOLES[d]}{kind}</b><br>scale %{{x}}"
                    f"<br>{SUBSCRIPTS[d]} = %{{y}}<extra></extra>",
                }
            )
    last = "" if count == 1 else str(count)
    fig = figure(
        style,
        traces,
        height=430 if style.is_large else style.measures.height,
        margin={"t": 28},
        xaxis={
            "title": {"text": "scale"},
            "range": [0, top],
            "anchor": f"y{last}",
            "hoverformat": ".3~g",
            "nticks": 6,
        },
        **layout,
    )
    if scale is not None:
        mark = {"color": style.palette.accent, "width": 1.5}
        fig.add_shape(type="line", x0=scale, x1=scale, y0=0, y1=1, yref="paper", line=mark)
        _scale_label(fig, scale, top, style)
        for d, value in enumerate(betti_at(topology, scale)):
            _mark_value(fig, d, scale, value, top, style)
    return fig


def _mark_value(
    fig: go.Figure, dimension: int, scale: float, value: int, top: float, style: Style
) -> None:
    suffix = "" if dimension == 0 else str(dimension + 1)
    left = scale > 0.6 * top
    fig.add_annotation(
        x=scale,
        y=1.0,
        yref=f"y{suffix} domain",
        yanchor="top",
        xanchor="right" if left else "left",
        xshift=-6 if left else 6,
        text=f"{SUBSCRIPTS[dimension]} = {value}",
        bgcolor=translucent(style.palette.background, 0.65),
    )

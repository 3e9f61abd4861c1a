"""Figures of persistent homology."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.series import Line, by_layer_axes, finish_series, line_traces, subjects
from core.figures.theme import (
    MAX_COLOURED,
    MAX_POINTS,
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    message,
    number,
    reference_y,
    short_labels,
    significant,
    translucent,
)
from core.metrics.geometry import cluster_order, cosines
from core.metrics.persistence import betti_at, threshold
from core.metrics.persistence import betti_curve as bars_alive
from core.metrics.persistence import significant as significant_bars
from core.results import Analysis, Topology

HOLES = ("components", "loops", "voids")
_SUBSCRIPTS = ("β₀", "β₁", "β₂")
_SYMBOLS = ("circle", "diamond", "square")
_LEAST_TOP = 4.0  # of the colour scale, so that a single hole stays pale
_MAX_BARS = 60  # of one dimension in a barcode


# --- by layer ----------------------------------------------------------------------------------


def has_significant_holes(analysis: Analysis, dimension: int = 1) -> bool:
    """Whether any class at any layer has a bar of this dimension that its rule counts."""
    clouds = [t for la in analysis.layers if la.topology for t in la.topology.classes]
    return any(_betti(t, dimension) > 0 for t in clouds)


def betti_by_layer(
    analysis: Analysis,
    style: Style,
    dimension: int = 1,
    at: Literal["rule", "peak"] = "rule",
) -> go.Figure:
    """Heat map of the Betti number of one dimension, layers across, classes down.

    ``at`` "rule": the bars that the topology's rule counts, at its scale. "peak": all bars, at the
    scale where most are alive, noise included.
    """
    names = analysis.data.class_names if analysis.data is not None else ()
    read = _betti if at == "rule" else _peak
    values = np.array(
        [[read(t, dimension) for t in _of_classes(layer, len(names))] for layer in analysis.layers]
    ).T  # (K, layers)
    if not values.size or not np.isfinite(values).any():
        return message("The topology of the classes was not measured.", style)
    order = _class_order(analysis)
    names, values = tuple(names[k] for k in order), values[order]
    top = max(_LEAST_TOP, float(np.nanmax(values)))
    labelled = len(names) <= MAX_COLOURED
    symbol = _SUBSCRIPTS[dimension]
    trace = {
        "type": "heatmap",
        "name": symbol,
        "z": values.astype(np.float32),
        "zmin": 0,
        "zmax": top,
        "xgap": 1 if len(analysis.layers) <= 40 else 0,
        "ygap": 1 if labelled else 0,
        "colorscale": colorscale(style.palette.sequential),
        "colorbar": colorbar(
            style,
            tickvals=[0, top],
            ticktext=["0", f"{number(top, 0)} {HOLES[dimension]}"],
        ),
        "hoverongaps": False,
        "hovertemplate": f"<b>%{{y}}, %{{x}}</b><br>{symbol} = %{{z}}<extra></extra>",
    }
    if labelled:
        layer_names = subjects(analysis)
        trace["text"] = [[f"{escape(name)}, {layer}" for layer in layer_names] for name in names]
        trace["hovertemplate"] = f"<b>%{{text}}</b><br>{symbol} = %{{z}}<extra></extra>"
    layout = by_layer_axes(analysis, style, None)
    layout["xaxis"] |= {
        "range": [-0.5, len(analysis.layers) - 0.5],
        "showline": False,
        "tickcolor": "rgba(0,0,0,0)",
    }
    height = style.measures.height
    if style.is_large:
        height = max(330, min(590, 26 * len(names) + 120))
    fig = figure(
        style,
        [trace],
        height=height,
        margin={"t": colorbar_room(style)},
        yaxis=_class_axis(names, style, height),
        **layout,
    )
    if not np.nanmax(values):
        fig.add_annotation(
            text=f"no significant {HOLES[dimension]} in any class or layer",
            x=0.5,
            y=0.5,
            xref="paper",
            yref="paper",
            font={"color": style.palette.muted},
        )
    return fig


def _class_axis(names: Sequence[str], style: Style, height: int) -> dict[str, Any]:
    labelled = len(names) <= MAX_COLOURED
    fits = max(1, int((height - 120) / (1.1 * style.measures.ticks)))
    step = max(1, -(-len(names) // fits))
    length = 5 if style.is_card else 14
    labels = [escape(n) for n in (short_labels(names, length) if labelled else names)]
    return {
        "range": [len(names) - 0.5, -0.5],
        "tickmode": "array",
        "tickvals": list(range(0, len(names), step if labelled else 1)),
        "ticktext": labels[:: step if labelled else 1],
        "showticklabels": labelled,
        "showgrid": False,
        "showline": False,
        "ticks": "",
        "ticklabelstandoff": 2,
    }


def _of_classes(layer: Any, classes: int) -> Sequence[Topology | None]:
    if layer.topology is None or len(layer.topology.classes) != classes:
        return [None] * classes
    return layer.topology.classes


def _betti(topology: Topology | None, dimension: int) -> float:
    if topology is None or dimension >= len(topology.betti):
        return np.nan
    value = topology.betti[dimension]
    return np.nan if value is None else float(value)


def _peak(topology: Topology | None, dimension: int) -> float:
    if topology is None or dimension >= len(topology.diagrams):
        return np.nan
    diagram = topology.diagrams[dimension]
    return float(bars_alive(diagram, diagram[:, 0]).max(initial=0))


def _class_order(analysis: Analysis) -> np.ndarray:
    """As in the data up to 20 classes, by similarity of the class means beyond."""
    assert analysis.data is not None
    classes = analysis.data.classes
    if classes <= MAX_COLOURED or analysis.penultimate is None:
        return np.arange(classes)
    return cluster_order(cosines(analysis.penultimate.geometry))


def betti_total(analysis: Analysis, style: Style, selected: str | None = None) -> go.Figure:
    """Betti numbers of all samples together by layer; collapsed, there are K components."""
    measured = [None if a.topology is None else a.topology.all for a in analysis.layers]
    dimensions = max((len(t.betti) for t in measured if t is not None), default=0)
    lines = []
    for d in range(dimensions):
        values = [None if np.isnan(b := _betti(t, d)) else b for t in measured]
        lines.append(
            Line(
                f"{HOLES[d]} {_SUBSCRIPTS[d]}",
                values,
                hover=[f"{HOLES[d]} {_SUBSCRIPTS[d]} = {number(v, 0)}" for v in values],
                color=_color(d, style),
                symbols=_SYMBOLS[d],
                dash=("solid", "dash", "dot")[d],
            )
        )
    if not any(v is not None for line in lines for v in line.values):
        return message("The topology of all samples was not measured.", style)
    x = np.arange(len(analysis.layers))
    fig = figure(
        style,
        [t for line in lines for t in line_traces(line, x, subjects(analysis), style)],
        yaxis={"title": {"text": "Betti number"}, "rangemode": "tozero", "tickformat": ",d"},
        **by_layer_axes(analysis, style, selected),
    )
    if analysis.data is not None:
        classes = analysis.data.classes
        reference_y(fig, classes, f"collapsed β₀ = K = {classes}", style)
    finish_series(fig, lines, style)
    return fig


def _color(dimension: int, style: Style) -> str:
    return style.palette.runs[dimension]


# --- one layer, one class ----------------------------------------------------------------------


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


def persistence_diagram(
    topology: Topology | None, style: Style, scale: float | None = None
) -> go.Figure:
    """Birth and death of every hole, with the confidence band and the chosen scale.

    The band belongs to the highest dimension drawn: points in it may be noise. Points that count
    as noise in their own dimension are pale. Holes alive at the scale lie above and to the left
    of its mark.
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
    for d, diagram in enumerate(topology.diagrams):
        rows = _longest(diagram, MAX_POINTS // len(topology.diagrams))
        births, deaths = diagram[rows].T
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
                    "customdata": [significant(v) if np.isfinite(v) else "∞" for v in deaths[mine]],
                    "marker": {
                        "size": style.measures.marker,
                        "symbol": _SYMBOLS[d],
                        "color": _color(d, style),
                        "opacity": 0.3 if kind else 0.9,
                    },
                    "hovertemplate": f"<b>{HOLES[d]}{kind}</b><br>born at %{{x}}"
                    "<br>dies at %{customdata}<extra></extra>",
                    "cliponaxis": False,
                }
            )
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


def barcode(topology: Topology | None, style: Style, scale: float | None = None) -> go.Figure:
    """One bar a hole from birth to death; significant ones in colour, the others pale."""
    reason = _nothing(topology)
    if topology is None or reason:
        return message(reason or "", style)
    scale = topology.scale if scale is None else scale
    top = 1.04 * _top(topology, scale)
    traces: list[dict[str, Any]] = []
    groups: list[tuple[float, str]] = []
    row = 0
    limit = _MAX_BARS if not style.is_card else _MAX_BARS // 2
    for d, diagram in enumerate(topology.diagrams):
        rows = _longest(diagram, limit)
        if not len(rows):
            continue
        places = row + np.arange(len(rows))
        shown = "" if len(rows) == len(diagram) else f", {len(rows)} longest of {len(diagram)}"
        groups.append((row - 1.2, _group_name(d) + shown))
        lengths = diagram[rows, 1] - diagram[rows, 0]
        for real in (False, True):
            mine = (lengths > threshold(topology, d)) == real
            traces += _bars(diagram[rows[mine]], places[mine], d, real, 1.1 * top, style)
        row += len(rows) + 4
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
    color = _color(dimension, style)
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
            "title": {"text": _SUBSCRIPTS[d]},
            "range": [0, 1.12 * max(1, int(every.max()))],
            "nticks": 4,
            "tickformat": ",d",
        }
        for counts, kind, color, width in (
            (every, ", all bars", translucent(style.palette.muted, 0.5), 1),
            (alive, "", _color(d, style), style.measures.line),
        ):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{HOLES[d]} {_SUBSCRIPTS[d]}{kind}",
                    "x": scales.astype(np.float32),
                    "y": counts.astype(np.int32),
                    "yaxis": f"y{suffix}",
                    "line": {"color": color, "width": width, "shape": "hv"},
                    "hovertemplate": f"<b>{HOLES[d]}{kind}</b><br>scale %{{x}}"
                    f"<br>{_SUBSCRIPTS[d]} = %{{y}}<extra></extra>",
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
        text=f"{_SUBSCRIPTS[dimension]} = {value}",
        bgcolor=translucent(style.palette.background, 0.65),
    )

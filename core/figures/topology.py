"""Figures of Betti numbers by layer: heat maps of layers and classes, and lines over layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.persistence import HOLES, SUBSCRIPTS
from core.figures.series import Line, line_traces
from core.figures.theme import (
    MAX_COLOURED,
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    interpolate,
    layer_axis,
    message,
    number,
    short_labels,
    text_on,
    translucent,
)
from core.metrics.geometry import cluster_order, cosines
from core.metrics.persistence import betti_curve as bars_alive
from core.results import Analysis, Topology
from core.topology_grid import ALL, Grid, grid_of_analysis

Counted = Literal["rule", "fixed", "peak"]
_LEAST_TOP = 4.0  # of the colour scale, so that a single hole stays pale
_MAX_TEXT = 12  # classes whose cells are written out
_LINE_SHARE = 0.24  # of the height, for the sum over classes
ALL_CLASSES = "all classes"


@dataclass(frozen=True, slots=True)
class Reading:
    """How Betti numbers are read from the diagrams.

    "rule": the bars that the topology's rule counts, at its scale. "fixed": all bars at ``scale``,
    in units of each cloud's spacing. "peak": all bars, at the scale where most are alive.
    """

    counted: Counted = "rule"
    scale: float = 2.5


def has_significant_holes(analysis: Analysis, dimension: int = 1) -> bool:
    """Whether any class at any layer has a bar of this dimension that its rule counts."""
    return has_holes(grid_of_analysis(analysis), dimension)


def has_holes(grid: Grid, dimension: int) -> bool:
    """The same of a grid."""
    return any(
        betti(cell, dimension) > 0 for (_, scope), cell in grid.cells.items() if scope != ALL
    )


def betti(cell: Topology | None, dimension: int, reading: Reading = Reading()) -> float:
    """One Betti number of one cell; NaN where there is none."""
    if cell is None or cell.reason is not None or dimension >= len(cell.diagrams):
        return np.nan
    if reading.counted == "rule":
        value = cell.betti[dimension]
        return np.nan if value is None else float(value)
    bars = cell.diagrams[dimension]
    if reading.counted == "peak":
        return float(bars_alive(bars, bars[:, 0]).max(initial=0))
    return float(bars_alive(bars, np.array([reading.scale * cell.spacing]))[0])


def betti_by_layer(
    analysis: Analysis, style: Style, dimension: int = 1, at: Counted = "rule"
) -> go.Figure:
    """Heat map of the Betti number of one dimension, layers across, classes down."""
    names = analysis.data.class_names if analysis.data is not None else ()
    return betti_grid(
        grid_of_analysis(analysis),
        names,
        style,
        dimension,
        Reading(at),
        order=class_order(analysis),
        summed=False,
    )


def class_order(analysis: Analysis) -> np.ndarray:
    """As in the data up to 20 classes, by similarity of the class means beyond."""
    classes = 0 if analysis.data is None else analysis.data.classes
    if classes <= MAX_COLOURED or analysis.penultimate is None:
        return np.arange(classes)
    return cluster_order(cosines(analysis.penultimate.geometry))


def betti_grid(
    grid: Grid,
    class_names: Sequence[str],
    style: Style,
    dimension: int = 1,
    reading: Reading = Reading(),
    *,
    order: np.ndarray | None = None,
    selected: tuple[str, str | int] | None = None,
    summed: bool = True,
    running: bool = False,
) -> go.Figure:
    """Heat map of one Betti number, layers across, classes down; above it, by the same layers, the
    sum over the classes (Naitzat's total) and the number of all samples together.

    Cells that are not there are dots; a grid that is ``running`` may have none yet. A selected
    point's ``customdata`` is the position of its layer and its class (-1: all classes).
    ``order`` (K,) of the classes' rows.
    """
    order = np.arange(len(class_names)) if order is None else order
    values = np.array(
        [[betti(cell, dimension, reading) for cell in grid.column(int(k))] for k in order]
    ).reshape(len(order), len(grid.layers))  # (K, layers)
    together = [betti(cell, dimension, reading) for cell in grid.column(ALL)]
    if not running and not np.isfinite(values).any() and not np.isfinite(together).any():
        return message(f"No {HOLES[dimension]} were measured here.", style)
    names = tuple(class_names[int(k)] for k in order)
    height = _height(style, len(names), summed)
    heat = _heat(grid, names, order, values, dimension, style)
    fig = figure(
        style,
        [*heat, *(_sums(grid, values, together, dimension, style) if summed else ())],
        height=height,
        margin={"t": colorbar_room(style), "b": legend_room(style) if summed else 8},
        showlegend=summed,
        xaxis=layer_axis(grid.layers, style)
        | {
            "range": [-0.5, len(grid.layers) - 0.5],
            "showline": False,
            "tickcolor": "rgba(0,0,0,0)",
            "anchor": "y",
        },
        yaxis=_class_axis(names, style, height)
        | {"domain": [0, 1 - _LINE_SHARE - 0.06 if summed else 1]},
    )
    if summed:
        fig.update_layout(
            yaxis2={
                "domain": [1 - _LINE_SHARE, 1],
                "anchor": "x",
                **_counts_axis(values, together),
                "title": {"text": SUBSCRIPTS[dimension]},
            }
        )
    if np.isfinite(values).any() and not np.nanmax(values) and dimension:
        _say_none(fig, dimension, style)
    if selected is not None:
        _frame_cell(fig, grid, order, selected, style)
    return fig


def _height(style: Style, classes: int, summed: bool) -> int:
    if not style.is_large:
        return style.measures.height
    extra = 130 if summed else 0
    return max(330, min(590, 26 * classes + 120)) + extra


def legend_room(style: Style) -> int:
    """Pixels below a figure that its legend needs."""
    return 44 if style.size == "presentation" else 30


def _heat(
    grid: Grid,
    names: Sequence[str],
    order: np.ndarray,
    values: np.ndarray,
    dimension: int,
    style: Style,
) -> list[dict[str, Any]]:
    """The colours, and over them the numbers, which a click finds."""
    top = max(_LEAST_TOP, float(np.nanmax(values))) if np.isfinite(values).any() else _LEAST_TOP
    labelled = len(names) <= MAX_COLOURED
    symbol = SUBSCRIPTS[dimension]
    layers = [escape(name) for name in grid.layers]
    colours = {
        "type": "heatmap",
        "name": symbol,
        "z": values.astype(np.float32),
        "zmin": 0,
        "zmax": top,
        "xgap": 1 if len(grid.layers) <= 40 else 0,
        "ygap": 1 if labelled else 0,
        "colorscale": colorscale(style.palette.sequential),
        "colorbar": colorbar(
            style, tickvals=[0, top], ticktext=["0", f"{number(top, 0)} {HOLES[dimension]}"]
        ),
        "hoverongaps": False,
        "text": [[f"{escape(name)}, {layer}" for layer in layers] for name in names],
        "hovertemplate": f"<b>%{{text}}</b><br>{symbol} = %{{z}}<extra></extra>",
    }
    if not labelled:
        return [colours]
    return [colours, _numbers(grid, names, order, values, top, dimension, style)]


def _numbers(
    grid: Grid,
    names: Sequence[str],
    order: np.ndarray,
    values: np.ndarray,
    top: float,
    dimension: int,
    style: Style,
) -> dict[str, Any]:
    """One mark a cell: its number where there is room for it; a dot where it is still to come."""
    rows, columns = np.indices(values.shape)
    room = len(names) <= _MAX_TEXT and len(grid.layers) <= 16 and not style.is_card
    texts, colors, hovers = [], [], []
    for row, column in zip(rows.ravel().tolist(), columns.ravel().tolist(), strict=True):
        value = values[row, column]
        cell = grid.cells.get((grid.layers[column], int(order[row])))
        if np.isfinite(value):
            color = interpolate(style.palette.sequential, value / top)
            texts.append(number(value, 0) if room and value else "")
            colors.append(text_on(color))
        else:
            texts.append("·" if cell is None else "–")
            colors.append(style.palette.muted)
        hovers.append(_cell_hover(cell, value, dimension))
    subjects = [
        f"{escape(names[r])}, {escape(grid.layers[c])}"
        for r, c in zip(rows.ravel().tolist(), columns.ravel().tolist(), strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "cells",
        "showlegend": False,
        "x": columns.ravel().tolist(),
        "y": rows.ravel().tolist(),
        "text": texts,
        "textfont": {"color": colors, "size": style.measures.ticks},
        "customdata": [
            [int(c), int(order[r])] for r, c in zip(rows.ravel(), columns.ravel(), strict=True)
        ],
        "hovertext": [f"<b>{s}</b><br>{h}" for s, h in zip(subjects, hovers, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {"size": 14, "symbol": "square", "color": "rgba(0,0,0,0)"},
    }


def _cell_hover(cell: Topology | None, value: float, dimension: int) -> str:
    if cell is None:
        return "not computed"
    if not np.isfinite(value):
        return escape(cell.reason or "undefined")
    return f"{SUBSCRIPTS[dimension]} = {number(value, 0)}<br>{cell.landmarks} landmarks"


def _sums(
    grid: Grid, values: np.ndarray, together: Sequence[float], dimension: int, style: Style
) -> list[dict[str, Any]]:
    """Two lines over the layers; the sum only where every class has its number."""
    x = np.arange(len(grid.layers))
    sums = values.sum(axis=0) if len(values) else np.full(len(x), np.nan)  # NaN where one lacks
    lines = [
        Line(
            f"sum over {len(values)} classes",
            sums.tolist(),
            hover=[f"sum over classes {number(v, 0)}" for v in sums],
            color=style.palette.accent,
        ),
        Line(
            ALL_CLASSES,
            list(together),
            hover=[f"all classes together {number(v, 0)}" for v in together],
            color=style.palette.classes[1],
            dash="dash",
            symbols="diamond",
        ),
    ]
    lines = lines if len(values) > 1 else lines[1:]
    subjects = [escape(name) for name in grid.layers]
    traces = [t for line in lines for t in line_traces(line, x, subjects, style, suffix="2")]
    scopes = [None, -1][-len(lines) :]
    for trace, scope in zip(traces, scopes, strict=True):
        trace["xaxis"] = "x"
        trace["customdata"] = [[int(i), scope] for i in x]
    return traces


def _counts_axis(values: np.ndarray, together: Sequence[float]) -> dict[str, Any]:
    """From 0, with whole numbers only."""
    drawn = np.append(values.sum(axis=0), np.asarray(together))
    top = float(drawn[np.isfinite(drawn)].max(initial=0.0))
    few = {"dtick": 1} if top < 4 else {"nticks": 4}
    return {"range": [-0.06 * max(top, 1), 1.12 * max(top, 1)], "tickformat": ",d", **few}


def _say_none(fig: go.Figure, dimension: int, style: Style) -> None:
    fig.add_annotation(
        text=f"no significant {HOLES[dimension]} in any class or layer",
        x=0.5,
        y=0.5,
        xref="x domain",
        yref="y domain",
        font={"color": style.palette.muted},
        bgcolor=translucent(style.palette.background, 0.65),
    )


def _frame_cell(
    fig: go.Figure, grid: Grid, order: np.ndarray, selected: tuple[str, str | int], style: Style
) -> None:
    """A frame round the chosen cell; round the whole column where all classes are chosen."""
    layer, scope = selected
    if layer not in grid.layers:
        return
    x = grid.layers.index(layer)
    low, high = -0.5, len(order) - 0.5
    if scope != ALL:
        row = int(np.flatnonzero(order == scope)[0])
        low, high = row - 0.5, row + 0.5
    line = {"color": style.palette.ink, "width": 1.5}
    fig.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=low, y1=high, line=line)


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

"""Figures of the topology lab: the problem, the training, a class at every layer, its holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.data.two_class_problems import CLASS_NAMES, TwoClasses
from core.figures.labels import spatial_scene
from core.figures.scatter import three_columns
from core.figures.series import Line, finish_series, line_traces
from core.figures.theme import (
    DASHES,
    Style,
    class_style,
    colorscale,
    figure,
    layer_axis,
    log_axis,
    message,
    number,
    translucent,
)
from core.topology_lab import ACTIVATIONS, GRID, LabResult, LayerCloud, Row, layer_names

_SUBSCRIPTS = "₀₁₂"
_COLUMNS = 7  # panels of a row of layers at most
_OTHERS = 5  # of the other class every fifth point is drawn beside the class that is followed


def problem(data: TwoClasses, style: Style, regions: np.ndarray | None = None) -> go.Figure:
    """The points of both classes; in the plane over the network's ``regions`` (GRID, GRID)."""
    if data.points.shape[1] == 3:
        return _spatial([data.points[data.labels == k] for k in (0, 1)], style)
    traces = [] if regions is None else [_regions(regions, style)]
    for k, name in enumerate(CLASS_NAMES):
        x, y = data.points[data.labels == k].T
        traces.append(_points(k, name, x, y, style))
    axis = {"visible": False, "range": [-1.03, 1.03]}
    return figure(
        style,
        traces,
        height=_height(style),
        xaxis=axis,
        yaxis=axis | {"scaleanchor": "x"},
        margin={"l": 0, "r": 0, "t": 4, "b": 32},
        showlegend=True,
        legend={"itemsizing": "constant"},
    )


def _regions(regions: np.ndarray, style: Style) -> dict[str, Any]:
    """Which side of the plane the network gives to which class, pale behind the points."""
    line = np.linspace(-1, 1, GRID)
    ends = [translucent(class_style(k, 2, style).color, 0.28) for k in (0, 1)]
    return {
        "type": "heatmap",
        "name": "probability of B",
        "x": line,
        "y": line,
        "z": regions.astype(np.float32),
        "zmin": 0,
        "zmax": 1,
        "colorscale": colorscale(ends),
        "showscale": False,
        "hovertemplate": "<b>probability of B</b><br>%{z:.2f}<extra></extra>",
    }


def _points(k: int, name: str, x: np.ndarray, y: np.ndarray, style: Style) -> dict[str, Any]:
    look = class_style(k, 2, style)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x.astype(np.float32),
        "y": y.astype(np.float32),
        "marker": {
            "color": look.color,
            "symbol": look.symbol,
            "size": 5 if style.size == "presentation" else 3,
        },
        "hovertemplate": f"<b>class {name}</b><br>%{{x:.2f}}, %{{y:.2f}}<extra></extra>",
    }


def _spatial(clouds: Sequence[np.ndarray], style: Style) -> go.Figure:
    """Points (n, 3) of both classes, to be turned."""
    traces = [
        {
            "type": "scatter3d",
            "mode": "markers",
            "name": name,
            **{axis: cloud[:, i].astype(np.float32) for i, axis in enumerate("xyz")},
            "marker": {
                "color": class_style(k, 2, style).color,
                "size": 3 if style.size == "presentation" else 2,
            },
            "hovertemplate": f"<b>class {name}</b><extra></extra>",
        }
        for k, (name, cloud) in enumerate(zip(CLASS_NAMES, clouds, strict=True))
    ]
    height = _height(style)
    everything = np.concatenate(clouds).astype(np.float64)
    size = (style.measures.width, height)
    scene = spatial_scene((), everything[:0], everything, size, style, 1.25)
    margin = {"l": 0, "r": 0, "t": 0, "b": 32}
    legend = {"itemsizing": "constant"}
    return figure(
        style, traces, height=height, margin=margin, scene=scene, showlegend=True, legend=legend
    )


def training(result: LabResult, style: Style) -> go.Figure:
    """Loss and share of wrong training points by epoch; no point where none is wrong."""
    palette = style.palette
    wrong = 1 - result.accuracy
    x = np.arange(1, len(wrong) + 1)
    titles = [f"epoch {epoch}" for epoch in x]
    lines = [
        Line(
            "loss",
            result.loss.tolist(),
            hover=[f"loss {value:.2g}" for value in result.loss],
            color=palette.runs[0],
        ),
        Line(
            "share of wrong points",
            [float(value) if value > 0 else None for value in wrong],
            hover=[f"wrong {number(100 * float(value), 2)} %" for value in wrong],
            color=palette.runs[1],
            dash=DASHES[1],
        ),
    ]
    traces = [t for line in lines for t in line_traces(line, x, titles, style)]
    for trace in traces:
        trace["mode"] = "lines"
    positive = np.concatenate([result.loss, wrong])
    fig = figure(
        style,
        traces,
        height=_height(style),
        xaxis={"title": {"text": "epoch"}},
        yaxis={"title": {"text": "loss, share"}, **log_axis(positive)},
    )
    finish_series(fig, lines, style)
    return fig


def layer_row(result: LabResult, of: int, style: Style) -> go.Figure:
    """Class ``of`` in two principal components at every layer, with its Betti numbers below; some
    points of the other class in grey."""
    layers = result.layers
    columns = -(-len(layers) // -(-len(layers) // _COLUMNS))  # rows of about the same length
    rows = -(-len(layers) // columns)
    panel = 250 if style.size == "presentation" else 170
    caption = (3.2 * style.measures.ticks + 8) / panel  # share of a panel below its points
    axes: dict[str, Any] = {}
    traces, captions = [], []
    for i, layer in enumerate(layers):
        row, column = divmod(i, columns)
        n = "" if i == 0 else str(i + 1)
        low, high = 1 - (row + 1 - caption) / rows, 1 - (row + 0.02) / rows
        across = [(column + 0.04) / columns, (column + 0.96) / columns]
        ranges = _ranges(three_columns(np.concatenate(layer.principal)))
        for axis, anchor, domain, shown in zip(
            "xy", "yx", (across, [low, high]), ranges, strict=False
        ):
            axes[f"{axis}axis{n}"] = {
                "visible": False,
                "range": shown,
                "domain": domain,
                "anchor": f"{anchor}{n}",
            }
        traces += [_panel(layer, k, k == of, n, style) for k in (1 - of, of)]
        captions.append(
            {
                "x": (column + 0.5) / columns,
                "y": low,
                "xref": "paper",
                "yref": "paper",
                "yanchor": "top",
                "text": f"<b>{layer.name}</b><br>β {', '.join(map(str, layer.betti[of]))}",
            }
        )
    margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    return figure(style, traces, height=rows * panel, margin=margin, annotations=captions, **axes)


def _panel(layer: LayerCloud, k: int, followed: bool, axes: str, style: Style) -> dict[str, Any]:
    """Class ``k`` at one layer: every other point where it is followed, else a few in grey."""
    x, y = three_columns(layer.principal[k][:: 2 if followed else _OTHERS])[:, :2].T
    trace = _points(k, f"{CLASS_NAMES[k]}, layer {layer.name}", x, y, style)
    trace |= {"xaxis": f"x{axes}", "yaxis": f"y{axes}"}
    if not followed:
        trace["marker"] |= {"color": style.palette.muted, "opacity": 0.35}
        trace["hoverinfo"] = "skip"
    return trace


def _ranges(points: np.ndarray) -> list[list[float]]:
    """What an axis shows of each column: all but the outermost hundredth on either side."""
    low, high = np.quantile(points.astype(np.float64), [0.01, 0.99], axis=0)
    room = 0.08 * (high - low) + 1e-6
    return np.column_stack([low - room, high + room]).tolist()


def layer_cloud(result: LabResult, index: int, style: Style) -> go.Figure:
    """Both classes at one layer in up to three principal components, to be turned."""
    layer = result.layers[index]
    return _spatial([three_columns(cloud) for cloud in layer.principal], style)


def betti_by_layer(result: LabResult, of: int, style: Style) -> go.Figure:
    """Every Betti number of class ``of`` at every layer, and their sum."""
    names = [layer.name for layer in result.layers]
    dims = len(result.layers[0].betti[of])
    lines = [
        Line(
            f"β{_SUBSCRIPTS[k]}",
            [layer.betti[of][k] for layer in result.layers],
            hover=[f"β{_SUBSCRIPTS[k]} = {layer.betti[of][k]}" for layer in result.layers],
            symbols=("circle", "square", "diamond")[k],
            color=style.palette.runs[k],
            dash=DASHES[k],
        )
        for k in range(dims)
    ]
    totals = result.totals(of)
    lines.append(
        Line(
            "total",
            totals,
            hover=[f"total {total}" for total in totals],
            color=style.palette.muted,
            dash="dot",
            symbols="cross",
        )
    )
    return _by_layer(lines, names, "Betti number", style)


def comparison(rows: Sequence[Row], problem_id: str, of: int, style: Style) -> go.Figure:
    """Mean total Betti number of class ``of`` by layer for every activation, over the networks
    that reached the goal; the band holds 95 % of them."""
    lines = []
    for i, (activation, title) in enumerate(ACTIVATIONS.items()):
        mine = [
            row.totals(of)
            for row in rows
            if row.problem == problem_id and row.activation == activation and row.reached
        ]
        if not mine:
            continue
        totals = np.array(mine, dtype=np.float64)  # (networks, layers)
        low, high = np.quantile(totals, [0.025, 0.975], axis=0)
        lines.append(
            Line(
                title,
                totals.mean(0).tolist(),
                low.tolist(),
                high.tolist(),
                hover=[
                    f"{title}: mean {number(m, 1)}<br>{number(a, 0)} to {number(b, 0)} "
                    f"over {len(totals)} networks"
                    for m, a, b in zip(totals.mean(0), totals.min(0), totals.max(0), strict=True)
                ],
                symbols=("circle", "square", "diamond")[i],
                color=style.palette.runs[i],
                dash=DASHES[i],
            )
        )
    if not lines:
        return message("The table has no networks for this problem.", style)
    names = layer_names(len(lines[0].values) - 2)
    return _by_layer(lines, names, "mean total Betti number", style)


def _by_layer(lines: Sequence[Line], names: Sequence[str], title: str, style: Style) -> go.Figure:
    titles = [f"layer {name}" for name in names]
    x = np.arange(len(names))
    largest = max(value or 0 for line in lines for value in line.values)
    fig = figure(
        style,
        [t for line in lines for t in line_traces(line, x, titles, style)],
        height=_height(style),
        xaxis=layer_axis(names, style),
        yaxis={
            "title": {"text": title},
            "rangemode": "tozero",
            "dtick": 1 if largest <= 6 else None,
        },
    )
    finish_series(fig, lines, style)
    return fig


def _height(style: Style) -> int:
    return 330 if style.is_large else style.measures.height

"""Lines over the layers of what follows from every cell of a grid: entropy, bottleneck distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.loops import HOLES
from core.figures.series import Line, as_array, line_traces
from core.figures.theme import Style, escape, figure, layer_axis, message, significant, translucent
from core.figures.topology import ALL_CLASSES, legend_room
from core.results import Topology
from core.topology_grid import ALL, Grid


def entropy_by_layer(
    grid: Grid,
    class_names: Sequence[str],
    style: Style,
    dimension: int = 1,
    selected: tuple[str, str | int] | None = None,
) -> go.Figure:
    """Persistence entropy of one dimension, of every class and of all samples."""

    def read(cell: Topology | None) -> float | None:
        known = cell is not None and dimension < len(cell.entropy)
        return cell.entropy[dimension] if cell is not None and known else None

    values: dict[str | int, list[float | None]] = {
        scope: [read(cell) for cell in grid.column(scope)]
        for scope in (ALL, *range(len(class_names)))
    }
    title = f"entropy of {HOLES[dimension]} (nats)"
    return lines_by_layer(grid, class_names, values, style, title, selected)


def lines_by_layer(
    grid: Grid,
    class_names: Sequence[str],
    values: Mapping[str | int, Sequence[float | None]],
    style: Style,
    title: str,
    selected: tuple[str, str | int] | None = None,
    places: Sequence[float] | None = None,
) -> go.Figure:
    """A quantity of every cell over the layers: each class pale, all classes and the chosen class
    in colour. ``values`` by scope, one number a layer; ``places`` (m,) where they stand on the
    axis of layers, None: at the layers."""
    x = np.arange(len(grid.layers)) if places is None else np.asarray(places)
    if not any(np.isfinite(as_array(column)).any() for column in values.values()):
        return message("There is nothing to compare yet.", style)
    layer, scope = selected if selected is not None else ("", ALL)
    subjects = [_place_name(grid, float(place)) for place in x]
    traces: list[dict[str, Any]] = []
    for key, column in values.items():
        if key in (ALL, scope):
            continue
        name = class_names[int(key)]
        pale = Line(
            escape(name),
            column,
            hover=[f"{escape(name)} {significant(v)}" for v in column],
            color=translucent(style.palette.muted, 0.4),
        )
        (trace,) = line_traces(pale, x, subjects, style)
        traces.append(
            trace
            | {"mode": "lines", "showlegend": False, "line": {"color": pale.color, "width": 1}}
        )
    for key in dict.fromkeys((ALL, scope)):
        if key not in values:
            continue
        name = ALL_CLASSES if key == ALL else class_names[int(key)]
        line = Line(
            escape(name),
            values[key],
            hover=[f"{escape(name)} {significant(v)}" for v in values[key]],
            color=style.palette.classes[1] if key == ALL else style.palette.accent,
            dash="dash" if key == ALL else "solid",
            symbols="diamond" if key == ALL else "circle",
        )
        traces += line_traces(line, x, subjects, style)
    fig = figure(
        style,
        traces,
        showlegend=True,
        margin={"b": legend_room(style)},
        xaxis=layer_axis(grid.layers, style),
        yaxis={"title": {"text": title}, "rangemode": "tozero"},
    )
    if layer in grid.layers:
        i = grid.layers.index(layer)
        strip = {"type": "rect", "x0": i - 0.5, "x1": i + 0.5, "y0": 0, "y1": 1, "yref": "paper"}
        fill = {"fillcolor": style.palette.surface, "line": {"width": 0}, "layer": "below"}
        fig.add_shape(**strip, **fill)
    return fig


def _place_name(grid: Grid, place: float) -> str:
    """The layer at a place of the axis, or the two that it lies between."""
    low, high = int(np.floor(place)), int(np.ceil(place))
    names = dict.fromkeys((grid.layers[low], grid.layers[high]))
    return " to ".join(escape(name) for name in names)

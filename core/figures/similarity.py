"""Two networks layer by layer, as a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.comparison.pair import Measure, PairSimilarity, most_alike
from core.figures.theme import (
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    interpolate,
    layer_labels,
    message,
    number,
    text_on,
)

_MOST_ROWS = 24  # layers that get a label each
_MOST_TEXT = 10  # layers up to which cells hold their number
_ROW = 20  # pixels of a layer, at least, while all have labels
_COLUMN = 0.78  # share of the figure's width that the cells have


def layer_similarity(
    pair: PairSimilarity, style: Style, measure: Measure, first: str, second: str
) -> go.Figure:
    """A row for every layer of the first network, a column for every one of the second, both from
    the input (bottom, left) on. The stronger the colour, the more alike: CKA 1, Procrustes 0°.

    A ring marks the layer of the second network that each layer of the first is most like.
    ``first`` and ``second`` name the networks.
    """
    values = getattr(pair, measure)
    if not np.isfinite(values).any():
        return message("No two layers can be compared: their features have no spread.", style)
    rows, columns = pair.first.layers, pair.second.layers
    scale = style.palette.sequential if measure == "cka" else style.palette.sequential[::-1]
    top = 1.0 if measure == "cka" else 90.0
    trace = {
        "type": "heatmap",
        "name": "CKA" if measure == "cka" else "Procrustes distance (°)",
        "z": np.round(values, 4),
        "zmin": 0.0,
        "zmax": top,
        "colorscale": colorscale(scale),
        "colorbar": _bar(measure, style),
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "text": _hover(values, rows, columns, measure, first, second),
        "hovertemplate": "%{text}<extra></extra>",
    }
    texts = _texts(values, scale, top, measure, style)
    traces = [trace, *texts, *_most_alike(pair, measure, style)]
    names = [escape(_short(n)) for n in (first, second)]
    return figure(
        style,
        traces,
        height=_height(len(rows), style),
        margin={"t": colorbar_room(style) + 10, "l": 8, "r": 12, "b": 8},
        xaxis={**_axis(columns, style, share=True), "title": {"text": names[1], "standoff": 10}},
        yaxis={
            **_axis(rows, style, share=False),
            "title": {"text": names[0], "standoff": 10},
            "showgrid": False,
        },
    )


def _short(name: str) -> str:
    """A long name without its middle: the epoch stands at its end."""
    return name if len(name) <= 48 else f"{name[:30].rstrip()}…{name[-17:]}"


def _bar(measure: Measure, style: Style) -> dict[str, Any]:
    if measure == "cka":
        return colorbar(style, tickvals=[0, 0.5, 1], ticktext=["CKA 0", "0.5", "1, alike"])
    return colorbar(style, tickvals=[0, 45, 90], ticktext=["0°, alike", "45°", "90°"])


def _axis(layers: tuple[str, ...], style: Style, share: bool) -> dict[str, Any]:
    labels = [escape(label) for label in layer_labels(layers)]
    room = _MOST_ROWS
    if share:
        room = max(1, int(_COLUMN * style.measures.width / (1.25 * style.measures.ticks)))
    step = max(1, -(-len(labels) // room))
    return {
        "tickmode": "array",
        "tickvals": list(range(0, len(labels), step)),
        "ticktext": labels[::step],
        "autotickangles": [0, -90],
        "range": [-0.5, len(labels) - 0.5],
        "ticks": "",
    }


def _height(rows: int, style: Style) -> int:
    wanted = 110 + _ROW * min(rows, _MOST_ROWS) * style.measures.ticks / 12
    return int(max(style.measures.height, wanted))


def _said(value: float, measure: Measure, decimals: int = 3) -> str:
    if measure == "cka":
        return number(value, decimals)
    return number(value, 1 if decimals == 3 else 0, "°")


def _hover(
    values: np.ndarray,
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    measure: Measure,
    first: str,
    second: str,
) -> list[list[str]]:
    noun = "CKA" if measure == "cka" else "Procrustes distance"
    one, other = escape(_short(first)), escape(_short(second))
    return [
        [
            f"<b>{escape(row)}</b> of {one}<br><b>{escape(column)}</b> of {other}<br>"
            f"{noun} {_said(values[i, j], measure)}"
            for j, column in enumerate(columns)
        ]
        for i, row in enumerate(rows)
    ]


def _texts(
    values: np.ndarray, scale: tuple[str, ...], top: float, measure: Measure, style: Style
) -> list[dict[str, Any]]:
    """The number in every cell, where there is room for it."""
    if max(values.shape) > _MOST_TEXT or style.is_card:
        return []
    cells = [(i, j) for i, j in np.ndindex(values.shape) if np.isfinite(values[i, j])]
    return [
        {
            "type": "scatter",
            "mode": "text",
            "name": "numbers",
            "x": [j for _, j in cells],
            "y": [i for i, _ in cells],
            "text": [_said(float(values[c]), measure, 2) for c in cells],
            "textfont": {
                "size": style.measures.ticks,
                "color": [text_on(interpolate(scale, float(values[c]) / top)) for c in cells],
            },
            "hoverinfo": "skip",
        }
    ]


def _most_alike(pair: PairSimilarity, measure: Measure, style: Style) -> list[dict[str, Any]]:
    """A ring in the cell of every row that is most alike."""
    best = most_alike(pair, measure)
    known = [(i, j) for i, j in enumerate(best) if j is not None]
    size = min(30.0, 1.5 * _ROW * style.measures.ticks / 12)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "most alike",
            "x": [j for _, j in known],
            "y": [i for i, _ in known],
            "marker": {
                "symbol": "circle-open",
                "size": size if max(getattr(pair, measure).shape) <= _MOST_TEXT else 9,
                "color": style.palette.classes[1],
                "line": {"width": 2},
            },
            "hoverinfo": "skip",
        }
    ]

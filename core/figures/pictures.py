"""Pictures in a grid, made beforehand as one PNG, with words on hover."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import plotly.graph_objects as go

from core.figures.theme import Style, figure

EDGE = 0.035  # half of the space between two pictures, in pictures


def picture_grid(
    png: bytes,
    hover: Sequence[Sequence[str]],
    columns: Sequence[str],
    rows: Sequence[str] | None,
    style: Style,
    height: int | None = None,
) -> go.Figure:
    """The picture with a label above every column and, where there are any, beside every row.

    hover: HTML of every cell, row by row; labels are HTML, too.
    """
    count = len(columns)
    cells = [(r, c) for r in range(len(hover)) for c in range(count)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "images",
        "x": [c for _, c in cells],
        "y": [r for r, _ in cells],
        "text": [hover[r][c] for r, c in cells],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 30, "opacity": 0, "symbol": "square"},
    }
    hidden = {"showgrid": False, "showline": False, "ticks": "", "constrain": "domain"}
    fig = figure(
        style,
        [trace],
        **({} if height is None else {"height": height}),
        xaxis={
            **hidden,
            "range": [-0.5, count - 0.5],
            "side": "top",
            "tickmode": "array",
            "tickvals": list(range(count)),
            "ticktext": list(columns),
        },
        yaxis={
            **hidden,
            "range": [len(hover) - 0.5, -0.5],
            "showticklabels": rows is not None,
            "tickmode": "array",
            "tickvals": list(range(len(hover))),
            "ticktext": list(rows or ()),
            "scaleanchor": "x",
        },
    )
    fig.add_layout_image(
        source="data:image/png;base64," + base64.b64encode(png).decode(),
        xref="x",
        yref="y",
        x=-0.5 + EDGE,
        y=-0.5 + EDGE,
        sizex=count - 2 * EDGE,
        sizey=len(hover) - 2 * EDGE,
        sizing="stretch",
        layer="below",
    )
    return fig

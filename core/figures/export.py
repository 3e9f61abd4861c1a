"""Figures as files: with a title, or their data as CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.theme import escape, wrap

_TAGS = re.compile(r"<[^>]*>")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EXTRA = ("text", "customdata")


def with_title(fig: go.Figure, title: str) -> go.Figure:
    """A copy with its title inside and an opaque background, to stand alone as an image."""
    copy = go.Figure(fig)
    size = copy.layout.template.layout.title.font.size or 16
    per_line = int((copy.layout.width or 680) / (0.58 * size))
    lines = wrap(title, per_line)
    room = int(1.4 * size * len(lines)) + 8
    top = copy.layout.margin.t
    top = copy.layout.template.layout.margin.t if top is None else top
    height = (copy.layout.height or 360) + room
    for trace in copy.data:
        if trace.type == "heatmap" and trace.colorbar.yref == "container" and trace.colorbar.y == 1:
            trace.colorbar.y = 1 - room / height  # below the title
    copy.update_layout(
        title={
            "text": "<br>".join(escape(line) for line in lines),
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 8 + int(1.3 * size) * (len(lines) - 1)},  # Plotly anchors the last line
        },
        paper_bgcolor=copy.layout.template.layout.hoverlabel.bgcolor,
        margin_t=top + room,
        height=height,
    )
    return copy


def figure_csv(fig: go.Figure) -> str:
    """The data of a figure as CSV: one line a point, with the series it belongs to.

    Text that a spreadsheet would take for a formula gets a leading apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["series", "x", "y", "z", *_EXTRA])
    for trace in fig.data:
        if trace.mode in ("none", "text") if hasattr(trace, "mode") else False:
            continue
        if trace.type == "contour" and trace.hoverinfo == "skip":
            continue  # a line drawn over a field that is there already
        rows = _ROWS.get(trace.type, _points)(trace, fig)
        for row in rows:
            writer.writerow([_plain(trace.name), *(_plain(value) for value in row)])
    return buffer.getvalue()


def _points(trace: Any, fig: go.Figure) -> Iterator[list[Any]]:
    columns = {name: _column(trace, name, fig) for name in ("x", "y", "z", *_EXTRA)}
    for i in range(len(columns["x"])):
        row = [column[i] if i < len(column) else None for column in columns.values()]
        if row[0] is not None:
            yield row


def _cells(trace: Any, fig: go.Figure) -> Iterator[list[Any]]:
    z = np.asarray(trace.z)
    xs = _named(range(z.shape[1]), fig.layout.xaxis)
    ys = _named(range(z.shape[0]), fig.layout.yaxis)
    for (i, j), value in np.ndenumerate(z):
        if np.isfinite(value):
            text = None if trace.text is None else trace.text[i][j]
            yield [xs[j], ys[i], value, text, None]


def _grid(trace: Any, fig: go.Figure) -> Iterator[list[Any]]:
    """A point a line of a contour figure or surface, with its own coordinates."""
    z = np.asarray(trace.z)
    for (i, j), value in np.ndenumerate(z):
        extra = [None if c is None else c[i][j] for c in (trace.text, trace.customdata)]
        yield [trace.x[j], trace.y[i], value, *extra]


_ROWS = {"heatmap": _cells, "contour": _grid, "surface": _grid}


def _column(trace: Any, name: str, fig: go.Figure) -> list[Any]:
    values = getattr(trace, name, None)
    if values is None or isinstance(values, str):
        return []
    if name in ("x", "y") and hasattr(trace, "xaxis"):
        axis = getattr(trace, f"{name}axis") or name
        return _named(values, fig.layout[f"{name}axis{axis[1:]}"])
    return list(values)


def _named(values: Any, axis: Any) -> list[Any]:
    """Positions on an axis of classes or layers as their names, other values as they are."""
    if axis.tickmode != "array" or axis.ticktext is None:
        return list(values)
    names = dict(zip((float(v) for v in axis.tickvals), axis.ticktext, strict=True))
    return [names.get(float(v), v) if v is not None else None for v in values]


def _plain(value: Any) -> Any:
    """A cell without markup; numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = html.unescape(_TAGS.sub(" ", value)).strip()
        return f"'{text}" if text.startswith(_FORMULA) else text
    if isinstance(value, np.ndarray | list | tuple):
        return "; ".join(str(_plain(v)) for v in value)
    if isinstance(value, float | np.floating):
        return f"{float(value):.7g}" if np.isfinite(value) else ""
    return value

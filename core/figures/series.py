"""Lines over layers or sizes: a line, its interval band, marks and labels at the line's end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.theme import (
    DASHES,
    Style,
    escape,
    layer_axis,
    number,
    translucent,
)
from core.results import Analysis, Estimate

Numbers = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line to draw. ``low`` and ``high`` bound its interval; None where there is none."""

    name: str
    values: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    hover: Sequence[str] | None = None  # one escaped text a point, below the subject
    color: str | None = None
    dash: str = "solid"
    symbols: str | Sequence[str] = "circle"


def from_estimates(name: str, estimates: Sequence[Estimate | None], **more: Any) -> Line:
    """A line of estimates with their intervals."""
    return Line(
        name,
        [None if e is None else e.value for e in estimates],
        [None if e is None else e.low for e in estimates],
        [None if e is None else e.high for e in estimates],
        **more,
    )


def line_traces(
    line: Line, x: np.ndarray, subjects: Sequence[str], style: Style, suffix: str = ""
) -> list[dict[str, Any]]:
    """Band (where there is an interval), then line and markers. x (m,), subjects escaped.

    ``customdata`` is the position of the point. ``suffix`` names the axes of a panel.
    """
    color = line.color or style.palette.accent
    values = as_array(line.values)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    hover = line.hover or interval_texts(line)
    traces: list[dict[str, Any]] = []
    if line.low is not None and line.high is not None:
        band = _band(x, values, as_array(line.low), as_array(line.high))
        if len(band[0]):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "none",
                    "name": f"{line.name}, 95 % interval",
                    "x": band[0],
                    "y": band[1],
                    "fill": "toself",
                    "fillcolor": band_color(color, style),
                    "hoverinfo": "skip",
                    "showlegend": False,
                    **axes,
                }
            )
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": line.name,
            "x": x,
            "y": [None if not np.isfinite(v) else float(v) for v in values],
            "text": [f"<b>{s}</b><br>{h}" for s, h in zip(subjects, hover, strict=True)],
            "customdata": list(range(len(values))),
            "line": {"color": color, "width": style.measures.line, "dash": line.dash},
            "marker": {"size": style.measures.marker, "color": color, "symbol": line.symbols},
            "hovertemplate": "%{text}<extra></extra>",
            **axes,
        }
    )
    return traces


def as_array(values: Numbers) -> np.ndarray:
    """None becomes NaN. (m,) float64."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def interval_texts(line: Line, decimals: int = 1, unit: str = "") -> list[str]:
    """ "TwoNN 13.3 (95 %: 12.9 to 13.8)" for every point."""
    texts = []
    for i, value in enumerate(line.values):
        text = f"{line.name} {number(value, decimals, unit)}"
        low = None if line.low is None else line.low[i]
        high = None if line.high is None else line.high[i]
        if value is not None and low is not None and high is not None:
            text += f"<br>95 %: {number(low, decimals)} to {number(high, decimals, unit)}"
        texts.append(text)
    return texts


def band_color(color: str, style: Style) -> str:
    """The interval band that belongs to a line's colour."""
    if color == style.palette.accent:
        return style.palette.band
    return translucent(color, 0.16 if style.mode == "light" else 0.20)


def _band(
    x: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[list[float | None], list[float | None]]:
    """One closed outline for every run of layers that have an interval; it contains the line."""
    low, high = np.fmin(low, values), np.fmax(high, values)
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(values)
    xs: list[float | None] = []
    ys: list[float | None] = []
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known)) + 1):
        if len(run) > 1 and known[run[0]]:
            xs += [*x[run].tolist(), *x[run][::-1].tolist(), None]
            ys += [*high[run].tolist(), *low[run][::-1].tolist(), None]
    return xs[:-1], ys[:-1]


def series_look(index: int, style: Style) -> dict[str, str]:
    """Colour and dash of series ``index`` of a figure whose series are not classes."""
    palette = style.palette
    return {
        "color": palette.classes[index % len(palette.classes)],
        "dash": DASHES[index % len(DASHES)],
    }


def subjects(analysis: Analysis) -> list[str]:
    """The layers' full names, escaped, for hovers."""
    return [escape(layer.name) for layer in analysis.layers]


def by_layer_axes(
    analysis: Analysis, style: Style, selected: str | None, share: float = 0.75
) -> dict[str, Any]:
    """x axis of all layers, and a pale strip behind the selected one."""
    names = [layer.name for layer in analysis.layers]
    layout: dict[str, Any] = {"xaxis": layer_axis(names, style, share=share)}
    if selected in names:
        i = names.index(selected)
        strip = {"type": "rect", "x0": i - 0.5, "x1": i + 0.5, "y0": 0, "y1": 1, "yref": "paper"}
        fill = {"fillcolor": style.palette.surface, "line": {"width": 0}, "layer": "below"}
        layout["shapes"] = [strip | fill]
    return layout


def finish_series(fig: go.Figure, lines: Sequence[Line], style: Style) -> None:
    """Say which line is which: nothing for one, a legend for two or three, labels at the ends."""
    if len(lines) < 2:
        return
    if len(lines) <= 3:
        fig.update_layout(showlegend=True, margin_b=30 if style.size != "presentation" else 44)
        return
    ends = []
    for line in lines:
        values = as_array(line.values)
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            ends.append((line.name, int(known[-1]), float(values[known[-1]]), line.color))
    ticks = style.measures.ticks
    log = fig.layout.yaxis.type == "log"
    everything = np.concatenate([as_array(line.values) for line in lines])
    everything = np.log10(everything) if log else everything
    heights = np.array([np.log10(e[2]) if log else e[2] for e in ends])
    span = float(np.nanmax(everything) - np.nanmin(everything)) or 1.0
    scale = 0.6 * fig.layout.height / span
    shifts = spread_out(heights * scale, 1.15 * ticks) - heights * scale
    for (name, x, _, color), height, shift in zip(ends, heights, shifts, strict=True):
        fig.add_annotation(
            x=x,
            y=height,
            text=f'<span style="color:{color}">●</span> {name}',
            xanchor="left",
            xshift=8,
            yshift=float(shift),
        )
    fig.update_layout(margin_r=int(24 + 0.6 * ticks * max(len(e[0]) for e in ends)))


def spread_out(positions: np.ndarray, gap: float) -> np.ndarray:
    """Positions moved as little as needed to be ``gap`` apart, in the same order."""
    order = np.argsort(positions, kind="stable")
    wanted = positions[order] - gap * np.arange(len(order))
    # isotonic regression (pool adjacent violators): the nearest non-decreasing sequence
    blocks: list[list[float]] = []
    for value in wanted:
        blocks.append([float(value), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    level = np.concatenate([np.full(int(n), v) for v, n in blocks]) if blocks else wanted
    result = np.empty_like(positions, dtype=np.float64)
    result[order] = level + gap * np.arange(len(order))
    return result

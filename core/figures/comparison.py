"""Runs beside each other: curves over the epochs, accuracies by loss, width and epochs, and
accuracies on other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.comparison.grid import LossGrid
from core.comparison.groups import QUANTITIES, Curve, Final, Split
from core.figures.dynamics import epoch_axis, place
from core.figures.series import band_color, series_look, spread_out
from core.figures.theme import (
    SYMBOLS,
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    interpolate,
    log_axis,
    message,
    number,
    short_labels,
    significant,
    text_on,
    theory_line,
)

Statistic = Literal["mean", "sd"]

_IN_LEGEND = 3
_LABEL = 34  # characters of a label at the end of a line
_MARK = "circle-open"
_MOST_POINTS = 120  # of a line
_MOST_MARKERS = 40  # epochs up to which every one has a marker


# --- curves ------------------------------------------------------------------------------------


def overlay(curves: Sequence[Curve], key: str, split: Split, style: Style) -> go.Figure:
    """One line a group of seeds: the mean, and a band from the smallest to the largest value.

    A ring marks the start of the terminal phase: the median over the seeds. The axis of epochs is
    log(1 + epoch). The dashed line is the threshold below which a run counts as collapsed.
    """
    quantity = QUANTITIES[key]
    drawn = [(i, c) for i, c in enumerate(curves) if _known(c, quantity.log).any()]
    if not drawn:
        where = "training" if split == "train" else "test"
        return message(f"None of these runs was measured: {quantity.title}, {where} data.", style)
    traces: list[dict[str, Any]] = []
    for i, one in drawn:
        traces += _curve(one, i, key, style)
    everything = np.concatenate([c.epochs for _, c in drawn])
    limit = quantity.threshold if split == "train" else None
    ends = _ends([c for _, c in drawn], quantity.log, limit)
    fig = figure(
        style,
        traces,
        height=max(style.measures.height, 400 if style.is_large else 0),
        xaxis={**epoch_axis(everything, ticks=7), "title": {"text": "epoch"}},
        yaxis={"title": {"text": quantity.axis}, **_scale(ends, quantity.log)},
    )
    if limit is not None:
        _threshold(fig, limit, [c for _, c in drawn], quantity.log, style)
    _name_lines(fig, [c for _, c in drawn], [i for i, _ in drawn], quantity.log, style)
    return fig


def _ends(curves: Sequence[Curve], log: bool, limit: float | None) -> tuple[float, float]:
    """Smallest and largest value drawn: lines, bands, and the threshold."""
    values = [v[_known(c, log)] for c in curves for v in (c.low, c.mean, c.high)]
    everything = np.concatenate([*values, [] if limit is None else [limit]])
    everything = everything[everything > 0] if log else everything
    return float(everything.min()), float(everything.max())


def _threshold(
    fig: go.Figure, limit: float, curves: Sequence[Curve], log: bool, style: Style
) -> None:
    """The limit, labelled at the end where the lines are farther from it."""
    line = theory_line(style)
    right = _distance(curves, limit, log, -1) > _distance(curves, limit, log, 0)
    fig.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=limit, y1=limit, line=line)
    fig.add_annotation(
        x=float(right),
        xref="x domain",
        xanchor="right" if right else "left",
        y=float(np.log10(limit)) if log else limit,
        yanchor="bottom",
        yshift=-1,
        text=f"collapsed below {number(limit, 2)}",
    )


def _known(one: Curve, log: bool) -> np.ndarray:
    return np.isfinite(one.mean) & ((one.mean > 0) | (not log))


def _distance(curves: Sequence[Curve], limit: float, log: bool, end: int) -> float:
    """Of the nearest line to the limit, at its first (0) or last (-1) epoch."""
    ends = [float(c.mean[_known(c, log)][end]) for c in curves]
    return min(abs(np.log(v / limit)) if log else abs(v - limit) for v in ends)


def _scale(ends: tuple[float, float], log: bool) -> dict[str, Any]:
    """The axis from the smallest to the largest value, with a margin."""
    low, high = np.log10(ends) if log else np.array(ends)
    margin = 0.05 * (high - low) or 0.5
    span = {"range": [float(low - margin), float(high + margin)]}
    return (log_axis(np.array(ends)) if log else {"nticks": 6}) | span


def _curve(one: Curve, index: int, key: str, style: Style) -> list[dict[str, Any]]:
    quantity = QUANTITIES[key]
    look = series_look(index, style)
    known = _known(one, quantity.log) & _drawn(one.epochs)
    x = place(one.epochs).round(4)
    name = escape(one.title)
    traces: list[dict[str, Any]] = []
    if one.seeds > 1:
        low = np.where(one.low > 0, one.low, one.mean) if quantity.log else one.low
        xs, ys = x[known], np.concatenate([one.high[known], low[known][::-1]])
        traces.append(
            {
                "type": "scatter",
                "mode": "none",
                "name": f"{name}, seeds",
                "x": np.concatenate([xs, xs[::-1]]),
                "y": _short(ys),
                "fill": "toself",
                "fillcolor": band_color(look["color"], style),
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    dense = int(known.sum()) > _MOST_MARKERS
    traces.append(
        {
            "type": "scatter",
            "mode": "lines" if dense else "lines+markers",
            "name": name,
            "x": x[known],
            "y": _short(one.mean[known]),
            "text": _hover(one, known, key),
            "line": {**look, "width": style.measures.line},
            "marker": {
                "size": style.measures.marker - 1,
                "color": look["color"],
                "symbol": SYMBOLS[index % len(SYMBOLS)],
            },
            "hovertemplate": "%{text}<extra></extra>",
        }
    )
    whole = _known(one, quantity.log)
    return traces + _terminal(one, whole, key, look["color"], style)


def _drawn(epochs: np.ndarray) -> np.ndarray:
    """(E,) of a long history, epochs that stand apart on the axis; the first and the last always
    do."""
    spot = np.floor(place(epochs) / max(float(place(epochs[-1])), 1e-9) * _MOST_POINTS)
    drawn = np.diff(spot, prepend=-1.0) > 0
    drawn[-1] = True
    return drawn


def _short(values: np.ndarray) -> list[float]:
    """Six digits: half the size of a page's figures."""
    return [float(f"{v:.6g}") for v in values]


def _hover(one: Curve, known: np.ndarray, key: str) -> list[str]:
    texts = []
    for i in np.flatnonzero(known):
        text = f"<b>{escape(one.title)}</b><br>epoch {one.epochs[i]:,}<br>"
        text += f"{QUANTITIES[key].title} {_value(key, one.mean[i])}"
        if one.seeds > 1:
            text += f"<br>{one.seeds} seeds: {_value(key, one.low[i])} to "
            text += _value(key, one.high[i])
        texts.append(text)
    return texts


def _value(key: str, value: float) -> str:
    quantity = QUANTITIES[key]
    if quantity.log:
        return significant(value)
    return number(value, quantity.decimals, " %" if quantity.factor == 100 else "")


def _terminal(
    one: Curve, known: np.ndarray, key: str, color: str, style: Style
) -> list[dict[str, Any]]:
    at = one.terminal_median
    epochs = one.epochs[known]
    if at is None or not epochs[0] <= at <= epochs[-1]:
        return []
    values = one.mean[known]
    log = QUANTITIES[key].log
    y = np.interp(place(at), place(epochs), np.log(values) if log else values)
    starts = sorted(t for t in one.terminal if t is not None)
    said = f"epoch {starts[0]:,}"
    if starts[-1] > starts[0]:
        said = f"epochs {starts[0]:,} to {starts[-1]:,}, by seed"
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{escape(one.title)}, start of the terminal phase",
            "x": [round(float(place(at)), 4)],
            "y": _short(np.array([np.exp(y) if log else y])),
            "text": [f"<b>{escape(one.title)}</b><br>training error first zero at<br>{said}"],
            "marker": {
                "symbol": _MARK,
                "size": 2.2 * style.measures.marker,
                "color": color,
                "line": {"width": 2},
            },
            "hovertemplate": "%{text}<extra></extra>",
            "showlegend": False,
        }
    ]


def _name_lines(
    fig: go.Figure, curves: Sequence[Curve], looks: Sequence[int], log: bool, style: Style
) -> None:
    """A legend for up to three lines, otherwise a label at the end of every line."""
    if len(curves) <= _IN_LEGEND:
        if len(curves) > 1:
            fig.update_layout(showlegend=True, margin_b=34)
        return
    ticks = style.measures.ticks
    labels = short_labels([c.title for c in curves], _LABEL)
    ends = [(c.epochs[k][-1], c.mean[k][-1]) for c in curves for k in (_known(c, log),)]
    heights = np.array([np.log10(v) if log else v for _, v in ends], dtype=np.float64)
    bottom, top = fig.layout.yaxis.range
    pixels = fig.layout.height - 12 - 3.6 * ticks  # of the axis: the rest is margins and titles
    places = (heights - bottom) / (top - bottom) * pixels
    wanted = spread_out(places, 1.2 * ticks)
    wanted -= max(0.0, float(wanted.max()) - pixels)  # labels pushed apart stay on the figure
    shifts = wanted - places
    last = float(place(max(e for e, _ in ends)))
    for label, height, shift, i in zip(labels, heights, shifts, looks, strict=True):
        color = series_look(i, style)["color"]
        fig.add_annotation(
            x=last,
            y=float(height),
            text=f'<span style="color:{color}">●</span> {escape(label)}',
            xanchor="left",
            xshift=16,
            yshift=float(shift),
        )
    fig.update_layout(margin_r=int(30 + 0.56 * ticks * max(map(len, labels))))


# --- width × epochs ----------------------------------------------------------------------------


def width_by_epochs(grids: Sequence[LossGrid], style: Style, statistic: Statistic) -> go.Figure:
    """A panel for every loss: epochs to the right, width upwards, so that the right top corner is
    the widest network trained longest. One colour scale for all panels.

    ``mean``: of the test accuracy (%); ``sd``: its standard deviation over the seeds, in points.
    """
    known = [getattr(g, statistic) for g in grids]
    if not known or not np.isfinite(np.concatenate([k.ravel() for k in known])).any():
        return message("There is no grid of widths and epochs here.", style)
    values = np.concatenate([k.ravel() for k in known])
    low, high = _colour_ends(values, statistic)
    # a stronger colour is better in both: a high mean, a small spread
    scale = style.palette.sequential if statistic == "mean" else style.palette.sequential[::-1]
    columns = min(2, len(grids))
    rows = -(-len(grids) // columns)
    layout: dict[str, Any] = {}
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    ends = (low, high)
    for p, grid in enumerate(grids):
        suffix = "" if p == 0 else str(p + 1)
        row, column = divmod(p, columns)
        x = [column / columns + (0.03 if column else 0), (column + 1) / columns - 0.01]
        height = 1 / rows
        y = [1 - (row + 1) * height + (0.03 if row < rows - 1 else 0), 1 - row * height - 0.09]
        traces += _panel(grid, statistic, scale, ends, suffix, p == 0, style)
        layout |= _panel_axes(grid, suffix, x, y, column == 0, row == rows - 1)
        notes.append(
            {
                "text": f"<b>{escape(grid.title)}</b>",
                "xref": "paper",
                "yref": "paper",
                "x": x[0],
                "xanchor": "left",
                "y": y[1],
                "yanchor": "bottom",
            }
        )
    return figure(
        style,
        traces,
        height=max(style.measures.height, 90 + 190 * rows),
        margin={"t": colorbar_room(style), "l": 8, "r": 12, "b": 8},
        annotations=notes,
        **layout,
    )


def _colour_ends(values: np.ndarray, statistic: Statistic) -> tuple[float, float]:
    """Where the colours end: the worst tenth of the cells shares one, so that a single failed
    corner does not make all others look the same."""
    tail = 0.1 if statistic == "mean" else 0.9
    worst = float(np.nanquantile(values, tail))
    low, high = (worst, float(np.nanmax(values))) if statistic == "mean" else (0.0, worst)
    return low, high if high > low else low + 1.0


def _panel(
    grid: LossGrid,
    statistic: Statistic,
    scale: tuple[str, ...],
    ends: tuple[float, float],
    suffix: str,
    with_bar: bool,
    style: Style,
) -> list[dict[str, Any]]:
    values = getattr(grid, statistic)
    low, high = ends
    unit = "%" if statistic == "mean" else "points"
    mean = statistic == "mean"
    said = [f"≤ {number(low, 1)}", number(high, 1)] if mean else ["0", f"≥ {number(high, 1)}"]
    ticks: dict[str, Any] = {"tickvals": [low, high], "ticktext": [said[0], f"{said[1]} {unit}"]}
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    cells = [c for c in np.ndindex(values.shape) if np.isfinite(values[c])]
    trace = {
        "type": "heatmap",
        "name": escape(grid.title),
        "z": np.round(values, 3),
        "zmin": low,
        "zmax": high,
        "colorscale": colorscale(scale),
        "showscale": with_bar,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "text": _cell_texts(grid),
        "hovertemplate": "%{text}<extra></extra>",
        **axes,
    }
    if with_bar:
        trace["colorbar"] = colorbar(style, **ticks)
    numbers = {
        "type": "scatter",
        "mode": "text",
        "name": "numbers",
        "x": [j for _, j in cells],
        "y": [i for i, _ in cells],
        "text": [number(float(values[c]), 1 if statistic == "mean" else 2) for c in cells],
        "textfont": {
            "size": style.measures.ticks,
            "color": [
                text_on(interpolate(scale, (float(values[c]) - low) / (high - low))) for c in cells
            ],
        },
        "hoverinfo": "skip",
        **axes,
    }
    return [trace, numbers]


def _cell_texts(grid: LossGrid) -> list[list[str]]:
    return [
        [
            f"<b>{escape(grid.title)}</b><br>width {width:,}, {epochs:,} epochs<br>"
            f"test accuracy {number(float(grid.mean[i, j]), 2, ' %')}<br>"
            f"± {number(float(grid.sd[i, j]), 2)} points over {grid.seeds[i, j]} seeds"
            for j, epochs in enumerate(grid.epochs)
        ]
        for i, width in enumerate(grid.widths)
    ]


def _panel_axes(
    grid: LossGrid, suffix: str, x: list[float], y: list[float], left: bool, bottom: bool
) -> dict[str, Any]:
    plain = {"showgrid": False, "showline": False, "ticks": "", "tickmode": "array"}
    return {
        f"xaxis{suffix}": {
            **plain,
            "domain": x,
            "anchor": f"y{suffix}",
            "tickvals": list(range(len(grid.epochs))),
            "ticktext": [f"{e:,}" for e in grid.epochs],
            "showticklabels": bottom,
            "title": {"text": "epochs" if bottom else ""},
        },
        f"yaxis{suffix}": {
            **plain,
            "domain": y,
            "anchor": f"x{suffix}",
            "tickvals": list(range(len(grid.widths))),
            "ticktext": [f"{w:,}" for w in grid.widths],
            "showticklabels": left,
            "title": {"text": "width" if left else ""},
        },
    }


# --- in and out of distribution ----------------------------------------------------------------

IN_DISTRIBUTION = "own test images"


def shifted_accuracy(finals: Sequence[Final], style: Style) -> go.Figure:
    """Accuracy (%) of the finished networks on their own test images, on every shifted data set
    and on average over these: a row each, a mark a group, a line from worst to best seed."""
    rows = _rows(finals)
    if len(rows) < 2:
        return message("None of these runs was measured on shifted images.", style)
    groups = [f for f in finals if any(f.group.id in row for _, row in rows)]
    traces: list[dict[str, Any]] = []
    gap = 0.64 / max(1, len(groups))
    for g, one in enumerate(groups):
        offset = (g - (len(groups) - 1) / 2) * gap
        points = [(r, row[one.group.id]) for r, (_, row) in enumerate(rows) if one.group.id in row]
        means = [float(np.mean(v)) for _, v in points]
        spread = [(m - min(v), max(v) - m) for (_, v), m in zip(points, means, strict=True)]
        color = series_look(g, style)["color"]
        name = escape(one.group.title)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [round(m, 3) for m in means],
                "y": [r + offset for r, _ in points],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [round(high, 3) for _, high in spread],
                    "arrayminus": [round(low, 3) for low, _ in spread],
                    "color": color,
                    "thickness": 1.5,
                    "width": 0,
                },
                "text": [
                    f"<b>{name}</b><br>{escape(rows[r][0])}<br>accuracy {number(m, 2, ' %')}"
                    + (
                        f"<br>{len(v)} seeds: {number(min(v), 2)} to {number(max(v), 2, ' %')}"
                        if len(v) > 1
                        else ""
                    )
                    for (r, v), m in zip(points, means, strict=True)
                ],
                "marker": {
                    "size": 1.5 * style.measures.marker,
                    "color": color,
                    "symbol": SYMBOLS[g % len(SYMBOLS)],
                },
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    key = _key(groups, style)
    line = int(1.5 * style.measures.ticks)
    return figure(
        style,
        traces,
        height=max(style.measures.height, 60 + len(rows) * (22 + 11 * len(groups)) + key[1] * line),
        margin={"t": 14 + key[1] * line, "l": 8, "r": 12, "b": 8},
        annotations=[
            {
                "text": key[0],
                "xref": "paper",
                "x": 0,
                "xanchor": "left",
                "yref": "paper",
                "y": 1,
                "yanchor": "bottom",
                "yshift": 6,
                "align": "left",
            }
        ],
        xaxis={"title": {"text": "accuracy (%)"}, "showgrid": True, "nticks": 7},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(rows))),
            "ticktext": [escape(title) for title, _ in rows],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "ticks": "",
        },
    )


_GLYPHS = ("●", "■", "◆", "▲", "✚", "✖", "▼", "★", "⬟", "⬢")  # those of SYMBOLS


def _key(groups: Sequence[Final], style: Style) -> tuple[str, int]:
    """Which mark is which group, one a line; and the number of lines."""
    marks = [
        f'<span style="color:{series_look(i, style)["color"]}">{_GLYPHS[i % len(_GLYPHS)]}</span> '
        + escape(f.group.title)
        for i, f in enumerate(groups)
    ]
    return "<br>".join(marks), len(marks)


def _rows(finals: Sequence[Final]) -> list[tuple[str, dict[str, tuple[float, ...]]]]:
    """Title, and the accuracies in percent of every group that has them."""
    own = {f.group.id: f.test["accuracy"].values for f in finals if "accuracy" in f.test}
    rows = [(IN_DISTRIBUTION, own)] if own else []
    keys = dict.fromkeys(k for f in finals for k in f.results)
    single = [k for k in keys if k.startswith("accuracy ")]
    for key in [*single, *(k for k in keys if k == "shifted_accuracy")]:
        title = "mean of the shifted ones" if key == "shifted_accuracy" else _corruption(key)
        values = {
            f.group.id: tuple(100 * v for v in f.results[key].values)
            for f in finals
            if key in f.results
        }
        rows.append((title, values))
    return rows


def _corruption(key: str) -> str:
    """ "accuracy gaussian_noise-5" → "gaussian noise 5"."""
    return key.removeprefix("accuracy ").replace("_", " ").replace("-", " ")

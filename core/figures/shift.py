"""Figures of one network on several data sets: by layer, at the penultimate layer, by severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.pictures import picture_grid
from core.figures.series import Line, as_array, finish_series, line_traces, series_look
from core.figures.theme import (
    SYMBOLS,
    Style,
    escape,
    figure,
    layer_axis,
    log_axis,
    message,
    number,
    significant,
)
from core.results import NeuralCollapse
from core.shift import QUANTITIES, Profile
from core.shift.comparison import Key, Z, jackknife_error

MAX_LABEL = 22  # characters of a data set's name beside a line
LOG_FROM = 3.0  # largest over smallest value from which a log axis is drawn
WIDE = 10.0  # the same of the curve over severities
ROW = 76  # pixels of a row of dots
_MARKS = "●■◆▲"


@dataclass(frozen=True, slots=True)
class Shown:
    """A data set as figures name it."""

    label: str
    profile: Profile


def by_layer(shown: Sequence[Shown], style: Style, quantity: Key) -> go.Figure:
    """One line a data set over the layers of the first one, with its 95 % interval where the
    sampling error is known; a log axis over wide ranges. The axis follows the lines alone."""
    names = shown[0].profile.layers
    lines = [_line(one, names, quantity, i, style) for i, one in enumerate(shown)]
    values = np.concatenate([as_array(line.values) for line in lines])
    if not np.isfinite(values).any():
        return message(f"{QUANTITIES[quantity].noun} was not measured in any layer.", style)
    subjects, x = [escape(name) for name in names], np.arange(len(names))
    fig = figure(
        style,
        [t for line in lines for t in line_traces(line, x, subjects, style)],
        xaxis=layer_axis(names, style),
        yaxis={"title": {"text": QUANTITIES[quantity].title}, **_scale(values, quantity)},
    )
    finish_series(fig, lines, style)
    return fig


def _line(one: Shown, layers: Sequence[str], quantity: Key, i: int, style: Style) -> Line:
    """A profile's values at these layers, accuracies in percent."""
    profile, accuracy = one.profile, quantity == "ncc_accuracy"
    values = np.array(getattr(profile, quantity), dtype=np.float64)
    values[~(values > 0)] = np.nan
    if profile.deviations is None:
        low = high = np.full(len(values), np.nan)
    else:
        error = Z * jackknife_error(profile.deviations[list(QUANTITIES).index(quantity)])
        low, high = (values - error, values + error) if accuracy else (
            values * np.exp(-error), values * np.exp(error)
        )  # fmt: skip
    place = {name: k for k, name in enumerate(profile.layers)}
    factor = 100.0 if accuracy else 1.0
    found, below, above = (_at(column, place, layers, factor) for column in (values, low, high))

    def text(value: float | None) -> str:
        return number(value, 1, " %") if accuracy else significant(value)

    noun = QUANTITIES[quantity].title.removesuffix(" (%)")
    hover = [
        f"{_label(one)}<br>{noun} {text(v)}"
        + ("" if lo is None else f"<br>95 %: {text(lo)} to {text(hi)}")
        for v, lo, hi in zip(found, below, above, strict=True)
    ]
    look = series_look(i, style)
    return Line(_label(one), found, below, above, hover, look["color"], look["dash"], SYMBOLS[i])


def _at(
    values: np.ndarray, place: dict[str, int], layers: Sequence[str], factor: float
) -> list[float | None]:
    """``values`` at these layers; None where there is none."""
    found = [values[place[name]] if name in place else np.nan for name in layers]
    return [factor * float(v) if np.isfinite(v) else None for v in found]


def _scale(values: np.ndarray, quantity: Key) -> dict[str, Any]:
    if quantity == "ncc_accuracy":
        return {"range": [0, 103], "nticks": 6}
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if high < LOG_FROM * low:
        return {"range": [0, 1.1 * high]}
    margin = 0.06 * np.log10(high / low)
    return {"range": [np.log10(low) - margin, np.log10(high) + margin], **log_axis(values)}


def _label(one: Shown) -> str:
    text = one.label
    return escape(text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…")


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    title: str
    decimals: int
    factor: float = 1.0
    unit: str = ""


_ROWS = (
    _Row("accuracy", "accuracy", 1, 100.0, " %"),
    _Row("nc1", "NC1", 3),
    _Row("cdnv", "CDNV", 3),
    _Row("nc2_means", "NC2, means", 3),
    _Row("nc3", "NC3", 3),
    _Row("nc4", "NC4", 1, 100.0, " %"),
    _Row("equinorm_means", "equinorm spread", 3),
)


def penultimate(shown: Sequence[Shown], style: Style) -> go.Figure:
    """A row of dots for accuracy and for each penultimate metric, every row on a scale of its own
    from zero; the dots of a row are the data sets."""
    rows = [row for row in _ROWS if any(_metric(s, row) is not None for s in shown)]
    if not rows:
        return message("No penultimate layer was found, and no accuracy.", style)
    names = [_label(s) for s in shown]
    traces, layout, notes = [], {}, []
    height = ROW * style.measures.ticks / 12
    gap = 0.55 / len(rows)
    for r, row in enumerate(rows):
        top = 1 - r / len(rows)
        suffix = "" if r == 0 else str(r + 1)
        values = [_metric(s, row) for s in shown]
        largest = max((v for v in values if v is not None), default=0.0) or 1.0
        for i, (name, value) in enumerate(zip(names, values, strict=True)):
            hover = f"<b>{name}</b><br>{row.title} {number(value, row.decimals, row.unit)}"
            traces.append(_dot(i, name, value, hover, suffix, style))
        layout[f"xaxis{suffix}"] = {
            "range": [-0.03 * largest, 1.06 * largest],
            "anchor": f"y{suffix}",
            "nticks": 6,
            "ticksuffix": row.unit,
        }
        domain = [top - 1 / len(rows) + gap, top]
        layout[f"yaxis{suffix}"] = {
            "domain": domain,
            "range": [-1, 1],
            "showgrid": False,
            "showticklabels": False,
            "ticks": "",
            "showline": False,
            "anchor": f"x{suffix}",
        }
        notes.append(
            {
                "text": row.title,
                "xref": "paper",
                "x": 0,
                "xanchor": "right",
                "xshift": -8,
                "yref": "paper",
                "y": (domain[0] + domain[1]) / 2,
                "yanchor": "middle",
            }
        )
    key, line = _key(names, style), int(1.5 * style.measures.ticks)
    above = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1}
    notes.append({"text": key, **above, "yanchor": "bottom", "yshift": 4, "align": "left"})
    left = int(16 + 0.56 * style.measures.ticks * max(len(row.title) for row in rows))
    return figure(
        style,
        traces,
        **layout,
        annotations=notes,
        height=max(style.measures.height, int(height * len(rows) + 40)),
        margin={"l": left, "t": 12 + key.count("<br>") * line + line},
    )


def _key(names: Sequence[str], style: Style) -> str:
    """Which mark is which data set, two a line: more than a legend has room for."""
    marks = [
        f'<span style="color:{series_look(i, style)["color"]}">{_MARKS[i]}</span> {name}'
        for i, name in enumerate(names)
    ]
    lines = [" &nbsp; ".join(marks[i : i + 2]) for i in range(0, len(marks), 2)]
    return "<br>".join(lines)


def _metric(one: Shown, row: _Row) -> float | None:
    collapse = one.profile.penultimate or NeuralCollapse()
    value = one.profile.accuracy if row.key == "accuracy" else getattr(collapse, row.key)
    return None if value is None else row.factor * value


def _dot(
    i: int, name: str, value: float | None, hover: str, suffix: str, style: Style
) -> dict[str, Any]:
    color = series_look(i, style)["color"]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [value],
        "y": [0.0],
        "text": [hover],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "size": 1.8 * style.measures.marker,
            "color": color,
            "symbol": SYMBOLS[i],
            "opacity": 0.9,
            "line": {"color": style.palette.background, "width": 1},
        },
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
    }


def severity(profiles: Sequence[Profile | None], style: Style) -> go.Figure:
    """Accuracy (%) above penultimate NC1, at severities 0 (clean) to 5; None: not measured."""
    accuracy = [None if p is None or p.accuracy is None else 100 * p.accuracy for p in profiles]
    nc1 = [None if p is None or p.penultimate is None else p.penultimate.nc1 for p in profiles]
    known = as_array([v for v in nc1 if v])
    if not len(known) and not any(v is not None for v in accuracy):
        return message("No severity was measured.", style)
    lines = (
        Line("accuracy", accuracy, hover=[f"accuracy {number(v, 1, ' %')}" for v in accuracy]),
        Line(
            "NC1",
            nc1,
            hover=[f"NC1 {significant(v)}" for v in nc1],
            color=style.palette.classes[1],
            symbols="square",
        ),
    )
    x = np.arange(len(profiles))
    subjects = ["clean", *(f"severity {s}" for s in x[1:])]
    ticks = {"tickmode": "array", "tickvals": x.tolist(), "range": [-0.3, len(x) - 0.7]}
    ticktext = ["clean", *map(str, x[1:].tolist())]
    wide = len(known) > 0 and known.max() >= WIDE * known.min()
    below = log_axis(known) if wide else {"rangemode": "tozero", "nticks": 5}
    return figure(
        style,
        [
            t
            for line, axis in zip(lines, ("", "2"), strict=True)
            for t in line_traces(line, x, subjects, style, axis)
        ],
        xaxis={**ticks, "ticktext": ticktext, "showticklabels": False, "anchor": "y"},
        xaxis2={**ticks, "ticktext": ticktext, "title": {"text": "severity"}, "anchor": "y2"},
        yaxis={
            "title": {"text": "accuracy (%)"},
            "domain": [0.56, 1],
            "range": [0, 103],
            "nticks": 5,
        },
        yaxis2={"title": {"text": "NC1"}, "domain": [0, 0.44], "showgrid": True, **below},
    )


def examples(png: bytes, class_names: Sequence[str], corruption: str, style: Style) -> go.Figure:
    """The picture of ``core.shift.examples``: a row an image, clean to severity 5; its class and
    severity on hover."""
    columns = ["clean", "1", "2", "3", "4", "5"]
    hover = [
        [
            f"<b>{escape(name)}</b><br>" + (f"{escape(corruption)}, severity {c}" if c else "clean")
            for c in range(len(columns))
        ]
        for name in class_names
    ]
    return picture_grid(png, hover, columns, None, style)

"""Figures of classifier economy: what is trained in three ways, shares by K, all networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.economy.counts import Curve, Economy, Network
from core.figures.labels import name_labels
from core.figures.theme import (
    MINUS,
    Style,
    escape,
    figure,
    log_axis,
    number,
    reference_x,
    translucent,
)

ROWS = ("learned", "fixed ETF", "ETF, d = K")
PARTS = ("rest of the body", "layers narrowed", "classifier")
_NOT_TRAINED = 0.22  # opacity
_GAPS = 8.0  # per cent of the saved share that the axis leaves free above the curves


def unit_of(parameters: int) -> tuple[float, str]:
    """What to count parameters in: millions, or thousands of small networks."""
    return (1e6, "millions") if parameters >= 1_000_000 else (1e3, "thousands")


def short_count(parameters: int) -> str:
    """ "25.6 M" or "269.7 k"."""
    size, unit = unit_of(parameters)
    return number(
        parameters / size,
        1 if parameters >= 10 * size else 2,
        f" {unit[0].upper()}" if unit == "millions" else " k",
    )


def percent(share: float | None) -> str:
    """A share as "8.0 %"; two decimals below one per cent."""
    if share is None:
        return "n/a"
    return number(100 * share, 1 if abs(share) >= 0.00995 else 2, " %")


def three_ways(network: Network, found: Economy, style: Style) -> go.Figure:
    """Bars of the parameters with a learned classifier, a fixed ETF, and an ETF with d = K.

    Pale is what need not be trained any more. A row without bars is undefined.
    """
    palette = style.palette
    size, unit = unit_of(found.learned)
    changed = 0 if network.narrow_base is None else network.body - network.narrow_base
    if found.narrowed is None:
        changed = 0
    rest = found.learned - found.classifier - changed
    whole = (rest, changed, found.classifier)
    rows: list[tuple[int, ...] | None] = [whole, None, None]
    if found.fixed is not None:
        rows[1] = (rest, changed, found.bias)
    if found.narrowed is not None:
        rows[2] = (rest, found.narrowed - rest - found.bias, found.bias)
    colors = (palette.bars, palette.runs[1], palette.accent)
    traces = []
    for part, color in enumerate(colors):
        traces.append(
            _bars(part, [None if r is None else r[part] for r in rows], color, found, size)
        )
    traces += _spared(rows, found, colors, size)
    trained = (found.learned, found.fixed, found.narrowed)
    end = max(t for t in trained if t is not None) / size
    fig = figure(
        style,
        traces,
        barmode="stack",
        bargap=0.45,
        showlegend=True,
        legend={"traceorder": "normal"},
        margin={"b": 30 if style.size != "presentation" else 44},
        yaxis={"range": [2.4, -0.75], "visible": False},
        xaxis={
            "title": {"text": f"parameters ({unit})"},
            "range": [0, 1.01 * end],
            "showgrid": True,
            "nticks": 6,
        },
    )
    for row, (name, count) in enumerate(zip(ROWS, trained, strict=True)):
        text = "not possible"
        if count is not None:
            saved = "" if row == 0 else f", {_change(1 - count / found.learned)}"
            text = f"{short_count(count)} trained{saved}"
        fig.add_annotation(
            x=0, y=row - 0.3, text=f"<b>{name}</b>: {text}", xanchor="left", yanchor="bottom"
        )
    return fig


def _change(saved: float) -> str:
    """ "−8.0 %" for a share saved of 0.08, "+1.2 %" where it costs."""
    sign = MINUS if saved >= 0 else "+"
    return f"{sign}{percent(abs(saved))}"


def _bars(
    part: int, values: Sequence[int | None], color: str, found: Economy, size: float
) -> dict[str, Any]:
    texts = []
    for row, value in zip(ROWS, values, strict=True):
        share = None if value is None else value / found.learned
        texts.append(
            f"<b>{row}: {PARTS[part]}</b><br>{0 if value is None else value:,} trained"
            f"<br>{percent(share)} of all parameters"
        )
    return {
        "type": "bar",
        "orientation": "h",
        "name": PARTS[part],
        "y": [0, 1, 2],
        "x": [None if v is None else v / size for v in values],
        "marker": {"color": color},
        "text": texts,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": any(values),
    }


def _spared(
    rows: Sequence[tuple[int, ...] | None], found: Economy, colors: Sequence[str], size: float
) -> list[dict[str, Any]]:
    """The pale ends of the bars: what the classifier, and what the last block saves."""
    whole = rows[0]
    assert whole is not None
    traces = []
    gone = 0
    for part in (1, 2):
        less = [0 if r is None else max(0, whole[part] - r[part]) for r in rows]
        if part == 2 and found.narrowed is not None:  # the bar ends where the learned one ends
            less[2] = max(0, min(less[2], found.learned - found.narrowed - gone))
        gone = less[2]
        if not any(less):
            continue
        what = "gone with d = K" if part == 1 else "fixed, not trained"
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": f"{PARTS[part]}, spared",
                "y": [0, 1, 2],
                "x": [v / size if v else None for v in less],
                "marker": {
                    "color": translucent(colors[part], _NOT_TRAINED),
                    "line": {"color": colors[part], "width": 1},
                },
                "text": [
                    f"<b>{PARTS[part]}: {what}</b><br>{v:,}<br>"
                    f"{percent(v / found.learned)} of all parameters"
                    for v in less
                ],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
                "showlegend": False,
            }
        )
    return traces


def over_classes(network: Network, found: Curve, chosen: Economy, style: Style) -> go.Figure:
    """Share of parameters that need no training (%) against K; no line where undefined."""
    palette, measures = style.palette, style.measures
    beyond = np.where(np.isfinite(found.fixed), np.nan, found.weights)
    # joined to the line before it
    joint = np.flatnonzero(np.isfinite(found.fixed))
    if len(joint):
        beyond[joint[-1]] = found.weights[joint[-1]]
    lines: tuple[tuple[str, np.ndarray, str, str], ...] = (
        ("fixed ETF", found.fixed, palette.accent, "solid"),
        ("ETF, d = K", found.narrowed, palette.runs[1], "dash"),
        ("W, but no ETF fits", beyond, palette.muted, "dot"),
    )
    if network.not_fixed:
        lines = (("weights of the classifier", found.weights, palette.muted, "dot"),)
    traces: list[dict[str, Any]] = []
    for name, values, color, dash in lines:
        if not np.isfinite(values).any():
            continue
        shares = 100 * values
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": found.classes,
                "y": [float(v) if np.isfinite(v) else None for v in shares],
                "line": {"color": color, "width": measures.line, "dash": dash},
                "text": [
                    f"<b>{int(k):,} classes</b><br>{name} {number(float(v), 1, ' %')}"
                    for k, v in zip(found.classes, shares, strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    points = [
        ("fixed ETF", chosen.share_saved("fixed"), palette.accent),
        ("ETF, d = K", chosen.share_saved("narrowed"), palette.runs[1]),
    ]
    if chosen.fixed is None:
        points = [("W, but no ETF fits", chosen.weights / chosen.learned, palette.muted)]
    here = [(n, s, c) for n, s, c in points if s is not None]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chosen",
            "x": [chosen.classes] * len(here),
            "y": [100 * s for _, s, _ in here],
            "marker": {
                "size": 1.6 * measures.marker,
                "color": [c for *_, c in here],
                "line": {"color": palette.background, "width": 1.5},
            },
            "text": [
                f"<b>{chosen.classes:,} classes, chosen</b><br>{n} {percent(s)}" for n, s, _ in here
            ],
            "hovertemplate": "%{text}<extra></extra>",
            "showlegend": False,
        }
    )
    known = np.concatenate([[0.0], found.narrowed[np.isfinite(found.narrowed)]])
    low = 100 * float(known.min())
    fig = figure(
        style,
        traces,
        showlegend=True,
        margin={"b": 30 if style.size != "presentation" else 44},
        xaxis=log_axis(found.classes.astype(np.float64))
        | {
            "title": {"text": "classes K"},
            "range": [np.log10(2), np.log10(found.classes[-1])],
        },
        yaxis={
            "title": {"text": "of all parameters (%)"},
            "range": [min(0.0, low - 2), 100 + _GAPS],
            "tickvals": [0, 20, 40, 60, 80, 100],
        },
    )
    if not network.not_fixed:
        limit = float(np.log10(network.dim + 1))
        label = f"K = d + 1 = {network.dim + 1:,}"
        middle = 0.5 * (np.log10(2) + np.log10(found.classes[-1]))
        reference_x(fig, network.dim + 1, label, style)
        fig.layout.annotations[-1].x = limit  # annotations of a log axis are placed by exponent
        fig.layout.annotations[-1].xanchor = "right" if limit > middle + 1 else "center"
    return fig


def across(
    pairs: Sequence[tuple[Network, Economy]],
    style: Style,
    selected: str,
    named: Sequence[str] = (),
) -> go.Figure:
    """Share of the classifier (%) against parameters of all networks with the same K.

    ``named`` are labelled, the selected one too; open symbols where no simplex ETF fits.
    """
    palette, measures = style.palette, style.measures
    x = np.array([e.learned for _, e in pairs], dtype=np.float64)
    y = 100 * np.array([e.classifier_share for _, e in pairs])
    fits = np.array([e.fixed is not None for _, e in pairs])
    traces: list[dict[str, Any]] = []
    for name, mask, symbol in (
        ("simplex ETF fits", fits, "circle"),
        ("it does not", ~fits, "circle-open"),
    ):
        rows = np.flatnonzero(mask).tolist()
        if len(rows):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": x[rows],
                    "y": y[rows],
                    "marker": {"symbol": symbol, "size": measures.marker, "color": palette.accent},
                    "opacity": 0.75,
                    "text": [_about(*pairs[i]) for i in rows],
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )
    here = [i for i, (n, _) in enumerate(pairs) if n.name == selected]
    if here:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "chosen",
                "x": x[here],
                "y": y[here],
                "marker": {
                    "symbol": "circle" if fits[here[0]] else "circle-open",
                    "size": 1.8 * measures.marker,
                    "color": palette.runs[1],
                    "line": {"color": palette.runs[1], "width": 2},
                },
                "text": [_about(*pairs[here[0]])],
                "hovertemplate": "%{text}<extra></extra>",
                "showlegend": False,
            }
        )
    height = style.measures.height
    ranges = [_log_range(x, 0.06), _log_range(y, 0.1)]
    labelled = [i for i, (n, _) in enumerate(pairs) if n.name in named or i in here]
    bounds = (0.62 * measures.width, height - 90.0)  # in a column of a page of two
    pixels = np.column_stack(
        [
            (np.log10(x) - ranges[0][0]) / (ranges[0][1] - ranges[0][0]) * bounds[0],
            (ranges[1][1] - np.log10(y)) / (ranges[1][1] - ranges[1][0]) * bounds[1],
        ]
    )
    notes = name_labels(
        [pairs[i][0].title for i in labelled], pixels[labelled], bounds, style, 8, pixels
    )
    for i, note in zip(labelled, notes, strict=True):
        note |= {"x": float(np.log10(x[i])), "y": float(np.log10(y[i]))}
    return figure(
        style,
        traces,
        showlegend=len(traces) > 1,
        margin={"b": 30 if style.size != "presentation" else 44},
        annotations=notes,
        xaxis=log_axis(x) | _counts_axis(ranges[0]) | {"title": {"text": "parameters"}},
        yaxis=log_axis(y) | {"range": ranges[1], "title": {"text": "in the classifier (%)"}},
    )


def _log_range(values: np.ndarray, room: float) -> list[float]:
    low, high = float(np.log10(values.min())), float(np.log10(values.max()))
    edge = room * max(high - low, 0.5)
    return [low - edge, high + edge]


def _counts_axis(log_range: list[float]) -> dict[str, Any]:
    """Ticks "1 M", "10 M" at the powers of ten."""
    powers = range(int(np.ceil(log_range[0])), int(np.floor(log_range[1])) + 1)
    words = {3: "1 k", 4: "10 k", 5: "100 k", 6: "1 M", 7: "10 M", 8: "100 M", 9: "1 G"}
    ticks = [p for p in powers if p in words]
    return {
        "type": "log",
        "tickmode": "array",
        "tickvals": [10.0**p for p in ticks],
        "ticktext": [words[p] for p in ticks],
        "range": log_range,
    }


def _about(network: Network, found: Economy) -> str:
    lines = [
        f"<b>{escape(network.title)}</b>",
        f"{found.learned:,} parameters, d = {network.dim:,}",
        f"classifier {percent(found.classifier_share)}",
        f"fixed ETF saves {percent(found.share_saved('fixed'))}",
        f"with d = K {percent(found.share_saved('narrowed'))}",
    ]
    return "<br>".join(lines)

"""A run over its epochs: the axis of epochs, the quantities drawn over it, and layer × epoch heat
maps. The animated view is in ``core.figures.dynamics_player``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.dynamics.results import Dynamics
from core.figures.theme import (
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    layer_labels,
    message,
    number,
    power_of_ten,
    significant,
)

Map = Literal["nc1", "nonzero_fraction", "twonn"]

ZERO_ERROR = "zero error"
_TICKS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
_MOST_ROWS = 24  # layers that get a label each
_ROW = 17  # pixels of a layer, at least, while all have labels


@dataclass(frozen=True, slots=True)
class Split:
    """A run on one of its data sets, as figures name it."""

    label: str  # "train", "test", or the data set's title
    dynamics: Dynamics


# --- the axis of epochs ------------------------------------------------------------------------


def place(epochs: np.ndarray | float) -> np.ndarray:
    """Where epochs stand on the axis: log10(1 + epoch), so that epoch 0 has a place of its own."""
    return np.log10(1.0 + np.asarray(epochs, dtype=np.float64))


def epoch_axis(epochs: np.ndarray, ticks: int = 5) -> dict[str, Any]:
    """An axis of ``place(epochs)``, labelled with the epochs themselves: 0, 1, 10, 100 …"""
    first, last = float(np.min(epochs)), float(np.max(epochs))
    shown = [t for t in _TICKS if first <= t <= last]
    if len(shown) > ticks:
        shown = [t for t in shown if not str(t).startswith("3")]
    if len(shown) < 2:
        shown = sorted({int(first), int(last)})
    low, high = float(place(first)), float(place(last))
    margin = 0.04 * (high - low) or 0.1
    return {
        "tickmode": "array",
        "tickvals": place(np.array(shown)).round(4).tolist(),
        "ticktext": [f"{t:,}" for t in shown],
        "range": [round(low - margin, 4), round(high + margin, 4)],
    }


# --- layer × epoch -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Look:
    title: str  # of the colour bar
    noun: str  # in the hover
    factor: float = 1.0
    log: bool = False


MAPS: dict[str, _Look] = {
    "nc1": _Look("NC1", "NC1", log=True),
    "nonzero_fraction": _Look("non-zeros (%)", "non-zeros", factor=100.0),
    "twonn": _Look("TwoNN dimension", "TwoNN dimension"),
}


def layer_by_epoch(
    dynamics: Dynamics,
    style: Style,
    quantity: Map,
    selected: str | None = None,
    terminal: int | None = None,
) -> go.Figure:
    """A cell for every layer (input below, output on top) and checkpoint (from left to right).

    NC1 has a logarithmic colour. Layers without a value (no output of an activation function, for
    non-zeros) are left out. ``selected`` is framed; the line at ``terminal`` stands before the
    first checkpoint of the terminal phase.
    """
    look = MAPS[quantity]
    values = look.factor * np.asarray(dynamics.layer_values[quantity], dtype=np.float64)  # (L, E)
    if look.log:
        values = np.where(values > 0, values, np.nan)
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    if not len(rows):
        return message(f"{look.noun} was not measured in any layer.", style)
    values = values[rows]
    names = [dynamics.layers[i].name for i in rows]
    shown = np.log10(values) if look.log else values
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    low = low if look.log else 0.0
    trace = {
        "type": "heatmap",
        "name": look.noun,
        "z": np.round(shown, 4),
        "zmin": low,
        "zmax": high if high > low else low + 1.0,
        "colorscale": colorscale(style.palette.sequential),
        "colorbar": _bar(look, low, high, style),
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "text": _cells(dynamics, names, values, look),
        "hovertemplate": "%{text}<extra></extra>",
    }
    fig = figure(
        style,
        [trace],
        height=_height(len(names), style),
        margin={"t": 24 if terminal is not None else 12, "b": colorbar_room(style)},
        xaxis=_checkpoints(dynamics.epochs, style),
        yaxis=_layers(names, selected, style),
    )
    if selected is not None and selected in names:
        _frame(fig, names.index(selected), len(dynamics.epochs), style)
    _terminal_before(fig, dynamics.epochs, terminal, style)
    return fig


def _height(rows: int, style: Style) -> int:
    """High enough for a label at every layer, within reason."""
    room = 90 + colorbar_room(style)
    return max(style.measures.height, min(rows, _MOST_ROWS) * _ROW + room)


def _cells(
    dynamics: Dynamics, names: Sequence[str], values: np.ndarray, look: _Look
) -> list[list[str]]:
    """What the hover says, (L, E)."""
    unit = " %" if look.factor == 100 else ""

    def said(value: float) -> str:
        return significant(value) if look.log else number(value, 1, unit)

    return [
        [
            f"<b>{escape(name)}</b><br>epoch {epoch:,}<br>{look.noun} {said(value)}"
            for epoch, value in zip(dynamics.epochs.tolist(), row.tolist(), strict=True)
        ]
        for name, row in zip(names, values, strict=True)
    ]


def _bar(look: _Look, low: float, high: float, style: Style) -> dict[str, Any]:
    """The colour bar below; for a log colour its ticks are powers of ten."""
    settings: dict[str, Any] = {"nticks": 5}
    if look.log:
        powers = np.arange(np.ceil(low), np.floor(high) + 1)
        powers = powers[:: max(1, -(-len(powers) // 5))]
        if len(powers) >= 2:
            texts = [power_of_ten(int(p)) for p in powers]
            settings = {"tickvals": powers.tolist(), "ticktext": texts}
        else:
            ends = [low, (low + high) / 2, high]
            settings = {"tickvals": ends, "ticktext": [significant(10**v, 2) for v in ends]}
    return colorbar(style, below=True, **settings)


def _checkpoints(epochs: np.ndarray, style: Style) -> dict[str, Any]:
    """One place a checkpoint, labelled with its epoch as space allows."""
    count = len(epochs)
    width = 0.68 * style.measures.width
    longest = max(len(f"{e:,}") for e in epochs.tolist())
    fits = max(2, int(width / ((0.62 * longest + 0.8) * style.measures.ticks)))
    step = max(1, -(-count // fits))
    ticks = list(range(count - 1, -1, -step))[::-1]  # the last one always
    return {
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [f"{epochs[i]:,}" for i in ticks],
        "range": [-0.5, count - 0.5],
        "title": {"text": "epoch of the checkpoint"},
        "showline": False,
        "ticks": "",
        "tickangle": 0,
    }


def _layers(names: Sequence[str], selected: str | None, style: Style) -> dict[str, Any]:
    labels = [escape(label) for label in layer_labels(names)]
    step = max(1, -(-len(names) // _MOST_ROWS))
    ticks = list(range(0, len(names), step))
    if selected is not None and selected in names:
        chosen = list(names).index(selected)
        labels[chosen] = f"<b>{labels[chosen]}</b>"
        near = min(ticks, key=lambda i: abs(i - chosen))
        ticks[ticks.index(near)] = chosen
    return {
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [labels[i] for i in ticks],
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
        "showline": False,
        "ticks": "",
        "ticklabelstandoff": 2,
    }


def _frame(fig: go.Figure, row: int, columns: int, style: Style) -> None:
    fig.add_shape(
        type="rect",
        **{"x0": -0.5, "x1": columns - 0.5, "y0": row - 0.5, "y1": row + 0.5},
        line={"color": style.palette.accent, "width": 2},
    )


def _terminal_before(
    fig: go.Figure, epochs: np.ndarray, terminal: int | None, style: Style
) -> None:
    """A line between the last checkpoint before the terminal phase and the first one in it."""
    if terminal is None:
        return
    x = float(np.searchsorted(epochs, terminal)) - 0.5
    line = {"color": style.palette.ink, "width": 1.5}
    fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line=line)
    right = x < 0.6 * len(epochs)
    fig.add_annotation(
        x=x,
        y=1,
        yref="paper",
        yanchor="bottom",
        xanchor="left" if right else "right",
        text=f"{ZERO_ERROR} at epoch {terminal:,}",
    )

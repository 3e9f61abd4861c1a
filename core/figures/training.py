"""Loss and accuracy of a training over its epochs, drawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures.dynamics import ZERO_ERROR, epoch_axis, place
from core.figures.series import Line, finish_series, line_traces, series_look
from core.figures.theme import (
    Style,
    figure,
    log_axis,
    message,
    number,
    reference_x,
    significant,
)

History = Mapping[str, Sequence[float]]
MOST_POINTS = 300
_SPLITS = (("train", "solid"), ("test", "dash"))


def losses(history: History, style: Style, terminal: int | None = None) -> go.Figure:
    """Mean loss on the training and the test data, on log axes; ``terminal`` is the epoch from
    which on the training error is zero."""
    lines = _lines(history, "loss", style)
    if not lines:
        return message("No loss was recorded yet.", style)
    everything = np.concatenate([np.asarray(line.values, dtype=np.float64) for line in lines])
    axis = {"title": {"text": "loss"}, **log_axis(everything)}
    return _over_epochs(history, lines, axis, style, terminal)


def errors(history: History, style: Style, terminal: int | None = None) -> go.Figure:
    """Share of samples that are classified wrongly (%), on the training and the test data."""
    lines = _lines(history, "accuracy", style)
    if not lines:
        return message("No accuracy was recorded yet.", style)
    highest = max(v for line in lines for v in line.values if v is not None and np.isfinite(v))
    axis = {
        "title": {"text": "error (%)"},
        "range": [-0.03 * highest, 1.05 * (highest or 1.0)],
        "nticks": 6,
    }
    return _over_epochs(history, lines, axis, style, terminal)


def _lines(history: History, what: str, style: Style) -> list[Line]:
    keep = _kept(_epochs(history))
    lines = []
    for i, (split, dash) in enumerate(_SPLITS):
        column = history.get(f"{split}_{what}")
        if column is None or not np.isfinite(np.asarray(column, dtype=np.float64)).any():
            continue
        values = np.asarray(column, dtype=np.float64)[keep[keep < len(column)]]
        values = 100 * (1 - values) if what == "accuracy" else values
        texts = [
            f"{split} error {number(v, 1)} %" if what == "accuracy" else f"{split} loss {shown}"
            for v, shown in zip(values, map(significant, values), strict=True)
        ]
        color = series_look(i, style)["color"]
        lines.append(Line(split, values.tolist(), hover=texts, color=color, dash=dash))
    return lines


def _over_epochs(
    history: History,
    lines: list[Line],
    yaxis: dict[str, object],
    style: Style,
    terminal: int | None,
) -> go.Figure:
    epochs = _epochs(history)
    epochs = epochs[_kept(epochs)]
    traces = []
    for line in lines:
        count = min(len(epochs), len(line.values))
        named = [f"epoch {int(e):,}" for e in epochs[:count]]
        (trace,) = line_traces(line, place(epochs[:count]), named, style)
        traces.append(trace | {"mode": "lines" if count > 1 else "markers"})
    fig = figure(
        style,
        traces,
        xaxis={**epoch_axis(epochs), "title": {"text": "epoch"}},
        yaxis=yaxis,
    )
    if terminal is not None:
        shift = float(place(terminal))
        late = shift > 0.6 * float(place(epochs[-1]))
        label = f"{ZERO_ERROR}: {terminal:,}"
        reference_x(fig, shift, label, style, "right" if late else "left")
    finish_series(fig, lines, style)
    return fig


def _epochs(history: History) -> np.ndarray:
    longest = max((len(column) for column in history.values()), default=0)
    return np.asarray(history.get("epoch", range(longest)), dtype=np.float64)


def _kept(epochs: np.ndarray) -> np.ndarray:
    """Positions of at most MOST_POINTS epochs, evenly spaced on the axis; the last one is kept."""
    if len(epochs) <= MOST_POINTS:
        return np.arange(len(epochs))
    at = place(epochs)
    wanted = np.linspace(at[0], at[-1], MOST_POINTS)
    return np.unique(np.clip(np.searchsorted(at, wanted), 0, len(at) - 1))

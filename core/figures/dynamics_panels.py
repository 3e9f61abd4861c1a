"""Panels of the film of a training: one quantity over the epochs each, with a cursor that moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.dynamics.results import Dynamics
from core.figures.dynamics import ZERO_ERROR, Split, epoch_axis, place
from core.figures.theme import (
    MINUS,
    Style,
    escape,
    log_axis,
    number,
    significant,
    theory_line,
    translucent,
    wrap,
)
from core.metrics.geometry import simplex_cosine

Trace = dict[str, Any]

LEFT, RIGHT = 0.425, 1.0  # of the panels, as shares of the figure's width
GAPS = (0.05, 0.125)  # between them, as shares of width and height
COLUMNS = 3
LABEL = (0.38, 0.17)  # width and height of a label, as shares of a panel
LEAST_SPAN = 0.1  # of an axis of cosines: their mean hardly moves, and should look so
CLEAR = "rgba(0,0,0,0)"


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity over the epochs."""

    key: str  # of Dynamics.of
    title: str
    factor: float = 1.0
    unit: str = ""
    log: bool = False


PANELS = (
    Panel("accuracy", "accuracy", 100.0, " %"),
    Panel("nc1", "NC1", log=True),
    Panel("nc2_means", "NC2"),
    Panel("nc3", "NC3"),
    Panel("nc4", "NC4", 100.0, " %"),
    Panel("cosine_std", "cosine std"),
    Panel("cosine_mean", "cosine mean"),
    Panel("twonn", "dimension"),
    Panel("nonzero_fraction", "non-zeros", 100.0, " %"),
)


@dataclass(slots=True)
class Stage:
    """The figure while it is put together."""

    splits: Sequence[Split]
    shown: Dynamics  # whose geometry is drawn, and whose checkpoints are frames
    frames: np.ndarray  # (F,) rows of ``shown``
    terminal: int | None  # first epoch of the terminal phase
    style: Style
    still: list[Trace] = field(default_factory=list)  # traces that all frames share
    # traces that move: what stays of each, and what changes, frame by frame
    moving: list[tuple[Trace, list[Trace]]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=lambda: {"shapes": [], "annotations": []})

    @property
    def epochs(self) -> list[int]:
        """Of the frames."""
        return [int(e) for e in self.shown.epochs[self.frames]]

    @property
    def small(self) -> int:
        """Pixels of the text above panels: it must not grow with the type of a presentation."""
        return min(self.style.measures.ticks, 14)

    def title(self, x: float, y: float, text: str) -> None:
        """A panel's title, above its left end. ``text`` is escaped."""
        above = {"xanchor": "left", "yanchor": "bottom", "yshift": -3}
        place_ = {"x": x, "y": y, "xref": "paper", "yref": "paper"}
        look = {"text": f"<b>{text}</b>", "font": {"size": self.small}}
        self.layout["annotations"].append({**look, **place_, **above})

    def reference(self, suffix: str, value: float, label: str, below: bool = False) -> None:
        """Theory: a dashed line across the panel with these axes, its value at the left end."""
        across = {"x0": 0, "x1": 1, "xref": f"x{suffix} domain", "yref": f"y{suffix}"}
        line = {"type": "line", "y0": value, "y1": value, "line": theory_line(self.style)}
        self.layout["shapes"].append({**line, **across})
        self.layout["annotations"].append(
            {
                "text": label,
                **{"x": 0, "xref": f"x{suffix} domain", "xanchor": "left", "xshift": 2},
                **{"y": value, "yref": f"y{suffix}", "yanchor": "top" if below else "bottom"},
                "bgcolor": translucent(self.style.palette.background, 0.7),
                "borderpad": 0,
            }
        )

    def color(self, split: int) -> str:
        """Of the curves of one of ``splits``."""
        palette = self.style.palette
        return palette.accent if split == 0 else palette.classes[split]


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where a panel is, and what its axes span."""

    panel: Panel
    suffix: str
    columns: Sequence[np.ndarray]  # one (E,) a split, in the panel's units
    ends: tuple[float, float]  # of the y axis; logarithms on a log axis
    epochs: np.ndarray  # of all splits

    @property
    def names(self) -> dict[str, str]:
        return {"xaxis": f"x{self.suffix}", "yaxis": f"y{self.suffix}"}

    def value(self, end: float) -> float:
        """The value at a place on the y axis."""
        return 10.0**end if self.panel.log else end

    def share_x(self, x: np.ndarray | float) -> np.ndarray:
        """Places on the axis of epochs as shares of the panel's width."""
        low, high = epoch_axis(self.epochs)["range"]
        return (np.asarray(x) - low) / (high - low)

    def share_y(self, values: np.ndarray) -> np.ndarray:
        low, high = self.ends
        return ((np.log10(values) if self.panel.log else values) - low) / (high - low)

    def at(self, stage: Stage, epoch: int) -> list[float]:
        """The value of every split at that epoch; NaN where it has no checkpoint there."""
        found = []
        for split, column in zip(stage.splits, self.columns, strict=True):
            rows = np.flatnonzero(split.dynamics.epochs == epoch)
            found.append(float(column[rows[0]]) if len(rows) else np.nan)
        return found


def add_panel(stage: Stage, index: int, panel: Panel) -> None:
    """The curves of one quantity, its reference, its cursor and the values under the cursor."""
    suffix = str(index + 4)  # after the axes of the geometry
    epochs = np.concatenate([s.dynamics.epochs for s in stage.splits])
    columns = [_column(s.dynamics, panel) for s in stage.splits]
    values = np.concatenate(columns)
    left, bottom, width, height = _rectangle(index)
    stage.title(left, bottom + height, panel.title)
    stage.layout[f"xaxis{suffix}"] = {
        **epoch_axis(epochs, ticks=4),
        "domain": [left, left + width],
        "anchor": f"y{suffix}",
        "title": {"text": "epoch" if index >= len(PANELS) - COLUMNS else ""},
        "tickangle": 0,
    }
    y_axis = stage.layout[f"yaxis{suffix}"] = {
        "domain": [bottom, bottom + height],
        "anchor": f"x{suffix}",
    }
    if not np.isfinite(values).any():
        y_axis |= {"range": [0, 1], "showticklabels": False, "showgrid": False}
        _note(stage, suffix, stage.shown.reasons.get(panel.key, "not measured"))
        return
    reference = _reference_of(panel, stage.shown)
    axes = _Axes(panel, suffix, columns, _ends(panel, values, reference), epochs)
    y_axis |= {"range": list(axes.ends)} | _ticks(panel, values)
    _curves(stage, axes, legend=index == 0)
    taken: list[tuple[float, float]] = []  # by the reference
    if reference is not None:
        share = float(axes.share_y(np.array(reference[0])))
        stage.reference(suffix, *reference, below=share > 0.7)
        taken = [(x, share) for x in np.linspace(0, 1, 40).tolist()]
    if stage.terminal is not None:
        _terminal(stage, axes, stage.terminal, taken)
    _cursor(stage, axes)
    _readout(stage, axes)


def _rectangle(index: int) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a panel."""
    rows = len(PANELS) // COLUMNS
    row, column = divmod(index, COLUMNS)
    width = (RIGHT - LEFT - (COLUMNS - 1) * GAPS[0]) / COLUMNS
    height = (1 - (rows - 1) * GAPS[1]) / rows
    top = 1 - row * (height + GAPS[1])
    return LEFT + column * (width + GAPS[0]), max(top - height, 0.0), width, height


def _column(dynamics: Dynamics, panel: Panel) -> np.ndarray:
    """(E,) in the units of the panel; NaN where a log axis has no place for it."""
    values = np.asarray(dynamics.of(panel.key), dtype=np.float64)
    if panel.key == "nonzero_fraction" and not np.isfinite(values).any():
        # the penultimate layer is no activation function: the last one before it
        every = np.asarray(dynamics.layer_values[panel.key], dtype=np.float64)
        rows = np.flatnonzero(np.isfinite(every).any(axis=1))
        values = every[rows[-1]] if len(rows) else values
    values = panel.factor * values
    return np.where(values > 0, values, np.nan) if panel.log else values


def _reference_of(panel: Panel, shown: Dynamics) -> tuple[float, str] | None:
    """Where a collapsed network would be, if that is not at 0."""
    classes = len(shown.class_names)
    target = simplex_cosine(classes)
    if target is None:
        return None
    if panel.key == "cosine_mean":
        return target, f"{MINUS}1/(K{MINUS}1)"
    if panel.key == "twonn":
        return float(classes - 1), f"K{MINUS}1 = {classes - 1}"
    return None


def _ends(
    panel: Panel, values: np.ndarray, reference: tuple[float, str] | None
) -> tuple[float, float]:
    """Ends of the y axis, logarithms on a log axis; from 0 where nothing is negative."""
    known = values[np.isfinite(values)]
    if panel.log:
        low, high = float(np.log10(known.min())), float(np.log10(known.max()))
        margin = 0.06 * (high - low) or 0.1
        return round(low - margin, 4), round(high + margin, 4)
    if panel.key == "accuracy":
        return 0.0, 103.0
    known = known if reference is None else np.append(known, reference[0])
    low, high = float(known.min()), float(known.max())
    if low >= 0:
        return 0.0, round(1.08 * high, 6) or 1.0
    short = max(0.0, LEAST_SPAN - (high - low)) / 2
    margin = 0.15 * (high - low) + short
    return round(low - margin, 6), round(high + margin, 6)


def _ticks(panel: Panel, values: np.ndarray) -> dict[str, Any]:
    return log_axis(values) if panel.log else {"nticks": 5, "ticksuffix": panel.unit}


def _curves(stage: Stage, axes: _Axes, legend: bool) -> None:
    panel = axes.panel
    for i, (split, column) in enumerate(zip(stage.splits, axes.columns, strict=True)):
        epochs = split.dynamics.epochs
        label = escape(split.label)
        stage.still.append(
            {
                "type": "scatter",
                "mode": "lines" if np.isfinite(column).sum() > 1 else "markers",
                "name": label,
                "x": place(epochs).round(4).tolist(),
                "y": numbers(column, 5),
                "text": [
                    f"<b>{panel.title}</b>, {label}<br>epoch {e:,}<br>{_said(v, panel)}"
                    for e, v in zip(epochs.tolist(), column, strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
                "line": {
                    "color": stage.color(i),
                    "width": stage.style.measures.line,
                    "dash": ("solid", "5px,2px")[i % 2],
                },
                "showlegend": legend,
                **axes.names,
            }
        )


def _terminal(
    stage: Stage, axes: _Axes, terminal: int, taken: Sequence[tuple[float, float]]
) -> None:
    """A line at the first epoch without training error, the terminal phase behind it shaded, and
    its label in the emptiest corner beside the line. ``taken``: further points to keep clear of."""
    palette = stage.style.palette
    x = round(float(place(terminal)), 4)
    across = {"y0": 0, "y1": 1, "xref": f"x{axes.suffix}", "yref": f"y{axes.suffix} domain"}
    shade = {"fillcolor": palette.surface, "line": {"width": 0}, "layer": "below"}
    line = {"color": palette.muted, "width": 1}
    right = epoch_axis(axes.epochs)["range"][1]
    stage.layout["shapes"] += [
        {"type": "rect", "x0": x, "x1": right, **shade, **across},
        {"type": "line", "x0": x, "x1": x, "line": line, **across},
    ]
    side, level = _emptiest(stage, axes, float(axes.share_x(x)), taken)
    stage.layout["annotations"].append(
        {
            "text": ZERO_ERROR,
            **{"x": x, "xref": f"x{axes.suffix}", "xanchor": side},
            **{"y": level, "yref": f"y{axes.suffix} domain"},
            "yanchor": "top" if level else "bottom",
            "font": {"size": stage.style.measures.ticks - 1, "color": palette.muted},
        }
    )


def _emptiest(
    stage: Stage, axes: _Axes, share: float, taken: Sequence[tuple[float, float]]
) -> tuple[str, float]:
    """The side of the line at ``share``, and top (1) or bottom (0), where fewest points are."""
    points = [np.array(taken).reshape(-1, 2)]
    steps = np.linspace(0, 1, 80)
    for split, column in zip(stage.splits, axes.columns, strict=True):
        known = np.isfinite(column)
        if known.any():
            x = axes.share_x(place(split.dynamics.epochs[known]))
            points.append(
                np.column_stack([steps, np.interp(steps, x, axes.share_y(column[known]))])
            )
    cloud = np.concatenate(points)
    width, height = LABEL

    def covered(corner: tuple[str, float]) -> float:
        side, level = corner
        start = share if side == "left" else share - width
        if start < 0 or start + width > 1:
            return np.inf
        beside = (cloud[:, 0] >= start) & (cloud[:, 0] <= start + width)
        return float((beside & (np.abs(cloud[:, 1] - level) < height)).sum())

    corners = [("left", 1.0), ("right", 1.0), ("left", 0.0), ("right", 0.0)]
    if not any(np.isfinite(covered(corner)) for corner in corners):
        return ("right" if share > 0.5 else "left"), 1.0
    return min(corners, key=covered)


def _cursor(stage: Stage, axes: _Axes) -> None:
    """A vertical line with a marker on every curve: one trace, so that it moves as a whole."""
    count = len(stage.splits)
    bottom, top = (significant_float(axes.value(end), 5) for end in axes.ends)
    colors = [CLEAR, *(stage.color(i) for i in range(count)), CLEAR]
    states = [
        {
            "x": [round(float(place(epoch)), 4)] * (count + 2),
            "y": [bottom, *numbers(axes.at(stage, epoch), 5), top],
        }
        for epoch in stage.epochs
    ]
    stage.moving.append(
        (
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "cursor",
                "connectgaps": True,
                "line": {"color": stage.style.palette.axis, "width": 1},
                "marker": {
                    "size": [0, *[stage.style.measures.marker + 2] * count, 0],
                    "opacity": 1.0,
                    "color": colors,
                    "line": {"width": 1, "color": stage.style.palette.background},
                },
                "hoverinfo": "skip",
                "showlegend": False,
                **axes.names,
            },
            states,
        )
    )


def _readout(stage: Stage, axes: _Axes) -> None:
    """The values under the cursor, in the colours of the curves, above the panel's right end."""
    states = []
    for epoch in stage.epochs:
        parts = [
            f'<span style="color:{stage.color(i)}">{_said(value, axes.panel)}</span>'
            for i, value in enumerate(axes.at(stage, epoch))
            if np.isfinite(value)
        ]
        states.append({"text": ["  ".join(parts)]})
    inside = axes.ends[1] - 1e-4 * (axes.ends[1] - axes.ends[0])  # what lies outside is not drawn
    stage.moving.append(
        (
            {
                "type": "scatter",
                "mode": "text",
                "name": "value",
                "x": [epoch_axis(axes.epochs)["range"][1]],
                "y": [axes.value(inside)],
                "textposition": "top left",
                "textfont": {"size": stage.small, "color": stage.style.palette.ink},
                "cliponaxis": False,
                "hoverinfo": "skip",
                "showlegend": False,
                **axes.names,
            },
            states,
        )
    )


def _said(value: float, panel: Panel) -> str:
    return number(value, 1, panel.unit) if panel.unit else significant(value, 2)


def _note(stage: Stage, suffix: str, text: str) -> None:
    """Why a panel is empty."""
    stage.layout["annotations"].append(
        {
            "text": "<br>".join(escape(line) for line in wrap(text, 24)[:4]),
            **{"x": 0.5, "xref": f"x{suffix} domain", "y": 0.5, "yref": f"y{suffix} domain"},
            "font": {"color": stage.style.palette.muted},
        }
    )


def numbers(values: Sequence[float] | np.ndarray, digits: int) -> list[float | None]:
    """As JSON has them: so many significant digits, None for NaN."""
    return [significant_float(float(v), digits) if np.isfinite(v) else None for v in values]


def significant_float(value: float, digits: int) -> float:
    """``value`` rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")

"""Figures of the loss landscape: lines, contours with the path of a run, and surfaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.series import Line, line_traces
from core.figures.theme import (
    DASHES,
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    log_axis,
    message,
    number,
    power_of_ten,
    reference_x,
    reference_y,
    significant,
    theory_line,
    translucent,
)
from core.landscape.results import Landscape, chance, random_walk_shares

Quantity = Literal["loss", "accuracy"]

FLOOR = 1e-6  # losses below are drawn there on a log scale
ROOF = 10.0  # nats; the linear scale ends there, whatever lies above
_NONE = "The loss is not a finite number anywhere on this grid."


@dataclass(frozen=True, slots=True)
class Shown:
    """A landscape and the name of its network."""

    name: str
    landscape: Landscape


@dataclass(frozen=True, slots=True)
class Scale:
    """How a loss becomes a height and a colour; the same for all figures that are compared."""

    low: float  # loss at the pale end
    high: float
    log: bool

    def height(self, loss: np.ndarray) -> np.ndarray:
        """log10 of the loss, or the loss, limited to the scale; NaN stays."""
        clipped = np.clip(np.asarray(loss, dtype=np.float64), self.low, self.high)
        return np.log10(clipped) if self.log else clipped

    @property
    def ends(self) -> tuple[float, float]:
        low, high = self.height(np.array([self.low, self.high])).tolist()
        return low, high

    def ticks(self, most: int = 6) -> dict[str, Any]:
        """Places and labels of ticks along ``height``."""
        low, high = self.ends
        if not self.log:
            return {"nticks": most}
        exponents = range(math.floor(low), math.ceil(high) + 1)
        values = [10.0**e for e in exponents]
        if high - low < 2:
            values = [f * 10.0**e for e in exponents for f in (1, 2, 5)]
        values = [v for v in values if low - 1e-9 <= math.log10(v) <= high + 1e-9]
        values = values[:: max(1, -(-len(values) // most))] or [self.low, self.high]
        return {
            "tickmode": "array",
            "tickvals": [math.log10(v) for v in values],
            "ticktext": [_tick(v) for v in values],
        }


def _tick(value: float) -> str:
    exponent = math.log10(value)
    if abs(exponent - round(exponent)) < 1e-9:
        return power_of_ten(round(exponent))
    return significant(value, 1)


def scale_of(landscapes: Sequence[Landscape], log: bool) -> Scale | None:
    """One scale for all of these; None where no loss is a finite number."""
    values = np.concatenate([la.loss[np.isfinite(la.loss)] for la in landscapes])
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    if log:
        low, high = max(low, FLOOR), max(high, 10 * FLOOR)
        return Scale(low, max(high, 1.001 * low), True)
    high = min(high, max(ROOF, 1.5 * low))
    return Scale(low, max(high, low + 1e-9), False)


# --- lines -------------------------------------------------------------------------------------


def lines(
    shown: Sequence[Shown],
    style: Style,
    quantity: Quantity = "loss",
    log: bool = True,
    ends: tuple[str, str] = ("start", "end"),
) -> go.Figure:
    """Loss or accuracy along random lines, or from one checkpoint to another (``ends`` names them).

    One network has a colour for each random direction, several networks have one each.
    """
    scale = scale_of([s.landscape for s in shown], log)
    if scale is None:
        return message(_NONE, style)
    between = shown[0].landscape.kind == "between"
    traces: list[dict[str, Any]] = []
    for i, one in enumerate(shown):
        for row in range(len(one.landscape.y)):
            look = row if len(shown) == 1 else i
            name = escape(one.name) if between or len(shown) > 1 else f"direction {row + 1}"
            traces += _line(one, row, name, look, DASHES[row % 5], quantity, scale, style)
    labelled = len({t["name"] for t in traces}) > 1
    for trace, before in zip(traces, [None, *traces], strict=False):
        trace["showlegend"] = before is None or before["name"] != trace["name"]
    fig = figure(
        style,
        traces,
        height=_height(style),
        showlegend=labelled,
        xaxis={"title": {"text": _across(between)}},
        yaxis=_vertical(shown, quantity, scale),
    )
    if labelled:
        fig.update_layout(margin_b=44 if style.size == "presentation" else 30)
    if quantity == "loss":
        _chance(fig, [s.landscape for s in shown], scale, style)
    if between:
        reference_x(fig, 0.0, escape(ends[0]), style)
        reference_x(fig, 1.0, escape(ends[1]), style)
    else:
        reference_x(fig, 0.0, "the network", style)
    return fig


def _across(between: bool) -> str:
    return "share of the way" if between else "distance (norms of the filters)"


def _line(
    one: Shown,
    row: int,
    name: str,
    look: int,
    dash: str,
    quantity: Quantity,
    scale: Scale,
    style: Style,
) -> list[dict[str, Any]]:
    landscape = one.landscape
    loss, accuracy = landscape.loss[row], landscape.accuracy[row]
    values = np.clip(loss, scale.low, None) if quantity == "loss" else 100 * accuracy
    if quantity == "accuracy":
        values = np.where(np.isfinite(loss), values, np.nan)
    line = Line(
        name,
        [float(v) if np.isfinite(v) else None for v in values],
        hover=[_hover(a, b) for a, b in zip(loss, accuracy, strict=True)],
        color=style.palette.runs[look % 5],
        dash=dash,
    )
    subjects = [f"{name}, at {number(float(x), 2)}" for x in landscape.x]
    traces = line_traces(line, landscape.x, subjects, style)
    for trace in traces:
        trace["mode"] = "lines"
    return traces


def _hover(loss: float, accuracy: float) -> str:
    if not np.isfinite(loss):
        return "loss not finite"
    return f"loss {significant(float(loss))}<br>accuracy {number(100 * float(accuracy), 1)} %"


def _vertical(shown: Sequence[Shown], quantity: Quantity, scale: Scale) -> dict[str, Any]:
    if quantity == "accuracy":
        return {"title": {"text": "accuracy (%)"}, "range": [-2, 102]}
    title = {"title": {"text": "loss (nats)"}}
    if not scale.log:
        return title | {"range": [0, 1.05 * scale.high]}
    return title | log_axis(np.array([scale.low, scale.high]))


def _chance(fig: go.Figure, landscapes: Sequence[Landscape], scale: Scale, style: Style) -> None:
    """The loss of guessing, where the figure reaches up to it; named at the emptier end."""
    classes = landscapes[0].classes
    level = chance(classes)
    if not scale.low < level < scale.high:
        return
    height = float(scale.height(np.array([level]))[0])
    away = np.abs(np.concatenate([scale.height(la.loss) for la in landscapes]) - height)
    third = away.shape[1] // 3
    left, right = np.nanmin(away[:, :third]), np.nanmin(away[:, -third:])
    side: Literal["left", "right"] = "left" if not left < right else "right"
    reference_y(fig, level, f"ln {classes} = {number(level, 2)}, chance", style, side)
    if scale.log:  # Plotly places annotations of a log axis by their exponents
        fig.layout.annotations[-1].y = math.log10(level)


# --- planes ------------------------------------------------------------------------------------


def contour(
    shown: Shown, style: Style, scale: Scale | None = None, level: float | None = None
) -> go.Figure:
    """The loss over a plane as colours with contour lines; a dashed one at ``level``. The network
    is marked, or the path of its run drawn."""
    landscape = shown.landscape
    scale = scale or scale_of([landscape], True)
    if scale is None or not np.isfinite(landscape.loss).any():
        return message(_NONE, style)
    low, high = scale.ends
    palette = style.palette
    height = scale.height(landscape.loss)
    field = {
        "type": "contour",
        "name": _series(shown, scale),
        "x": landscape.x,
        "y": landscape.y,
        "z": height,
        "text": _texts(landscape),
        "customdata": landscape.loss,
        "zmin": low,
        "zmax": high,
        "colorscale": colorscale(palette.sequential),
        "contours": {"coloring": "heatmap", "start": low, "end": high, "size": (high - low) / 12},
        "line": {"width": 0.75, "color": translucent(palette.ink, 0.28)},
        "colorbar": colorbar(style, **scale.ticks()),
        "connectgaps": False,
        "hovertemplate": "%{text}<extra></extra>",
    }
    traces = [field]
    if level is not None and scale.low < level < scale.high:
        traces.append(_level(landscape, scale, level, style))
    traces += _marks(landscape, style)
    square = {"scaleanchor": "x", "constrain": "domain"} if landscape.kind == "plane" else {}
    across, along = _axis_titles(landscape)
    return figure(
        style,
        traces,
        height=_height(style, 60),
        margin={"t": colorbar_room(style)},
        xaxis={
            "title": {"text": across},
            "range": _ends(landscape.x),
            "constrain": "domain",
        },
        yaxis={"title": {"text": along}, "range": _ends(landscape.y), "showgrid": False} | square,
    )


def _series(shown: Shown, scale: Scale) -> str:
    return f"{escape(shown.name)}: {'log10 of the loss' if scale.log else 'loss'}"


def _ends(values: np.ndarray) -> list[float]:
    return [float(values[0]), float(values[-1])]


def _axis_titles(landscape: Landscape) -> tuple[str, str]:
    if landscape.path is None:
        return "direction 1 (norms of the filters)", "direction 2"
    shares = [*(100 * landscape.path.shares).tolist(), 0.0, 0.0]
    return tuple(  # type: ignore[return-value]
        f"principal direction {i + 1}, {number(shares[i], 1)} % of variance" for i in range(2)
    )


def _texts(landscape: Landscape) -> list[list[str]]:
    return [
        [
            f"<b>{number(float(x), 2)}, {number(float(y), 2)}</b><br>"
            f"{_hover(landscape.loss[i, j], landscape.accuracy[i, j])}"
            for j, x in enumerate(landscape.x)
        ]
        for i, y in enumerate(landscape.y)
    ]


def _level(landscape: Landscape, scale: Scale, level: float, style: Style) -> dict[str, Any]:
    at = float(scale.height(np.array([level]))[0])
    return {
        "type": "contour",
        "name": f"loss {significant(level)}",
        "x": landscape.x,
        "y": landscape.y,
        "z": scale.height(landscape.loss),
        "contours": {"coloring": "none", "start": at, "end": at, "size": 1},
        "line": {"width": 1.5, "dash": "5px,3px", "color": style.palette.ink},
        "showscale": False,
        "connectgaps": False,
        "hoverinfo": "skip",
    }


def _marks(landscape: Landscape, style: Style) -> list[dict[str, Any]]:
    """The path with a point a checkpoint, its last one marked; or the network alone."""
    palette, measures = style.palette, style.measures
    outline = {"width": 1.5, "color": palette.background}
    star = {"size": 2 * measures.marker, "symbol": "star", "color": palette.ink, "line": outline}
    here = {
        "type": "scatter",
        "mode": "markers",
        "name": "the network",
        "x": [0.0],
        "y": [0.0],
        "text": [
            f"<b>the network</b><br>{_hover(landscape.centre_loss, landscape.centre_accuracy)}"
        ],
        "marker": star,
        "hovertemplate": "%{text}<extra></extra>",
    }
    path = landscape.path
    if path is None:
        return [here]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "path",
            "x": path.coordinates[:, 0],
            "y": path.coordinates[:, 1],
            "text": _steps(landscape),
            "line": {"width": measures.line, "color": palette.classes[1]},
            "marker": {"size": measures.marker + 1, "color": palette.classes[1], "line": outline},
            "hovertemplate": "%{text}<extra></extra>",
        },
        here | {"text": [_steps(landscape)[-1]], "name": "last checkpoint"},
    ]


def _steps(landscape: Landscape) -> list[str]:
    """What a hover says of every checkpoint of the path."""
    path = landscape.path
    assert path is not None
    return [
        f"<b>epoch {epoch}</b><br>{_hover(path.loss[i], path.accuracy[i])}"
        f"<br>in the plane below it: loss {significant(float(path.plane_loss[i]))}"
        f"<br>distance to the plane {significant(float(path.distance[i]))}"
        for i, epoch in enumerate(path.epochs.tolist())
    ]


def surface(shown: Shown, style: Style, scale: Scale | None = None) -> go.Figure:
    """The loss over a plane as a surface to be turned, with the network or the path of its run."""
    landscape = shown.landscape
    scale = scale or scale_of([landscape], True)
    if scale is None or not np.isfinite(landscape.loss).any():
        return message(_NONE, style)
    low, high = scale.ends
    palette = style.palette
    field = {
        "type": "surface",
        "name": _series(shown, scale),
        "x": landscape.x,
        "y": landscape.y,
        "z": scale.height(landscape.loss),
        "text": _texts(landscape),
        "customdata": landscape.loss,
        "cmin": low,
        "cmax": high,
        "colorscale": colorscale(palette.sequential),
        "showscale": False,
        "connectgaps": False,
        "contours": {
            "z": {
                "show": True,
                "start": low,
                "end": high,
                "size": (high - low) / 12,
                "color": translucent(palette.ink, 0.3),
                "width": 1,
            }
        },
        "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
        "hovertemplate": "%{text}<extra></extra>",
    }
    label = {"size": style.measures.ticks, "color": palette.muted}
    axis = {"showgrid": True, "title": {"font": label}}
    path = landscape.path
    names = ("direction 1", "direction 2") if path is None else ("principal 1", "principal 2")
    return figure(
        style,
        [field, *_standing(landscape, scale, style)],
        height=_height(style, 60),
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene={
            "aspectmode": "manual",
            "aspectratio": {"x": 1.0, "y": 1.0, "z": 0.7},
            "camera": {
                # the lower side of a path's plane is where the path is
                "eye": {"x": 1.25, "y": -1.4, "z": 0.95}
                if path is None
                else {"x": -0.85, "y": -1.5, "z": 1.3},
                "center": {"x": 0, "y": 0, "z": -0.1},
            },
            "xaxis": axis | {"title": {"text": names[0], "font": label}},
            "yaxis": axis | {"title": {"text": names[1], "font": label}},
            "zaxis": axis
            | {
                "title": {"text": "loss", "font": label},
                "showticklabels": True,
                "tickfont": label,
                "range": [low, high + 0.02 * (high - low)],
                **scale.ticks(5),
            },
        },
    )


def _standing(landscape: Landscape, scale: Scale, style: Style) -> list[dict[str, Any]]:
    """The path on the surface, and the network's own loss."""
    palette = style.palette
    path = landscape.path
    lift = 0.01 * (scale.ends[1] - scale.ends[0])
    here = {
        "type": "scatter3d",
        "mode": "markers",
        "name": "the network",
        "x": [0.0],
        "y": [0.0],
        "z": scale.height(np.array([landscape.centre_loss])) + lift,
        "text": [
            f"<b>the network</b><br>{_hover(landscape.centre_loss, landscape.centre_accuracy)}"
        ],
        "marker": {"size": 5, "color": palette.ink, "symbol": "diamond"},
        "hovertemplate": "%{text}<extra></extra>",
    }
    if path is None:
        return [here]
    along = {
        "type": "scatter3d",
        "mode": "lines+markers",
        "name": "path",
        "x": path.coordinates[:, 0],
        "y": path.coordinates[:, 1],
        "z": scale.height(path.plane_loss) + lift,
        "text": _steps(landscape),
        "line": {"width": 5, "color": palette.classes[1]},
        "marker": {"size": 3, "color": palette.classes[1]},
        "hovertemplate": "%{text}<extra></extra>",
    }
    return [along]


def variance(shown: Sequence[Shown], style: Style) -> go.Figure:
    """Share of variance of the first principal directions of every path, and what a random walk
    seen at the same epochs as the first one would have."""
    palette = style.palette
    traces = []
    most = 1
    for i, one in enumerate(shown):
        path = one.landscape.path
        if path is None:
            continue
        shares = 100 * path.shares[:6].astype(np.float64)
        most = max(most, len(shares))
        numbers = np.arange(1, len(shares) + 1)
        traces.append(
            {
                "type": "bar",
                "name": escape(one.name),
                "x": numbers,
                "y": shares,
                "text": [
                    f"<b>direction {k}</b><br>{number(s, 1)} %"
                    for k, s in zip(numbers.tolist(), shares.tolist(), strict=True)
                ],
                "textposition": "none",
                "marker": {"color": palette.bars if len(shown) == 1 else palette.runs[i]},
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    if not traces:
        return message("There is no path here.", style)
    first = next(one.landscape.path for one in shown if one.landscape.path is not None)
    walk = 100 * random_walk_shares(first.epochs)[:most]
    numbers = np.arange(1, len(walk) + 1)
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "random walk",
            "x": numbers,
            "y": walk,
            "line": theory_line(style),
            "hovertemplate": "<b>random walk</b><br>%{y:.1f} %<extra></extra>",
        }
    )
    fig = figure(
        style,
        traces,
        height=_height(style),
        xaxis={"title": {"text": "principal direction"}, "dtick": 1},
        yaxis={"title": {"text": "share of variance (%)"}, "range": [0, 104]},
        barmode="group",
        showlegend=len(shown) > 1,
    )
    at = min(1, len(walk) - 1)
    if np.isfinite(walk).all():
        fig.add_annotation(
            x=at + 1,
            y=float(walk[at]),
            xanchor="left",
            yanchor="bottom",
            xshift=10,
            yshift=6,
            text=f"random walk {number(float(walk[0]), 1)} %, {number(float(walk[at]), 1)} %, …",
        )
    if len(shown) > 1:
        fig.update_layout(margin_b=44 if style.size == "presentation" else 30)
    return fig


def path_losses(shown: Sequence[Shown], style: Style) -> go.Figure:
    """The loss of every checkpoint, and of the point of the plane nearest to it, by epoch."""
    traces: list[dict[str, Any]] = []
    everything = []
    for i, one in enumerate(shown):
        path = one.landscape.path
        if path is None:
            continue
        x = 1.0 + path.epochs
        titles = [f"epoch {epoch}" for epoch in path.epochs.tolist()]
        several = len(shown) > 1
        for label, values, dash in (
            ("checkpoint", path.loss, "solid"),
            ("in the plane", path.plane_loss, "dash"),
        ):
            values = np.where(np.isfinite(values), np.maximum(values, FLOOR), np.nan)
            everything.append(values)
            solid = dash == "solid"
            line = Line(
                escape(one.name) if several and solid else label,
                [float(v) if np.isfinite(v) else None for v in values],
                hover=[f"{label}: loss {significant(float(v))}" for v in values],
                color=style.palette.runs[i % 5],
                dash=dash,
                symbols="circle" if solid else "circle-open",
            )
            for trace in line_traces(line, x, titles, style):
                traces.append(trace | {"showlegend": solid or i == 0})
    if not traces:
        return message("There is no path here.", style)
    last = max(int(trace["x"][-1]) for trace in traces)
    ticks = [e for e in (0, 1, 3, 10, 30, 100, 300, 1000, 3000) if e < last]
    return figure(
        style,
        traces,
        height=_height(style),
        xaxis={
            "type": "log",
            "title": {"text": "epoch"},
            "tickmode": "array",
            "tickvals": [1 + e for e in ticks],
            "ticktext": [f"{e:,}" for e in ticks],
        },
        yaxis={"title": {"text": "loss (nats)"}, **log_axis(np.concatenate(everything))},
        showlegend=True,
        margin={"b": 44 if style.size == "presentation" else 30 + 14 * (len(shown) - 1)},
    )


def _height(style: Style, more: int = 0) -> int:
    return style.measures.height + (more if style.is_large else 0)

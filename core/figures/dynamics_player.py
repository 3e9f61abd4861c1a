"""The training as a film: panels with a cursor, and the geometry of the classes moving with it.

One Plotly figure with frames: the browser plays them without asking the server. Everything that
moves is a scatter trace, so that a frame is a transition and nothing is drawn anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.dynamics.alignment import aligned, rotation
from core.dynamics.results import Dynamics
from core.figures.dynamics import Split
from core.figures.dynamics_panels import PANELS, Stage, Trace, add_panel, numbers
from core.figures.scatter import thin
from core.figures.theme import (
    MAX_COLOURED,
    Style,
    class_style,
    colorscale,
    escape,
    figure,
    fraction_label,
    message,
    number,
    short_labels,
)
from core.metrics.geometry import angles_degrees, cosine_matrix, simplex_cosine

MAX_FRAMES = 25
MAX_SHOWN = 200  # points of the cloud
MAX_PAIRS = 300  # angles drawn one by one
FRAME_MS, MOVE_MS = 800, 500  # one epoch while it plays, and the part of it that things move

# the geometry, as shares of the figure's width and height
WIDTH = 0.36
MATRIX, ANGLES = (0.0, 0.175), (0.225, 0.36)
CLOUD_BOTTOM, BELOW_TOP = 0.42, 0.325


def player(
    splits: Sequence[Split],
    style: Style,
    geometry: int = 0,
    terminal: int | None = None,
    epoch: int | None = None,
) -> go.Figure:
    """Nine panels over the epochs (first split solid, second dashed) beside the geometry of
    ``splits[geometry]``: penultimate features in aligned principal components, cosines and angles
    of the class means. ``terminal`` is marked; ``epoch`` is shown first, otherwise the last one.

    At most 25 checkpoints are frames; the curves have all of them.
    """
    shown = splits[geometry].dynamics
    count = len(shown.epochs)
    if count < 2:
        return message("One checkpoint alone does not move.", style)
    rows = np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int))
    at = len(rows) - 1 if epoch is None else int(np.abs(shown.epochs[rows] - epoch).argmin())
    stage = Stage(splits, shown, rows, terminal, style)
    _cloud(stage)
    _matrix(stage)
    _angles(stage)
    for i, panel in enumerate(PANELS):
        add_panel(stage, i, panel)
    names = [str(e) for e in stage.epochs]
    legend = len(splits) > 1
    large = style.size == "presentation"
    fig = figure(
        style,
        stage.still + [_moved(base, states[at]) for base, states in stage.moving],
        height=980 if large else 700,
        showlegend=legend,
        margin={"l": 8, "r": 26 if large else 14, "t": 140 if large else 104}
        | {"b": (50 if large else 34) if legend else 8},
        **stage.layout,
        **_controls(names, at, style),
    )
    moving = list(range(len(stage.still), len(stage.still) + len(stage.moving)))
    fig.frames = [
        {"name": name, "data": [states[i] for _, states in stage.moving], "traces": moving}
        for i, name in enumerate(names)
    ]
    return fig


def _moved(base: Trace, state: Trace) -> Trace:
    """A trace as it is in one frame; the marker keeps what the frame does not say."""
    trace = {**base, **state}
    if "marker" in base and "marker" in state:
        trace["marker"] = {**base["marker"], **state["marker"]}
    return trace


# --- geometry ----------------------------------------------------------------------------------


def _cloud(stage: Stage) -> None:
    """Samples and class means in aligned principal components, in units of the features' spread."""
    shown, style = stage.shown, stage.style
    points, means, share = _plane(shown)
    rows = thin(shown.labels, MAX_SHOWN)
    points, means = points[stage.frames][:, rows], means[stage.frames]
    classes, labels = len(shown.class_names), shown.labels[rows]
    names = [escape(name) for name in shown.class_names]
    looks = [class_style(k, classes, style) for k in range(classes)]
    large = style.size == "presentation"
    common = {"type": "scatter", "showlegend": False, "xaxis": "x", "yaxis": "y"}
    samples = {
        "mode": "markers",
        "name": "samples",
        "marker": {
            "size": 7 if large else 5,
            "opacity": 0.45,
            "color": [looks[k].color for k in labels],
            "symbol": [looks[k].symbol for k in labels],
        },
        "text": [names[k] for k in labels],
        "hovertemplate": "<b>%{text}</b><extra></extra>",
    }
    stage.moving.append(({**common, **samples}, [_xy(frame) for frame in points]))
    named = classes <= style.max_named
    centres = {
        "mode": "markers+text" if named else "markers",
        "name": "class means",
        "marker": {
            "size": (16 if large else 11) if classes <= MAX_COLOURED else 6,
            "opacity": 1.0,
            "color": [look.color for look in looks],
            "symbol": [look.symbol for look in looks],
            "line": {"width": 1.5, "color": style.palette.background},
        },
        "text": [escape(n) for n in short_labels(shown.class_names, 12)] if named else [],
        "hovertext": names,
        "textposition": "top center",
        "textfont": {"size": style.measures.ticks, "color": style.palette.ink},
        "hovertemplate": "<b>mean of %{hovertext}</b><extra></extra>",
    }
    stage.moving.append(({**common, **centres}, [_xy(frame) for frame in means]))
    bare = {
        "showgrid": False,
        "showticklabels": False,
        "ticks": "",
        "mirror": True,
        "linecolor": style.palette.border,
    }
    # both axes on one scale: Plotly widens one of these ranges, for all frames alike
    x, y = (_range(points[..., i], means[..., i]) for i in (0, 1))
    stage.layout["xaxis"] = {**bare, "range": x, "domain": [0.0, WIDTH]}
    stage.layout["yaxis"] = {**bare, "range": y, "domain": [CLOUD_BOTTOM, 1.0], "scaleanchor": "x"}
    stage.title(0.0, 1.0, "features, principal axes")
    note = {
        "mode": "text",
        "name": "share of variance",
        "x": [(x[0] + x[1]) / 2],  # stays in the middle when Plotly widens the range
        "y": [y[1] - 0.02 * (y[1] - y[0])],
        "textposition": "bottom center",
        "textfont": {"size": stage.small, "color": style.palette.muted},
        "hoverinfo": "skip",
    }
    said = [{"text": [number(100 * s, 0, " % of the variance")]} for s in share[stage.frames]]
    stage.moving.append(({**common, **note}, said))


def _plane(shown: Dynamics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (E, S, 2) and class means (E, K, 2) in axes that follow from epoch to epoch and are
    the first two principal ones at the last epoch; their share (E,) of the variance. The unit is
    the root mean square distance of the features to their mean within the plane."""
    points, means = aligned(shown)  # (E, S, 3), (E, K, 3)
    before = np.concatenate([shown.points, shown.point_means], axis=1).astype(np.float64)
    after = np.concatenate([points, means], axis=1).astype(np.float64)
    turns = np.stack([_turn(a, b) for a, b in zip(before, after, strict=True)])  # (E, 3, 3)
    back = turns[-1].T
    in_plane = ((turns @ back)[:, :, :2] ** 2).sum(axis=2)  # (E, 3) of each component
    share = (np.asarray(shown.explained, dtype=np.float64) * in_plane).sum(axis=1)
    # later epochs spread over more directions than two: without this they would shrink from view
    scale = np.sqrt(np.clip(share, 1e-6, None))[:, None, None]
    return (points @ back)[..., :2] / scale, (means @ back)[..., :2] / scale, share


def _turn(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The orthogonal matrix that turned one (n, 3) into the other."""
    known = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    return rotation(before[known], after[known]) if known.any() else np.eye(3)


def _range(points: np.ndarray, means: np.ndarray) -> list[float]:
    """What an axis shows of points (F, S) and class means (F, K): all means and, in every frame,
    all points but the outermost 2 % on each side, and room for a label."""
    ends = [np.zeros(1), means.ravel()]
    for frame in points:
        known = frame[np.isfinite(frame)]
        if len(known):
            ends.append(np.percentile(known, (2, 98)))
    shown = np.concatenate(ends)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    margin = 0.08 * (high - low) or 0.1
    return [round(low - margin, 4), round(high + margin, 4)]


def _matrix(stage: Stage) -> None:
    """Cosines of the centred class means as coloured squares; neutral at the simplex ETF's."""
    shown, style = stage.shown, stage.style
    classes = len(shown.class_names)
    target = simplex_cosine(classes)
    if target is None or classes > MAX_COLOURED:
        return
    rows, columns = np.nonzero(~np.eye(classes, dtype=bool))
    values = _cosines(stage)[:, rows, columns]  # (F, K(K-1))
    if not np.isfinite(values).any():
        return
    half = max(0.25, float(np.ceil(np.nanmax(np.abs(values - target)) * 10) / 10))
    look = {
        "symbol": "square",
        "size": round(min(30.0, (190 if style.size == "presentation" else 150) / classes), 1),
        "cmin": round(target - half, 4),
        "cmax": round(target + half, 4),
        "colorscale": colorscale(style.palette.diverging),
        "opacity": 1.0,
    }
    squares = {
        "type": "scatter",
        "mode": "markers",
        "name": "cosine",
        "x": columns.tolist(),
        "y": rows.tolist(),
        "marker": look,
        "text": _pairs(shown, rows, columns),
        "hovertemplate": "<b>%{text}</b><br>cosine %{marker.color:.2f}<br>simplex ETF "
        f"{number(target, 2)}<extra></extra>",
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
    }
    states: list[Trace] = [{"marker": {"color": numbers(frame, 3)}} for frame in values]
    stage.moving.append((squares, states))
    bare = {"showgrid": False, "showline": False, "ticks": "", "showticklabels": False}
    stage.layout["xaxis2"] = {
        **bare,
        "domain": list(MATRIX),
        "anchor": "y2",
        "range": [-0.6, classes - 0.4],
        "constrain": "domain",
        "constraintoward": "left",
    }
    stage.layout["yaxis2"] = {
        **bare,
        "domain": [0.0, BELOW_TOP],
        "anchor": "x2",
        "range": [classes - 0.4, -0.6],
        "scaleanchor": "x2",
        "constrain": "domain",
        "constraintoward": "top",
    }
    stage.title(MATRIX[0], BELOW_TOP, f"cosines, neutral {fraction_label(classes)}")


def _angles(stage: Stage) -> None:
    """One dot a pair of classes at the angle between their means; theory is a line."""
    shown, style = stage.shown, stage.style
    classes = len(shown.class_names)
    target = simplex_cosine(classes)
    if target is None:
        return
    first, second = np.triu_indices(classes, 1)
    kept = np.unique(np.linspace(0, len(first) - 1, min(len(first), MAX_PAIRS)).astype(int))
    first, second = first[kept], second[kept]
    angles = angles_degrees(_cosines(stage)[:, first, second])  # (F, P)
    if not np.isfinite(angles).any():
        return
    etf = float(angles_degrees(np.array(target)))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "angle",
        "x": list(range(len(first))),
        "marker": {"size": 5, "color": style.palette.accent, "opacity": 0.6},
        "text": _pairs(shown, first, second),
        "hovertemplate": "<b>%{text}</b><br>angle %{y:.1f}°<extra></extra>",
        "showlegend": False,
        "xaxis": "x3",
        "yaxis": "y3",
    }
    stage.moving.append((dots, [{"y": numbers(frame, 4)} for frame in angles]))
    low = min(float(np.nanmin(angles)), etf - 10)
    high = max(float(np.nanmax(angles)), etf + 10)
    margin = 0.06 * (high - low)
    alone = classes > MAX_COLOURED  # no matrix beside it
    domain = [0.04, WIDTH] if alone else list(ANGLES)
    stage.layout["xaxis3"] = {
        "domain": domain,
        "anchor": "y3",
        "range": [-0.04 * len(first) - 0.5, 1.04 * len(first) - 0.5],
        "showticklabels": False,
        "ticks": "",
    }
    stage.layout["yaxis3"] = {
        "domain": [0.0, BELOW_TOP],
        "anchor": "x3",
        "range": [round(max(low - margin, -4.0), 2), round(min(high + margin, 184.0), 2)],
        "nticks": 6,
        "ticksuffix": "°",
    }
    stage.reference("3", round(etf, 2), f"{number(etf, 1)}°")
    stage.title(domain[0], BELOW_TOP, "angles of pairs")


def _cosines(stage: Stage) -> np.ndarray:
    """(F, K, K) cosines of the centred class means."""
    coordinates = np.asarray(stage.shown.mean_coordinates, dtype=np.float64)[stage.frames]
    return np.stack([cosine_matrix(frame) for frame in coordinates])


def _pairs(shown: Dynamics, first: np.ndarray, second: np.ndarray) -> list[str]:
    names = [escape(name) for name in shown.class_names]
    return [f"{names[a]}, {names[b]}" for a, b in zip(first, second, strict=True)]


def _xy(points: np.ndarray) -> dict[str, list[float | None]]:
    """points (n, 2) as two lists, to a thousandth of the features' spread."""
    rounded = np.round(points.astype(np.float64), 3)
    return {"x": numbers(rounded[:, 0], 4), "y": numbers(rounded[:, 1], 4)}


# --- controls ----------------------------------------------------------------------------------


def _controls(names: Sequence[str], at: int, style: Style) -> dict[str, Any]:
    """Play, pause, and a slider with one step a frame, above the figure."""
    palette, ticks = style.palette, style.measures.ticks
    play = _animation(FRAME_MS, MOVE_MS) | {"fromcurrent": True}
    play["transition"]["easing"] = "cubic-in-out"
    step = _animation(250, 250)
    above = {"xanchor": "left", "y": 1.0, "yanchor": "bottom"}
    buttons = {
        "type": "buttons",
        "direction": "right",
        "showactive": False,
        "x": 0.0,
        "pad": {"t": 0, "b": 46, "l": 0, "r": 0},
        "bgcolor": palette.background,
        "bordercolor": palette.axis,
        "borderwidth": 1,
        "font": {"size": style.measures.text, "color": palette.ink},
        "buttons": [
            {"label": "Play", "method": "animate", "args": [None, play]},
            {"label": "Pause", "method": "animate", "args": [[None], _animation(0, 0)]},
        ],
    }
    slider = {
        "x": 0.16,
        "len": 0.84,
        "active": at,
        "pad": {"t": 0, "b": 34, "l": 0, "r": 0},
        "bgcolor": palette.accent,
        "activebgcolor": palette.accent,
        "bordercolor": palette.accent,
        "borderwidth": 0,
        "tickcolor": palette.axis,
        "ticklen": 4,
        "minorticklen": 3,
        "font": {"size": ticks, "color": palette.muted},
        "currentvalue": {
            "prefix": "epoch ",
            "xanchor": "left",
            "offset": 8,
            "font": {"size": style.measures.text + 3, "color": palette.ink},
        },
        "transition": {"duration": 250},
        "steps": [{"label": name, "method": "animate", "args": [[name], step]} for name in names],
    }
    return {"updatemenus": [{**above, **buttons}], "sliders": [{**above, **slider}]}


def _animation(frame: int, move: int) -> dict[str, Any]:
    """Milliseconds of a frame, and of the movement in it."""
    return {
        "mode": "immediate",
        "frame": {"duration": frame, "redraw": False},
        "transition": {"duration": move},
    }

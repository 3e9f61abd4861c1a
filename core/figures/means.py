"""Figures of class means and classifier rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.labels import spatial_scene
from core.figures.scatter import points_3d, three_columns
from core.figures.theme import (
    MAX_COLOURED,
    Style,
    class_style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    fraction_label,
    interpolate,
    message,
    number,
    reference_x,
    short_labels,
    text_on,
)
from core.metrics.geometry import angles_degrees, simplex_cosine
from core.results import LayerAnalysis, Sample

MAX_CELL_TEXT = 12
MAX_RUG = 800  # pairs drawn one by one


# --- matrices ----------------------------------------------------------------------------------


def cosine_matrix(
    cosines: np.ndarray,
    class_names: Sequence[str],
    style: Style,
    order: Sequence[int] | np.ndarray | None = None,
    half_range: float | None = None,
) -> go.Figure:
    """Cosines (K, K) of centred class means; neutral colour at the simplex ETF's -1/(K-1).

    ``order`` permutes the classes; ``half_range`` fixes the colours, to compare epochs.
    """
    target = simplex_cosine(len(class_names))
    if target is None:
        return message("Cosines need two or more classes.", style)
    off = _off_diagonal(cosines)
    if not np.isfinite(off).any():
        return message("No two class means have a direction.", style)
    order = np.arange(len(class_names)) if order is None else np.asarray(order)
    shown = off[np.ix_(order, order)]
    half = _half_range(off - target) if half_range is None else half_range
    ends = [max(target - half, -1.0), min(target + half, 1.0)]
    ticks = {ends[0]: number(ends[0], 2), ends[1]: number(ends[1], 2)}
    ticks[target] = f"<b>{fraction_label(len(order))}</b>"
    bar = colorbar(style, below=style.is_card, tickvals=list(ticks), ticktext=list(ticks.values()))
    heatmap = {
        "zmin": target - half,
        "zmax": target + half,
        "colorscale": colorscale(style.palette.diverging),
        "colorbar": bar,
        "name": "cosine",
    }
    names = [class_names[int(i)] for i in order]
    hover = "cosine %{z}<br>simplex ETF " + number(target, 2)
    return _matrix(shown, names, style, heatmap, hover, symmetric=True)


def alignment_matrix(alignment: np.ndarray, class_names: Sequence[str], style: Style) -> go.Figure:
    """cos(w_j, mu_k - mu_G) (K, K); the colour is the difference from the collapsed value.

    Collapsed: 1 on the diagonal, -1/(K-1) elsewhere.
    """
    classes = len(class_names)
    target = simplex_cosine(classes)
    if target is None:
        return message("The alignment needs two or more classes.", style)
    if not np.isfinite(alignment).any():
        return message("No classifier row or class mean has a direction.", style)
    difference = alignment - np.where(np.eye(classes, dtype=bool), 1.0, target)
    half = _half_range(difference)
    bar = colorbar(
        style,
        below=style.is_card,
        tickvals=[-half, 0, half],
        ticktext=[number(-half, 2), "<b>collapsed</b>", f"+{number(half, 2)}"],
    )
    heatmap = {
        "zmin": -half,
        "zmax": half,
        "colorscale": colorscale(style.palette.diverging),
        "colorbar": bar,
        "name": "difference from collapse",
    }
    hover = "difference from collapse %{z}"
    return _matrix(difference, class_names, style, heatmap, hover, cells=alignment)


def _off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """A copy with a blank diagonal."""
    return np.where(np.eye(len(matrix), dtype=bool), np.nan, np.asarray(matrix, dtype=np.float64))


def _half_range(deviation: np.ndarray) -> float:
    """max(0.25, the largest deviation rounded up to 0.1): a collapsed network looks neutral."""
    largest = float(np.nanmax(np.abs(deviation)))
    return max(0.25, float(np.ceil(np.round(largest * 10, 6)) / 10))


def _matrix(
    values: np.ndarray,
    names: Sequence[str],
    style: Style,
    heatmap: dict[str, Any],
    hover: str,
    symmetric: bool = False,
    cells: np.ndarray | None = None,
) -> go.Figure:
    """A square heat map, first class on top. ``cells`` are the numbers written in (values)."""
    classes = len(names)
    labelled = classes <= MAX_COLOURED
    height = style.measures.height if not style.is_large else 590
    pair = "%{text}" if labelled else ("%{y}, %{x}" if symmetric else "row %{y}, mean of %{x}")
    trace = {
        "type": "heatmap",
        "z": values.astype(np.float32),
        "zhoverformat": ".2f",
        "xgap": 1 if labelled else 0,
        "ygap": 1 if labelled else 0,
        "hoverongaps": False,
        "hovertemplate": f"<b>{pair}</b><br>{hover}<extra></extra>",
        **heatmap,
    }
    if labelled:
        join = "{}, {}" if symmetric else "row {}, mean of {}"
        full = [escape(name) for name in names]
        trace["text"] = [[join.format(a, b) for b in full] for a in full]
    axes = _matrix_axes(names, style, height, symmetric)
    fig = figure(style, [trace], height=height, **axes)
    cell = 0.62 * height / classes  # pixels, with room for names and colour bar
    if classes <= MAX_CELL_TEXT and not style.is_card and cell > 3 * style.measures.ticks:
        fig.add_trace(_cell_text(values if cells is None else cells, values, heatmap, style))
    side = "b" if style.is_card else "t"
    fig.update_layout(margin={side: colorbar_room(style)})
    return fig


def _matrix_axes(
    names: Sequence[str], style: Style, height: int, symmetric: bool
) -> dict[str, dict[str, Any]]:
    classes = len(names)
    fits = int(0.72 * height / (1.15 * style.measures.ticks))
    step = max(1, -(-classes // fits)) if classes <= MAX_COLOURED else 1
    length = 5 if style.is_card else 14
    short = short_labels(names, length) if classes <= MAX_COLOURED else names
    labels = [escape(n) for n in short]
    shared = {
        "tickmode": "array",
        "tickvals": list(range(0, classes, step)),
        "ticktext": labels[::step],
        "showgrid": False,
        "showline": False,
        "ticks": "",
        "constrain": "domain",
        "showticklabels": classes <= MAX_COLOURED,
    }
    x_axis = shared | {"range": [-0.5, classes - 0.5], "tickangle": -45}
    y_axis = shared | {"range": [classes - 0.5, -0.5], "scaleanchor": "x", "ticklabelstandoff": 2}
    if style.is_card:
        x_axis["showticklabels"] = False
    if not symmetric and not style.is_card:
        x_axis["title"] = {"text": "class mean"}
        y_axis["title"] = {"text": "classifier row"}
    return {"xaxis": x_axis, "yaxis": y_axis}


def _cell_text(
    cells: np.ndarray, values: np.ndarray, heatmap: dict[str, Any], style: Style
) -> dict[str, Any]:
    """A text trace: Plotly's own cell text takes a grey that is too weak on dark cells."""
    rows, columns = np.nonzero(np.isfinite(values))
    span = heatmap["zmax"] - heatmap["zmin"]
    colors = [color for _, color in heatmap["colorscale"]]
    places = (values[rows, columns] - heatmap["zmin"]) / span
    return {
        "type": "scatter",
        "mode": "text",
        "x": columns,
        "y": rows,
        "text": [number(v, 2) for v in cells[rows, columns]],
        "textfont": {
            "size": style.measures.ticks,
            "color": [text_on(interpolate(colors, p)) for p in places],
        },
        "hoverinfo": "skip",
        "name": "cosine",
    }


# --- distributions and norms -------------------------------------------------------------------


def pair_angles(cosines: np.ndarray, class_names: Sequence[str], style: Style) -> go.Figure:
    """Angles between all pairs of centred class means: 5° bins, a rug, the simplex ETF's angle."""
    target = simplex_cosine(len(class_names))
    if target is None:
        return message("Angles need two or more classes.", style)
    first, second = np.triu_indices(len(class_names), 1)
    pair_cosines = cosines[first, second]
    known = np.isfinite(pair_cosines)
    if not known.any():
        return message("No two class means have a direction.", style)
    first, second, pair_cosines = first[known], second[known], pair_cosines[known]
    angles = angles_degrees(pair_cosines)
    etf = float(angles_degrees(np.array(target)))
    low, high = _angle_range(angles, etf)
    edges = np.arange(low, high + 5, 5.0)
    counts = np.histogram(angles, edges)[0]
    filled = counts > 0
    traces = [
        {
            "type": "bar",
            "name": "pairs of classes",
            "x": edges[:-1][filled] + 2.5,
            "y": counts[filled],
            "width": 4.8,
            "marker": {"color": style.palette.bars, "line": {"width": 0}},
            "customdata": np.column_stack([edges[:-1][filled], edges[1:][filled]]),
            "hovertemplate": "<b>%{customdata[0]}° to %{customdata[1]}°</b>"
            "<br>pairs of classes %{y}<extra></extra>",
        }
    ]
    rug = len(angles) <= MAX_RUG
    if rug:
        traces.append(_rug(angles, pair_cosines, first, second, class_names, style))
    fig = figure(
        style,
        traces,
        height=330 if style.is_large else style.measures.height,
        xaxis={
            "title": {"text": "angle between centred class means (°)"},
            "range": [low - 1, high + 1],
            "anchor": "y2" if rug else "y",
            "hoverformat": ".1f",
        },
        yaxis={
            "title": {"text": "pairs of classes"},
            "domain": [0.13 if rug else 0.0, 1.0],
            "rangemode": "tozero",
            "nticks": 6,
            **({"dtick": 1} if counts.max() < 5 else {}),
            "tickformat": ",d",
        },
        yaxis2={"domain": [0.0, 0.11], "range": [-1, 1], "visible": False},
        bargap=0,
    )
    middle = (etf - low) / (high - low)
    anchor = "right" if middle > 0.75 else "left" if middle < 0.25 else "center"
    reference_x(fig, etf, f"simplex ETF {number(etf, 1)}°", style, anchor)
    return fig


def _angle_range(angles: np.ndarray, etf: float) -> tuple[float, float]:
    """Multiples of 5° around data and theory, at least 40° wide."""
    low = 5 * np.floor(min(angles.min(), etf - 5) / 5)
    high = min(5 * np.floor(max(angles.max(), etf) / 5) + 5, 180.0)
    while high - low < 40:
        low, high = max(low - 5, 0.0), min(high + 5, 180.0)
    return float(low), float(high)


def _rug(
    angles: np.ndarray,
    cosines: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    class_names: Sequence[str],
    style: Style,
) -> dict[str, Any]:
    names = [escape(name) for name in class_names]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "pair",
        "x": angles,
        "y": np.zeros(len(angles)),
        "yaxis": "y2",
        "marker": {
            "symbol": "line-ns",
            "size": 12 if style.size != "presentation" else 22,
            "line": {"width": 1.5, "color": style.palette.ink},
        },
        "text": [f"{names[a]}, {names[b]}" for a, b in zip(first, second, strict=True)],
        "customdata": [number(c, 2) for c in cosines],
        "hovertemplate": "<b>%{text}</b><br>angle %{x}°<br>cosine %{customdata}<extra></extra>",
    }


def norms(
    mean_norms: np.ndarray,
    classifier_norms: np.ndarray | None,
    class_names: Sequence[str],
    style: Style,
) -> go.Figure:
    """Norms of centred class means, and of classifier rows, relative to their mean norms."""
    series = [("class means", np.asarray(mean_norms, dtype=np.float64), "circle")]
    if classifier_norms is not None:
        name = "classifier" if style.is_card else "classifier rows"
        series.append((name, np.asarray(classifier_norms, float), "diamond-open"))
    series = [(n, v / np.nanmean(v), s) for n, v, s in series if np.nansum(v) > 0]
    if not series:
        return message("All class means are the same point.", style)
    fig = _dots(series, class_names, style, "norm relative to mean norm", "%{x}")
    deviation = max(0.1, *(1.1 * float(np.nanmax(np.abs(v - 1))) for _, v, _ in series))
    fig.update_xaxes(range=[1 - deviation, 1 + deviation])
    reference_x(fig, 1.0, "equinorm 1", style)
    return fig


def spread(
    within_trace: np.ndarray, mean_norms: np.ndarray, class_names: Sequence[str], style: Style
) -> go.Figure:
    """Within-class spread sigma_k beside the distance ||mu_k - mu_G|| of the class mean.

    Both in units of the features; collapsed, the spread is 0. within_trace (K,) is sigma_k^2.
    """
    series = [
        ("distance of the mean from the centre", np.asarray(mean_norms, float), "circle"),
        ("spread within the class", np.sqrt(np.asarray(within_trace, float)), "diamond-open"),
    ]
    if style.is_card:
        series = [(n, v, s) for (_, v, s), n in zip(series, ("between", "within"), strict=True)]
    fig = _dots(series, class_names, style, "distance (units of the features)", "%{x}")
    largest = max((float(np.nanmax(v)) for _, v, _ in series if np.isfinite(v).any()), default=1.0)
    fig.update_xaxes(range=[-0.03 * largest, 1.06 * largest])
    reference_x(fig, 0.0, "collapsed spread 0", style, "left")
    return fig


def _dots(
    series: Sequence[tuple[str, np.ndarray, str]],
    class_names: Sequence[str],
    style: Style,
    title: str,
    value: str,
) -> go.Figure:
    """One row a class, one symbol a series; the first accent, the second ink."""
    palette, measures = style.palette, style.measures
    classes = len(class_names)
    labelled = classes <= MAX_COLOURED
    size = measures.marker + 3 if labelled else 4
    names = [escape(name) for name in class_names]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": values.astype(np.float32),
            "y": np.arange(classes),
            "text": names,
            "cliponaxis": False,
            "marker": {
                "symbol": symbol,
                "size": size,
                "color": palette.ink if symbol.endswith("-open") else palette.accent,
                "line": {"width": 1.5 if symbol.endswith("-open") else 0},
            },
            "hovertemplate": f"<b>%{{text}}</b><br>{name} {value}<extra></extra>",
        }
        for name, values, symbol in series
    ]
    height = measures.height if not style.is_large else max(330, min(590, 24 * classes + 110))
    fits = max(1, int((height - 110) / (1.15 * measures.ticks)))
    step = max(1, -(-classes // fits))
    shown = [escape(n) for n in short_labels(class_names, 5 if style.is_card else 14)]
    return figure(
        style,
        traces,
        height=height,
        showlegend=len(series) > 1,
        margin={"b": 30 if len(series) > 1 else 8},
        xaxis={"title": {"text": title}, "showgrid": True, "hoverformat": ".3~g", "nticks": 6},
        yaxis={
            "range": [classes - 0.4, -0.6],
            "tickmode": "array",
            "tickvals": list(range(0, classes, step)),
            "ticktext": shown[::step],
            "showticklabels": labelled,
            "ticks": "outside" if labelled else "",
            "showgrid": labelled,
        },
    )


# --- 3-D ---------------------------------------------------------------------------------------


def means_3d(
    layer: LayerAnalysis, sample: Sample | None, class_names: Sequence[str], style: Style
) -> go.Figure:
    """Class means as spokes from the global mean, with a sample around them.

    Drawn in the three directions in which the class means differ most (leading right singular
    vectors of M^T), not those in which the samples do.
    """
    if layer.geometry is None:
        return message("This layer has no class means.", style)
    means = np.nan_to_num(np.asarray(layer.geometry.mean_coordinates, dtype=np.float64))  # (K, r)
    directions = np.linalg.eigh(means.T @ means)[1][:, ::-1][:, :3]  # (r, 3)
    means = three_columns(means @ directions)
    classes = len(class_names)
    traces, points = [], np.zeros((1, 3))
    if sample is not None and layer.projection is not None:
        span = layer.projection.means_span  # the first coordinates alone, where there are many
        points = three_columns(span @ directions[: span.shape[1]])
        traces = points_3d(points, sample, class_names, style)
    for k in range(classes):
        look = class_style(k, classes, style)
        if not np.any(means[k]):
            continue
        traces.append(
            {
                "type": "scatter3d",
                "mode": "lines+markers",
                "name": escape(class_names[k]),
                **{a: np.array([0, v], np.float32) for a, v in zip("xyz", means[k], strict=True)},
                "line": {"color": look.color, "width": 5 if classes <= MAX_COLOURED else 1},
                "marker": {"size": [0, 4], "color": look.color},
                "opacity": look.opacity,
                "hovertemplate": f"<b>mean of {escape(class_names[k])}</b><extra></extra>",
            }
        )
    height = 420 if style.is_large else style.measures.height
    named = np.flatnonzero(means.any(1)) if classes <= style.max_named else np.zeros(0, dtype=int)
    return figure(
        style,
        traces,
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene=spatial_scene(
            [class_names[int(k)] for k in named],
            means[named],
            np.concatenate([points, means]),
            (style.measures.width, height),
            style,
        ),
    )

"""Figures of the kept samples in few coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.labels import name_labels, spatial_scene
from core.figures.scatter import points_2d, points_3d, three_columns
from core.figures.theme import (
    MAX_COLOURED,
    MAX_PICKED,
    Style,
    class_style,
    escape,
    figure,
    message,
    number,
    theory_line,
)
from core.results import LayerAnalysis, Sample

_MEAN_SIZE = {"card": 11, "large": 11, "presentation": 16}


def pca(
    layer: LayerAnalysis,
    sample: Sample | None,
    class_names: Sequence[str],
    style: Style,
    dimensions: Literal[2, 3] = 2,
    components: tuple[int, ...] = (0, 1),
    picked: Sequence[int] | None = None,
) -> go.Figure:
    """Principal components of a layer's samples, class means labelled directly.

    ``components`` (from 0) are the ones on x and y; in 3-D the third is the next one.
    """
    projection = layer.projection
    if projection is None or sample is None:
        return message("No samples of this layer were kept.", style)
    available = projection.pca.shape[1]
    if dimensions == 3 and len(components) == 2:
        rest = [c for c in range(available) if c not in components]
        components = (*components, *rest[:1])
    if available <= max(components) or available < dimensions:
        return message(f"This layer has only {available} principal components.", style)
    titles = [
        f"PC {c + 1} ({number(100 * float(projection.explained[c]), 0)} % of variance)"
        for c in components
    ]
    points = projection.pca[:, list(components)]  # (S, 2 or 3)
    means = projection.pca_means[:, list(components)]
    if dimensions == 3:
        return _pca_3d(points, means, titles, sample, class_names, style, picked)
    axes = (f"PC {components[0] + 1}", f"PC {components[1] + 1}")
    traces = points_2d(points, sample, class_names, style, axes, picked)
    shown = _shown_means(means, class_names, picked)
    traces += _mean_markers(means, shown, class_names, style, picked)
    fig = _plane(traces, style, *titles)
    _label_means(fig, points, means, shown, class_names, style)
    return fig


def _pca_3d(
    points: np.ndarray,
    means: np.ndarray,
    titles: Sequence[str],
    sample: Sample,
    class_names: Sequence[str],
    style: Style,
    picked: Sequence[int] | None,
) -> go.Figure:
    traces = points_3d(three_columns(points), sample, class_names, style, picked)
    shown = _shown_means(means, class_names, picked)
    if len(shown):
        looks = [class_style(int(k), len(class_names), style, picked) for k in shown]
        traces.append(
            {
                "type": "scatter3d",
                "mode": "markers",
                "name": "class means",
                **{axis: means[shown, i] for i, axis in enumerate("xyz")},
                "text": [escape(class_names[k]) for k in shown],
                "marker": {
                    "size": 6,
                    "color": [look.color for look in looks],
                    "line": {"width": 1, "color": style.palette.background},
                },
                "hovertemplate": "<b>mean of %{text}</b><extra></extra>",
            }
        )
    height = _plane_height(style)
    scene = spatial_scene(
        [class_names[k] for k in shown] if _labelled(shown, style) else [],
        means[shown] if _labelled(shown, style) else means[:0],
        np.concatenate([points, means[shown]]),
        (style.measures.width, height),
        style,
        distance=1.0 if style.is_card else 1.3,
    )
    if not style.is_card:
        for axis, title in zip("xyz", titles, strict=True):
            font = {"size": style.measures.ticks, "color": style.palette.muted}
            scene[f"{axis}axis"] = {
                "title": {"text": title.replace(" of variance", ""), "font": font}
            }
    margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    return figure(style, traces, height=height, margin=margin, scene=scene)


def three_means_plane(
    layer: LayerAnalysis,
    sample: Sample | None,
    class_names: Sequence[str],
    classes: tuple[int, int, int],
    style: Style,
) -> go.Figure:
    """Samples of three classes on the plane through their means (Müller et al. 2019).

    The projection is orthogonal, so distances between the three means are their true ones. The
    dashed triangle is the equilateral one of the same size, which a simplex ETF would give.
    """
    if layer.geometry is None or layer.projection is None or sample is None:
        return message("No samples of this layer were kept.", style)
    if len(class_names) < 3:
        return message("The plane needs three or more classes.", style)
    if len(set(classes)) < 3 or max(classes) >= len(class_names):
        return message("Choose three different classes.", style)
    corners = np.asarray(layer.geometry.mean_coordinates, dtype=np.float64)[list(classes)]  # (3, r)
    span = np.asarray(layer.projection.means_span, dtype=np.float64)  # (S, r)
    if span.shape[1] < corners.shape[1]:
        return message("With so many classes, samples in this plane are not kept.", style)
    if not np.isfinite(corners).all():
        return message("One of the three classes has no samples.", style)
    centre = corners.mean(0)
    basis = plane_basis(corners)
    if basis is None:
        return message("The three class means lie on one line.", style)
    flat = (corners - centre) @ basis  # (3, 2)
    points = (span - centre) @ basis  # (S, 2)
    mine = np.isin(sample.labels, classes)
    chosen = Sample(ids=sample.ids[mine], labels=sample.labels[mine])
    axes = ("along", "across")
    triangle = _equilateral(flat, style)
    traces = [triangle]
    picked = classes if len(class_names) > MAX_COLOURED else None
    traces += points_2d(points[mine], chosen, class_names, style, axes, picked)
    means = np.full((len(class_names), 2), np.nan)
    means[list(classes)] = flat
    traces += _mean_markers(means, np.array(classes), class_names, style, picked)
    title = "distance in the plane (units of the features)"
    fig = _plane(traces, style, title, "")
    label = ("simplex ETF 60°", np.array([triangle["x"][:2].mean(), triangle["y"][:2].mean()]))
    _label_means(fig, points[mine], means, np.array(classes), class_names, style, label)
    return fig


def plane_basis(corners: np.ndarray) -> np.ndarray | None:
    """Orthonormal basis (r, 2) of the plane through corners (3, r); None if they lie on a line.

    The first direction runs from corner 0 to corner 1, and corner 2 is on the positive side.
    """
    along, other = corners[1] - corners[0], corners[2] - corners[0]
    length = float(np.linalg.norm(along))
    if length == 0:
        return None
    first = along / length
    across = other - (other @ first) * first
    height = float(np.linalg.norm(across))
    if height <= 1e-9 * max(length, float(np.linalg.norm(other))):
        return None
    return np.column_stack([first, across / height])


def _equilateral(flat: np.ndarray, style: Style) -> dict[str, Any]:
    """The equilateral triangle nearest to the three points flat (3, 2), of the same size."""
    z = flat @ [1, 1j]
    ideal = np.exp(2j * np.pi * np.arange(3) / 3)
    turn = np.vdot(ideal, z)
    turn = turn / abs(turn) if abs(turn) > 0 else 1.0
    ring = np.append(ideal, ideal[0]) * turn * np.sqrt(np.mean(np.abs(z) ** 2))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "simplex ETF: equilateral",
        "x": ring.real,
        "y": ring.imag,
        "line": theory_line(style),
        "hovertemplate": "<b>simplex ETF</b><br>three means form an equilateral triangle"
        "<extra></extra>",
    }


# --- shared ------------------------------------------------------------------------------------


def _plane(traces: Sequence[dict[str, Any]], style: Style, x: str, y: str) -> go.Figure:
    """Two coordinates on one scale, without ticks: only shape and distance mean something."""
    bare = {
        "showgrid": False,
        "showline": False,
        "showticklabels": False,
        "ticks": "",
        "hoverformat": ".2f",
    }
    return figure(
        style,
        traces,
        height=_plane_height(style),
        xaxis=bare | {"title": {"text": x}, "constrain": "domain"},
        yaxis=bare | {"title": {"text": y}, "scaleanchor": "x", "constrain": "domain"},
    )


def _plane_height(style: Style) -> int:
    return 520 if style.is_large else style.measures.height


def _shown_means(
    means: np.ndarray, class_names: Sequence[str], picked: Sequence[int] | None
) -> np.ndarray:
    """Classes whose mean is marked: all up to 20, otherwise the picked ones."""
    known = np.isfinite(means).all(1)
    if len(class_names) <= MAX_COLOURED:
        return np.flatnonzero(known)
    return np.array([k for k in list(picked or ())[:MAX_PICKED] if known[k]], dtype=int)


def _labelled(shown: np.ndarray, style: Style) -> bool:
    """Whether there is room to name the marked means; otherwise their symbols and hovers do."""
    return 0 < len(shown) <= style.max_named


def _mean_markers(
    means: np.ndarray,
    shown: np.ndarray,
    class_names: Sequence[str],
    style: Style,
    picked: Sequence[int] | None,
) -> list[dict[str, Any]]:
    if not len(shown):
        return []
    looks = [class_style(int(k), len(class_names), style, picked) for k in shown]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "class means",
            "x": means[shown, 0].astype(np.float32),
            "y": means[shown, 1].astype(np.float32),
            "text": [escape(class_names[k]) for k in shown],
            "marker": {
                "size": _MEAN_SIZE[style.size],
                "color": [look.color for look in looks],
                "symbol": [look.symbol for look in looks],
                "line": {"width": 1.5, "color": style.palette.background},
            },
            "hovertemplate": "<b>mean of %{text}</b><br>%{x}, %{y}<extra></extra>",
        }
    ]


def _label_means(
    fig: go.Figure,
    points: np.ndarray,
    means: np.ndarray,
    shown: np.ndarray,
    class_names: Sequence[str],
    style: Style,
    theory: tuple[str, np.ndarray] | None = None,
) -> None:
    """Name the class means, and what theory draws at a point, placed for the expected size."""
    if not _labelled(shown, style):
        return
    width, height = style.measures.width - 40, _plane_height(style) - 45
    everything = np.concatenate([points, means[shown]])
    low, high = everything.min(0), everything.max(0)
    margin = 0.07 * (high - low) + 1e-12  # Plotly leaves about this much around markers
    low, high = low - margin, high + margin
    scale = min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    centre = (low + high) / 2

    def pixels(values: np.ndarray) -> np.ndarray:
        return (values - centre) * [scale, -scale] + [width / 2, height / 2]

    names, anchors = [class_names[k] for k in shown], means[shown]
    if theory is not None:
        names, anchors = [*names, theory[0]], np.vstack([anchors, theory[1]])
    placed = name_labels(
        names,
        pixels(anchors),
        (width, height),
        style,
        marker=_MEAN_SIZE[style.size],
        avoid=pixels(points),
    )
    for label, anchor in zip(placed, anchors, strict=True):
        fig.add_annotation(x=float(anchor[0]), y=float(anchor[1]), **label)

"""Points of a sample by class: float32 arrays, ids in ``customdata``, one hover template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.figures.theme import MAX_COLOURED, MAX_POINTS, Style, class_style, escape
from core.results import Sample


def thin(labels: np.ndarray, count: int = MAX_POINTS) -> np.ndarray:
    """Sorted positions of at most ``count`` samples, evenly over the classes. labels (S,)."""
    if len(labels) <= count:
        return np.arange(len(labels))
    by_class = np.argsort(labels, kind="stable")
    return np.sort(by_class[np.linspace(0, len(labels) - 1, count).astype(int)])


def points_2d(
    points: np.ndarray,
    sample: Sample,
    class_names: Sequence[str],
    style: Style,
    axes: tuple[str, str],
    picked: Sequence[int] | None = None,
    limit: int = MAX_POINTS,
) -> list[dict[str, Any]]:
    """Traces of points (S, 2), one a class; with more than 20 classes one for all but the picked.

    At most ``limit`` are drawn, the same share of every class. ``customdata`` is the sample's id
    in the data set; ``axes`` names the coordinates in the hover.
    """
    values = f"{axes[0]} %{{x}}<br>{axes[1]} %{{y}}"
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": points[rows, 0].astype(np.float32),
            "y": points[rows, 1].astype(np.float32),
            "marker": {"size": _size(style), "opacity": 0.5, **look},
            "hovertemplate": f"<b>{subject}</b><br>{what(sample)} %{{customdata}}<br>{values}"
            "<extra></extra>",
            **common,
        }
        for rows, look, subject, common in _groups(sample, class_names, style, picked, limit)
    ]


def points_3d(
    points: np.ndarray,
    sample: Sample,
    class_names: Sequence[str],
    style: Style,
    picked: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """The same for points (S, 3); all circles, since 3-D knows few symbols."""
    return [
        {
            "type": "scatter3d",
            "mode": "markers",
            "x": points[rows, 0].astype(np.float32),
            "y": points[rows, 1].astype(np.float32),
            "z": points[rows, 2].astype(np.float32),
            "marker": {"size": 0.6 * _size(style), "opacity": 0.5, **look, "symbol": "circle"},
            "hovertemplate": f"<b>{subject}</b><br>{what(sample)} %{{customdata}}<extra></extra>",
            **common,
        }
        for rows, look, subject, common in _groups(sample, class_names, style, picked)
    ]


def three_columns(points: np.ndarray) -> np.ndarray:
    """points (n, <= 3) as (n, 3): two or three classes span a line or a plane."""
    return np.pad(points[:, :3], ((0, 0), (0, max(0, 3 - points.shape[1]))))


def what(sample: Sample) -> str:
    """What a point stands for: an image, or a sample of which none was kept."""
    return "sample" if sample.thumbnails is None else "image"


def _size(style: Style) -> float:
    return 7 if style.size == "presentation" else 4


def _groups(
    sample: Sample,
    class_names: Sequence[str],
    style: Style,
    picked: Sequence[int] | None,
    limit: int = MAX_POINTS,
) -> list[tuple[np.ndarray, dict[str, Any], str, dict[str, Any]]]:
    """(rows, marker, hover subject, common properties) of every trace to draw."""
    rows = thin(sample.labels, limit)
    labels = sample.labels[rows]
    classes = len(class_names)
    chosen = range(classes) if classes <= MAX_COLOURED else list(picked or ())
    groups = []
    others = rows[~np.isin(labels, list(chosen))]
    if len(others):
        muted = class_style(-1, classes, style)
        names = np.array([escape(name) for name in class_names])
        common = {
            "name": "other classes" if len(chosen) else "samples",
            "customdata": sample.ids[others],
            "text": names[sample.labels[others]].tolist(),
        }
        look = {"color": muted.color, "opacity": muted.opacity}
        groups.append((others, look, "%{text}", common))
    for k in chosen:
        mine = rows[labels == k]
        if not len(mine):
            continue
        drawn = class_style(int(k), classes, style, picked)
        name = escape(class_names[k])
        common = {"name": name, "customdata": sample.ids[mine]}
        groups.append((mine, {"color": drawn.color, "symbol": drawn.symbol}, name, common))
    return groups

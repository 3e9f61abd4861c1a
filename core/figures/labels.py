"""Direct labels that do not overlap: a small deterministic search over places around each point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.figures.theme import Style, escape, short_labels, translucent

_ANGLES = np.radians([270, 90, 0, 180, 315, 225, 45, 135, 292.5, 247.5, 67.5, 112.5])  # above first
_STEPS = (0.0, 9.0, 18.0, 30.0, 44.0, 60.0)  # pixels added to the nearest place
_LEADER = 8.0  # labels pushed further out than this get a line to their point


def place(
    points: np.ndarray,
    sizes: np.ndarray,
    bounds: tuple[float, float],
    marker: float,
    avoid: np.ndarray | None = None,
) -> np.ndarray:
    """Offsets (n, 2) in pixels from points to the centres of their labels; y points down.

    points (n, 2) and sizes (n, 2) in pixels, bounds (width, height) of the plot, marker the
    diameter of the points' symbols, avoid (m, 2) further points that labels should rather not
    cover. Each label in turn takes the cheapest of 72 places (overlap with other labels, with
    symbols, with the border, distance); three rounds.
    """
    count = len(points)
    if count == 0:
        return np.zeros((0, 2))
    candidates = _candidates(sizes, marker)  # (n, c, 2)
    avoid = np.zeros((0, 2)) if avoid is None else avoid
    half = sizes / 2
    fixed = np.stack(
        [_fixed_cost(points, half, bounds, marker, avoid, candidates, i) for i in range(count)]
    )  # (n, c)
    chosen = fixed.argmin(1)
    for _ in range(3):
        for i in range(count):
            others = np.delete(np.arange(count), i)
            centres = points[others] + candidates[others, chosen[others]]
            mine = points[i] + candidates[i]
            overlap = _overlap(mine, half[i] + 1, centres, half[others] + 1).sum(1)
            chosen[i] = (fixed[i] + 4 * overlap + 40 * (overlap > 0)).argmin()
    return candidates[np.arange(count), chosen]


def _candidates(sizes: np.ndarray, marker: float) -> np.ndarray:
    """(n, places, 2): the label's box touches a circle around its point, then moves outwards."""
    direction = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])  # (a, 2)
    reach = (marker / 2 + 2 + np.array(_STEPS))[:, None, None]  # (s, 1, 1)
    places = direction * reach  # (s, a, 2)
    edge = np.where(np.abs(direction) < 0.35, 0, np.sign(direction))  # (a, 2)
    return (places[None] + (edge * sizes[:, None, None, :] / 2)).reshape(len(sizes), -1, 2)


def _fixed_cost(
    points: np.ndarray,
    half: np.ndarray,
    bounds: tuple[float, float],
    marker: float,
    avoid: np.ndarray,
    candidates: np.ndarray,
    i: int,
) -> np.ndarray:
    """(places,) cost of each place of label i that does not depend on other labels."""
    centres = points[i] + candidates[i]  # (c, 2)
    symbols = _overlap(centres, half[i], points, np.full_like(points, marker / 2)).sum(1)
    covered = (np.abs(centres[:, None] - avoid[None]) < half[i]).all(2).sum(1)
    low, high = centres - half[i], centres + half[i]
    outside = np.maximum(-low, 0).sum(1) + np.maximum(high - np.array(bounds), 0).sum(1)
    step = np.repeat(np.array(_STEPS), len(_ANGLES))
    order = np.tile(np.arange(len(_ANGLES)) / len(_ANGLES), len(_STEPS))
    return 3 * symbols + 2 * covered + 40 * outside + 2 * step + order


def _overlap(
    one: np.ndarray, half: np.ndarray, other: np.ndarray, halves: np.ndarray
) -> np.ndarray:
    """(a, b) areas shared by boxes at one (a, 2) of half size (2,) and other (b, 2), halves."""
    gap = np.abs(one[:, None] - other[None])  # (a, b, 2)
    shared = np.minimum(half + halves[None] - gap, 2 * np.minimum(half, halves)[None])
    return np.prod(np.maximum(shared, 0), axis=2)


def name_labels(
    names: Sequence[str],
    pixels: np.ndarray,
    bounds: tuple[float, float],
    style: Style,
    marker: float = 11,
    avoid: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Plotly annotations (without their anchor x, y[, z]) that name ``pixels`` (n, 2) on screen."""
    names = short_labels(names, 18)
    size = style.measures.ticks
    sizes = np.array([[0.58 * size * len(n) + 2, 1.2 * size] for n in names]).reshape(-1, 2)
    result = []
    for name, offset, half in zip(
        names, place(pixels, sizes, bounds, marker, avoid), sizes / 2, strict=True
    ):
        distance = np.maximum(np.abs(offset) - half, 0)
        leader = bool(np.hypot(*distance) > _LEADER + marker / 2)
        result.append(
            {
                "text": escape(name),
                "showarrow": True,
                "ax": float(offset[0]),
                "ay": float(offset[1]),
                "arrowhead": 0,
                "arrowwidth": 1,
                "arrowcolor": style.palette.muted if leader else "rgba(0,0,0,0)",
                "standoff": marker / 2 if leader else 0,
                "xanchor": "center",
                "yanchor": "middle",
                "borderpad": 0,
                "bgcolor": translucent(style.palette.background, 0.65),
                "font": {"size": size, "color": style.palette.ink},
            }
        )
    return result


# --- 3-D ---------------------------------------------------------------------------------------

_EYE = np.array([0.95, -1.15, 0.65])
_HALF_FIELD = np.tan(np.pi / 8)  # Plotly's camera sees 45 degrees from top to bottom


def spatial_scene(
    names: Sequence[str],
    tips: np.ndarray,
    extent: np.ndarray,
    size: tuple[float, float],
    style: Style,
    distance: float = 1.0,
) -> dict[str, Any]:
    """A Plotly scene with equal axes whose labels at tips (n, 3) do not overlap at first sight.

    extent (m, 3): everything drawn; size: the scene's (width, height) in pixels; ``distance``
    moves the camera away, to make room for titles of axes.
    """
    eye = distance * _EYE
    pixels = screen(tips, extent, size, eye)
    placed = name_labels(names, pixels, size, style, marker=6)
    return {
        "aspectmode": "data",
        "camera": {"eye": dict(zip("xyz", eye.tolist(), strict=True))},
        "annotations": [
            {**label, **dict(zip("xyz", tip, strict=True))}
            for label, tip in zip(placed, np.asarray(tips, dtype=np.float64).tolist(), strict=True)
        ],
    }


def screen(
    points: np.ndarray, extent: np.ndarray, size: tuple[float, float], eye: np.ndarray = _EYE
) -> np.ndarray:
    """Pixels (n, 2) of points (n, 3) in the first view of a scene that shows extent (m, 3)."""
    low, high = extent.min(0), extent.max(0)
    ranges = np.where(high > low, high - low, 1.0)
    unit = np.prod(ranges) ** (1 / 3)
    placed = (points - (low + high) / 2) / unit - eye  # from the camera
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    depth = np.maximum(placed @ forward, 0.1) * _HALF_FIELD
    width, height = size
    return np.column_stack(
        [
            width / 2 + height / 2 * (placed @ right) / depth,
            height / 2 - height / 2 * (placed @ up) / depth,
        ]
    )

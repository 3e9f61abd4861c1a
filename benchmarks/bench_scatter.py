"""A scatter of 10,000 points as this project builds it, and from lists with a text per point.

Both hold the same numbers and the same hover, built and serialised in one run on one thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from core.figures.scatter import points_2d
from core.figures.theme import Style, figure
from core.results import Sample

POINTS, CLASSES = 10_000, 10


def _data() -> tuple[np.ndarray, Sample, list[str]]:
    rng = np.random.default_rng(0)
    labels = np.arange(POINTS) % CLASSES
    points = rng.normal(size=(CLASSES, 2))[labels] + 0.3 * rng.normal(size=(POINTS, 2))
    return points, Sample(np.arange(POINTS), labels), [f"class {k}" for k in range(CLASSES)]


def _arrays(points: np.ndarray, sample: Sample, names: list[str]) -> str:
    style = Style()
    axes = ("PC 1", "PC 2")
    traces = points_2d(points, sample, names, style, axes, limit=POINTS)
    return str(figure(style, traces).to_json())


def _lists(points: np.ndarray, sample: Sample, names: list[str]) -> str:
    traces = []
    for k, name in enumerate(names):
        rows = np.flatnonzero(sample.labels == k)
        texts = [
            f"<b>{name}</b><br>image {sample.ids[i]}"
            f"<br>PC 1 {points[i, 0]:.2f}<br>PC 2 {points[i, 1]:.2f}"
            for i in rows
        ]
        traces.append(
            go.Scatter(
                x=points[rows, 0].tolist(),
                y=points[rows, 1].tolist(),
                mode="markers",
                name=name,
                text=texts,
                hoverinfo="text",
            )
        )
    return str(go.Figure(traces).to_json(engine="json"))


def _best(function: Callable[[], str], repeats: int = 7) -> tuple[str, float]:
    """The result and the shortest time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, min(times)


def run() -> dict[str, float]:
    """Seconds, bytes and ratios (lists over arrays)."""
    points, sample, names = _data()
    ours, seconds = _best(lambda: _arrays(points, sample, names))
    theirs, list_seconds = _best(lambda: _lists(points, sample, names))
    return {
        "arrays_seconds": seconds,
        "lists_seconds": list_seconds,
        "times_faster": list_seconds / seconds,
        "arrays_bytes": len(ours),
        "lists_bytes": len(theirs),
        "times_smaller": len(theirs) / len(ours),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

"""Loops of a point cloud: chosen by their bars, drawn through the landmarks; and the names and
colours of holes of every dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.theme import Style, figure, message, significant
from core.results import Cycle, Topology

HOLES = ("components", "loops", "voids")
SUBSCRIPTS = ("β₀", "β₁", "β₂")
SYMBOLS = ("circle", "diamond", "square")
HITS = 9  # marks along a bar that a click finds


def dimension_color(dimension: int, style: Style) -> str:
    """The colour of homology of this dimension, in every figure."""
    return style.palette.runs[dimension]


def loop_marks(
    topology: Topology,
    places: list[tuple[float, float]],
    loop: int | None,
    style: Style,
    room: int = 7,
) -> list[dict[str, Any]]:
    """Rings round the marks of loops with a representative, at ``places``; the chosen one full.
    ``room``: pixels between a mark and its ring.

    Several places a loop may be given: they are told apart by their order, loop after loop.
    """
    if not places:
        return []
    each = len(places) // len(topology.cycles)
    position = [i for i in range(len(topology.cycles)) for _ in range(each)]
    color = dimension_color(1, style)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "loops to choose",
            "showlegend": False,
            "x": [x for x, _ in places],
            "y": [y for _, y in places],
            "customdata": position,
            "text": [_loop_text(topology.cycles[i]) for i in position],
            "marker": {
                "size": style.measures.marker + room,
                "symbol": "circle",
                "color": [color if i == loop else "rgba(0,0,0,0)" for i in position],
                "line": {"color": color, "width": 1.5},
            },
            "hovertemplate": "<b>loop, click to see it</b><br>%{text}<extra></extra>",
            "cliponaxis": False,
        }
    ]


def _loop_text(cycle: Cycle) -> str:
    dies = f"dies at {significant(cycle.death)}" if np.isfinite(cycle.death) else "never dies"
    return f"born at {significant(cycle.birth)}<br>{dies}<br>{len(cycle.path)} landmarks round it"


def choosable(
    topology: Topology,
    loops: np.ndarray,
    rows: np.ndarray,
    loop: int | None,
    end: float,
    style: Style,
) -> list[dict[str, Any]]:
    """What makes bars of loops (n, 2) at heights (n,) clickable: a ring at the end of each one
    that has a representative, and marks along it that only the pointer sees."""
    if not topology.cycles or not len(loops):
        return []
    color = dimension_color(1, style)
    ends: list[tuple[float, float]] = []
    along: list[tuple[float, float]] = []
    traces: list[dict[str, Any]] = []
    for i, cycle in enumerate(topology.cycles):
        row = float(rows[_nearest_bar(loops, cycle)])
        death = cycle.death if np.isfinite(cycle.death) else end
        ends.append((death, row))
        along += [(x, row) for x in np.linspace(cycle.birth, death, HITS).tolist()]
        if i == loop:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "chosen loop",
                    "x": [cycle.birth, death],
                    "y": [row, row],
                    "line": {"color": color, "width": 2.5 * style.measures.line},
                    "hoverinfo": "skip",
                }
            )
    for places in (along, ends):
        traces += loop_marks(topology, places, loop, style, room=1)
    traces[-2]["marker"] |= {"opacity": 0}
    traces[-2]["name"] = "bars to choose"
    return traces


def _nearest_bar(bars: np.ndarray, cycle: Cycle) -> int:
    """The row of the bar that a cycle belongs to: stored bars have fewer digits."""
    births, deaths = bars.astype(np.float64).T
    deaths = np.where(np.isfinite(deaths), deaths, 1e300)
    death = cycle.death if np.isfinite(cycle.death) else 1e300
    return int((np.abs(births - cycle.birth) + np.abs(deaths - death)).argmin())


def cycle_view(topology: Topology | None, style: Style, loop: int | None = None) -> go.Figure:
    """The landmarks in their first two principal components, and one loop through them, closed.

    ``loop`` is a position in ``cycles``; None draws the landmarks alone.
    """
    if topology is None or topology.coordinates is None:
        return message("The landmarks of this cloud were not kept; compute it again.", style)
    points = np.zeros((len(topology.coordinates), 2))
    kept = topology.coordinates[:, :2].astype(np.float64)  # (n, <= 2)
    points[:, : kept.shape[1]] = kept
    palette, measures = style.palette, style.measures
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "landmarks",
            "x": points[:, 0].astype(np.float32),
            "y": points[:, 1].astype(np.float32),
            "marker": {"size": measures.marker - 1, "color": palette.muted, "opacity": 0.45},
            "hovertemplate": "<b>landmark</b><extra></extra>",
        }
    ]
    if loop is not None and 0 <= loop < len(topology.cycles):
        path = topology.cycles[loop].path
        round_it = points[np.append(path, path[:1])]  # (m + 1, 2)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"loop {loop + 1}",
                "x": round_it[:, 0].astype(np.float32),
                "y": round_it[:, 1].astype(np.float32),
                "text": [f"{i + 1} of {len(path)}" for i in [*range(len(path)), 0]],
                "line": {"color": dimension_color(1, style), "width": measures.line},
                "marker": {
                    "size": measures.marker + 2,
                    "color": dimension_color(1, style),
                    "line": {"color": palette.background, "width": 1},
                },
                "hovertemplate": "<b>on the loop</b><br>point %{text}<extra></extra>",
            }
        )
    span = 1.08 * max(1e-12, float(np.abs(points).max(initial=0.0)))
    axis = {"showticklabels": False, "ticks": "", "showgrid": False, "range": [-span, span]}
    return figure(
        style,
        traces,
        height=430 if style.is_large else measures.height,
        xaxis=axis | {"title": {"text": "first principal component"}, "constrain": "domain"},
        yaxis=axis | {"title": {"text": "second"}, "scaleanchor": "x", "constrain": "domain"},
    )

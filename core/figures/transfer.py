"""Two phases of a network on foreign classes: NC1 and accuracy over the layers, one above the
other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.layers import in_percent
from core.figures.series import (
    Line,
    as_array,
    finish_series,
    from_estimates,
    line_traces,
    series_look,
    subjects,
)
from core.figures.theme import (
    SYMBOLS,
    Style,
    escape,
    figure,
    layer_axis,
    log_axis,
    message,
    number,
    reference_y,
    significant,
)
from core.metrics.separation import Phases
from core.results import Analysis
from core.transfer import phases_of

Accuracy = Literal["probe", "mean"]

GAP = 0.06  # between the panels, as a share of the height
MAX_NAME = 48  # characters of a network's name


@dataclass(frozen=True, slots=True)
class Network:
    """One network as the figure names it."""

    name: str
    analysis: Analysis


def two_phases(
    networks: Sequence[Network], style: Style, accuracy: Accuracy = "probe"
) -> go.Figure:
    """NC1 on a log axis above the accuracy (%) of a probe or of the nearest class mean.

    The spans in which NC1 of the first network falls and rises are shaded. x is the relative depth;
    ticks name the layers of the first network.
    """
    lines = [_line(network, i, style, "nc1") for i, network in enumerate(networks)]
    values = np.concatenate([as_array(line.values) for line in lines])
    if not np.isfinite(values).any():
        return message("NC1 was not measured in any layer.", style)
    below = [_line(network, i, style, accuracy) for i, network in enumerate(networks)]
    first = networks[0].analysis
    depths = [np.array([a.depth for a in n.analysis.layers]) for n in networks]
    axis = layer_axis([a.name for a in first.layers], style)
    axis |= {
        "tickvals": depths[0][axis["tickvals"]].tolist(),
        "range": [-0.02, 1.02],
        "anchor": "y2",
        "title": {"text": f"layers of {_short(networks[0].name)}", "standoff": 8},
    }
    fig = figure(
        style,
        _panel(lines, depths, networks, style, "y") + _panel(below, depths, networks, style, "y2"),
        height=int(1.6 * style.measures.height),
        xaxis=axis,
        yaxis={"title": {"text": "NC1"}, "domain": [0.5 + GAP / 2, 1], **log_axis(values)},
        yaxis2={
            "title": {"text": "accuracy (%)"},
            "domain": [0, 0.5 - GAP / 2],
            "range": [0, 103],
            "nticks": 6,
        },
    )
    finish_series(fig, lines, style)
    if first.data is not None and first.data.classes:
        _chance(fig, 100 / first.data.classes, style)
    found = phases_of(first)
    if found is not None:
        _spans(fig, found, depths[0], style)
    return fig


def _line(network: Network, index: int, style: Style, what: str) -> Line:
    """NC1, or an accuracy in percent, of one network in its colour."""
    name, layers = _short(network.name), network.analysis.layers
    look: dict[str, Any] = {**series_look(index, style), "symbols": SYMBOLS[index]}
    if what == "probe":
        return in_percent(from_estimates(name, [a.probe_accuracy for a in layers], **look))
    if what == "mean":
        return in_percent(Line(name, [a.ncc_accuracy for a in layers], **look))
    values = [a.nc1 if a.nc1 is not None and a.nc1 > 0 else None for a in layers]
    return Line(name, values, hover=[f"{name}<br>NC1 {significant(v)}" for v in values], **look)


def _panel(
    lines: Sequence[Line],
    depths: Sequence[np.ndarray],
    networks: Sequence[Network],
    style: Style,
    yaxis: str,
) -> list[dict[str, Any]]:
    traces = []
    for line, x, network in zip(lines, depths, networks, strict=True):
        traces += line_traces(line, x, subjects(network.analysis), style)
    for trace in traces:
        trace |= {"xaxis": "x", "yaxis": yaxis}
        if yaxis == "y2":
            trace["showlegend"] = False
    return traces


def _chance(fig: go.Figure, chance: float, style: Style) -> None:
    reference_y(fig, chance, f"chance {number(chance, 1)} %", style, "right")
    fig.layout.shapes[-1].yref = "y2"
    fig.layout.annotations[-1].yref = "y2"


def _spans(fig: go.Figure, found: Phases, depth: np.ndarray, style: Style) -> None:
    """The falling and, where there is one, the rising phase, shaded in both panels, in words."""
    low = float(depth[found.minimum])
    spans = [(float(depth[found.start]), low, f"falling, ÷ {significant(found.fall)}", "center")]
    fills = [style.palette.surface, style.palette.band]
    if found.rises:
        rise = number(100 * found.rise, 0)
        spans.append((low, float(depth[found.end]), f"rising, + {rise} %", "right"))
    for (x0, x1, text, anchor), fill in zip(spans, fills, strict=False):
        fig.add_shape(
            type="rect",
            **{"x0": x0, "x1": x1, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"},
            fillcolor=fill,
            line_width=0,
        )
        fig.add_annotation(
            x=(x0 + x1) / 2 if anchor == "center" else x1,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor=anchor,
            text=text,
        )
    fig.update_layout(margin_t=max(28, 2 * style.measures.ticks + 4))


def _short(name: str) -> str:
    return escape(name if len(name) <= MAX_NAME else name[: MAX_NAME - 1].rstrip() + "…")

"""Figures of what the weights tell by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures.theme import (
    Style,
    escape,
    figure,
    interpolate,
    log_axis,
    message,
    number,
    significant,
)
from core.results import WeightSummary

_MAX_THICK = 10


def weight_spectra(weights: Sequence[WeightSummary], style: Style) -> go.Figure:
    """Singular values of every weight relative to its largest, against their place (%).

    The nearer to the output, the stronger the colour.
    """
    usable = [w for w in weights if len(w.spectrum) > 1 and w.spectrum[0] > 0]
    if not usable:
        return message("No weight here is a matrix.", style)
    traces = []
    for i, weight in enumerate(usable):
        values = np.asarray(weight.spectrum, dtype=np.float64)
        place = 100 * np.arange(1, len(values) + 1) / len(values)
        drawn = values > 1e-6 * values[0]
        position = 1.0 if len(usable) == 1 else 0.35 + 0.65 * i / (len(usable) - 1)
        shape = "×".join(str(n) for n in weight.shape)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(weight.name),
                "x": place[drawn].astype(np.float32),
                "y": (values / values[0])[drawn].astype(np.float32),
                "customdata": np.flatnonzero(drawn) + 1,
                "line": {
                    "color": interpolate(style.palette.sequential, position),
                    "width": style.measures.line if len(usable) <= _MAX_THICK else 1,
                },
                "hovertemplate": f"<b>{escape(weight.name)}</b> {shape}"
                "<br>singular value %{customdata}: %{y} of the largest"
                f"<br>largest {significant(weight.spectral_norm)}"
                f"<br>stable rank {number(weight.stable_rank, 1)}<extra></extra>",
            }
        )
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "singular values, largest first (%)"}, "range": [0, 101]},
        yaxis={
            "title": {"text": "relative to the largest"},
            "hoverformat": ".3~g",
            **log_axis(np.concatenate([trace["y"] for trace in traces])),
        },
    )
    if len(usable) > 1:
        stronger = "darker" if style.mode == "light" else "brighter"
        fig.add_annotation(
            text=f"{stronger}: nearer the output",
            x=0.02,
            xref="paper",
            xanchor="left",
            y=0.02,
            yref="paper",
            yanchor="bottom",
            font={"color": style.palette.muted},
        )
    return fig


def weight_zeros(weights: Sequence[WeightSummary], style: Style) -> go.Figure:
    """Share of exact zeros of every weight (%), input to output."""
    if not weights:
        return message("This checkpoint has no weights.", style)
    shares = np.array([100 * w.zero_fraction for w in weights])
    count = len(weights)
    measures = style.measures
    height = measures.height if not style.is_large else max(330, min(590, 20 * count + 80))
    fits = max(1, int((height - 70) / (1.2 * measures.ticks)))
    step = max(1, -(-count // fits))
    labels = [escape(_end_of(w.name, 16 if style.is_card else 30)) for w in weights]
    trace = {
        "type": "bar",
        "orientation": "h",
        "width": min(0.75, 0.1 * count),
        "name": "zeros (%)",
        "x": shares.astype(np.float32),
        "y": np.arange(count),
        "text": [escape(w.name) for w in weights],
        "textposition": "none",
        "marker": {"color": style.palette.bars, "line": {"width": 0}},
        "hovertemplate": "<b>%{text}</b><br>zeros %{x} %<extra></extra>",
    }
    largest = float(shares.max(initial=0.0))
    fig = figure(
        style,
        [trace],
        height=height,
        xaxis={
            "title": {"text": "entries that are exactly zero (%)"},
            "range": [0, max(1.0, 1.05 * largest)],
            "showgrid": True,
            "hoverformat": ".2f",
        },
        yaxis={
            "range": [count - 0.4, -0.6],
            "tickmode": "array",
            "tickvals": list(range(0, count, step)),
            "ticktext": labels[::step],
            "showgrid": False,
        },
    )
    if largest == 0:
        fig.add_annotation(
            text="no weight is exactly zero",
            x=0.5,
            xref="paper",
            y=0.5,
            yref="paper",
            font={"color": style.palette.muted},
        )
    return fig


def _end_of(name: str, length: int) -> str:
    """The end of a parameter's name says which it is: "…er1.0.conv1.weight"."""
    name = name.removesuffix(".weight")
    return name if len(name) <= length else f"…{name[-length + 1 :]}"

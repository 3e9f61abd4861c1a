"""Figures of every layer: separation and the law it follows, layer by layer and over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.series import (
    Line,
    Numbers,
    as_array,
    by_layer_axes,
    finish_series,
    from_estimates,
    interval_texts,
    line_traces,
    series_look,
    subjects,
)
from core.figures.theme import (
    SYMBOLS,
    Style,
    escape,
    figure,
    log_axis,
    message,
    number,
    reference_y,
    significant,
    theory_line,
)
from core.metrics.separation import (
    LEAST_OFF,
    STANDS_OUT,
    one_per_block,
    robust_deviation,
    separation_law,
)
from core.results import Analysis, SeparationLaw

Quantity = Literal["separation", "nc1"]
Over = Literal["all", "blocks"]

_QUANTITIES = {"separation": "separation D", "nc1": "NC1"}


def fitted(analysis: Analysis, over: Over = "all") -> tuple[SeparationLaw, list[int]]:
    """The law over all layers or one layer a block, and the positions of these layers."""
    chosen = one_per_block(analysis.layers) if over == "blocks" else analysis.layers
    names = {layer.name for layer in chosen}
    positions = [i for i, layer in enumerate(analysis.layers) if layer.name in names]
    law = separation_law([a.name for a in chosen], [a.separation for a in chosen])
    return law, positions


def separation_by_layer(
    analysis: Analysis,
    style: Style,
    quantity: Quantity = "separation",
    selected: str | None = None,
    over: Over = "all",
) -> go.Figure:
    """D_l (or nc1) by layer on a log axis, with the fitted law D_l = rho^l D_0 dashed.

    Layers that the law was not fitted to have open symbols. With balanced classes D = K nc1, and
    the same law is drawn for nc1; where their ratio varies by more than 10 % over the layers, it is
    not.
    """
    name = _QUANTITIES[quantity]
    values = _positive(analysis, quantity)
    if not np.isfinite(values).any():
        return message(f"{name} was not measured in any layer.", style)
    law, positions = fitted(analysis, over)
    symbols = ["circle" if i in positions else "circle-open" for i in range(len(values))]
    measured, x = replace(_line(name, values), symbols=symbols), np.arange(len(values))
    fig = figure(
        style,
        line_traces(measured, x, subjects(analysis), style),
        yaxis={"title": {"text": name}, **log_axis(values)},
        **by_layer_axes(analysis, style, selected),
    )
    factor = _law_factor(analysis, quantity)
    if law.rho is not None and law.intercept is not None and factor is not None:
        line = np.full(len(values), np.nan)
        line[positions] = factor * np.exp(law.intercept) * law.rho ** np.arange(len(positions))
        _draw_law(fig, law, line, values, style)
    return fig


def _positive(analysis: Analysis, quantity: Quantity) -> np.ndarray:
    """The quantity in every layer, (L,); NaN where a log axis has no place for it."""
    values = as_array([getattr(layer, quantity) for layer in analysis.layers])
    values[~(values > 0)] = np.nan
    return values


def _line(name: str, values: np.ndarray) -> Line:
    shown = [float(v) if np.isfinite(v) else None for v in values]
    return Line(name, shown, hover=[f"{name} {significant(v)}" for v in shown])


def _law_factor(analysis: Analysis, quantity: Quantity) -> float | None:
    """What the law of D is multiplied with to be that of ``quantity``; None if it has none."""
    if quantity == "separation":
        return 1.0
    pairs = [(a.nc1, a.separation) for a in analysis.layers if a.nc1 and a.separation]
    if not pairs:
        return None
    ratio = np.log([a / b for a, b in pairs])
    return float(np.exp(ratio.mean())) if np.ptp(ratio) < 0.1 else None


def _draw_law(
    fig: go.Figure, law: SeparationLaw, line: np.ndarray, values: np.ndarray, style: Style
) -> None:
    """The law's line (L,), NaN outside the layers that it was fitted to, and its label."""
    assert law.rho is not None
    ends = np.flatnonzero(np.isfinite(line))[[0, -1]]
    fig.add_trace(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "fitted law",
            "x": ends,
            "y": line[ends],
            "line": theory_line(style),
            "hoverinfo": "skip",
        }
    )
    label = f"ρ = {number(law.rho, 2)}"
    label += f", R² = {number(law.r2, 2)}" if law.r2 is not None else ""
    # above the end of a falling line there is room, and above the start of a rising one
    falls = law.rho <= 1
    width = len(label) * 0.6 * style.measures.ticks / (0.8 * style.measures.width)
    covered = int(np.ceil(len(values) * width)) + 1
    below = (slice(-covered, None), slice(0, covered))[not falls]
    ceiling = np.log10(np.nanmax([*values[below], *line[below], *line[ends[-1:]]]))
    fig.add_annotation(
        x=float(len(values) - 1 if falls else 0),
        y=float(ceiling),
        text=label,
        xanchor="right" if falls else "left",
        yanchor="bottom",
        yshift=4,
    )


def residuals(analysis: Analysis, style: Style, over: Over = "all") -> go.Figure:
    """log D minus the fitted line by layer, the limits beyond which a layer stands out, and the
    name of the layer that breaks the law."""
    law, positions = fitted(analysis, over)
    if law.residuals is None:
        return message(f"No law was fitted: it {law.reason}.", style)
    values = np.full(len(analysis.layers), np.nan)
    values[positions] = law.residuals
    known = np.flatnonzero(np.isfinite(values))
    broken = [analysis.layers[i].name == law.breaks for i in known]
    names = subjects(analysis)
    palette = style.palette
    fig = figure(
        style,
        [
            {
                "type": "bar",
                "name": "log D minus the line",
                "x": known,
                "y": values[known],
                "marker": {"color": [palette.accent if b else palette.bars for b in broken]},
                "text": [
                    f"<b>{names[i]}</b><br>D is {significant(np.exp(values[i]))} times the line"
                    f"<br>residual {number(values[i], 2)}"
                    for i in known
                ],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
            }
        ],
        yaxis={"title": {"text": "log D − fitted line"}, "nticks": 6, "zeroline": True},
        **by_layer_axes(analysis, style, None),
    )
    fig.update_layout(yaxis_zerolinecolor=palette.axis)
    limit = max(STANDS_OUT * robust_deviation(values[known]), LEAST_OFF)
    if limit < 1.5 * np.abs(values[known]).max():
        reference_y(fig, limit, f"stands out: ±{number(limit, 2)}", style, "right")
        ends = {"x0": 0, "x1": 1, "xref": "x domain", "y0": -limit, "y1": -limit}
        fig.add_shape(type="line", line=theory_line(style), **ends)
    return fig


def by_epoch(
    analyses: Mapping[int, Analysis], style: Style, quantity: Quantity = "separation"
) -> go.Figure:
    """D_l (or nc1) by layer, one line an epoch, on a log axis."""
    name = _QUANTITIES[quantity]
    lines = []
    for i, (epoch, analysis) in enumerate(sorted(analyses.items())):
        line = _line(name, _positive(analysis, quantity))
        look = series_look(i, style)
        lines.append(
            replace(
                line,
                name=f"epoch {epoch}",
                color=look["color"],
                dash=look["dash"],
                symbols=SYMBOLS[i],
            )
        )
    everything = np.concatenate([as_array(line.values) for line in lines] or [np.array([])])
    if not np.isfinite(everything).any():
        return message(f"{name} was not measured in these epochs.", style)
    last = analyses[max(analyses)]
    layer_names, x = subjects(last), np.arange(len(last.layers))
    traces = []
    for line in lines:
        named = [f"{layer}, {escape(line.name)}" for layer in layer_names]
        traces += line_traces(line, x, named, style)
    fig = figure(
        style,
        traces,
        yaxis={"title": {"text": name}, **log_axis(everything)},
        **by_layer_axes(last, style, None),
    )
    finish_series(fig, lines, style)
    return fig


def in_percent(line: Line) -> Line:
    """A line of shares as a line of percentages, with its hover."""

    def scaled(values: Numbers | None) -> Numbers | None:
        return None if values is None else [None if v is None else 100 * v for v in values]

    percent = replace(
        line, values=scaled(line.values) or (), low=scaled(line.low), high=scaled(line.high)
    )
    return replace(percent, hover=interval_texts(percent, unit=" %"))


def accuracy_by_layer(analysis: Analysis, style: Style, selected: str | None = None) -> go.Figure:
    """Nearest-class-mean accuracy by layer (%), the linear probe's where measured, and chance."""
    layers = analysis.layers
    lines = [
        in_percent(
            Line(
                "class mean" if style.is_card else "nearest class mean",
                [layer.ncc_accuracy for layer in layers],
            )
        )
    ]
    probes = [layer.probe_accuracy for layer in layers]
    if any(p is not None and p.value is not None for p in probes):
        look = series_look(1, style)
        lines.append(
            in_percent(
                from_estimates(
                    "probe" if style.is_card else "linear probe", probes, symbols="square", **look
                )
            )
        )
    if not any(v is not None for line in lines for v in line.values):
        return message("No layer's accuracy was measured.", style)
    x = np.arange(len(analysis.layers))
    fig = figure(
        style,
        [t for line in lines for t in line_traces(line, x, subjects(analysis), style)],
        yaxis={"title": {"text": "accuracy (%)"}, "range": [0, 103], "nticks": 6},
        **by_layer_axes(analysis, style, selected),
    )
    if analysis.data is not None and analysis.data.classes:
        chance = 100 / analysis.data.classes
        reference_y(fig, chance, f"chance {number(chance, 1)} %", style, "right")
    finish_series(fig, lines, style)
    return fig

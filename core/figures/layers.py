"""Figures of every layer: separation and its law, sparsity, accuracy."""

from __future__ import annotations

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
    Style,
    figure,
    log_axis,
    message,
    number,
    reference_y,
    significant,
    theory_line,
)
from core.results import Analysis, SeparationLaw, Sparsity

_QUANTITIES = {"separation": "separation D", "nc1": "NC1"}


def separation_by_layer(
    analysis: Analysis,
    style: Style,
    quantity: Literal["separation", "nc1"] = "separation",
    selected: str | None = None,
) -> go.Figure:
    """D_l (or nc1) by layer on a log axis, with the fitted law D_l = rho^l D_0 dashed.

    With balanced classes D = K nc1, and the same law is drawn for nc1; where their ratio varies by
    more than 10 % over the layers, it is not.
    """
    name = _QUANTITIES[quantity]
    values = as_array([getattr(layer, quantity) for layer in analysis.layers])
    values[~(values > 0)] = np.nan
    if not np.isfinite(values).any():
        return message(f"{name} was not measured in any layer.", style)
    shown = [None if not np.isfinite(v) else float(v) for v in values]
    line = Line(name, shown, hover=[f"{name} {significant(v)}" for v in shown])
    x = np.arange(len(values))
    fig = figure(
        style,
        line_traces(line, x, subjects(analysis), style),
        yaxis={
            "title": {"text": name},
            **log_axis(values),
        },
        **by_layer_axes(analysis, style, selected),
    )
    law = analysis.separation_law
    factor = _law_factor(analysis, quantity)
    if law is not None and law.rho is not None and law.intercept is not None and factor is not None:
        _draw_law(fig, law, law.intercept + np.log(factor), values, style)
    return fig


def _law_factor(analysis: Analysis, quantity: str) -> float | None:
    """What the law of D is multiplied with to be that of ``quantity``; None if it has none."""
    if quantity == "separation":
        return 1.0
    pairs = [(a.nc1, a.separation) for a in analysis.layers if a.nc1 and a.separation]
    if not pairs:
        return None
    ratio = np.log([a / b for a, b in pairs])
    return float(np.exp(ratio.mean())) if np.ptp(ratio) < 0.1 else None


def _draw_law(
    fig: go.Figure, law: SeparationLaw, intercept: float, values: np.ndarray, style: Style
) -> None:
    assert law.rho is not None
    ends = np.array([0, len(values) - 1])
    whole = np.exp(intercept + np.arange(len(values)) * np.log(law.rho))
    fig.add_trace(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "fitted law",
            "x": ends,
            "y": whole[ends],
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
    ceiling = np.log10(max(np.nanmax(line[below]) for line in (values, whole)))
    fig.add_annotation(
        x=float(ends[1 if falls else 0]),
        y=float(ceiling),
        text=label,
        xanchor="right" if falls else "left",
        yanchor="bottom",
        yshift=4,
    )


def nonzero_by_layer(
    analysis: Analysis,
    style: Style,
    which: Literal["activations", "all"] = "activations",
    selected: str | None = None,
) -> go.Figure:
    """Share of non-zero activations by layer (%); open symbols where it is approximate.

    "activations": outputs of activation functions, and of blocks that end in one with exact zeros.
    """
    measured = [layer.sparsity for layer in analysis.layers]
    kept = [
        s if s and (which == "all" or s.is_activation or s.relu_like) else None for s in measured
    ]
    if not any(s is not None and s.nonzero_fraction.value is not None for s in kept):
        text = (
            "No layer here is an activation function."
            if any(measured)
            else ("The share of zeros was not measured.")
        )
        return message(text, style)
    name = "non-zero"
    line = _in_percent(
        from_estimates(
            name,
            [None if s is None else s.nonzero_fraction for s in kept],
            symbols=["circle-open" if s is not None and s.approximate else "circle" for s in kept],
        )
    )
    notes = ["" if s is None else _sparsity_note(s) for s in kept]
    hover = [text + note for text, note in zip(line.hover or (), notes, strict=True)]
    line = replace(line, hover=hover)
    x = np.arange(len(analysis.layers))
    traces = line_traces(line, x, subjects(analysis), style)
    traces[-1]["connectgaps"] = True  # layers that are no activation lie between
    return figure(
        style,
        traces,
        yaxis={"title": {"text": "non-zero activations (%)"}, "range": [0, 103], "nticks": 6},
        **by_layer_axes(analysis, style, selected),
    )


def _sparsity_note(sparsity: Sparsity) -> str:
    dead = sparsity.dead_fraction
    note = f"<br>units always zero {number(None if dead is None else 100 * dead, 1, ' %')}"
    if sparsity.approximate:
        note += f"<br>approximate: |a| > {significant(sparsity.threshold)}"
    return note


def _in_percent(line: Line) -> Line:
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
        _in_percent(
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
            _in_percent(
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

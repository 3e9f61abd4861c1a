"""Figures of zeros: shares by layer, block position, class, epoch and network; active sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from core.figures.series import (
    Line,
    as_array,
    finish_series,
    from_estimates,
    interval_texts,
    line_traces,
    series_look,
)
from core.figures.theme import (
    MAX_COLOURED,
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    layer_axis,
    message,
    number,
    short_labels,
    significant,
)
from core.results import Activation, Analysis, Estimate, LayerAnalysis

Which = Literal["activations", "blocks", "all"]
Part = Literal["all", "inside", "outputs"]
MAX_LINES = 8  # of a figure by epoch
_ORDINALS = ("outside blocks", "1st in its block", "2nd in its block", "3rd in its block")


def rows_of(analysis: Analysis, which: Which = "activations") -> tuple[Activation, ...]:
    """The measured layers to show, in call order.

    "activations": every activation function, those inside blocks too; "blocks": blocks that end in
    one with exact zeros; "all": every layer that was read and measured. Analyses that know nothing
    of the inside of blocks give what they have.
    """
    layers = [layer for layer in analysis.layers if layer.sparsity is not None]
    if which == "activations":
        return analysis.activations or tuple(map(_as_activation, _activation_layers(analysis)))
    if which == "blocks":
        layers = [
            la
            for la in layers
            if la.sparsity.relu_like and not la.sparsity.is_activation  # type: ignore[union-attr]
        ]
    return tuple(map(_as_activation, layers))


def _activation_layers(analysis: Analysis) -> list[LayerAnalysis]:
    """The layers that are activations, or blocks that end in one with exact zeros."""
    return [
        la
        for la in analysis.layers
        if la.sparsity is not None and (la.sparsity.is_activation or la.sparsity.relu_like)
    ]


def _as_activation(layer: LayerAnalysis) -> Activation:
    assert layer.sparsity is not None
    return Activation(
        layer.name, layer.module, layer.kind, layer.shape, "", 0, layer.depth, layer.sparsity
    )


def mean_share(rows: Sequence[Activation]) -> float | None:
    """Mean share of non-zeros over layers, each counting once; None without any."""
    known = [r.sparsity.nonzero_fraction.value for r in rows]
    values = [v for v in known if v is not None]
    return float(np.mean(values)) if values else None


def nonzero(
    rows: Sequence[Activation], style: Style, selected: str | None = None, by_position: bool = False
) -> go.Figure:
    """Share of non-zeros by layer (%) with its 95 % interval; open symbols where approximate.

    ``by_position``: one line for the 1st, 2nd, … activation of every block.
    """
    if mean_share(rows) is None:
        return message("No layer here is an activation function.", style)
    positions = sorted({r.position for r in rows}) if by_position else [None]
    x = np.arange(len(rows))
    subjects = [escape(r.name) for r in rows]
    lines = []
    for i, position in enumerate(positions):
        mine = [position is None or r.position == position for r in rows]
        look = series_look(i, style) if by_position else {}
        lines.append(_line(_place(position), rows, mine, look))
    traces = [t for line in lines for t in _joined(line, x, subjects, style)]
    fig = figure(
        style,
        traces,
        yaxis={"title": {"text": "non-zero activations (%)"}, "range": [0, 103], "nticks": 6},
        **_axes([r.name for r in rows], style, selected),
    )
    finish_series(fig, lines, style)
    return fig


def _place(position: int | None) -> str:
    if position is None:
        return "non-zero"
    return _ORDINALS[position] if position < len(_ORDINALS) else f"{position}th in its block"


def _line(
    name: str, rows: Sequence[Activation], mine: Sequence[bool], look: dict[str, str]
) -> Line:
    estimates = [
        _percent(r.sparsity.nonzero_fraction) if m else None
        for r, m in zip(rows, mine, strict=True)
    ]
    symbols = ["circle-open" if r.sparsity.approximate else "circle" for r in rows]
    line = from_estimates(name, estimates, symbols=symbols, **look)
    notes = []
    for r in rows:
        dead = r.sparsity.dead_fraction
        note = f"<br>units always zero {number(None if dead is None else 100 * dead, 1, ' %')}"
        if r.sparsity.approximate:
            note += f"<br>approximate: |a| > {significant(r.sparsity.threshold)}"
        notes.append(note)
    texts = interval_texts(line, unit=" %")
    return replace(line, hover=[t + n for t, n in zip(texts, notes, strict=True)])


def _percent(estimate: Estimate) -> Estimate:
    def times(v: float | None) -> float | None:
        return None if v is None else 100 * v

    return replace(
        estimate, value=times(estimate.value), low=times(estimate.low), high=times(estimate.high)
    )


def _joined(
    line: Line, x: np.ndarray, subjects: Sequence[str], style: Style
) -> list[dict[str, Any]]:
    """Traces of a line through its known points alone, as other lines' layers lie between."""
    known = np.flatnonzero(np.isfinite(as_array(line.values))).tolist()

    def pick(values: Any) -> Any:
        return None if values is None else [values[i] for i in known]

    symbols = line.symbols if isinstance(line.symbols, str) else pick(line.symbols)
    less = replace(
        line,
        values=pick(line.values),
        low=pick(line.low),
        high=pick(line.high),
        hover=pick(line.hover),
        symbols=symbols,
    )
    return line_traces(less, x[known], [subjects[i] for i in known], style)


def _axes(names: Sequence[str], style: Style, selected: str | None) -> dict[str, Any]:
    layout: dict[str, Any] = {"xaxis": layer_axis(names, style)}
    if selected is not None and selected in names:
        i = list(names).index(selected)
        strip = {"type": "rect", "x0": i - 0.5, "x1": i + 0.5, "y0": 0, "y1": 1, "yref": "paper"}
        fill = {"fillcolor": style.palette.surface, "line": {"width": 0}, "layer": "below"}
        layout["shapes"] = [strip | fill]
    return layout


def dead_units(rows: Sequence[Activation], style: Style, selected: str | None = None) -> go.Figure:
    """Share of units that are zero on every sample (%), by layer."""
    dead = [r.sparsity.dead_fraction for r in rows]
    if not any(d is not None for d in dead):
        return message("Dead units were not counted.", style)
    values = [None if d is None else 100 * d for d in dead]
    hover = [f"dead units {number(v, 2, ' %')}" for v in values]
    line = Line("dead units", values, hover=hover)
    top = max(1.0, 1.15 * max(v for v in values if v is not None))
    return figure(
        style,
        line_traces(line, np.arange(len(rows)), [escape(r.name) for r in rows], style),
        yaxis={"title": {"text": "dead units (%)"}, "range": [-0.03 * top, top], "nticks": 6},
        **_axes([r.name for r in rows], style, selected),
    )


def share_histogram(
    counts: np.ndarray | None, style: Style, of: Literal["units", "samples"]
) -> go.Figure:
    """Units by the share of samples that activate them, or samples by the share of units."""
    if counts is None or not counts.sum():
        return message(f"The distribution over {of} is not in this analysis.", style)
    other = "samples" if of == "units" else "units"
    width = 100 / len(counts)
    lows = width * np.arange(len(counts))
    percent = 100 * counts / counts.sum()
    trace = {
        "type": "bar",
        "name": of,
        "x": (lows + width / 2).tolist(),
        "y": percent.tolist(),
        "width": width * 0.92,
        "marker": {"color": style.palette.bars},
        "text": [
            f"<b>{number(low, 0)} to {number(low + width, 0)} % of the {other}</b>"
            f"<br>{int(count):,} {of} ({number(share, 1)} %)"
            for low, count, share in zip(lows, counts, percent, strict=True)
        ],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }
    x = f"active on % of the {other}" if of == "units" else "% of the units active"
    return figure(
        style,
        [trace],
        xaxis={"title": {"text": x}, "range": [0, 100], "nticks": 6},
        yaxis={"title": {"text": f"{of} (%)"}, "rangemode": "tozero"},
    )


def by_class(
    rows: Sequence[Activation],
    class_names: Sequence[str],
    style: Style,
    order: np.ndarray | None = None,
) -> go.Figure:
    """Heat map of the share of non-zeros (%), layers across, classes down."""
    if not rows or not class_names:
        return message("No layer's zeros were counted by class.", style)
    order = np.arange(len(class_names)) if order is None else order
    values = 100 * np.array([r.sparsity.class_nonzero_fraction for r in rows]).T[order]
    names = [class_names[int(k)] for k in order]
    return _heat(values, [r.name for r in rows], names, style, "non-zero", layers=True)


def class_overlap(
    overlap: np.ndarray | None,
    class_names: Sequence[str],
    style: Style,
    order: np.ndarray | None = None,
) -> go.Figure:
    """Heat map (%) of the Jaccard index of every two classes' active sets; no diagonal."""
    if overlap is None or len(overlap) < 2:
        return message("The overlap of active sets is not in this analysis.", style)
    values = 100 * np.where(np.eye(len(overlap), dtype=bool), np.nan, overlap)
    order = np.arange(len(overlap)) if order is None else order
    names = [class_names[int(k)] for k in order]
    return _heat(values[np.ix_(order, order)], names, names, style, "shared units", layers=False)


def most_shared(overlap: np.ndarray | None) -> tuple[int, int, float] | None:
    """The two classes whose active sets overlap most, and their Jaccard index."""
    if overlap is None or len(overlap) < 2:
        return None
    pairs = np.where(np.triu(np.ones_like(overlap, dtype=bool), 1), overlap, np.nan)
    if not np.isfinite(pairs).any():
        return None
    a, b = divmod(int(np.nanargmax(pairs)), len(overlap))
    return a, b, float(overlap[a, b])


def _heat(
    values: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str],
    style: Style,
    what: str,
    layers: bool,
) -> go.Figure:
    known = values[np.isfinite(values)]
    if not len(known):
        return message("No class has samples here.", style)
    low, high = percent_range(known)
    labelled = len(rows) <= MAX_COLOURED
    ticks = {"showline": False, "tickcolor": "rgba(0,0,0,0)"}
    short = [escape(n) for n in short_labels(rows, 10)]
    down = {
        "tickvals": list(range(len(rows))) if labelled else [],
        "ticktext": short if labelled else [],
        "autorange": "reversed",
        "showgrid": False,
        **ticks,
    }
    labels = {"tickvals": down["tickvals"], "ticktext": short, "tickangle": -90}
    across: dict[str, Any] = (
        layer_axis(columns, style) if layers else labels if labelled else {"tickvals": []}
    )
    trace = {
        "type": "heatmap",
        "name": what,
        "z": values.astype(np.float32),
        "zmin": low,
        "zmax": high,
        "xgap": 1 if labelled and len(columns) <= 40 else 0,
        "ygap": 1 if labelled else 0,
        "colorscale": colorscale(style.palette.sequential),
        "colorbar": colorbar(
            style,
            tickvals=[low, high],
            ticktext=[f"{number(low, 0)} %", f"{number(high, 0)} % {what}"],
        ),
        "hoverongaps": False,
        "text": [[f"{escape(r)}, {escape(c)}" for c in columns] for r in rows],
        "hovertemplate": f"<b>%{{text}}</b><br>{what} %{{z:.1f}} %<extra></extra>",
    }
    height = style.measures.height
    if not style.is_card and labelled:
        height = max(height, 24 * len(rows) + 120)
    return figure(
        style,
        [trace],
        height=height,
        margin={"t": colorbar_room(style)},
        xaxis=across | ticks | {"range": [-0.5, len(columns) - 0.5]},
        yaxis=down,
    )


def percent_range(known: np.ndarray) -> tuple[float, float]:
    """Ends of a colour scale of these percentages: one per cent apart at least, none beyond 100."""
    low, high = float(known.min()), float(known.max())
    high = min(100.0, max(high, low + 1.0))
    return min(low, high - 1.0), high


def over_epochs(by_epoch: Mapping[int, Sequence[Activation]], style: Style) -> go.Figure:
    """Share of non-zeros (%) of every layer against the epoch, on an axis of log(1 + epoch)."""
    epochs = sorted(by_epoch)
    names = list(dict.fromkeys(r.name for e in epochs for r in by_epoch[e]))
    if len(epochs) < 2 or not names:
        return message("This run has one checkpoint; epochs need several.", style)
    if len(names) > MAX_LINES:
        names = [names[i] for i in np.linspace(0, len(names) - 1, MAX_LINES).round().astype(int)]
    x = np.log1p(epochs)
    lines = []
    for i, name in enumerate(names):
        found = [next((r for r in by_epoch[e] if r.name == name), None) for e in epochs]
        estimates = [None if r is None else _percent(r.sparsity.nonzero_fraction) for r in found]
        line = from_estimates(escape(name), estimates, **series_look(i, style))
        lines.append(replace(line, hover=interval_texts(line, unit=" %")))
    subjects = [f"epoch {e}" for e in epochs]
    fig = figure(
        style,
        [t for line in lines for t in line_traces(line, x, subjects, style)],
        xaxis={"title": {"text": "epoch"}, **_epoch_ticks(epochs)},
        yaxis={"title": {"text": "non-zero activations (%)"}, "rangemode": "tozero"},
    )
    finish_series(fig, lines, style)
    for note in fig.layout.annotations:
        note.x = float(x[int(note.x)])
    return fig


def _epoch_ticks(epochs: Sequence[int]) -> dict[str, Any]:
    """Ticks at epochs that are at least a twelfth of the axis apart, the last one among them."""
    last = float(np.log1p(epochs[-1]))
    kept = [epochs[-1]]
    for e in epochs[-2::-1]:
        if np.log1p(kept[-1]) - np.log1p(e) > last / 12:
            kept.append(e)
    return {
        "tickvals": np.log1p(kept).tolist(),
        "ticktext": [str(e) for e in kept],
        "range": [-0.02 * last, 1.02 * last],
    }


@dataclass(frozen=True, slots=True)
class Network:
    """One network beside others."""

    title: str
    parameters: int
    rows: tuple[Activation, ...]


def compared(analyses: Sequence[Analysis], part: Part) -> list[tuple[Activation, ...]]:
    """The rows of networks side by side, the same part of each.

    "inside": activations within blocks, but not their outputs; "outputs": the activations outside
    blocks and the blocks' outputs, which every analysis has; "all": both. Where one of the
    networks has blocks whose inside was not read, all are compared by "outputs".
    """
    if part == "outputs" or not all(map(inside_is_known, analyses)):
        return [tuple(map(_as_activation, _activation_layers(a))) for a in analyses]
    if part == "all":
        return [rows_of(a) for a in analyses]
    outputs = [{layer.name for layer in a.layers} for a in analyses]
    inside = [
        tuple(r for r in rows_of(a) if r.name not in names)
        for a, names in zip(analyses, outputs, strict=True)
    ]
    # a network without blocks has all its activations outside
    return [rows or rows_of(a) for rows, a in zip(inside, analyses, strict=True)]


def inside_is_known(analysis: Analysis) -> bool:
    """Whether the activations inside blocks, if there are blocks, are in this analysis."""
    blocks = [la for la in _activation_layers(analysis) if not la.sparsity.is_activation]  # type: ignore[union-attr]
    return bool(analysis.activations) or not blocks


def side_by_side(networks: Sequence[Network], style: Style) -> go.Figure:
    """Share of non-zeros (%) against relative depth, one line a network."""
    networks = [n for n in networks if mean_share(n.rows) is not None]
    if not networks:
        return message("None of these networks has activations that were measured.", style)
    lines, traces = [], []
    for i, n in enumerate(networks):
        line = _line(escape(n.title), n.rows, [True] * len(n.rows), series_look(i, style))
        lines.append(replace(line, symbols="circle"))
        x = np.array([r.depth for r in n.rows])
        traces += line_traces(lines[-1], x, [escape(r.name) for r in n.rows], style)
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "relative depth, input 0 to output 1"}, "range": [0, 1.02]},
        yaxis={"title": {"text": "non-zero activations (%)"}, "range": [0, 103], "nticks": 6},
    )
    finish_series(fig, lines, style)
    for note in fig.layout.annotations:
        note.x = 1.02
    return fig


def sparser(networks: Sequence[Network]) -> str:
    """In words: mean shares from the smallest network to the largest; is the larger sparser?"""
    known = [(n, mean_share(n.rows)) for n in sorted(networks, key=lambda n: n.parameters)]
    shares = [(n, s) for n, s in known if s is not None]
    told = ", ".join(
        f"{n.title} ({n.parameters:,} parameters) {number(100 * s, 1)} %" for n, s in shares
    )
    text = f"Mean share of non-zeros over the activations: {told}."
    sizes = sorted({n.parameters for n, _ in shares})
    if len(sizes) < 2:
        return text
    steps = np.diff([np.mean([s for n, s in shares if n.parameters == size]) for size in sizes])
    if (steps < 0).all():
        return f"{text} Larger is sparser here."
    if (steps > 0).all():
        return f"{text} Larger is not sparser here: the larger, the more non-zeros."
    return f"{text} Larger is not always sparser here."

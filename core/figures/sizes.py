"""Share of non-zeros against the size of networks, by layer, and during training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.dynamics import epoch_axis, place
from core.figures.series import Line, line_traces, series_look, spread_out
from core.figures.theme import (
    SYMBOLS,
    Style,
    escape,
    figure,
    message,
    number,
    short_labels,
    significant,
    theory_line,
)
from core.results import Estimate
from core.size_sparsity import (
    HALF,
    PAPERS_SHARES,
    Layer,
    Series,
    Size,
    Slope,
    mean_over_seeds,
)
from core.training.sizes import DATA

NOTHING = "No networks of several sizes were trained in this way."
_LAYERS = {"mean": "mean of the layers", "first": "first layer", "last": "last layer"}
_PERCENT = "non-zero activations (%)"
_LEAST_SPAN = 20.0  # points that the axis of a small figure covers
_FAINT = re.compile(r"^(rgba\(.*,)[\d.]+\)$")


# --- against size ------------------------------------------------------------------------------


def share_by_size(series: Sequence[Series], style: Style, layer: Layer = "mean") -> go.Figure:
    """Final share of non-zeros (%) against width or depth (log axis), one line a kind of data.

    Bands are 95 % intervals of the mean over the seeds; the dashed line is the share that a
    symmetric initialisation starts from.
    """
    if not series:
        return message(NOTHING, style)
    lines = []
    for s in series:
        estimates = [_times(z.final_share(layer), 100) for z in s.sizes]
        hover = [_share_hover(z, e, layer) for z, e in zip(s.sizes, estimates, strict=True)]
        lines.append(_line(s, estimates, hover, style))
    fig = _against_size(series, lines, style)
    top = max(
        62.0, 1.08 * max(v for line in lines for v in _finite([*line.values, *(line.high or ())]))
    )
    fig.update_layout(yaxis={"title": {"text": _PERCENT}, "range": [0, min(104.0, top)]})
    if style.is_large:
        fig.update_layout(height=420)
    _half_line(fig, style)
    _papers_lines(fig, style)
    _label_ends(fig, lines, series, style)
    return fig


def _half_line(fig: go.Figure, style: Style) -> None:
    """The share at a symmetric start. Lines run close to it, so its label stands below them."""
    line = theory_line(style)
    half = 100 * HALF
    fig.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=half, y1=half, line=line)
    fig.add_annotation(
        x=0.0,
        xref="x domain",
        xanchor="left",
        y=0.5 * half,
        yanchor="middle",
        text=f"dashed: {number(half, 0)} %, as at the start",
    )


def _papers_lines(fig: go.Figure, style: Style) -> None:
    """The paper's own networks, thin and grey: they are no theory and no measurement of ours."""
    line = {"color": style.palette.muted, "width": 1, "dash": "dot"}
    for share in PAPERS_SHARES.values():
        fig.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=share, y1=share, line=line)
    said = ", ".join(f"{name} {number(share, 1)} %" for name, share in PAPERS_SHARES.items())
    fig.add_annotation(
        x=0.0,
        xref="x domain",
        xanchor="left",
        y=max(PAPERS_SHARES.values()),
        yanchor="bottom",
        text=f"the paper’s: {said}",
        font={"color": style.palette.muted},
    )


def active_by_size(series: Sequence[Series], style: Style, layer: Layer = "mean") -> go.Figure:
    """Final number of active units against width or depth, both axes logarithmic; dashed: half of
    the units, as at the start."""
    if not series:
        return message(NOTHING, style)
    lines, values = [], []
    for s in series:
        estimates = [mean_over_seeds(z.active(layer)[:, -1]) for z in s.sizes]
        hover = [
            f"{significant(e.value)} of {_units(z, layer):,} units"
            + _interval(e, lambda v: significant(max(v, 0.0)))
            for z, e in zip(s.sizes, estimates, strict=True)
        ]
        positive = [_positive(e) for e in estimates]
        values += [v for e in positive for v in (e.value, e.low, e.high) if v]
        lines.append(_line(s, positive, hover, style))
    fig = _against_size(series, lines, style)
    x = series[0].x()
    half = np.array([HALF * _units(z, layer) for z in series[0].sizes])
    fig.add_trace(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "half of the units",
            "x": x.tolist(),
            "y": half.tolist(),
            "line": theory_line(style),
            "hoverinfo": "skip",
        }
    )
    fig.add_annotation(
        x=1,
        xref="x domain",
        xanchor="right",
        y=0,
        yref="paper",
        yanchor="bottom",
        yshift=4,
        text="dashed: half of them",
    )
    ends = np.array([*values, *half])
    ticks = _decades(ends)
    fig.update_layout(
        yaxis={
            "title": {"text": "active units" + (", all layers" if layer == "mean" else "")},
            "type": "log",
            "tickmode": "array",
            "tickvals": ticks,
            "ticktext": [significant(t, 1) for t in ticks],
            "range": [
                float(np.log10(ends.min())) - 0.08,
                float(np.log10(ends.max())) + 0.14,
            ],
        }
    )
    _label_ends(fig, lines, series, style)
    return fig


def accuracy_by_size(series: Sequence[Series], style: Style) -> go.Figure:
    """Final training accuracy (%) against width or depth; the hover has the test accuracy."""
    if not series:
        return message(NOTHING, style)
    lines = []
    for s in series:
        estimates = [_times(mean_over_seeds(z.train_accuracy[:, -1]), 100) for z in s.sizes]
        hover = [
            f"training accuracy {number(e.value, 1, ' %')}"
            + _interval(e, lambda v: number(min(max(v, 0.0), 100.0), 1))
            + f"<br>test accuracy {number(100 * float(z.test_accuracy[:, -1].mean()), 1, ' %')}"
            for z, e in zip(s.sizes, estimates, strict=True)
        ]
        lines.append(_line(s, [_clipped(e) for e in estimates], hover, style))
    fig = _against_size(series, lines, style)
    fig.update_layout(yaxis={"title": {"text": "training accuracy (%)"}, "range": [0, 104]})
    _label_ends(fig, lines, series, style)
    return fig


def _line(
    series: Series, estimates: Sequence[Estimate], hover: Sequence[str], style: Style
) -> Line:
    index = list(DATA).index(series.images.name)
    return Line(
        series.images.title,
        [e.value for e in estimates],
        *_bounds(estimates),
        hover=hover,
        symbols=SYMBOLS[index],
        **series_look(index, style),  # type: ignore[arg-type]
    )


def _against_size(series: Sequence[Series], lines: Sequence[Line], style: Style) -> go.Figure:
    traces: list[dict[str, Any]] = []
    for s, line in zip(series, lines, strict=True):
        subjects = [f"{_name(s, z)}<br>{escape(s.images.title)}" for z in s.sizes]
        traces += line_traces(line, s.x().astype(float), subjects, style)
    every = np.unique(np.concatenate([s.x() for s in series]))
    low, high = np.log10(every[[0, -1]])
    margin = 0.05 * float(high - low) or 0.2
    title = "depth: hidden layers" if series[0].vary == "depth" else "width: units of a layer"
    if series[0].setup.network == "vit" and series[0].vary == "depth":
        title = "depth: blocks"
    return figure(
        style,
        traces,
        xaxis={
            "type": "log",
            "tickmode": "array",
            "tickvals": every.tolist(),
            "ticktext": [f"{v:,}" for v in every],
            "range": [float(low) - margin, float(high) + margin],
            "title": {"text": title},
        },
    )


def _label_ends(
    fig: go.Figure, lines: Sequence[Line], series: Sequence[Series], style: Style
) -> None:
    """The name of every line at its last point, moved apart where they would touch."""
    ticks = style.measures.ticks
    bottom, top = fig.layout.yaxis.range
    log = fig.layout.yaxis.type == "log"
    pixels = fig.layout.height - 12 - 3.6 * ticks
    ends = np.array([_last(line, log) for line in lines])
    places = (ends - bottom) / (top - bottom) * pixels
    wanted = spread_out(places, 1.2 * ticks)
    wanted -= max(0.0, float(wanted.max()) - pixels)
    for line, s, at, shift in zip(lines, series, ends, wanted - places, strict=True):
        fig.add_annotation(
            x=float(np.log10(s.x()[-1])),
            y=float(at),
            text=f'<span style="color:{line.color}">●</span> {escape(line.name)}',
            xanchor="left",
            xshift=8,
            yshift=float(shift),
        )
    fig.update_layout(margin_r=int(26 + 0.56 * ticks * max(len(line.name) for line in lines)))


# --- by layer, and during training -------------------------------------------------------------


def share_by_layer(series: Series | None, style: Style) -> go.Figure:
    """Final share of non-zeros (%) of every layer, one line a size, darker (in dark mode lighter)
    for larger ones; bands are 95 % intervals over the seeds.

    Networks of several depths are laid over each other from their first layer to their last.
    """
    if series is None:
        return message(NOTHING, style)
    lines, traces = [], []
    for i, size in enumerate(series.sizes):
        shares = size.shares[:, -1]  # (S, L)
        count = shares.shape[1]
        estimates = [_times(mean_over_seeds(shares[:, j]), 100) for j in range(count)]
        dead = 100 * size.dead[:, -1].mean(axis=0)
        hover = [
            f"non-zero {number(e.value, 1, ' %')}"
            + _interval(e, lambda v: number(v, 1))
            + f"<br>units always zero {number(float(d), 1, ' %')}"
            for e, d in zip(estimates, dead, strict=True)
        ]
        line = _size_line(series, size, i, estimates, hover, style)
        lines.append(line)
        subjects = [f"{_name(series, size)}, layer {j + 1} of {count}" for j in range(count)]
        x = np.arange(1.0, count + 1)
        if series.vary == "depth":
            x = np.linspace(0.0, 1.0, count) if count > 1 else np.ones(1)
        traces += line_traces(line, x.round(4), subjects, style)
    most = series.sizes[-1].shares.shape[2]
    if series.vary == "depth":
        axis = {"tickvals": [0, 1], "ticktext": ["first", "last"], "range": [-0.05, 1.05]}
    else:
        axis = {"tickvals": list(range(1, most + 1)), "range": [0.9, most + 0.1]}
    title = {"text": "layer, input to output"}
    fig = figure(style, traces, xaxis={"tickmode": "array", "title": title, **axis})
    _finish_shares(fig, series, lines, style)
    return fig


def share_over_epochs(series: Series | None, style: Style, layer: Layer = "mean") -> go.Figure:
    """Share of non-zeros (%) during training, one line a size; the axis is log(1 + epoch)."""
    if series is None:
        return message(NOTHING, style)
    lines, traces = [], []
    for i, size in enumerate(series.sizes):
        share = size.share(layer)  # (S, E)
        estimates = [_times(mean_over_seeds(share[:, j]), 100) for j in range(share.shape[1])]
        accuracy = 100 * size.train_accuracy.mean(axis=0)
        hover = [
            f"non-zero {number(e.value, 1, ' %')}"
            + _interval(e, lambda v: number(v, 1))
            + f"<br>training accuracy {number(float(a), 1, ' %')}"
            for e, a in zip(estimates, accuracy, strict=True)
        ]
        line = _size_line(series, size, i, estimates, hover, style)
        subjects = [f"{_name(series, size)}, epoch {epoch:,}" for epoch in size.epochs]
        x = place(np.array(size.epochs)).round(4)
        traces += line_traces(line, x, subjects, style)
        lines.append(line)
    every = np.unique(np.concatenate([size.epochs for size in series.sizes]))
    fig = figure(style, traces, xaxis={**epoch_axis(every, 7), "title": {"text": "epoch"}})
    _finish_shares(fig, series, lines, style)
    return fig


def _size_line(
    series: Series,
    size: Size,
    index: int,
    estimates: Sequence[Estimate],
    hover: Sequence[str],
    style: Style,
) -> Line:
    """Sizes have an order, and so have their colours: the stronger, the larger."""
    ramp = style.palette.sequential[4:]
    step = index / max(1, len(series.sizes) - 1)
    return Line(
        str(_value(series, size)),
        [e.value for e in estimates],
        *_bounds(estimates),
        hover=hover,
        color=ramp[round(step * (len(ramp) - 1))],
        symbols=SYMBOLS[index % len(SYMBOLS)],
    )


def _finish_shares(fig: go.Figure, series: Series, lines: Sequence[Line], style: Style) -> None:
    """Range, reference, and the size at the end of every line, the topmost with its noun."""
    values = [v for line in lines for v in (*_finite(line.values), 100 * HALF)]
    margin = max(4.0, 0.5 * (_LEAST_SPAN - (max(values) - min(values))))
    low, high = max(0.0, min(values) - margin), min(102.0, max(values) + margin)
    fig.update_layout(yaxis={"title": {"text": _PERCENT}, "range": [low, high], "nticks": 6})
    half = 100 * HALF
    fig.add_shape(
        type="line", x0=0, x1=1, xref="x domain", y0=half, y1=half, line=theory_line(style)
    )
    for trace in fig.data:
        if trace.fill:  # five bands over each other
            trace.fillcolor = _FAINT.sub(r"\g<1>0.09)", trace.fillcolor)
    ticks = style.measures.ticks
    pixels = fig.layout.height - 12 - 3.6 * ticks
    ends = np.array([_last(line) for line in lines])
    places = (ends - low) / (high - low) * pixels
    wanted = spread_out(places, 1.15 * ticks)
    wanted -= max(0.0, float(wanted.max()) - pixels)
    last = max(float(np.max(trace.x)) for trace in fig.data if not trace.fill)
    names = [line.name for line in lines]
    top = int(np.argmax(wanted))
    names[top] = f"{series.vary} {names[top]}"
    for line, name, end, shift in zip(lines, names, ends, wanted - places, strict=True):
        fig.add_annotation(
            x=last,
            y=float(end),
            text=f'<span style="color:{line.color}">●</span> {escape(name)}',
            xanchor="left",
            xshift=8,
            yshift=float(shift),
        )
    fig.update_layout(margin_r=int(26 + 0.56 * ticks * max(map(len, names))))


# --- all slopes --------------------------------------------------------------------------------


def exponents(rows: Sequence[tuple[str, str, Slope]], style: Style) -> go.Figure:
    """The exponent of every fit with its 95 % interval: (setup, data, slope) a row, from top to
    bottom. Left of the dashed line, larger networks are sparser."""
    known = [r for r in rows if r[2].value.value is not None]
    if not known:
        return message("Too few sizes were trained for a slope.", style)
    titles = [images.title for images in DATA.values()]
    setups = list(dict.fromkeys(setup for setup, _, _ in known))
    traces: list[dict[str, Any]] = []
    for i, title in enumerate(titles):
        mine = [(s, b) for s, d, b in known if d == title]
        if not mine:
            continue
        look = series_look(i, style)
        value = np.array([b.value.value for _, b in mine], dtype=np.float64)
        high = np.array([b.value.high for _, b in mine], dtype=np.float64)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": escape(title),
                "x": value.round(4).tolist(),
                "y": [setups.index(s) + 0.22 * (i - 1) for s, _ in mine],
                "error_x": {
                    "type": "data",
                    "array": (high - value).round(4).tolist(),
                    "color": look["color"],
                    "thickness": 1.5,
                    "width": 0,
                },
                "marker": {
                    "size": style.measures.marker + 2,
                    "color": look["color"],
                    "symbol": SYMBOLS[i],
                },
                "text": [_slope_hover(s, title, b) for s, b in mine],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    labels = short_labels(setups, 26)
    fig = figure(
        style,
        traces,
        height=max(style.measures.height, 90 + 46 * len(setups)),
        showlegend=True,
        margin_b=34,
        xaxis={"title": {"text": "exponent of the share"}, "showgrid": True, "nticks": 6},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(setups))),
            "ticktext": [escape(label) for label in labels],
            "range": [len(setups) - 0.5, -0.5],
            "showgrid": False,
            "ticks": "",
        },
    )
    fig.add_shape(type="line", x0=0, x1=0, y0=0, y1=1, yref="paper", line=theory_line(style))
    fig.add_annotation(
        x=0, y=1, yref="paper", yanchor="bottom", xanchor="right", xshift=-4, text="sparser ←"
    )
    fig.update_layout(margin_t=max(28, 2 * style.measures.ticks + 4))
    return fig


def _slope_hover(setup: str, data: str, slope: Slope) -> str:
    e = slope.value
    return (
        f"<b>{escape(setup)}</b><br>{escape(data)}<br>exponent {number(e.value)}<br>"
        f"95 %: {number(e.low)} to {number(e.high)}<br>{slope.networks} networks"
    )


# --- helpers -----------------------------------------------------------------------------------


def _value(series: Series, size: Size) -> int:
    return size.units if series.vary == "width" else size.depth


def _name(series: Series, size: Size) -> str:
    return f"{escape(series.setup.title)}, {series.vary} {_value(series, size):,}"


def _units(size: Size, layer: Layer) -> int:
    return size.units * (size.depth if layer == "mean" else 1)


def _share_hover(size: Size, estimate: Estimate, layer: Layer) -> str:
    start = 100 * float(size.share(layer)[:, 0].mean())
    train = 100 * float(size.train_accuracy[:, -1].mean())
    return (
        f"non-zero {number(estimate.value, 1, ' %')}, {_LAYERS[layer]}"
        + _interval(estimate, lambda v: number(v, 1))
        + f"<br>at the start {number(start, 1, ' %')}"
        + f"<br>training accuracy {number(train, 1, ' %')}<br>{len(size.seeds)} seeds"
    )


def _bounds(
    estimates: Sequence[Estimate],
) -> tuple[list[float | None] | None, list[float | None] | None]:
    """Lower and upper bounds; None where there is no interval at all, as of one seed."""
    if all(e.low is None for e in estimates):
        return None, None
    return [e.low for e in estimates], [e.high for e in estimates]


def _interval(estimate: Estimate, written: Any) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"<br>95 %: {written(estimate.low)} to {written(estimate.high)}"


def _times(estimate: Estimate, factor: float) -> Estimate:
    low, high = estimate.low, estimate.high
    return Estimate(
        None if estimate.value is None else factor * estimate.value,
        None if low is None else factor * low,
        None if high is None else factor * high,
    )


def _clipped(estimate: Estimate) -> Estimate:
    """Of a percentage: bands end where it does."""
    low, high = estimate.low, estimate.high
    return Estimate(
        estimate.value,
        None if low is None else max(0.0, low),
        None if high is None else min(100.0, high),
    )


def _positive(estimate: Estimate) -> Estimate:
    """For a log axis: without the value 0, and a bound that is not positive becomes a tenth of the
    value."""
    value, low = estimate.value or None, estimate.low
    if value is None:
        return Estimate(None, reason="none is active")
    return Estimate(value, value / 10 if low is not None and low <= 0 else low, estimate.high)


def _last(line: Line, log: bool = False) -> float:
    """Where the label of a line stands: at its last known value."""
    known = _finite(line.values)
    value = known[-1] if known else 1.0
    return float(np.log10(value)) if log else value


def _decades(values: np.ndarray) -> list[float]:
    low, high = float(values.min()), float(values.max())
    ticks = [m * 10.0**p for p in range(-4, 7) for m in (1, 2, 5)]
    return [t for t in ticks if low / 1.1 <= t <= high * 1.2]


def _finite(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None and np.isfinite(v)]

"""Figures of robustness: accuracy by severity, setting and radius, the adaptive λ, calibration, and
images as a network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.pictures import picture_grid
from core.figures.series import Line, finish_series, line_traces, series_look
from core.figures.theme import (
    SYMBOLS,
    Style,
    escape,
    figure,
    interpolate,
    message,
    number,
    reference_x,
    reference_y,
    significant,
    theory_line,
    translucent,
)
from core.metrics.calibration import ece
from core.robustness.results import AttackTable, CorruptionTable, Reliability
from core.robustness.summary import Spread

KNOBS = {"lam": "λ", "top_k": "k"}
ATTACK_NAMES = {
    "clean": "no attack",
    "noise": "random",
    "transfer": "transferred",
    "white": "PGD",
    "longer": "longer PGD",
    "worst": "worst of all",
}
FEW = 20  # images of a bin below which its accuracy is mostly chance
TALL = 1.25  # times the height of other figures
MAX_LABEL = 26


@dataclass(frozen=True, slots=True)
class Shown:
    """A line over severities, radii or settings, in percent: the mean, and the smallest and the
    largest value over seeds, or an interval over images."""

    name: str
    mean: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    hover: tuple[str, ...] | None = None

    @classmethod
    def of(cls, name: str, spread: Spread, unit: str = " %") -> Shown:
        """From the values of all seeds (n, m)."""
        mean, error = spread.mean, spread.error
        if spread.seeds < 2:
            return cls(name, mean, hover=tuple(number(v, 1, unit) for v in mean))
        texts = [
            f"{number(m, 1)} ± {number(e, 1, unit)}<br>{spread.seeds} seeds: {number(lo, 1)} to "
            f"{number(hi, 1, unit)}"
            for m, e, lo, hi in zip(mean, error, spread.low, spread.high, strict=True)
        ]
        return cls(name, mean, spread.low, spread.high, tuple(texts))

    @classmethod
    def with_interval(
        cls, name: str, values: Sequence[float], bounds: Sequence[tuple[float, float]]
    ) -> Shown:
        """Of one network, with 95 % intervals over images."""
        low, high = np.array(bounds).T
        texts = [
            f"{number(v, 1, ' %')}<br>95 %: {number(lo, 1)} to {number(hi, 1, ' %')}"
            for v, lo, hi in zip(values, low, high, strict=True)
        ]
        return cls(name, np.array(values, np.float64), low, high, tuple(texts))


def by_severity(
    shown: Sequence[Shown],
    severities: Sequence[int],
    style: Style,
    title: str = "accuracy (%)",
    chance: float | None = None,
    tall: bool = False,
) -> go.Figure:
    """A line a network over the severities, with its band; ``chance`` in percent. ``tall``: as high
    as the diagram of reliability."""
    if not shown:
        return message("No severity was measured.", style)
    x = np.arange(len(severities), dtype=np.float64)
    subjects = [f"severity {s}" if s else "clean" for s in severities]
    lines = [_line(one, i, style) for i, one in enumerate(shown)]
    accuracy = title.startswith("accuracy")
    span = _span(shown, chance)
    fig = figure(
        style,
        _traces(lines, x, subjects, style),
        height=int((TALL if tall else 1) * style.measures.height),
        xaxis=_severity_axis(severities),
        yaxis={
            "title": {"text": title},
            **({"range": span, "nticks": 6} if accuracy else {"rangemode": "tozero"}),
        },
    )
    if chance is not None and span[0] <= chance:
        reference_y(fig, chance, f"chance {number(chance, 0)} %", style)
    _finish(fig, lines, style)
    return fig


def _span(shown: Sequence[Shown], chance: float | None) -> list[float]:
    """From 0 to 100 %, or around the lines and bands where these are far above chance and close
    together."""
    ends = [v for one in shown for v in (one.mean, one.low, one.high) if v is not None]
    low, high = (float(f(np.concatenate(ends))) for f in (np.nanmin, np.nanmax))
    if not high - low < (low - (chance or 0.0)) / 2:
        return [0.0, 103.0]
    margin = max(1.0, 0.15 * (high - low))
    return [max(0.0, low - margin), min(103.0, high + margin)]


def _severity_axis(severities: Sequence[int]) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": list(range(len(severities))),
        "ticktext": [str(s) if s else "clean" for s in severities],
        "range": [-0.25, len(severities) - 0.75],
        "title": {"text": "severity"},
    }


def _line(one: Shown, index: int, style: Style, name: str | None = None, **look: Any) -> Line:
    given: dict[str, Any] = {**series_look(index, style), "symbols": SYMBOLS[index], **look}
    text = _short(one.name if name is None else name)
    hover = one.hover or tuple(number(v, 1, " %") for v in one.mean)
    return Line(
        text,
        _numbers(one.mean),
        None if one.low is None else _numbers(one.low),
        None if one.high is None else _numbers(one.high),
        [f"{text} {h}" for h in hover],
        **given,
    )


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in np.asarray(values, np.float64)]


def _short(name: str) -> str:
    return escape(name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1].rstrip() + "…")


def _traces(
    lines: Sequence[Line], x: np.ndarray, subjects: Sequence[str], style: Style
) -> list[dict[str, Any]]:
    found = [t for line in lines for t in line_traces(line, x, subjects, style)]
    for trace in found:
        if trace["mode"] == "none":
            trace["name"] = trace["name"].replace("95 % interval", "range")
    return found


def _finish(fig: go.Figure, lines: Sequence[Line], style: Style) -> None:
    """Which line is which; a legend that does not fit one row gets room for more."""
    finish_series(fig, lines, style)
    if not fig.layout.showlegend:
        return
    ticks = style.measures.ticks
    widest = 0.58 * ticks * max(len(line.name) for line in lines) + 50
    columns = max(1, int(0.92 * style.measures.width / widest))
    more = -(-len(lines) // columns) - 1
    room = int(1.6 * ticks * more)
    fig.update_layout(margin_b=fig.layout.margin.b + room, height=fig.layout.height + room)


# --- settings ----------------------------------------------------------------------------------


def by_setting(
    spread: Spread,
    values: np.ndarray,
    severities: Sequence[int],
    trained: float | None,
    knob: str,
    style: Style,
) -> go.Figure:
    """Accuracy (n, S, M) against the setting, one line a severity, the best one of each ringed."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return message("This network was measured at one setting only.", style)
    x = np.arange(len(values), dtype=np.float64)
    symbol = KNOBS.get(knob, "setting")
    subjects = [f"{symbol} = {significant(v, 2)}" for v in values]
    mean, traces, lines = spread.mean, [], []
    colors = _severity_colors(len(severities), style)
    for s, severity in enumerate(severities):
        one = Shown.of(f"severity {severity}" if severity else "clean", spread.at(s))
        label = str(severity) if severity else "clean"
        line = _line(one, 0, style, color=colors[s], dash="solid", symbols="circle")
        lines.append(replace(line, name=label))
        traces += _traces([line], x, subjects, style)
    best = mean.argmax(1)
    rings = {
        "type": "scatter",
        "mode": "markers",
        "name": "best",
        "x": x[best],
        "y": [float(mean[s, b]) for s, b in enumerate(best)],
        "marker": {
            "symbol": "circle-open",
            "size": 2.4 * style.measures.marker,
            "color": style.palette.ink,
            "line": {"width": 1.5},
        },
        "hoverinfo": "skip",
    }
    fig = figure(
        style,
        [*traces, rings],
        xaxis=_setting_axis(values, f"{symbol} at test time", style),
        yaxis={"title": {"text": "accuracy (%)"}, "nticks": 6, "rangemode": "tozero"},
    )
    _mark_trained(fig, values, trained, style)
    finish_series(fig, lines, style)
    return fig


def _severity_colors(count: int, style: Style) -> list[str]:
    return [
        interpolate(style.palette.sequential, 0.42 + 0.58 * i / max(1, count - 1))
        for i in range(count)
    ]


def _setting_axis(values: np.ndarray, title: str, style: Style) -> dict[str, Any]:
    """Settings at equal distances: they are chosen by ratio, and λ may be 0."""
    labels = [significant(v, 2).rstrip("0").rstrip(".") if v % 1 else f"{v:.0f}" for v in values]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(values))),
        "ticktext": labels,
        "range": [-0.3, len(values) - 0.7],
        "title": {"text": title},
        "tickangle": 0 if len(values) <= 6 or not style.is_card else -60,
    }


def _mark_trained(fig: go.Figure, values: np.ndarray, trained: float | None, style: Style) -> None:
    if trained is not None:
        at = int(np.abs(np.asarray(values, np.float64) - trained).argmin())
        reference_x(fig, at, "training", style)


def setting_fit(tables: Sequence[CorruptionTable], style: Style) -> go.Figure:
    """Best λ against the reconstruction error, a point a family, severity and seed, and the fitted
    lines, one a seed."""
    fits = [t.adaptive for t in tables if t.adaptive is not None]
    if not fits:
        return message("No λ was fitted to the reconstruction error.", style)
    known = [name for t in tables for name in t.families]
    families = list(dict.fromkeys(known))
    traces = []
    for i, family in enumerate(["", *families]):
        look = series_look(i - 1, style) if family else {"color": style.palette.muted}
        x, y, hover = [], [], []
        for n, fit in enumerate(fits):
            for name, severity, error, best in zip(
                fit.families, fit.severities, fit.errors, fit.best, strict=True
            ):
                clean = not severity or not name
                if (clean and not family) or (name == family and not clean):
                    x.append(float(error))
                    y.append(float(best))
                    what = "clean" if clean else f"{_title(family)} {int(severity)}"
                    hover.append(
                        f"<b>{what}</b>, network {n + 1}<br>error {significant(error)}<br>best λ "
                        f"{significant(best, 2)}"
                    )
        if x:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": _title(family).removesuffix(" noise") if family else "clean",
                    "x": x,
                    "y": y,
                    "text": hover,
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": {
                        "color": look["color"],
                        "symbol": SYMBOLS[max(0, i - 1)],
                        "size": 1.2 * style.measures.marker,
                        "opacity": 0.75,
                    },
                    "showlegend": bool(family) and len(families) <= 3,
                }
            )
    everything = np.concatenate([np.asarray(f.errors, np.float64) for f in fits])
    ends = np.array([everything.min(), everything.max()])
    for n, fit in enumerate(fits):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"fit {n + 1}",
                "x": ends,
                "y": fit.intercept + fit.slope * ends,
                "line": theory_line(style),
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    known_r2 = [f.r2 for f in fits if f.r2 is not None]
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "reconstruction error (root mean square)"}, "nticks": 6},
        yaxis={"title": {"text": "best λ"}, "rangemode": "tozero", "nticks": 6},
        showlegend=len(families) <= 3,
    )
    fig.update_layout(margin={"b": 30, "t": 28})
    if known_r2:
        low, high = (number(f(known_r2), 2) for f in (min, max))
        text = f"r² = {low}" if low == high else f"r² = {low} to {high}"
        fig.add_annotation(
            x=1, xref="paper", xanchor="right", y=1, yref="paper", yanchor="bottom", text=text
        )
    return fig


def _title(family: str) -> str:
    words = family.replace("_", " ")
    return escape(words[:1].upper() + words[1:])


def chosen_setting(
    chosen: Spread, spread: np.ndarray, best: np.ndarray, severities: Sequence[int], style: Style
) -> go.Figure:
    """λ that the fit chose by severity (n, S): the mean, a band of one standard deviation over the
    images (S,), and the best λ in hindsight (S,)."""
    x = np.arange(len(severities), dtype=np.float64)
    subjects = [f"severity {s}" if s else "clean" for s in severities]
    mean = chosen.mean
    hover = [
        f"λ chosen {significant(m, 2)}<br>± {significant(d, 2)} over images"
        for m, d in zip(mean, spread, strict=True)
    ]
    lines = [
        Line(
            "chosen",
            _numbers(mean),
            _numbers(mean - spread),
            _numbers(mean + spread),
            hover,
            color=series_look(0, style)["color"],
        ),
        Line(
            "best in hindsight",
            _numbers(best),
            hover=[f"best λ {significant(v, 2)}" for v in best],
            symbols="square-open",
            color=series_look(1, style)["color"],
            dash="dash",
        ),
    ]
    fig = figure(
        style,
        _traces(lines, x, subjects, style),
        xaxis=_severity_axis(severities),
        yaxis={"title": {"text": "λ"}, "rangemode": "tozero", "nticks": 6},
    )
    _finish(fig, lines, style)
    return fig


# --- attacks -----------------------------------------------------------------------------------


def by_radius(
    worst: Sequence[Shown],
    white: Sequence[Shown],
    radii: np.ndarray,
    norm: str,
    style: Style,
    chance: float | None = None,
) -> go.Figure:
    """Accuracy against the radius of the attack: solid what survives every attack, with its band;
    dotted what survives PGD alone, in the same colour."""
    if not worst:
        return message("No network was attacked.", style)
    radii = np.asarray(radii, np.float64)
    x = 255 * radii if norm == "linf" else radii
    names = [f"radius {r:g}{'/255' if norm == 'linf' else ''}" for r in np.round(x, 3)]
    lines = [_line(one, i, style, dash="solid") for i, one in enumerate(worst)]
    dotted = [
        replace(_line(one, i, style, f"{one.name}, PGD", dash="dot"), low=None, high=None)
        for i, one in enumerate(white)
    ]
    traces = _traces(dotted, x, names, style)
    for trace in traces:
        trace |= {"mode": "lines", "showlegend": False}
    fig = figure(
        style,
        [*traces, *_traces(lines, x, names, style)],
        xaxis={
            "title": {"text": "radius (1/255)" if norm == "linf" else "radius (L2)"},
            "tickmode": "array",
            "tickvals": x.tolist(),
            "ticktext": [f"{v:g}" for v in np.round(x, 3)],
            "range": [-0.03 * x[-1], 1.03 * x[-1]],
        },
        yaxis={"title": {"text": "accuracy (%)"}, "range": [0, 103], "nticks": 6},
    )
    if chance is not None:
        reference_y(fig, chance, f"chance {number(chance, 0)} %", style)
    _finish(fig, lines, style)
    return fig


def attacks_by_setting(
    found: Mapping[str, Spread],
    values: np.ndarray,
    trained: float | None,
    tuned: float | None,
    knob: str,
    style: Style,
) -> go.Figure:
    """Accuracy (n, M) against the setting, a line an attack (keys of ATTACK_NAMES)."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return message("This network was attacked at one setting only.", style)
    symbol = KNOBS.get(knob, "setting")
    x = np.arange(len(values), dtype=np.float64)
    order = [name for name in ATTACK_NAMES if name in found]
    lines = [
        _line(Shown.of(ATTACK_NAMES[name], found[name]), i, style) for i, name in enumerate(order)
    ]
    fig = figure(
        style,
        _traces(lines, x, [f"{symbol} = {significant(v, 2)}" for v in values], style),
        xaxis=_setting_axis(values, f"{symbol} at test time", style),
        yaxis={"title": {"text": "accuracy (%)"}, "rangemode": "tozero", "nticks": 6},
    )
    _mark_trained(fig, values, trained, style)
    if tuned is not None and (trained is None or abs(tuned - trained) > 1e-6):
        reference_x(fig, int(np.abs(values - tuned).argmin()), "tuned", style)
    finish_series(fig, lines, style)
    return fig


def clean_by_setting(tables: Sequence[AttackTable]) -> Spread:
    """Accuracy (n, M) without an attack: at radius 0."""
    return Spread(np.stack([100 * np.asarray(t.white, np.float64)[0] for t in tables]))


# --- calibration -------------------------------------------------------------------------------


def reliability_diagram(shown: Sequence[tuple[str, Reliability]], style: Style) -> go.Figure:
    """Accuracy by confidence against the diagonal, and below it the share of images in every bin.
    Bins of fewer than 20 images have open symbols."""
    there = [(n, r) for n, r in shown if np.asarray(r.counts).sum()]
    if not there:
        return message("No confidence was measured.", style)
    traces: list[dict[str, Any]] = []
    for i, (name, one) in enumerate(there):
        text, look = _short(name), series_look(i, style)
        counts = np.asarray(one.counts, np.float64)
        known = counts > 0
        x = 100 * np.asarray(one.confidence, np.float64)[known]
        y = 100 * np.asarray(one.accuracy, np.float64)[known]
        n = counts[known]
        hover = [
            f"<b>{text}</b><br>confidence {number(a, 1, ' %')}<br>accuracy {number(b, 1, ' %')}"
            f"<br>{int(c):,} images"
            for a, b, c in zip(x, y, n, strict=True)
        ]
        error = ece(one)
        shared = {"text": hover, "hovertemplate": "%{text}<extra></extra>"}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{text}, ECE {number(None if error is None else 100 * error, 1, ' %')}",
                "x": x,
                "y": y,
                "line": {
                    "color": look["color"],
                    "width": style.measures.line,
                    "dash": look["dash"],
                },
                "marker": {
                    "size": style.measures.marker,
                    "color": look["color"],
                    "symbol": [SYMBOLS[i] + ("-open" if c < FEW else "") for c in n],
                },
                **shared,
            }
        )
        width = 100 / len(counts)
        centres = width * (np.flatnonzero(known) + 0.5)
        bar = 0.85 * width / len(there)
        traces.append(
            {
                "type": "bar",
                "name": f"{text}, images",
                "x": centres + (i - (len(there) - 1) / 2) * bar,
                "y": 100 * n / n.sum(),
                "width": bar,
                "marker": {"color": translucent(look["color"], 0.7)},
                "textposition": "none",
                "showlegend": False,
                "yaxis": "y2",
                **shared,
            }
        )
    fig = figure(
        style,
        traces,
        height=int(TALL * style.measures.height),
        showlegend=1 < len(there) <= 3,
        barmode="overlay",
        xaxis={"title": {"text": "confidence (%)"}, "range": [0, 101], "anchor": "y2"},
        yaxis={
            "title": {"text": "accuracy (%)"},
            "range": [0, 103],
            "domain": [0.34, 1],
            "nticks": 6,
        },
        yaxis2={"title": {"text": "images (%)"}, "domain": [0, 0.24], "nticks": 4},
    )
    fig.add_shape(type="line", x0=0, x1=100, y0=0, y1=100, line=theory_line(style))
    fig.add_annotation(  # where neither an honest nor an overconfident network has its line
        x=100, y=2, text="dashed: accuracy = confidence", xanchor="right", yanchor="bottom"
    )
    names = [Line(t["name"], ()) for t in traces if t["type"] == "scatter"]
    _finish(fig, names, style)
    return fig


def by_label_noise(
    shown: Sequence[Shown], noise: Sequence[int], style: Style, chance: float | None = None
) -> go.Figure:
    """Accuracy against the share of random training labels, one line a network."""
    if not shown or not noise:
        return message("No network was trained with random labels.", style)
    x = np.array(noise, np.float64)
    lines = [_line(one, i, style) for i, one in enumerate(shown)]
    fig = figure(
        style,
        _traces(lines, x, [f"{n} % of the labels random" for n in noise], style),
        xaxis={
            "title": {"text": "training labels that are random (%)"},
            "tickmode": "array",
            "tickvals": x.tolist(),
            "range": [-4, max(84.0, float(x[-1]) + 4)],
        },
        yaxis={"title": {"text": "accuracy (%)"}, "range": [0, 103], "nticks": 6},
    )
    if chance is not None:
        reference_y(fig, chance, f"chance {number(chance, 0)} %", style)
    _finish(fig, lines, style)
    return fig


# --- images ------------------------------------------------------------------------------------


def seen(png: bytes, rows: Sequence[str], columns: Sequence[str], style: Style) -> go.Figure:
    """The picture of ``core.robustness.seen``: a column an image, a row a stage; what the network
    says on hover."""
    hover = [[f"<b>{escape(c)}</b><br>{escape(row)}" for c in columns] for row in rows]
    return picture_grid(
        png,
        hover,
        [_two_lines(column) for column in columns],
        [escape(row).replace(", ", ",<br>") for row in rows],
        style,
        max(style.measures.height, 90 * len(rows) + 20),
    )


def _two_lines(column: str) -> str:
    """ "cat → dog" with what the network says below, both short."""
    parts = column.split(" → ")
    return "<br>→ ".join(escape(p if len(p) <= 12 else p[:11] + "…") for p in parts)

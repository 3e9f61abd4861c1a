"""Figures of a text transformer's MLPs: non-zeros by depth and by token position, and in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
import plotly.graph_objects as go

from core.figures.series import Line, finish_series, interval_texts, line_traces, series_look
from core.figures.sparsity import percent_range
from core.figures.theme import (
    Style,
    colorbar,
    colorbar_room,
    colorscale,
    escape,
    figure,
    message,
    number,
    reference_y,
    significant,
)
from core.results import MLPSparsity

FEW_TOKENS = 20  # at a position; below it a mean says little

HALF = 0.5
"""Share that a ReLU lets through where its inputs are symmetric about 0, as in a random start."""


@dataclass(frozen=True, slots=True)
class Row:
    """One block in the table, in per cent."""

    stack: str
    block: int  # from 1
    module: str
    units: int
    share: float
    low: float
    high: float
    counted: str  # "a ≠ 0" or "|a| > 0.025"


def rows(mlps: Sequence[MLPSparsity]) -> tuple[Row, ...]:
    """Every block of every stack, in order."""
    return tuple(
        Row(
            m.stack,
            i + 1,
            m.blocks[i],
            int(m.units[i]),
            100 * float(m.share[i]),
            100 * float(m.low[i]),
            100 * float(m.high[i]),
            _counted(m, i),
        )
        for m in mlps
        for i in range(len(m.blocks))
    )


def as_csv(table: Sequence[Row]) -> str:
    """The table with a head line; shares in per cent, empty where unknown."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    for row in table:
        cells = astuple(row)
        writer.writerow(["" if isinstance(c, float) and not np.isfinite(c) else c for c in cells])
    return buffer.getvalue()


def _counted(mlp: MLPSparsity, block: int) -> str:
    return f"|a| > {significant(float(mlp.thresholds[block]), 2)}" if mlp.approximate else "a ≠ 0"


def by_depth(mlps: Sequence[MLPSparsity], style: Style) -> go.Figure:
    """Share of non-zeros (%) by block, a line a stack with its 95 % interval over texts; open
    symbols where it is approximate. Dashed: a random ReLU, where zeros are exact."""
    known = [m for m in mlps if np.isfinite(m.share).any()]
    if not known:
        return message("No MLP of this network was counted.", style)
    lines, traces = [], []
    for i, m in enumerate(known):
        look = series_look(i, style) if len(known) > 1 else {}
        line = Line(
            escape(m.stack),
            _percent(m.share),
            _percent(m.low) if np.isfinite(m.low).any() else None,
            _percent(m.high) if np.isfinite(m.high).any() else None,
            symbols=("circle", "square")[i % 2] + ("-open" if m.approximate else ""),
            **look,
        )
        notes = [
            f"<br>{int(units):,} hidden units, {escape(m.activation)}"
            + (f"<br>approximate: {escape(_counted(m, b))}" if m.approximate else "")
            for b, units in enumerate(m.units)
        ]
        texts = interval_texts(line, unit=" %")
        line = replace(line, hover=[t + n for t, n in zip(texts, notes, strict=True)])
        names = [f"{escape(m.stack)}, block {b + 1}" for b in range(len(m.blocks))]
        traces += line_traces(line, np.arange(1, len(m.blocks) + 1), names, style)
        lines.append(line)
    depth = max(len(m.blocks) for m in known)
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "block, first to last"}, **_whole_ticks(depth, 1, style)},
        yaxis={"title": {"text": "non-zero activations (%)"}, "range": [0, 103], "nticks": 6},
    )
    if not any(m.approximate for m in known):
        reference_y(fig, 100 * HALF, "random ReLU 50 %", style, "right")
    finish_series(fig, lines, style)
    return fig


def _percent(values: np.ndarray) -> list[float | None]:
    return [100 * float(v) if np.isfinite(v) else None for v in values]


def _whole_ticks(count: int, first: int, style: Style) -> dict[str, object]:
    """Ticks at whole numbers, ``first`` and the following, as many as there is room for."""
    fits = max(2, int(0.8 * style.measures.width / (2.6 * style.measures.ticks)))
    step = next(s * 10**p for p in range(6) for s in (1, 2, 5) if count <= fits * s * 10**p)
    values = [first, *(v for v in range(step, count + first, step) if v > first)]
    return {"tickvals": values, "range": [first - 0.6, first + count - 0.4]}


def by_position(mlp: MLPSparsity, style: Style) -> go.Figure:
    """Heat map of the share of non-zeros (%): blocks down, token positions across."""
    values = 100 * np.asarray(mlp.by_position, dtype=np.float64)  # (L, P)
    known = values[np.isfinite(values)]
    if not len(known):
        return message("No token of these texts was counted.", style)
    low, high = percent_range(known)
    depth, positions = values.shape
    ticks = {"showline": False, "tickcolor": "rgba(0,0,0,0)", "showgrid": False}
    stack = escape(mlp.stack)
    trace = {
        "type": "heatmap",
        "name": "non-zero",
        "x": list(range(1, positions + 1)),
        "y": list(range(1, depth + 1)),
        "z": values.astype(np.float32),
        "zmin": low,
        "zmax": high,
        "xgap": 1 if positions <= 40 else 0,
        "ygap": 1 if depth <= 40 else 0,
        "colorscale": colorscale(style.palette.sequential),
        "colorbar": colorbar(
            style,
            tickvals=[low, high],
            ticktext=[f"{number(low, 0)} %", f"{number(high, 0)} % non-zero"],
        ),
        "hoverongaps": False,
        "text": [[_tokens(int(n)) for n in mlp.tokens] for _ in range(depth)],
        "hovertemplate": f"<b>{stack}, block %{{y}}, token %{{x}}</b><br>non-zero %{{z:.1f}} %"
        "<br>%{text}<extra></extra>",
    }
    down = _whole_ticks(depth, 1, style)
    return figure(
        style,
        [trace],
        margin={"t": colorbar_room(style)},
        xaxis={
            "title": {"text": "token of the text"},
            **_whole_ticks(positions, 1, style),
            "range": [0.5, positions + 0.5],
            **ticks,
        },
        yaxis={
            "title": {"text": "block"},
            "tickvals": down["tickvals"],
            "range": [depth + 0.5, 0.5],
            **ticks,
        },
    )


def _tokens(count: int) -> str:
    few = ", which is few" if count < FEW_TOKENS else ""
    return f"{'1 token' if count == 1 else f'{count:,} tokens'} there{few}"


# --- in words ----------------------------------------------------------------------------------


def in_words(mlps: Sequence[MLPSparsity]) -> str:
    """Mean, sparsest and densest block of every stack; what is approximate says so."""
    told = []
    for m in mlps:
        known = np.flatnonzero(np.isfinite(m.share))
        if not len(known):
            continue
        least = int(known[np.argmin(m.share[known])])
        most = int(known[np.argmax(m.share[known])])
        blocks = "1 block" if len(known) == 1 else f"{len(known)} blocks"
        text = f"{m.stack.capitalize()}: {_share(m.share[known].mean())} over {blocks}"
        if least != most:
            text += (
                f", from {_share(m.share[least])} (block {least + 1}) to {_share(m.share[most])} "
                f"(block {most + 1})"
            )
        told.append(f"{text}.")
    if not told:
        return "No MLP of this network was counted."
    text = " ".join(told)
    if any(m.approximate for m in mlps):
        name = next(m.activation for m in mlps if m.approximate)
        text += (
            f" All of this is approximate: {name} is hardly ever exactly 0, so what lies below a "
            "thousandth of a layer's largest |a| counts as zero."
        )
    return text


def position_in_words(mlp: MLPSparsity) -> str:
    """How far the first token differs from the others, over all blocks; where tokens are few."""
    values = np.asarray(mlp.by_position, dtype=np.float64)
    finite = np.isfinite(values).all(axis=0) & (mlp.tokens >= FEW_TOKENS)
    rest = np.flatnonzero(finite[1:]) + 1
    if not finite.size or not finite[0] or not len(rest):
        return f"Too few tokens to compare positions: {FEW_TOKENS} are needed at two of them."
    weights = mlp.tokens[rest].astype(np.float64)
    first = float(values[:, 0].mean())
    others = float(np.average(values[:, rest].mean(axis=0), weights=weights))
    text = (
        f"At the first token {_share(first)} are not zero, at the others {_share(others)}, over "
        "all blocks."
    )
    few = int((mlp.tokens < FEW_TOKENS).sum())
    if few:
        where = "1 position has" if few == 1 else f"{few} positions have"
        text += f" {where} fewer than {FEW_TOKENS} tokens and are left out of this."
    return text


def _share(value: float) -> str:
    return number(100 * float(value), 1, " %")

"""Figures of the page Sparse coding: one patch, its code, and how the code is found."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.series import Line, finish_series, line_traces, series_look
from core.figures.theme import (
    Style,
    escape,
    figure,
    log_axis,
    message,
    number,
    reference_x,
    rgb,
    significant,
    theory_line,
)
from core.sparse_lab import (
    LAMBDAS,
    NOISES,
    LabRequest,
    LabResult,
    Models,
    Sweep,
    atom_rows,
    key_of,
    percent,
    sheet,
)
from core.theory.sparse_coding import STABLE_CONSTANT, STABLE_FACTOR, Stability

GAP = 0.08  # between tiles, as a share of a tile
_ATOM_COLUMNS = 8
_TOP = {"constrain": "domain", "constraintoward": "top"}
_HIDDEN: dict[str, Any] = {"visible": False, "fixedrange": True}


def _picture(
    png: bytes, x: float, y: float, width: float, height: float, stretch: bool = True
) -> dict[str, Any]:
    """A PNG with its upper left corner at (x, y) of axes whose y grows upwards; unless
    ``stretch``ed it keeps its shape, in the middle."""
    place = {"x": x} if stretch else {"x": x + width / 2, "xanchor": "center"}
    return {
        "source": "data:image/png;base64," + base64.b64encode(png).decode(),
        **{"xref": "x", "yref": "y", **place, "y": y, "sizex": width, "sizey": height},
        "sizing": "stretch" if stretch else "contain",
        "layer": "below",
    }


def _legend_room(style: Style) -> dict[str, int]:
    return {"b": 44 if style.size == "presentation" else 30}


# --- pictures -------------------------------------------------------------------------------------


def pictures(result: LabResult, style: Style) -> go.Figure:
    """The patch, the patch with noise, what the code stands for, and what it leaves."""
    noise = result.request.noise
    shown = (
        ("patch", result.clean, "as the image has it"),
        ("x, with noise", result.noisy, f"σ = {number(noise, 1)}" if noise else "no noise chosen"),
        ("A z", result.reconstruction, f"off the patch by {number(result.error)}"),
        ("x − A z", result.residual, f"root mean square {number(result.misfit)}; grey is zero"),
    )
    return _row([(title, picture, text) for title, picture, text in shown], style)


def _row(shown: Sequence[tuple[str, np.ndarray, str]], style: Style) -> go.Figure:
    """Pictures in one row, a title above and a line on hover."""
    count, step = len(shown), 1 + GAP
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "pictures",
        "x": [i * step + 0.5 for i in range(count)],
        "y": [0.5] * count,
        "text": [f"<b>{title}</b><br>{text}" for title, _, text in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 60, "opacity": 0, "symbol": "square"},
    }
    wide = count * step - GAP
    png = sheet([picture for _, picture, _ in shown], count, GAP)
    return figure(
        style,
        [trace],
        height=max(258, style.measures.height - 80),
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        images=[_picture(png, 0, 1, wide, 1)],
        annotations=[
            {"x": i * step + 0.5, "y": 1.02, "yanchor": "bottom", "text": title}
            for i, (title, _, _) in enumerate(shown)
        ],
        xaxis={**_HIDDEN, "range": [0, wide], "constrain": "domain"},
        yaxis={**_HIDDEN, "range": [0, 1.2], "scaleanchor": "x", **_TOP},
    )


def atoms(result: LabResult, style: Style) -> go.Figure:
    """The dictionary's atoms as pictures; the bar below each is its share of ‖z‖₁."""
    count = len(result.atoms)
    columns = min(_ATOM_COLUMNS, count)
    rows, step = -(-count // columns), 1 + GAP
    weight = np.abs(result.code).reshape(count, -1).sum(1)
    used = np.count_nonzero(result.code.reshape(count, -1), axis=1)
    share = weight / weight.sum() if weight.any() else np.zeros(count)
    high = 1.3  # a tile, and the bar below it
    left = [(i % columns) * step for i in range(count)]
    top = [rows * high - (i // columns) * high for i in range(count)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "atoms",
        "x": [x + 0.5 for x in left],
        "y": [y - 0.5 for y in top],
        "text": [
            f"<b>atom {i + 1}</b><br>{percent(s)} of ‖z‖₁<br>{n} of {result.code[0].size} places"
            for i, (s, n) in enumerate(zip(share.tolist(), used.tolist(), strict=True))
        ],
        "customdata": share.tolist(),
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 30, "opacity": 0, "symbol": "square"},
    }
    bars = [
        {
            **{"type": "rect", "x0": x, "x1": x + s / max(share.max(), 1e-12)},
            **{"y0": y - 1.16, "y1": y - 1.06, "line": {"width": 0}},
            "fillcolor": style.palette.bars,
        }
        for x, y, s in zip(left, top, share.tolist(), strict=True)
        if s > 0
    ]
    wide = columns * step - GAP
    images = []
    for row, png in enumerate(atom_rows(*key_of(result.request), columns, GAP)):
        width = (min(count, (row + 1) * columns) - row * columns) * step - GAP
        images.append(_picture(png, 0, (rows - row) * high, width, 1))
    return figure(
        style,
        [trace],
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        shapes=bars,
        images=images,
        xaxis={**_HIDDEN, "range": [0, wide], "constrain": "domain"},
        yaxis={**_HIDDEN, "range": [0, rows * high], "scaleanchor": "x", **_TOP},
    )


# --- the code -------------------------------------------------------------------------------------


def code_maps(result: LabResult, style: Style) -> go.Figure:
    """Every entry of both codes, a row an atom, a column a place; what is zero has no colour."""
    models = (("synthesis", result.code), ("analysis", result.analysis))
    traces: list[dict[str, Any]] = []
    count = len(result.code)
    places = result.code[0].size
    for i, (name, code) in enumerate(models):
        z = code.reshape(count, -1)
        most = float(np.abs(z).max()) or 1.0
        traces.append(
            {
                "type": "heatmap",
                "name": name,
                "z": np.where(z == 0, np.nan, np.round(z, 4)),
                "x": list(range(places)),
                "y": list(range(1, count + 1)),
                "colorscale": _signed(style),
                **{"zmin": -most, "zmax": most, "showscale": False, "hoverongaps": False},
                "hovertemplate": f"<b>{name}</b><br>atom %{{y}}, place %{{x}}<br>z = %{{z:.3f}}"
                "<extra></extra>",
                "xaxis": "x",
                "yaxis": "y" if i == 0 else "y2",
            }
        )
    said = [
        ("synthesis", result.share, result.error),
        ("analysis", result.analysis_share, result.analysis_error),
    ]
    axis: dict[str, Any] = {
        "showgrid": False,
        "nticks": 4,
        "title": {"text": "atom"},
        "autorange": "reversed",
    }
    fig = figure(
        style,
        traces,
        height=max(style.measures.height, 320),
        margin={"t": 28},
        xaxis={"title": {"text": "place, row by row"}, "anchor": "y2", "showgrid": False},
        yaxis={**axis, "domain": [0.57, 1]},
        yaxis2={**axis, "domain": [0, 0.43], "showline": True},
    )
    for (name, share, error), y in zip(said, (1.0, 0.43), strict=True):
        fig.add_annotation(
            **{"xref": "paper", "x": 0, "xanchor": "left"},
            **{"yref": "paper", "y": y, "yanchor": "bottom"},
            text=f"<b>{name}</b>: {percent(share)} ≠ 0, error {number(error)}",
        )
    return fig


def _sides(style: Style) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Colours of negative and of positive entries, the smallest first; none is near zero's."""
    scale = style.palette.diverging
    middle = len(scale) // 2
    return scale[:middle][::-1], scale[middle + 1 :]


def _signed(style: Style) -> list[list[Any]]:
    """The same as a colour scale, which jumps at zero."""
    below, above = _sides(style)
    last = len(below) - 1
    return [
        *([0.5 * i / last, color] for i, color in enumerate(below[::-1])),
        *([0.5 + 0.5 * i / last, color] for i, color in enumerate(above)),
    ]


def sorted_entries(result: LabResult, style: Style) -> go.Figure:
    """|z| of both models from the largest entry to the smallest: where it becomes exactly zero."""
    palette = style.palette
    traces: list[dict[str, Any]] = []
    for name, code, color, dash in (
        ("synthesis", result.code, palette.accent, "solid"),
        ("analysis", result.analysis, palette.runs[1], "dash"),
    ):
        values = np.sort(np.abs(code.ravel()))[::-1]
        last = min(int(np.count_nonzero(values)), len(values) - 1)
        # many equal steps say no more than a few hundred
        rows = np.unique(np.linspace(0, last, 300).astype(int))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": (100 * (rows + 1) / len(values)).tolist(),
                "y": values[rows].tolist(),
                "line": {"color": color, "width": style.measures.line, "dash": dash},
                "fill": "tozeroy" if name == "synthesis" else "none",
                "fillcolor": palette.band,
                "hovertemplate": f"<b>{name}</b><br>entry %{{x:.1f}} %: |z| = %{{y:.3f}}"
                "<extra></extra>",
            }
        )
    return figure(
        style,
        traces,
        showlegend=True,
        margin=_legend_room(style),
        xaxis={"title": {"text": "entries, largest first (%)"}, "range": [0, 100]},
        yaxis={"title": {"text": "|z|"}, "rangemode": "tozero"},
    )


def both_models(found: Models, lam: float, style: Style) -> go.Figure:
    """Error to the patch without noise against the share of non-zeros, λ along the lines."""
    palette, measures = style.palette, style.measures
    traces: list[dict[str, Any]] = []
    for name, share, error, color, dash in (
        ("synthesis", found.synthesis_nonzero, found.synthesis_error, palette.accent, "solid"),
        ("analysis", found.analysis_nonzero, found.analysis_error, palette.runs[1], "dash"),
    ):
        text = [
            f"<b>{name}, λ = {value:g}</b><br>{percent(float(s))} ≠ 0<br>error {number(float(e))}"
            for value, s, e in zip(LAMBDAS, share, error, strict=True)
        ]
        here = [i for i, value in enumerate(LAMBDAS) if value == lam]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": (100 * share).tolist(),
                "y": error.tolist(),
                "text": text,
                "line": {"color": color, "width": measures.line, "dash": dash},
                "marker": {
                    "color": color,
                    "size": [
                        2 * measures.marker if i in here else 0.7 * measures.marker
                        for i in range(len(LAMBDAS))
                    ],
                    "opacity": 1,
                },
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return figure(
        style,
        traces,
        showlegend=True,
        margin=_legend_room(style),
        xaxis={"title": {"text": "non-zeros (%)"}, "range": [-2, 102]},
        yaxis={"title": {"text": "error to the patch"}, "rangemode": "tozero"},
    )


# --- how it is found ------------------------------------------------------------------------------


def convergence(result: LabResult, style: Style, layer: int | None = None) -> go.Figure:
    """(F(z_t) − F*)/F* of FISTA and ISTA against t, and how much the theorems allow at most.

    ``layer`` is the iteration to mark.
    """
    if result.optimum <= 0:
        return message("The objective is zero: there is nothing to converge to.", style)
    steps = np.arange(1, len(result.objective) + 1)
    gaps = result.objective / result.optimum - 1.0
    least = 1e-9
    lines = []
    for i, name in enumerate(("FISTA", "ISTA")):
        values = [float(v) if v > least else None for v in gaps[:, i]]
        hover = [f"{name}: {significant(v)} above the optimum" for v in values]
        look: dict[str, Any] = {**series_look(i, style)}
        lines.append(Line(name, values, hover=hover, **look))
    distance = 0.5 * result.lipschitz * float(np.square(result.code).sum()) / result.optimum
    bounds = (
        ("FISTA at most", 4 * distance / (steps + 1.0) ** 2),
        ("ISTA at most", distance / steps),
    )
    known = [v for line in lines for v in line.values if v is not None]
    if not known:
        return message("Both are at the optimum after the first iteration.", style)
    traces: list[dict[str, Any]] = []
    for name, most in bounds if distance > 0 else ():
        traces.append(
            {
                **{"type": "scatter", "mode": "lines", "name": name, "showlegend": False},
                "x": steps.tolist(),
                "y": most.tolist(),
                "line": theory_line(style),
                "hovertemplate": f"<b>{name}</b><br>%{{y:.2g}} after %{{x}}<extra></extra>",
            }
        )
    for line in lines:
        made = line_traces(line, steps, [f"iteration {t}" for t in steps], style)
        for trace in made:
            trace["mode"] = "lines"
        traces += made
    everything = np.array([*known, *(float(v.max()) for _, v in bounds if distance > 0)])
    fig = figure(
        style,
        traces,
        xaxis={"title": {"text": "iteration t"}, "range": [0, len(steps) + 1]},
        yaxis={"title": {"text": "(F − F*)/F*"}, **log_axis(everything)},
    )
    finish_series(fig, lines, style)
    if distance > 0:
        for name, most in bounds:
            fig.add_annotation(
                x=float(steps[-1]),
                y=float(np.log10(most[-1])),  # annotations of a log axis take exponents
                text=name,
                xanchor="right",
                yanchor="bottom",
                yshift=5,
            )
    if layer is not None:
        fig.add_shape(
            **{"type": "rect", "x0": layer - 0.5, "x1": layer + 0.5, "y0": 0, "y1": 1},
            **{"yref": "paper", "fillcolor": style.palette.surface, "layer": "below"},
            line_width=0,
        )
    return fig


def denoising(found: Sweep, request: LabRequest, style: Style) -> go.Figure:
    """Error to the patch without noise against λ, a line a noise; the dashed line joins the best
    λ of each. The chosen noise is drawn strong, the chosen λ marked."""
    palette, measures = style.palette, style.measures
    traces: list[dict[str, Any]] = []
    x = list(LAMBDAS)
    notes = []
    for i, noise in enumerate(NOISES):
        chosen = noise == request.noise
        color = palette.accent if chosen else palette.muted
        traces.append(
            {
                **{"type": "scatter", "mode": "lines", "name": f"σ = {noise:g}"},
                "x": x,
                "y": found.error[i].tolist(),
                "opacity": 1 if chosen else 0.55,
                "line": {"color": color, "width": measures.line * (1.5 if chosen else 0.7)},
                "text": [
                    f"<b>σ = {noise:g}, λ = {lam:g}</b><br>error {number(float(e))}<br>"
                    f"{percent(float(s))} ≠ 0"
                    for lam, e, s in zip(LAMBDAS, found.error[i], found.nonzero[i], strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
        notes.append(
            {
                **{"x": float(np.log10(x[0])), "y": float(found.error[i, 0]), "xshift": -8},
                **{"xanchor": "right", "yanchor": "middle", "text": f"σ = {noise:g}"},
                "font": {"color": color, "size": measures.ticks},
            }
        )
    best = found.best
    traces.append(
        {
            **{"type": "scatter", "mode": "lines+markers", "name": "best λ"},
            "x": [x[i] for i in best],
            "y": [float(found.error[row, i]) for row, i in enumerate(best)],
            "line": theory_line(style),
            "marker": {
                "size": 1.5 * measures.marker,
                "color": [palette.accent if s == request.noise else palette.ink for s in NOISES],
                "symbol": "diamond",
            },
            "text": [
                f"<b>σ = {s:g}</b><br>best λ {x[i]:g}" for s, i in zip(NOISES, best, strict=True)
            ],
            "hovertemplate": "%{text}<extra></extra>",
        }
    )
    fig = figure(
        style,
        traces,
        annotations=_apart(notes, float(found.error.max()), style),
        xaxis={
            **{"title": {"text": "λ"}, **log_axis(np.array(x))},
            "range": [float(np.log10(x[0])) - 0.55, float(np.log10(x[-1])) + 0.05],
        },
        yaxis={"title": {"text": "error to the patch"}, "rangemode": "tozero"},
    )
    reference_x(fig, request.lam, f"λ = {request.lam:g}", style)
    fig.layout.annotations[-1].x = float(np.log10(request.lam))
    return fig


def _apart(notes: list[dict[str, Any]], highest: float, style: Style) -> list[dict[str, Any]]:
    """Labels that would lie on one another are moved up, from the lowest on."""
    gap = 1.25 * style.measures.ticks * 1.2 * highest / (style.measures.height - 80)
    floor = -np.inf
    for note in sorted(notes, key=lambda n: n["y"]):
        note["y"] = floor = max(note["y"], floor + gap)
    return notes


# --- the network ----------------------------------------------------------------------------------


def unrolled(result: LabResult, layer: int, style: Style) -> go.Figure:
    """FISTA as a network: every iteration is a layer of two steps. The first layers and layer
    ``layer``, with the code and the picture that each has."""
    shown = sorted({*range(1, min(layer, 3) + 1), layer})
    palette = style.palette
    layers = [result.layers[t - 1] for t in shown]
    most = max(float(np.abs(result.code).max()), *(float(np.abs(v.code).max()) for v in layers))
    width, gap, first = 1.0, 0.28, 1.0
    skip = layer > shown[-2] + 1 if len(shown) > 1 else False
    left = [first + gap + i * (width + gap) for i in range(len(shown))]
    if skip:
        left[-1] += gap
    box: dict[str, Any] = {"type": "rect", "line": {"color": palette.axis, "width": 1}}
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    arrow: dict[str, Any] = {"showarrow": True, "arrowhead": 2, "arrowsize": 1, "arrowwidth": 1.5}
    arrow |= {"arrowcolor": palette.muted, "axref": "x", "ayref": "y", "text": ""}
    center: dict[str, Any] = {"xanchor": "center", "yanchor": "middle"}
    before = first
    for i, (t, x) in enumerate(zip(shown, left, strict=True)):
        half = x + 0.52
        shapes += [
            {**box, "x0": x, "x1": half, "y0": 3.1, "y1": 3.9, "fillcolor": palette.surface},
            {**box, "x0": half, "x1": x + width, "y0": 3.1, "y1": 3.9, "fillcolor": palette.band},
            _threshold(half, x + width, result.request.nonnegative, style),
        ]
        notes += [
            {**arrow, "x": x, "y": 3.5, "ax": before, "ay": 3.5},
            {**center, "x": x + 0.26, "y": 3.5, "text": "Aᵀ/L" if t == 1 else "step"},
            {**center, "x": x + width / 2, "y": 4.1, "text": f"<b>layer {t}</b>"},
        ]
        if skip and i == len(shown) - 1:
            notes.append({**center, "x": x - gap, "y": 3.72, "text": "…"})
        before = x + width
    wide = left[-1] + width
    trace = {
        **{"type": "scatter", "mode": "markers", "name": "layers"},
        "x": [x + width / 2 for x in left],
        "y": [2.5] * len(shown),
        "text": [
            f"<b>layer {t}</b><br>{percent(v.nonzero)} ≠ 0<br>F = {significant(v.objective)}"
            for t, v in zip(shown, layers, strict=True)
        ],
        "customdata": [v.objective for v in layers],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 50, "opacity": 0, "symbol": "square"},
    }
    images = [_picture(sheet([result.noisy], 1), 0.05, 3.95, 0.9, 0.9, stretch=False)]
    notes.append({"x": 0.5, "y": 2.98, "yanchor": "top", "text": "x"})
    for text, y in (("code", 2.5), ("A z", 1.45)):
        notes.append({"x": 0.9, "y": y, "xanchor": "right", "text": text})
    for x, found in zip(left, layers, strict=True):
        images += [
            _picture(sheet([_colored(found.code, most, style)], 1), x, 2.95, width, 0.9),
            _picture(sheet([found.picture], 1), x, 1.95, width, 0.98, stretch=False),
        ]
        text = f"{percent(found.nonzero)} ≠ 0<br>F = {significant(found.objective)}"
        text += f"<br>{_above(found.objective, result.optimum)}"
        notes.append({"x": x + width / 2, "y": 0.9, "yanchor": "top", "text": text})
    return figure(
        style,
        [trace],
        height=style.measures.height + 40,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        shapes=shapes,
        annotations=notes,
        images=images,
        xaxis={**_HIDDEN, "range": [0, wide]},
        yaxis={**_HIDDEN, "range": [0.2, 4.3]},
    )


def _above(objective: float, optimum: float) -> str:
    if optimum <= 0:
        return ""
    return f"{significant(max(0.0, 100 * (objective / optimum - 1)), 2)} % above F*"


def _threshold(x0: float, x1: float, nonnegative: bool, style: Style) -> dict[str, Any]:
    """The curve of the soft threshold, or of the ReLU that it then is, inside its box."""
    width = x1 - x0
    low = (0.12, 3.5) if nonnegative else (0.12, 3.2)
    points = (low, (0.38, 3.5), (0.62, 3.5), (0.88, 3.8))
    path = " L ".join(f"{x0 + a * width:.3f} {y}" for a, y in points)
    return {
        **{"type": "path", "path": f"M {path}"},
        "line": {"color": style.palette.accent, "width": style.measures.line},
    }


def _colored(code: np.ndarray, most: float, style: Style) -> np.ndarray:
    """A code (p, H', W') as a picture, a row an atom: what is zero has the page's colour."""
    z = code.reshape(len(code), -1)
    below, above = (np.array([rgb(c) for c in side]) / 255 for side in _sides(style))
    place = np.rint(np.clip(np.abs(z) / (most or 1.0), 0, 1) * (len(above) - 1)).astype(int)
    picture = np.where((z < 0)[..., None], below[place], above[place])
    return np.where((z == 0)[..., None], np.array(rgb(style.palette.surface)) / 255, picture)


# --- stability ------------------------------------------------------------------------------------


def stability(found: Stability, style: Style) -> go.Figure:
    """‖z − z₀‖_∞ against ‖e‖, one mark a draw, below the theorem's line where it holds; and the
    share of the true non-zeros that are found."""
    palette, measures = style.palette, style.measures
    draws = found.error.shape[1]
    x = np.repeat(found.noise, draws)
    error, inside = found.error.ravel(), found.inside.ravel()
    traces: list[dict[str, Any]] = []
    for name, rows, symbol in (
        ("support inside the true one", np.flatnonzero(inside), "circle"),
        ("support too large", np.flatnonzero(~inside), "circle-open"),
    ):
        if len(rows):
            traces.append(
                {
                    **{"type": "scatter", "mode": "markers", "name": name},
                    "x": x[rows].tolist(),
                    "y": error[rows].tolist(),
                    "text": [
                        f"<b>{name}</b><br>‖e‖ = {significant(float(x[i]))}<br>"
                        f"error {significant(float(error[i]))}"
                        for i in rows
                    ],
                    "marker": {
                        "size": measures.marker + 2,
                        "symbol": symbol,
                        "color": palette.accent if symbol == "circle" else palette.runs[1],
                        "opacity": 0.7,
                    },
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )
    holds = found.nonzeros < found.allowed and found.factor >= STABLE_FACTOR
    constant = STABLE_CONSTANT if found.factor == STABLE_FACTOR else found.constant
    if holds:
        traces.append(
            {
                **{"type": "scatter", "mode": "lines", "name": "theorem", "showlegend": False},
                "x": found.noise.tolist(),
                "y": (constant * found.noise).tolist(),
                "line": theory_line(style),
                "hovertemplate": f"<b>theorem</b><br>at most {constant:.3g}·‖e‖<extra></extra>",
            }
        )
    mean = found.found.mean(1)
    traces.append(
        {
            **{"type": "scatter", "mode": "lines+markers", "name": "found", "showlegend": False},
            "x": found.noise.tolist(),
            "y": (100 * mean).tolist(),
            "text": [
                f"<b>‖e‖ = {significant(float(n))}</b><br>{percent(float(m))} of them found"
                for n, m in zip(found.noise, mean, strict=True)
            ],
            "line": {"color": palette.accent, "width": measures.line},
            "marker": {"size": measures.marker, "color": palette.accent},
            "hovertemplate": "%{text}<extra></extra>",
            **{"xaxis": "x", "yaxis": "y2"},
        }
    )
    values = np.concatenate([error[error > 0], constant * found.noise if holds else error[:0]])
    fig = figure(
        style,
        traces,
        height=max(style.measures.height, 330),
        showlegend=True,
        margin=_legend_room(style),
        xaxis={
            "title": {"text": "‖e‖"},
            "anchor": "y2",
            **log_axis(found.noise),
        },
        yaxis={"title": {"text": "‖z − z₀‖∞"}, "domain": [0.42, 1], **log_axis(values)},
        yaxis2={
            **{"title": {"text": "found (%)"}, "domain": [0, 0.34], "range": [-5, 109]},
            **{"showgrid": True, "tickvals": [0, 50, 100]},
        },
    )
    if holds:
        fig.add_annotation(
            x=float(np.log10(found.noise[-1])),
            y=float(np.log10(constant * found.noise[-1])),
            text=escape(f"{constant:.3g}·‖e‖"),
            **{"xanchor": "right", "yanchor": "bottom", "xshift": -14},
        )
    return fig

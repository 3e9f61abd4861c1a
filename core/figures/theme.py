"""The one look of every figure: colours, sizes, template, number formats and text helpers.

Colour carries data; theory is always ink, dashed, with its value at the end of the line. The
colours of docs and of ``.streamlit/config.toml`` are these.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

Mode = Literal["light", "dark"]
Size = Literal["card", "large", "presentation"]

FONT = "IBM Plex Sans, sans-serif"
SYMBOLS = (
    *("circle", "square", "diamond", "triangle-up", "cross"),
    *("x", "triangle-down", "star", "pentagon", "hexagon"),
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
THEORY_DASH = "5px,3px"
ON_LIGHT, ON_DARK = "#14171A", "#FFFFFF"  # text on a coloured cell
MINUS = "\u2212"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MAX_POINTS = 800  # drawn as SVG
MAX_COLOURED = 20  # classes that get a colour and a symbol each
MAX_PICKED = 5
_MAX_NAMED = {"card": 12, "large": MAX_COLOURED, "presentation": MAX_COLOURED}


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one mode, as in the visual specification."""

    background: str
    surface: str  # secondary background
    ink: str
    muted: str
    border: str
    grid: str
    axis: str
    accent: str
    bars: str
    band: str
    classes: tuple[str, ...]
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """Colours of series that are not classes; pair them with ``DASHES``."""
        return self.classes[:5]


PALETTES: dict[str, Palette] = {
    "light": Palette(
        background="#FCFCFA",
        surface="#F1F3EF",
        ink="#1A1F24",
        muted="#5B6570",
        border="#DEE2DC",
        grid="#E8EBE6",
        axis="#B9C0BA",
        accent="#0E6575",
        bars="#5896A2",
        band="rgba(14,101,117,.16)",
        classes=(
            *("#045675", "#9C4F07", "#167850", "#AA71F6", "#DA7077"),
            *("#419CA8", "#9C8823", "#77354D", "#624AB9", "#244818"),
        ),
        sequential=(
            *("#F3F6F3", "#D9E9E8", "#BCDADB", "#9AC9CE", "#75B6BF"),
            *("#4F9FAC", "#318797", "#1A6F80", "#0D5766", "#07404D"),
        ),
        diverging=(
            *("#175682", "#3A7CA8", "#6FA5C7", "#A9CBDD", "#F3F1EC"),
            *("#EDBF97", "#D98E51", "#B85D1B", "#8A3B08"),
        ),
    ),
    "dark": Palette(
        background="#14171A",
        surface="#20262B",
        ink="#E6E9E6",
        muted="#9BA5AE",
        border="#2F363C",
        grid="#262C31",
        axis="#4A535B",
        accent="#5FC3D3",
        bars="#3C7480",
        band="rgba(95,195,211,.20)",
        classes=(
            *("#2B87AF", "#E77814", "#6EFCB9", "#B38CEF", "#DE9B9D"),
            *("#24D3E6", "#D7C67E", "#A8637A", "#7A65D7", "#71A661"),
        ),
        sequential=(
            *("#1B2226", "#17343C", "#154650", "#175A66", "#1F6F7D"),
            *("#2F8694", "#499EAB", "#6BB7C1", "#95D0D6", "#C4E8EA"),
        ),
        diverging=(
            *("#8FC3E6", "#5C97BF", "#3C6F92", "#2B4A5F", "#262A2D"),
            *("#6E4A2D", "#AD6A33", "#D98843", "#F5A564"),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class _Measures:
    height: int
    width: int  # expected; figures follow the width of their place
    text: int
    ticks: int
    line: float
    marker: float


_MEASURES: dict[str, _Measures] = {
    "card": _Measures(height=258, width=340, text=13, ticks=12, line=2, marker=6),
    "large": _Measures(height=360, width=680, text=13, ticks=12, line=2, marker=6),
    "presentation": _Measures(height=500, width=760, text=20, ticks=18, line=3, marker=11),
}


@dataclass(frozen=True, slots=True)
class Style:
    """What a figure is drawn for. Pages pass the reader's mode and the place's size."""

    mode: Mode = "light"
    size: Size = "card"

    @property
    def palette(self) -> Palette:
        return PALETTES[self.mode]

    @property
    def measures(self) -> _Measures:
        return _MEASURES[self.size]

    @property
    def is_card(self) -> bool:
        return self.size == "card"

    @property
    def max_named(self) -> int:
        """Class means that there is room to name directly."""
        return _MAX_NAMED[self.size]

    @property
    def is_large(self) -> bool:
        return self.size == "large"


@dataclass(frozen=True, slots=True)
class ClassStyle:
    """How the points of one class look."""

    color: str
    symbol: str
    opacity: float = 1.0


def class_style(
    index: int, classes: int, style: Style, picked: Sequence[int] | None = None
) -> ClassStyle:
    """Colour and symbol of class ``index`` of ``classes``, the same on every page.

    11 to 20 classes: the same ten colours, the second round with open symbols. More: every class
    muted at 35 %, except up to five ``picked`` ones, which take colours 1 to 5.
    """
    palette = style.palette
    if classes <= MAX_COLOURED:
        second = "-open" if index >= len(SYMBOLS) else ""
        slot = index % len(SYMBOLS)
        return ClassStyle(palette.classes[slot], SYMBOLS[slot] + second)
    chosen = list(picked or ())[:MAX_PICKED]
    if index in chosen:
        slot = chosen.index(index)
        return ClassStyle(palette.classes[slot], SYMBOLS[slot])
    return ClassStyle(palette.muted, "circle", 0.35)


# --- template and layout -----------------------------------------------------------------------


@lru_cache(maxsize=8)
def template(style: Style) -> go.layout.Template:
    """The complete Plotly template of a style. Every figure sets it, so that no default leaks."""
    palette, measures = style.palette, style.measures
    axis = {
        "automargin": True,
        "zeroline": False,
        "showgrid": False,
        "gridcolor": palette.grid,
        "linecolor": palette.axis,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": palette.axis,
        "tickfont": {"size": measures.ticks, "color": palette.muted},
        "title": {"font": {"size": measures.ticks, "color": palette.muted}, "standoff": 6},
    }
    scene_axis = {
        "showbackground": False,
        "gridcolor": palette.grid,
        "zeroline": False,
        "showline": False,
        "showticklabels": False,
        "showspikes": False,
        "title": {"text": ""},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": measures.text, "color": palette.ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": palette.classes,
            "colorscale": {
                "sequential": colorscale(palette.sequential),
                "sequentialminus": colorscale(palette.sequential[::-1]),
                "diverging": colorscale(palette.diverging),
            },
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "dragmode": False,
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": palette.background,
                "bordercolor": palette.axis,
                "font": {"family": FONT, "size": measures.text, "color": palette.ink},
                "align": "left",
            },
            "legend": {
                "orientation": "h",
                "x": 0.5,
                "xanchor": "center",
                "y": -0.02,
                "yref": "container",
                "yanchor": "bottom",
                "bgcolor": "rgba(0,0,0,0)",
                "font": {"size": measures.ticks, "color": palette.ink},
                "itemwidth": 30,
                "itemclick": False,
                "itemdoubleclick": False,
            },
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": palette.muted,
                "activecolor": palette.accent,
            },
            "xaxis": axis,
            "yaxis": axis | {"showgrid": True},
            "scene": {
                "xaxis": scene_axis,
                "yaxis": scene_axis,
                "zaxis": scene_axis,
                "dragmode": "orbit",
            },
            "annotationdefaults": {
                "font": {"size": measures.ticks, "color": palette.ink},
                "showarrow": False,
            },
            "title": {"font": {"size": measures.text + 3, "color": palette.ink}},
        }
    )


def config(style: Style, filename: str = "featurescope") -> dict[str, Any]:
    """Plotly's ``config``: no logo, no mode bar but the image download of large figures."""
    return {
        "displaylogo": False,
        "displayModeBar": "hover" if style.is_large else False,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "png", "scale": 2, "filename": filename},
        "scrollZoom": False,
        "doubleClick": False,
        "showTips": False,
    }


def figure(style: Style, traces: Sequence[dict[str, Any]], **layout: Any) -> go.Figure:
    """A figure of trace dictionaries in this style; ``layout`` overrides the template.

    Plotly's validation of every property costs ten times the rest; the tests do it instead.
    """
    settings = {"height": style.measures.height, "showlegend": False} | layout
    return go.Figure(
        data=list(traces), layout={"template": template(style), **settings}, _validate=False
    )


def message(text: str, style: Style) -> go.Figure:
    """An empty figure that says in one short sentence why there is nothing to see."""
    per_line = max(16, int(style.measures.width / style.measures.text / 0.62))
    hidden = {"visible": False, "range": [0, 1]}
    result = figure(style, (), xaxis=hidden, yaxis=hidden)
    result.add_annotation(
        text="<br>".join(escape(line) for line in wrap(text, per_line)),
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        font={"size": style.measures.text, "color": style.palette.muted},
    )
    return result


def colorscale(colors: Sequence[str]) -> list[list[Any]]:
    """Plotly's colour scale of evenly spaced colours."""
    return [[i / (len(colors) - 1), color] for i, color in enumerate(colors)]


def colorbar(style: Style, below: bool = False, **settings: Any) -> dict[str, Any]:
    """A horizontal bar 8 px thick at the edge of the figure; leave ``colorbar_room`` there."""
    place = {"y": 0.0, "yanchor": "bottom"} if below else {"y": 1.0, "yanchor": "top"}
    return {
        "orientation": "h",
        "thickness": 8,
        "len": 0.8 if style.is_card else 0.55,
        "x": 0.5,
        "xanchor": "center",
        "yref": "container",
        **place,
        "outlinewidth": 0,
        "ticklabelposition": "outside bottom",
        "tickfont": {"size": style.measures.ticks, "color": style.palette.muted},
        "ticks": "",
        "ypad": 6,
        **settings,
    }


def colorbar_room(style: Style) -> int:
    """Pixels of margin that a colour bar needs."""
    return 24 + int(1.5 * style.measures.ticks)


# --- reference lines ---------------------------------------------------------------------------


def theory_line(style: Style) -> dict[str, Any]:
    """Line properties of everything that is theory and not data."""
    return {"color": style.palette.ink, "width": 1.5, "dash": THEORY_DASH}


def reference_x(
    fig: go.Figure, value: float, label: str, style: Style, anchor: str = "center"
) -> None:
    """A vertical line of theory at ``value`` with its label above the end of the line."""
    line = theory_line(style)
    fig.add_shape(type="line", x0=value, x1=value, y0=0, y1=1, yref="paper", line=line)
    fig.add_annotation(x=value, y=1, yref="paper", yanchor="bottom", xanchor=anchor, text=label)
    fig.update_layout(margin_t=max(28, 2 * style.measures.ticks + 4))


def reference_y(
    fig: go.Figure,
    value: float,
    label: str,
    style: Style,
    side: Literal["left", "right"] = "left",
) -> None:
    """A horizontal line of theory at ``value`` with its label above one end."""
    line = theory_line(style)
    fig.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=value, y1=value, line=line)
    fig.add_annotation(
        x=0.0 if side == "left" else 1.0,
        xref="x domain",
        xanchor=side,
        y=value,
        yanchor="bottom",
        yshift=-1,
        text=label,
    )


def log_axis(values: np.ndarray) -> dict[str, Any]:
    """A log axis: powers of ten over wide ranges; 1, 2 and 5 times them over narrow ones."""
    known = values[np.isfinite(values) & (values > 0)]
    decades = float(np.log10(known.max() / known.min())) if len(known) else 0.0
    if decades <= 2.5:
        return {"type": "log", "dtick": "D2", "tickformat": "~r"}
    powers = np.arange(np.floor(np.log10(known.min())), np.ceil(np.log10(known.max())) + 1)
    powers = powers[:: max(1, -(-len(powers) // 7))].astype(int).tolist()
    return {
        "type": "log",
        "tickmode": "array",
        "tickvals": [10.0**p for p in powers],
        "ticktext": [power_of_ten(p) for p in powers],
    }


def fraction_label(classes: int) -> str:
    """-1/(K-1), the collapsed cosine of K classes, as text."""
    return f"{MINUS}1" if classes == 2 else f"{MINUS}1/{classes - 1}"


# --- numbers and names -------------------------------------------------------------------------


def number(
    value: float | None, decimals: int = 3, unit: str = "", reason: str | None = None
) -> str:
    """``value`` with a true minus, or "n/a" and the reason where there is none."""
    if value is None or not np.isfinite(value):
        return f"n/a ({reason})" if reason else "n/a"
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", MINUS) + unit


def significant(value: float | None, digits: int = 3) -> str:
    """``value`` with so many significant digits, for quantities that span orders of magnitude."""
    if value is None or not np.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    exponent = int(np.floor(np.log10(abs(value))))
    if -4 <= exponent < 6:
        return number(value, max(0, digits - 1 - exponent))
    return f"{number(value / 10.0**exponent, digits - 1)}×{power_of_ten(exponent)}"


def power_of_ten(exponent: int) -> str:
    """0.01 to 1,000 in full, others as "10⁴": Plotly's own powers come in a larger type."""
    if -2 <= exponent <= 3:
        return number(10.0**exponent, max(0, -exponent))
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def escape(name: str) -> str:
    """A name that came from data (class, layer, file), safe in any text of a figure.

    Plotly reads a subset of HTML, ``$…$`` as formulas and ``%{…}`` in hover templates; it knows
    numeric entities but not ``&quot;``.
    """
    text = html.escape(" ".join(str(name).split()), quote=False)
    for character in "\"'$%":
        text = text.replace(character, f"&#{ord(character)};")
    return text


def short_labels(names: Sequence[str], length: int) -> list[str]:
    """Names of at most ``length`` + 1 characters: "airplane" becomes "airpl.". Not escaped.

    Where two would look the same they keep their ends, "…ss 12", or all of their length.
    """
    starts = [n if len(n) <= length + 1 else f"{n[:length].rstrip()}." for n in names]
    ends = [n if len(n) <= length + 1 else f"…{n[-length:]}" for n in names]
    for labels in (starts, ends):
        if len(set(labels)) == len(set(names)):
            return labels
    return list(names)


def wrap(text: str, length: int) -> list[str]:
    """Lines of at most ``length`` characters; Plotly does not wrap by itself."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > length:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


_STAGE = re.compile(r"^(?:[A-Za-z_]+\.)*(?:layers?|stages?|blocks?|features)[._]?(\d.*)$")
_SHORT_NAMES = {"input": "in", "output": "out", "avgpool": "pool", "global_pool": "pool"}


def layer_labels(names: Iterable[str], length: int = 9) -> list[str]:
    """Short, unique labels for an axis of layers: "layer1.0" → "1.0". Not escaped."""
    full = list(names)
    short = [_SHORT_NAMES.get(n, _STAGE.sub(r"\1", n)) for n in full]
    short = [s if len(s) <= length else f"…{s[-length + 1 :]}" for s in short]
    repeated = {s for s in short if short.count(s) > 1}
    return [n if s in repeated else s for n, s in zip(full, short, strict=True)]


def layer_axis(
    names: Sequence[str], style: Style, title: bool = True, share: float = 0.75
) -> dict[str, Any]:
    """The x axis of figures by layer: position i is layer i, labelled as space allows.

    ``share`` is the part of the figure's width that the axis has.
    """
    labels = [escape(label) for label in layer_labels(names)]
    measures = style.measures
    fits = max(1, int(share * measures.width / (1.25 * measures.ticks)))
    step = max(1, -(-len(labels) // fits))
    return {
        "tickmode": "array",
        "tickvals": list(range(0, len(labels), step)),
        "ticktext": labels[::step],
        "autotickangles": [0, -90],
        "range": [-0.6, len(labels) - 0.4],
        "title": {"text": "layer, input to output" if title else "", "standoff": 8},
    }


def text_on(color: str) -> str:
    """The better readable of the two text colours on ``color`` (#RRGGBB)."""
    return max((ON_LIGHT, ON_DARK), key=lambda text: contrast(text, color))


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two #RRGGBB colours, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    channels = np.array(rgb(color)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def rgb(color: str) -> tuple[int, int, int]:
    """#RRGGBB as three numbers."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def translucent(color: str, opacity: float) -> str:
    """#RRGGBB with an opacity, as CSS."""
    return f"rgba({','.join(map(str, rgb(color)))},{opacity:g})"


def interpolate(colors: Sequence[str], position: float) -> str:
    """The colour at ``position`` in [0, 1] of an evenly spaced scale, as Plotly blends it."""
    place = float(np.clip(position, 0, 1)) * (len(colors) - 1)
    low = min(int(place), len(colors) - 2)
    a, b = np.array(rgb(colors[low])), np.array(rgb(colors[low + 1]))
    return "#{:02X}{:02X}{:02X}".format(*np.rint(a + (place - low) * (b - a)).astype(int))

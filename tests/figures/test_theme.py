import itertools
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from core.figures import theme
from core.figures.theme import PALETTES, Style, class_style, contrast, escape, number

MODES = ("light", "dark")


@pytest.mark.parametrize(
    ("mode", "role", "ratio"),
    [
        *(("light", "ink", 16.2), ("dark", "ink", 14.7)),
        *(("light", "muted", 5.8), ("dark", "muted", 7.2)),
        *(("light", "accent", 6.5), ("dark", "accent", 8.8)),
        *(("light", "bars", 3.3), ("dark", "bars", 3.4)),
    ],
)
def test_contrast_is_as_specified(mode, role, ratio):
    palette = PALETTES[mode]
    assert contrast(getattr(palette, role), palette.background) == pytest.approx(ratio, abs=0.06)


@pytest.mark.parametrize(("mode", "least"), [("light", 3.1), ("dark", 4.0)])
def test_class_colours_stand_out_from_the_background(mode, least):
    palette = PALETTES[mode]
    assert min(contrast(c, palette.background) for c in palette.classes) >= least - 0.05


def test_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


@pytest.mark.parametrize("mode", MODES)
def test_class_colours_differ_from_each_other(mode):
    colors = [_oklab(c) for c in PALETTES[mode].classes]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2))
    assert 100 * nearest >= 12.5


def _oklab(color: str) -> np.ndarray:
    """Ottosson's OKLab, written down from its definition."""
    c = np.array(theme.rgb(color)) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return to_lab @ np.cbrt(to_lms @ linear)


@pytest.mark.parametrize("mode", MODES)
def test_text_on_any_cell_can_be_read(mode):
    palette = PALETTES[mode]
    for scale in (palette.diverging, palette.sequential):
        for position in np.linspace(0, 1, 101):
            cell = theme.interpolate(scale, position)
            assert contrast(theme.text_on(cell), cell) >= 4.2


@pytest.mark.parametrize("mode", MODES)
def test_streamlit_gets_the_same_colours(mode):
    config = tomllib.loads(Path(".streamlit/config.toml").read_text(encoding="utf-8"))
    shared, palette = config["theme"][mode], PALETTES[mode]
    assert tuple(shared["chartCategoricalColors"]) == palette.classes
    assert tuple(shared["chartSequentialColors"]) == palette.sequential
    ten = [theme.interpolate(palette.diverging, i / 9) for i in range(10)]
    for ours, theirs in zip(ten, shared["chartDivergingColors"], strict=True):
        assert np.abs(np.subtract(theme.rgb(ours), theme.rgb(theirs))).max() <= 12
    assert shared["backgroundColor"] == palette.background
    assert shared["textColor"] == palette.ink
    assert shared["primaryColor"] == palette.accent


def test_the_first_ten_classes_have_a_colour_and_a_symbol_each():
    looks = [class_style(k, 20, Style()) for k in range(20)]
    assert len({(look.color, look.symbol) for look in looks}) == 20
    assert [look.color for look in looks[10:]] == [look.color for look in looks[:10]]
    assert all(look.symbol.endswith("-open") for look in looks[10:])
    assert looks[0] == class_style(0, 2, Style())


def test_beyond_twenty_classes_only_picked_ones_have_colours():
    style, picked = Style("dark"), (7, 30, 2, 99, 5, 6)
    looks = {k: class_style(k, 100, style, picked) for k in range(100)}
    assert [looks[k].color for k in picked[:5]] == list(style.palette.classes[:5])
    muted = {looks[k] for k in range(100) if k not in picked[:5]}
    assert muted == {theme.ClassStyle(style.palette.muted, "circle", 0.35)}


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (-0.1111, 2, "−0.11"),
        (-0.001, 2, "0.00"),
        (1234.5, 1, "1,234.5"),
        (None, 2, "n/a"),
        (float("nan"), 2, "n/a"),
        (96.379, 1, "96.4"),
    ],
)
def test_numbers(value, decimals, text):
    assert number(value, decimals) == text


def test_a_missing_number_can_say_why():
    assert number(None, reason="one class") == "n/a (one class)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.0123"),
        (1234.5, "1,234"),
        (3.2e-9, "3.20×10⁻⁹"),
        (-2e7, "−2.00×10⁷"),
        (0.0, "0"),
    ],
)
def test_significant_digits(value, text):
    assert theme.significant(value) == text


@pytest.mark.parametrize(
    "name", ["<b>x</b>", "<a href='https://x.org'>y</a>", "$x$", "%{x}", 'a"b', "a&lt;b", "x\ny"]
)
def test_escaped_names_are_plain_text_to_plotly(name):
    text = escape(name)
    assert not set("<>$%\"'\n") & set(text)
    # what Plotly shows: its own decoding of entities gives the name back
    import html

    assert html.unescape(text) == " ".join(name.split())


def test_layer_labels_are_short_and_unique():
    names = ["input", "conv1", "layer1.0", "layer1.1", "layer2.0", "avgpool"]
    assert theme.layer_labels(names) == ["in", "conv1", "1.0", "1.1", "2.0", "pool"]
    assert theme.layer_labels(["layer1.0", "stage1.0"]) == ["layer1.0", "stage1.0"]
    assert theme.layer_labels(["transformer.encoder.attention"])[0].startswith("…")


def test_short_class_names_stay_apart():
    assert theme.short_labels(["airplane", "cat"], 5) == ["airpl.", "cat"]
    assert theme.short_labels(["class 10", "class 11"], 5) == ["…ss 10", "…ss 11"]
    alike = ["prefix one suffix", "prefix two suffix"]
    assert theme.short_labels(alike, 5) == alike


def test_reference_lines_of_theory_are_ink_and_dashed():
    style = Style("dark")
    line = theme.theory_line(style)
    assert line == {"color": style.palette.ink, "width": 1.5, "dash": "5px,3px"}


def test_no_mode_bar_in_cards_and_only_the_image_when_large():
    assert theme.config(Style(size="card"))["displayModeBar"] is False
    large = theme.config(Style(size="large"))
    assert large["displayModeBar"]
    assert large["modeBarButtons"] == [["toImage"]]
    assert large["displaylogo"] is False


def test_a_message_says_why_in_lines_that_fit():
    fig = theme.message("This <layer> was not measured because it has too few samples.", Style())
    text = fig.layout.annotations[0].text
    assert "&lt;layer&gt;" in text
    assert max(len(line) for line in text.split("<br>")) < 60
    assert fig.layout.height == 258


def test_figures_import_nothing_heavy():
    code = (
        "import sys; from core.figures import means, projections, dimension, topology, layers,"
        " weights, export; heavy = {'torch', 'scipy', 'sklearn', 'pandas', 'streamlit', 'ripser'};"
        " sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr

"""Figures of sizes keep to the rules and draw what was measured."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from synthetic_sizes import rows

from core.figures import sizes
from core.figures.export import figure_csv
from core.figures.theme import Style
from core.size_sparsity import Series, every_series, trained_of
from core.training.sizes import SETUPS
from tests.figures.test_every_figure import STYLES, check

TRAINED = trained_of(rows())


def figures(
    series: tuple[Series, ...], style: Style, layer: sizes.Layer = "mean"
) -> dict[str, go.Figure]:
    one = series[0] if series else None
    slopes = [(s.setup.title, s.images.title, s.slope(layer)) for s in series]
    return {
        "share": sizes.share_by_size(series, style, layer),
        "active": sizes.active_by_size(series, style, layer),
        "accuracy": sizes.accuracy_by_size(series, style),
        "layers": sizes.share_by_layer(one, style),
        "epochs": sizes.share_over_epochs(one, style, layer),
        "exponents": sizes.exponents(slopes, style),
    }


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
@pytest.mark.parametrize("setup", list(SETUPS))
def test_every_figure_keeps_to_the_rules(setup: str, style: Style) -> None:
    for vary in ("width", "depth"):
        series = every_series(TRAINED, setup, vary)
        for name, fig in figures(series, style).items():
            check(name, fig, style)
            assert fig.data if series else fig.layout.annotations[0].text.endswith(".")


def test_one_seed_has_no_bands_and_a_dead_network_no_place_on_a_log_axis() -> None:
    made = rows(seeds=(0,))
    for r in made:
        if r["width"] == 256:
            r["shares"] = np.zeros_like(r["shares"]).tolist()
    style = Style("light", "large")
    series = every_series(trained_of(made), "mlp", "width")
    drawn = figures(series, style)
    for name, fig in drawn.items():
        check(name, fig, style)
    assert not any(t.fill for t in drawn["share"].data)
    assert next(t for t in drawn["active"].data if t.name == "true labels").y[-1] is None


def test_lines_are_the_means_over_the_seeds() -> None:
    series = every_series(TRAINED, "cnn", "width")
    style = Style("light", "large")
    line = next(t for t in sizes.share_by_size(series, style).data if t.name == "true labels")
    wanted = [100 * s.shares[:, -1].mean() for s in series[0].sizes]
    assert list(line.y) == pytest.approx(wanted)
    assert list(line.x) == [4, 8, 16, 32, 64]
    assert "at the start 50.0 %" in line.text[0]
    active = next(t for t in sizes.active_by_size(series, style).data if t.name == "true labels")
    units = [3 * s.units * s.shares[:, -1].mean() for s in series[0].sizes]
    assert list(active.y) == pytest.approx(units)
    half = next(t for t in sizes.active_by_size(series, style).data if "half" in t.name)
    assert list(half.y) == pytest.approx([1.5 * s.units for s in series[0].sizes])


def test_bands_hold_their_lines() -> None:
    series = every_series(TRAINED, "vit", "depth")
    fig = sizes.share_by_size(series, Style())
    bands = [t for t in fig.data if t.fill]
    lines = [t for t in fig.data if t.mode == "lines+markers"]
    assert len(bands) == len(lines) == 3
    for band, line in zip(bands, lines, strict=True):
        for x, y in zip(line.x, line.y, strict=True):
            at = [b for a, b in zip(band.x, band.y, strict=True) if a == x]
            assert min(at) <= y <= max(at)


def test_the_start_is_a_reference_and_every_line_is_named() -> None:
    fig = sizes.share_by_size(every_series(TRAINED, "mlp", "width"), Style("light", "large"))
    said = " ".join(a.text for a in fig.layout.annotations)
    assert "50 %, as at the start" in said
    assert "T5-Base 3.0 %, ViT-B16 6.3 %" in said
    for name in ("true labels", "random labels", "random inputs"):
        assert name in said
    assert fig.layout.shapes[0].y0 == 50


def test_depths_end_at_their_last_layer() -> None:
    series = every_series(TRAINED, "mlp", "depth")[0]
    fig = sizes.share_by_layer(series, Style())
    lines = {t.name: t for t in fig.data if t.mode == "lines+markers"}
    assert {name: len(t.x) for name, t in lines.items()} == {
        "1": 1,
        "2": 2,
        "3": 3,
        "5": 5,
        "8": 8,
    }
    assert all(t.x[-1] == 1 for t in lines.values())
    assert all(t.x[0] == 0 for name, t in lines.items() if name != "1")


def test_exponents_are_left_of_zero_where_larger_is_sparser() -> None:
    series = every_series(TRAINED, "mlp", "width")
    fig = sizes.exponents([(s.setup.title, s.images.title, s.slope()) for s in series], Style())
    at = {t.name: t.x[0] for t in fig.data}
    assert at["random labels"] < at["true labels"] < -0.05
    assert abs(at["random inputs"]) < 0.05


def test_the_data_of_a_figure_are_in_its_own_units() -> None:
    series = every_series(TRAINED, "mlp", "width")
    table = figure_csv(sizes.active_by_size(series, Style("light", "large")))
    assert "256" in table
    json.dumps(table)

"""Figures of robustness: the rules of the house, what they show, and what is missing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.figures import robustness as figures
from core.figures.export import figure_csv
from core.figures.robustness import Shown
from core.figures.theme import Style
from core.robustness import summary
from core.robustness.request import FAMILIES, SEVERITIES
from core.robustness.results import Reliability
from core.robustness.summary import MEAN, Spread
from tests.figures.test_every_figure import HOSTILE, STYLES, check
from tests.robustness_tables import KEPT, attack_table, corruption_table, reliability

PLAIN = [corruption_table(seed) for seed in range(3)]
SPARSE = [corruption_table(seed, knob="lam", adaptive=0.1) for seed in range(3)]
TOP_K = [corruption_table(s, knob="top_k", values=KEPT, trained=16, rises=False) for s in range(3)]
ATTACKED = [attack_table("linf", seed, knob="lam", masked=True) for seed in range(3)]


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40)).save(buffer, format="PNG")
    return buffer.getvalue()


def shown(names: tuple[str, ...], spread: Spread) -> list[Shown]:
    return [Shown.of(name, spread) for name in names]


def every_figure(style: Style, names: tuple[str, ...] = ("ResNet-8", "SDNet-8", "adaptive")):
    by_severity = summary.accuracy(SPARSE, MEAN)
    worst, white = (summary.attacked(ATTACKED, a) for a in ("worst", "white"))
    picked = summary.chosen(SPARSE, MEAN)
    settings = {
        attack: summary.attacked_by_setting(ATTACKED, attack).at(-1) for attack in summary.ATTACKS
    }
    return {
        "by severity": figures.by_severity(shown(names, by_severity), SEVERITIES, style, chance=10),
        "many": figures.by_severity(
            shown(tuple(f"{n} {i}" for i in range(3) for n in names), by_severity),
            SEVERITIES,
            style,
        ),
        "one seed": figures.by_severity(
            shown(names[:1], Spread(by_severity.values[:1])),
            SEVERITIES,
            style,
            "ECE (%)",
            tall=True,
        ),
        "one network": figures.by_severity(
            [Shown.with_interval(names[0], [50.0] * 6, [(45.0, 55.0)] * 6)], SEVERITIES, style
        ),
        "by λ": figures.by_setting(
            summary.by_setting(SPARSE, MEAN), SPARSE[0].values, SEVERITIES, 0.1, "lam", style
        ),
        "by k": figures.by_setting(
            summary.by_setting(TOP_K, MEAN), TOP_K[0].values, SEVERITIES, 16, "top_k", style
        ),
        "fit": figures.setting_fit(SPARSE, style),
        "chosen": figures.chosen_setting(
            *picked, summary.best_settings(SPARSE, MEAN), SEVERITIES, style
        ),
        "radius": figures.by_radius(
            shown(names, worst), shown(names, white), ATTACKED[0].radii, "linf", style, 10
        ),
        "attacks by λ": figures.attacks_by_setting(
            {"clean": figures.clean_by_setting(ATTACKED), **settings},
            ATTACKED[0].values,
            0.1,
            0.8,
            "lam",
            style,
        ),
        "reliability": figures.reliability_diagram(
            [(name, reliability(0.1, seed=i)) for i, name in enumerate(names[:2])], style
        ),
        "labels": figures.by_label_noise(
            shown(names[:2], Spread(by_severity.values[:, :3])), (0, 40, 80), style, 10
        ),
        "seen": figures.seen(
            png(), ("Image", "Residual, grey = 0"), (*names[:2], "cat → dog"), style
        ),
    }


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_every_figure_keeps_to_the_rules(style: Style) -> None:
    for name, fig in every_figure(style).items():
        check(name, fig, style)
        assert fig.data, name


@pytest.mark.parametrize("style", [Style("light", "card"), Style("dark", "large")])
def test_names_from_outside_never_become_markup(style: Style) -> None:
    for name, fig in every_figure(style, HOSTILE[:3]).items():
        text = check(name, fig, style).replace("\\u003c", "<").replace("\\u003e", ">")
        for markup in ("<a ", "<b>x", "$x$"):
            assert markup not in text, (name, markup)


def test_every_figure_exports() -> None:
    for name, fig in every_figure(Style("dark", "large")).items():
        assert len(figure_csv(fig).splitlines()) > 2, name


def test_what_is_missing_is_said_in_a_sentence() -> None:
    style = Style()
    empty = Reliability(np.zeros(15), np.full(15, np.nan), np.full(15, np.nan))
    one_setting = Spread(np.ones((3, 6, 1)))
    for fig in (
        figures.by_severity([], SEVERITIES, style),
        figures.by_setting(one_setting, np.array([np.nan]), SEVERITIES, None, "", style),
        figures.setting_fit(PLAIN, style),
        figures.by_radius([], [], np.array([0.0]), "l2", style),
        figures.attacks_by_setting({}, np.array([np.nan]), None, None, "", style),
        figures.reliability_diagram([("A", empty)], style),
        figures.by_label_noise([], (), style),
    ):
        assert not fig.data
        assert fig.layout.annotations[0].text.endswith(".")


def line(fig, name: str):
    return next(t for t in fig.data if t.name == name and "lines" in (t.mode or ""))


def test_a_line_is_the_mean_and_its_band_the_range_of_the_seeds() -> None:
    spread = summary.accuracy(PLAIN, "gaussian_noise")
    fig = figures.by_severity([Shown.of("A", spread)], SEVERITIES, Style())
    np.testing.assert_allclose(line(fig, "A").y, spread.values.mean(0))
    band = next(t for t in fig.data if t.name == "A, range")
    np.testing.assert_allclose(band.y[:6], spread.values.max(0))
    np.testing.assert_allclose(band.y[6:][::-1], spread.values.min(0))
    assert "3 seeds" in line(fig, "A").text[0]


def test_rings_mark_the_best_setting_of_every_severity() -> None:
    spread = summary.by_setting(SPARSE, MEAN)
    fig = figures.by_setting(spread, SPARSE[0].values, SEVERITIES, 0.1, "lam", Style())
    rings = next(t for t in fig.data if t.name == "best")
    np.testing.assert_allclose(rings.y, spread.mean.max(1))
    assert list(rings.x) == spread.mean.argmax(1).tolist()
    assert list(rings.x) == sorted(rings.x)  # these tables' best λ rises
    assert fig.layout.annotations[0].text == "training"
    assert fig.layout.annotations[0].x == 1


def test_the_fit_shows_every_point_and_line() -> None:
    fig = figures.setting_fit(SPARSE, Style())
    points = [t for t in fig.data if t.mode == "markers"]
    assert sum(len(t.x) for t in points) == 3 * len(FAMILIES) * len(SEVERITIES)
    lines = [t for t in fig.data if t.mode == "lines"]
    assert len(lines) == 3
    fit = SPARSE[1].adaptive
    np.testing.assert_allclose(lines[1].y, fit.intercept + fit.slope * lines[1].x)


def test_the_diagram_has_confidence_on_x_and_marks_small_bins() -> None:
    one = reliability(0.1)
    fig = figures.reliability_diagram([("A", one)], Style())
    points = fig.data[0]
    known = one.counts > 0
    np.testing.assert_allclose(points.y, 100 * one.accuracy[known])
    assert "ECE" in points.name
    open_ones = [s.endswith("-open") for s in points.marker.symbol]
    assert open_ones == (one.counts[known] < figures.FEW).tolist()
    assert sum(fig.data[1].y) == pytest.approx(100)
    diagonal = fig.layout.shapes[0]
    assert (diagonal.x0, diagonal.y0, diagonal.x1, diagonal.y1) == (0, 0, 100, 100)


def test_pgd_alone_is_dotted_beside_what_survives_all() -> None:
    fig = every_figure(Style())["radius"]
    dotted, solid = line(fig, "ResNet-8, PGD"), line(fig, "ResNet-8")
    assert dotted.line.dash == "dot"
    assert dotted.line.color == solid.line.color
    assert all(a >= b for a, b in zip(dotted.y, solid.y, strict=True))
    assert list(solid.x) == pytest.approx([0, 1, 2, 4, 8])


def test_undefined_values_leave_gaps() -> None:
    spread = summary.accuracy(PLAIN, MEAN)
    values = spread.values.copy()
    values[:, 2] = np.nan
    fig = figures.by_severity([Shown.of("A", Spread(values))], SEVERITIES, Style())
    assert line(fig, "A").y[2] is None
    weak = [replace(t, adaptive=replace(t.adaptive, r2=None)) for t in SPARSE]
    assert not any(
        "r²" in (a.text or "") for a in figures.setting_fit(weak, Style()).layout.annotations
    )

"""Figures of comparisons: what is drawn, the rules of the house, and hostile names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.comparison.grid import grids_of
from core.comparison.groups import QUANTITIES, Curve, curve, groups_of
from core.comparison.pair import PairSimilarity, Side
from core.figures.comparison import overlay, shifted_accuracy, width_by_epochs
from core.figures.export import figure_csv
from core.figures.similarity import layer_similarity
from core.figures.theme import Style
from tests.comparison.compared_runs import COLLAPSED, Made
from tests.figures.test_every_figure import HOSTILE, STYLES, check

LARGE = Style("light", "large")


def made(titles=("one", "two", "three", "four", "five")) -> Made:
    found = Made()
    recipes = ("digits-ce", "digits-adam", "digits-lbfgs", "digits-focal", "digits-mse")
    for i, (recipe, title) in enumerate(zip(recipes, titles, strict=False)):
        for seed in range(3):
            found.add(
                recipe,
                seed,
                title=title,
                ends={**COLLAPSED, "nc1": 0.001 * (1 + i) * (1 + seed)},
                results={"accuracy contrast-5": 0.5 + seed / 10, "shifted_accuracy": 0.5},
            )
    return found


def curves(found: Made, key: str = "nc1") -> list[Curve]:
    drawn = (curve(g, key, "train", found.measured) for g in groups_of(found.runs))
    return [c for c in drawn if c is not None]


def grid(losses=("ce", "focal", "ls", "mse")):
    return grids_of(
        [
            {
                "loss": loss,
                "width": w,
                "epochs": e,
                "seed": s,
                "test_accuracy": 0.9 + s / 100 + w / 1e4,
            }
            for loss in losses
            for w in (16, 64, 256)
            for e in (10, 50, 200)
            for s in range(3)
        ]
    )


def pair(rows: int = 4, columns: int = 6, prefix: str = "layer") -> PairSimilarity:
    rng = np.random.default_rng(0)
    sides = [Side(tuple(f"{prefix}{i}" for i in range(n)), 0.9) for n in (rows, columns)]
    cka = rng.uniform(-0.02, 1, (rows, columns))
    cka[0, 1] = np.nan
    return PairSimilarity("digits", 100, *sides, cka, rng.uniform(0, 90, (rows, columns)))


def every(style: Style, titles=HOSTILE, layers: str = "layer"):
    found = made(titles)
    figures = {f"curves of {k}": overlay(curves(found, k), k, "train", style) for k in QUANTITIES}
    return figures | {
        "two curves": overlay(curves(found)[:2], "nc1", "train", style),
        "grid": width_by_epochs(grid(), style, "mean"),
        "grid, sd": width_by_epochs(grid(titles), style, "sd"),
        "shifted": shifted_accuracy(found.finals, style),
        "cka": layer_similarity(pair(prefix=layers), style, "cka", *titles[:2]),
        "procrustes": layer_similarity(pair(40, 60, layers), style, "procrustes", *titles[:2]),
    }


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_every_figure_keeps_to_the_rules_and_names_are_no_markup(style: Style) -> None:
    for name, fig in every(style, layers="<i>$y$").items():
        text = check(name, fig, style).replace("\\u003c", "<").replace("\\u003e", ">")
        for markup in ("<a ", "<b>x", "$x$", "<i>", "$y$"):
            assert markup not in text, (name, markup)
        assert fig.data, name
        assert len(figure_csv(fig).splitlines()) > 1, name


def test_a_band_goes_from_the_smallest_to_the_largest_seed() -> None:
    fig = overlay(curves(made()), "nc1", "train", LARGE)
    band, line, ring = fig.data[:3]
    assert band.fill == "toself"
    assert min(band.y) == pytest.approx(0.001)
    assert line.y[-1] == pytest.approx(0.002)
    assert max(b for b in band.y if b < 0.0031) == pytest.approx(0.003)
    assert "epoch 100" in line.text[-1]
    assert "3 seeds: 0.00100 to 0.00300" in line.text[-1]
    assert ring.marker.symbol == "circle-open"
    assert ring.x[0] == pytest.approx(np.log10(21), abs=1e-4)
    assert min(line.y) <= ring.y[0] <= max(line.y)
    assert "training error first zero at<br>epoch 20" in ring.text[0]


def test_three_lines_have_a_legend_and_more_have_labels_that_do_not_overlap() -> None:
    few = overlay(curves(made())[:3], "nc1", "train", LARGE)
    assert few.layout.showlegend
    fig = overlay(curves(made()), "nc1", "train", LARGE)
    assert not fig.layout.showlegend
    labels = [a for a in fig.layout.annotations if "●" in a.text]
    assert len(labels) == 5
    low, high = fig.layout.yaxis.range
    pixels = fig.layout.height - 12 - 3.6 * 12
    tops = sorted((a.y - low) / (high - low) * pixels + a.yshift for a in labels)
    assert np.diff(tops).min() >= 1.2 * 12 - 0.1


def test_the_threshold_is_drawn_on_training_data_alone() -> None:
    one = curves(made())
    fig = overlay(one, "nc1", "train", LARGE)
    note = next(a for a in fig.layout.annotations if "collapsed below 0.02" in a.text)
    assert note.y == pytest.approx(np.log10(0.02))  # annotations on a log axis are in decades
    assert fig.layout.shapes[0].y0 == 0.02
    assert 10 ** fig.layout.yaxis.range[1] > 0.02
    assert not overlay(one, "nc1", "test", LARGE).layout.shapes


def test_what_was_not_measured_is_said() -> None:
    for fig in (
        overlay([], "nc1", "train", LARGE),
        width_by_epochs((), LARGE, "mean"),
        shifted_accuracy((), LARGE),
        layer_similarity(
            PairSimilarity(
                "d", 4, Side(("a",), None), Side(("b",), None), *[np.full((1, 1), np.nan)] * 2
            ),
            LARGE,
            "cka",
            "a",
            "b",
        ),
    ):
        assert not fig.data
        assert fig.layout.annotations[0].text.endswith(".")


def test_panels_share_one_scale_and_the_corner_is_on_the_right_top() -> None:
    fig = width_by_epochs(grid(), LARGE, "mean")
    heats = [t for t in fig.data if t.type == "heatmap"]
    assert [t.name for t in heats] == ["cross-entropy", "focal", "label smoothing", "MSE"]
    assert len({(t.zmin, t.zmax) for t in heats}) == 1
    assert [t.showscale for t in heats] == [True, False, False, False]
    assert heats[0].z[-1][-1] == pytest.approx(93.56)
    assert "width 256, 200 epochs" in heats[0].text[-1][-1]
    sd = width_by_epochs(grid(), LARGE, "sd").data[0]
    assert sd.zmin == 0
    assert sd.z[0][0] == pytest.approx(1)


def test_shifted_accuracies_have_a_row_a_data_set() -> None:
    fig = shifted_accuracy(made().finals, LARGE)
    assert list(fig.layout.yaxis.ticktext) == [
        "own test images",
        "contrast 5",
        "mean of the shifted ones",
    ]
    first = fig.data[0]
    assert list(first.x) == pytest.approx([96, 60, 50])
    assert list(first.error_x.array) == pytest.approx([0, 10, 0])
    assert "3 seeds: 50.00 to 70.00 %" in first.text[1]


def test_similarity_names_layers_and_rings_the_most_alike() -> None:
    fig = layer_similarity(pair(), LARGE, "cka", "A", "B")
    heat, numbers, ring = fig.data
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert "layer2</b> of A<br><b>layer5</b> of B" in heat.text[2][5]
    assert len(numbers.x) == 23  # one cell is undefined
    best = np.nanargmax(pair().cka, axis=1)
    assert list(ring.x) == best.tolist()
    turned = layer_similarity(pair(), LARGE, "procrustes", "A", "B")
    assert turned.data[-1].x[0] == np.argmin(pair().procrustes[0])
    assert turned.data[0].zmax == 90
    json.loads(turned.to_json())

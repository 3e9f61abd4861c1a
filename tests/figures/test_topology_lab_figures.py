"""Figures of the topology lab: the rules of the house, and what each must show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.data.two_class_problems import PROBLEMS, generate
from core.figures import topology_lab as figures
from core.figures.theme import Style
from core.topology_lab import LabResult, Row, default_request, run
from tests.figures.test_every_figure import STYLES, check

ROWS = tuple(
    Row("d1", activation, seed, True, 1.0, tuple(((9 - i, 0), (1, seed)) for i in range(9)))
    for activation in ("relu", "tanh")
    for seed in range(3)
)


@pytest.fixture(scope="module", params=["d1-small", "d3-small"])
def result(request: pytest.FixtureRequest) -> LabResult:
    sizes = {"epochs": 10, "depth": 6, "per_class": 200}
    return run(replace(default_request(request.param), **sizes))


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_rules(result: LabResult, style: Style) -> None:
    data = generate(PROBLEMS[result.request.problem], 200, 0)
    for name, fig in {
        "problem": figures.problem(data, style, result.regions),
        "training": figures.training(result, style),
        "row": figures.layer_row(result, 0, style),
        "cloud": figures.layer_cloud(result, 3, style),
        "betti": figures.betti_by_layer(result, 1, style),
        "comparison": figures.comparison(ROWS, "d1", 0, style),
    }.items():
        check(name, fig, style)
        assert fig.data, name


def test_row_has_a_panel_and_a_caption_for_every_layer(result: LabResult) -> None:
    fig = figures.layer_row(result, 1, Style("light", "large"))
    assert len(fig.data) == 2 * len(result.layers)
    assert len(fig.layout.annotations) == len(result.layers)
    for layer, note in zip(result.layers, fig.layout.annotations, strict=True):
        assert note.text == f"<b>{layer.name}</b><br>β {', '.join(map(str, layer.betti[1]))}"
    axes = {trace.xaxis for trace in fig.data}
    assert len(axes) == len(result.layers)


def test_betti_lines_and_their_sum(result: LabResult) -> None:
    fig = figures.betti_by_layer(result, 0, Style("light", "large"))
    lines = {trace.name: list(trace.y) for trace in fig.data}
    total = lines.pop("total")
    assert total == [sum(values) for values in zip(*lines.values(), strict=True)]
    assert total == result.totals(0)


def test_no_point_is_drawn_where_none_is_wrong(result: LabResult) -> None:
    perfect = replace(result, accuracy=result.accuracy * 0 + 1)
    wrong = figures.training(perfect, Style()).data[1]
    assert all(value is None for value in wrong.y)


def test_comparison_counts_networks_that_learned_alone() -> None:
    style = Style("light", "large")
    missed = replace(ROWS[0], reached=False)
    fig = figures.comparison((missed, *ROWS[1:]), "d1", 1, style)
    relu = next(t for t in fig.data if t.name == "ReLU")
    assert relu.y[0] == pytest.approx(2.5)  # 1 + mean of seeds 1 and 2
    assert "over 2 networks" in relu.text[0]
    empty = figures.comparison(ROWS, "d2", 0, style)
    assert empty.layout.annotations[0].text.endswith(".")

"""Heat maps of a grid that is still growing, bars that can be chosen, and loops in their cloud."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from core.figures import loops, persistence, topology, topology_lines
from core.figures.theme import Style
from core.results import Cycle, Topology
from core.topology_grid import ALL, Grid, grid_of_analysis
from tests.synthetic import synthetic_analysis

LARGE = Style("light", "large")
HOSTILE = ("<b>x</b>", "$x$", "<a href='https://x.org'>y</a>")


@pytest.fixture(scope="module")
def grid() -> Grid:
    return grid_of_analysis(synthetic_analysis(3, layers=4, samples=60))


def names(grid: Grid) -> tuple[str, ...]:
    return tuple("abcdefgh"[: grid.classes])


def trace(fig, name: str):
    return next(t for t in fig.data if t.name == name)


def test_the_line_is_the_sum_of_the_column(grid: Grid) -> None:
    fig = topology.betti_grid(grid, names(grid), LARGE)
    heat = trace(fig, "β₁").z
    assert list(trace(fig, "sum over 3 classes").y) == list(heat.sum(axis=0))
    together = [cell.betti[1] for cell in grid.column(ALL)]
    assert list(trace(fig, "all classes").y) == together


def test_missing_cells_are_empty_and_their_layer_has_no_sum(grid: Grid) -> None:
    layer = grid.layers[1]
    kept = {key: cell for key, cell in grid.cells.items() if key != (layer, 2)}
    fig = topology.betti_grid(replace(grid, cells=kept), names(grid), LARGE, running=True)
    assert np.isnan(trace(fig, "β₁").z[2, 1])
    assert np.isfinite(trace(fig, "β₁").z).sum() == 11
    assert trace(fig, "sum over 3 classes").y[1] is None
    marks = trace(fig, "cells")
    place = [list(c) for c in marks.customdata].index([1, 2])
    assert marks.text[place] == "·"
    assert "not computed" in marks.hovertext[place]


def test_a_grid_without_cells_is_drawn_only_while_it_grows(grid: Grid) -> None:
    none = replace(grid, cells={})
    assert topology.betti_grid(none, names(grid), LARGE, running=True).data
    assert not topology.betti_grid(none, names(grid), LARGE).data


def test_undefined_cells_say_why(grid: Grid) -> None:
    key = (grid.layers[0], 0)
    none = replace(grid.cells[key], betti=(None, None), reason="too <few> points")
    fig = topology.betti_grid(replace(grid, cells={**grid.cells, key: none}), names(grid), LARGE)
    marks = trace(fig, "cells")
    assert marks.text[0] == "–"
    assert "too &lt;few&gt; points" in marks.hovertext[0]


@pytest.mark.parametrize("counted", ["rule", "fixed", "peak"])
def test_bars_are_counted_as_asked(grid: Grid, counted: str) -> None:
    cell = grid.cells[grid.layers[0], 0]
    reading = topology.Reading(counted, 3.0)
    births, deaths = cell.diagrams[1].T
    expected = {
        "rule": cell.betti[1],
        "fixed": int(((births <= 3 * cell.spacing) & (3 * cell.spacing < deaths)).sum()),
        "peak": max(int(((births <= b) & (b < deaths)).sum()) for b in births),
    }
    assert topology.betti(cell, 1, reading) == expected[counted]


def test_the_chosen_cell_has_a_frame(grid: Grid) -> None:
    order = np.array([2, 0, 1])
    chosen = (grid.layers[2], 0)
    fig = topology.betti_grid(grid, names(grid), LARGE, order=order, selected=chosen)
    frame = fig.layout.shapes[-1]
    assert (frame.x0, frame.y0, frame.y1) == (1.5, 0.5, 1.5)
    whole = topology.betti_grid(grid, names(grid), LARGE, selected=(grid.layers[2], ALL))
    assert (whole.layout.shapes[-1].y0, whole.layout.shapes[-1].y1) == (-0.5, 2.5)


def test_names_from_outside_are_not_markup(grid: Grid) -> None:
    hostile = replace(grid, layers=(*grid.layers[:-1], "<i>layer</i>"))
    values = {0: [1.0, 2.0, None, 3.0], ALL: [1.0, 1.0, 1.0, 1.0]}
    for fig in (
        topology.betti_grid(hostile, HOSTILE, LARGE, running=True),
        topology_lines.lines_by_layer(hostile, HOSTILE, values, LARGE, "nats", ("", 0)),
    ):
        text = json.dumps(json.loads(fig.to_json())["data"])
        for name in (*HOSTILE, "<i>layer</i>"):
            assert name not in text


# --- loops -------------------------------------------------------------------------------------


@pytest.fixture
def ring() -> Topology:
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    stored = np.array([[0.5, 1.7], [0.4, 0.45], [0.2, np.inf]], dtype=np.float32)
    return Topology(
        betti=(1, 2),
        scale=1.0,
        rule="confidence",
        confidence=0.1,
        diagrams=(np.array([[0.0, 0.3], [0.0, np.inf]]), stored),
        landmarks=12,
        points=12,
        cover_radius=0.2,
        coordinates=np.column_stack([np.cos(turn), np.sin(turn)]).astype(np.float16),
        cycles=(
            Cycle(0.2, float("inf"), np.arange(12)),
            Cycle(0.5, 1.7, np.array([0, 4, 8])),
            Cycle(0.4, 0.45, np.array([1, 2, 3])),
        ),
    )


@pytest.mark.parametrize("draw", [persistence.diagram, persistence.barcode])
def test_every_loop_with_a_representative_can_be_chosen(draw, ring: Topology) -> None:
    fig = draw(ring, LARGE, loop=1)
    marks = trace(fig, "loops to choose")
    assert list(marks.customdata) == [0, 1, 2]
    assert len(set(marks.marker.color)) == 2
    assert marks.marker.color[0] == marks.marker.color[2] != marks.marker.color[1]
    json.loads(fig.to_json(), parse_constant=pytest.fail)


def test_a_click_anywhere_along_a_bar_finds_its_loop(ring: Topology) -> None:
    fig = persistence.barcode(ring, LARGE, loop=1)
    hits = trace(fig, "bars to choose")
    chosen = [i for i, position in enumerate(hits.customdata) if position == 1]
    assert len(chosen) == loops.HITS
    assert (hits.x[chosen[0]], hits.x[chosen[-1]]) == pytest.approx((0.5, 1.7))
    drawn = trace(fig, "loops, significant")
    row = drawn.y[list(drawn.x).index(0.5)]
    assert {hits.y[i] for i in chosen} == {row}


def test_a_loop_is_closed(ring: Topology) -> None:
    fig = loops.cycle_view(ring, LARGE, 1)
    loop = trace(fig, "loop 2")
    assert len(loop.x) == 4
    assert (loop.x[0], loop.y[0]) == (loop.x[-1], loop.y[-1])
    assert loop.x[1] == pytest.approx(np.cos(4 * np.pi / 6), abs=1e-3)


def test_where_no_loop_can_be_drawn(ring: Topology) -> None:
    assert len(loops.cycle_view(ring, LARGE, None).data) == 1
    assert len(loops.cycle_view(ring, LARGE, 7).data) == 1
    old = replace(ring, coordinates=None, cycles=())
    assert "not kept" in loops.cycle_view(old, LARGE, 0).layout.annotations[0].text
    line = replace(ring, coordinates=ring.coordinates[:, :1])
    assert list(loops.cycle_view(line, LARGE).data[0].y) == [0] * 12


def test_steps_stand_between_their_layers(grid: Grid) -> None:
    steps = dict.fromkeys((0, 1, 2, ALL), (0.1, 0.2, 0.3))
    places = [0.5, 1.5, 2.5]
    fig = topology_lines.lines_by_layer(
        grid, names(grid), steps, LARGE, "distance", (grid.layers[0], 1), places
    )
    assert list(trace(fig, "all classes").x) == places
    assert f"{grid.layers[0]} to {grid.layers[1]}" in trace(fig, "b").text[0]
    assert {t.name for t in fig.data if t.showlegend is not False} == {"all classes", "b"}

"""The Topology page: at once from the analysis, by a job for other options, clicks as functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs import write_runs
from streamlit.testing.v1 import AppTest

from core.topology_grid import ALL, Grid
from pages._ui.topology_cloud import loop_name, picked_loop
from pages._ui.topology_grid import picked_cell

Show = Callable[..., AppTest]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], runs: Path) -> Show:
    return show_page("topology", runs)


def headings(app: AppTest) -> list[str]:
    return [heading.value for heading in app.header]


def test_what_the_analysis_holds_is_there_at_once(show: Show) -> None:
    app = show(run="full")
    assert headings(app)[:6] == [
        *("Components (β₀) by layer", "Loops (β₁) by layer"),
        *("Persistence diagram", "Barcode", "Betti curve", "The loop in the cloud"),
    ]
    assert "_live_topology" not in app.session_state
    assert app.selectbox(key="choice_loop").value == 0
    assert any("landmarks round loop 1" in caption.value for caption in app.caption)


def test_a_link_names_cell_loop_and_counting(show: Show) -> None:
    app = show(run="full", layer="layer1.0", bars="fixed", times="3.0", loop="2", **{"class": "4"})
    assert app.selectbox(key="choice_loop").value == 2
    assert app.select_slider(key="choice_times").value == 3.0
    assert any(s.value.startswith("At layer1") for s in app.subheader)


def test_other_options_need_the_files(show: Show) -> None:
    app = show(run="full", distance="hops")
    assert app.selectbox(key="choice_neighbours").value == 15
    assert any("bring the checkpoint again" in text.value for text in app.markdown)


def test_other_options_start_with_a_forecast(show: Show) -> None:
    app = show(run="digits-mlp", distance="hops", up_to="2")
    assert app.selectbox(key="choice_landmarks_2").value == 200
    assert "Loops (β₁) by layer" not in headings(app)
    assert app.session_state["_live_topology_forecast"]


def test_names_from_outside_are_not_markup(show: Show) -> None:
    app = show(run="hostile", **{"class": "0"})
    shown = [*app.markdown, *app.caption, *app.subheader, *app.header]
    assert not any("<script>" in element.value for element in shown)


def event(*customdata: Any) -> Any:
    points = [{"customdata": value} for value in customdata]
    return SimpleNamespace(selection=SimpleNamespace(points=points))


def test_a_click_on_a_bar_is_its_loop() -> None:
    assert picked_loop(event(3), 6) == 3
    assert picked_loop(event([2]), 6) == 2
    assert picked_loop(event(None, 1), 6) == 1  # the mark under the bar has none
    for nothing in (None, event(), event(9), event(-1), event("x")):
        assert picked_loop(nothing, 6) is None


def test_a_click_on_a_cell_is_its_layer_and_class() -> None:
    grid = Grid(("input", "logits"), 10, {})
    assert picked_cell(event([1, 4]), grid) == ("logits", 4)
    assert picked_cell(event([0, -1]), grid) == ("input", ALL)
    assert picked_cell(event([0, None]), grid) == ("input", None)
    for nothing in (None, event(), event([7, 0]), event("x")):
        assert picked_cell(nothing, grid) is None


def test_a_loop_is_named_by_its_bar() -> None:
    bar = SimpleNamespace(birth=0.5, death=float("inf"))
    assert loop_name(0, bar) == "loop 1: born at 0.500, never dies"

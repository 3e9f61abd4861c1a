"""Every page with every kind of analysis: no traceback, the right words, nothing heavy imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import EPOCHS, HOSTILE, write_runs
from streamlit.testing.v1 import AppTest

from scripts.pictures import PAGES

Show = Callable[..., AppTest]
RUNS = ("full", "epochs", "weights", "bare", "many", "hostile", "two")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    return root


@pytest.fixture
def show(runs: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """show(page, run=…, …): the page as AppTest sees it, after one run without an exception."""
    monkeypatch.setenv("FEATURESCOPE_RUNS", str(runs))
    monkeypatch.syspath_prepend(str(repo))

    def show_page(page: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(repo / "app.py"), default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if page != "overview":
            app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, app.exception
        return app

    return show_page


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_every_kind_of_analysis(show: Show, page: str, run: str) -> None:
    app = show(page, run=run)
    assert app.title


def test_overview_has_five_figures_and_six_numbers(show: Show) -> None:
    app = show("overview", run="full")
    assert charts(app) == 5
    assert [metric.label for metric in app.metric] == [
        *("NC1 variability", "Mean angle error", "Equinorm spread"),
        *("Self-duality gap", "NCC mismatch", "Dimension"),
    ]
    assert all(metric.delta for metric in app.metric)


def test_a_wrong_link_falls_back_and_says_so(show: Show) -> None:
    app = show("overview", run="full", layer="nowhere")
    assert any("nowhere" in info.value for info in app.info)
    assert app.selectbox(key="choice_layer").value == "avgpool"


def test_the_epoch_is_hidden_for_a_single_checkpoint(show: Show) -> None:
    assert "choice_epoch" not in show("overview", run="full").session_state
    app = show("overview", run="epochs", epoch="10")
    assert app.select_slider(key="choice_epoch").value == EPOCHS[1]
    assert "epoch 10" in app.caption[0].value


def test_names_from_outside_are_not_markup(show: Show) -> None:
    for page in PAGES:
        app = show(page, run="hostile")
        shown = [*app.markdown, *app.caption, *app.title, *app.header, *app.subheader]
        assert not any(name in element.value for element in shown for name in HOSTILE)


def test_weights_alone_lead_to_what_gives_the_rest(show: Show) -> None:
    app = show("overview", run="weights")
    assert charts(app) == 4
    assert any("--model FILE.py:FUNCTION" in text.value for text in app.markdown)
    assert any("Only the weights" in t.value for t in show("layers", run="weights").markdown)


def test_an_unknown_analysis_is_named(show: Show) -> None:
    app = show("overview", run="analysis-0123456789abcdef0123")
    assert any("analysis" in info.value for info in app.info)


def test_pages_import_nothing_heavy(runs: Path, repo: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(repo)!r})
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(repo / "app.py")!r}, default_timeout=60)
app.query_params["run"] = "full"
app.run()
for page in {PAGES!r}:
    app.switch_page(f"pages/{{page}}.py").run()
    assert not app.exception, app.exception
heavy = {{"torch", "torchvision", "sklearn", "scipy", "ripser", "timm"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"FEATURESCOPE_RUNS": str(runs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

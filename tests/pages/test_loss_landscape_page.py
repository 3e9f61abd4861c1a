"""The page Loss landscape: every kind, two networks, what is refused, what a link says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from landscape_runs import network, write_run_of
from runs import write_runs
from streamlit.testing.v1 import AppTest

Show = Callable[..., AppTest]
SMALL = {"grid": "13", "over": "64"}
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with checkpoints and without analyses, and analyses without checkpoints."""
    root = tmp_path_factory.mktemp("runs")
    moving = [network(seed) for seed in range(4)]
    write_run_of(root, "normalised", moving, "<b>With</b> norm")
    write_run_of(root, "plain", [network(s, batch_norm=False) for s in range(4)])
    write_run_of(root, "wide", [network(9, width=20)])
    broken = network(5)
    with torch.no_grad():
        broken.classifier.weight.fill_(float("inf"))
    write_run_of(root, "infinite", [broken])
    write_runs(root)
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], folder: Path) -> Show:
    """show(charts, run=…): the page once it has that many figures."""
    opened = show_page("loss_landscape", folder)

    def of(charts: int = 0, **query: str) -> AppTest:
        return wait(opened(**query), charts)

    return of


def wait(app: AppTest, charts: int) -> AppTest:
    end = time.monotonic() + WAIT_SECONDS
    while len(app.get("plotly_chart")) < charts and not app.error and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    assert not app.exception, app.exception
    assert len(app.get("plotly_chart")) >= charts, [m.value for m in app.markdown]
    return app


def specs(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def said(app: AppTest) -> str:
    return " ".join(m.value for m in [*app.markdown, *app.caption])


@pytest.mark.parametrize("kind", ["plane", "line", "between", "path"])
def test_every_kind_is_drawn(show: Show, kind: str) -> None:
    charts = {"plane": 2, "line": 2, "between": 2, "path": 4}[kind]
    app = show(charts, run="normalised", slice=kind, **SMALL)
    assert app.title[0].value == "Loss landscape"
    assert "The loss of the network is" in said(app)
    assert "over 64 of 1,437 images of digits, training split" in said(app)
    kept = "measured again at every point" if kind in ("between", "path") else "as stored"
    assert f"running statistics {kept}" in said(app)
    assert dict(app.query_params).get("slice", "plane") == kind
    assert "<b>With" not in said(app)


def test_a_plane_is_drawn_as_contours_and_surface(show: Show) -> None:
    app = show(2, run="plain", draw="4", span="0.5", level="1.0", **SMALL)
    contour, surface = specs(app)
    assert contour["data"][0]["type"] == "contour"
    assert surface["data"][0]["type"] == "surface"
    assert contour["layout"]["xaxis"]["range"] == [-0.5, 0.5]
    assert "no running statistics" in said(app)
    assert app.select_slider(key="choice_level").value == 1.0
    assert "lies above the level 1" in said(app)  # a few steps do not bring it below


def test_two_networks_share_their_colours(show: Show) -> None:
    app = show(4, run="normalised", second="plain", **SMALL)
    fields = [d for s in specs(app) for d in s["data"] if d["type"] in ("contour", "surface")]
    contours = [f for f in fields if f["type"] == "contour" and "zmin" in f]
    surfaces = [f for f in fields if f["type"] == "surface"]
    assert len(contours) == len(surfaces) == 2
    assert len({(f["zmin"], f["zmax"]) for f in contours}) == 1
    assert len({(f["cmin"], f["cmax"]) for f in surfaces}) == 1
    assert "plain, epoch 10" in said(app)
    assert "epoch 10" in said(app)


def test_a_second_network_of_one_checkpoint_cannot_have_a_path(show: Show) -> None:
    app = show(4, run="normalised", slice="path", second="wide", **SMALL)
    assert "wide has too few checkpoints for this" in said(app)


def test_a_line_can_start_at_another_run(show: Show) -> None:
    app = show(
        2, run="normalised", slice="between", **{"from": "normalised", "from_epoch": "3"}, **SMALL
    )
    notes = [a["text"] for a in specs(app)[0]["layout"]["annotations"]]
    assert {"epoch 3", "epoch 10"} <= set(notes)


def test_another_architecture_is_one_sentence(show: Show) -> None:
    app = show(0, run="normalised", slice="between", **{"from": "wide"}, **SMALL)
    end = time.monotonic() + WAIT_SECONDS
    while not app.error and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    assert "another network" in app.error[0].value
    assert "one architecture" in app.error[0].value


def test_a_network_with_infinite_weights_is_shown_as_gaps(show: Show) -> None:
    app = show(2, run="infinite", **SMALL)
    assert "no finite number" in said(app)


def test_a_long_computation_waits_for_the_reader(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages._ui.landscape.AT_ONCE", 0.0)
    app = show(0, run="normalised", grid="13", over="128", draw="9")
    end = time.monotonic() + WAIT_SECONDS
    while not any(b.label == "Compute" for b in app.button) and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    assert "169 points, each over up to 128 images" in said(app)
    assert not app.get("plotly_chart")
    next(b for b in app.button if b.label == "Compute").click().run()
    assert len(wait(app, 2).get("plotly_chart")) == 2


def test_kinds_that_a_network_has_not_are_not_offered(show: Show) -> None:
    app = show(2, run="wide", slice="path", **SMALL)
    assert "path of the run" not in app.get("button_group")[0].options
    assert "contour" in [d["type"] for s in specs(app) for d in s["data"]]


@pytest.mark.parametrize(
    ("run", "words"),
    [("full", "bring the checkpoint again"), ("weights", "Only the weights")],
)
def test_without_the_files_the_page_says_what_to_do(show: Show, run: str, words: str) -> None:
    app = show(0, run=run)
    assert words in said(app)
    assert not app.get("plotly_chart")


def test_the_page_imports_nothing_heavy(folder: Path, repo: Path, tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(repo)!r})
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(repo / "app.py")!r}, default_timeout=60)
app.query_params["run"] = "plain"
app.run()
app.switch_page("pages/loss_landscape.py").run()
assert not app.exception, app.exception
heavy = {{"torch", "torchvision", "sklearn", "scipy", "ripser", "timm"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ
        | {"FEATURESCOPE_RUNS": str(folder), "FEATURESCOPE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_first_view_of_a_bundled_run_comes_with_it(
    show_page: Callable[..., Show], folder: Path
) -> None:
    app = show_page("loss_landscape", folder)(run="digits-mlp")
    assert len(app.get("plotly_chart")) == 2
    assert not any(b.label == "Cancel" for b in app.button)

"""The manifold lab as a page: every lecture case by link and by button, choices in the URL."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.manifolds import MANIFOLDS, ManifoldSpec
from core.manifold_lab import PRESETS, Preset

CHARTS = 7
BEFORE_THE_ANSWER = 5
WAIT_SECONDS = 60


@pytest.fixture(autouse=True)
def _paths(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repo))


def link(spec: ManifoldSpec) -> dict[str, str]:
    """The query parameters that a link to these choices has."""
    return {
        "manifold": spec.manifold,
        "dim": str(spec.dim),
        "ambient": str(spec.ambient),
        "points": str(spec.points),
        "noise": str(spec.noise),
        "seed": str(spec.seed),
    }


def first_run(repo: Path, **query: str) -> AppTest:
    """The page as a link opens it; its numbers may still be under way."""
    app = AppTest.from_file(str(repo / "app.py"), default_timeout=60).run()
    for key, value in query.items():  # now: the Overview would take them out of the URL
        app.query_params[key] = value
    app.switch_page("pages/manifold_lab.py").run()
    assert not app.exception, app.exception
    return app


def open_lab(repo: Path, **query: str) -> AppTest:
    return finished(first_run(repo, **query))


def finished(app: AppTest, charts: int = CHARTS) -> AppTest:
    """The page once its numbers and its sweep are there."""
    end = time.monotonic() + WAIT_SECONDS
    while len(app.get("plotly_chart")) != charts and time.monotonic() < end:
        assert not app.exception, app.exception
        assert not app.error, app.error
        time.sleep(0.1)
        app.run()
    assert len(app.get("plotly_chart")) == charts
    assert not app.exception, app.exception
    return app


def chosen(app: AppTest) -> ManifoldSpec:
    """What the widgets show."""
    state = app.session_state
    return ManifoldSpec(
        *(state[f"choice_{k}"] for k in ("manifold", "dim", "ambient", "points", "noise", "seed"))
    )


def sentence(app: AppTest) -> str:
    return next(m.value for m in app.markdown if m.value.startswith("TwoNN"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_every_lecture_case_opens_by_its_link(repo: Path, preset: Preset) -> None:
    app = first_run(repo, **link(preset.spec))
    assert not app.info
    finished(app)
    assert chosen(app) == preset.spec
    assert f"where the truth is {preset.spec.dim}" in sentence(app)


def test_a_button_sets_all_choices_and_the_link(repo: Path) -> None:
    app = open_lab(repo)
    assert chosen(app) == PRESETS[0].spec
    app.button(key="preset_noise").click().run()
    finished(app)
    wanted = next(p.spec for p in PRESETS if p.id == "noise")
    assert chosen(app) == wanted
    assert "noise fills all 50" in sentence(app)
    said = dict(app.query_params)
    assert {"manifold": "moebius", "noise": "0.05", "ambient": "50"}.items() <= said.items()


def test_a_surprise_is_guessed_before_its_answer(repo: Path) -> None:
    app = open_lab(repo)
    app.button(key="preset_surprise").click().run()
    finished(app, BEFORE_THE_ANSWER)
    assert not any(m.value.startswith("TwoNN") for m in app.markdown)
    assert app.query_params["guess"] == "True"
    truth = chosen(app)
    next(b for b in app.button if b.label == "Show the answer").click().run()
    finished(app)
    assert chosen(app) == truth
    assert f"where the truth is {truth.dim}" in sentence(app)
    assert any(c.value.startswith("You guessed 2, ") for c in app.caption)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (ManifoldSpec("waves", 10, 20), ManifoldSpec("waves", 10, 21)),
        (ManifoldSpec("helix", 10, 5), ManifoldSpec("helix", 1, 5)),
    ],
)
def test_dimensions_that_do_not_fit_the_manifold_fall_back(
    repo: Path, spec: ManifoldSpec, shown: ManifoldSpec
) -> None:
    app = first_run(repo, **link(spec))
    assert chosen(app) == shown
    assert len(app.info) == 1
    assert app.session_state["choice_dim"] == shown.dim


def test_a_wrong_link_falls_back_and_says_so(repo: Path) -> None:
    app = first_run(repo, manifold="klein-bottle", noise="7")
    text = " ".join(info.value for info in app.info)
    assert "klein" in text
    assert "7" in text
    assert chosen(app).manifold in MANIFOLDS


def test_the_picture_changes_its_coordinates(repo: Path) -> None:
    specs = []
    for shown in ("own", "components"):
        app = open_lab(repo, manifold="curve", ambient="20", coordinates=shown)
        specs.append(json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]["hovertemplate"])
    assert "coordinates 1 to 3" in specs[0]
    assert "PC 1 to 3" in specs[1]


def test_the_page_imports_nothing_heavy(repo: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(repo)!r})
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(repo / "app.py")!r}, default_timeout=60).run()
app.switch_page("pages/manifold_lab.py").run()
assert not app.exception, app.exception
heavy = {{"torch", "torchvision", "sklearn", "scipy", "ripser", "timm"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]

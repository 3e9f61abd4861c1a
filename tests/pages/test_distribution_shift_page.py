"""The Distribution shift page: every analysis it may meet, its choices, what it says, what it
computes while the reader waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import write_runs
from streamlit.testing.v1 import AppTest

Show = Callable[..., AppTest]
WAIT_SECONDS = 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    return root


@pytest.fixture
def show(folder: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """show(charts, run=…, …): the page as a link opens it, once it has that many figures."""
    monkeypatch.setenv("FEATURESCOPE_RUNS", str(folder))
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(str(repo))

    def show_page(charts: int = 0, **query: str) -> AppTest:
        app = AppTest.from_file(str(repo / "app.py"), default_timeout=60).run()
        for key, value in query.items():
            app.query_params[key] = value
        app.switch_page("pages/distribution_shift.py").run()
        return wait(app, charts)

    return show_page


def wait(app: AppTest, charts: int) -> AppTest:
    end = time.monotonic() + WAIT_SECONDS
    while unfinished(app, charts) and time.monotonic() < end:
        assert not app.error, app.error
        time.sleep(0.2)
        app.run()
    assert not app.exception, app.exception
    assert len(app.get("plotly_chart")) >= charts
    return app


def unfinished(app: AppTest, charts: int) -> bool:
    return len(app.get("plotly_chart")) < charts or any(b.label == "Cancel" for b in app.button)


def words(app: AppTest) -> list[str]:
    return [m.value for m in app.markdown if m.value.startswith("**")]


@pytest.mark.parametrize("run", ["full", "epochs", "bare", "many", "hostile", "two"])
def test_analyses_without_their_files_show_what_is_there(show: Show, run: str) -> None:
    app = show(2, run=run)
    assert app.title[0].value == "Distribution shift"
    assert not app.error


def test_weights_alone_have_nothing_to_show(show: Show) -> None:
    assert any("Only the weights" in m.value for m in show(run="weights").markdown)


def test_without_the_files_a_corruption_says_what_to_bring(show: Show) -> None:
    app = show(2, run="full", corruption="contrast")
    assert any("bring the checkpoint again" in caption.value for caption in app.caption)


def test_two_splits_are_compared_with_what_is_known(show: Show) -> None:
    said = words(show(2, run="epochs"))
    assert len(said) == 1
    assert "on the test split as on the training split" in said[0]
    assert "sampling error" not in said[0]


def test_the_bundled_network_shows_three_data_sets_at_once(show: Show) -> None:
    app = show(4)
    assert app.selectbox(key="choice_corruption").value == "gaussian_noise"
    test, noise = words(app)
    assert "on the test split as on the training split" in test
    assert "Less collapsed" in test
    assert "Beyond the sampling error" in test
    assert "on Gaussian noise 3 as on the test split" in noise
    assert "of the images, against 81" in noise


def test_choices_come_from_the_link(show: Show) -> None:
    app = show(4, corruption="pixelate", severity="5", quantity="ncc_accuracy")
    noise = words(app)[1]
    assert "Nearest-mean accuracy changes by −" in noise
    assert "from the test split to Pixelate 5" in noise


def test_without_a_corruption_the_splits_remain(show: Show) -> None:
    app = show(2, corruption="none")
    assert len(words(app)) == 1
    assert len(app.get("plotly_chart")) == 2


def test_what_is_not_bundled_is_computed(show: Show) -> None:
    app = show(4, run="digits-mlp", epoch="3", corruption="contrast", severity="5", sweep="True")
    splits, shifted = words(app)
    assert "on Contrast 5 as on the test split" in shifted
    assert "Beyond the sampling error" in shifted
    assert "Beyond" not in splits  # the training split's is not known at this epoch
    assert app.toggle(key="choice_sweep").value
    curve = json.loads(app.get("plotly_chart")[-1].proto.spec)["data"]
    assert all(len(line["y"]) == 6 and None not in line["y"] for line in curve)


def test_the_page_imports_nothing_heavy(folder: Path, repo: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(repo)!r})
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(repo / "app.py")!r}, default_timeout=60).run()
app.switch_page("pages/distribution_shift.py").run()
assert not app.exception, app.exception
heavy = {{"torch", "torchvision", "sklearn", "scipy", "ripser", "timm"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"FEATURESCOPE_RUNS": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

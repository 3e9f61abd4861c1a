"""A person's own runs on the Explore pages: data that fit, analyses on demand, what is left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import library
from core.models.mlp import MLP
from core.training.writer import RunWriter
from pages._ui import live

Show = Callable[..., AppTest]
WAIT_SECONDS = 300


def network() -> MLP:
    torch.manual_seed(0)
    return MLP((1, 8, 8), (16, 16), 10)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    model = network()
    plain = root / "plain"
    plain.mkdir()
    for epoch in (1, 10):
        torch.save(model.state_dict(), plain / f"epoch_{epoch}.pt")
    (root / "unknown").mkdir()
    torch.save(
        {"odd.weight": torch.ones(3, 3, 3), "fc.weight": torch.rand(10, 3)},
        root / "unknown" / "epoch_1.pt",
    )
    written = RunWriter(root / "written", title="*Written*", data=["digits-test", "digits-train"])
    for epoch in (0, 5):
        written.save(model, epoch=epoch)
    begun = RunWriter(root / "begun", title="Just begun")
    begun.publish()
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{")
    time.sleep(1.6)  # plain files are left alone until they have settled
    return root


@pytest.fixture
def show(
    show_page: Callable[..., Show],
    runs: Path,
    worker_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Show:
    shown = show_page("layers", runs)
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(worker_cache))
    return shown


def until(app: AppTest, done: Callable[[AppTest], bool]) -> AppTest:
    end = time.monotonic() + WAIT_SECONDS
    while not done(app) and time.monotonic() < end:
        time.sleep(0.3)
        app.run()
        assert not app.exception, app.exception
        assert not app.error, app.error
    assert done(app)
    return app


def drawn(app: AppTest) -> bool:
    return len(app.get("plotly_chart")) > 0


def test_a_folder_of_plain_files_is_analysed_on_data_that_fit(show: Show) -> None:
    app = show(run="plain", epoch="10")
    assert [t.value for t in app.title] == ["plain"]
    until(app, drawn)
    box = app.selectbox(key="choice_data")
    assert box.options == [
        *("digits, all", "digits, training split", "digits, test split", "Weights alone")
    ]
    assert box.value == "digits"
    assert [t.value for t in app.title] == ["Layers"]
    again = show(run="plain", epoch="10")  # the analysis is there at once, for everybody
    assert not [c for c in again.caption if "first time" in c.value]
    until(again, drawn)


def test_an_analysis_is_made_once_also_across_restarts(show: Show) -> None:
    app = show(run="written", epoch="5", data="digits-test")
    assert any("analysed for the first time" in c.value for c in app.caption)
    assert [t.value for t in app.title] == [r"\*Written\*"]
    until(app, drawn)
    path = library.analysis_file("written", 5, "digits-test")
    made = path.stat().st_mtime_ns
    live._results().clear()  # as after a restart of the server
    again = show(run="written", epoch="5", data="digits-test")
    assert drawn(again)
    assert path.stat().st_mtime_ns == made
    path.unlink()  # somebody empties the cache while the server remembers the job
    once_more = show(run="written", epoch="5", data="digits-test")
    until(once_more, drawn)
    assert path.is_file()


def test_weights_alone_can_be_looked_at_where_no_data_fit(show: Show) -> None:
    app = until(
        show(run="unknown"), lambda a: any("Only the weights" in m.value for m in a.markdown)
    )
    assert "choice_data" not in app.session_state


def test_what_has_nothing_to_show_is_not_offered(show: Show) -> None:
    app = show(run="plain")
    options = app.selectbox(key="choice_run").options
    assert "Just begun" not in options
    assert {"plain", "unknown", "*Written*"} <= set(options)
    shown = [c.value for c in app.caption]
    assert any("broken" in text and "not a run description" in text for text in shown)

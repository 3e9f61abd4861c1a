"""The page Train: start, watch, cancel, go on, find again, delete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import jobs, library
from core.checkpoints.runs import Run, RunCheckpoint, write_run
from core.errors import Cancelled, UserError
from core.training import service
from core.training.recipes import RECIPES
from core.training.service import TrainRequest

Show = Callable[..., AppTest]
WAIT_SECONDS = 300
SHORT = {"recipe": "digits-ce", "train_epochs": "3", "train_seed": "7"}
RUN_ID = "digits-ce-e3-s7"


@pytest.fixture
def show(
    show_page: Callable[..., Show],
    tmp_path: Path,
    worker_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Show:
    shown = show_page("train", tmp_path / "none")
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(worker_cache))
    return shown


def said(app: AppTest) -> str:
    return " ".join(e.value for e in [*app.caption, *app.markdown, *app.error])


def until(app: AppTest, done: Callable[[AppTest], bool]) -> AppTest:
    end = time.monotonic() + WAIT_SECONDS
    while not done(app) and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
        assert not app.exception, app.exception
    assert done(app), said(app)
    return app


def keys(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


def test_a_short_training_from_the_button_to_the_run(show: Show) -> None:
    app = show(**SHORT)
    assert "About" in said(app)
    assert "MLP 4×128" in said(app)
    app.button(key="train_start").click().run()
    until(app, lambda a: f"delete_{RUN_ID}" in keys(a))
    assert app.query_params["training"] == [RUN_ID] or app.query_params["training"] == RUN_ID
    assert len(app.get("plotly_chart")) == 2
    assert "Epoch 3 · training accuracy" in said(app)
    assert "Trained already" in said(app)
    run = library.find(RUN_ID)
    assert run is not None
    assert run.finished
    assert run.seed == 7
    assert RUN_ID in library.titles()
    made = (run.folder / "run.json").stat().st_mtime_ns
    app.button(key="train_start").click().run()  # shows it, and trains nothing
    assert (run.folder / "run.json").stat().st_mtime_ns == made
    other = show(training=RUN_ID)  # another session sees the run, and cannot delete it
    assert len(other.get("plotly_chart")) == 2
    assert f"show_{RUN_ID}" in keys(other)
    assert f"delete_{RUN_ID}" not in keys(other)
    app.button(key=f"delete_{RUN_ID}").click().run()
    assert not run.folder.exists()
    assert library.find(RUN_ID) is None
    assert not show(training=RUN_ID).exception


def test_a_cancelled_training_keeps_what_it_made_and_goes_on(show: Show) -> None:
    app = show(recipe="digits-ce", train_epochs="2000", train_seed="8")
    run_id = "digits-ce-e2000-s8"
    app.button(key="train_start").click().run()
    until(app, lambda a: len(a.get("plotly_chart")) == 2)
    assert "train_cancel" in keys(app)
    app.button(key="train_cancel").click().run()
    until(app, lambda a: "train_again" in keys(a))
    stopped = library.find(run_id)
    assert stopped is not None
    assert not stopped.finished
    assert len(stopped.checkpoints) >= 2
    assert "it goes on from what was kept" in said(app)
    app.button(key="train_again").click().run()
    until(app, lambda a: int(library.find(run_id).history["epoch"][-1]) > stopped.epochs[-1])
    app.run()
    app.button(key="train_cancel").click().run()
    until(app, lambda a: "train_again" in keys(a))
    again = library.find(run_id)
    assert again.history["epoch"] == list(range(len(again.history["epoch"])))


def test_a_link_to_nothing_shows_the_page(show: Show) -> None:
    for wrong in ("../../etc", "digits-ce-e3-s99", "nothing"):
        app = show(training=wrong)
        assert "Choose a recipe and start it" in said(app)


def test_every_recipe_is_described(show: Show) -> None:
    for name in RECIPES:
        app = show(recipe=name)
        assert not app.exception
        assert app.selectbox(key="choice_recipe").value == name
        assert app.number_input(key="choice_train_epochs").value == RECIPES[name].epochs


# --- the service behind it ---------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path))
    return tmp_path / "runs"


def put_run(root: Path, name: str, *, age: float = 0.0, size: int = 0, finished: bool = True):
    run = Run(
        name, root / name, name, "Digits", (RunCheckpoint("a.bin", 1),), (), finished=finished
    )
    write_run(run)
    (run.folder / "a.bin").write_bytes(bytes(size))
    when = time.time() - age
    os.utime(run.folder / "run.json", (when, when))


def test_the_name_of_a_run_tells_what_it_depends_on() -> None:
    own = RECIPES["digits-ce"]
    assert TrainRequest("digits-ce").run_id == f"digits-ce-e{own.epochs}-s0"
    assert TrainRequest("digits-ce", 3, 50, 64).run_id == "digits-ce-w64-e50-s3"
    same = TrainRequest("digits-ce", epochs=own.epochs, width=own.widths[0])
    assert same.run_id == TrainRequest("digits-ce").run_id
    ids = {
        TrainRequest("digits-ce", seed, epochs, width).run_id
        for seed in range(3)
        for epochs in (1, 2, None)
        for width in (16, 64, None)
    }
    assert len(ids) == 27


@pytest.mark.parametrize(
    "wrong",
    [
        TrainRequest("digits-ce", epochs=0),
        TrainRequest("digits-ce", epochs=10**6),
        TrainRequest("digits-ce", seed=-1),
        TrainRequest("digits-ce", width=17),
        TrainRequest("nothing"),
    ],
)
def test_what_is_out_of_bounds_is_named(wrong: TrainRequest) -> None:
    with pytest.raises(UserError, match="choose"):
        service.adapted(wrong)


def test_the_same_request_trains_once_and_goes_on(kept: Path) -> None:
    request = TrainRequest("digits-ce", seed=1, epochs=4, width=16)
    stop = iter([False, False, True])
    with pytest.raises(Cancelled):
        service.train(request, cancelled=lambda: next(stop))
    half = service.trained(request)
    assert half is not None
    assert not half.finished
    assert service.request_behind(half) == request
    seen: list[int] = []
    assert service.train(request, progress=lambda done, *_: seen.append(done)) == request.run_id
    assert seen[-1] == 4
    assert 1 not in seen  # it went on from epoch 2
    whole = service.trained(request)
    assert whole.finished
    seen.clear()
    service.train(request, progress=lambda done, *_: seen.append(done))
    assert not seen
    alone = TrainRequest("digits-ce", seed=1, epochs=4, width=32)
    service.train(alone)
    assert len(service.trained_runs()) == 2


def test_the_oldest_runs_make_room(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_RUNS", 4)
    monkeypatch.setattr(service, "MAX_BYTES", 10_000)
    for i in range(6):
        put_run(kept, f"r{i}", age=10_000 - i)
    put_run(kept, "busy", age=20, finished=False)
    service.make_room(keep=kept / "r0")
    left = {run.id for run in service.trained_runs()}
    assert left == {"busy", "r0", "r4", "r5"}
    put_run(kept, "large", age=1, size=20_000)
    service.make_room(keep=kept / "new")
    assert {run.id for run in service.trained_runs()} == {"busy"}


@pytest.mark.parametrize("wrong", ["..", "../runs", "a/b", "", "nothing"])
def test_only_runs_of_this_page_are_deleted(kept: Path, wrong: str) -> None:
    put_run(kept, "r")
    put_run(kept.parent, "outside")
    with pytest.raises(UserError, match="not trained here"):
        service.remove(wrong)
    assert (kept / "r" / "run.json").is_file()
    service.remove("r")
    assert not (kept / "r").exists()


def test_the_forecast_grows_with_epochs_and_width(kept: Path) -> None:
    def seconds(epochs: int, width: int) -> float:
        return service.forecast_seconds(TrainRequest("digits-ce", epochs=epochs, width=width))

    assert seconds(200, 128) == pytest.approx(2 * seconds(100, 128))
    assert seconds(100, 512) > seconds(100, 128) > seconds(100, 16) > 0


def test_nothing_slow_is_imported_for_the_page(repo: Path) -> None:
    import subprocess
    import sys

    code = "import core.training.service, sys; assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=repo, check=True)


def test_the_worker_is_asked_for_a_function_that_is_there() -> None:
    from pages._ui.training import TRAIN

    module, _, name = TRAIN.partition(":")
    assert getattr(__import__(module, fromlist=[name]), name) is service.train
    assert jobs.get("") is None

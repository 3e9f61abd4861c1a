"""The page Training dynamics on synthetic runs: what it shows, and what it says where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamics_runs import write_dynamics
from runs import EPOCHS, HOSTILE, write_runs
from streamlit.testing.v1 import AppTest
from synthetic_dynamics import synthetic_dynamics

from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, open_run, splits_of, write_run
from core.dynamics.request import request_of
from pages._ui.dynamics import epoch_shown, progress_of, under_way

Show = Callable[..., AppTest]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    run = open_run(root / "epochs")
    write_dynamics(run)
    titled = replace(
        run, id="hostile-run", folder=root / "hostile-run", title="<b>Run</b> $x$ :red[y]"
    )
    (titled.folder / "analyses").mkdir(parents=True)
    for file in (run.folder / "analyses").glob("*.npz"):
        (titled.folder / "analyses" / file.name).write_bytes(file.read_bytes())
    write_run(titled)
    write_dynamics(titled, classes=4, class_names=(*HOSTILE, "d"))
    growing = replace(
        run,
        id="growing",
        folder=root / "growing",
        finished=False,
        settings={"epochs": 200},
        history={"epoch": [0, 10, 100], "train_accuracy": [0.1, 0.5, 0.9]},
    )
    (growing.folder / "analyses").mkdir(parents=True)
    for file in (run.folder / "analyses").glob("*.npz"):
        (growing.folder / "analyses" / file.name).write_bytes(file.read_bytes())
    write_run(growing)
    write_dynamics(growing)
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], folder: Path) -> Show:
    return show_page("training_dynamics", folder)


def charts(app: AppTest) -> dict[str, dict[str, Any]]:
    found = app.get("plotly_chart")
    return {chart.proto.id.split("-")[-1]: json.loads(chart.proto.spec) for chart in found}


def film_of(app: AppTest) -> dict[str, Any]:
    return next(chart for chart in charts(app).values() if chart.get("frames"))


def said(app: AppTest) -> str:
    return " ".join([*(m.value for m in app.markdown), *(c.value for c in app.caption)])


def test_a_run_is_shown_over_all_its_epochs_on_both_data_sets(show: Show) -> None:
    app = show(run="epochs")
    film = film_of(app)
    assert [frame["name"] for frame in film["frames"]] == [str(e) for e in EPOCHS]
    assert [t["name"] for t in film["data"] if t.get("showlegend")] == ["train", "test"]
    assert film["layout"]["sliders"][0]["active"] == len(EPOCHS) - 1
    assert len(charts(app)) == 4
    assert "on the training data" in said(app)
    assert "on the test data" in said(app)
    assert f"{len(EPOCHS)} checkpoints, epochs 0 to 100" in said(app)


def test_the_film_starts_at_the_epoch_of_the_sidebar(show: Show) -> None:
    app = show(run="epochs", epoch="10")
    assert film_of(app)["layout"]["sliders"][0]["active"] == 1
    app.button(key="dynamics_next").click().run()
    assert app.select_slider(key="choice_epoch").value == 100
    assert film_of(app)["layout"]["sliders"][0]["active"] == 2
    app.button(key="dynamics_next").click().run()
    assert app.select_slider(key="choice_epoch").value == 100
    for _ in range(3):
        app.button(key="dynamics_previous").click().run()
    assert film_of(app)["layout"]["sliders"][0]["active"] == 0
    assert app.query_params["epoch"] == "0"


def points(app: AppTest) -> list[float]:
    return next(t for t in film_of(app)["data"] if t["name"] == "samples")["x"]


def test_geometry_and_maps_follow_the_split(show: Show) -> None:
    train = show(run="epochs")
    test = show(run="epochs", split="test")
    assert points(train) != points(test)
    assert test.query_params["split"] == "test"
    nc1 = [c["data"][0]["z"] for a in (train, test) for c in charts(a).values() if is_map(c, "NC1")]
    assert len(nc1) == 2
    assert nc1[0] != nc1[1]


def is_map(chart: dict[str, Any], name: str) -> bool:
    return bool(chart["data"][0]["type"] == "heatmap" and chart["data"][0]["name"] == name)


def test_the_table_has_every_epoch_of_both_data_sets(show: Show) -> None:
    table = show(run="epochs").dataframe[0].value
    assert len(table) == 2 * len(EPOCHS)
    assert {"epoch", "data", "accuracy", "nc1", "nc3", "cosine_std", "twonn"} <= set(table.columns)
    wanted = synthetic_dynamics(epochs=EPOCHS, data="digits-test", seed=0).collapse["nc1"]
    np.testing.assert_allclose(table[table.data == "test"].nc1, wanted)


def test_zero_error_is_said_and_marked_or_said_to_be_missing(show: Show, folder: Path) -> None:
    assert "never vanishes" in said(show(run="epochs"))
    run = open_run(folder / "epochs")
    history = {"epoch": [0, 7, 100], "train_accuracy": [0.2, 1.0, 1.0]}
    write_run(replace(run, history=history))
    try:
        app = show(run="epochs")
        assert "first vanishes at epoch 7" in said(app)
        labels = [a["text"] for a in film_of(app)["layout"]["annotations"]]
        assert labels.count("zero error") == 9
    finally:
        write_run(run)


def test_a_single_checkpoint_has_a_way_on(show: Show) -> None:
    app = show(run="full")
    assert not app.get("plotly_chart")
    assert "is a single checkpoint" in said(app)
    links = [link.proto for link in app.get("page_link")]
    assert any(proto.query_string == "run=epochs" for proto in links)


def test_a_run_whose_checkpoints_are_gone_says_so(show: Show, folder: Path) -> None:
    run = open_run(folder / "epochs")
    gone = replace(run, id="gone", folder=folder / "gone")
    (gone.folder / "analyses").mkdir(parents=True, exist_ok=True)
    for file in (run.folder / "analyses").glob("*.npz"):
        (gone.folder / "analyses" / file.name).write_bytes(file.read_bytes())
    write_run(gone)
    app = show(run="gone")
    assert not app.get("plotly_chart")
    assert "are not in its folder" in said(app)


def test_titles_and_classes_are_no_markup(show: Show) -> None:
    app = show(run="hostile-run")
    text = json.dumps(list(charts(app).values())).replace("\\u003c", "<")
    for markup in ("<script", "$x$", "<a "):
        assert markup not in text
    assert "<b>Run" not in said(app)


def test_a_run_that_still_trains_says_how_far_it_is(show: Show) -> None:
    app = show(run="growing")
    assert "training: epoch 100 of 200" in said(app)
    assert "training: epoch" not in said(show(run="epochs"))


def test_how_far_a_training_is() -> None:
    run = Run("a", Path(), "A", "", (), ())
    assert progress_of(run) == "not begun"
    assert progress_of(replace(run, history={"train_loss": [3, 2, 1]})) == "epoch 2"
    begun = replace(run, history={"epoch": [0, 5], "train_loss": [3, 2]}, settings={"epochs": 9})
    assert progress_of(begun) == "epoch 5 of 9"
    assert progress_of(replace(run, checkpoints=(RunCheckpoint("a", 4),))) == "epoch 4"


@pytest.mark.parametrize(
    ("ids", "train", "test"),
    [
        (("digits-train", "digits-test"), "digits-train", "digits-test"),
        (("digits-test", "digits-train"), "digits-train", "digits-test"),
        (("mine.npz", "other.npz", "third"), "mine.npz", "other.npz"),
        (("digits-test", "digits-train@labels=0.5"), "digits-train@labels=0.5", "digits-test"),
        (("only",), "only", None),
    ],
)
def test_which_data_are_training_data(ids: tuple[str, ...], train: str, test: str | None) -> None:
    found = splits_of([DataEntry(i, i) for i in ids])
    assert found["train"].id == train
    assert (found["test"].id if "test" in found else None) == test


def growing(*epochs: int, finished: bool = False) -> Run:
    checkpoints = tuple(RunCheckpoint(f"{e}.pt", e) for e in epochs)
    return Run("mine", Path("/nowhere"), "Mine", "", checkpoints, (), finished=finished)


def test_a_reader_who_follows_sees_the_newest_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {"choice_epoch": 1}
    monkeypatch.setattr("pages._ui.dynamics.st.session_state", state)
    assert epoch_shown(growing(0, 1)) == 1
    assert epoch_shown(growing(0, 1, 2)) is None  # the slider still says 1: nobody moved it
    assert epoch_shown(growing(0, 1, 2, 3)) is None
    state["choice_epoch"] = 0
    assert epoch_shown(growing(0, 1, 2, 3)) == 0
    assert epoch_shown(growing(0, 1, 2, 3, 4)) == 0
    assert epoch_shown(growing(0, 1, 2, 3, 4, finished=True)) == 0


def test_a_new_checkpoint_does_not_stop_what_is_being_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr("pages._ui.dynamics.st.session_state", state)
    busy: list[bool] = [True]
    monkeypatch.setattr("pages._ui.dynamics.running", lambda slot: busy[0])
    first, second = (request_of(growing(*e), "digits-train") for e in ((0, 1), (0, 1, 2)))
    other = request_of(growing(0), "digits-test")
    assert under_way("a", first) == first
    assert under_way("a", second) == first
    assert under_way("a", other) == other  # other data: what was asked before is of no use
    assert under_way("a", first) == first
    busy[0] = False
    assert under_way("a", second) == second

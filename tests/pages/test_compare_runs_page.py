"""The page Compare runs: families, own choice, the table, two checkpoints, and missing runs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from synthetic_dynamics import synthetic_dynamics

from core import library, store
from core.checkpoints import open_checkpoint
from core.checkpoints.plain_folders import SETTLED_SECONDS
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, write_run
from core.dynamics.kept import bundled_path
from core.models import build
from core.training.recipes import RECIPES

Show = Callable[..., AppTest]
EPOCHS = (0, 1, 3, 10, 30, 100)
PATIENCE = 300  # seconds for a job on a busy machine


def write(root: Path, of: str, seed: int, nc1: float, **changes: object) -> Run:
    """A measured run of a recipe without checkpoint files."""
    made = RECIPES[of]
    name = of if seed == 0 else f"{of}.{seed}"
    epochs = np.arange(101)
    train = np.minimum(1, 0.1 + epochs / (40 + seed)).round(6)
    run = Run(
        id=name,
        folder=root / name,
        title=made.title,
        group=made.group,
        checkpoints=tuple(RunCheckpoint(f"epoch_{e:05}.safetensors", e) for e in EPOCHS),
        data=(DataEntry(made.train_data, "train"), DataEntry(made.test_data, "test")),
        recipe=of,
        settings=json.loads(json.dumps(asdict(made))),
        seed=seed,
        history={
            "epoch": epochs.tolist(),
            "train_accuracy": train.tolist(),
            "test_accuracy": (0.96 * train).tolist(),
        },
    )
    run = replace(run, **changes)  # type: ignore[arg-type]
    write_run(run)
    for i, entry in enumerate(run.data):
        found = synthetic_dynamics(EPOCHS, data=entry.id, seed=seed)
        collapse = {k: np.full(len(EPOCHS), 0.01) for k in found.collapse}
        collapse["nc1"] = nc1 * (1 + i) / (1 + np.array(EPOCHS))
        store.save(bundled_path(run, entry.id), replace(found, collapse=collapse))
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for recipe, nc1 in (("digits-ce", 1.0), ("digits-focal", 1.1), ("digits-mse", 0.5)):
            write(root, recipe, seed, nc1)
    write(root, "digits-ls", 0, 400.0)
    for recipe, shifted in (("digits-tuned-linear", 0.5), ("digits-tuned-cmf", 0.7)):
        for seed in range(2):
            write(
                root,
                recipe,
                seed,
                1.0,
                results={"accuracy contrast-5": shifted, "shifted_accuracy": shifted},
            )
    write(root, "digits-adam", 0, 1.0, recipe="mine", title="<b>mine</b> $x$ :red[y]", group="Mine")
    return root


@pytest.fixture
def show(
    show_page: Callable[..., Show], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Show:
    monkeypatch.setattr(library, "BUNDLED_RUNS", tmp_path / "none")
    return show_page("compare_runs", folder)


def said(app: AppTest) -> str:
    return " ".join(m.value for m in app.markdown)


def chart(app: AppTest, key: str) -> dict:
    found = [e for e in app.get("plotly_chart") if key in e.proto.id]
    assert found, key
    return json.loads(found[0].proto.spec)


def test_the_first_family_is_overlaid_with_bands_and_a_finding(show: Show) -> None:
    app = show(family="losses")
    spec = chart(app, "compare_curves")
    names = [t["name"] for t in spec["data"]]
    assert {"cross-entropy", "focal loss", "rescaled MSE", "label smoothing"} <= set(names)
    assert "cross-entropy, seeds" in names
    assert "label smoothing, seeds" not in names  # one seed has no band
    text = said(app)
    assert "3 of 4 losses collapse" in text
    assert "label smoothing misses NC1" in text
    assert "Zhou et al." in " ".join(c.value for c in app.caption)


def test_the_table_has_means_deviations_marks_and_a_verdict(show: Show) -> None:
    frame = show(family="losses").dataframe[0].value
    assert list(frame.index) == ["cross-entropy", "focal loss", "label smoothing", "rescaled MSE"]
    assert frame.loc["rescaled MSE", "NC1"].endswith("▲")
    assert frame.loc["label smoothing", "NC1"].endswith("▽")
    assert "±" in frame.loc["cross-entropy", "NC1"]
    assert "±" not in frame.loc["label smoothing", "NC1"]
    assert frame.loc["label smoothing", "collapsed"] == "no: NC1"
    assert frame.loc["cross-entropy", "collapsed"] == "yes"
    assert frame.loc["cross-entropy", "zero error from"].startswith("36")


@pytest.mark.parametrize("metric", ["accuracy", "nc4", "twonn", "nonzero_fraction", "loss"])
def test_every_metric_on_both_splits(show: Show, metric: str) -> None:
    for on in ("train", "test"):
        app = show(family="losses", metric=metric, on=on)
        assert chart(app, "compare_curves")["data"]
        assert app.selectbox(key="choice_metric").value == metric


def test_fine_tuning_shows_shifted_images(show: Show) -> None:
    app = show(family="fine-tuning")
    spec = chart(app, "compare_shifted")
    assert "contrast 5" in spec["layout"]["yaxis"]["ticktext"]
    assert "Against it on shifted images" in said(app)
    assert "+20.0 points" in said(app)


def test_any_runs_can_be_chosen_and_the_link_says_which(show: Show) -> None:
    app = show(family="own", runs="digits-mse,digits-adam")
    spec = chart(app, "compare_curves")
    names = [t["name"] for t in spec["data"]]
    assert "MLP 4×128, rescaled MSE" in names
    assert any("&lt;b&gt;mine" in n for n in names)
    assert "<b>mine" not in json.dumps(names)
    assert app.query_params["runs"] == "digits-mse,digits-adam"
    assert "What these runs show" not in [h.value for h in app.header]


def test_without_checkpoint_files_two_networks_cannot_be_chosen(show: Show) -> None:
    app = show(family="losses")
    assert any("No run here has its checkpoint files" in c.value for c in app.caption)


def test_no_runs_at_all_is_said(
    show_page: Callable[..., Show], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "BUNDLED_RUNS", tmp_path / "none")
    app = show_page("compare_runs", tmp_path / "empty")()
    assert "no run with several epochs" in said(app)


def test_two_checkpoints_of_the_bundled_run(show_page: Callable[..., Show], folder: Path) -> None:
    app = show_page("compare_runs", folder)(
        family="losses", first="digits-mlp", second="digits-mlp", first_epoch="0"
    )
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if any("compare_layers" in e.proto.id for e in app.get("plotly_chart")):
            break
        time.sleep(0.5)
        app.run()
    spec = chart(app, "compare_layers")
    heat = spec["data"][0]
    assert spec["layout"]["yaxis"]["title"]["text"].endswith("epoch 0")
    assert spec["layout"]["xaxis"]["title"]["text"].endswith("epoch 600")
    assert heat["type"] == "heatmap"
    assert any("layers are most like the layer at their own depth" in c.value for c in app.caption)


def test_a_run_that_was_not_measured_is_measured_here(
    show_page: Callable[..., Show], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = library.find("digits-mlp")
    assert source is not None
    folder = tmp_path / "own" / "mine"
    folder.mkdir(parents=True)
    kept = tuple(c for c in source.checkpoints if c.epoch in (0, 600))
    for checkpoint in kept:
        shutil.copy(source.folder / checkpoint.file, folder)
    write_run(
        replace(
            source,
            id="mine",
            folder=folder,
            title="Mine",
            recipe=None,
            history={},
            checkpoints=kept,
        )
    )
    monkeypatch.setattr(library, "BUNDLED_RUNS", tmp_path / "none")
    app = show_page("compare_runs", tmp_path / "own")(family="own", runs="mine")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        lines = [t for t in chart(app, "compare_curves")["data"] if t["name"] == "Mine"]
        if lines and len(lines[0]["y"]) == 2:
            break  # what is measured already is shown meanwhile
        time.sleep(0.5)
        app.run()
    table = app.dataframe[0].value
    assert table.loc["Mine", "train accuracy (%)"] == "100.00"
    assert table.loc["Mine", "zero error from"] == "600"  # the first such checkpoint


def test_a_folder_of_plain_pt_files_is_measured_here(
    show_page: Callable[..., Show], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State dicts by ``torch.save`` alone: the network is told from its tensors, and the data are
    those that fit."""
    source = library.find("digits-ce")
    assert source is not None
    folder = tmp_path / "own" / "plain"
    folder.mkdir(parents=True)
    for epoch in (0, 300):
        checkpoint = open_checkpoint(source.checkpoint_path(epoch))
        network = build(checkpoint.tensors, checkpoint.metadata).module
        torch.save(network.state_dict(), folder / f"epoch_{epoch}.pt")
    time.sleep(SETTLED_SECONDS)  # before that the last file counts as still being written
    monkeypatch.setattr(library, "BUNDLED_RUNS", tmp_path / "none")
    app = show_page("compare_runs", tmp_path / "own")(family="own", runs="plain")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        curves = [c for c in app.get("plotly_chart") if "compare_curves" in c.proto.id]
        lines = [t for t in chart(app, "compare_curves")["data"] if t["name"]] if curves else []
        if any(len(t.get("y", ())) == 2 for t in lines):
            break
        time.sleep(0.5)
        app.run()
    row = app.dataframe[0].value.loc["plain"]
    assert row["train accuracy (%)"] == "100.00"
    assert row["zero error from"] == "300"
    assert not app.exception


def test_a_plain_folder_of_an_unknown_network_says_so(
    show_page: Callable[..., Show], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own" / "plain"
    folder.mkdir(parents=True)
    for epoch in (0, 1):
        torch.save({"a": torch.zeros(3, 4), "b": torch.zeros(7)}, folder / f"epoch_{epoch}.pt")
    time.sleep(SETTLED_SECONDS)
    monkeypatch.setattr(library, "BUNDLED_RUNS", tmp_path / "none")
    app = show_page("compare_runs", tmp_path / "own")(family="own", runs="plain")
    until = time.monotonic() + PATIENCE
    while "cannot be measured" not in captions(app) and time.monotonic() < until:
        time.sleep(0.5)
        app.run()
    assert "plain cannot be measured: no data set here fits it" in captions(app)
    assert app.dataframe[0].value.loc["plain", "zero error from"] == "n/a"


def captions(app: AppTest) -> str:
    return " ".join(c.value for c in app.caption)

"""Runs, their analyses, and the ids of analyses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import synthetic_analysis

from core import library, store
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, open_run, write_run
from core.errors import UserError
from core.request import AnalysisRequest
from core.results import Settings


def test_the_default_run_comes_first_and_is_analysed() -> None:
    runs = library.runs()
    assert runs[0].id == library.DEFAULT_RUN
    analysis = library.load(library.DEFAULT_RUN)
    assert analysis.checkpoint.parameters == 269_722


def test_every_checkpoint_of_an_analysed_run_is_analysed_on_every_data_set() -> None:
    for run in (r for r in library.runs() if (r.folder / "analyses").is_dir()):
        for checkpoint in run.checkpoints:
            for data in run.data:
                assert run.analysis_path(checkpoint.epoch, data.id).is_file()


def test_the_bundled_training_reaches_the_terminal_phase() -> None:
    run = library.find("digits-mlp")
    assert run is not None
    assert len(run.epochs) >= 15
    assert run.epochs[0] == 0
    assert len(run.settings["widths"]) >= 4
    accuracy = run.history["train_accuracy"]
    assert accuracy[-1] == 1.0
    assert accuracy.index(1.0) < len(accuracy) / 2


def test_a_run_comes_back_from_its_folder(tmp_path: Path) -> None:
    run = Run(
        id="mine",
        folder=tmp_path / "mine",
        title="Mine",
        group="Runs",
        checkpoints=(RunCheckpoint("a.pt", 1), RunCheckpoint("b.pt", 5)),
        data=(DataEntry("digits", "digits"),),
        history={"train_accuracy": [0.1, 0.5]},
    )
    write_run(run)
    assert open_run(tmp_path / "mine") == run
    assert run.epochs == (1, 5)
    assert run.checkpoint(99).epoch == 5


@pytest.mark.parametrize("text", ["", "[]", '{"group": "x"}', '{"title": 1, "checkpoints": 3}'])
def test_a_broken_run_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        open_run(tmp_path)


def test_unknown_runs_and_lost_analyses_are_said() -> None:
    with pytest.raises(UserError, match="no run nowhere"):
        library.load("nowhere")
    with pytest.raises(UserError, match="no longer kept"):
        library.load("analysis-" + "0" * 20)
    with pytest.raises(UserError, match="not been analysed"):
        library.load(library.DEFAULT_RUN, None, "digits")


@pytest.mark.parametrize("bad", ["analysis-../../etc/passwd", "analysis-x", "analysis-" + "g" * 20])
def test_an_id_is_never_a_path(bad: str) -> None:
    assert not library.is_analysis_id(bad)
    with pytest.raises(UserError):
        library.analysis_path(bad)


def test_the_id_depends_on_everything_that_numbers_depend_on() -> None:
    request = AnalysisRequest("a.pt", "digits")
    base = library.analysis_id("c", "d", request)
    assert base == library.analysis_id("c", "d", replace(request, checkpoint="elsewhere/a.pt"))
    others = {
        library.analysis_id("x", "d", request),
        library.analysis_id("c", "x", request),
        library.analysis_id("c", None, request),
        library.analysis_id("c", "d", replace(request, settings=Settings(seed=1))),
        library.analysis_id("c", "d", replace(request, model="m.py:f")),
    }
    assert base not in others
    assert len(others) == 5


def test_an_upload_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path))
    key = library.analysis_id("c", "d", AnalysisRequest("a.pt"))
    store.save(library.analysis_path(key), synthetic_analysis(classes=3, layers=2, samples=30))
    assert len(library.load(key).layers) == 2

"""The page Sparse coding: everything by link, the guess, the start over, and without a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from core.sparse_lab import LAMBDAS

CHARTS = 9
Show = Callable[..., AppTest]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run with the name of the bundled one, whose atoms are noise."""
    folder = tmp_path / "runs"
    for name, shape, told in (
        ("cifar-sdnet", (24, 3, 5, 5), {"stem_stride": "2", "mean": "0.5,0.5,0.5"}),
        ("digits-sdnet", (16, 1, 3, 3), {}),
    ):
        (folder / name).mkdir(parents=True)
        weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        save_file(
            {"conv1.weight": weight},
            folder / name / "epoch_00001.safetensors",
            {"architecture": "sdnet", **told},
        )
        written = {"title": name, "checkpoints": [{"file": "epoch_00001.safetensors", "epoch": 1}]}
        (folder / name / "run.json").write_text(json.dumps(written), encoding="utf-8")
    return folder


@pytest.fixture
def show(show_page: Callable[..., Show], runs: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    monkeypatch.setattr("core.library.BUNDLED_RUNS", runs)
    return show_page("sparse_coding", runs)


def words(app: AppTest) -> str:
    return " ".join(e.value for e in [*app.caption, *app.markdown])


def test_it_opens_on_learned_atoms(show: Show) -> None:
    app = show()
    assert len(app.get("plotly_chart")) == CHARTS
    assert app.title[0].value == "Sparse coding"
    assert app.selectbox(key="choice_dictionary").value == "learned"
    said = words(app)
    assert "entries are not zero" in said
    assert "FISTA is after" in said
    assert "Best λ here" in said
    assert "twice" in app.select_slider(key="choice_lam").help
    assert "½" in app.select_slider(key="choice_lam").help


def test_a_link_shows_what_its_sender_saw(show: Show) -> None:
    asked = {
        **{"patch": "digit-3", "dictionary": "random", "lam": "0.5", "noise": "0.4"},
        **{"nonnegative": "True", "at": "12", "factor": "1.0", "stable_in": "here"},
    }
    app = show(**asked)
    assert not app.info
    assert asked.items() <= dict(app.query_params).items()
    assert app.selectbox(key="choice_patch").value == "digit-3"
    assert app.toggle(key="choice_nonnegative").value is True
    assert "0.4" in words(app)
    link = next(c.value for c in app.get("code"))
    assert all(f"{key}={value}" in link for key, value in asked.items())


def test_lambda_moves_everything(show: Show) -> None:
    app = show(dictionary="cosines")
    before = words(app)
    app.query_params["lam"] = str(LAMBDAS[-1])
    app.run()
    assert not app.exception
    assert app.select_slider(key="choice_lam").value == LAMBDAS[-1]
    assert words(app) != before
    assert "At λ = 10 synthesis needs" in words(app)


def test_a_wrong_link_falls_back_and_says_so(show: Show) -> None:
    app = show()
    app.query_params["patch"], app.query_params["lam"] = "klein-bottle", "17"
    app.run()
    said = " ".join(i.value for i in app.info)
    assert "klein" in said
    assert "17" in said
    assert app.selectbox(key="choice_patch").value == "dog"


def test_the_answer_waits_for_the_guess(show: Show) -> None:
    app = show(guess="True", dictionary="cosines")
    assert len(app.get("plotly_chart")) == CHARTS - 1
    assert "Best λ here" not in words(app)
    next(b for b in app.button if b.label == "Show the answer").click().run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == CHARTS
    assert "You guessed: it stays." in words(app).replace("\\", "")
    assert "guess" not in dict(app.query_params)


def test_start_over(show: Show) -> None:
    app = show(dictionary="random", lam="1.0", noise="0.8", patch="ship")
    app.button(key="reset").click().run()
    assert not app.exception
    assert app.selectbox(key="choice_dictionary").value == "learned"
    assert app.select_slider(key="choice_lam").value == 0.2
    assert "patch" not in dict(app.query_params)


def test_without_the_run_it_says_so_and_shows_other_atoms(
    show_page: Callable[..., Show], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "none"
    empty.mkdir()
    monkeypatch.setattr("core.library.BUNDLED_RUNS", empty)
    app = show_page("sparse_coding", empty)()
    assert len(app.get("plotly_chart")) == CHARTS
    assert app.selectbox(key="choice_dictionary").value == "cosines"
    assert "make runs RUNS=cifar-sdnet" in words(app).replace("\\", "")


def test_a_broken_run_is_one_sentence(show: Show, runs: Path) -> None:
    (runs / "cifar-sdnet" / "epoch_00001.safetensors").write_bytes(b"nothing")
    app = show(dictionary="learned")
    said = words(app) + " ".join(e.value for e in app.error)
    assert "holds no atoms" in said.replace("\\", "")
    assert app.title[0].value == "Sparse coding"

"""The page Size and sparsity: its choices, its sentences, and what its link says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import write_runs
from streamlit.testing.v1 import AppTest
from synthetic_sizes import rows

from core import size_sparsity

Show = Callable[..., AppTest]
PAGE = "size_and_sparsity"
CHARTS = 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], runs: Path) -> Show:
    return show_page(PAGE, runs)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trainings with known exponents in place of the bundled ones."""
    path = tmp_path / "sizes.json"
    path.write_text(json.dumps(rows({"true": -0.1, "labels": -0.2, "inputs": 0.2}, noise=0.005)))
    monkeypatch.setattr(size_sparsity, "SIZES", path)
    return path


def words(app: AppTest) -> str:
    said = [m.value for m in app.markdown] + [c.value for c in app.caption]
    return " ".join(said).replace("\\", "")


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def test_first_view(show: Show, made: Path) -> None:
    app = show()
    assert app.title[0].value == "Size and sparsity"
    assert charts(app) == CHARTS
    said = words(app)
    assert "Shown in part." in said
    assert "falls with width on true labels" in said
    assert "rises with width on random inputs" in said
    assert "3.0 % non-zeros in T5-Base" in said
    assert "378 small networks trained on digits, 3 seeds each" in said
    assert not app.query_params
    table = app.dataframe[0].value
    assert len(table) == 15
    assert table["exponent (width)"].tolist()[0] == pytest.approx(-0.1, abs=0.02)


def test_a_link_says_everything(show: Show, made: Path) -> None:
    app = show(networks="cnn", vary="depth", of="last", images="labels")
    assert charts(app) == CHARTS
    assert "CNN: the share of non-zeros of the last layer falls with depth" in words(app)
    assert app.dataframe[0].value["depth"].tolist()[:5] == [1, 2, 3, 5, 8]
    wanted = {"networks": "cnn", "vary": "depth", "of": "last", "images": "labels"}
    assert dict(app.query_params) == wanted


def test_contrasts_vary_in_width_alone(show: Show, made: Path) -> None:
    app = show(networks="mlp_norm", vary="depth")
    assert charts(app) == CHARTS
    assert "at several widths only" in words(app)
    assert "vary" not in app.query_params
    assert len(app.dataframe[0].value) == 15


def test_a_choice_that_is_not_there_is_said(show: Show, made: Path) -> None:
    app = show(networks="<b>x</b>", of="middle")
    assert charts(app) == CHARTS


def test_one_seed_is_shown_without_verdicts_on_training(show: Show, made: Path) -> None:
    made.write_text(json.dumps(rows(seeds=(0,), setups=("mlp", "vit"))))
    size_sparsity._read.cache_clear()
    app = show()
    assert charts(app) == CHARTS
    assert "one seed only" in words(app)
    assert app.selectbox(key="choice_networks").options == ["MLP", "ViT"]


def test_without_trainings_there_is_a_way_on(show: Show, made: Path) -> None:
    made.unlink()
    app = show()
    assert charts(app) == 0
    assert "are not bundled here" in words(app)


def test_the_bundled_trainings_are_shown_whole(show: Show) -> None:
    for networks in ("mlp", "cnn", "vit"):
        app = show(networks=networks)
        assert charts(app) == CHARTS
        assert len(app.dataframe[0].value) == 15

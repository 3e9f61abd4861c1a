"""The Layers page: both fits, the epochs' table, probes that are missing, and degenerate runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs import write_one, write_runs
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis

from core.results import Estimate

Show = Callable[..., AppTest]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    whole = synthetic_analysis()
    few = Estimate(None, reason="needs 4 or more samples of every class, class 2 has 3")
    for name, probe in (("unprobed", None), ("few", few)):
        layers = tuple(replace(layer, probe_accuracy=probe) for layer in whole.layers)
        write_one(root, name, replace(whole, layers=layers))
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], folder: Path) -> Show:
    return show_page("layers", folder)


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


@pytest.mark.parametrize("run", ["full", "bare", "many", "two", "hostile", "epochs"])
def test_every_run_has_its_page(show: Show, run: str) -> None:
    assert show(run=run).dataframe


def test_both_fits_are_given_in_numbers(show: Show) -> None:
    text = captions(show(run="resnet20-cifar10"))
    assert "Fitted over the 9 blocks, one point each: ρ = 0.4" in text
    assert "Over all 13 layers shown: ρ = 0.6" in text
    assert "**layer1.0 breaks the law**" in text
    other = captions(show(run="resnet20-cifar10", over="all"))
    assert "Fitted over the 13 layers shown: ρ = 0.6" in other
    assert "Over the 9 blocks: ρ = 0.4" in other


def test_the_law_emerges_with_training(show: Show) -> None:
    app = show(run="digits-mlp", data="digits-train")
    table = next(d.value for d in app.dataframe if "ρ" in d.value)
    assert table["epoch"].tolist() == [0, 5, 24, 600]
    rho = table["ρ"].tolist()
    assert rho[0] > 1 > rho[1] > rho[2] > rho[3]
    assert table["correlation"].iloc[-1] < -0.99


def test_a_link_names_its_epochs(show: Show) -> None:
    app = show(run="epochs", epochs="0,100,77")
    assert app.multiselect(key="choice_epochs").value == [0, 100]


def test_missing_probes_are_explained(show: Show) -> None:
    assert "without linear probes" in captions(show(run="unprobed"))
    assert "No linear probe: it needs 4 or more samples" in captions(show(run="few"))
    assert "probe accuracy" in show(run="full").dataframe[-1].value
    assert "probe accuracy" not in show(run="unprobed").dataframe[-1].value

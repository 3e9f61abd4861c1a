"""The Sparsity page: every analysis it may meet, its choices, and what it says in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import EPOCHS, bare, write_one, write_runs
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis

from core.results import Activation, Analysis

Show = Callable[..., AppTest]


def with_inside(analysis: Analysis) -> Analysis:
    """The same with two activations in each of three blocks, as a new analysis has them."""
    found = analysis.layers[0].sparsity
    assert found is not None
    made = tuple(
        Activation(f"b{i // 2}.relu{i % 2}", f"m{i}#1", "ReLU", (4,), f"b{i // 2}", 1 + i % 2,
                   (i + 1) / 7, found)
        for i in range(6)
    )  # fmt: skip
    return replace(analysis, activations=made)


def without_new_fields(analysis: Analysis) -> Analysis:
    """As analyses of blocks were before active sets were counted; one class has no samples."""

    def old(layer):
        shares = layer.sparsity.class_nonzero_fraction.copy()
        shares[0] = np.nan
        found = replace(
            layer.sparsity,
            is_activation=False,
            relu_like=True,
            class_nonzero_fraction=shares,
            unit_histogram=None,
            sample_histogram=None,
            class_units=None,
            class_overlap=None,
        )
        return replace(layer, sparsity=found)

    return replace(analysis, layers=tuple(map(old, analysis.layers)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    write_one(root, "inside", with_inside(synthetic_analysis()))
    write_one(root, "old", without_new_fields(synthetic_analysis()))
    whole = synthetic_analysis()
    write_one(root, "none", replace(bare(whole), activations=()))
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], folder: Path) -> Show:
    return show_page("sparsity", folder)


def said(app: AppTest) -> str:
    return " ".join(c.value for c in app.caption)


@pytest.mark.parametrize(
    "run", ["full", "epochs", "weights", "bare", "many", "hostile", "two", "inside", "old", "none"]
)
def test_every_kind_of_analysis(show: Show, run: str) -> None:
    assert show(run=run).title[0].value.startswith("Sparsity") or run in ("weights", "bare", "none")


def test_lines_by_place_in_the_block(show: Show) -> None:
    app = show(run="inside", lines="position", activation="b1.relu0")
    assert app.selectbox(key="choice_activation").value == "b1.relu0"
    assert "does not hold the activations inside blocks" not in said(app).split("Mean share")[0]
    app.segmented_control(key="choice_which").set_value("all").run()
    assert not app.exception
    assert len(app.selectbox(key="choice_activation").options) == 6


def test_old_analyses_say_what_they_lack(show: Show) -> None:
    app = show(run="old")
    assert "does not hold the activations inside blocks" in said(app)
    assert "activates most units" in said(app)  # the class without samples is passed over
    assert "share most" not in said(app)


def test_classes_that_share_most_are_named(show: Show) -> None:
    assert "share most" in said(show(run="full"))


def test_epochs_of_a_run_and_networks_side_by_side(show: Show) -> None:
    charts = len(show(run="full").get("plotly_chart"))
    app = show(run="epochs", epoch=str(EPOCHS[1]), networks="epochs,full")
    assert len(app.get("plotly_chart")) == charts + 1
    assert app.multiselect(key="choice_networks").value == ["epochs", "full"]
    assert "Mean share of non-zeros over the activations" in said(app)

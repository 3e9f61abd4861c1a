"""The Intrinsic dimension page: its choices, new and older analyses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs import EPOCHS, write_one, write_runs
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis

from core.results import Analysis

Show = Callable[..., AppTest]


def with_pooled(analysis: Analysis) -> Analysis:
    layers = [
        replace(la, dimension_pooled=la.dimension, shape=(4, 2, 2)) for la in analysis.layers[:-1]
    ]
    return replace(analysis, layers=(*layers, analysis.layers[-1]))


def without_curves(analysis: Analysis) -> Analysis:
    """As analyses were before curves were kept."""

    def old(layer):
        scoped = layer.dimension
        cloud = replace(scoped.all, mle_curve=None, ratio_plot=None, decimation=None)
        return replace(layer, dimension=replace(scoped, all=cloud))

    return replace(analysis, layers=tuple(map(old, analysis.layers)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    write_one(root, "pooled", with_pooled(synthetic_analysis()))
    write_one(root, "old", without_curves(synthetic_analysis()))
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], folder: Path) -> Show:
    return show_page("intrinsic_dimension", folder)


def said(app: AppTest) -> str:
    return " ".join(c.value for c in app.caption).replace("\\", "")  # escaped Markdown


@pytest.mark.parametrize("run", ["full", "many", "two", "hostile", "weights", "bare"])
def test_every_kind_of_analysis(show: Show, run: str) -> None:
    assert show(run=run).title


@pytest.mark.parametrize("estimator", ["mle", "both", "linear", "pca", "participation_ratio"])
def test_every_estimator_over_layers_and_depth(show: Show, estimator: str) -> None:
    app = show(run="pooled", estimator=estimator, axis="layer")
    app.segmented_control(key="choice_axis").set_value("depth").run()
    assert not app.exception
    assert "ends at" in said(app)


def test_pooled_features_are_offered_where_they_were_measured(show: Show) -> None:
    app = show(run="pooled", features="pooled")
    assert app.segmented_control(key="choice_features").value == "pooled"
    keys = [control.key for control in show(run="full").segmented_control]
    assert "choice_features" not in keys
    assert "choice_epochs" not in keys  # one checkpoint


@pytest.mark.parametrize("epochs", ["ends", "five"])
def test_epochs_over_each_other(show: Show, epochs: str) -> None:
    app = show(run="epochs", epoch=str(EPOCHS[1]), data="digits-test", epochs=epochs)
    assert f"Epoch {EPOCHS[0]}: TwoNN starts at" in said(app)
    assert f"Epoch {EPOCHS[-1]}: TwoNN starts at" in said(app)


def test_one_epoch_is_shown_at_first(show: Show) -> None:
    assert "Epoch" not in said(show(run="epochs", epoch=str(EPOCHS[1]), data="digits-test"))


def test_estimates_come_with_what_known_dimensions_read(show: Show) -> None:
    assert "is what a cube of dimension" in said(show(run="full"))


def test_older_analyses_show_what_they_have(show: Show) -> None:
    app = show(run="old")
    assert len(app.get("plotly_chart")) == len(show(run="full").get("plotly_chart"))

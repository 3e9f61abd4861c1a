"""The Transfer page: what can be chosen, what it says, and missing probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs import write_one, write_runs
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis

from core.results import Analysis

Show = Callable[..., AppTest]


def foreign(analysis: Analysis) -> Analysis:
    """The same with an output of 1,000 classes and without probes."""
    layers = [replace(layer, probe_accuracy=None) for layer in analysis.layers]
    layers[-1] = replace(layers[-1], kind="Output", dim=1000)
    return replace(analysis, layers=tuple(layers), accuracy=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    write_one(root, "foreign", foreign(synthetic_analysis()))
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], folder: Path) -> Show:
    return show_page("transfer", folder)


def said(app: AppTest) -> str:
    return " ".join(m.value for m in app.markdown)


def test_the_bundled_transfer_comes_first_beside_a_network_on_its_own_classes(show: Show) -> None:
    app = show()
    assert app.selectbox(key="choice_network").value == "efficientnet-lite0-cifar10"
    assert app.selectbox(key="choice_beside").value == "resnet20-cifar10"
    text = said(app)
    assert "1,000 outputs, 10 classes in CIFAR-10" in text
    assert "two phases" in text
    assert "count as a second phase" in text or "one phase" in text


def test_only_networks_on_other_classes_are_offered(show: Show) -> None:
    offered = show().selectbox(key="choice_network").options
    assert "Network foreign" in offered
    assert "Network full" not in offered
    assert "ResNet-20, CIFAR-10" not in offered


def test_the_sidebar_s_network_is_the_default_where_it_is_one(show: Show) -> None:
    app = show(run="foreign", beside="none")
    assert app.selectbox(key="choice_network").value == "foreign"
    assert any("without linear probes" in c.value for c in app.caption)
    assert "1,000 outputs" in said(app)
    assert not any(
        "without linear probes" in c.value
        for c in show(run="foreign", beside="none", reading="mean").caption
    )

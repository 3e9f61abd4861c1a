"""Degenerate data through a real network, and every page that shows the result: numbers where they
are defined, reasons where they are not, never a traceback."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import write_one
from safetensors.torch import save_file
from streamlit.testing.v1 import AppTest

from core.analysis import analyze
from core.models.mlp import MLP
from core.request import AnalysisRequest
from core.results import FAMILIES, Analysis, Settings

RNG = np.random.default_rng(0)


def digits(labels: list[int], shade: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Noise images (N, 8, 8) with these labels; ``shade`` 0 makes all of them black."""
    return (RNG.random((len(labels), 8, 8)) * shade).astype(np.float32), np.array(labels)


CASES: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "two_samples_a_class": lambda: digits([k for k in range(10) for _ in range(2)]),
    "empty_class": lambda: digits([0] * 20 + [1] * 20 + [9] * 20),
    "class_of_one": lambda: digits([k for k in range(9) for _ in range(8)] + [9]),
    "constant": lambda: digits([k for k in range(10) for _ in range(4)], shade=0.0),
    "nan_layer": lambda: digits([k for k in range(10) for _ in range(6)]),
}


def network(folder: Path, broken: bool) -> Path:
    """An untrained perceptron; ``broken``: its third layer's weights are NaN."""
    torch.manual_seed(0)
    model = MLP((1, 8, 8), (12, 12, 12), 10)
    if broken:
        torch.nn.init.constant_(model.linear3.weight, math.nan)
    path = folder / f"network{int(broken)}.safetensors"
    save_file(model.state_dict(), path, model.metadata())
    return path


@pytest.fixture(scope="module")
def analyses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Analysis]:
    folder = tmp_path_factory.mktemp("degenerate")
    made = {}
    for case, data in CASES.items():
        images, labels = data()
        names = [f"digit {k}" for k in range(10)]
        np.savez(folder / f"{case}.npz", X=images, y=labels, class_names=names)
        request = AnalysisRequest(
            str(network(folder, case == "nan_layer")),
            str(folder / f"{case}.npz"),
            settings=Settings(metrics=FAMILIES, device="cpu"),
        )
        made[case] = analyze(request)
    return made


@pytest.fixture(scope="module")
def runs(analyses: dict[str, Analysis], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("degenerate_runs")
    for case, analysis in analyses.items():
        write_one(root, case, analysis)
    return root


@pytest.mark.parametrize("case", CASES)
def test_what_is_undefined_has_a_reason(analyses: dict[str, Analysis], case: str) -> None:
    analysis = analyses[case]
    assert analysis.layers
    for layer in analysis.layers:
        values = layer.collapse.values()
        assert all(v is None or math.isfinite(v) for v in values.values())
        assert layer.nc1 is not None or layer.collapse.reasons["nc1"]
        assert layer.dimension is not None
        for cloud in (layer.dimension.all, *layer.dimension.classes):
            assert cloud.twonn.value is not None or cloud.twonn.reason
        assert layer.topology is not None
        for holes in (layer.topology.all, *layer.topology.classes):
            assert None not in holes.betti or holes.reason


def test_an_empty_class_leaves_the_others_their_numbers(analyses: dict[str, Analysis]) -> None:
    analysis = analyses["empty_class"]
    assert analysis.accuracy is not None
    assert analysis.data is not None
    assert analysis.data.classes == 10
    assert analysis.penultimate is not None
    assert analysis.penultimate.geometry.counts.tolist() == [20, 20] + [0] * 7 + [20]
    assert analysis.penultimate.collapse.nc1 is not None


def test_layers_before_the_nan_are_measured(analyses: dict[str, Analysis]) -> None:
    analysis = analyses["nan_layer"]
    names = [layer.name for layer in analysis.layers]
    assert {"input", "linear2"} <= set(names)
    assert "linear3" not in names
    assert all(layer.nc1 is not None for layer in analysis.layers)
    assert any("NaN" in warning and "linear3" in warning for warning in analysis.warnings)
    assert analysis.accuracy is None
    assert analysis.penultimate is None


@pytest.mark.parametrize("case", CASES)
def test_every_page_stands(
    runs: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("FEATURESCOPE_RUNS", str(runs))
    monkeypatch.syspath_prepend(str(repo))
    app = AppTest.from_file(str(repo / "app.py"), default_timeout=120)
    app.query_params["run"] = case
    app.run()
    for page in sorted((repo / "pages").glob("*.py")):
        app.switch_page(f"pages/{page.name}").run()
        assert not app.exception, (page.name, app.exception)
        assert app.title

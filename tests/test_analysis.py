"""From files to finished analyses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_store import same

from core import library, report, store
from core.analysis import analyze, inspect, run
from core.errors import Cancelled, UserError
from core.feature_analysis import measure
from core.request import AnalysisRequest
from core.results import Analysis, Settings
from scripts.bundle import make

FAST = Settings(metrics=("collapse", "separation", "sparsity"), device="cpu", batch_size=64)


def digits_checkpoint() -> Path:
    run_ = library.find("digits-mlp")
    assert run_ is not None
    return run_.checkpoint_path(None)


def test_the_published_resnet20_gives_the_reference_numbers(test_data: Path) -> None:
    """Accuracy and collapse on the 10,000 test images, found with independent code."""
    analysis = analyze(
        AnalysisRequest(
            str(test_data / "real_checkpoints" / "resnet20-12fca82f.th"),
            str(test_data / "data" / "cifar10_test.zip"),
            settings=replace(FAST, metrics=("collapse",)),
        )
    )
    assert analysis.checkpoint.architecture == "resnet20_cifar"
    assert analysis.checkpoint.parameters == 269_722
    assert analysis.accuracy == pytest.approx(0.8103, abs=0.001)
    assert analysis.penultimate is not None
    values = analysis.penultimate.collapse
    assert values.nc1 == pytest.approx(0.9322, rel=0.005)
    assert values.nc2_classifier == pytest.approx(0.2814, rel=0.005)
    assert values.nc3 == pytest.approx(0.4979, rel=0.005)
    assert values.cosine_mean == pytest.approx(-0.1048, rel=0.005)


def test_a_bundled_analysis_is_made_again_and_compared() -> None:
    bundled = library.find("digits-mlp")
    assert bundled is not None
    stored = library.load("digits-mlp", bundled.epochs[-1], "digits-test")
    again = make(bundled, bundled.epochs[-1], "digits-test")
    assert again.accuracy == stored.accuracy
    assert again.penultimate is not None
    assert stored.penultimate is not None
    for key, value in stored.penultimate.collapse.values().items():
        assert getattr(again.penultimate.collapse, key) == pytest.approx(value, rel=1e-3, abs=1e-5)
    for ours, theirs in zip(again.layers, stored.layers, strict=True):
        assert ours.name == theirs.name
        assert ours.separation == pytest.approx(theirs.separation, rel=1e-3)
        assert ours.dimension is not None
        assert theirs.dimension is not None
        assert ours.dimension.all.twonn.value == pytest.approx(
            theirs.dimension.all.twonn.value, rel=1e-2
        )
        assert ours.topology is not None
        assert theirs.topology is not None
        assert ours.topology.all.betti == theirs.topology.all.betti


def test_the_analysis_of_a_checkpoint_is_complete() -> None:
    analysis = analyze(AnalysisRequest(str(digits_checkpoint()), "digits-test", settings=FAST))
    assert analysis.checkpoint.architecture == "mlp"
    assert len(analysis.layers) >= 7
    assert analysis.layers[0].name == "input"
    assert analysis.penultimate is not None
    assert analysis.penultimate.collapse.nc1 is not None
    assert analysis.separation_law is not None
    assert analysis.layers[0].depth == 0.0
    assert analysis.sample is not None
    assert analysis.sample.thumbnails is not None
    assert analysis.layers[1].dimension is None  # not asked for
    assert same(analysis, store.loads(Analysis, store.dumps(analysis)))


def test_flat_features_of_a_network_without_space_equal_pooled_ones() -> None:
    request = AnalysisRequest(str(digits_checkpoint()), "digits-test", settings=FAST)
    pooled = analyze(request)
    flat = analyze(replace(request, settings=replace(FAST, features="flat")))
    for a, b in zip(pooled.layers[1:], flat.layers[1:], strict=True):
        assert a.nc1 == pytest.approx(b.nc1, rel=1e-3)


def test_images_can_be_fewer_and_the_seed_counts() -> None:
    request = AnalysisRequest(str(digits_checkpoint()), "digits-test")
    fewer = replace(request, settings=replace(FAST, max_images=100))
    first = analyze(fewer)
    assert first.data is not None
    assert first.data.images == 100
    again = analyze(fewer)
    other = analyze(replace(request, settings=replace(FAST, max_images=100, seed=1)))
    assert first.layers[1].nc1 == again.layers[1].nc1
    assert first.layers[1].nc1 != other.layers[1].nc1


def test_a_network_nobody_knows_shows_its_weights(tmp_path: Path) -> None:
    weights = {
        "stem.kernel": torch.randn(8, 3, 5, 5),
        "gate.alpha": torch.randn(8, 8, 3),
        "out.weight": torch.randn(4, 200),
        "out.bias": torch.zeros(4),
    }
    torch.save(weights, tmp_path / "own.pt")
    request = AnalysisRequest(str(tmp_path / "own.pt"))
    analysis = analyze(request)
    assert analysis.layers == ()
    assert analysis.classifier is not None
    assert [w.name for w in analysis.weights] == ["stem.kernel", "gate.alpha", "out.weight"]
    assert "save_features" in analysis.warnings[0]
    with pytest.raises(UserError, match="save_features"):
        analyze(replace(request, data="digits"))


def test_a_known_network_keeps_its_name_where_only_its_weights_were_asked_for() -> None:
    weights = Settings(architecture="weights")
    analysis = analyze(AnalysisRequest(str(digits_checkpoint()), settings=weights))
    assert analysis.layers == ()
    assert analysis.checkpoint.architecture == "mlp"
    assert analysis.checkpoint.parameters == 76_938
    assert analysis.warnings == ()


def test_progress_reaches_the_end_and_cancel_is_obeyed() -> None:
    request = AnalysisRequest(str(digits_checkpoint()), "digits-test", settings=FAST)
    seen: list[tuple[int, int]] = []
    analyze(request, progress=lambda done, total, what: seen.append((done, total)))
    assert all(0 <= done <= total for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] > 0.9 * seen[-1][1]
    with pytest.raises(Cancelled):
        analyze(request, cancelled=lambda: True)


def test_a_second_run_is_found_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path))
    request = AnalysisRequest(str(digits_checkpoint()), "digits-test", settings=FAST)
    key = run(request)
    assert library.load(key).accuracy is not None
    monkeypatch.setattr("core.analysis.analyze", lambda *a, **k: pytest.fail("analysed twice"))
    assert run(request) == key


def test_inspection_says_what_a_file_is(tmp_path: Path) -> None:
    found = inspect(AnalysisRequest(str(digits_checkpoint())))
    assert (found.architecture, found.format) == ("mlp", "safetensors")
    np.savez(tmp_path / "f.npz", features=np.zeros((6, 3)), labels=[0, 0, 1, 1, 2, 2])
    found = inspect(AnalysisRequest(str(tmp_path / "f.npz")))
    assert found.format == "feature file"
    assert found.metadata["samples"] == 6


# --- feature files -----------------------------------------------------------------------------


def etf_file(path: Path, classes: int = 4, noise: float = 0.0) -> Path:
    rng = np.random.default_rng(0)
    means = np.eye(classes) - 1 / classes
    labels = np.repeat(np.arange(classes), 25)
    features = means[labels] + noise * rng.standard_normal((len(labels), classes))
    np.savez(path, features=features, labels=labels, weight=means, bias=np.zeros(classes))
    return path


def test_features_at_a_simplex_are_collapsed(tmp_path: Path) -> None:
    analysis = measure(etf_file(tmp_path / "etf.npz"), Settings())
    assert analysis.penultimate is not None
    values = analysis.penultimate.collapse
    assert values.nc1 == pytest.approx(0, abs=1e-12)
    assert values.nc2_means == pytest.approx(0, abs=1e-6)
    assert values.nc3 == pytest.approx(0, abs=1e-6)
    assert values.nc4 == 0
    assert values.cosine_mean == pytest.approx(-1 / 3)
    assert analysis.accuracy == 1.0


def points(kind: str, n: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "circle":
        angle = rng.uniform(0, 2 * np.pi, n)
        return np.c_[np.cos(angle), np.sin(angle)]
    normal = rng.standard_normal((n, 3))
    if kind == "sphere":
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return rng.standard_normal((n, 5)) @ rng.standard_normal((5, 20))


@pytest.mark.parametrize(
    ("kind", "dimension", "betti"),
    [("circle", 1, (1, 1, 0)), ("sphere", 2, (1, 0, 1)), ("subspace", 5, (1, 0, 0))],
)
def test_known_shapes_have_their_dimension_and_holes(
    tmp_path: Path, kind: str, dimension: int, betti: tuple[int, ...]
) -> None:
    np.savez(tmp_path / "x.npz", features=points(kind))
    analysis = measure(tmp_path / "x.npz", Settings(max_dim=2, landmarks=150))
    layer = analysis.layers[0]
    assert layer.dimension is not None
    assert layer.topology is not None
    assert layer.dimension.all.twonn.value == pytest.approx(dimension, rel=0.2)
    assert layer.topology.all.betti == betti


BAD_FEATURES = {
    "no features": ({"a": np.zeros(3)}, "needs the array features"),
    "NaN": ({"features": np.full((5, 2), np.nan)}, "NaN or infinity"),
    "vector": ({"features": np.zeros(5)}, "table of numbers"),
    "text": ({"features": np.array([["a", "b"]])}, "table of numbers"),
    "labels": ({"features": np.zeros((5, 2)), "labels": np.zeros(4)}, "labels has shape"),
    "weight": ({"features": np.zeros((5, 2)), "weight": np.zeros((3, 4))}, "weight has shape"),
    "bias": ({"features": np.zeros((5, 2)), "bias": np.zeros(4)}, "bias has shape"),
    "huge label": ({"features": np.zeros((2, 2)), "labels": [0, 10**9]}, "class numbers"),
}


@pytest.mark.parametrize("case", BAD_FEATURES)
def test_bad_feature_files_get_one_sentence(tmp_path: Path, case: str) -> None:
    arrays, message = BAD_FEATURES[case]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message):
        measure(tmp_path / "x.npz", Settings())


def test_rows_with_nan_are_left_out_and_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((60, 4)), np.arange(60) % 3
    np.savez(tmp_path / "clean.npz", features=features[3:], labels=labels[3:])
    features[:3, 1] = np.nan, np.inf, -np.inf
    np.savez(tmp_path / "some.npz", features=features, labels=labels)
    clean, some = (measure(tmp_path / f"{n}.npz", Settings()) for n in ("clean", "some"))
    assert some.layers[0].nc1 == pytest.approx(clean.layers[0].nc1)
    assert some.sample is not None
    assert some.sample.ids.min() == 3
    assert some.warnings == ("3 of 60 features hold NaN or infinity: left out",)


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.zeros((1, 3)), [0]),
        (np.ones((8, 3)), [0, 0, 0, 0, 1, 1, 1, 1]),
        (np.random.default_rng(0).random((6, 3)), [0, 0, 0, 0, 0, 0]),
        (np.random.default_rng(0).random((6, 3)), [0, 0, 0, 3, 3, 3]),
        (np.random.default_rng(0).random((4, 1)), [0, 1, 2, 3]),
        (np.random.default_rng(0).random((6, 3)), [0, 0, 1, 1, 2, 2]),
        (np.where(np.eye(9, 4) > 0, np.nan, 1.0 + np.arange(36).reshape(9, 4)), [0, 1, 2] * 3),
        (np.float32([[1e30, 1], [2e30, 1], [3e30, 2], [-4e30, 2]]), [0, 0, 1, 1]),
    ],
    ids=[
        *("one sample", "constant", "one class", "empty classes", "one sample a class"),
        *("two samples a class", "some NaN", "huge"),
    ],
)
def test_degenerate_features_give_reasons_not_tracebacks(
    tmp_path: Path, features: np.ndarray, labels: list[int]
) -> None:
    np.savez(tmp_path / "x.npz", features=features, labels=labels)
    analysis = measure(tmp_path / "x.npz", Settings(metrics=(*Settings().metrics, "probes")))
    tree = report.measures_json(analysis)["measures"]
    assert "NaN" not in report.dump(tree)
    undefined = [k for k in ("nc1", "nc2_means", "cosine_mean") if tree[k] is None]
    assert all(tree["reasons"][key] for key in undefined)

"""One checkpoint, one pass: the numbers against those of a whole analysis, and of plain code."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core import library
from core.analysis import analyze
from core.checkpoints import open_checkpoint
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint
from core.data.opening import open_dataset
from core.dynamics import compute, measuring
from core.dynamics.request import DynamicsRequest, request_of
from core.dynamics.results import Dynamics
from core.errors import UserError
from core.metrics.geometry import cosine_matrix
from core.models.mlp import MLP
from core.models.resnet import constructors
from core.request import AnalysisRequest
from core.results import Analysis, Settings

ON_DIGITS = "digits-test"
FAMILIES = ("collapse", "separation", "sparsity", "dimension")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURESCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def bundled_run(epochs: tuple[int, ...]) -> Run:
    run = library.find("digits-mlp")
    assert run is not None
    return replace(run, checkpoints=tuple(run.checkpoint(e) for e in epochs))


def analysed(path: Path, data: str, metrics: tuple[str, ...] = FAMILIES) -> Analysis:
    settings = Settings(metrics=metrics, features="pooled", device="cpu")
    return analyze(AnalysisRequest(str(path), data, settings=settings))


@pytest.fixture(scope="module")
def measured() -> tuple[Dynamics, dict[int, Analysis]]:
    run = bundled_run((0, 24, 600))
    whole = compute.run(request_of(run, ON_DIGITS, device="cpu"))
    return whole, {e: analysed(run.checkpoint_path(e), ON_DIGITS) for e in run.epochs}


def test_the_layers_are_those_of_an_analysis(
    measured: tuple[Dynamics, dict[int, Analysis]],
) -> None:
    found, analyses = measured
    first = analyses[0]
    assert [(r.name, r.kind, r.dim, r.depth) for r in found.layers] == [
        (la.name, la.kind, la.dim, la.depth) for la in first.layers
    ]
    assert first.penultimate is not None
    assert found.penultimate == first.penultimate.layer == found.layer_of("nonzero_fraction")
    with pytest.raises(KeyError):
        found.of("nothing")


def test_collapse_is_that_of_an_analysis(measured: tuple[Dynamics, dict[int, Analysis]]) -> None:
    found, analyses = measured
    for i, analysis in enumerate(analyses.values()):
        assert analysis.penultimate is not None
        assert found.accuracy[i] == pytest.approx(analysis.accuracy)
        for key, value in analysis.penultimate.collapse.values().items():
            assert value is not None
            assert found.collapse[key][i] == pytest.approx(value, rel=1e-4, abs=1e-6), key


def test_layer_values_are_those_of_an_analysis(
    measured: tuple[Dynamics, dict[int, Analysis]],
) -> None:
    found, analyses = measured
    values = found.layer_values
    for e, analysis in enumerate(analyses.values()):
        for i, layer in enumerate(analysis.layers):
            assert values["nc1"][i, e] == pytest.approx(layer.nc1, rel=1e-4)
            assert values["separation"][i, e] == pytest.approx(layer.separation, rel=1e-4)
            assert values["ncc_accuracy"][i, e] == pytest.approx(layer.ncc_accuracy, rel=1e-4)
            sparsity = layer.sparsity
            if sparsity is None or not (sparsity.is_activation or sparsity.relu_like):
                assert np.isnan(values["nonzero_fraction"][i, e])
                assert np.isnan(values["dead_fraction"][i, e])
                continue
            assert values["nonzero_fraction"][i, e] == pytest.approx(
                sparsity.nonzero_fraction.value, rel=1e-4
            )
            assert values["dead_fraction"][i, e] == pytest.approx(sparsity.dead_fraction, rel=1e-4)


def test_the_dimension_of_few_images_is_that_of_an_analysis(
    measured: tuple[Dynamics, dict[int, Analysis]],
) -> None:
    """All 360 images are among the points: the estimates are the same, the draws of the jackknife
    are, too, but act on another order of the points."""
    found, analyses = measured
    assert found.settings["dimension_points"] == found.counts.sum()
    for e, analysis in enumerate(analyses.values()):
        for i, layer in enumerate(analysis.layers[1:-1], start=1):
            assert layer.dimension is not None
            whole = layer.dimension.all
            value, low = (found.layer_values[k][i, e] for k in ("twonn", "twonn_low"))
            assert value == pytest.approx(whole.twonn.value, rel=1e-4)
            assert whole.twonn.low is not None
            assert value - low == pytest.approx(value - whole.twonn.low, rel=0.5)
            ratio = found.layer_values["participation_ratio"][i, e]
            assert ratio == pytest.approx(whole.participation_ratio, rel=1e-4)


def test_loss_geometry_and_picture_by_plain_code() -> None:
    run = bundled_run((54,))
    found = compute.run(request_of(run, ON_DIGITS, device="cpu"))
    data = open_dataset(ON_DIGITS)
    module = MLP((1, 8, 8), (128,) * 5, 10, batch_norm=True).eval()
    module.load_state_dict(load_file(run.checkpoint_path(54)), strict=False)
    x = torch.from_numpy(np.stack([data.image(i) for i in range(len(data))])).permute(0, 3, 1, 2)
    with torch.no_grad():
        h = nn.Sequential(*list(module)[:-1])(x)
        logits = module[-1](h)
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(data.labels))
    assert found.loss[0] == pytest.approx(float(loss), rel=1e-5)
    features, labels = h.double().numpy(), data.labels
    means = np.stack([features[labels == k].mean(0) for k in range(10)])
    centred = means - means.mean(0)
    np.testing.assert_allclose(
        cosine_matrix(found.mean_coordinates[0]), cosine_matrix(centred), atol=1e-5
    )
    weight = module[-1].weight.detach().double().numpy()
    np.testing.assert_allclose(
        found.classifier_coordinates[0] @ found.mean_coordinates[0].T,
        weight @ centred.T,
        rtol=1e-4,
        atol=1e-4,
    )
    spread = np.sqrt(np.square(features - features.mean(0)).sum(1).mean())
    assert found.spread[0] == pytest.approx(spread, rel=1e-5)
    within = [np.square(features[labels == k] - means[k]).sum(1).mean() for k in range(10)]
    np.testing.assert_allclose(found.within_trace[0], within, rtol=1e-4)
    # the picture: distances between class means in three components, in units of the spread
    counts = np.bincount(found.labels, minlength=10)
    assert counts.sum() == measuring.SHOWN
    assert counts.min() >= 28
    assert found.points.dtype == np.float16
    shown = found.points[0].astype(np.float64)
    np.testing.assert_allclose(shown.mean(0), 0, atol=2e-3)
    variance = np.square(shown).mean(0)
    assert (np.diff(variance) < 0).all()
    np.testing.assert_allclose(variance / found.explained[0], variance[0] / found.explained[0, 0],
                               rtol=1e-2)  # fmt: skip


def test_a_residual_network_is_measured_as_it_is_analysed(tmp_path: Path) -> None:
    """Maps, channels-last, an average pool before the classifier; two checkpoints of one run."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10
    images = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", X=images, y=labels)
    files = []
    for i in range(2):
        torch.manual_seed(i)
        module = constructors()["resnet20_cifar"](10, 3)
        tensors = {k: v for k, v in module.state_dict().items() if v.dtype != torch.int64}
        metadata = {"mean": "0.5, 0.5, 0.5", "std": "0.25, 0.25, 0.25"}
        save_file(tensors, tmp_path / f"epoch_{i}.safetensors", metadata)
        files.append(RunCheckpoint(f"epoch_{i}.safetensors", i))
    data = str(tmp_path / "images.npz")
    run = Run("made", tmp_path, "Made", "Made", tuple(files), (DataEntry(data, "made"),))
    found = compute.run(request_of(run, data, device="cpu"))
    for e in range(2):
        analysis = analysed(tmp_path / files[e].file, data, FAMILIES[:3])
        assert analysis.penultimate is not None
        assert found.penultimate == analysis.penultimate.layer
        for key in ("nc1", "nc3", "nc4", "cosine_std"):
            value = analysis.penultimate.collapse.values()[key]
            assert found.collapse[key][e] == pytest.approx(value, rel=1e-3, abs=1e-5), key
        for i, layer in enumerate(analysis.layers):
            value = found.layer_values["nonzero_fraction"][i, e]
            if layer.sparsity is not None and layer.sparsity.relu_like:
                assert value == pytest.approx(layer.sparsity.nonzero_fraction.value, rel=1e-4)
            else:
                assert np.isnan(value)
    # an average pool has no zeros of its own: those of the block before it are shown
    assert found.layer_of("nc1") == found.penultimate == "avgpool"
    assert found.layer_of("nonzero_fraction") == "layer3.2"
    assert np.isfinite(found.of("nonzero_fraction")).all()
    assert np.isfinite(found.of("dead_fraction")).all()


def one_run(folder: Path, *modules: nn.Module) -> Run:
    files = []
    for i, module in enumerate(modules):
        given = module.metadata() if isinstance(module, MLP) else {}
        tensors = {k: v for k, v in module.state_dict().items() if v.dtype != torch.int64}
        save_file(tensors, folder / f"epoch_{i}.safetensors", given)
        files.append(RunCheckpoint(f"epoch_{i}.safetensors", i))
    return Run("own", folder, "Own", "Own", tuple(files), (DataEntry(ON_DIGITS, "digits"),))


def measure(run: Run) -> Dynamics:
    return compute.run(request_of(run, ON_DIGITS, device="cpu"))


def test_smooth_activations_count_as_an_analysis_counts_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = one_run(tmp_path, MLP((1, 8, 8), (20, 20), 10, activation="tanh", batch_norm=True))
    found = measure(run)
    analysis = analysed(tmp_path / "epoch_0.safetensors", ON_DIGITS, ("sparsity",))
    checked = 0
    for i, layer in enumerate(analysis.layers):
        if layer.sparsity is not None and layer.sparsity.is_activation:
            value = found.layer_values["nonzero_fraction"][i, 0]
            assert value == pytest.approx(layer.sparsity.nonzero_fraction.value, rel=1e-3)
            checked += 1
    assert checked == 2


def test_diverged_weights_are_undefined_and_spoil_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    good, bad = MLP((1, 8, 8), (16, 16), 10), MLP((1, 8, 8), (16, 16), 10)
    with torch.no_grad():
        bad.linear2.weight.fill_(torch.inf)
    found = measure(one_run(tmp_path, good, bad))
    assert np.isfinite(found.of("nc1")[0])
    assert np.isnan(found.of("nc1")[1])
    assert np.isnan(found.accuracy[1])
    assert np.isnan(found.points[1]).all()
    assert np.isfinite(found.layer_values["nc1"][0]).all()  # the input
    assert any("epoch_1.safetensors" in w and "NaN" in w for w in found.warnings)


def test_a_dead_network_has_no_collapse(tmp_path: Path) -> None:
    dead = MLP((1, 8, 8), (16, 16), 10)
    with torch.no_grad():
        dead.linear2.bias.fill_(-1e3)
    torch.manual_seed(0)
    found = measure(one_run(tmp_path, MLP((1, 8, 8), (16, 16), 10), dead))
    assert np.isnan(found.collapse["nc1"][1])
    assert "coincide" in found.reasons["nc1"]
    assert found.of("dead_fraction")[1] == 1.0
    assert found.of("nonzero_fraction")[1] == 0.0
    assert found.spread[1] == 0
    assert not found.points[1].any()
    assert not found.mean_coordinates[1].any()


def test_fewer_features_than_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = measure(one_run(tmp_path, MLP((1, 8, 8), (16, 2), 10)))
    assert found.mean_coordinates.shape == (1, 10, 2)
    assert found.classifier_coordinates.shape == (1, 10, 2)
    assert found.points.shape == (1, 300, 3)
    assert not found.points[..., 2].any()
    assert np.isfinite(found.collapse["nc3"]).all()


def test_other_classes_than_the_data(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = measure(one_run(tmp_path, MLP((1, 8, 8), (16,), 7)))
    assert np.isnan(found.accuracy).all()
    assert np.isnan(found.loss).all()
    assert np.isnan(found.classifier_coordinates).all()
    assert np.isfinite(found.collapse["nc1"]).all()
    assert np.isnan(found.collapse["nc3"]).all()
    assert any("no accuracy" in w for w in found.warnings)


def test_another_network_in_the_run_is_named(tmp_path: Path) -> None:
    run = one_run(tmp_path, MLP((1, 8, 8), (16, 16), 10), MLP((1, 8, 8), (16, 17), 10))
    with pytest.raises(UserError, match=r"epoch_0.safetensors is not of the same network"):
        measure(run)


def test_names_that_no_registry_knows(tmp_path: Path) -> None:
    """A bare chain of layers under names of one's own: told by its shapes, once."""
    torch.manual_seed(0)
    made = [MLP((1, 8, 8), (24, 16), 10) for _ in range(2)]
    strange = [
        nn.Sequential(
            OrderedDict(a=nn.Flatten(), b=m.linear1, c=nn.ReLU(), d=m.linear2, e=nn.ReLU(),
                        f=m.classifier)
        )
        for m in made
    ]  # fmt: skip
    (tmp_path / "named").mkdir()
    (tmp_path / "strange").mkdir()
    found = measure(one_run(tmp_path / "strange", *strange))
    expected = measure(one_run(tmp_path / "named", *made))
    np.testing.assert_allclose(found.collapse["nc1"], expected.collapse["nc1"], rtol=1e-6)
    assert not np.isclose(found.collapse["nc1"][0], found.collapse["nc1"][1])


def test_an_unknown_architecture_says_what_to_do(tmp_path: Path) -> None:
    strange = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv1d(3, 2, 2), nn.Bilinear(2, 2, 2))
    with pytest.raises(UserError, match=r"--model|FEATURESCOPE_MODELS|architecture"):
        measure(one_run(tmp_path, strange))


def test_tensors_that_cannot_be_put_in_place_are_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    run = one_run(tmp_path, MLP((1, 8, 8), (16,), 10), MLP((1, 8, 8), (16,), 10))
    expected = measure(run)

    def refuse(*args: object) -> str:
        raise UserError("does not fit")

    monkeypatch.setattr(measuring, "load", refuse)
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    found = measure(run)
    np.testing.assert_allclose(found.collapse["nc3"], expected.collapse["nc3"], rtol=1e-5)


def test_more_images_than_fit_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KEEP_BYTES", 4 * 100 * (1 + 16 + 10))
    monkeypatch.setattr(measuring, "HOLD_BYTES", 0)
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    found = measure(one_run(tmp_path, MLP((1, 8, 8), (16,), 10)))
    assert found.counts.sum() == 100
    assert found.counts.min() >= 9
    assert any("100 of 360 images" in w for w in found.warnings)


def test_held_and_passing_images_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    run = one_run(tmp_path, MLP((1, 8, 8), (16,), 10))
    held = measure(run)
    monkeypatch.setattr(measuring, "HOLD_BYTES", 0)
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    passing = measure(run)
    for key in held.collapse:
        np.testing.assert_allclose(held.collapse[key], passing.collapse[key], rtol=1e-6)


def test_a_request_opens_the_checkpoint_that_it_names(tmp_path: Path) -> None:
    run = one_run(tmp_path, MLP((1, 8, 8), (16,), 10))
    request = request_of(run, ON_DIGITS)
    assert isinstance(request, DynamicsRequest)
    assert measure(run).sha256 == (open_checkpoint(tmp_path / "epoch_0.safetensors").sha256,)

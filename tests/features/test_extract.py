"""The whole extraction against features captured naively, in every mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.data.preprocessing import Preprocessing
from core.errors import Cancelled, UserError
from core.features import extract as extraction
from core.features.extract import extract
from core.features.flat import flat_samples
from core.features.forecast import forecast
from core.metrics.moments import class_moments
from core.results import Settings


@dataclass(frozen=True)
class _Model:
    module: nn.Module
    preprocessing: Preprocessing
    classes: int


def _data(n: int = 90, classes: int = 3, size: int = 8, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    base = rng.integers(0, 200, (classes, size, size, 3))
    images = (base[labels] + rng.integers(0, 56, (n, size, size, 3))).astype(np.uint8)
    names = tuple(f"class {k}" for k in range(classes))
    return Dataset("made", "0", labels, names, lambda i: images[i], np.arange(n))


def _model(classes: int = 3, size: int = 8) -> _Model:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, classes),
    ).eval()
    return _Model(module, Preprocessing(size, size, 3, (0.5,) * 3, (0.25,) * 3), classes)


def _outputs(model: _Model, data: Dataset, depth: int) -> np.ndarray:
    x = torch.from_numpy(load_batch(data, np.arange(len(data)), model.preprocessing))
    with torch.no_grad():
        for layer in list(model.module)[:depth]:  # type: ignore[arg-type]
            x = layer(x).clone()
    return x.numpy()


@pytest.mark.parametrize("mode", ["kept", "streamed", "flat"])
def test_statistics_are_those_of_all_features(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "streamed":
        monkeypatch.setattr(extraction, "KEEP_BYTES", 0)
    monkeypatch.setattr(extraction, "SAMPLE", 40)
    model, data = _model(), _data()
    flat = mode == "flat"
    done: list[tuple[int, int]] = []
    features = extract(
        model,
        data,
        Settings(layers="all", features="flat" if flat else "default", batch_size=16),
        progress=lambda d, t, what: done.append((d, t)),
    )
    norm = features.layers[2]
    assert norm.name == "1"
    maps = _outputs(model, data, 2)
    values = maps.reshape(len(data), -1) if flat else maps.mean((2, 3))
    expected = class_moments(values, data.labels, 3)
    np.testing.assert_allclose(norm.moments.means, expected.means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moments.within_trace, expected.within_trace, rtol=1e-4)
    np.testing.assert_allclose(
        np.trace(norm.moments.within_class), np.trace(expected.within_class), rtol=1e-3
    )
    assert norm.sparsity is not None
    assert norm.sparsity.nonzero_fraction.value == 1.0
    np.testing.assert_allclose(
        norm.pooled_sample, maps.mean((2, 3))[features.sample], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        norm.sample_coordinates,
        (values[features.sample] - norm.moments.global_mean) @ norm.moments.basis.T,
        rtol=1e-3,
        atol=1e-3,
    )
    relu = features.layers[3]
    assert relu.sparsity is not None
    assert relu.sparsity.relu_like
    assert relu.sparsity.nonzero_fraction.value == pytest.approx((maps > 0).mean(), abs=1e-4)
    images = len(data) * (1 if mode == "kept" else 2)
    assert done[-1] == (images, images)
    assert len(done) == images / len(data) * np.ceil(len(data) / 16)

    logits = _outputs(model, data, 6)
    np.testing.assert_array_equal(features.predictions, logits.argmax(1))
    assert features.accuracy == pytest.approx((logits.argmax(1) == data.labels).mean())
    assert features.penultimate is not None
    assert features.layers[features.penultimate].dim == 6
    pooled = _outputs(model, data, 4).reshape(len(data), -1)
    means = class_moments(pooled, data.labels, 3).means
    nearest = np.linalg.norm(pooled[:, None] - means, axis=2).argmin(1)
    assert features.penultimate_nc4 == pytest.approx((nearest != logits.argmax(1)).mean())
    assert features.layers[features.penultimate].ncc_accuracy == pytest.approx(
        (nearest == data.labels).mean()
    )


def test_a_bounded_second_look_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SECOND_LOOK", 60)
    monkeypatch.setattr(extraction, "SAMPLE", 30)
    model, data = _model(), _data(300)
    features = extract(model, data, Settings(features="flat"))
    exact = class_moments(_outputs(model, data, 3).reshape(300, -1), data.labels, 3)
    layer = features.layers[1]
    np.testing.assert_allclose(layer.moments.means, exact.means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moments.within_trace, exact.within_trace, rtol=0.1)
    assert any("from 60 of 300 images" in w for w in features.warnings)
    assert np.isfinite(layer.sample_coordinates).all()


def test_other_classes_than_the_data_have_no_accuracy() -> None:
    features = extract(_model(classes=5), _data(30), Settings())
    assert features.accuracy is None
    assert features.penultimate_nc4 is None
    assert "5 classes" in features.warnings[0]
    assert len(features.layers) == 4


def test_cancel_leaves_no_hooks() -> None:
    model = _model()
    with pytest.raises(Cancelled):
        extract(model, _data(), Settings(), cancelled=lambda: True)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())


def test_wrong_input_size_and_weights_are_the_users() -> None:
    model = _model()
    grey = Preprocessing(8, 8, 1, (0.5,), (0.5,))
    with pytest.raises(UserError, match="cannot take images of 1×8×8"):
        extract(_Model(model.module, grey, 3), _data(10), Settings())
    nn.init.constant_(model.module[0].weight, float("nan"))  # type: ignore[index, arg-type]
    with pytest.raises(UserError, match="NaN or infinite"):
        extract(model, _data(10), Settings())


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()

    def small_only(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if len(args[0]) > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    model.module[0].register_forward_pre_hook(small_only)  # type: ignore[index, operator]
    features = extract(model, _data(40), Settings(batch_size=32))
    assert features.batch_size == 8


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1"])
def test_torchvision_networks(name: str) -> None:
    module = getattr(torchvision.models, name)(num_classes=3).eval()
    model = _Model(module, Preprocessing(48, 48, 3, (0.5,) * 3, (0.5,) * 3), 3)
    features = extract(model, _data(12), Settings())
    assert features.penultimate is not None
    assert features.weight is not None
    assert features.weight.shape == (3, features.layers[features.penultimate].dim)


def test_flat_samples_in_several_passes_and_projected() -> None:
    model, data = _model(), _data()
    taps = extract(model, data, Settings()).taps
    positions = np.arange(0, 90, 3)
    whole = list(flat_samples(model, data, taps, positions))
    assert [s.layer for s in whole] == list(range(len(taps)))
    relu = _outputs(model, data, 3)[positions].reshape(30, -1)
    np.testing.assert_allclose(whole[1].array, relu, rtol=1e-4, atol=1e-5)
    one_by_one = list(flat_samples(model, data, taps, positions, budget_bytes=4 * 30 * 384))
    assert all(s.projected is None for s in one_by_one)
    np.testing.assert_allclose(one_by_one[1].array, whole[1].array, rtol=1e-5, atol=1e-6)
    small = list(flat_samples(model, data, taps, positions, budget_bytes=4 * 30 * 383 * 7))
    again = list(flat_samples(model, data, taps, positions, budget_bytes=4 * 30 * 383 * 7))
    assert small[1].projected is None
    np.testing.assert_array_equal(small[1].array, again[1].array)


def test_projection_keeps_distances() -> None:
    data = _data(30, size=32)
    model = _model(size=32)
    taps = extract(model, data, Settings()).taps
    positions = np.arange(30)
    exact = next(s for s in flat_samples(model, data, taps, positions) if s.layer == 1)
    budget = 4 * 30 * exact.ambient - 1
    wide = taps[1:2]
    with pytest.raises(UserError, match="random projection"):
        list(flat_samples(model, data, wide, positions, budget_bytes=budget))
    many = np.tile(positions, 20)  # 600 rows: the matrix fits beside them
    sample = next(
        flat_samples(model, data, wide, many, budget_bytes=4 * 600 * exact.ambient - 1, seed=3)
    )
    assert sample.ambient == exact.ambient
    assert sample.projected is not None
    assert sample.array.shape == (600, sample.projected)
    true = np.linalg.norm(exact.array[0] - exact.array[1:], axis=1)
    kept = np.linalg.norm(sample.array[0] - sample.array[1:30], axis=1)
    np.testing.assert_allclose(kept / true, 1, atol=6 / np.sqrt(2 * sample.projected))


def test_forecast_counts_looks_and_memory() -> None:
    model, data = _model(), _data()
    pooled = forecast(model, data, Settings())
    flat = forecast(model, data, Settings(features="flat"))
    assert (pooled.looks, flat.looks) == (1, 2)
    assert len(pooled.flat_dims) == 4
    assert pooled.seconds > 0
    assert flat.memory_bytes > pooled.memory_bytes > 0


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(width, width, 3, padding=1), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu2(x + self.conv2(self.relu1(self.conv1(x))))


def test_zeros_inside_blocks_against_naive_captures() -> None:
    torch.manual_seed(3)
    pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    module = nn.Sequential(nn.Conv2d(3, 4, 1), _Residual(4), _Residual(4), *pool).eval()
    model, data = _Model(module, _model().preprocessing, 4), _data()
    data = Dataset("made", "0", data.labels, (*data.class_names, "empty"), data.image, data.ids)
    seen: dict[str, np.ndarray] = {}
    for name in ("1.relu1", "1.relu2", "2.relu1", "2.relu2"):
        module.get_submodule(name).register_forward_hook(
            lambda m, i, o, name=name: seen.__setitem__(name, o.flatten(1).numpy())
        )
    x = torch.from_numpy(load_batch(data, np.arange(len(data)), model.preprocessing))
    found = extract(model, data, Settings(batch_size=16)).activations
    with torch.no_grad():
        module(x)
    assert [(a.name, a.block, a.position) for a in found] == [
        *(("1.relu1", "1", 1), ("1", "1", 2), ("2.relu1", "2", 1), ("2", "2", 2))
    ]
    for a, active in zip(found, (v != 0 for v in seen.values()), strict=True):
        s = a.sparsity
        assert s.nonzero_fraction.value == pytest.approx(active.mean(), abs=1e-6)
        assert s.dead_fraction == pytest.approx((~active.any(0)).mean())
        sets = np.array([active[data.labels == k].mean(0) >= 0.5 for k in range(3)])
        np.testing.assert_array_equal(s.class_units, [*sets.sum(1), np.nan])
        both = (sets[0] & sets[1]).sum() / (sets[0] | sets[1]).sum()
        assert s.class_overlap[0, 1] == pytest.approx(both)
        assert np.isnan(s.class_overlap[3]).all()
        assert np.isnan(s.class_nonzero_fraction[3])
        assert s.sample_histogram.sum() == len(data)
        assert s.unit_histogram.sum() == active.shape[1]
    named = extract(model, data, Settings(layers="2.relu1", batch_size=16)).activations
    assert [(a.name, a.block, a.position) for a in named] == [("2.relu1", "2", 1)]

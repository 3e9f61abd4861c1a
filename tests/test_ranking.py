"""Ranking by accuracy: bounded work, chance does not choose, weights are held once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from core import ranking
from core.checkpoints import Checkpoint, open_checkpoint
from core.data.dataset import Dataset
from core.models.building import Model, build
from core.progress import never
from core.results import Settings


def opened(folder: Path) -> tuple[Checkpoint, Model]:
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=3)
    torch.save(network.state_dict(), folder / "network.pth")
    checkpoint = open_checkpoint(folder / "network.pth")
    return checkpoint, build(checkpoint.tensors, checkpoint.metadata)


def noise(images: int) -> Dataset:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, 40, 40, 3), dtype=np.uint8)
    labels, names = np.arange(images) % 3, ("a", "b", "c")
    return Dataset("noise", "", labels, names, pixels.__getitem__, np.arange(images))


def test_an_untrained_network_keeps_its_default(tmp_path: Path) -> None:
    checkpoint, model = opened(tmp_path)
    chosen, found = ranking.choose_variant(
        model, checkpoint, noise(30), Settings(), lambda m: m, never
    )
    assert chosen is model
    assert {c.architecture for c in found} == {c.architecture for c in model.candidates}
    assert all(c.accuracy is not None for c in found)


def test_other_preprocessing_shares_the_weights(tmp_path: Path) -> None:
    checkpoint, model = opened(tmp_path)
    same = [v for _, v in ranking._variants(model, checkpoint) if "squeezenet1_1" in v.architecture]
    assert len(same) > 1
    assert all(v.module is model.module for v in same)


def test_a_heavy_network_is_not_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, model = opened(tmp_path)
    monkeypatch.setattr(ranking, "BUDGET", 1e9)
    chosen, found = ranking.choose_variant(
        model, checkpoint, noise(30), Settings(), lambda m: m, never
    )
    assert chosen is model
    assert found == model.candidates


def test_margin() -> None:
    assert ranking._margin(0.5, 0.4, 36) == pytest.approx(2 * (0.49 / 36) ** 0.5)
    assert ranking._margin(0.99, 0.98, 10_000) == ranking.MARGIN

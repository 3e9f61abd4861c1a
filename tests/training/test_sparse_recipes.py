"""Recipes of networks that are sparse by design, beside those of the plain ones."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoints import open_checkpoint
from core.errors import Cancelled
from core.models.building import build
from core.models.knobs import knob_of
from core.training.loop import train
from core.training.recipes import RECIPES
from core.training.steps import Training

PAIRS = [
    *((f"{data}-plain", f"{data}-sdnet", None) for data in ("digits", "cifar")),
    *(
        (f"{data}-vit{noise}", f"{data}-vit-top{k}{noise}", k)
        for data, k in (("digits", 8), ("cifar", 16))
        for noise in ("", "-labels-40", "-labels-80")
    ),
]
NAMES = [name for plain, sparse, _ in PAIRS for name in (plain, sparse)]


@pytest.mark.parametrize(("plain", "sparse", "k"), PAIRS)
def test_a_pair_differs_in_sparsity_alone(plain: str, sparse: str, k: int | None) -> None:
    """Same data, schedule, seeds and sizes: what differs between their results is the sparsity."""
    ours, theirs = asdict(RECIPES[sparse]), asdict(RECIPES[plain])
    differing = {key for key in ours if ours[key] != theirs[key]}
    assert differing <= {"name", "title", "network", "network_options"}
    wanted = {"lam": 0.1, "iterations": 4} if k is None else {"top_k": k}
    assert ours["network_options"] == theirs["network_options"] | wanted
    assert RECIPES[sparse].seeds >= 3


@pytest.mark.parametrize("name", [n for n in NAMES if "labels" not in n])
def test_a_recipe_takes_steps_that_lower_its_loss(name: str) -> None:
    """On a few made-up images of the size it is for."""
    torch.manual_seed(0)
    shape = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
    x, y = torch.randn(24, *shape), torch.arange(24) % 3
    training = Training(replace(RECIPES[name], epochs=6, batch_size=12), x, y, 3, seed=0)
    before = training.evaluate(x, y)[0]
    for _ in range(6):
        training.epoch()
    after = training.evaluate(x, y)[0]
    assert np.isfinite(after)
    assert after < before


@pytest.mark.parametrize("name", ["digits-sdnet", "digits-vit-top8"])
def test_a_stopped_training_goes_on_with_identical_numbers(name: str, tmp_path: Path) -> None:
    """Also the same seed twice: whole and parts are two trainings."""
    recipe, asked = RECIPES[name], iter(range(10))
    whole = train(recipe, tmp_path / "whole", epochs=2)
    with pytest.raises(Cancelled):
        train(recipe, tmp_path / "parts", epochs=2, cancelled=lambda: next(asked) >= 1)
    parts = train(recipe, tmp_path / "parts", epochs=2)
    for key in ("epoch", "train_loss", "test_loss", "test_accuracy"):
        assert parts.history[key] == whole.history[key]
    tensors = [open_checkpoint(run.checkpoint_path(2)).tensors for run in (whole, parts)]
    assert all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])
    checkpoint = open_checkpoint(whole.checkpoint_path(2))
    knob = knob_of(build(checkpoint.tensors, checkpoint.metadata).module)
    assert knob is not None
    assert (knob.name, knob.trained) == (("lam", 0.1) if "sdnet" in name else ("top_k", 8))


def test_sdnet_trains_the_same_numbers_twice_and_others_with_another_seed() -> None:
    """The power method inside it starts from the same noise, whatever ran before."""
    x = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 4
    trained = []
    for seed in (0, 0, 1):
        training = Training(replace(RECIPES["digits-sdnet"], batch_size=10), x, y, 4, seed)
        for _ in range(2):
            training.epoch()
            training.evaluate(x[:7], y[:7])  # must not move anything
        trained.append(training.model.state_dict())
        torch.rand(100)  # nor must the global generator matter
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])
    assert not torch.equal(trained[0]["conv1.weight"], trained[2]["conv1.weight"])


def test_lambda_is_felt_in_training() -> None:
    x = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20) % 2
    weights = []
    for lam in (0.1, 0.5):
        recipe = RECIPES["digits-sdnet"]
        recipe = replace(recipe, network_options={**recipe.network_options, "lam": lam})
        training = Training(recipe, x, y, 2, seed=0)
        training.epoch()
        weights.append(training.model.get_parameter("conv1.weight").detach().clone())
    assert not torch.equal(*weights)

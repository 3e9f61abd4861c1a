"""Recipes, on a few steps: seeds, stopping and going on, what a run folder then holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis import analyze
from core.checkpoints import open_checkpoint
from core.checkpoints.runs import Run, open_run
from core.errors import Cancelled, UserError
from core.request import AnalysisRequest
from core.results import Settings
from core.training import loop
from core.training.families import FAMILIES
from core.training.loop import STATE, train
from core.training.recipes import RECIPES, Recipe, checkpoint_epochs, find_recipe
from core.training.steps import Training

DIGITS = [name for name in RECIPES if name.startswith("digits-") and RECIPES[name].start is None]


def after(epochs: int) -> Callable[[], bool]:
    """Cancelled at the so-manieth question."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= epochs


def test_two_trainings_with_one_seed_are_equal(tmp_path: Path) -> None:
    recipe = RECIPES["digits-mlp"]
    first = train(recipe, tmp_path / "a", epochs=3, seed=1)
    second = train(recipe, tmp_path / "b", epochs=3, seed=1)
    other = train(recipe, tmp_path / "c", epochs=3, seed=2)
    keys = ("train_loss", "test_accuracy")
    assert all(first.history[k] == second.history[k] for k in keys)
    assert first.history["train_loss"] != other.history["train_loss"]
    assert first.history["train_loss"][-1] < first.history["train_loss"][0] / 4


def test_a_run_folder_opens_and_describes_itself(tmp_path: Path) -> None:
    train(RECIPES["digits-mlp"], tmp_path / "a", epochs=2)
    run = open_run(tmp_path / "a")
    assert run.epochs == (0, 1, 2)
    assert run.finished
    assert run.history["epoch"] == [0, 1, 2]
    assert not (tmp_path / "a" / STATE).exists()
    checkpoint = open_checkpoint(run.checkpoint_path(2))
    assert checkpoint.metadata["architecture"] == "mlp"
    assert int(checkpoint.metadata["epoch"]) == 2


@pytest.mark.parametrize("name", ["digits-ce", "digits-adam", "digits-lbfgs", "digits-cmf"])
def test_a_stopped_training_goes_on_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    whole = train(recipe, tmp_path / "whole", epochs=4)
    with pytest.raises(Cancelled):
        train(recipe, tmp_path / "parts", epochs=4, cancelled=after(2))
    assert not open_run(tmp_path / "parts").finished
    parts = train(recipe, tmp_path / "parts", epochs=4)
    for key in ("epoch", "train_loss", "test_accuracy"):
        assert parts.history[key] == whole.history[key]
    assert parts.epochs == whole.epochs
    tensors = [open_checkpoint(run.checkpoint_path(4)).tensors for run in (whole, parts)]
    assert all(torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])


def test_a_killed_training_goes_on_from_its_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History and checkpoints after that state are made again, not twice."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    recipe = RECIPES["digits-ce"]
    whole = train(recipe, tmp_path / "whole", epochs=5)

    def killed(done: int, total: int, what: str) -> None:
        if done == 2:
            monkeypatch.setattr(loop, "SAVE_SECONDS", 1e9)
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", epochs=5, progress=killed)
    parts = train(recipe, tmp_path / "parts", epochs=5)
    assert parts.history["epoch"] == [0, 1, 2, 3, 4, 5]
    assert parts.history["train_loss"] == whole.history["train_loss"]


def test_a_stopped_training_with_other_settings_is_another_run(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(RECIPES["digits-ce"], tmp_path / "a", epochs=4, cancelled=after(2))
    with pytest.raises(UserError, match="already holds a run"):
        train(RECIPES["digits-ce"], tmp_path / "a", epochs=5)
    with pytest.raises(UserError, match="already holds a run"):
        train(RECIPES["digits-ce"], tmp_path / "a", epochs=4, seed=1)
    with pytest.raises(UserError, match="already holds a run"):
        train(RECIPES["digits-ce"], tmp_path / "a", epochs=4, data="digits")


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(RECIPES["digits-ce"], tmp_path / "a", epochs=4, cancelled=after(2))
    (tmp_path / "a" / STATE).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="remove the folder"):
        train(RECIPES["digits-ce"], tmp_path / "a", epochs=4)


@pytest.mark.parametrize("name", DIGITS)
def test_every_recipe_of_digits_learns_in_a_few_steps(name: str, tmp_path: Path) -> None:
    recipe = replace(RECIPES[name], checkpoints=2)
    steps = 6 if recipe.optimiser == "lbfgs" else 3
    run = train(recipe, tmp_path / "a", epochs=steps)
    losses = run.history["train_loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_a_recipe_of_cifar_learns_in_a_step(tmp_path: Path) -> None:
    run = train(replace(RECIPES["cifar-ce"], checkpoints=2), tmp_path / "a", epochs=1)
    assert run.history["train_accuracy"][-1] > 0.2
    made = analyze(
        AnalysisRequest(
            str(run.checkpoint_path(1)),
            "cifar10",
            settings=Settings(metrics=("collapse",), device="cpu"),
        )
    )
    assert made.accuracy == pytest.approx(run.history["test_accuracy"][-1], abs=0.002)


def test_lbfgs_takes_convolutions() -> None:
    """Their weights must lie in memory as they are flattened."""
    torch.manual_seed(0)
    x, y = torch.randn(20, 3, 32, 32), torch.arange(20) % 4
    recipe = replace(RECIPES["cifar-ce"], optimiser="lbfgs", learning_rate=1.0, widths=(4, 8))
    training = Training(recipe, x, y, 4, seed=0)
    before = training.evaluate(x, y)[0]
    for _ in range(3):
        training.epoch()
    assert training.evaluate(x, y)[0] < before


def rows_of_classifier(run: Run, epoch: int) -> torch.Tensor:
    return open_checkpoint(run.checkpoint_path(epoch)).tensors["classifier.weight"]


@pytest.mark.parametrize("name", ["digits-etf", "digits-etf-d10"])
def test_a_fixed_classifier_stays_to_the_last_bit(name: str, tmp_path: Path) -> None:
    run = train(RECIPES[name], tmp_path / "a", epochs=3)
    first, last = rows_of_classifier(run, 0), rows_of_classifier(run, 3)
    assert torch.equal(first, last)
    gram = last.double() @ last.double().T
    assert torch.allclose(gram, (torch.eye(10).double() - 0.1) * 10 / 9, atol=1e-6)


def test_rows_of_class_means_follow_the_features(tmp_path: Path) -> None:
    """Self-duality is built in: the rows are the centred class means, up to their scale."""
    run = train(RECIPES["digits-cmf"], tmp_path / "a", epochs=20)
    made = analyze(
        AnalysisRequest(
            str(run.checkpoint_path(20)),
            "digits-train",
            settings=Settings(metrics=("collapse",), device="cpu"),
        )
    )
    assert made.penultimate is not None
    assert made.penultimate.collapse.nc3_alignment is not None
    assert made.penultimate.collapse.nc3_alignment < 0.2


def test_fine_tuning_starts_from_the_other_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train that one first"):
        train(replace(RECIPES["digits-tuned-linear"], start="nowhere"), tmp_path / "a", epochs=1)
    before = train(
        replace(RECIPES["digits-pretrained"], checkpoints=2), tmp_path / "before", epochs=20
    )
    recipe = replace(RECIPES["digits-tuned-lp"], start="before", probe_epochs=2, checkpoints=9)
    run = train(recipe, tmp_path / "tuned", epochs=4)
    bodies = [
        open_checkpoint(path).tensors["linear1.weight"]
        for path in (before.checkpoint_path(20), *(run.checkpoint_path(e) for e in (0, 2, 4)))
    ]
    assert torch.equal(bodies[0], bodies[1])
    assert torch.equal(bodies[0], bodies[2])  # the probe leaves the features alone
    assert not torch.equal(bodies[0], bodies[3])
    assert run.history["test_accuracy"][2] > run.history["test_accuracy"][0]
    shifted = [v for k, v in run.results.items() if k.startswith("accuracy ")]
    assert run.results["shifted_accuracy"] == pytest.approx(np.mean(shifted), abs=1e-5)


def test_float16_checkpoints_keep_the_metrics_to_a_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPES["digits-ce"], checkpoints=2)
    short = train(recipe, tmp_path / "half", epochs=60)
    writer = loop.RunWriter
    monkeypatch.setattr(loop, "RunWriter", lambda *a, **k: writer(*a, **{**k, "half": False}))
    exact = train(recipe, tmp_path / "exact", epochs=60)
    sizes = [run.checkpoint_path(60).stat().st_size for run in (short, exact)]
    assert sizes[0] < 0.6 * sizes[1]
    found = []
    for run in (short, exact):
        request = AnalysisRequest(
            str(run.checkpoint_path(60)),
            "digits-train",
            settings=Settings(metrics=("collapse",), device="cpu"),
        )
        penultimate = analyze(request).penultimate
        assert penultimate is not None
        found.append(penultimate.collapse.values())
    for key in ("nc1", "nc1_quotient", "nc2_means", "nc3", "cosine_std", "equinorm_means"):
        assert found[0][key] == pytest.approx(found[1][key], rel=0.01), key


def test_other_data_is_split_and_trained_on(tmp_path: Path) -> None:
    x = np.zeros((20, 4, 4), dtype=np.uint8)
    x[10:] = 255
    np.savez(tmp_path / "x.npz", X=x, y=np.repeat([0, 1], 10))
    data = str(tmp_path / "x.npz")
    run = train(RECIPES["digits-mlp"], tmp_path / "a", data=data, epochs=60)
    assert run.history["test_accuracy"][-1] == 1.0
    assert run.data[0].id == data
    np.savez(tmp_path / "x.npz", X=x, y=[0] * 19 + [1])
    with pytest.raises(UserError, match="one image"):
        train(RECIPES["digits-mlp"], tmp_path / "b", data=data, epochs=3)


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path) -> None:
    train(RECIPES["digits-mlp"], tmp_path / "a", epochs=1)
    with pytest.raises(UserError, match="already holds a run"):
        train(RECIPES["digits-mlp"], tmp_path / "a", epochs=1)


def test_too_few_features_for_a_fixed_frame_are_named(tmp_path: Path) -> None:
    narrow = replace(RECIPES["digits-etf"], widths=(16, 5))
    with pytest.raises(UserError, match="widen"):
        train(narrow, tmp_path / "a", epochs=1)


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(UserError, match="digits-mlp"):
        find_recipe("nothing")


def test_families_and_recipes_belong_together() -> None:
    for family in FAMILIES.values():
        assert len(set(family.recipes)) == len(family.recipes)
        for name in family.recipes:
            recipe: Recipe = find_recipe(name)
            assert recipe.start is None or list(RECIPES).index(recipe.start) < list(RECIPES).index(
                name
            )
    json.dumps([loop._settings(recipe) for recipe in RECIPES.values()])


@given(st.integers(1, 1000), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_checkpoints_are_log_spaced_from_the_start_to_the_end(epochs: int, count: int) -> None:
    spaced = checkpoint_epochs(epochs, count)
    assert spaced[0] == 0
    assert spaced[-1] == epochs
    assert len(spaced) <= count
    assert list(spaced) == sorted(set(spaced))

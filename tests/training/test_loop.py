"""The recipe, on a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.checkpoints import open_checkpoint
from core.checkpoints.runs import open_run
from core.errors import Cancelled, UserError
from core.training.loop import train
from core.training.recipes import RECIPES, checkpoint_epochs, find_recipe


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
    checkpoint = open_checkpoint(run.checkpoint_path(2))
    assert checkpoint.metadata["architecture"] == "mlp"
    assert int(checkpoint.metadata["epoch"]) == 2


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


def test_training_can_be_cancelled(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(RECIPES["digits-mlp"], tmp_path / "a", cancelled=lambda: True)


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(UserError, match="digits-mlp"):
        find_recipe("nothing")


@given(st.integers(1, 1000), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_checkpoints_are_log_spaced_from_the_start_to_the_end(epochs: int, count: int) -> None:
    spaced = checkpoint_epochs(epochs, count)
    assert spaced[0] == 0
    assert spaced[-1] == epochs
    assert len(spaced) <= count
    assert list(spaced) == sorted(set(spaced))

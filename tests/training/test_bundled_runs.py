"""What is bundled is what the recipes and families promise."""

from __future__ import annotations

import pytest
import torch

from core import library
from core.checkpoints import open_checkpoint
from core.checkpoints.runs import Run
from core.dynamics.kept import bundled_path, kept, missing
from core.robustness.comparisons import COMPARISONS
from core.run_table import COLLAPSED, lines, run_table
from core.training.families import FAMILIES
from core.training.loop import _settings
from core.training.recipes import RECIPES, checkpoint_epochs

LARGEST = 80e6  # bytes of all trained runs together, those of pairs apart
NAMES = sorted({name for family in FAMILIES.values() for name in family.recipes})

PAIRS = {
    name for pair in COMPARISONS.values() for names in (pair.plain, pair.sparse) for name in names
}
"""Bundled with the checkpoints of every seed."""
LARGEST_PAIRS = 30e6
NEARLY = ("cifar-etf-d10", "cifar-tuned-lp")
"""End with one or two training images wrong."""


def bundled(name: str, seed: int = 0) -> Run:
    found = library.find(name if seed == 0 else f"{name}.{seed}")
    assert found is not None, name
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_of_a_family_is_bundled_and_measured(name: str) -> None:
    recipe = RECIPES[name]
    for seed in range(recipe.seeds):
        run = bundled(name, seed)
        assert (run.recipe, run.seed, run.finished) == (name, seed, True)
        assert run.settings == _settings(recipe)
        assert run.epochs == checkpoint_epochs(recipe.epochs, recipe.checkpoints)
        assert run.history["train_accuracy"][-1] >= (1.0 if name not in NEARLY else 0.999)
        for data in run.data:
            assert bundled_path(run, data.id).is_file()
            assert not missing(run, data.id)
            measured = kept(run, data.id)
            assert measured is not None
            assert tuple(measured.epochs) == run.epochs
    run = bundled(name)
    assert all((run.folder / c.file).is_file() for c in run.checkpoints)


@pytest.mark.parametrize("family", ["optimisers", "losses"])
def test_true_labels_collapse_whatever_the_algorithm_and_the_loss(family: str) -> None:
    for name in FAMILIES[family].digits:
        for seed in range(RECIPES[name].seeds):
            run = bundled(name, seed)
            measured = kept(run, run.data[0].id)
            assert measured is not None
            assert measured.accuracy[-1] == 1.0
            for key, bound in COLLAPSED.items():
                assert measured.of(key)[-1] < bound, (run.id, key)


def test_batch_norm_and_decay_make_the_contrast() -> None:
    spreads = {}
    for name in ("digits-ce", "digits-no-bn"):
        measured = kept(bundled(name), "digits-train")
        assert measured is not None
        spreads[name] = measured.of("cosine_std")[-1]
    assert spreads["digits-no-bn"] > 5 * spreads["digits-ce"]


@pytest.mark.parametrize("name", [n for n in NAMES if RECIPES[n].classifier == "etf"])
def test_a_fixed_classifier_never_moved(name: str) -> None:
    run = bundled(name)
    key = "classifier.weight" if RECIPES[name].network == "mlp" else "linear.weight"
    rows = [open_checkpoint(run.checkpoint_path(e)).tensors[key] for e in run.epochs]
    assert all(torch.equal(rows[0], other) for other in rows[1:])
    gram = rows[0].double() @ rows[0].double().T
    assert torch.allclose(gram, (torch.eye(10).double() - 0.1) * 10 / 9, atol=1e-6)


def test_the_trained_runs_are_small_enough() -> None:
    """Checkpoints and measurements; analyses of the first run come on top."""
    for pairs, largest in ((False, LARGEST), (True, LARGEST_PAIRS)):
        runs = [r for r in library.runs() if r.recipe is not None and (r.recipe in PAIRS) is pairs]
        files = [
            path
            for run in runs
            for pattern in ("*", "dynamics/*", "robustness/*")
            for path in run.folder.glob(pattern)
        ]
        assert files
        assert sum(path.stat().st_size for path in files if path.is_file()) < largest


def test_the_table_of_runs_names_every_family() -> None:
    text = "\n".join(lines(run_table()))
    for family in FAMILIES.values():
        assert family.title in text
        assert all(f"\n{name} " in text for name in family.recipes)

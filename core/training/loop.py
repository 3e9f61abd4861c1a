"""The training loop: plain PyTorch, one recipe in, one run folder out."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.checkpoints.runs import DataEntry, Run
from core.data.dataset import Dataset
from core.data.digits import TEST_SHARE
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.models.mlp import MLP
from core.progress import IsCancelled, Progress, check, never, silent
from core.training.recipes import Recipe, checkpoint_epochs
from core.training.writer import RunWriter


def train(
    recipe: Recipe,
    out: Path,
    *,
    data: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Run:
    """Train ``recipe`` into the folder ``out``. The same seed gives the same numbers on the same
    machine. ``data`` replaces the recipe's: a stratified fifth of it is held out for testing.
    UserError if ``out`` already holds a run."""
    if (out / "run.json").exists():
        raise UserError(f"{out} already holds a run; give a new folder")
    epochs = recipe.epochs if epochs is None else epochs
    torch.manual_seed(seed)
    train_set, test_set = _splits(recipe, data, seed)
    height, width, channels = train_set.image(0).shape
    x, y = _tensors(train_set)
    x_test, y_test = _tensors(test_set)
    model = MLP(
        (channels, height, width),
        recipe.widths,
        train_set.classes,
        recipe.activation,
        recipe.batch_norm,
    )
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, epochs))
    generator = torch.Generator().manual_seed(seed)
    entries = _entries(recipe, data, train_set, test_set)
    writer = RunWriter(_run(recipe, out, epochs, seed, entries))
    saved = set(checkpoint_epochs(epochs, recipe.checkpoints))
    started = time.perf_counter()
    for epoch in range(epochs + 1):
        check(cancelled)
        if epoch > 0:
            _train_epoch(model, optimiser, x, y, recipe.batch_size, generator)
            schedule.step()
        train_loss, train_accuracy = evaluate(model, x, y)
        test_loss, test_accuracy = evaluate(model, x_test, y_test)
        writer.record(
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            seconds=time.perf_counter() - started,
        )
        if epoch in saved:
            scores = {"train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
            writer.save(
                model, epoch, {**model.metadata(), **{k: f"{v:.4f}" for k, v in scores.items()}}
            )
        progress(epoch, epochs, f"train {train_accuracy:.3f}, test {test_accuracy:.3f}")
    return writer.run


@torch.no_grad()
def evaluate(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of ``model`` in evaluation mode on x (N, …), y (N,)."""
    model.eval()
    logits = model(x)
    return (
        float(nn.functional.cross_entropy(logits, y)),
        float((logits.argmax(1) == y).float().mean()),
    )


def _train_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    model.train()
    order = torch.randperm(len(x), generator=generator)
    for batch in order.split(batch_size):
        if len(batch) < 2:  # batch norm needs two samples
            continue
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimiser.step()


def _tensors(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    height, width, channels = dataset.image(0).shape
    plain = Preprocessing(height, width, channels, (0.0,) * channels, (1.0,) * channels)
    images = load_batch(dataset, np.arange(len(dataset)), plain)
    return torch.from_numpy(images), torch.from_numpy(dataset.labels)


def _splits(recipe: Recipe, data: str | None, seed: int) -> tuple[Dataset, Dataset]:
    """Training and test set: the recipe's two data sets, or four fifths and a fifth of ``data``."""
    if data is None:
        return open_dataset(recipe.train_data), open_dataset(recipe.test_data)
    whole = open_dataset(data)
    held_out = whole.stratified(max(whole.classes, round(TEST_SHARE * len(whole))), seed)
    rest = np.setdiff1d(np.arange(len(whole)), held_out)
    if len(np.unique(whole.labels[rest])) < whole.classes:
        raise UserError(f"{whole.name} has a class of one image; training needs 2 or more of each")
    return whole.select(rest), whole.select(held_out)


def _entries(
    recipe: Recipe, data: str | None, train_set: Dataset, test_set: Dataset
) -> tuple[DataEntry, ...]:
    if data is not None:
        return (DataEntry(data, train_set.name),)
    return (
        DataEntry(recipe.train_data, train_set.name),
        DataEntry(recipe.test_data, test_set.name),
    )


def _run(recipe: Recipe, out: Path, epochs: int, seed: int, data: tuple[DataEntry, ...]) -> Run:
    return Run(
        id=out.name,
        folder=out,
        title=recipe.title,
        group="Trained here",
        checkpoints=(),
        data=data,
        source=f"trained by the recipe {recipe.name} with seed {seed}",
        recipe=recipe.name,
        settings={**asdict(recipe), "epochs": epochs},
        seed=seed,
        versions={"python": platform.python_version(), "torch": torch.__version__},
    )

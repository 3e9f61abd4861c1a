"""Train a recipe into a run folder: plain PyTorch, stops and goes on where it was."""

from __future__ import annotations

import json
import pickle
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.checkpoints import open_checkpoint
from core.checkpoints.runs import DataEntry, Run, open_run
from core.data.dataset import Dataset
from core.data.digits import TEST_SHARE
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.data.preprocessing import Preprocessing
from core.errors import Cancelled, UserError
from core.features.devices import choose_device, torch_threads
from core.library import BUNDLED_RUNS
from core.progress import IsCancelled, Progress, never, silent
from core.training.networks import normalisation
from core.training.recipes import Recipe, checkpoint_epochs
from core.training.steps import Training
from core.training.writer import RunWriter

STATE = "training_state.pt"
"""In the folder of a run that is not finished: what is needed to go on."""

_OPTIONAL = ("all_checkpoints", "network_options")

SAVE_SECONDS = 15.0  # between two states on disk
PUBLISH_SECONDS = 1.0  # between two updates of run.json


def train(
    recipe: Recipe,
    out: Path,
    *,
    data: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Run:
    """Train ``recipe`` into the folder ``out``, or go on with the same training there.

    The same seed gives the same numbers on the same machine: everything runs in one thread of the
    CPU unless there is a GPU. ``data`` replaces the recipe's: a stratified fifth of it is held out
    for testing. Raises Cancelled with the state kept, so that the next call goes on. UserError if
    ``out`` holds another run, or a finished one.
    """
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    place = choose_device(device)
    train_set, test_set = _splits(recipe, data, seed)
    settings = _settings(recipe)
    entries = _entries(recipe, data, train_set, test_set)
    state = _state_of(out, settings, seed, entries)
    # start before the seed is set: reading a checkpoint must not move the random numbers
    start = None if recipe.start is None else _trained(recipe.start, out)
    with torch_threads(1):
        x, y = _tensors(train_set, place)
        x_test, y_test = _tensors(test_set, place)
        training = Training(recipe, x, y, train_set.classes, seed, start)
        writer = RunWriter(
            out,
            title=recipe.title,
            data=entries,
            half=True,
            group=recipe.group,
            source=f"trained by the recipe {recipe.name} with seed {seed}",
            recipe=recipe.name,
            settings=settings,
            seed=seed,
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        if state is not None:
            training.restore(state["training"])
            writer.run = _until(open_run(out), training.done)
        loop = _Loop(recipe, training, writer, (x, y), (x_test, y_test), _metadata(training, x))
        loop.go(state["seconds"] if state else 0.0, state is not None, progress, cancelled)
        shifted = _shifted(recipe, training, place) if data is None else {}
    writer.finish(**shifted)
    (out / STATE).unlink(missing_ok=True)
    return writer.run


class _Loop:
    """Epochs, with their scores, checkpoints, and the state that is kept on disk."""

    def __init__(
        self,
        recipe: Recipe,
        training: Training,
        writer: RunWriter,
        train_set: tuple[Tensor, Tensor],
        test_set: tuple[Tensor, Tensor],
        metadata: dict[str, str],
    ) -> None:
        self.recipe, self.training, self.writer = recipe, training, writer
        self.train_set, self.test_set = train_set, test_set
        self.metadata = metadata
        self.saved = set(checkpoint_epochs(recipe.epochs, recipe.checkpoints))
        self.scored = self.saved | {
            e for e in range(recipe.epochs) if e <= 10 or e % recipe.scored_every == 0
        }
        self.told = ""

    def go(self, seconds: float, resumed: bool, progress: Progress, cancelled: IsCancelled) -> None:
        started = time.perf_counter() - seconds
        kept = published = time.perf_counter()
        if not resumed:
            self._score(0, 0.0)
            self.writer.publish()
        for epoch in range(self.training.done + 1, self.recipe.epochs + 1):
            if cancelled():
                self._keep(time.perf_counter() - started)
                raise Cancelled
            self.training.epoch()
            if epoch in self.scored:
                self.told = self._score(epoch, time.perf_counter() - started)
            now = time.perf_counter()
            if epoch in self.saved or now - published > PUBLISH_SECONDS:
                self.writer.publish()
                published = now
            if now - kept > SAVE_SECONDS:
                self._keep(now - started)
                kept = now
            progress(epoch, self.recipe.epochs, self.told)

    def _score(self, epoch: int, seconds: float) -> str:
        train_loss, train_accuracy = self.training.evaluate(*self.train_set)
        test_loss, test_accuracy = self.training.evaluate(*self.test_set)
        self.writer.record(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            seconds=seconds,
        )
        if epoch in self.saved:
            scores = {"train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
            told = {k: f"{v:.4f}" for k, v in scores.items()}
            self.writer.write(self.training.model, epoch, {**self.metadata, **told})
        return f"Training, accuracy {train_accuracy:.3f}, on test data {test_accuracy:.3f}"

    def _keep(self, seconds: float) -> None:
        self.writer.publish()
        path = self.writer.run.folder / STATE
        temporary = path.with_name(f".{path.name}")
        torch.save({"seconds": seconds, "training": self.training.state()}, temporary)
        temporary.replace(path)


def _state_of(
    out: Path, settings: dict[str, Any], seed: int, data: tuple[DataEntry, ...]
) -> dict[str, Any] | None:
    """What is kept of an unfinished training in ``out``; None if the folder holds no run."""
    if not (out / "run.json").exists():
        return None
    run = open_run(out)
    same = run.settings == settings and run.seed == seed and run.data == data
    if run.finished or not same:
        raise UserError(f"{out} already holds a run; give a new folder")
    if not (out / STATE).is_file():
        return None  # it ended before the first state was kept
    try:
        return dict(torch.load(out / STATE, weights_only=True))
    except (RuntimeError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{out / STATE} cannot be read ({error}); remove the folder and train again"
        ) from error


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it reads back from ``run.json``; options that it does not use are left out."""
    settings = dict(json.loads(json.dumps(asdict(recipe))))
    return {k: v for k, v in settings.items() if v or k not in _OPTIONAL}


def _until(run: Run, epoch: int) -> Run:
    """The run as it was after that epoch."""
    rows = [i for i, e in enumerate(run.history["epoch"]) if e <= epoch]
    return replace(
        run,
        history={k: [v[i] for i in rows] for k, v in run.history.items()},
        checkpoints=tuple(c for c in run.checkpoints if c.epoch is not None and c.epoch <= epoch),
    )


def _trained(name: str, out: Path) -> dict[str, Tensor]:
    """The tensors of the trained network of another recipe: beside ``out``, or bundled."""
    for folder in (out.parent / name, BUNDLED_RUNS / name):
        if (folder / "run.json").is_file():
            run = open_run(folder)
            if run.finished:
                return dict(open_checkpoint(run.checkpoint_path(None)).tensors)
    raise UserError(
        f"this recipe starts from the network of {name}: train that one first, into {out.parent}"
    )


def _shifted(recipe: Recipe, training: Training, device: torch.device) -> dict[str, float]:
    """Accuracy of the trained network on each shifted data set, and their mean."""
    found = {}
    for spec in recipe.shifted_data:
        _, accuracy = training.evaluate(*_tensors(open_dataset(spec), device))
        found[f"accuracy {spec.partition('@')[2]}"] = round(accuracy, 6)
    if found:
        found["shifted_accuracy"] = round(sum(found.values()) / len(found), 6)
    return found


def _metadata(training: Training, x: Tensor) -> dict[str, str]:
    mean, std = normalisation(x.shape[1])
    metadata = training.model.metadata()
    if x.shape[1] == 3:
        metadata |= {"mean": ",".join(map(str, mean)), "std": ",".join(map(str, std))}
    return metadata


def _tensors(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    height, width, channels = dataset.image(0).shape
    plain = Preprocessing(height, width, channels, *normalisation(channels))
    images = load_batch(dataset, np.arange(len(dataset)), plain)
    return torch.from_numpy(images).to(device), torch.from_numpy(dataset.labels).to(device)


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

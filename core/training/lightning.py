"""A run folder from Lightning: one callback, no change of the module.

    from core.training.lightning import FeaturescopeCallback

    callback = FeaturescopeCallback("runs/mine", data=["train.zip", "test.zip"])
    trainer = lightning.Trainer(max_epochs=200, callbacks=[callback])

Needs requirements-lightning.txt, which nothing else does. Both packages that Lightning comes as are
served: ``pytorch_lightning`` where that alone was imported before, else ``lightning``.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.errors import UserError
from core.training.recipes import checkpoint_epochs
from core.training.writer import Data, RunWriter

CHECKPOINTS = 18  # at log-spaced epochs, unless they are given
_EPOCHS = 1000  # where the trainer does not say how many there will be

# how people call the scores, and how runs call them
_SPLITS = {"train": "train", "training": "train", "val": "test", "valid": "test"}
_SPLITS |= {"validation": "test", "test": "test"}
_SCORES = {"acc": "accuracy", "accuracy": "accuracy", "loss": "loss"}


def _callback() -> Any:
    loaded = "pytorch_lightning" in sys.modules and "lightning" not in sys.modules
    try:
        return importlib.import_module(
            "pytorch_lightning" if loaded else "lightning.pytorch"
        ).Callback
    except ImportError as error:
        raise UserError(
            "Lightning is not installed; run: pip install -r requirements-lightning.txt"
        ) from error


class FeaturescopeCallback(_callback()):  # type: ignore[misc]
    """Writes checkpoints and the logged scores of every epoch into a run folder.

    - ``epochs``: after how many epochs to save; 0 is the network before training. Log-spaced ones
      unless given; the last epoch always is.
    - ``network``: the attribute of the LightningModule that holds the network alone, such as
      ``"model"``; the whole module without it.
    - further keywords as of ``RunWriter``: title, data, half, seed, settings, …

    Scores are what the module logs for the epoch: ``train_loss``, ``train_acc``, ``val_loss``,
    ``val/accuracy`` and the like become train_loss, train_accuracy, test_loss, test_accuracy;
    other names stay. Only the first process writes.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        epochs: Collection[int] | None = None,
        network: str = "",
        title: str = "",
        data: Data | Sequence[Data] = (),
        **details: Any,
    ) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._epochs = None if epochs is None else frozenset(epochs)
        self._network = network
        self._details = {**details, "title": title, "data": data}
        self._writer: RunWriter | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the run, or go on with it where the trainer does."""
        if not trainer.is_global_zero:
            return
        last = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else _EPOCHS
        if self._epochs is None:
            self._epochs = frozenset(checkpoint_epochs(last, CHECKPOINTS))
        begun = int(trainer.current_epoch)
        self._writer = RunWriter(self._folder, resume=begun > 0, **self._details)
        if begun == 0 and 0 in self._epochs:
            self._writer.save(self._of(pl_module), epoch=0)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """The scores of the epoch, and its checkpoint where it is one to save."""
        if self._writer is None or self._epochs is None:
            return
        epoch = int(trainer.current_epoch) + 1
        self._writer.record(epoch=epoch, **scores(trainer.callback_metrics))
        if epoch in self._epochs or trainer.should_stop or epoch == trainer.max_epochs:
            self._writer.save(self._of(pl_module), epoch=epoch)
        else:
            self._writer.publish()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The run is finished; after an exception this is not called, and it stays open."""
        if self._writer is not None:
            self._writer.finish()

    def _of(self, pl_module: Any) -> nn.Module:
        module = getattr(pl_module, self._network, None) if self._network else pl_module
        if not isinstance(module, nn.Module):
            raise UserError(
                f"the LightningModule has no network called {self._network}; name the attribute "
                "that holds it, or leave network out"
            )
        return module


def scores(metrics: dict[str, Tensor]) -> dict[str, float]:
    """The single numbers among Lightning's metrics, under the names that runs give them."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if value.numel() == 1:
            found.setdefault(_renamed(name), float(value))
    return found


def _renamed(name: str) -> str:
    parts = [p for p in re.split(r"[/_.\- ]+", name.lower()) if p and p != "epoch"]
    if len(parts) == 2 and parts[0] in _SPLITS and parts[1] in _SCORES:
        return f"{_SPLITS[parts[0]]}_{_SCORES[parts[1]]}"
    return name if name != "epoch" else "logged_epoch"

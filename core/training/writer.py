"""Write a run folder while a network trains: checkpoints and ``run.json``.

    run = RunWriter("runs/mine", title="My network", data=["digits-train", "digits-test"])
    …
    run.save(model, epoch=epoch, train_accuracy=accuracy)

The dashboard opens the folder, and follows it while it grows (docs/run_folders.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, write_run


class RunWriter:
    """Adds checkpoints to a run, one ``save`` per checkpoint; ``run.json`` is always complete.

    folder: made if it is not there; a run that it holds already is replaced. data: names or paths
    for ``open_dataset``, the training data first. half: matrices and convolutions but for the
    classifier's are stored in float16. details: further fields of ``core.checkpoints.runs.Run``.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        title: str = "",
        data: Sequence[str | DataEntry] = (),
        half: bool = False,
        **details: Any,
    ) -> None:
        folder = Path(folder)
        entries = [d if isinstance(d, DataEntry) else DataEntry(str(d), str(d)) for d in data]
        given = {"group": "Trained here", "checkpoints": (), "finished": False, **details}
        self.run = Run(
            id=folder.name,
            folder=folder,
            title=title or folder.name,
            data=tuple(entries),
            **given,
        )
        self._half = half

    def save(self, model: nn.Module, *, epoch: int, **scores: float) -> None:
        """Write the weights of ``model`` as the checkpoint of ``epoch``, and the scores of that
        epoch (train_accuracy, test_accuracy, train_loss, test_loss, or your own) into the history.

        A model with a method ``metadata()`` (the app's own networks) describes itself with it.
        """
        describe = getattr(model, "metadata", None)
        self.write(model, epoch, describe() if callable(describe) else {})
        if scores:
            self.record(epoch=epoch, **scores)
        write_run(self.run)

    def write(self, model: nn.Module, epoch: int, metadata: Mapping[str, str]) -> None:
        """Write the weights with ``metadata`` beside them; ``run.json`` follows with the next
        ``publish``."""
        file = f"epoch_{epoch:05d}.safetensors"
        self.run.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.run.folder / f".{file}"
        save_file(self._tensors(model), temporary, {**metadata, "epoch": str(epoch)})
        temporary.chmod(0o644)
        temporary.replace(self.run.folder / file)
        others = [c for c in self.run.checkpoints if c.epoch != epoch]
        self.run = replace(self.run, checkpoints=(*others, RunCheckpoint(file, epoch)))

    def record(self, *, epoch: int, **values: float) -> None:
        """Append one epoch's values (losses, accuracies, seconds) to the history."""
        history = {k: [*v] for k, v in self.run.history.items()}
        for key, value in {"epoch": epoch, **values}.items():
            history.setdefault(key, []).append(round(float(value), 6))
        history["epoch"] = [int(e) for e in history["epoch"]]
        self.run = replace(self.run, history=history)

    def publish(self, **changes: Any) -> None:
        """Write ``run.json``, with some of its fields changed."""
        self.run = replace(self.run, **changes)
        write_run(self.run)

    def finish(self, **results: float) -> None:
        """Say that the training has ended, with results of the finished network."""
        self.publish(finished=True, results={**self.run.results, **results})

    def _tensors(self, model: nn.Module) -> dict[str, Tensor]:
        state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
        linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
        exact = f"{linear[-1]}.weight" if linear else ""
        return {
            k: v.half() if self._half and v.ndim > 1 and k != exact else v
            for k, v in state.items()
            if v.dtype != torch.int64  # batch norm's count of batches
        }

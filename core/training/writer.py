"""Write a run folder while a network trains: checkpoints and ``run.json``."""

from __future__ import annotations

from dataclasses import replace

import torch
from safetensors.torch import save_file
from torch import nn

from core.checkpoints.runs import Run, RunCheckpoint, write_run


class RunWriter:
    """Adds checkpoints to a run, one ``save`` per checkpoint; ``run.json`` is always complete."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def save(self, model: nn.Module, epoch: int, metadata: dict[str, str]) -> None:
        """Write the weights of ``model`` (its metadata beside them) as the checkpoint of epoch."""
        file = f"epoch_{epoch:05d}.safetensors"
        tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
        tensors = {k: v for k, v in tensors.items() if v.dtype != torch.int64}
        self.run.folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, self.run.folder / file, {**metadata, "epoch": str(epoch)})
        others = tuple(c for c in self.run.checkpoints if c.epoch != epoch)
        self.run = replace(self.run, checkpoints=(*others, RunCheckpoint(file, epoch)))
        write_run(self.run)

    def record(self, **values: float) -> None:
        """Append one epoch's values (losses, accuracies, seconds) to the history."""
        history = {k: [*v] for k, v in self.run.history.items()}
        for key, value in values.items():
            history.setdefault(key, []).append(round(float(value), 6))
        self.run = replace(self.run, history=history)

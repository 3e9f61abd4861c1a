"""Small runs with checkpoint files and without analyses, for tests of the loss landscape."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, write_run
from core.models.mlp import MLP
from core.request import AnalysisRequest

EPOCHS = (0, 1, 3, 10)
DATA = (DataEntry("digits-train", "Digits, train"), DataEntry("digits-test", "Digits, test"))


def network(
    seed: int = 0, *, batch_norm: bool = True, width: int = 12, activation: str = "relu"
) -> MLP:
    """An untrained network whose statistics are those of some activations, in evaluation mode."""
    torch.manual_seed(seed)
    module = MLP((1, 8, 8), (width, width), 10, activation, batch_norm)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d):
            nn.init.normal_(m.running_mean, 0, 0.3)
            nn.init.uniform_(m.running_var, 0.2, 0.8)
            nn.init.normal_(m.weight, 1, 0.2)
            nn.init.normal_(m.bias, 0, 0.2)
    return module.eval()


def write(module: MLP, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().clone() for k, v in module.state_dict().items()}
    tensors = {k: v for k, v in tensors.items() if v.is_floating_point()}
    save_file(tensors, file, module.metadata())
    return file


def write_run_of(root: Path, run_id: str, modules: list[MLP], title: str = "") -> Run:
    """A run whose checkpoints are these modules, at EPOCHS (none for a single one)."""
    single = len(modules) == 1
    checkpoints = []
    for epoch, module in zip(EPOCHS, modules, strict=False):
        name = f"epoch_{epoch:05d}.safetensors"
        write(module, root / run_id / name)
        checkpoints.append(RunCheckpoint(name, None if single else epoch))
    run = Run(run_id, root / run_id, title or run_id, "Tests", tuple(checkpoints), DATA)
    write_run(run)
    return run


def request(file: Path, data: str = "digits-test") -> AnalysisRequest:
    return AnalysisRequest(str(file), data)

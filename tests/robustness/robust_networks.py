"""Small networks and images on disk whose robustness is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from core.models.resnet import CifarResNet
from core.models.sdnet import SDNet
from core.models.vit import ViT
from core.request import AnalysisRequest
from core.results import Settings

NAMES = ("red", "green", "<b>blue</b>")
CODE = '''
import torch
from torch import nn
from core.models.csc import CSC2d


class Spot(nn.Module):
    """Whether there is a bright spot: z = max(x - λ, 0), of which anything above 0.02 is one."""

    input_shape = (1, 4, 4)

    def __init__(self):
        super().__init__()
        self.csc = CSC2d(1, 1, 1, lam=0.05, iterations=2, nonnegative=True)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        code = self.csc(x).flatten(1).amax(1) * self.scale
        return torch.stack([torch.full_like(code, 0.02), code], 1)


class Steps(nn.Module):
    """The same on an input in eight steps: its gradient is zero."""

    input_shape = (1, 4, 4)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        code = ((8 * x).round() / 8).flatten(1).amax(1) * self.scale
        return torch.stack([torch.full_like(code, 0.3), code], 1)


class Smooth(nn.Module):
    """The same without the steps."""

    input_shape = (1, 4, 4)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        code = x.flatten(1).amax(1) * self.scale
        return torch.stack([torch.full_like(code, 0.3), code], 1)


class Features(nn.Module):
    input_shape = (1, 4, 4)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale
'''


def coloured(path: Path, seed: int, count: int = 48) -> None:
    """Images (N, 8, 8, 3) whose brightest channel is their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.random((count, 8, 8, 3)) * 0.5
    images[np.arange(count), :, :, labels] += 0.2
    whole = np.rint(255 * images).astype(np.uint8)
    np.savez(path, X=whole, y=labels, class_names=np.array(NAMES))


def spotted(path: Path, seed: int, count: int = 48) -> None:
    """Black images (N, 4, 4), every second one with a spot of 0.5."""
    labels = np.arange(count) % 2
    images = np.zeros((count, 4, 4), dtype=np.float32)
    places = np.random.default_rng(seed).integers(0, 4, (count, 2))
    images[np.arange(count), places[:, 0], places[:, 1]] = 0.5 * labels
    np.savez(path, X=images, y=labels)


def trained(path: Path, network: CifarResNet | SDNet | ViT, data: Path) -> None:
    """The network after a few steps on those images, as a checkpoint that describes itself."""
    with np.load(data) as arrays:
        x = torch.from_numpy(arrays["X"]).permute(0, 3, 1, 2) / 255.0
        labels = torch.from_numpy(arrays["y"])
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    network.train()
    for _ in range(25):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimiser.step()
    save_file(network.eval().state_dict(), path, metadata=network.metadata())


def make(folder: Path) -> Path:
    """Everything, in that folder."""
    coloured(folder / "test.npz", 0)
    coloured(folder / "apart.npz", 1)
    spotted(folder / "spots.npz", 0)
    spotted(folder / "spots-apart.npz", 1)
    torch.manual_seed(0)
    sizes = ((3, 8, 8), (4, 6), 3)
    trained(folder / "plain.safetensors", CifarResNet(*sizes), folder / "apart.npz")
    trained(folder / "sdnet.safetensors", SDNet(*sizes), folder / "apart.npz")
    vit = ViT((3, 8, 8), 4, 8, 2, 2, classes=3, activation="relu", top_k=4)
    trained(folder / "vit.safetensors", vit, folder / "apart.npz")
    (folder / "models").mkdir()
    (folder / "models" / "code.py").write_text(CODE, encoding="utf-8")
    save_file({"csc.weight": torch.ones(1, 1, 1, 1), "scale": torch.ones(1)}, folder / "Spot.st")
    for name in ("Steps", "Smooth", "Features"):
        save_file({"scale": torch.ones(1)}, folder / f"{name}.st")
    return folder


def asked(folder: Path, name: str, data: str = "test.npz") -> AnalysisRequest:
    """One of the networks on one of the data sets."""
    settings = Settings(device="cpu")
    path = str(folder / data)
    if (folder / f"{name}.st").exists():
        code = f"{folder / 'models' / 'code.py'}:{name}"
        return AnalysisRequest(str(folder / f"{name}.st"), path, model=code, settings=settings)
    return AnalysisRequest(str(folder / f"{name}.safetensors"), path, settings=settings)

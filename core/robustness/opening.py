"""The network of a request as a function of pixels, and the images that it is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from core import fitting
from core.data.dataset import Dataset
from core.data.loading import fit
from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.features import devices
from core.features.readings import first_tensor
from core.fitting import with_preprocessing
from core.models.building import Model
from core.models.csc import CSC2d
from core.models.knobs import Knob, knob_of
from core.progress import IsCancelled, never
from core.ranking import choose_variant
from core.request import AnalysisRequest

BATCH_PIXELS = 1 << 18
"""Of all images of a batch: 256 images of 32×32 pixels, 5 of 224×224."""


class PixelNetwork(nn.Module):
    """A network on pixels in [0, 1]: its normalisation is its first step, so that what an attack
    may change is measured in pixels. In evaluation mode, its parameters without gradients."""

    def __init__(self, module: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.module = module
        self.preprocessing = preprocessing
        shape = (1, -1, 1, 1)
        self.register_buffer("mean", torch.tensor(preprocessing.mean).reshape(shape))
        self.register_buffer("std", torch.tensor(preprocessing.std).reshape(shape))
        self.knob: Knob | None = knob_of(module)
        layers = self.knob.layers if self.knob is not None else ()
        self.csc: CSC2d | None = next((la for la in layers if isinstance(la, CSC2d)), None)
        self.layout = torch.contiguous_format  # of images
        self.eval().requires_grad_(False)

    def on(self, device: torch.device) -> PixelNetwork:
        """Itself, moved to the device and laid out in memory as is fastest there."""
        self.layout = devices.memory_format(self.module, device)
        return self.to(device=device, memory_format=self.layout)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) in [0, 1] → logits (N, K)."""
        out = first_tensor(self.module(self.normalised(x)))
        assert out is not None  # ``open_network`` has checked it
        return out

    def normalised(self, x: Tensor) -> Tensor:
        """What the network's first layer is given."""
        return (x - self.mean) / self.std  # type: ignore[operator]

    def in_pixels(self, x: Tensor) -> Tensor:
        """The inverse of ``normalised``."""
        return x * self.std + self.mean  # type: ignore[operator]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.mean.device  # type: ignore[return-value]

    @contextmanager
    def setting(self, value: float | Tensor | None) -> Iterator[None]:
        """Run with that value of the knob (None: as it is), and put that of training back."""
        try:
            if self.knob is not None and value is not None:
                self.knob.set(value)
            yield
        finally:
            if self.knob is not None:
                self.knob.set(self.knob.trained)

    @contextmanager
    def watching(self) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """The input and the code of the first CSC layer, appended at every pass."""
        seen: list[tuple[Tensor, Tensor]] = []
        assert self.csc is not None
        handle = self.csc.register_forward_hook(lambda _, x, z: seen.append((x[0], z)))
        try:
            yield seen
        finally:
            handle.remove()


def open_network(
    request: AnalysisRequest, *, cancelled: IsCancelled = never
) -> tuple[PixelNetwork, Dataset]:
    """The network of a request, on its device, and all images of its data.

    Where the tensors leave open which network it is, the images decide. UserError where no
    registry knows it, or it does not tell the classes of the data apart.
    """
    settings = request.settings
    checkpoint, model, dataset = fitting.open_network(request)
    adjust = partial(with_preprocessing, settings)
    model, _ = choose_variant(model, checkpoint, dataset, settings, adjust, cancelled)
    _check(model, dataset, checkpoint.name)
    network = PixelNetwork(model.module, model.preprocessing)
    return network.on(devices.choose_device(settings.device)), dataset


def _check(model: Model, dataset: Dataset, name: str) -> None:
    """UserError unless the network's outputs can be held against the labels."""
    if not model.classes:
        raise UserError(
            f"{name} ends in features, without a classifier: robustness needs a network that names "
            "a class; open the whole network"
        )
    if model.classes != dataset.classes:
        raise UserError(
            f"{name} tells {model.classes} classes apart, and {dataset.name} has "
            f"{dataset.classes}: choose images of the classes that it was trained on"
        )


def draw(dataset: Dataset, most: int | None, seed: int) -> Dataset:
    """At most so many images, the same share of every class, seeded. UserError if there is none."""
    if most is not None:
        dataset = dataset.select(dataset.stratified(most, seed))
    if not len(dataset):
        raise UserError(f"{dataset.name} has no images; choose other data")
    return dataset


def pixels(dataset: Dataset, positions: Sequence[int] | np.ndarray, like: PixelNetwork) -> Tensor:
    """The images at ``positions`` as the network is given them, before its normalisation:
    (B, C, H, W) float32 in [0, 1]."""
    batch = np.stack([fit(dataset.image(int(i)), like.preprocessing) for i in positions])
    scale = 255.0 if batch.dtype == np.uint8 else 1.0
    values = (batch.astype(np.float32) / np.float32(scale)).clip(0.0, 1.0)
    made = torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))  # (B, C, H, W)
    return made.to(like.device).contiguous(memory_format=like.layout)


def batches(count: int, like: PixelNetwork) -> list[np.ndarray]:
    """Positions 0 … count-1 in pieces that fit the memory, however large the images."""
    side = like.preprocessing.height * like.preprocessing.width
    size = min(256, max(1, BATCH_PIXELS // side))
    return np.array_split(np.arange(count), -(-count // size))


def settings_of(knob: Knob | None, values: Sequence[float]) -> np.ndarray:
    """The settings that are tabulated, ascending: ``values`` and that of training; (1,) NaN
    without a knob. UserError for a value that the knob cannot have."""
    if knob is None:
        return np.array([np.nan])
    for value in values:
        whole = float(value).is_integer() and value >= 1
        if not np.isfinite(value) or value < 0 or (knob.name == "top_k" and not whole):
            kind = "whole numbers from 1" if knob.name == "top_k" else "numbers from 0"
            raise UserError(f"the network cannot be set to {value}: give {kind}")
    return np.unique([min(float(v), knob.most) for v in (*values, knob.trained)])


def each_setting(values: np.ndarray) -> list[float | None]:
    """``values`` for ``PixelNetwork.setting``."""
    return [None if np.isnan(v) else float(v) for v in values]

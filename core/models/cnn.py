"""A small convolutional network, which describes itself in its checkpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from core.models import describe


class CNN(nn.Sequential):
    """(3×3 convolution → [batch norm] → ReLU → 2×2 max pooling) per width → average → classifier.

    input_shape (C, H, W). Pooling stops where the image would become smaller than 2×2. Children
    are named ``conv1``, ``norm1``, ``act1``, ``pool1``, …, ``avgpool``, ``flatten``,
    ``classifier``.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int],
        classes: int,
        batch_norm: bool = True,
    ) -> None:
        channels, side = input_shape[0], min(input_shape[1:])
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, width in enumerate(widths, start=1):
            layers[f"conv{number}"] = nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm)
            if batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm2d(width)
            layers[f"act{number}"] = nn.ReLU()
            if side >= 4:
                layers[f"pool{number}"] = nn.MaxPool2d(2)
                side //= 2
            channels = width
        layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["classifier"] = nn.Linear(channels, classes)
        super().__init__(layers)
        self.input_shape = tuple(input_shape)
        self.widths = tuple(widths)
        self.classes = classes
        self.batch_norm = batch_norm

    def metadata(self) -> dict[str, str]:
        """What a checkpoint must store (as safetensors metadata) so that ``build`` restores it."""
        return {
            "architecture": "cnn",
            "input_shape": describe.write(self.input_shape),
            "widths": describe.write(self.widths),
            "classes": str(self.classes),
            "batch_norm": str(self.batch_norm).lower(),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> CNN:
        """The network (freshly initialised) that ``metadata`` describes; UserError if it cannot."""
        return cls(
            describe.image_shape(metadata),
            describe.integers(metadata, "widths"),
            describe.integer(metadata, "classes"),
            describe.word(metadata, "batch_norm", "true") == "true",
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, C, H, W) → logits (N, classes)."""
        return super().forward(x)

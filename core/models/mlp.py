"""A multilayer perceptron of any depth and width, which describes itself in its checkpoint."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from core.errors import UserError
from core.models import describe

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
}


class MLP(nn.Sequential):
    """flatten → (linear → [batch norm] → activation) per width → classifier.

    input_shape (C, H, W); the input is (N, C, H, W), the output (N, classes). Children are named
    ``flatten``, ``linear1``, ``norm1``, ``act1``, …, ``classifier``, and called in that order.
    Raises UserError for an activation that is not in ``ACTIVATIONS``.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int],
        classes: int,
        activation: str = "relu",
        batch_norm: bool = False,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise UserError(
                f"activation {activation!r} is not known: use one of {', '.join(ACTIVATIONS)}"
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        size = math.prod(input_shape)
        for number, width in enumerate(widths, start=1):
            layers[f"linear{number}"] = nn.Linear(size, width)
            if batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm1d(width)
            layers[f"act{number}"] = ACTIVATIONS[activation]()
            size = width
        layers["classifier"] = nn.Linear(size, classes)
        super().__init__(layers)
        self.input_shape = tuple(input_shape)
        self.widths = tuple(widths)
        self.classes = classes
        self.activation = activation
        self.batch_norm = batch_norm

    def metadata(self) -> dict[str, str]:
        """What a checkpoint must store (as safetensors metadata) so that ``build`` restores it."""
        return {
            "architecture": "mlp",
            "input_shape": describe.write(self.input_shape),
            "widths": describe.write(self.widths),
            "classes": str(self.classes),
            "activation": self.activation,
            "batch_norm": str(self.batch_norm).lower(),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> MLP:
        """The network (freshly initialised) that ``metadata`` describes; UserError if it cannot."""
        return cls(
            describe.integers(metadata, "input_shape"),
            describe.integers(metadata, "widths", empty=True),
            describe.integer(metadata, "classes"),
            describe.word(metadata, "activation", "relu"),
            describe.word(metadata, "batch_norm", "false") == "true",
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, C, H, W) or (N, d) → logits (N, classes)."""
        return super().forward(x)

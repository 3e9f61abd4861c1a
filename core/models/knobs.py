"""What can be changed in a trained network without training it again: λ of its sparse coding
layers, k of its top-k activations."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from core.models.csc import CSC2d
from core.models.top_k import TopK
from core.models.vit import Block


@dataclass(frozen=True, slots=True)
class Knob:
    """One number that all layers of a kind in a network share."""

    name: str  # "lam" or "top_k"
    layers: tuple[CSC2d | TopK, ...]
    trained: float  # its value in training
    most: float  # beyond which nothing changes (k: the layer's units); inf for λ

    def set(self, value: float | Tensor) -> None:
        """Give every layer that value; for λ also a tensor (N,), one for every sample."""
        for layer in self.layers:
            if isinstance(layer, CSC2d):
                layer.lam = value
            else:
                layer.k = int(value)


def knob_of(module: nn.Module) -> Knob | None:
    """The knob of a network as it was built; None where it has none."""
    csc = tuple(m for m in module.modules() if isinstance(m, CSC2d))
    if csc:
        lam = csc[0].lam
        return Knob("lam", csc, float(lam), float("inf"))
    blocks = [m for m in module.modules() if isinstance(m, Block) and m.top_k is not None]
    if blocks:
        kept = tuple(m.top_k for m in blocks if m.top_k is not None)
        return Knob("top_k", kept, float(kept[0].k), float(blocks[0].fc2.in_features))
    return None

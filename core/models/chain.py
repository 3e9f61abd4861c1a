"""A plain chain of linear layers, whatever their names: opened as a multilayer perceptron."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from core.errors import UserError
from core.models.mlp import ACTIVATIONS
from core.models.signature import named_shapes

Group = dict[str, str]
"""One layer: its tensors' last names → their whole names."""

_LINEAR = ({"weight"}, {"weight", "bias"})
_NORM = (
    {"running_mean", "running_var"},
    {"weight", "bias", "running_mean", "running_var"},
)


@dataclass(frozen=True, slots=True)
class Chain:
    """Linear layers in order, each with the batch norm that follows it, or None."""

    linears: tuple[Group, ...]
    norms: tuple[Group | None, ...]
    widths: tuple[int, ...]  # input, hidden …, classes

    @property
    def batch_norm(self) -> bool:
        return any(self.norms)


def find_chain(tensors: Mapping[str, Tensor]) -> Chain | None:
    """The chain that these tensors are, or None.

    Files that lost the order (safetensors sorts names) are tried in the order a person would
    count in as well: ``fc2`` before ``fc10``.
    """
    groups = _groups(tensors)
    for names in (list(groups), sorted(groups, key=_natural)):
        if chain := _chain([groups[name] for name in names], tensors):
            return chain
    return None


def _groups(tensors: Mapping[str, Tensor]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for name in named_shapes(tensors):
        prefix, _, last = name.rpartition(".")
        groups.setdefault(prefix, {})[last] = name
    return groups


def _natural(name: str) -> list[tuple[str, int, str]]:
    parts = re.findall(r"(\D*)0*(\d*)", name)
    return [(text, len(number), number) for text, number in parts]


def _chain(groups: list[Group], tensors: Mapping[str, Tensor]) -> Chain | None:
    linears: list[Group] = []
    norms: list[Group | None] = []
    widths: list[int] = []
    for group in groups:
        kinds, shapes = set(group), {last: tuple(tensors[n].shape) for last, n in group.items()}
        if kinds in _LINEAR and len(shapes["weight"]) == 2:
            out, size = shapes["weight"]
            if (widths and widths[-1] != size) or shapes.get("bias", (out,)) != (out,):
                return None
            widths += [out] if widths else [size, out]
            linears.append(group)
            norms.append(None)
        elif kinds in _NORM and widths and not norms[-1]:
            if set(shapes.values()) != {(widths[-1],)}:
                return None
            norms[-1] = group
        else:
            return None
    if not linears or norms[-1]:
        return None
    return Chain(tuple(linears), tuple(norms), tuple(widths))


def build_chain(chain: Chain, tensors: Mapping[str, Tensor], activation: str) -> nn.Sequential:
    """The network with its weights; children are named as those of ``core.models.MLP``."""
    if activation not in ACTIVATIONS:
        raise UserError(
            f"activation {activation!r} is not known: use one of {', '.join(ACTIVATIONS)}"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    last = len(chain.linears) - 1
    for i, (linear, norm) in enumerate(zip(chain.linears, chain.norms, strict=True)):
        size, out = chain.widths[i], chain.widths[i + 1]
        name = "classifier" if i == last else f"linear{i + 1}"
        layers[name] = nn.Linear(size, out, bias="bias" in linear)
        layers[name].load_state_dict({key: tensors[whole] for key, whole in linear.items()})
        if norm:
            layers[f"norm{i + 1}"] = _batch_norm(out, norm, tensors)
        if i < last:
            layers[f"act{i + 1}"] = ACTIVATIONS[activation]()
    return nn.Sequential(layers)


def _batch_norm(width: int, norm: Group, tensors: Mapping[str, Tensor]) -> nn.BatchNorm1d:
    module = nn.BatchNorm1d(width, affine="weight" in norm)
    module.load_state_dict({key: tensors[whole] for key, whole in norm.items()}, strict=False)
    return module


def guess_input_shape(size: int) -> tuple[int, int, int]:
    """(C, H, W) of an image of ``size`` numbers: grey and square, RGB and square, or a vector."""
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if channels * side * side == size:
            return (channels, side, side)
    return (1, 1, size)

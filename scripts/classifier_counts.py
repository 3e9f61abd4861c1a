"""Make the table of what classifiers cost: core/economy/counts.json.

    python -m scripts.classifier_counts

Every network of torchvision that classifies, the CIFAR ResNets and ShuffleNet v1 are built on the
meta device, whole and with narrowed last blocks, and their parameters are counted. Takes seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

import torch
from torch import nn
from torchvision import models

from core.economy.counts import PATH, Network
from core.economy.narrowing import (
    NOT_FIXED,
    CannotNarrow,
    create,
    find_classifier,
    narrow,
    parameters,
)
from core.models import registry

CLASSES = (7919, 7907)  # primes that are no layer's width
WIDTHS = (11, 17, 1009)


def names() -> Iterator[tuple[str, str]]:
    """(name, source) of all networks of the table, without those that have the same tensors."""
    for name in (*models.list_models(module=models), *registry.TORCHVISION_VARIANTS):
        yield name, "torchvision"
    for name in registry.OWN:
        if not name.endswith(("_pool", "_stride2")):
            yield name, "own"
    yield "shufflenet_v1_g3", "lecture"


def count(name: str, source: str) -> Network:
    """One row of the table, from networks that are built."""
    module, other = (create(name, source, k) for k in CLASSES)
    total = parameters(module)
    per_class = (total - parameters(other)) // (CLASSES[0] - CLASSES[1])
    _, layer = find_classifier(module, CLASSES[0])
    convolution = isinstance(layer, nn.Conv2d)
    dim = layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features
    bias = layer.bias is not None
    narrowed = {}
    try:
        base, slope, rule = _narrowed(name, source, per_class - dim - bias, bias)
        narrowed = {"narrow_base": base, "narrow_slope": slope, "rule": rule}
    except CannotNarrow as reason:
        narrowed = {"not_narrowed": str(reason)}
    small = source == "own"
    return Network(
        name=name,
        title="",
        group="CIFAR" if small else source,
        classes=10 if small else 1000,
        dim=dim,
        bias=bias,
        body=total - per_class * CLASSES[0],
        auxiliary=per_class - dim - bias,
        not_fixed=NOT_FIXED[type(module)] if convolution else "",
        **narrowed,
    )


def _narrowed(name: str, source: str, auxiliary: int, bias: bool) -> tuple[int, int, str]:
    """Body = base + slope · width, from three widths; ValueError if they lie on no line."""
    bodies, rule = [], ""
    for width in WIDTHS:
        module = create(name, source, CLASSES[0])
        with torch.device("meta"):
            rule = narrow(module, CLASSES[0], width)
        bodies.append(parameters(module) - CLASSES[0] * (width + bias + auxiliary))
    slope = (bodies[1] - bodies[0]) // (WIDTHS[1] - WIDTHS[0])
    base = bodies[0] - slope * WIDTHS[0]
    if bodies[2] != base + slope * WIDTHS[2]:
        raise ValueError(f"{name}: the narrowed body is no line: {bodies}")
    return base, slope, rule


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name, source in names():
        row = asdict(count(name, source))
        del row["title"]
        rows.append({k: v for k, v in row.items() if v not in (None, "", 0) or k == "bias"})
        sys.stderr.write(f"{name}\n")
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    PATH.write_text(f'{{"networks": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()

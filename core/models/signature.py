"""What identifies an architecture: digests of its tensors' names and shapes, any number of classes.

A digest is a sum of 64-bit hashes modulo 2^64, one per tensor, so tensors can be taken out and
put in again without starting anew. Three of them, from strict to loose:

- ``names``: over (name, shape)
- ``order``: over (position, shape); for the same network under other names
- ``bag``:   over shapes; equal even if the order was lost

In each the classifier's number of outputs is replaced by 0, so that it does not matter.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from core.data.preprocessing import Preprocessing

FILE = Path(__file__).with_name("signatures.json.gz")
IGNORED = ("num_batches_tracked", "relative_position_index", "attn_mask")
"""Last parts of the names of tensors that some versions store and others do not."""

Shape = tuple[int, ...]
Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Signature:
    """One architecture of the registry. ``places`` count from the end of the ordered shapes."""

    name: str
    source: str  # "own", "torchvision" or "timm"
    classifier: tuple[str, ...]  # names of the tensors whose first size is the number of classes
    places: tuple[int, ...]  # their positions, negative
    names: int
    order: int | None  # None: a scalar parameter makes positions unreliable
    bag: int
    buffers: int  # numbers in the tensors that are not parameters
    flexible: bool  # also runs on 32×32 images
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class Table:
    """All signatures, and where to find them by digest."""

    signatures: dict[str, Signature]
    by_names: dict[int, list[Signature]]
    by_order: dict[int, list[Signature]]
    by_bag: dict[int, list[Signature]]
    classifiers: tuple[tuple[str, ...], ...]
    places: tuple[tuple[int, ...], ...]


def term(key: object, shape: Shape) -> int:
    """The 64-bit hash of one tensor."""
    return int.from_bytes(blake2b(f"{key}:{shape}".encode(), digest_size=8).digest(), "big")


def digest(terms: Iterable[int]) -> int:
    """The sum of hashes modulo 2^64."""
    return sum(terms) % (1 << 64)


def modulo_classes(shape: Shape) -> Shape:
    """The shape of a classifier's tensor without the number of classes."""
    return (0, *shape[1:])


def named_shapes(tensors: Mapping[str, object]) -> dict[str, Shape]:
    """Shapes by name, without the tensors that may be missing."""
    return {
        name: tuple(tensor.shape)  # type: ignore[attr-defined]
        for name, tensor in tensors.items()
        if name.rsplit(".", 1)[-1] not in IGNORED
    }


def ordered(shapes: Mapping[str, Shape]) -> list[str]:
    """The names that have a place in the order: scalars have none, since foreign files keep
    their counts of batches under any name."""
    return [name for name, shape in shapes.items() if shape]


def positional(shapes: Mapping[str, Shape]) -> dict[int, Shape]:
    """Shapes by position."""
    return {i: shapes[name] for i, name in enumerate(ordered(shapes))}


@dataclass(frozen=True, slots=True)
class Match:
    """Signatures that fit, with the number of classes and of input channels."""

    signatures: tuple[Signature, ...]
    classes: int
    channels: int


def find(
    items: Mapping[Key, Shape],
    classifiers: Iterable[tuple[Key, ...]],
    table: Mapping[int, list[Signature]],
) -> Match | None:
    """Look the items up under every place where a classifier may be.

    ``items`` are shapes by name, or by position. The first four-dimensional tensor is also tried
    as a stem made for other than 3 channels.
    """
    terms = {key: term(key, shape) for key, shape in items.items()}
    total = digest(terms.values())
    stems = [(total, 3)]
    stem = next((key for key, shape in items.items() if len(shape) == 4), None)
    if stem is not None and items[stem][1] != 3:
        out, channels, *size = items[stem]
        stems.append((total - terms[stem] + term(stem, (out, 3, *size)), channels))
    for keys in classifiers:
        sizes = {items[key][0] if items.get(key) else None for key in keys}
        classes = sizes.pop()
        if sizes or classes is None:
            continue
        change = sum(term(key, modulo_classes(items[key])) - terms[key] for key in keys)
        for start, channels in stems:
            if found := table.get((start + change) % (1 << 64)):
                return Match(tuple(found), classes, channels)
    return None


def find_bag(shapes: Mapping[str, Shape], table: Mapping[int, list[Signature]]) -> Match | None:
    """Look the shapes up whatever their order, with each matrix in turn as the classifier."""
    total = digest(term("", shape) for shape in shapes.values() if shape)
    matrices = {shape for shape in shapes.values() if len(shape) in (2, 4)}
    for shape in sorted(matrices):
        for tail in ((shape[:1],), ()):
            value = (total - sum(term("", part) for part in (shape, *tail))) % (1 << 64)
            if found := table.get(value):
                return Match(tuple(found), shape[0], 3)
    return None


@cache
def table() -> Table:
    """The shipped signatures (``python -m core.models.make_signatures`` makes the file)."""
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        data = json.load(file)
    preprocessings = [
        Preprocessing(height, width, channels, tuple(mean), tuple(std), crop, interpolation)
        for height, width, channels, mean, std, crop, interpolation in data["preprocessings"]
    ]
    signatures = {}
    for name, source, classifier, places, *middle, preprocessing in data["models"]:
        keys = tuple(data["classifiers"][classifier])
        rest = [*middle, preprocessings[preprocessing]]
        signatures[name] = Signature(name, source, keys, tuple(places), *rest)
    return index(signatures)


def index(signatures: dict[str, Signature]) -> Table:
    """The signatures with their three look-up tables."""
    by_names: dict[int, list[Signature]] = defaultdict(list)
    by_order: dict[int, list[Signature]] = defaultdict(list)
    by_bag: dict[int, list[Signature]] = defaultdict(list)
    for signature in signatures.values():
        by_names[signature.names].append(signature)
        by_bag[signature.bag].append(signature)
        if signature.order is not None:
            by_order[signature.order].append(signature)
    classifiers = dict.fromkeys(signature.classifier for signature in signatures.values())
    places = dict.fromkeys(signature.places for signature in signatures.values())
    return Table(
        signatures, dict(by_names), dict(by_order), dict(by_bag), tuple(classifiers), tuple(places)
    )

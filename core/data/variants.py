"""Data sets changed for an experiment: other labels, random pixels, fewer images of some classes.

Written into a data set's name as ``DATA@NAME-NUMBER``, as corruptions are. Each has a seed of its
own that never changes, so that a name means the same images and labels everywhere.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.data.dataset import Dataset
from core.errors import UserError

_SEED = 20210506


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of change and what its number means."""

    title: str  # with the number in the place of {}
    numbers: range


VARIANTS = {
    "random_labels": Variant("{} % of the labels random", range(1, 101)),
    "random_pixels": Variant("random pixels, draw {}", range(1, 1000)),
    "imbalanced": Variant("half of the classes with 1/{} of their images", range(2, 10001)),
    "half": Variant("half {}", range(1, 3)),
}


def split_variant(spec: str) -> tuple[str, tuple[str, int] | None]:
    """The data set's name or path, and the variant that ``DATA@NAME-NUMBER`` asks for, or None
    where the text after the last @ is not one (a corruption, a path). UserError for a number that
    the variant cannot have."""
    data, at, wanted = spec.rpartition("@")
    match = re.fullmatch(r"(.*)-(\d+)", wanted)
    if not at or match is None or match[1] not in VARIANTS or Path(spec).exists():
        return spec, None
    name, number = match[1], int(match[2])
    allowed = VARIANTS[name].numbers
    if number not in allowed:
        raise UserError(
            f"{name} takes a number from {allowed[0]} to {allowed[-1]}, not {number}: write, for "
            f"instance, {data}@{name}-{allowed[0]}"
        )
    return data, (name, number)


def vary(dataset: Dataset, name: str, number: int) -> Dataset:
    """The data set with that change.

    - ``random_labels``-P: P % of the images, drawn at random, exchange their labels among each
      other, so that the classes keep their sizes (after Zhang et al. 2017);
    - ``random_pixels``-S: every image becomes independent uniform noise of the same shape, and
      keeps its label;
    - ``imbalanced``-R: the second half of the classes keep one image in R, at least 2 (the step
      imbalance of Fang et al. 2021);
    - ``half``-1 and ``half``-2: a stratified half and the rest.
    """
    key = f"{dataset.sha256}@{name}-{number}, seed {_SEED}"
    changed = replace(
        dataset,
        name=f"{dataset.name}, {VARIANTS[name].title.format(number)}",
        sha256=hashlib.sha256(key.encode()).hexdigest(),
    )
    rng = np.random.default_rng([_SEED, number])
    if name == "random_labels":
        return replace(changed, labels=_exchanged(dataset.labels, number, rng))
    if name == "random_pixels":
        read = dataset.reader
        return replace(changed, reader=lambda i: _noise(read(i), i, number))
    if name == "imbalanced":
        return changed.select(_imbalanced(dataset, number, rng))
    first = dataset.stratified(len(dataset) // 2, _SEED)
    return changed.select(first if number == 1 else np.setdiff1d(np.arange(len(dataset)), first))


def _exchanged(labels: np.ndarray, percent: int, rng: np.random.Generator) -> np.ndarray:
    chosen = rng.permutation(len(labels))[: round(len(labels) * percent / 100)]
    made = labels.copy()
    made[chosen] = labels[rng.permutation(chosen)]
    return made


def _noise(image: np.ndarray, image_id: int, number: int) -> np.ndarray:
    rng = np.random.default_rng([_SEED, number, image_id])
    if image.dtype == np.uint8:
        return rng.integers(0, 256, image.shape, dtype=np.uint8)
    return rng.random(image.shape, dtype=np.float32).astype(image.dtype)


def _imbalanced(dataset: Dataset, ratio: int, rng: np.random.Generator) -> np.ndarray:
    kept = []
    for k in range(dataset.classes):
        rows = np.flatnonzero(dataset.labels == k)
        if k >= dataset.classes // 2:
            rows = rng.permutation(rows)[: max(2, round(len(rows) / ratio))]
        kept.append(rows)
    return np.sort(np.concatenate(kept))

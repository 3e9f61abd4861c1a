"""A labelled set of images, read lazily."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

ImageReader = Callable[[int], np.ndarray]
"""reader(i): image i as (H, W, C) uint8, or float32 in [0, 1]; C is 1 or 3."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """N labelled images. ``ids[i]`` is the position of image i in the whole data set."""

    name: str
    sha256: str
    labels: np.ndarray  # (N,) int64, 0 … K-1
    class_names: tuple[str, ...]
    reader: ImageReader
    ids: np.ndarray  # (N,)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def image(self, index: int) -> np.ndarray:
        """Image ``index`` of this (sub)set: (H, W, C)."""
        return self.reader(int(self.ids[index]))

    def select(self, indices: np.ndarray) -> Dataset:
        """The subset at these positions, in this order."""
        return replace(self, labels=self.labels[indices], ids=self.ids[indices])

    def stratified(self, count: int, seed: int) -> np.ndarray:
        """Sorted positions of at most ``count`` images, the same share of every class, seeded."""
        return stratified(self.labels, count, seed)


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of at most ``count`` entries, drawn class by class in proportion, at least one
    of every class present where ``count`` allows it. Sorted. labels (N,)."""
    if count >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    # rank of every sample within its class, in random order, relative to the class's size:
    # the `count` smallest ranks are a proportional draw, and every class's first rank is 0
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(labels))
    seen = np.zeros(len(sizes))
    for i in order:
        rank[i] = seen[inverse[i]] / sizes[inverse[i]]
        seen[inverse[i]] += 1
    chosen = order[np.argsort(rank[order], kind="stable")[:count]]
    return np.sort(chosen)

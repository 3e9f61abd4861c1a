"""How many hidden activations of an MLP are not zero: by text, token position, unit and class.

Counts are whole numbers, so that batches of any size and order give the same result. Padding is
left out by the mask everywhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.metrics.sparsity import RELATIVE_THRESHOLD, sparsity
from core.results import Sparsity

MAX_CLASS_UNITS = 1 << 22
"""Classes times units up to which active sets of classes are counted (32 MiB)."""


class Largest:
    """The largest |a| over all tokens: the threshold of activations without exact zeros."""

    def __init__(self) -> None:
        self.value = 0.0
        self.finite = True

    def update(self, rows: np.ndarray, a: Tensor, mask: Tensor) -> None:
        """a (B, T, u); mask (B, T) bool, True for tokens."""
        sizes = a.detach().abs().amax(-1)[mask]  # (tokens,)
        self.finite &= bool(torch.isfinite(sizes).all())
        self.value = max(self.value, float(torch.nan_to_num(sizes).max()))

    @property
    def threshold(self) -> float:
        """What lies at or below counts as zero."""
        return RELATIVE_THRESHOLD * self.value


class NonZeros:
    """Counts of activations a with |a| > threshold (a != 0 where it is 0) of one MLP."""

    def __init__(
        self,
        lengths: np.ndarray,
        labels: np.ndarray,
        classes: int,
        units: int,
        threshold: float,
    ) -> None:
        """lengths (N,) tokens and labels (N,) class of every text."""
        self._lengths, self._labels, self._classes = lengths, labels, classes
        self.threshold = threshold
        self.units = units
        self.finite = True
        self.by_text = np.zeros(len(lengths), dtype=np.int64)  # (N,) non-zeros
        self.by_position = np.zeros(int(lengths.max()), dtype=np.int64)  # (P,)
        self.by_unit = np.zeros(units, dtype=np.int64)  # (u,) tokens on which a unit is active
        self._by_class: np.ndarray | None = None
        if classes * units <= MAX_CLASS_UNITS:
            self._by_class = np.zeros((classes, units), dtype=np.int64)

    def update(self, rows: np.ndarray, a: Tensor, mask: Tensor) -> None:
        """rows (B,) which texts; a (B, T, u); mask (B, T) bool, True for tokens."""
        self.finite &= bool(torch.isfinite(a[mask]).all())
        active = (a.abs() > self.threshold) & mask[..., None]  # (B, T, u)
        counts = active.sum(-1).cpu().numpy()  # (B, T)
        self.by_text[rows] = counts.sum(1)
        self.by_position[: counts.shape[1]] += counts.sum(0)
        units = active.sum(1).cpu().numpy()  # (B, u)
        self.by_unit += units.sum(0)
        if self._by_class is not None:
            np.add.at(self._by_class, self._labels[rows], units)

    def share(self) -> tuple[float, float, float]:
        """Share over all tokens, and its 95 % interval over texts: that of a ratio of sums
        (Cochran, Sampling Techniques, 1977, section 2.11)."""
        entries = self._lengths * self.units  # (N,)
        share = self.by_text.sum() / entries.sum()
        n = len(entries)
        if n < 2:
            return float(share), float("nan"), float("nan")
        off = self.by_text - share * entries
        half = 1.96 * np.sqrt(np.square(off).sum() / (n * (n - 1))) / entries.mean()
        return float(share), float(max(0.0, share - half)), float(min(1.0, share + half))

    def position_shares(self) -> np.ndarray:
        """(P,) share over the tokens at each position."""
        return self.by_position / (tokens_by_position(self._lengths) * self.units)

    def sparsity(self, *, is_activation: bool, exact_zeros: bool) -> Sparsity:
        """The same as of an image network's activations: samples are texts, every text weighs
        the same; a unit's share is that of the tokens on which it is active, and it belongs to a
        class's active set if it is active on at least half of the class's tokens."""
        tokens = self._lengths.sum()
        sets = None
        if self._by_class is not None:
            per_class = np.bincount(self._labels, self._lengths, self._classes)  # (K,) tokens
            sets = np.packbits(2 * self._by_class >= per_class[:, None], axis=1)
        return sparsity(
            self.by_text / (self._lengths * self.units),
            self.by_unit,
            self._labels,
            self._classes,
            approximate=is_activation and not exact_zeros,
            threshold=self.threshold,
            is_activation=is_activation,
            relu_like=exact_zeros,
            unit_counts=self.by_unit / tokens * len(self._lengths),
            active_sets=sets,
        )


def tokens_by_position(lengths: np.ndarray) -> np.ndarray:
    """(P,) how many texts have a token at each position; lengths (N,)."""
    return np.bincount(lengths)[::-1].cumsum()[::-1][1:]

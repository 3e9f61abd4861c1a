"""Which activations of one layer are zero, counted while its outputs stream by."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from core.metrics.sparsity import RELATIVE_THRESHOLD

BINS_PER_OCTAVE = 8
OCTAVES = 4
_BINS = BINS_PER_OCTAVE * OCTAVES
_SHIFT = 23 - 3  # float32 bits below the exponent and the first three of the mantissa

MAX_CLASS_UNITS = 64 << 20
"""Classes times units of a layer up to which active sets of classes are kept, one bit each: 8 MiB.
Beyond, they are left out; shares, histograms and dead units are always there."""


class ActiveUnits:
    """On how many samples every unit was active, and which units form the active set of a class.

    A unit belongs to the active set of class k if it is active on at least half of the class's
    samples. The counts of a class live until its last sample has been seen and are then reduced
    to one bit a unit, so that samples that come class by class need the counts of one class only;
    in any order the result is the same. Exact.
    """

    def __init__(self, labels: np.ndarray, classes: int, units: int) -> None:
        """labels (N,): the class of every row that will come."""
        self._labels = labels
        self._left = np.bincount(labels, minlength=classes)  # (K,) samples still to come
        self._sizes = self._left.copy()
        self._open: dict[int, np.ndarray] = {}  # class: (units,) int32
        self.counts = np.zeros(units, dtype=np.int32)  # samples with the unit active, at the end
        self.sets: np.ndarray | None = None  # (K, units / 8) bits
        if classes * units <= MAX_CLASS_UNITS:
            self.sets = np.zeros((classes, -(-units // 8)), dtype=np.uint8)

    def update(self, rows: slice, mask: np.ndarray) -> None:
        """mask (B, units) bool: which units the samples ``rows`` activate."""
        if self.sets is None:
            _add_columns(self.counts, mask)
            return
        labels = self._labels[rows]
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        for start, stop in pairwise(edges):
            self._add(int(labels[start]), mask[start:stop])

    def _add(self, k: int, mask: np.ndarray) -> None:
        assert self.sets is not None
        counts = self._open.get(k)
        if counts is None:
            counts = self._open[k] = np.zeros_like(self.counts)
        _add_columns(counts, mask)
        self._left[k] -= len(mask)
        if self._left[k] == 0:
            self.counts += counts
            self.sets[k] = np.packbits(2 * counts >= self._sizes[k])
            del self._open[k]


def _add_columns(counts: np.ndarray, mask: np.ndarray) -> None:
    """Add the column sums of mask (B, units) bool; in bytes, which numpy adds many at a time."""
    numbers = mask.view(np.uint8)
    for i in range(0, len(numbers), 255):
        counts += np.add.reduce(numbers[i : i + 255], axis=0, dtype=np.uint8)


class ZeroCounts:
    """Exact zeros: per sample the share of units that are not 0, per unit on how many samples.

    A unit is one number of a sample's output (for maps, each channel at each position). On a CPU
    numpy counts the bits of a packed mask, ten times faster than ``torch.count_nonzero``.
    """

    approximate = False
    threshold = 0.0

    def __init__(self, labels: np.ndarray, classes: int, units: int) -> None:
        self._units = units
        self.units = ActiveUnits(labels, classes, units)
        self.share = np.zeros(len(labels), dtype=np.float32)  # (N,)

    @property
    def active(self) -> np.ndarray:
        """(units,) bool: not zero on at least one sample."""
        return self.units.counts > 0

    def update(self, rows: slice, x: Tensor) -> None:
        """x (B, units): the outputs of the samples ``rows``."""
        mask = np.not_equal(x.numpy(), 0) if x.device.type == "cpu" else (x != 0).cpu().numpy()
        bits = np.packbits(mask, axis=1)  # (B, units / 8), padded with zeros
        words = bits.view(np.uint64) if bits.shape[1] % 8 == 0 else bits
        self.share[rows] = np.bitwise_count(words).sum(axis=1) / self._units
        self.units.update(rows, mask)

    def finish(self) -> None:
        """Nothing is left to do: 0 is known from the start."""


class SmallCounts:
    """The same for activations without exact zeros: |a| <= 1e-3 max|a| of the layer counts as 0.

    The maximum is known only at the end, so each sample's |a| are kept as a histogram: 8 bins per
    octave over the 4 octaves above the threshold that a first batch suggests. The share at the
    final threshold is interpolated within one bin, 9 % wide in |a|; dead units are exact. Should
    the maximum exceed that of the first batch 16 times, ``threshold`` ends at the last bin and
    tells so.

    Units by share of samples, and active sets, cannot wait: each batch counts against the largest
    |a| seen until then. The first samples are so measured against a lower threshold than the last:
    where the scale of GELU's input triples from the first class to the last, that moves a unit's
    share by 1.3 points on average, and less than 1 % of the units in or out of a class's set.
    """

    approximate = True

    def __init__(self, labels: np.ndarray, classes: int, units: int) -> None:
        self._histogram = np.zeros((len(labels), _BINS + 2), dtype=np.int32)  # below, bins, above
        self._largest = np.zeros(units, dtype=np.float32)  # max |a| of every unit
        self._first: int | None = None  # float32 bits, shifted, of the lowest bin's edge
        self.threshold = 0.0
        self.units = ActiveUnits(labels, classes, units)
        self.share = np.zeros(len(labels), dtype=np.float32)
        self.active = np.zeros(units, dtype=bool)

    def update(self, rows: slice, x: Tensor) -> None:
        size = x.abs().float().contiguous()  # (B, units)
        self._largest = np.maximum(self._largest, size.amax(0).cpu().numpy())
        so_far = RELATIVE_THRESHOLD * float(self._largest.max())
        if self._first is None:
            self._first = _bits(so_far)
        self.units.update(rows, (size > so_far).cpu().numpy())
        bins = (size.view(torch.int32) >> _SHIFT).sub_(self._first - 1).clamp_(0, _BINS + 1)
        offset = torch.arange(len(x), device=x.device, dtype=torch.int32)[:, None] * (_BINS + 2)
        counts = torch.bincount((bins + offset).flatten(), minlength=len(x) * (_BINS + 2))
        self._histogram[rows] = counts.view(len(x), _BINS + 2).cpu().numpy()

    def finish(self) -> None:
        if self._first is None:
            return
        edges = _values(self._first + np.arange(_BINS + 1))  # (bins + 1,)
        self.threshold = float(min(RELATIVE_THRESHOLD * self._largest.max(), edges[-1]))
        above = self._histogram[:, ::-1].cumsum(1)[:, ::-1][:, 1:]  # (N, bins + 1) |a| >= edge
        i = min(int(np.searchsorted(edges, self.threshold, side="right")) - 1, _BINS - 1)
        part = (self.threshold - edges[i]) / max(edges[i + 1] - edges[i], 1e-300)
        counts = above[:, i] * (1 - part) + above[:, i + 1] * part
        self.share = (counts / len(self._largest)).astype(np.float32)
        self.active = self._largest > self.threshold


def _bits(value: float) -> int:
    return int(np.float32(value).view(np.int32)) >> _SHIFT


def _values(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.int32) << _SHIFT).view(np.float32).astype(np.float64)

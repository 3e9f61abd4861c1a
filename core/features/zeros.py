"""Which activations of one layer are zero, counted while its outputs stream by."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.metrics.sparsity import RELATIVE_THRESHOLD

BINS_PER_OCTAVE = 8
OCTAVES = 4
_BINS = BINS_PER_OCTAVE * OCTAVES
_SHIFT = 23 - 3  # float32 bits below the exponent and the first three of the mantissa


class ZeroCounts:
    """Exact zeros: per sample the share of units that are not 0, per unit whether it ever was not.

    A unit is one number of a sample's output (for maps, each channel at each position). On a CPU
    numpy counts the bits of a packed mask, ten times faster than ``torch.count_nonzero``.
    """

    approximate = False
    threshold = 0.0

    def __init__(self, samples: int, units: int) -> None:
        self._units = units
        self._active = np.zeros(-(-units // 8), dtype=np.uint8)  # one bit a unit
        self._all_active = False
        self.share = np.zeros(samples, dtype=np.float32)  # (N,)

    @property
    def active(self) -> np.ndarray:
        """(units,) bool: not zero on at least one sample."""
        return np.unpackbits(self._active, count=self._units).astype(bool)

    def update(self, rows: slice, x: Tensor) -> None:
        """x (B, units): the outputs of the samples ``rows``."""
        mask = np.not_equal(x.numpy(), 0) if x.device.type == "cpu" else (x != 0).cpu().numpy()
        bits = np.packbits(mask, axis=1)  # (B, units / 8), padded with zeros
        words = bits.view(np.uint64) if bits.shape[1] % 8 == 0 else bits
        self.share[rows] = np.bitwise_count(words).sum(axis=1) / self._units
        if not self._all_active:
            self._active |= np.bitwise_or.reduce(bits, axis=0)
            self._all_active = int(np.bitwise_count(self._active).sum()) == self._units

    def finish(self) -> None:
        """Nothing is left to do: 0 is known from the start."""


class SmallCounts:
    """The same for activations without exact zeros: |a| <= 1e-3 max|a| of the layer counts as 0.

    The maximum is known only at the end, so each sample's |a| are kept as a histogram: 8 bins per
    octave over the 4 octaves above the threshold that a first batch suggests. The share at the
    final threshold is interpolated within one bin, 9 % wide in |a|; dead units are exact. Should
    the maximum exceed that of the first batch 16 times, ``threshold`` ends at the last bin and
    tells so.
    """

    approximate = True

    def __init__(self, samples: int, units: int) -> None:
        self._histogram = np.zeros((samples, _BINS + 2), dtype=np.int32)  # below, bins, above
        self._largest = np.zeros(units, dtype=np.float32)  # max |a| of every unit
        self._first: int | None = None  # float32 bits, shifted, of the lowest bin's edge
        self.threshold = 0.0
        self.share = np.zeros(samples, dtype=np.float32)
        self.active = np.zeros(units, dtype=bool)

    def update(self, rows: slice, x: Tensor) -> None:
        size = x.abs().float().contiguous()  # (B, units)
        self._largest = np.maximum(self._largest, size.amax(0).cpu().numpy())
        if self._first is None:
            self._first = _bits(RELATIVE_THRESHOLD * self._largest.max())
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

"""Two profiles of one network beside each other: how much less collapsed, at how many layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.figures.theme import number
from core.results import Estimate
from core.shift.profile import GROUPS, Profile
from core.text import plain

Key = Literal["nc1", "separation", "ncc_accuracy"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity by layer; ``sign`` is +1 where a larger value means less collapse."""

    title: str  # in a figure
    noun: str  # in a sentence
    sign: int


QUANTITIES: dict[Key, Quantity] = {
    "nc1": Quantity("NC1", "NC1", 1),
    "separation": Quantity("separation D", "Separation D", 1),
    "ncc_accuracy": Quantity("nearest-mean accuracy (%)", "Nearest-mean accuracy", -1),
}
MAX_NAMED = 3  # layers named one by one
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity of one data set against a reference, over the layers where both are known."""

    quantity: Key
    layers: tuple[str, ...]
    reference: np.ndarray  # (L,)
    other: np.ndarray  # (L,)
    deviations: np.ndarray | None = None  # (M, L) jackknife deviations of ``effect``

    @property
    def effect(self) -> np.ndarray:
        """(L,) log of other / reference; of an accuracy, other - reference."""
        if self.quantity == "ncc_accuracy":
            return self.other - self.reference
        return np.log(self.other / self.reference)

    @property
    def less_collapsed(self) -> np.ndarray:
        """(L,) True where the other data set is less collapsed than the reference."""
        return QUANTITIES[self.quantity].sign * self.effect > 0

    @property
    def clear(self) -> np.ndarray | None:
        """(L,) True where the effect is larger than its sampling error at 95 %; None: not known."""
        if self.deviations is None:
            return None
        return np.abs(self.effect) > Z * jackknife_error(self.deviations)

    @property
    def median(self) -> Estimate:
        """Of other / reference over the layers; of an accuracy, of other - reference in
        percentage points. With its interval where the sampling error is known."""
        if not self.layers:
            return Estimate(None, reason="no layer is known on both")
        middle = float(np.median(self.effect))
        if self.deviations is None:
            return Estimate(self._shown(middle))
        moved = np.median(self.effect + self.deviations, axis=1) - middle  # (M,)
        half = Z * float(jackknife_error(moved))
        if not np.isfinite(half):
            return Estimate(self._shown(middle))
        return Estimate(self._shown(middle), self._shown(middle - half), self._shown(middle + half))

    def _shown(self, effect: float) -> float:
        return 100 * effect if self.quantity == "ncc_accuracy" else float(np.exp(effect))


def jackknife_error(deviations: np.ndarray) -> np.ndarray:
    """Standard error from deviations of the delete-a-group jackknife, along the first axis."""
    return np.sqrt((GROUPS - 1) / GROUPS * np.square(deviations).sum(axis=0))


def compare(reference: Profile, other: Profile, quantity: Key) -> Comparison:
    """The layers that both have, in the reference's order, where the quantity is defined (and, for
    a quantity that a ratio is taken of, positive)."""
    place = {name: i for i, name in enumerate(other.layers)}
    shared = [(i, place[n]) for i, n in enumerate(reference.layers) if n in place]
    rows = np.array(shared, dtype=np.int64).reshape(-1, 2)
    one, two = getattr(reference, quantity)[rows[:, 0]], getattr(other, quantity)[rows[:, 1]]
    known = np.isfinite(one) & np.isfinite(two)
    if quantity != "ncc_accuracy":
        known &= (one > 0) & (two > 0)
    rows = rows[known]
    return Comparison(
        quantity,
        tuple(reference.layers[i] for i in rows[:, 0]),
        np.asarray(one[known], dtype=np.float64),
        np.asarray(two[known], dtype=np.float64),
        _deviations(reference, other, quantity, rows),
    )


def _deviations(
    reference: Profile, other: Profile, quantity: Key, rows: np.ndarray
) -> np.ndarray | None:
    """Those of the effect: of a data set and its corruption, image by image; of two data sets with
    other images, of both. rows (L, 2)."""
    if reference.deviations is None or other.deviations is None:
        return None
    index = list(QUANTITIES).index(quantity)
    one = reference.deviations[index][:, rows[:, 0]]  # (GROUPS, L)
    two = other.deviations[index][:, rows[:, 1]]
    same_images = other.data.startswith(f"{reference.data}@")
    return two - one if same_images else np.concatenate([two, one])


def verdict(comparison: Comparison) -> str:
    """Whether the shifted data set is less collapsed, as a short sentence."""
    less, clear = comparison.less_collapsed, comparison.clear
    if clear is None or not len(less):
        share = float(less.mean()) if len(less) else 0.0
        if share == 1:
            return "Less collapsed at every depth."
        return f"{'Less collapsed' if share > 0.5 else 'Not less collapsed'} at most depths."
    clearly, against = int((less & clear).sum()), int((~less & clear).sum())
    if clearly == len(less):
        return "Less collapsed at every depth."
    if not clearly:
        return "More collapsed." if against else "No difference beyond the sampling error."
    if against:
        return "Less collapsed at some layers, more at others."
    return "Less collapsed, but not surely at every depth."


def in_words(comparison: Comparison, reference: str, other: str) -> str:
    """A few Markdown sentences; ``reference`` and ``other`` name the data sets."""
    noun, sign = QUANTITIES[comparison.quantity].noun, QUANTITIES[comparison.quantity].sign
    reference, other = plain(reference), plain(other)
    if not comparison.layers:
        return f"{noun} is not known on {other} and {reference} at the same layers."
    less, total = comparison.less_collapsed, len(comparison.layers)
    count = f"all {total}" if less.all() else f"{int(less.sum())} of {total}"
    return (
        f"{noun} {_amount(comparison, reference, other)} at the median layer, and is "
        f"{'higher' if sign > 0 else 'lower'} (less collapsed) at {count} "
        f"layers{_exceptions(comparison, less)}.{_certainty(comparison)}"
    )


def _amount(comparison: Comparison, reference: str, other: str) -> str:
    median = comparison.median
    decimals = 1 if comparison.quantity == "ncc_accuracy" else 2
    value, low, high = (number(v, decimals) for v in (median.value, median.low, median.high))
    interval = "" if median.low is None else f" (95 %: {low} to {high})"
    if comparison.quantity == "ncc_accuracy":
        return f"changes by {value} points{interval} from {reference} to {other}"
    return f"is {value} times{interval} as high on {other} as on {reference}"


def _exceptions(comparison: Comparison, less: np.ndarray) -> str:
    """Where it does not hold."""
    others = [name for name, holds in zip(comparison.layers, less, strict=True) if not holds]
    if not others or len(others) == len(less):
        return ""
    if len(others) > MAX_NAMED:
        return f"; not at {len(others)}, from {plain(others[0])} to {plain(others[-1])}"
    return f"; not at {', '.join(map(plain, others))}"


def _certainty(comparison: Comparison) -> str:
    """At how many layers it is more than the chance of which images were drawn."""
    clear = comparison.clear
    if clear is None:
        return ""
    less = comparison.less_collapsed
    clearly, against = int((less & clear).sum()), int((~less & clear).sum())
    return (
        f" Beyond the sampling error it is less collapsed at {clearly or 'none'} of them and more "
        f"at {against or 'none'}."
    )

"""Two profiles of one network beside each other: how much less collapsed, at how many layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.figures.theme import number
from core.shift.profile import Profile
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity of one data set against a reference, over the layers where both are known."""

    quantity: Key
    layers: tuple[str, ...]
    reference: np.ndarray  # (L,)
    other: np.ndarray  # (L,)

    @property
    def less_collapsed(self) -> np.ndarray:
        """(L,) True where the other data set is less collapsed than the reference."""
        return QUANTITIES[self.quantity].sign * (self.other - self.reference) > 0

    @property
    def median(self) -> float | None:
        """Over the layers, the median of other / reference; of an accuracy, of other - reference
        in percentage points. None without a layer."""
        if not self.layers:
            return None
        if self.quantity == "ncc_accuracy":
            return float(100 * np.median(self.other - self.reference))
        return float(np.median(self.other / self.reference))


def compare(reference: Profile, other: Profile, quantity: Key) -> Comparison:
    """The layers that both have, in the reference's order, where the quantity is defined (and, for
    a quantity that a ratio is taken of, positive)."""
    there = dict(zip(other.layers, getattr(other, quantity), strict=True))
    pairs = [
        (name, float(value), float(there[name]))
        for name, value in zip(reference.layers, getattr(reference, quantity), strict=True)
        if name in there
    ]
    known = [
        p
        for p in pairs
        if np.isfinite(p[1:]).all() and (quantity == "ncc_accuracy" or min(p[1:]) > 0)
    ]
    columns = np.array([p[1:] for p in known], dtype=np.float64).reshape(-1, 2)  # (L, 2)
    return Comparison(quantity, tuple(p[0] for p in known), columns[:, 0], columns[:, 1])


def verdict(comparison: Comparison) -> str:
    """Whether the shifted data set is less collapsed, as a short sentence."""
    share = float(comparison.less_collapsed.mean()) if comparison.layers else 0.0
    if share == 1:
        return "Less collapsed at every depth."
    return f"{'Less collapsed' if share > 0.5 else 'Not less collapsed'} at most depths."


def in_words(comparison: Comparison, reference: str, other: str) -> str:
    """One Markdown sentence; ``reference`` and ``other`` name the data sets."""
    noun, sign = QUANTITIES[comparison.quantity].noun, QUANTITIES[comparison.quantity].sign
    median, total = comparison.median, len(comparison.layers)
    reference, other = plain(reference), plain(other)
    if median is None:
        return f"{noun} is not known on {other} and {reference} at the same layers."
    if comparison.quantity == "ncc_accuracy":
        direction = "lower" if median <= 0 else "higher"
        amount = f"{number(abs(median), 1)} points {direction} on {other} than on {reference}"
    else:
        amount = f"{number(median, 2)} times as high on {other} as on {reference}"
    less = comparison.less_collapsed
    return (
        f"{noun} is {amount} at the median layer, and {'higher' if sign > 0 else 'lower'} "
        f"(less collapsed) at {'all' if less.all() else f'{int(less.sum())} of'} {total} "
        f"layers{_exceptions(comparison, less)}."
    )


def _exceptions(comparison: Comparison, less: np.ndarray) -> str:
    """Where it does not hold."""
    others = [name for name, holds in zip(comparison.layers, less, strict=True) if not holds]
    if not others or len(others) == len(less):
        return ""
    if len(others) > MAX_NAMED:
        return f"; not at {len(others)}, from {plain(others[0])} to {plain(others[-1])}"
    return f"; not at {', '.join(map(plain, others))}"

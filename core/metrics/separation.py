"""How far a layer pulls the classes apart, and the law it follows over the layers.

He and Su, "A law of data separation in deep learning" (PNAS 2023, arXiv 2210.17020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.collapse import between_within_trace
from core.metrics.moments import ClassMoments
from core.metrics.sparsity import EXACT_ZERO_ACTIVATIONS, SMOOTH_ACTIVATIONS
from core.results import LayerAnalysis, SeparationLaw

STANDS_OUT = 2.5  # robust standard deviations off the line
LEAST_OFF = 0.1  # and off it by this much of log D, about 10 %
FEWEST_LAYERS = 6  # from which a layer can stand out
SECOND_PHASE = 0.1  # rise after the minimum, relative to it, that counts as a phase
_ACTIVATIONS = EXACT_ZERO_ACTIVATIONS | SMOOTH_ACTIVATIONS
_NO_BLOCKS = ("Input", "Output", "Pool", "Norm", "Flatten", "Identity", "Dropout")


def separation(moments: ClassMoments) -> float | None:
    """D = tr(SSW SSB^+), every sample weighing the same: the smaller, the better separated.

    With balanced classes D = K · nc1. None where the class means coincide or there are fewer than
    two classes with samples.
    """
    if len(moments.basis) == 0:
        return None
    present = moments.present
    share = moments.counts[present] / moments.counts.sum()  # (K',)
    means = moments.mean_coordinates[present]  # (K', r)
    centred = np.sqrt(share)[:, None] * (means - share @ means)
    value = between_within_trace(centred, moments.within_sample)
    return value if np.isfinite(value) else None


def separation_law(names: Sequence[str], values: Sequence[float | None]) -> SeparationLaw:
    """Least-squares fit of log D_l = log D_0 + l log rho over the layers l = 0, 1, …

    names and values in the order of the layers. Layers without a positive D are skipped (they keep
    their place) and named in ``reason``. ``minimum_layer`` is the layer of the smallest D where a
    later layer lies above it, None if D falls to the end; ``breaks`` is that of ``breaking``.
    """
    usable = [(i, float(d)) for i, d in enumerate(values) if d is not None and d > 0]
    skipped = [name for i, name in enumerate(names) if i not in dict(usable)]
    reason = f"no positive separation at {', '.join(skipped)}: left out" if skipped else None
    if len(usable) < 2:
        reason = f"needs the separation of 2 or more layers, got {len(usable)}"
        return SeparationLaw(rho=None, r2=None, intercept=None, minimum_layer=None, reason=reason)
    layer, log_d = np.array([(i, np.log(d)) for i, d in usable]).T
    slope, intercept = np.polyfit(layer, log_d, 1)
    residuals = np.full(len(values), np.nan)
    residuals[layer.astype(int)] = log_d - slope * layer - intercept
    total = np.square(log_d - log_d.mean()).sum()
    r2 = float(1 - np.nansum(np.square(residuals)) / total) if total > 0 else None
    lowest = int(log_d.argmin())
    off = breaking(residuals)
    return SeparationLaw(
        rho=float(np.exp(slope)),
        r2=r2,
        intercept=float(intercept),
        minimum_layer=names[usable[lowest][0]] if lowest < len(usable) - 1 else None,
        reason=reason,
        correlation=float(np.corrcoef(layer, log_d)[0, 1]) if total > 0 else None,
        residuals=residuals,
        breaks=None if off is None else names[off],
    )


def breaking(residuals: np.ndarray) -> int | None:
    """The layer that breaks the law: the largest residual (L,) of log D, if it stands out.

    It does where it is larger than 2.5 robust standard deviations (1.4826 times the median absolute
    deviation) and than 0.1, with six or more layers. NaN are left out.
    """
    known = residuals[np.isfinite(residuals)]
    if len(known) < FEWEST_LAYERS:
        return None
    limit = max(STANDS_OUT * robust_deviation(known), LEAST_OFF)
    largest = int(np.nanargmax(np.abs(residuals)))
    return largest if abs(residuals[largest]) > limit else None


def robust_deviation(values: np.ndarray) -> float:
    """1.4826 times the median absolute deviation: the standard deviation, were they normal."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def one_per_block(layers: Sequence[LayerAnalysis]) -> tuple[LayerAnalysis, ...]:
    """The layers that the law is about: one point a block, without input, pooling and output.

    Where a network has no blocks, the outputs of its activation functions stand for them. Of a
    text transformer it is the first stack: a decoder starts anew from its own embedding.
    """
    starts = [i for i, a in enumerate(layers) if a.kind == "Embedding"]
    layers = layers[: starts[1]] if len(starts) > 1 else layers
    hidden = [a for a in layers if not any(part in a.kind for part in _NO_BLOCKS)]
    blocks = [a for a in hidden if a.kind not in _ACTIVATIONS]
    return tuple(blocks or hidden)


@dataclass(frozen=True, slots=True)
class Phases:
    """A quantity over the layers that falls and may rise again. Positions of layers."""

    start: int  # of the highest value before the minimum
    minimum: int
    end: int  # of the highest value after the minimum; the minimum itself if none follows
    fall: float  # value at the start over the minimum
    rise: float  # value at the end over the minimum, minus 1

    @property
    def rises(self) -> bool:
        """True where the rise is more than a tenth of the minimum."""
        return self.rise > SECOND_PHASE


def phases(values: Sequence[float | None]) -> Phases | None:
    """The falling and the rising phase of positive values by layer; None where it never falls."""
    known = np.array([np.nan if v is None or v <= 0 else v for v in values], dtype=np.float64)
    if not np.isfinite(known).any():
        return None
    minimum = int(np.nanargmin(known))
    if not np.isfinite(known[:minimum]).any():
        return None
    start = int(np.nanargmax(known[:minimum]))
    end = minimum + int(np.nanargmax(known[minimum:]))
    return Phases(
        start,
        minimum,
        end,
        fall=float(known[start] / known[minimum]),
        rise=float(known[end] / known[minimum] - 1),
    )

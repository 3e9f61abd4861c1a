"""How far a layer pulls the classes apart, and the law it follows over the layers.

He and Su, "A law of data separation in deep learning" (PNAS 2023, arXiv 2210.17020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.metrics.collapse import between_within_trace
from core.metrics.moments import ClassMoments
from core.results import SeparationLaw


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
    later layer lies above it, None if D falls to the end.
    """
    usable = [(i, float(d)) for i, d in enumerate(values) if d is not None and d > 0]
    skipped = [name for i, name in enumerate(names) if i not in dict(usable)]
    reason = f"no positive separation at {', '.join(skipped)}: left out" if skipped else None
    if len(usable) < 2:
        reason = f"needs the separation of 2 or more layers, got {len(usable)}"
        return SeparationLaw(rho=None, r2=None, intercept=None, minimum_layer=None, reason=reason)
    layer, log_d = np.array([(i, np.log(d)) for i, d in usable]).T
    slope, intercept = np.polyfit(layer, log_d, 1)
    residual = np.square(log_d - slope * layer - intercept).sum()
    total = np.square(log_d - log_d.mean()).sum()
    lowest = int(log_d.argmin())
    return SeparationLaw(
        rho=float(np.exp(slope)),
        r2=float(1 - residual / total) if total > 0 else None,
        intercept=float(intercept),
        minimum_layer=names[usable[lowest][0]] if lowest < len(usable) - 1 else None,
        reason=reason,
    )

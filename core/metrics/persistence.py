"""Reading persistence diagrams: significant bars, Betti curves, the scale of the Betti numbers.

Needs numpy alone, so that a page can move the scale without importing anything heavy. Scales are
edge lengths of the Vietoris-Rips complex, in the units of the features.
"""

from __future__ import annotations

import numpy as np

from core.results import Topology


def betti_curve(diagram: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Number of bars [birth, death) of one diagram (bars, 2) alive at each scale, int (m,)."""
    births, deaths = np.sort(diagram[:, 0]), np.sort(diagram[:, 1])
    return np.searchsorted(births, scales, "right") - np.searchsorted(deaths, scales, "right")


def net(distance: float, spacing: float) -> float:
    """What is left of a distance without the spacing of the points, in quadrature.

    Noise in many directions puts points nu apart whose true distance is s at sqrt(s^2 + nu^2).
    """
    return float(np.sqrt(max(distance**2 - spacing**2, 0.0)))


def threshold(topology: Topology, dimension: int) -> float:
    """Length above which a bar of this dimension is significant; 0 by the fixed rule.

    Holes: 2 c. Noise makes longer bars of components and shorter ones of voids: 3 c, beside the
    spacing that separates all points, and c.
    """
    if topology.confidence is None:
        return 0.0
    if dimension == 0:
        return float(np.hypot(topology.spacing, 3 * topology.confidence))
    return 2 * topology.confidence / dimension


def significant(topology: Topology) -> tuple[np.ndarray, ...]:
    """The bars that ``betti`` counts, per dimension (bars, 2): all of them by the fixed rule."""
    return tuple(
        diagram[diagram[:, 1] - diagram[:, 0] > threshold(topology, dimension)]
        for dimension, diagram in enumerate(topology.diagrams)
    )


def betti_at(topology: Topology, scale: float) -> tuple[int, ...]:
    """The Betti numbers by the topology's rule, were ``scale`` its scale."""
    return tuple(int(betti_curve(bars, np.array([scale]))[0]) for bars in significant(topology))


def best_scale(topology: Topology) -> float:
    """The scale at which most significant bars are alive together.

    Among equals, the middle of the longest interval. It is never so small that components which
    are not significantly apart still are.
    """
    bars = significant(topology)
    finite = np.concatenate([diagram[np.isfinite(diagram[:, 1])] for diagram in bars])
    merged = np.setdiff1d(topology.diagrams[0][:, 1], bars[0][:, 1])
    lowest = float(merged.max(initial=0.0))
    finite = finite[finite[:, 1] > lowest]
    if not len(finite):
        return max(lowest, threshold(topology, 0))
    births, deaths = np.maximum(finite[:, 0], lowest), finite[:, 1]
    ends = np.unique(np.concatenate([births, deaths]))
    middles, lengths = (ends[:-1] + ends[1:]) / 2, np.diff(ends)
    alive = ((births[:, None] <= middles) & (middles < deaths[:, None])).sum(0)
    return float(middles[np.lexsort((lengths, alive))[-1]])


def scale_grid(topology: Topology, steps: int = 80) -> list[float]:
    """Scales from 0 to beyond the last death, the topology's own among them, three digits each."""
    deaths = np.concatenate([d[:, 1] for d in topology.diagrams if len(d)] or [np.zeros(0)])
    last = max([topology.scale or 0.0, *deaths[np.isfinite(deaths)].tolist()])
    grid = {rounded_scale(value) for value in np.linspace(0.0, 1.1 * last or 1.0, steps + 1)}
    return sorted(grid | ({rounded_scale(topology.scale)} if topology.scale is not None else set()))


def rounded_scale(scale: float) -> float:
    """A scale with three significant digits, as pages and links write it."""
    return float(f"{scale:.3g}")

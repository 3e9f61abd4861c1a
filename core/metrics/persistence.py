"""Reading persistence diagrams: significant bars, Betti curves, the scale of the Betti numbers.

Needs numpy alone, so that a page can move the scale without importing anything heavy. Scales are
edge lengths of the Vietoris-Rips complex, in the units of the features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.results import Topology


def betti_curve(diagram: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Number of bars [birth, death) of one diagram (bars, 2) alive at each scale, int (m,)."""
    births, deaths = np.sort(diagram[:, 0]), np.sort(diagram[:, 1])
    return np.searchsorted(births, scales, "right") - np.searchsorted(deaths, scales, "right")


def threshold(confidence: float, cover_radius: float, dimension: int) -> float:
    """Length above which a bar of this dimension is significant.

    ``2 c`` (Fasy et al., Annals of Statistics 2014), but no less than what the distance between
    landmarks alone produces: components up to twice the cover radius apart, and holes of 1.4
    times the cover radius. Noise in dimension 2 is half as long. The factors were set on shapes
    of known homology, benchmarks/bench_topology.py checks them on others.
    """
    if dimension == 0:
        return 2 * max(confidence, cover_radius)
    holes = max(2 * confidence, 1.4 * cover_radius)
    return holes if dimension == 1 else holes / 2


def significant(topology: Topology) -> tuple[np.ndarray, ...]:
    """The bars that ``betti`` counts, per dimension (bars, 2): all of them by the fixed rule."""
    if topology.confidence is None:
        return topology.diagrams
    return long_bars(topology.diagrams, topology.confidence, topology.cover_radius)


def long_bars(
    diagrams: Sequence[np.ndarray], confidence: float, cover_radius: float
) -> tuple[np.ndarray, ...]:
    """The bars longer than ``threshold``, per dimension."""
    return tuple(
        diagram[diagram[:, 1] - diagram[:, 0] > threshold(confidence, cover_radius, dimension)]
        for dimension, diagram in enumerate(diagrams)
    )


def betti_at(topology: Topology, scale: float) -> tuple[int, ...]:
    """The Betti numbers by the topology's rule, were ``scale`` its scale."""
    return tuple(int(betti_curve(bars, np.array([scale]))[0]) for bars in significant(topology))


def best_scale(diagrams: Sequence[np.ndarray], bars: Sequence[np.ndarray]) -> float:
    """The scale at which most significant ``bars`` are alive together.

    Among equals, the middle of the longest interval. It is never so small that components which
    are not significant are still apart, and it is just above that where no bar of the
    ``diagrams`` but the first component is significant.
    """
    finite = np.concatenate([b[np.isfinite(b[:, 1])] for b in bars])
    apart = np.setdiff1d(diagrams[0][:, 1], [*bars[0][:, 1], np.inf])
    lowest = float(apart.max()) if len(apart) else 0.0
    births, deaths = np.maximum(finite[:, 0], lowest), finite[:, 1]
    if not (deaths > lowest).any():
        return float(np.nextafter(np.float32(lowest), np.float32(np.inf)))
    ends = np.unique(np.concatenate([[lowest], births, deaths[deaths > lowest]]))
    middles, lengths = (ends[:-1] + ends[1:]) / 2, np.diff(ends)
    alive = (births[:, None] <= middles) & (middles < deaths[:, None])
    return float(middles[np.lexsort((lengths, alive.sum(0)))[-1]])

"""Persistent homology by the fastest engine at hand: ripser, or giotto-ph where it is installed.

Both are exact and give equal diagrams (tests compare them). giotto-ph builds on ripser with
apparent pairs found at once and several threads; it is optional (requirements-fast.txt).
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache

import numpy as np

GIOTTO_FROM = 50
"""Landmarks from which giotto-ph was the faster one: 1.4 to 2.8 times in dimension 1 (100 to 600
landmarks), 3.3 to 5.9 times in dimension 2 (100 to 300)."""


@lru_cache(maxsize=1)
def has_giotto() -> bool:
    """True where giotto-ph can be imported."""
    return importlib.util.find_spec("gph") is not None


def fastest(landmarks: int) -> str:
    """The engine for so many landmarks: "giotto-ph" or "ripser"."""
    return "giotto-ph" if landmarks >= GIOTTO_FROM and has_giotto() else "ripser"


def persistence(distances: np.ndarray, max_dim: int, engine: str) -> tuple[np.ndarray, ...]:
    """Diagrams (bars, 2) of dimensions 0 … max_dim from distances (n, n), which may be infinite."""
    if engine == "giotto-ph":
        from gph import ripser_parallel

        found = ripser_parallel(distances, metric="precomputed", maxdim=max_dim, n_threads=1)
    else:
        from ripser import ripser

        found = ripser(distances, maxdim=max_dim, distance_matrix=True)
    diagrams = (np.asarray(diagram, dtype=np.float64) for diagram in found["dgms"])
    return tuple(diagram.reshape(-1, 2) for diagram in diagrams)

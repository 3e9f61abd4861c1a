"""Topology of a cloud against ripser with its own landmarks, and how often Betti numbers are right.

The constants of the scale rule were set on other shapes and seeds than those counted here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from ripser import ripser

from benchmarks.shapes import SHAPES, sample
from core.metrics.topology import topology
from core.results import TopologyOptions

POINTS, DIMENSION, LANDMARKS = 2000, 256, 400
VOIDS = 150  # landmarks up to which dimension 2 is computed as well


def rate(name: str, landmarks: int, seeds: Iterable[int], points: int = 1000) -> float:
    """Share of seeds with the right Betti numbers on ``points`` noisy points of a shape."""
    betti = SHAPES[name][1]
    dimensions = len(betti) if landmarks <= VOIDS else 2
    right = [
        topology(
            sample(name, points, seed), TopologyOptions(dimensions - 1, landmarks, seed=seed)
        ).betti
        == betti[:dimensions]
        for seed in seeds
    ]
    return float(np.mean(right))


def run(landmarks: Iterable[int] = (150,), seeds: Iterable[int] = range(9000, 9005)) -> dict:
    """Seconds of both, their ratio and cover radii, and the rate of right answers by shape."""
    points = sample("torus", POINTS, 0, ambient=DIMENSION).astype(np.float32)
    start = time.perf_counter()
    ours = topology(points, TopologyOptions(landmarks=LANDMARKS))
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    theirs = ripser(points, maxdim=1, n_perm=LANDMARKS)
    ripser_seconds = time.perf_counter() - start
    seeds = list(seeds)
    return {
        "topology_seconds": seconds,
        "ripser_seconds": ripser_seconds,
        "times_faster": ripser_seconds / seconds,
        "cover_radius": ours.cover_radius,
        "ripser_cover_radius": float(theirs["r_cover"]),
        **{
            f"right_at_{count}_landmarks": {name: rate(name, count, seeds) for name in SHAPES}
            for count in landmarks
        },
    }


if __name__ == "__main__":
    print(run((150, 300, 500), range(9000, 9050)))

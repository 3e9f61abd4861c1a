"""Topology of a cloud against peers, and how often Betti numbers are right.

``python -m benchmarks topology`` times; ``python -m benchmarks.bench_topology rates`` counts right
answers over 50 seeds (half an hour on one core). The constants of the scale rule were set on other
seeds (below 1,000) than those counted here (from 9,000).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

import numpy as np
from ripser import ripser

from benchmarks.shapes import SHAPES, sample
from core.metrics.cycles import ranked_edges
from core.metrics.engines import fastest, persistence
from core.metrics.neighbours import distance_matrix
from core.metrics.topology import topology
from core.results import TopologyOptions

POINTS, DIMENSION, LANDMARKS = 2000, 256, 400
SEEDS = range(9000, 9050)
COUNTS = (150, 300, 500)
VOIDS = 300  # landmarks up to which dimension 2 is computed as well
DENSE = 1500  # points that landmarks are drawn from


def rate(
    name: str, landmarks: int, seeds: Iterable[int], drawn: str = "farthest", noise: float = 0.05
) -> float:
    """Share of seeds with the right Betti numbers of a noisy shape.

    Landmarks are the farthest of DENSE points, or so many ``random`` points alone.
    """
    betti = SHAPES[name][1]
    dimensions = len(betti) if landmarks <= VOIDS else 2
    points = DENSE if drawn == "farthest" else landmarks
    options = TopologyOptions(dimensions - 1, landmarks, cycles=0)
    right = [
        topology(sample(name, points, seed, noise), options).betti == betti[:dimensions]
        for seed in seeds
    ]
    return float(np.mean(right))


def engines(max_dim: int, landmarks: int = 200) -> dict[str, float]:
    """How many times faster the chosen engine is than ripser, by cloud, medians of five."""

    def seconds(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    clouds = {
        "torus": sample("torus", landmarks, 0),
        "sphere": sample("sphere", landmarks, 0),
        "gaussian_64": np.random.default_rng(0).standard_normal((landmarks, 64)),
    }
    ratios = {}
    chosen = fastest(landmarks)
    for name, points in clouds.items():
        ranks = ranked_edges(distance_matrix(points)).ranks
        ratios[f"{chosen}_over_ripser_dim{max_dim}_{name}"] = seconds(
            lambda ranks=ranks: persistence(ranks, max_dim, "ripser")
        ) / seconds(lambda ranks=ranks: persistence(ranks, max_dim, chosen))
    return ratios


def run(seeds: Iterable[int] = SEEDS[:5]) -> dict[str, object]:
    """Seconds of both, their ratio and cover radii, engines, and a few right answers by shape."""
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
        **engines(1),
        **engines(2),
        "right_at_150_landmarks": {name: rate(name, 150, seeds) for name in SHAPES},
    }


def rates() -> None:
    """The table of right answers, row by row as they are counted."""
    header = [f"{count} {drawn}" for drawn in ("farthest", "random") for count in COUNTS]
    print("| shape | " + " | ".join(header) + " |", flush=True)
    print("|---" * (len(header) + 1) + "|", flush=True)
    for name in SHAPES:
        shares = [
            rate(name, count, SEEDS, drawn) for drawn in ("farthest", "random") for count in COUNTS
        ]
        print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["rates"]:
        rates()
    else:
        print(run())

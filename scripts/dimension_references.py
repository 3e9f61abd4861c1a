"""Make the table of what TwoNN and MLE read on samples of known dimension.

    python -m scripts.dimension_references

Uniform samples of cubes and of spheres, over numbers of points and true dimensions; the mean and
standard deviation over seeds go to core/metrics/dimension_references.json.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from core.metrics.dimension_references import PATH
from core.metrics.intrinsic_dimension import mle, twonn
from core.metrics.neighbours import nearest

SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
DIMENSIONS = (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 70, 100)
K = 20
SHAPES = ("cube", "sphere")


def sample(shape: str, points: int, dimension: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform points of [0, 1]^d, (n, d), or of the sphere S^d, (n, d + 1)."""
    if shape == "cube":
        return generator.random((points, dimension))
    directions = generator.normal(size=(points, dimension + 1))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def readings(points: np.ndarray) -> tuple[float | None, float | None]:
    """TwoNN and MLE (k = 20) of one sample."""
    distances = nearest(points, K).distances
    return twonn(distances[:, 1] / distances[:, 0]), mle(distances, K)


def seeds(points: int) -> int:
    """Few points scatter more and cost less."""
    return 20 if points <= 500 else 10 if points <= 1000 else 5


def main() -> None:
    table: dict[str, dict[str, dict[str, list[list[float]]]]] = {}
    for shape in SHAPES:
        rows: dict[str, dict[str, list[list[float]]]] = {
            name: {"mean": [], "sd": []} for name in ("twonn", "mle")
        }
        for points in SIZES:
            found = np.array(
                [
                    [
                        readings(sample(shape, points, d, np.random.default_rng([seed, d, points])))
                        for seed in range(seeds(points))
                    ]
                    for d in DIMENSIONS
                ]
            )  # (dimensions, seeds, 2)
            for i, name in enumerate(("twonn", "mle")):
                rows[name]["mean"].append(found[..., i].mean(1).round(4).tolist())
                rows[name]["sd"].append(found[..., i].std(1, ddof=1).round(4).tolist())
            sys.stderr.write(f"{shape}, {points} points\n")
        table[shape] = rows
    document = {"points": SIZES, "dimensions": DIMENSIONS, "k": K, "readings": table}
    PATH.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

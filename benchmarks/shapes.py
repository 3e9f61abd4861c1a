"""Point clouds of known homology, for the tests and the benchmark of topology."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _circle(n: int, rng: np.random.Generator, x: float = 0.0) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.column_stack([np.cos(angle) + x, np.sin(angle), np.zeros(n)])


def _two_circles(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([_circle(n // 2, rng), _circle(n - n // 2, rng, 3.5)])


def _figure_eight(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([_circle(n // 2, rng, -1), _circle(n - n // 2, rng, 1)])


def _linked_rings(n: int, rng: np.random.Generator) -> np.ndarray:
    upright = _circle(n - n // 2, rng, 1)[:, [0, 2, 1]]
    return np.concatenate([_circle(n // 2, rng), upright])


def _sphere(n: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.standard_normal((n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _torus(n: int, rng: np.random.Generator) -> np.ndarray:
    """Radii 2 and 1, uniform in area: the tube's angle by rejection."""
    tube = rng.uniform(0, 2 * np.pi, 4 * n)
    tube = tube[rng.uniform(0, 3, 4 * n) < 2 + np.cos(tube)][:n]
    turn, radius = rng.uniform(0, 2 * np.pi, n), 2 + np.cos(tube)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn), np.sin(tube)])


def _three_blobs(n: int, rng: np.random.Generator) -> np.ndarray:
    centres = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]])
    return centres[np.arange(n) % 3] + 0.4 * rng.standard_normal((n, 3))


def _gaussian(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n, 5))


def _subspace(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, (n, 5))


SHAPES: dict[str, tuple[Callable[[int, np.random.Generator], np.ndarray], tuple[int, ...]]] = {
    "circle": (_circle, (1, 1)),
    "two circles": (_two_circles, (2, 2)),
    "figure eight": (_figure_eight, (1, 2)),
    "linked rings": (_linked_rings, (2, 2)),
    "three blobs": (_three_blobs, (3, 0)),
    "gaussian": (_gaussian, (1, 0)),
    "subspace": (_subspace, (1, 0)),
    "sphere": (_sphere, (1, 0, 1)),
    "torus": (_torus, (1, 2, 1)),
}
"""Name: sampler of n points, and the Betti numbers."""


def sample(
    name: str, n: int, seed: int, noise: float = 0.05, ambient: int | None = None
) -> np.ndarray:
    """n points of a shape, rotated into ``ambient`` dimensions, with Gaussian noise in each."""
    rng = np.random.default_rng(seed)
    points = SHAPES[name][0](n, rng)
    if ambient is not None:
        rotation = np.linalg.qr(rng.standard_normal((ambient, points.shape[1])))[0]
        points = points @ rotation.T
    return points + noise * rng.standard_normal(points.shape)


def circle_polygon(n: int) -> np.ndarray:
    """The regular n-gon on the unit circle."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angle), np.sin(angle)])


def clifford_torus(side: int) -> np.ndarray:
    """side x side points of the product of two unit circles, in four dimensions."""
    polygon = circle_polygon(side)
    return np.column_stack([np.repeat(polygon, side, axis=0), np.tile(polygon, (side, 1))])

"""Two-class problems of known topology, after Naitzat, Zhitnikov and Lim (JMLR 2020, section 5).

D-I: disks of class A in the holes of a square, class B. D-II: solid rings in space, each of class A
linked with one of class B. D-III: spheres of class A, each around a ball of class B and inside a
larger sphere of class B. The shapes, nine of each, and their proportions are those of the authors'
generators (github.com/topnn/topnn_framework), but for the rings, which are moved apart until no
pair touches another. The small variants have fewer of the same shapes, for a quick look.

Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError

CLASS_NAMES = ("A", "B")
SMALLEST, LARGEST = 100, 2700  # points of one class

DISK, HOLE, RIM = 1.3, 1.8, 3.0  # radii, and from the farthest centre to the square's side
RING, TUBE = 1.0, 0.25  # radii of a solid ring
BALL, INNER, OUTER, SHELL = 0.5, 1.0, 2.0, 0.05  # radii, and how thick the spheres are


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem by name, and the Betti numbers of what its two classes are drawn from."""

    id: str
    title: str
    shapes: str  # in words
    dim: int
    centres: np.ndarray  # (units, dim)
    betti: tuple[tuple[int, ...], tuple[int, ...]]  # of A and of B: beta_0, beta_1[, beta_2]


@dataclass(frozen=True, slots=True)
class TwoClasses:
    """Points of a problem, the largest coordinate 1; class A is 0, class B is 1."""

    points: np.ndarray  # (n, dim) float32
    labels: np.ndarray  # (n,) int64


def _around(count: int, radius: float) -> np.ndarray:
    """Centres (count, 2) evenly on a circle."""
    angles = 2 * np.pi * np.arange(count) / count
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def _cube(half: float) -> np.ndarray:
    """The centre and the corners (9, 3) of a cube of side 2 half."""
    corners = np.stack(np.meshgrid(*[[-half, half]] * 3, indexing="ij"), -1).reshape(-1, 3)
    return np.vstack([np.zeros((1, 3)), corners])


def _row(count: int, step: float) -> np.ndarray:
    """Centres (count, 3) on a line through the origin."""
    places = step * (np.arange(count) - (count - 1) / 2)
    return np.column_stack([np.zeros(count), places, np.zeros(count)])


_NINE_DISKS = np.vstack([np.zeros((1, 2)), _around(8, 7.0)])
PROBLEMS = {
    problem.id: problem
    for problem in (
        Problem("d1", "D-I: nine disks in nine holes", "disks", 2, _NINE_DISKS, ((9, 0), (1, 9))),
        Problem("d2", "D-II: nine pairs of linked rings", "rings", 3, _cube(2.4), ((9, 9), (9, 9))),
        Problem(
            "d3", "D-III: nine nested spheres", "spheres", 3, _cube(3.6), ((9, 0, 9), (18, 0, 9))
        ),
        Problem(
            "d1-small", "three disks in three holes", "disks", 2, _around(3, 3.5), ((3, 0), (1, 3))
        ),
        Problem(
            "d2-small", "two pairs of linked rings", "rings", 3, _row(2, 3.4), ((2, 2), (2, 2))
        ),
        Problem(
            "d3-small", "one nested sphere", "spheres", 3, _row(1, 0.0), ((1, 0, 1), (2, 0, 1))
        ),
    )
}


def find_problem(name: str) -> Problem:
    """The problem of that id; UserError lists those there are."""
    if name not in PROBLEMS:
        raise UserError(f"there is no problem {name}; choose one of: {', '.join(PROBLEMS)}")
    return PROBLEMS[name]


def generate(problem: Problem, per_class: int, seed: int) -> TwoClasses:
    """``per_class`` points of each class (shared evenly by the shapes).

    Points spread evenly over each shape (see ``even``); the seed moves them all. UserError for a
    number of points outside SMALLEST … LARGEST.
    """
    if not SMALLEST <= per_class <= LARGEST:
        raise UserError(
            f"a class has {SMALLEST} to {LARGEST} points, not {per_class}: choose a number between"
        )
    generator = np.random.default_rng(seed)
    first, second = _DRAW[problem.shapes](problem.centres, per_class, generator)
    points = np.vstack([first, second])
    labels = np.repeat(np.arange(2), [len(first), len(second)])
    return TwoClasses((points / np.abs(points).max()).astype(np.float32), labels)


def even(count: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` points (count, dim) that fill the unit cube evenly: multiples of an irrational
    vector, modulo 1 (a Kronecker sequence, with Roberts' generalised golden ratio), from a random
    start. A sample of few points then has no gaps that would be taken for holes.
    """
    ratio = 2.0
    for _ in range(50):
        ratio = (1 + ratio) ** (1 / (dim + 1))
    steps = ratio ** -np.arange(1.0, dim + 1)
    return (generator.random(dim) + np.arange(1, count + 1)[:, None] * steps) % 1


def disk(count: int, radius: float, generator: np.random.Generator) -> np.ndarray:
    """Points (count, 2) of a disk round the origin."""
    u, v = even(count, 2, generator).T
    return radius * np.sqrt(u)[:, None] * _circle(v)


def ring(count: int, radius: float, tube: float, generator: np.random.Generator) -> np.ndarray:
    """Points (count, 3) of a solid torus round the z axis."""
    u, v, w = even(count, 3, generator).T
    across = tube * np.sqrt(w)[:, None] * _circle(v)  # away from the core, and along z
    return np.column_stack([(radius + across[:, :1]) * _circle(u), across[:, 1]])


def shell(count: int, inner: float, outer: float, generator: np.random.Generator) -> np.ndarray:
    """Points (count, 3) between two spheres round the origin; ``inner`` 0 gives a ball."""
    u, v, w = even(count, 3, generator).T
    height = 1 - 2 * u
    unit = np.column_stack([np.sqrt(1 - height**2)[:, None] * _circle(v), height])
    return np.cbrt(inner**3 + w * (outer**3 - inner**3))[:, None] * unit


def _circle(turns: np.ndarray) -> np.ndarray:
    return np.column_stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)])


def _disks(
    centres: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    first = [
        c + disk(n, DISK, generator)
        for c, n in zip(centres, _shares(count, len(centres)), strict=True)
    ]
    half = np.abs(centres).max() + RIM
    square = half * (2 * even(2 * count, 2, generator) - 1)
    free = (np.linalg.norm(square[:, None] - centres, axis=2) > HOLE).all(1)
    return np.vstack(first), square[free][:count]


def _rings(
    centres: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    aside = np.array([RING / 2, 0.0, 0.0])  # each passes through the other's centre
    first, second = [], []
    for centre, n in zip(centres, _shares(count, len(centres)), strict=True):
        first.append(centre - aside + ring(n, RING, TUBE, generator))
        second.append(centre + aside + ring(n, RING, TUBE, generator)[:, [0, 2, 1]])
    return np.vstack(first), np.vstack(second)


def _spheres(
    centres: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    first, second = [], []
    for centre, n in zip(centres, _shares(count, len(centres)), strict=True):
        first.append(centre + shell(n, INNER, INNER + SHELL, generator))
        second.append(centre + shell(n - n // 5, OUTER, OUTER + SHELL, generator))
        second.append(centre + shell(n // 5, 0.0, BALL, generator))
    return np.vstack(first), np.vstack(second)


def _shares(count: int, parts: int) -> list[int]:
    """``count`` in ``parts`` equal shares, the first ones larger by 1 where it does not divide."""
    return [count // parts + (i < count % parts) for i in range(parts)]


Draw = Callable[[np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
_DRAW: dict[str, Draw] = {"disks": _disks, "rings": _rings, "spheres": _spheres}

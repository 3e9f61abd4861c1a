"""Samples of manifolds whose dimension is known, to try estimators on.

A manifold is drawn in coordinates of its own, turned at random into the ambient space (an isometry:
distances stay), and moved by isotropic Gaussian noise. Points are uniform with respect to length,
area or volume on the manifold, except where ``Manifold.uniform`` is False. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError

FEWEST, MOST = 50, 10_000  # points
HIGHEST_AMBIENT = 1000

TUBE = 0.4  # small radius of the torus of revolution; the large one is 1
HALF_WIDTH = 0.5  # of the Moebius strip round a circle of radius 1
TURN = (1.5 * np.pi, 4.5 * np.pi)  # angle, and radius, of the swiss roll
ROLL_WIDTH = 21.0
CURVATURE = 2.0  # of the paraboloid at its lowest point, in every direction
RISE, TURNS = 0.15, 3  # of the helix of radius 1, per radian; full turns
HARMONICS = 50  # at most, of the closed curve
FREQUENCY = 4.0  # of the random waves, along the cube's diagonal

Drawn = tuple[np.ndarray, np.ndarray]
"""Points (n, span) and the intrinsic coordinate (n,) that colours them."""


@dataclass(frozen=True, slots=True)
class Manifold:
    """A family of manifolds. ``draw(n, dim, ambient, generator)`` samples it in few coordinates."""

    id: str
    title: str
    lowest: int  # dimensions it comes in, lowest to highest
    highest: int
    span: Callable[[int, int], int]  # (dim, ambient) -> dimension of the smallest flat around it
    draw: Callable[[int, int, int, np.random.Generator], Drawn]
    coordinate: str  # what colours the points
    periodic: bool = False  # whether that coordinate is an angle
    uniform: bool = True
    least_ambient: Callable[[int], int] | None = None  # None: span(dim, dim)

    def least(self, dim: int) -> int:
        """The smallest ambient dimension that holds it."""
        return self.span(dim, dim) if self.least_ambient is None else self.least_ambient(dim)


@dataclass(frozen=True, slots=True)
class ManifoldSpec:
    """Everything that determines a sample."""

    manifold: str
    dim: int
    ambient: int
    points: int = 1500
    noise: float = 0.0  # root mean square displacement, as a share of the size
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ManifoldSample:
    """Points on, or with noise near, a manifold of dimension ``dim``."""

    points: np.ndarray  # (n, D)
    frame: np.ndarray  # (D, span) orthonormal columns: the manifold's own directions
    coordinate: np.ndarray  # (n,)
    dim: int
    size: float  # root mean square distance of the points without noise from their mean


def find_manifold(name: str) -> Manifold:
    """The manifold of that id; UserError lists those there are."""
    if name not in MANIFOLDS:
        raise UserError(f"there is no manifold {name}; choose one of: {', '.join(MANIFOLDS)}")
    return MANIFOLDS[name]


def check(spec: ManifoldSpec) -> Manifold:
    """The manifold of a spec; UserError names the number that does not fit."""
    manifold = find_manifold(spec.manifold)
    if not manifold.lowest <= spec.dim <= manifold.highest:
        raise UserError(
            f"{manifold.title} comes in dimensions {manifold.lowest} to {manifold.highest}, "
            f"not {spec.dim}: choose one of these"
        )
    least = manifold.least(spec.dim)
    if not least <= spec.ambient <= HIGHEST_AMBIENT:
        raise UserError(
            f"{manifold.title} of dimension {spec.dim} needs {least} to {HIGHEST_AMBIENT} ambient "
            f"dimensions, not {spec.ambient}: choose a number between"
        )
    if not FEWEST <= spec.points <= MOST:
        raise UserError(f"{spec.points} points are too few or too many: choose {FEWEST} to {MOST}")
    if not 0 <= spec.noise <= 1:
        raise UserError(f"noise is a share of the size, 0 to 1, not {spec.noise}: choose one")
    if spec.seed < 0:
        raise UserError(f"a seed is 0 or more, not {spec.seed}: choose another one")
    return manifold


def sample(spec: ManifoldSpec) -> ManifoldSample:
    """Points of a manifold in the ambient space.

    Noise has standard deviation noise * size / sqrt(D) in each of the D coordinates, so that the
    root mean square displacement is noise * size in any ambient dimension. Points, rotation and
    noise have generators of their own: the same seed with other noise moves the same points.
    UserError as ``check``.
    """
    manifold = check(spec)
    shape, turn, jitter = (np.random.default_rng([spec.seed, stream]) for stream in range(3))
    own, coordinate = manifold.draw(spec.points, spec.dim, spec.ambient, shape)  # (n, span)
    frame = orthonormal(spec.ambient, own.shape[1], turn)  # (D, span)
    size = float(np.sqrt(((own - own.mean(0)) ** 2).sum(1).mean()))
    points = own @ frame.T  # (n, D)
    if spec.noise:
        points += spec.noise * size / np.sqrt(spec.ambient) * jitter.normal(size=points.shape)
    return ManifoldSample(points, frame, coordinate, spec.dim, size)


def orthonormal(rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """A uniformly random frame (rows, columns) with orthonormal columns, rows >= columns.

    Q of a Gaussian matrix, with the signs of R's diagonal (Mezzadri, Notices of the AMS 2007).
    """
    q, r = np.linalg.qr(generator.normal(size=(rows, columns)))
    return q * np.sign(np.diag(r))


# --- of any dimension --------------------------------------------------------------------------


def sphere(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Unit sphere S^dim in dim + 1 coordinates; all curvatures are 1. E x_i^2 = 1/(dim + 1)."""
    points = generator.normal(size=(n, dim + 1))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, points[:, -1]


def ball(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Unit ball of an affine subspace: flat, with an edge. E r^2 = dim/(dim + 2)."""
    directions, _ = sphere(n, dim - 1, ambient, generator)
    radius = generator.random(n) ** (1 / dim)
    return directions * radius[:, None], radius


def cube(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Unit cube of an affine subspace: flat, with an edge. Variance 1/12 in each coordinate."""
    points = generator.random((n, dim))
    return points, points[:, 0]


def torus(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Flat (Clifford) torus T^dim: a product of dim circles of radius 1/sqrt(dim).

    It lies in the unit sphere of 2 dim coordinates and is locally isometric to R^dim.
    """
    angles = 2 * np.pi * generator.random((n, dim))
    circles = np.stack([np.cos(angles), np.sin(angles)], axis=-1)  # (n, dim, 2)
    return circles.reshape(n, 2 * dim) / np.sqrt(dim), angles[:, 0]


def paraboloid(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Graph of CURVATURE/2 |x|^2 over the unit ball of R^dim, uniform in volume.

    At the lowest point every principal curvature is CURVATURE. The volume element is
    sqrt(1 + CURVATURE^2 |x|^2), by rejection.
    """

    def propose(count: int) -> tuple[np.ndarray, np.ndarray]:
        base, radius = ball(count, dim, ambient, generator)
        return base, np.sqrt((1 + (CURVATURE * radius) ** 2) / (1 + CURVATURE**2))

    base = _accepted(n, propose, generator)
    square = (base**2).sum(1)
    return np.column_stack([base, CURVATURE / 2 * square]), np.sqrt(square)


def waves(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Unit cube of R^dim bent by as many random waves as there are ambient dimensions.

    y_j = sqrt(2/D) cos(<w_j, x> + b_j), w_j normal with standard deviation f = FREQUENCY/sqrt(dim),
    b_j uniform (random Fourier features, Rahimi and Recht 2007). For large D a distance r of the
    cube becomes sqrt(2 - 2 exp(-f^2 r^2/2)), close to f r where r is small. Uniform in the cube,
    so only nearly uniform on the bent set.
    """
    directions = FREQUENCY / np.sqrt(dim) * generator.normal(size=(dim, ambient))
    phases = 2 * np.pi * generator.random(ambient)
    points = generator.random((n, dim))
    return np.sqrt(2 / ambient) * np.cos(points @ directions + phases), points[:, 0]


# --- curves and surfaces -----------------------------------------------------------------------


def helix(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """TURNS turns of (cos t, sin t, RISE t): curvature 1/(1 + RISE^2), speed sqrt(1 + RISE^2)."""
    t = 2 * np.pi * TURNS * generator.random(n)
    return np.column_stack([np.cos(t), np.sin(t), RISE * t]), t


def curve(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Closed curve that turns through all ambient dimensions: (cos jt, sin jt)/sqrt(q), j = 1 … q.

    q = min(ambient // 2, HARMONICS). It lies on the unit sphere, has constant speed
    sqrt((q + 1)(2q + 1)/6), and the same variance 1/(2q) in each of 2q coordinates.
    """
    q = _harmonics(ambient)
    t = 2 * np.pi * generator.random(n)
    angles = t[:, None] * np.arange(1, q + 1)  # (n, q)
    circles = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return circles.reshape(n, 2 * q) / np.sqrt(q), t


def _harmonics(ambient: int) -> int:
    return min(ambient // 2, HARMONICS)


def swiss_roll(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """(t cos t, h, t sin t), t in TURN, h in 0 … ROLL_WIDTH: a rolled-up rectangle, flat inside.

    Uniform in area: t by its arc length (t sqrt(1 + t^2) + asinh t)/2, inverted on a fine grid.
    (scikit-learn's is uniform in t, denser inside.)
    """
    grid = np.linspace(*TURN, 4096)
    length = (grid * np.sqrt(1 + grid**2) + np.arcsinh(grid)) / 2
    t = np.interp(generator.uniform(length[0], length[-1], n), length, grid)
    height = ROLL_WIDTH * generator.random(n)
    return np.column_stack([t * np.cos(t), height, t * np.sin(t)]), t


def tube(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Torus of revolution with radii 1 and TUBE, uniform in area by rejection.

    The area element is proportional to 1 + TUBE cos v (Diaconis, Holmes and Shahshahani 2013);
    the Gaussian curvature cos v/(TUBE (1 + TUBE cos v)) changes its sign.
    """

    def propose(count: int) -> tuple[np.ndarray, np.ndarray]:
        angles = 2 * np.pi * generator.random((count, 2))
        return angles, (1 + TUBE * np.cos(angles[:, 1])) / (1 + TUBE)

    u, v = _accepted(n, propose, generator).T
    radius = 1 + TUBE * np.cos(v)
    return np.column_stack([radius * np.cos(u), radius * np.sin(u), TUBE * np.sin(v)]), u


def moebius(n: int, dim: int, ambient: int, generator: np.random.Generator) -> Drawn:
    """Moebius strip ((1 + v cos u/2) cos u, (1 + v cos u/2) sin u, v sin u/2), |v| <= HALF_WIDTH.

    Uniform in area by rejection; the area element is sqrt((1 + v cos u/2)^2 + v^2/4).
    """
    largest = np.hypot(1 + HALF_WIDTH, HALF_WIDTH / 2)

    def propose(count: int) -> tuple[np.ndarray, np.ndarray]:
        u = 2 * np.pi * generator.random(count)
        v = HALF_WIDTH * generator.uniform(-1, 1, count)
        return np.column_stack([u, v]), np.hypot(1 + v * np.cos(u / 2), v / 2) / largest

    u, v = _accepted(n, propose, generator).T
    radius = 1 + v * np.cos(u / 2)
    return np.column_stack([radius * np.cos(u), radius * np.sin(u), v * np.sin(u / 2)]), u


def _accepted(
    n: int,
    propose: Callable[[int], tuple[np.ndarray, np.ndarray]],
    generator: np.random.Generator,
) -> np.ndarray:
    """The first ``n`` proposals (n, c) that pass, each with its probability."""
    found: list[np.ndarray] = []
    while sum(map(len, found)) < n:
        proposals, probability = propose(n)
        found.append(proposals[generator.random(n) < probability])
    return np.concatenate(found)[:n]


MANIFOLDS = {
    manifold.id: manifold
    for manifold in (
        Manifold("sphere", "sphere", 1, 100, lambda m, _: m + 1, sphere, "height"),
        Manifold("ball", "flat ball", 1, 100, lambda m, _: m, ball, "distance from the centre"),
        Manifold("cube", "flat cube", 1, 100, lambda m, _: m, cube, "first side"),
        Manifold("torus", "flat torus", 1, 50, lambda m, _: 2 * m, torus, "first angle", True),
        Manifold(
            *("paraboloid", "paraboloid", 1, 50),
            *(lambda m, _: m + 1, paraboloid, "distance from the axis"),
        ),
        Manifold(
            *("waves", "cube bent by waves", 1, 20, lambda _, ambient: ambient, waves),
            "first side of the cube",
            uniform=False,
            least_ambient=lambda m: 2 * m + 1,
        ),
        Manifold(
            "swiss-roll", "swiss roll", 2, 2, lambda *_: 3, swiss_roll, "place along the roll"
        ),
        Manifold("tube", "torus of revolution", 2, 2, lambda *_: 3, tube, "angle", True),
        Manifold("moebius", "Möbius strip", 2, 2, lambda *_: 3, moebius, "angle", True),
        Manifold("helix", "helix", 1, 1, lambda *_: 3, helix, "place along the curve"),
        Manifold(
            *("curve", "winding curve", 1, 1),
            *(lambda _, ambient: 2 * _harmonics(ambient), curve, "place along the curve", True),
            least_ambient=lambda _: 2,
        ),
    )
}

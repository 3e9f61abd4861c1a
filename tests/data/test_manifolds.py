"""Manifolds against their closed forms: radius, moments, curvature, isometry, noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import manifolds
from core.data.manifolds import MANIFOLDS, Manifold, ManifoldSpec, find_manifold, sample
from core.errors import UserError

MANY = 10_000


def own(name: str, dim: int, n: int = MANY, ambient: int | None = None, seed: int = 0):
    """Points in the manifold's own coordinates, and the colouring coordinate."""
    manifold = find_manifold(name)
    room = ambient or manifold.least(dim)
    return manifold.draw(n, dim, room, np.random.default_rng(seed))


def close(value: np.ndarray, expected: float, spread: float, n: int = MANY) -> bool:
    """Whether means of n values with this standard deviation are within five standard errors."""
    return bool(np.all(np.abs(value - expected) < 5 * spread / np.sqrt(n)))


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_sphere(dim: int) -> None:
    x, height = own("sphere", dim)
    assert np.allclose(np.linalg.norm(x, axis=1), 1)
    assert np.array_equal(height, x[:, -1])
    k = dim + 1
    assert close(x.mean(0), 0, (1 / k) ** 0.5)
    assert close((x**2).mean(0), 1 / k, 1 / k)
    assert close((x**4).mean(0), 3 / (k * (k + 2)), 3 / k)


@pytest.mark.parametrize("dim", [1, 3, 20])
def test_ball(dim: int) -> None:
    x, radius = own("ball", dim)
    assert np.allclose(np.linalg.norm(x, axis=1), radius)
    assert radius.max() <= 1
    assert close(np.mean(radius**2), dim / (dim + 2), 0.6)
    assert close(np.mean(radius**dim), 0.5, 12**-0.5)  # radius^dim is uniform


def test_cube() -> None:
    x, first = own("cube", 5)
    assert x.min() >= 0
    assert x.max() <= 1
    assert np.array_equal(first, x[:, 0])
    assert close(x.var(0), 1 / 12, 0.075)
    assert np.abs(np.corrcoef(x.T) - np.eye(5)).max() < 0.05


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_flat_torus_is_a_product_of_circles_in_the_unit_sphere(dim: int) -> None:
    x, angle = own("torus", dim)
    assert x.shape == (MANY, 2 * dim)
    radii = np.linalg.norm(x.reshape(-1, dim, 2), axis=2)
    assert np.allclose(radii, dim**-0.5)
    assert np.allclose(x[:, 0] * dim**0.5, np.cos(angle))
    assert close((x**2).mean(0), 1 / (2 * dim), 1 / dim)


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_paraboloid_is_uniform_in_volume(dim: int) -> None:
    x, radius = own("paraboloid", dim)
    curvature = manifolds.CURVATURE
    assert np.allclose(x[:, -1], curvature / 2 * radius**2)
    # density of the radius: r^(dim - 1) sqrt(1 + curvature^2 r^2)
    r = np.linspace(0, 1, 20_001)
    density = r ** (dim - 1) * np.sqrt(1 + (curvature * r) ** 2)
    for power in (1, 2):
        expected = np.trapezoid(r**power * density, r) / np.trapezoid(density, r)
        assert close(np.mean(radius**power), expected, np.std(radius**power))


def test_paraboloid_bends_as_much_as_its_name_says() -> None:
    x, radius = own("paraboloid", 1)
    inner = radius < 0.2
    fit = np.polyfit(x[inner, 0], x[inner, 1], 2)
    assert np.isclose(2 * fit[0], manifolds.CURVATURE)


def test_random_waves_keep_small_distances_in_proportion() -> None:
    wide, dim = 1000, 4
    rng = np.random.default_rng(0)
    x, _ = manifolds.waves(300, dim, wide, rng)
    rng = np.random.default_rng(0)  # the same cube again: directions, phases, then points
    rng.normal(size=(dim, wide))
    rng.random(wide)
    cube = rng.random((300, dim))
    bent, flat = distances(x), distances(cube)
    f = manifolds.FREQUENCY / dim**0.5
    assert np.abs(bent**2 - (2 - 2 * np.exp(-((f * flat) ** 2) / 2))).max() < 0.25
    near = (flat > 0) & (flat < 0.15)
    assert np.abs(bent[near] / (f * flat[near]) - 1).max() < 0.15


def test_helix_has_constant_curvature() -> None:
    x, t = own("helix", 1)
    rise = manifolds.RISE
    assert np.allclose(np.hypot(x[:, 0], x[:, 1]), 1)
    assert np.allclose(x[:, 2], rise * t)
    assert close(np.mean(t), np.pi * manifolds.TURNS, 2 * np.pi * manifolds.TURNS / 12**0.5)
    # curvature from the circle through three near points of the parametrisation
    s = np.array([-1e-3, 0, 1e-3]) + 1.0
    curve = np.column_stack([np.cos(s), np.sin(s), rise * s])
    bend = (
        np.linalg.norm(curve[0] - 2 * curve[1] + curve[2])
        / np.linalg.norm(curve[1] - curve[0]) ** 2
    )
    assert np.isclose(bend, 1 / (1 + rise**2), rtol=1e-3)


@pytest.mark.parametrize(("ambient", "harmonics"), [(2, 1), (7, 3), (100, 50), (400, 50)])
def test_curve_has_constant_speed_and_fills_its_dimensions(ambient: int, harmonics: int) -> None:
    x, t = own("curve", 1, ambient=ambient)
    assert x.shape[1] == 2 * harmonics == find_manifold("curve").span(1, ambient)
    assert np.allclose(np.linalg.norm(x, axis=1), 1)
    assert close((x**2).mean(0), 1 / (2 * harmonics), 1 / harmonics)
    order = np.argsort(t)
    step = np.diff(t[order])
    near = (step > 0) & (step * harmonics < 0.02)
    chord = np.linalg.norm(np.diff(x[order], axis=0), axis=1)
    speed = ((harmonics + 1) * (2 * harmonics + 1) / 6) ** 0.5
    assert np.allclose(chord[near] / step[near], speed, rtol=1e-3)


def test_swiss_roll_is_uniform_in_area() -> None:
    x, t = own("swiss-roll", 2)
    assert np.allclose(np.hypot(x[:, 0], x[:, 2]), t)
    low, high = manifolds.TURN
    assert low <= t.min() <= t.max() <= high
    r = np.linspace(low, high, 20_001)
    density = np.sqrt(1 + r**2)
    expected = np.trapezoid(r * density, r) / np.trapezoid(density, r)
    assert close(np.mean(t), expected, t.std())
    assert close(np.mean(x[:, 1]), manifolds.ROLL_WIDTH / 2, manifolds.ROLL_WIDTH / 12**0.5)


def test_torus_of_revolution_is_uniform_in_area() -> None:
    x, u = own("tube", 2)
    ring = np.hypot(x[:, 0], x[:, 1])
    assert np.allclose((ring - 1) ** 2 + x[:, 2] ** 2, manifolds.TUBE**2)
    # E cos v = TUBE/2 under the area, 0 if v were uniform
    assert close(np.mean((ring - 1) / manifolds.TUBE), manifolds.TUBE / 2, 0.71)
    assert close(np.mean(np.exp(1j * u)).real, 0, 0.71)


def test_moebius_strip_has_one_side_and_uniform_area() -> None:
    x, u = own("moebius", 2)
    ring = np.hypot(x[:, 0], x[:, 1])
    v = (ring - 1) * np.cos(u / 2) + x[:, 2] * np.sin(u / 2)
    assert np.abs(v).max() <= manifolds.HALF_WIDTH + 1e-12
    assert np.allclose(x[:, 2], v * np.sin(u / 2))
    assert np.allclose(ring, 1 + v * np.cos(u / 2))
    a, b = np.meshgrid(
        np.linspace(0, 2 * np.pi, 801), np.linspace(-1, 1, 401) * manifolds.HALF_WIDTH
    )
    area = np.hypot(1 + b * np.cos(a / 2), b / 2)
    for values, grid in ((v, b), (np.cos(u), np.cos(a)), (v * np.cos(u / 2), b * np.cos(a / 2))):
        expected = np.trapezoid(np.trapezoid(grid * area, axis=1)) / np.trapezoid(
            np.trapezoid(area, axis=1)
        )
        assert close(np.mean(values), expected, values.std())


@pytest.mark.parametrize("manifold", MANIFOLDS.values(), ids=lambda m: m.id)
def test_the_tangent_space_has_the_stated_dimension(manifold: Manifold) -> None:
    """The spectrum of the nearest points drops after ``dim``: at least tenfold in variance."""
    dim = min(2, manifold.highest)
    room = max(manifold.least(dim), 6)
    x, _ = own(manifold.id, dim, ambient=room)
    centre = x[len(x) // 2]
    near = x[np.argsort(np.linalg.norm(x - centre, axis=1))[:40]]
    values = np.linalg.svd(near - near.mean(0), compute_uv=False) ** 2
    assert values[dim - 1] > 0.1 * values[0]
    assert dim == len(values) or values[dim] < 0.1 * values[dim - 1]


@pytest.mark.parametrize("manifold", MANIFOLDS.values(), ids=lambda m: m.id)
def test_span_is_the_rank_of_the_points(manifold: Manifold) -> None:
    dim = min(3, manifold.highest)
    room = manifold.least(dim) + 4
    drawn = sample(ManifoldSpec(manifold.id, dim, room, 500))
    values = np.linalg.svd(drawn.points - drawn.points.mean(0), compute_uv=False)
    assert (values > 1e-9 * values[0]).sum() == manifold.span(dim, room)


@given(
    st.sampled_from(sorted(MANIFOLDS)),
    st.integers(1, 6),
    st.integers(0, 40),
    st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_the_ambient_space_is_entered_by_an_isometry(
    name: str, dim: int, extra: int, seed: int
) -> None:
    manifold = find_manifold(name)
    dim = min(max(dim, manifold.lowest), manifold.highest)
    spec = ManifoldSpec(name, dim, manifold.least(dim) + extra, 60, seed=seed)
    drawn = sample(spec)
    inside = drawn.points @ drawn.frame
    assert drawn.points.shape == (60, spec.ambient)
    assert np.allclose(drawn.frame.T @ drawn.frame, np.eye(drawn.frame.shape[1]))
    assert np.allclose(distances(drawn.points), distances(inside))
    assert np.isclose(drawn.size**2, drawn.points.var(0).sum())
    assert np.array_equal(sample(spec).points, drawn.points)


@given(st.sampled_from([0.01, 0.1, 0.5]), st.integers(3, 300), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_noise_moves_the_same_points_by_the_stated_share(
    noise: float, ambient: int, seed: int
) -> None:
    still = sample(ManifoldSpec("sphere", 2, ambient, 2000, seed=seed))
    moved = sample(ManifoldSpec("sphere", 2, ambient, 2000, noise, seed))
    step = moved.points - still.points
    length = np.sqrt((step**2).sum(1).mean())
    assert np.isclose(length, noise * still.size, rtol=0.1)
    assert np.abs(step.mean(0)).max() < 6 * noise * still.size / np.sqrt(ambient * 2000)


def test_the_frame_prefers_no_direction() -> None:
    rng = np.random.default_rng(0)
    frames = np.stack([manifolds.orthonormal(4, 2, rng) for _ in range(4000)])
    assert close(frames.mean(0), 0, 0.5, 4000)
    assert close((frames**2).mean(0), 0.25, 0.25, 4000)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (ManifoldSpec("klein", 2, 4), "klein"),
        (ManifoldSpec("sphere", 0, 4), "dimensions 1 to 100"),
        (ManifoldSpec("helix", 2, 4), "not 2"),
        (ManifoldSpec("torus", 3, 5), "needs 6"),
        (ManifoldSpec("sphere", 2, 1001), "1001"),
        (ManifoldSpec("sphere", 2, 3, 10), "10 points"),
        (ManifoldSpec("sphere", 2, 3, noise=-0.1), "noise"),
        (ManifoldSpec("sphere", 2, 3, noise=float("nan")), "noise"),
        (ManifoldSpec("sphere", 2, 3, seed=-1), "seed"),
    ],
)
def test_what_does_not_fit_is_named(spec: ManifoldSpec, word: str) -> None:
    with pytest.raises(UserError, match=word):
        sample(spec)

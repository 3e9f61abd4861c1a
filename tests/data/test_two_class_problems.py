"""The two-class problems: where their points may lie, and the holes that they must show."""

from __future__ import annotations

import numpy as np
import pytest

from core.data import two_class_problems as two
from core.errors import UserError
from core.metrics.cliques import betti_within_steps
from core.topology_lab import NEIGHBOURS, default_request


@pytest.mark.parametrize("name", two.PROBLEMS)
def test_betti_numbers_are_those_that_the_problem_states(name: str) -> None:
    problem = two.PROBLEMS[name]
    data = two.generate(problem, default_request(name).per_class, seed=1)
    for k, betti in enumerate(problem.betti):
        cloud = data.points[data.labels == k]
        assert betti_within_steps(cloud, NEIGHBOURS, len(betti) - 1) == betti


@pytest.mark.parametrize("name", two.PROBLEMS)
def test_sizes_scale_and_seed(name: str) -> None:
    problem = two.PROBLEMS[name]
    data = two.generate(problem, 500, 3)
    assert data.points.shape == (1000, problem.dim)
    assert data.points.dtype == np.float32
    assert np.bincount(data.labels).tolist() == [500, 500]
    assert np.abs(data.points).max() == pytest.approx(1)
    np.testing.assert_array_equal(data.points, two.generate(problem, 500, 3).points)
    assert not np.array_equal(data.points, two.generate(problem, 500, 4).points)


def test_disks_lie_in_the_holes() -> None:
    problem = two.PROBLEMS["d1"]
    first, second = two._disks(problem.centres, 900, np.random.default_rng(0))
    to_first = np.linalg.norm(first[:, None] - problem.centres, axis=2).min(1)
    to_second = np.linalg.norm(second[:, None] - problem.centres, axis=2).min(1)
    assert to_first.max() <= two.DISK
    assert to_second.min() > two.HOLE
    assert np.abs(second).max() <= 10  # the square of the authors


def test_points_of_a_ring_are_within_the_tube_and_links_do_not_touch() -> None:
    points = two.ring(2000, two.RING, two.TUBE, np.random.default_rng(0))
    across = np.hypot(np.hypot(points[:, 0], points[:, 1]) - two.RING, points[:, 2])
    assert across.max() <= two.TUBE
    assert np.mean(across < two.TUBE / np.sqrt(2)) == pytest.approx(0.5, abs=0.01)
    first, second = two._rings(two.PROBLEMS["d2"].centres, 900, np.random.default_rng(0))
    # the cores of a pair are one radius apart everywhere that they are close
    apart = np.linalg.norm(first[:, None] - second, axis=2).min()
    assert apart >= two.RING - 2 * two.TUBE


@pytest.mark.parametrize(("inner", "outer"), [(0.0, 0.5), (1.0, 1.05), (1.0, 2.0)])
def test_shells_are_uniform_in_volume(inner: float, outer: float) -> None:
    radius = np.linalg.norm(two.shell(4000, inner, outer, np.random.default_rng(0)), axis=1)
    assert radius.min() >= inner
    assert radius.max() <= outer
    middle = np.cbrt((inner**3 + outer**3) / 2)
    assert np.mean(radius < middle) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_even_points_fill_every_part_of_the_cube(dim: int) -> None:
    points = two.even(4096, dim, np.random.default_rng(0))
    cells = np.floor(points * 4).astype(int) @ (4 ** np.arange(dim))
    share = np.bincount(cells, minlength=4**dim) / len(points)
    assert np.abs(share * 4**dim - 1).max() < 0.15  # chance alone: 0.35 and more in 64 cells


@pytest.mark.parametrize("count", [0, two.SMALLEST - 1, two.LARGEST + 1])
def test_sizes_out_of_range_are_named(count: int) -> None:
    with pytest.raises(UserError, match=str(count)):
        two.generate(two.PROBLEMS["d1"], count, 0)


def test_unknown_problem() -> None:
    with pytest.raises(UserError, match="d1, d2, d3"):
        two.find_problem("d9")

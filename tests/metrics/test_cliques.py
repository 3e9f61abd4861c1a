"""Betti numbers of the complex of pairs within two steps: closed forms, peers, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import shortest_path

from core.metrics.cliques import betti_within_steps, strong_collapse
from core.metrics.topology import topology
from core.results import TopologyOptions


def circle(n: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angles), np.sin(angles)])


def by_definition(points: np.ndarray, neighbours: int, max_dim: int) -> tuple[int, ...]:
    """The paper's computation: all distances in the graph, then a simplex tree at 2.5."""
    gudhi = pytest.importorskip("gudhi")
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(apart, np.inf)
    graph = np.zeros_like(apart)
    for i, row in enumerate(np.argsort(apart, axis=1)[:, :neighbours]):
        graph[i, row] = 1
    steps = shortest_path(np.maximum(graph, graph.T), unweighted=True)
    tree = gudhi.RipsComplex(
        distance_matrix=np.minimum(steps, 9), max_edge_length=2.5
    ).create_simplex_tree(max_dimension=max_dim + 1)
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)
    found = tree.betti_numbers()[: max_dim + 1]
    return tuple(found + [0] * (max_dim + 1 - len(found)))


def test_circles() -> None:
    assert betti_within_steps(circle(60), 4, 2) == (1, 1, 0)
    # with two neighbours on each side, edges reach 4 of n: a third of the circle up to n = 12
    assert betti_within_steps(circle(13), 4, 1) == (1, 1)
    assert betti_within_steps(circle(12), 4, 1) == (1, 0)
    two = np.vstack([circle(60), circle(60) + 10])
    assert betti_within_steps(two, 4, 1) == (2, 2)


def test_the_paper_computes_the_same() -> None:
    generator = np.random.default_rng(0)
    for points, k in (
        (generator.standard_normal((120, 2)), 6),
        (generator.standard_normal((90, 3)), 8),
        (circle(70) + 0.05 * generator.standard_normal((70, 2)), 5),
    ):
        assert betti_within_steps(points, k, 2) == by_definition(points, k, 2)


def test_topology_at_the_fixed_scale_is_the_same_where_all_points_are_landmarks() -> None:
    generator = np.random.default_rng(1)
    points = np.vstack([circle(80), 3 + 0.5 * circle(60)]) + 0.01 * generator.random((140, 2))
    options = TopologyOptions(
        distance="hops", neighbours=6, rule="fixed", scale=2.5, landmarks=len(points)
    )
    assert betti_within_steps(points, 6, 1) == topology(points, options).betti == (2, 2)


def test_copies_and_few_points() -> None:
    points = circle(40)
    assert betti_within_steps(np.repeat(points, 3, axis=0), 4, 1) == (1, 1)
    assert betti_within_steps(points[:5], 4, 2) == (1, 0, 0)
    assert betti_within_steps(np.zeros((10, 3)), 4, 1) == (1, 0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.integers(3, 8))
def test_isometries_and_scale_change_nothing(seed: int, scale: float, k: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((60, 3))
    turned, _ = np.linalg.qr(generator.standard_normal((5, 3)))  # into 5 dimensions
    moved = scale * points @ turned.T + 7
    assert betti_within_steps(points, k, 1) == betti_within_steps(moved, k, 1)


def test_collapse_of_a_cone_is_a_point_and_of_a_long_cycle_nothing() -> None:
    n = 12
    cycle = sum(np.roll(np.eye(n), shift, axis=0) for shift in (-1, 0, 1))
    assert strong_collapse(sparse.csr_array(cycle)).shape == (n, n)
    cone = np.pad(cycle, ((0, 1), (0, 1)), constant_values=1)
    assert strong_collapse(sparse.csr_array(cone)).shape == (1, 1)

"""What the weights alone tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.metrics import weights
from core.metrics.geometry import cosines, norms
from core.metrics.weights import (
    classifier_geometry,
    find_classifier,
    singular_values,
    weight_summaries,
)


def simplex(classes: int) -> np.ndarray:
    """(K, K) rows of unit length whose cosines are all -1/(K-1)."""
    centred = np.eye(classes) - 1 / classes
    return np.sqrt(classes / (classes - 1)) * centred


def test_closed_form() -> None:
    tensor = torch.zeros(3, 2, 2)
    tensor[0, 0, 0], tensor[1, 0, 1] = 3.0, 4.0  # a (3, 4) matrix of singular values 4, 3, 0
    (summary,) = weight_summaries({"conv.weight": tensor, "conv.bias": torch.ones(3)})
    assert (summary.name, summary.shape) == ("conv.weight", (3, 2, 2))
    assert summary.norm == pytest.approx(5)
    assert summary.spectral_norm == pytest.approx(4)
    assert summary.stable_rank == pytest.approx(25 / 16)
    assert summary.zero_fraction == pytest.approx(10 / 12)
    np.testing.assert_allclose(summary.spectrum, [4, 3, 0], atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 30), (30, 7), (16, 3, 3, 3), (200, 190)])
def test_against_numpy(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    (summary,) = weight_summaries({"w": tensor})
    matrix = tensor.double().flatten(1).numpy()
    expected = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(summary.spectrum, expected[:128], rtol=1e-8)
    assert summary.spectral_norm == pytest.approx(np.linalg.norm(matrix, 2))
    assert summary.norm == pytest.approx(np.linalg.norm(matrix))


@given(st.integers(0, 10_000), st.floats(0.1, 100), st.integers(2, 9), st.integers(2, 9))
@settings(max_examples=20, deadline=None)
def test_scaling_and_rotation(seed: int, scale: float, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, columns))
    rotation = np.linalg.qr(rng.normal(size=(rows, rows)))[0]
    plain = singular_values(torch.from_numpy(matrix))
    moved = singular_values(torch.from_numpy(scale * rotation @ matrix))
    np.testing.assert_allclose(moved, scale * plain, rtol=1e-5, atol=1e-6 * scale)
    (summary,) = weight_summaries({"w": torch.from_numpy(matrix)})
    assert 1 - 1e-9 <= summary.stable_rank <= min(rows, columns) + 1e-9


def test_wide_matrices_are_summed_in_blocks() -> None:
    matrix = torch.randn(2, 150_000, generator=torch.Generator().manual_seed(1))
    expected = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(singular_values(matrix), expected, rtol=1e-9)


def test_what_is_not_finite_or_too_large_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = torch.tensor([[1.0, float("nan")], [0.0, 2.0]])
    (summary,) = weight_summaries({"w": broken})
    assert np.isnan(summary.norm)
    assert np.isnan(summary.spectral_norm)
    assert np.isnan(summary.stable_rank)
    assert summary.zero_fraction == 0.25
    assert len(summary.spectrum) == 0
    monkeypatch.setattr(weights, "MAX_SIDE", 3)
    (large,) = weight_summaries({"w": torch.ones(4, 4)})
    assert large.norm == pytest.approx(4)
    assert np.isnan(large.spectral_norm)
    (zero,) = weight_summaries({"w": torch.zeros(2, 3)})
    assert zero.spectral_norm == 0
    assert np.isnan(zero.stable_rank)


def test_the_largest_matrices_in_their_order() -> None:
    tensors = {"a": torch.ones(2, 2), "b": torch.ones(5, 5), "c": torch.ones(3, 3)}
    tensors |= {"step": torch.tensor(3), "mask": torch.ones(9, 9, dtype=torch.bool)}
    assert [s.name for s in weight_summaries(tensors, limit=2)] == ["b", "c"]


def test_a_simplex_etf_classifier() -> None:
    geometry = classifier_geometry(5 * simplex(7)[:, :])
    assert geometry is not None
    cosine = cosines(geometry, "classifier")
    np.testing.assert_allclose(cosine[np.triu_indices(7, 1)], -1 / 6)
    np.testing.assert_allclose(norms(geometry, "classifier"), 5)
    assert geometry.counts.sum() == 0


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_coordinates_keep_every_product(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape)
    geometry = classifier_geometry(rows.astype(np.float32))
    assert geometry is not None
    assert geometry.classifier_coordinates is not None
    assert geometry.classifier_coordinates.shape == (shape[0], min(shape))
    products = geometry.classifier_coordinates @ geometry.classifier_coordinates.T
    np.testing.assert_allclose(products, rows @ rows.T, atol=1e-5)
    np.testing.assert_allclose(geometry.classifier_gram, rows @ rows.T, atol=1e-5)
    spread = np.linalg.norm(geometry.classifier_coordinates, axis=0)
    assert (np.diff(spread) <= 1e-9).all()


def test_no_geometry_where_there_is_none() -> None:
    assert classifier_geometry(np.ones((1, 5))) is None
    assert classifier_geometry(np.full((3, 5), np.nan)) is None
    assert classifier_geometry(np.ones((weights.MAX_CLASSES + 1, 2))) is None


def test_the_classifier_is_the_last_matrix_with_a_bias() -> None:
    state = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    tensors = {**state.state_dict(), "pos_embed.weight": torch.ones(8, 4)}
    found = find_classifier(tensors)
    assert found is not None
    name, weight, bias = found
    assert (name, weight.shape) == ("2.weight", (3, 6))
    assert bias is not None
    assert bias.shape == (3,)
    without = find_classifier({"head.weight": torch.ones(3, 6), "norm.bias": torch.ones(3)})
    assert without is not None
    assert (without[0], without[2]) == ("head.weight", None)
    assert find_classifier({"conv.weight": torch.ones(3, 3, 3, 3)}) is None

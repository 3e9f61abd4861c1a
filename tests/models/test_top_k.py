"""Top-k activations, and the ViT that has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from core.checkpoints import open_checkpoint
from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.features.extract import extract
from core.features.taps import inner_activations, select, trace
from core.models.building import Model, build
from core.models.recognise import recognise
from core.models.top_k import TopK
from core.models.vit import ViT
from core.results import Settings

SHAPE, CLASSES = (3, 8, 8), 3


def vit(seed: int = 0, **options: object) -> ViT:
    torch.manual_seed(seed)
    sizes = {"patch": 4, "width": 8, "depth": 2, "heads": 2, "classes": CLASSES}
    return ViT(SHAPE, **(sizes | options)).eval()


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


# --- the layer -----------------------------------------------------------------------------------


def naive(row: list[float], k: int) -> list[float]:
    """Distinct values alone: sorted, cut, put back."""
    kept = sorted(row, reverse=True)[:k]
    return [value if value in kept else 0.0 for value in row]


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 15), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_k_largest_are_kept_as_they_are(d: int, rows: int, k: int, seed: int) -> None:
    x = torch.randn(2, rows, d, generator=torch.Generator().manual_seed(seed))
    wanted = [[naive(row, k) for row in part] for part in x.tolist()]
    assert TopK(k)(x).tolist() == wanted


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=10), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_of_equal_values_as_many_are_kept_as_there_is_room_for(row: list[int], k: int) -> None:
    x = torch.tensor(row, dtype=torch.float32)
    found = TopK(k)(x).tolist()
    assert all(new in (0.0, old) for new, old in zip(found, row, strict=True))
    kept = sorted((v for v in found if v), reverse=True)
    wanted = [v for v in sorted(row, reverse=True)[: min(k, len(row))] if v]
    assert kept == wanted


def test_the_largest_not_the_largest_in_size_are_kept() -> None:
    x = torch.tensor([[-5.0, 1.0, 2.0, -0.5]])
    assert TopK(3)(x).tolist() == [[0.0, 1.0, 2.0, -0.5]]


def test_k_as_large_as_the_layer_keeps_everything() -> None:
    x = torch.randn(3, 5)
    for k in (5, 6, 10**9):
        assert torch.equal(TopK(k)(x), x)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_gradient_flows_through_what_is_kept_alone(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 7, generator=generator, requires_grad=True)
    weight = torch.randn(4, 7, generator=generator)
    kept = TopK(k)(x)
    (kept * weight).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(kept != 0, weight, 0.0))
    exact = x.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(TopK(k), exact)


def test_k_can_be_changed_at_any_time() -> None:
    layer, x = TopK(2), torch.rand(5, 9) + 0.1
    for k in (1, 4, 9, 2):
        layer.k = k
        assert ((layer(x) != 0).sum(-1) == k).all()


def test_the_layer_has_no_parameters_and_no_state() -> None:
    assert not TopK(3).state_dict()
    assert repr(TopK(3)) == "TopK(k=3)"


# --- the transformer -----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_top_k_changes_no_parameter_and_for_large_k_no_output(activation: str) -> None:
    plain = vit(activation=activation)
    sparse = vit(activation=activation, top_k=5)
    ours, theirs = sparse.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with torch.inference_mode():
        assert not torch.allclose(sparse(images()), plain(images()))
        assert torch.equal(vit(activation=activation, top_k=32)(images()), plain(images()))


def test_every_token_keeps_exactly_k_hidden_units() -> None:
    network, seen = vit(top_k=5), []
    network.blocks[1].fc2.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(images())
    assert seen[0].shape == (4, 5, 32)
    assert ((seen[0] != 0).sum(-1) == 5).all()


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("top_k", [None, 3])
@pytest.mark.parametrize("pool", ["class", "mean"])
def test_a_checkpoint_brings_the_same_network_back(
    activation: str, top_k: int | None, pool: str, tmp_path: Path
) -> None:
    network = vit(activation=activation, top_k=top_k, pool=pool)
    file = tmp_path / "network.safetensors"
    save_file(network.state_dict(), file, metadata=network.metadata())
    checkpoint = open_checkpoint(file)
    built = build(checkpoint.tensors, checkpoint.metadata)
    assert (built.architecture, built.match) == ("vit", "names")
    assert [m.k for m in built.module.modules() if isinstance(m, TopK)] == [3, 3][: 2 * bool(top_k)]
    kinds = {"gelu": nn.GELU, "relu": nn.ReLU}
    acts = [m for m in built.module.modules() if isinstance(m, tuple(kinds.values()))]
    assert [type(m) for m in acts] == [kinds[activation]] * 2
    with torch.inference_mode():
        assert torch.equal(built.module(images()), network(images()))


def test_a_checkpoint_from_before_these_options_still_opens() -> None:
    network = vit()
    metadata = {k: v for k, v in network.metadata().items() if k not in ("activation", "top_k")}
    assert "top_k" not in network.metadata()
    built = build(network.state_dict(), metadata)
    with torch.inference_mode():
        assert torch.equal(built.module(images()), network(images()))


@pytest.mark.parametrize(
    "changed",
    [
        {"activation": "x"},
        {"activation": ""},
        {"top_k": "0"},
        {"top_k": "-3"},
        {"top_k": "nan"},
        {"top_k": "3.5"},
        {"top_k": str(10**9)},
        {"top_k": ""},
        {"depth": str(10**6)},
        {"heads": "3"},
        {"pool": "x"},
    ],
)
def test_metadata_that_is_nonsense_is_no_vit(changed: dict[str, str]) -> None:
    network = vit()
    metadata = network.metadata() | changed
    assert "vit" not in [fit.name for fit in recognise(network.state_dict(), metadata)]
    with pytest.raises(UserError):
        build(network.state_dict(), metadata)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(UserError, match="'tanh' is not known: use one of gelu, relu"):
        vit(activation="tanh")


# --- what the analysis sees ----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_top_k_is_listed_with_exact_zeros_inside_its_block(activation: str) -> None:
    traced = trace(vit(activation=activation, top_k=5), images())
    found = inner_activations(traced, select(traced))
    kept = [t for t in found if t.kind == "TopK"]
    assert [t.name for t in kept] == ["blocks.0.top_k", "blocks.1.top_k"]
    assert all(t.relu_like and t.is_activation for t in kept)
    act = [t for t in found if t.kind != "TopK"]
    assert [t.relu_like for t in act] == [activation == "relu"] * 2


def test_shares_are_k_of_all_units_and_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 20)
    pixels = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    names = tuple(map(str, range(CLASSES)))
    data = Dataset("made", "0", labels, names, lambda i: pixels[i], np.arange(20))
    preprocessing = Preprocessing(8, 8, 3, (0.5,) * 3, (0.25,) * 3)
    gelu, relu = vit(top_k=5), vit(activation="relu", top_k=16)
    for network in (gelu, relu):
        model = Model(network, "vit", preprocessing, CLASSES, 0, "names")
        found = {a.name: a for a in extract(model, data, Settings(batch_size=8)).activations}
        seen: list[torch.Tensor] = []
        hook = network.blocks[0].fc2.register_forward_pre_hook(
            lambda m, inputs, seen=seen: seen.append(inputs[0])
        )
        with torch.inference_mode():
            network(torch.from_numpy(load_batch(data, np.arange(20), preprocessing)))
        hook.remove()
        share = sum(v != 0.0 for v in seen[0].flatten().tolist()) / seen[0].numel()
        measured = found["blocks.0.top_k"].sparsity
        assert not measured.approximate
        assert measured.nonzero_fraction.value == pytest.approx(share, abs=1e-6)
        if network is gelu:  # no GELU is exactly 0
            assert share == pytest.approx(5 / 32)
            assert found["blocks.0.act"].sparsity.approximate
        else:  # where less than k are positive, the rest of the k are zeros
            assert share < 16 / 32

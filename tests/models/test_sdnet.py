"""SDNet: the plain ResNet in everything but what its convolutions compute."""

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
from core.landscape.weights import Weights
from core.models.building import Model, build
from core.models.csc import CSC2d
from core.models.recognise import recognise
from core.models.resnet import CifarResNet
from core.models.sdnet import SDNet
from core.results import Settings

SHAPE, WIDTHS, CLASSES = (3, 12, 12), (4, 6), 3


def seeded(made: type[CifarResNet], seed: int = 0, **options: object) -> CifarResNet:
    torch.manual_seed(seed)
    return made(SHAPE, WIDTHS, CLASSES, **options).eval()


def images(count: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


# --- the same parameters -------------------------------------------------------------------------


@given(
    which=st.sampled_from(["first", "all"]),
    kernel=st.sampled_from([3, 5]),
    stride=st.integers(1, 2),
    pool=st.booleans(),
    seed=st.integers(0, 3),
)
@settings(max_examples=20, deadline=None)
def test_parameters_and_their_first_values_are_those_of_the_plain_network(
    which: str, kernel: int, stride: int, pool: bool, seed: int
) -> None:
    stem = {"stem_kernel": kernel, "stem_stride": stride, "stem_pool": pool}
    plain, sparse = seeded(CifarResNet, seed, **stem), seeded(SDNet, seed, which=which, **stem)
    ours, theirs = sparse.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    counted = [sum(p.numel() for p in m.parameters()) for m in (plain, sparse)]
    assert counted[0] == counted[1]
    assert [n for n, _ in sparse.named_parameters()] == [n for n, _ in plain.named_parameters()]


def test_the_plain_network_s_weights_can_be_put_in_and_mean_something_else() -> None:
    plain = seeded(CifarResNet)
    sparse = seeded(SDNet, 5)
    sparse.load_state_dict(plain.state_dict())
    assert sparse(images()).shape == plain(images()).shape == (4, CLASSES)
    assert not torch.allclose(sparse(images()), plain(images()))


def test_which_convolutions_become_sparse_coding() -> None:
    layers = {
        which: [n for n, m in seeded(SDNet, which=which).named_modules() if isinstance(m, CSC2d)]
        for which in ("first", "all")
    }
    assert layers["first"] == ["conv1"]
    blocks = [f"layer{stage}.0.conv{i}" for stage in (1, 2) for i in (1, 2)]
    assert layers["all"] == ["conv1", *blocks]  # the 1×1 shortcut stays a convolution
    shortcut = seeded(SDNet, which="all").get_submodule("layer2.0.shortcut.0")
    assert type(shortcut) is nn.Conv2d
    with pytest.raises(UserError, match="which='x' is not known: use one of first, all"):
        seeded(SDNet, which="x")


@pytest.mark.parametrize("which", ["first", "all"])
def test_every_parameter_gets_a_gradient(which: str) -> None:
    network = seeded(SDNet, which=which).train()
    network(images()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


# --- round trip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["first", "all"])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_a_checkpoint_brings_the_same_network_back(
    which: str, nonnegative: bool, tmp_path: Path
) -> None:
    network = seeded(
        SDNet, which=which, nonnegative=nonnegative, lam=0.25, iterations=3, stem_kernel=5
    )
    file = tmp_path / "network.safetensors"
    save_file(network.state_dict(), file, metadata=network.metadata())
    checkpoint = open_checkpoint(file)
    built = build(checkpoint.tensors, checkpoint.metadata)
    assert (built.architecture, built.match, built.classes) == ("sdnet", "names", CLASSES)
    assert built.preprocessing.shape == SHAPE
    layers = [m for m in built.module.modules() if isinstance(m, CSC2d)]
    assert len(layers) == (1 if which == "first" else 5)
    assert {(m.lam, m.iterations, m.nonnegative) for m in layers} == {(0.25, 3, nonnegative)}
    with torch.inference_mode():
        assert torch.equal(built.module(images()), network(images()))


def test_a_checkpoint_of_the_plain_network_stays_plain() -> None:
    plain = seeded(CifarResNet)
    built = build(plain.state_dict(), plain.metadata())
    assert built.architecture == "resnet"
    assert not any(isinstance(m, CSC2d) for m in built.module.modules())


@pytest.mark.parametrize(
    "changed",
    [
        {"lam": "nan"},
        {"lam": "inf"},
        {"lam": "-0.1"},
        {"lam": "0.1,0.2"},
        {"lam": "a lot"},
        {"iterations": str(10**9)},
        {"iterations": "0"},
        {"iterations": "-4"},
        {"iterations": "1" * 5000},
        {"iterations": "4,4"},
        {"iterations": ""},
        {"which": "x"},
        {"which": "first\x00"},
        {"widths": "4"},
        {"widths": "16777216,16777216"},
        {"stem_kernel": "9999"},
        {"stem_kernel": "7"},  # which the tensors do not have
        {"classes": "4"},
    ],
)
def test_metadata_that_is_nonsense_is_no_sdnet(changed: dict[str, str]) -> None:
    network = seeded(SDNet)
    metadata = network.metadata() | changed
    found = recognise(network.state_dict(), metadata)
    assert "sdnet" not in [fit.name for fit in found]
    with pytest.raises(UserError, match="no known architecture"):
        build(network.state_dict(), metadata)


@given(
    st.dictionaries(
        st.sampled_from(["lam", "iterations", "which", "nonnegative", "widths", "input_shape"]),
        st.text(max_size=12) | st.integers(-5, 5000).map(str) | st.floats().map(str),
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_metadata_says_is_built_or_named(changed: dict[str, str]) -> None:
    network = seeded(SDNet)
    try:
        built = build(network.state_dict(), network.metadata() | changed)
    except UserError:
        return
    lam = built.module.get_submodule("conv1").lam
    assert np.isfinite(lam)
    assert lam >= 0


# --- a changed weight gives a changed step -------------------------------------------------------


def test_the_step_follows_weights_that_are_moved_through_a_view() -> None:
    """As the loss landscape moves them; a stale ‖A‖² makes FISTA diverge or crawl."""
    network, x = seeded(SDNet), images()
    with torch.inference_mode():
        network(x)
        weights = Weights(network)
        moved = torch.randn(weights.vector.shape, generator=torch.Generator().manual_seed(3))
        weights.move(weights.read(), [(0.5, moved * weights.parameters())])
        found = network(x)
    fresh = seeded(SDNet, 9)
    fresh.load_state_dict(network.state_dict())
    with torch.inference_mode():
        assert torch.equal(found, fresh.eval()(x))


def test_a_network_that_was_made_in_inference_mode_runs() -> None:
    with torch.inference_mode():
        made = seeded(SDNet)(images())
    assert torch.equal(made, seeded(SDNet)(images()))


# --- what the analysis sees ----------------------------------------------------------------------


def test_sparse_coding_is_listed_among_what_has_exact_zeros() -> None:
    traced = trace(seeded(SDNet, which="all"), images())
    taps = select(traced)
    stem = next(t for t in taps if t.name == "conv1")
    assert (stem.kind, stem.is_activation, stem.relu_like) == ("CSC2d", True, True)
    inner = [t for t in inner_activations(traced, taps) if t.kind == "CSC2d"]
    assert [t.name for t in inner] == [f"layer{s}.0.conv{i}" for s in (1, 2) for i in (1, 2)]
    assert all(t.relu_like for t in inner)
    plain = select(trace(seeded(CifarResNet), images()))
    assert "CSC2d" not in [t.kind for t in plain]


def test_shares_of_codes_are_those_of_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 30)
    pixels = rng.integers(0, 256, (30, 12, 12, 3), dtype=np.uint8)
    names = tuple(map(str, range(CLASSES)))
    data = Dataset("made", "0", labels, names, lambda i: pixels[i], np.arange(30))
    network = seeded(SDNet, which="all", lam=0.05, iterations=5)
    preprocessing = Preprocessing(12, 12, 3, (0.5,) * 3, (0.25,) * 3)
    model = Model(network, "sdnet", preprocessing, CLASSES, 0, "names")
    found = {a.name: a for a in extract(model, data, Settings(batch_size=8)).activations}
    codes: dict[str, torch.Tensor] = {}
    for name in ("conv1", "layer1.0.conv1", "layer2.0.conv2"):
        network.get_submodule(name).register_forward_hook(
            lambda m, i, o, name=name: codes.__setitem__(name, o)
        )
    with torch.inference_mode():
        network(torch.from_numpy(load_batch(data, np.arange(30), preprocessing)))
    for name, z in codes.items():
        share = sum(1 for value in z.flatten().tolist() if value != 0.0) / z.numel()
        assert 0.02 < share < 0.98  # or the comparison would say nothing
        sparsity = found[name].sparsity
        assert not sparsity.approximate
        assert sparsity.threshold == 0
        assert sparsity.nonzero_fraction.value == pytest.approx(share, abs=1e-3)

"""What classifiers cost: the lecture's figures, the table against built networks, its limits."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from core.economy import LECTURE, checked, curve, economy, find_network, network_of, networks
from core.economy.counts import MOST_CLASSES, Network
from core.economy.narrowing import CannotNarrow, create, narrow, parameters
from core.economy.shufflenet_v1 import WIDTHS, ShuffleNetV1
from core.models import registry
from core.models.cnn import CNN
from core.models.mlp import MLP
from core.models.resnet import CifarResNet
from core.models.vit import ViT
from core.results import Analysis, WeightSummary
from tests.synthetic import synthetic_analysis

FAMILIES = (  # one of every family of the table, small where there is a choice
    *("alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"),
    *("regnet_x_400mf", "regnet_y_400mf", "regnet_y_128gf", "mobilenet_v2", "mobilenet_v3_small"),
    *("mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0", "efficientnet_v2_s", "maxvit_t"),
    *("densenet121", "googlenet", "googlenet_no_aux", "inception_v3", "squeezenet1_1"),
    *("vit_b_16", "swin_t", "convnext_tiny", "resnet20_cifar", "resnet18_cifar"),
    *("resnet50_cifar", "resnet20_cifar_b", "shufflenet_v1_g3"),
)
SMALL = (  # built with memory and run
    *("resnet18", "regnet_y_400mf", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5"),
    *("shufflenet_v2_x0_5", "efficientnet_b0", "resnet20_cifar", "resnet18_cifar"),
)


def known(name: str) -> Network:
    found = find_network(name)
    assert found is not None
    return found


def source(network: Network) -> str:
    return {"CIFAR": "own"}.get(network.group, network.group)


def narrowed(network: Network, classes: int, width: int) -> nn.Module:
    module = create(network.name, source(network), classes)
    with torch.device("meta"):
        narrow(module, classes, width)
    return module


# --- the lecture's figures -----------------------------------------------------------------------


def test_resnet18_to_the_last_parameter() -> None:
    """Zhu et al. 2021: 11,181,642 parameters, 8,867,442 trained; by hand, from the shapes."""
    last_block = 512 * 512 * 9 + 2 * 512  # conv2, bn2
    narrow_block = 512 * 10 * 9 + 2 * 10 + 512 * 10 + 2 * 10  # and the projection
    assert 11_181_642 - 512 * 10 - last_block + narrow_block == 8_867_442
    found = economy(known("resnet18"), 10)
    assert found.learned == 11_181_642
    assert found.narrowed == 8_867_442
    assert 100 * found.share_saved("narrowed") == pytest.approx(20.70, abs=0.005)
    assert found.fixed == 11_181_642 - 5120
    assert found.saved_by_narrowing == last_block - narrow_block


def test_a_network_trained_so_has_the_papers_number_of_trainable_parameters() -> None:
    model = models.resnet18(num_classes=10)
    narrow(model, 10, 10)
    model.fc.weight.requires_grad_(False)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 8_867_442
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert model.fc.in_features == 10


def test_only_the_imagenet_stem_has_the_lectures_counts() -> None:
    found = economy(known("resnet18_cifar"), 10)
    assert found.learned == 11_173_962
    assert 100 * found.share_saved("narrowed") == pytest.approx(20.71, abs=0.005)


@pytest.mark.parametrize(
    ("network", "percent"),
    [("resnet50", 8.01), ("densenet169", 11.76), ("shufflenet_v1_g3", 52.56)],
)
def test_shares_on_imagenet(network: str, percent: float) -> None:
    claim = next(c for c in LECTURE if c.network == network and c.data == "ImageNet")
    found, share = checked(claim)
    assert 100 * share == pytest.approx(percent, abs=0.005)
    assert round(100 * share) == int(claim.percent)
    assert share == found.weights / found.learned


def test_resnet50_on_cifar() -> None:
    _, share = checked(LECTURE[-1])
    assert f"{100 * share:.2f}" == "4.45" == LECTURE[-1].percent


def test_every_figure_of_the_lecture_is_ours_in_its_digits() -> None:
    for claim in LECTURE:
        found, share = checked(claim)
        digits = len(claim.percent.partition(".")[2])
        assert f"{100 * share:.{digits}f}" == claim.percent
        assert claim.learned in (None, found.learned)
        assert claim.trained in (None, found.narrowed)


def test_which_shufflenet_has_53_percent() -> None:
    """None of torchvision's; v1 with 3 groups has, and no other number of groups."""
    seconds = [n for n in networks() if n.name.startswith("shufflenet_v2")]
    assert len(seconds) == 4
    shares = [100 * n.dim * 1000 / n.total(1000) for n in seconds]
    assert [round(s, 1) for s in shares] == [74.9, 44.9, 29.2, 27.7]
    by_groups = {}
    for groups in WIDTHS:
        with torch.device("meta"):
            model = ShuffleNetV1(1000, groups)
        by_groups[groups] = round(100 * model.fc.weight.numel() / parameters(model))
    assert [g for g, percent in by_groups.items() if percent == 53] == [3]
    assert economy(known("shufflenet_v1_g3"), 1000).fixed is None  # 960 < 999


def test_shufflenet_v1_as_the_paper_draws_it_has_51_percent() -> None:
    """Counted by hand: no biases but batch norm, also in the stem; bottlenecks of width / 4."""
    total, channels = 3 * 24 * 9 + 2 * 24, 24
    for stage, (width, units) in enumerate(((240, 4), (480, 8), (960, 4))):
        for i in range(units):
            inner, own = width // 4, width - channels if i == 0 else width
            groups = 1 if stage == i == 0 else 3
            total += channels * inner // groups + 9 * inner + inner * own // 3
            total += 2 * (inner + inner + own)
            channels = width
    total += 960 * 1000 + 1000
    assert 100 * 960_000 / total == pytest.approx(51.45, abs=0.005)


def test_shufflenet_v1_runs() -> None:
    assert ShuffleNetV1(10)(torch.randn(2, 3, 64, 64)).shape == (2, 10)


# --- the table against built networks ------------------------------------------------------------


def test_the_table_has_every_classifier_of_torchvision() -> None:
    names = {n.name for n in networks()}
    assert names >= set(models.list_models(module=models))
    assert len(names) == len(networks())
    assert (
        known("resnet18_cifar_stride2") == known("resnet18_cifar_pool") == known("resnet18_cifar")
    )
    assert find_network("my_network") is None


@pytest.mark.parametrize("name", FAMILIES)
def test_the_table_equals_what_is_built(name: str) -> None:
    network = known(name)
    for classes in (10, 1000):
        module = create(name, source(network), classes)
        assert network.total(classes) == parameters(module)
        last = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
        assert last.weight.numel() == economy(network, classes).weights
        assert (last.bias is not None) == network.bias


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("classes", [10, 43])
def test_narrowed_networks_have_the_counted_parameters(name: str, classes: int) -> None:
    network = known(name)
    found = economy(network, classes)
    if found.narrowed is None:
        module = create(name, source(network), classes)
        before = parameters(module)
        with pytest.raises(CannotNarrow):
            narrow(module, classes, classes)
        assert parameters(module) == before
        assert found.narrowed_reason
        return
    module = narrowed(network, classes, classes)
    assert parameters(module) - classes * classes == found.narrowed  # W, (K, K), is fixed


@pytest.mark.parametrize("name", SMALL)
def test_narrowed_networks_run_and_their_features_have_k_dimensions(name: str) -> None:
    network = known(name)
    module = registry.create(name, source(network), 7).eval()
    narrow(module, 7, 7)
    seen: list[torch.Size] = []
    classifier = [m for m in module.modules() if isinstance(m, nn.Linear)][-1]
    classifier.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    assert module(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    assert seen == [(2, 7)]


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "densenet169", "vgg16", "mobilenetv2_100"]
)
def test_totals_agree_with_timm(name: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        peer = timm.create_model(name, num_classes=100)
    ours = known("mobilenet_v2" if name.startswith("mobile") else name)
    if name == "vgg16":
        assert ours.total(100) == sum(p.numel() for p in peer.parameters())
    else:
        assert ours.body == sum(p.numel() for p in peer.parameters()) - sum(
            p.numel() for p in peer.get_classifier().parameters()
        )


# --- arithmetic ----------------------------------------------------------------------------------

EVERY = st.sampled_from([n.name for n in networks()])
CLASSES = st.integers(2, MOST_CLASSES)


@given(EVERY, CLASSES)
def test_what_holds_for_every_network_and_number_of_classes(name: str, classes: int) -> None:
    network = known(name)
    found = economy(network, classes)
    assert found.classifier == classes * (network.dim + network.bias)
    assert 0 < found.classifier_share < 1
    assert (found.fixed is None) == bool(found.fixed_reason)
    assert (found.narrowed is None) == bool(found.narrowed_reason)
    if found.fixed is not None:
        assert network.dim >= classes - 1
        assert found.learned - found.fixed == found.weights
    elif not network.not_fixed:
        assert network.dim < classes - 1
    if found.narrowed is not None:
        assert classes < network.dim
        assert found.fixed is not None
        assert 0 < found.narrowed < found.learned + classes * network.dim * 10
        assert found.saved_by_narrowing == found.fixed - found.narrowed
    else:
        assert found.saved_by_narrowing is None
        assert found.share_saved("narrowed") is None


@given(EVERY, CLASSES, CLASSES)
def test_more_classes_give_the_classifier_a_larger_share(name: str, a: int, b: int) -> None:
    network = known(name)
    low, high = sorted((a, b))
    if network.auxiliary == 0:
        few, many = economy(network, low), economy(network, high)
        assert few.classifier_share <= many.classifier_share


@pytest.mark.parametrize("classes", [-1, 0, 1, MOST_CLASSES + 1])
def test_numbers_of_classes_outside_the_range(classes: int) -> None:
    with pytest.raises(ValueError, match=str(classes)):
        economy(known("resnet18"), classes)


def test_the_ends_of_both_regimes() -> None:
    """512 features: a simplex ETF for up to 513 classes, something to narrow below 512."""
    network = known("resnet18")
    assert economy(network, 511).narrowed is not None
    assert economy(network, 512).narrowed is None
    assert economy(network, 513).fixed is not None
    over = economy(network, 514)
    assert over.fixed is None
    assert "513" in over.fixed_reason
    assert "512" in over.fixed_reason


def test_a_projection_as_shortcut_can_cost_more_than_is_saved() -> None:
    """ResNet-50: 514 · 2048 parameters go, 2564 a class come: break even at 410.56."""
    network = known("resnet50")
    assert economy(network, 410).saved_by_narrowing > 0
    assert economy(network, 411).saved_by_narrowing < 0
    assert pytest.approx(410.56, abs=0.01) == (512 + 2) * 2048 / (512 + 2 + 2048 + 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_where_narrowing_stops_to_pay(name: str) -> None:
    network = known(name)
    limit = network.pays_below
    if network.narrow_slope is None:
        assert limit is None
        return
    assert 2 < limit <= network.dim
    assert economy(network, limit - 1).saved_by_narrowing > 0
    beyond = economy(network, limit).saved_by_narrowing
    assert beyond is None if limit == network.dim else beyond <= 0


def test_the_curve_is_the_economy_at_every_k() -> None:
    network = known("mobilenet_v2")
    found = curve(network)
    assert found.classes[0] == 2
    assert found.classes[-1] == MOST_CLASSES
    assert (np.diff(found.classes) > 0).all()
    assert {1279, 1280, 1281, 1282} <= set(found.classes.tolist())
    for k, weights, fixed, both in zip(
        found.classes, found.weights, found.fixed, found.narrowed, strict=True
    ):
        one = economy(network, int(k))
        assert weights == one.weights / one.learned
        assert np.isnan(fixed) if one.fixed is None else fixed == pytest.approx(weights)
        assert np.isnan(both) == (k >= 1280)


def test_auxiliary_heads_are_not_the_classifier() -> None:
    with_heads, without = known("googlenet"), known("googlenet_no_aux")
    assert with_heads.auxiliary == 2 * 1025  # two heads of 1024 features and a bias
    assert without.auxiliary == 0
    a, b = economy(with_heads, 1000), economy(without, 1000)
    assert a.classifier == b.classifier == 1000 * 1025
    assert a.learned - b.learned > 2 * 1000 * 1025


# --- opened checkpoints --------------------------------------------------------------------------


def analysis_of(module: nn.Module, metadata: dict, architecture: str | None, dim: int) -> Analysis:
    """What the analysis of this network's checkpoint knows of it."""
    whole = synthetic_analysis(classes=10, layers=2)
    weights = tuple(
        WeightSummary(name, tuple(t.shape), 1.0, 1.0, 1.0, 0.0, np.ones(1))
        for name, t in module.state_dict().items()
        if t.dim() >= 2
    )
    summary = replace(
        whole.checkpoint,
        architecture=architecture,
        parameters=parameters(module),
        metadata=metadata,
    )
    penultimate = replace(whole.penultimate, dim=dim)
    return replace(whole, checkpoint=summary, weights=weights, penultimate=penultimate)


OWN = {
    "mlp": lambda: MLP((1, 8, 8), (32, 48), 10),
    "mlp, norms": lambda: MLP((1, 8, 8), (128,) * 3, 10, batch_norm=True),
    "mlp, one layer": lambda: MLP((3, 4, 4), (64,), 10, batch_norm=True),
    "cnn": lambda: CNN((3, 32, 32), (16, 32, 64), 10),
    "cnn, biases": lambda: CNN((1, 8, 8), (16,), 10, batch_norm=False),
    "resnet": lambda: CifarResNet((3, 32, 32), (16, 32, 64), 10, stem_stride=2),
    "resnet, equal widths": lambda: CifarResNet((1, 8, 8), (32, 32), 10),
    "resnet, one block": lambda: CifarResNet((1, 8, 8), (32,), 10),
}


@pytest.mark.parametrize("name", OWN)
def test_own_networks_are_counted_by_their_metadata(name: str) -> None:
    module = OWN[name]()
    network = network_of(
        analysis_of(module, module.metadata(), name.split(",", maxsplit=1)[0], module.widths[-1]),
        "Mine",
    )
    assert isinstance(network, Network)
    assert network.title == "Mine"
    found = economy(network, 10)
    assert found.learned == parameters(module)
    assert (found.weights, found.bias) == (10 * module.widths[-1], 10)
    narrow(module, 10, 10)
    assert found.narrowed == parameters(module) - 100
    shape = module.input_shape
    assert module.eval()(torch.randn(2, *shape)).shape == (2, 10)


def test_metadata_that_do_not_describe_the_tensors_are_not_believed() -> None:
    module = MLP((1, 8, 8), (32, 48), 10)
    metadata = module.metadata() | {"widths": "40,48"}
    network = network_of(analysis_of(module, metadata, "mlp", 48), "Mine")
    assert isinstance(network, Network)
    assert network.narrow_base is None
    assert economy(network, 10).weights == 480
    assert economy(network, 10).learned == parameters(module)


@pytest.mark.parametrize("widths", ["", "a,b", "-1", "10**9"])
def test_hostile_metadata_are_not_believed(widths: str) -> None:
    module = MLP((1, 8, 8), (32, 48), 10)
    metadata = module.metadata() | {"widths": widths}
    network = network_of(analysis_of(module, metadata, "mlp", 48), "Mine")
    assert isinstance(network, Network)
    assert economy(network, 10).narrowed is None


def test_a_known_architecture_is_narrowed_by_the_table() -> None:
    with torch.device("meta"):
        module = models.resnet18(num_classes=10)
    network = network_of(analysis_of(module, {}, "resnet18", 512), "Mine")
    assert isinstance(network, Network)
    assert network.classes == 10
    assert economy(network, 10).narrowed == 8_867_442


def test_an_unknown_network_has_a_classifier_and_a_reason() -> None:
    module = ViT((3, 32, 32), 4, 32, 2, 2, classes=10)
    network = network_of(analysis_of(module, {}, None, 32), "Mine")
    assert isinstance(network, Network)
    found = economy(network, 10)
    assert (found.learned, found.weights) == (parameters(module), 320)
    assert found.fixed == found.learned - 320
    assert found.narrowed is None
    assert "not known" in found.narrowed_reason


def test_what_cannot_be_counted_says_why() -> None:
    whole = synthetic_analysis(classes=3, layers=2)
    features = replace(whole, checkpoint=replace(whole.checkpoint, parameters=0))
    assert "features" in str(network_of(features, "x"))
    assert "classifier" in str(network_of(replace(whole, weights=()), "x"))


def test_nothing_slow_is_imported(repo: Path) -> None:
    code = "import sys, core.economy as e; e.networks(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

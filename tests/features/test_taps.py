"""Which layers are found, by what names, and where the penultimate features are."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from core.errors import UserError
from core.features.taps import (
    Tap,
    block_positions,
    blocks_of,
    inner_activations,
    penultimate_index,
    select,
    trace,
)
from core.models.resnet import constructors
from core.models.vit import ViT


def test_resnet20_has_the_thirteen_layers_a_person_would_name() -> None:
    traced = trace(constructors()["resnet20_cifar"](10, 3).eval(), torch.randn(2, 3, 32, 32))
    taps = select(traced)
    blocks = [f"layer{s}.{b}" for s in (1, 2, 3) for b in range(3)]
    assert [t.name for t in taps] == ["input", "conv1", *blocks, "avgpool", "logits"]
    assert taps[1].module == "relu#1"
    assert penultimate_index(taps, traced) == 11
    assert [taps[0].depth, taps[-1].depth] == [0.0, 1.0]
    leaves = select(traced, "all")
    assert sum(t.kind == "ReLU" for t in leaves) == 19
    assert len({t.name for t in leaves}) == len(leaves)


class _Twice(nn.Module):
    """One in-place ReLU used twice, and a functional one."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(12, 8), nn.Linear(8, 6), nn.Linear(6, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.fc1(x.flatten(1)))
        x = self.act(self.fc2(x))
        return self.fc3(x)


class _Functional(_Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.fc1(x.flatten(1)))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def test_a_relu_used_twice_gives_two_layers() -> None:
    taps = select(trace(_Twice().eval(), torch.randn(2, 3, 2, 2)), "all")
    assert [t.module for t in taps if t.kind == "ReLU"] == ["act#1", "act#2"]


def test_functional_activations_are_read_where_they_enter_the_next_layer() -> None:
    traced = trace(_Functional().eval(), torch.randn(8, 3, 2, 2))
    taps = select(traced)
    assert [t.name for t in taps] == ["input", "fc1", "fc2", "logits"]
    assert taps[1].relu_like
    assert taps[1].shape == (8,)


def test_names_are_matched_and_unknown_ones_refused() -> None:
    traced = trace(_Twice().eval(), torch.randn(2, 3, 2, 2))
    assert [t.module for t in select(traced, "act#1, fc2#1")] == ["act#1", "fc2#1", "act#2"]
    with pytest.raises(UserError, match="no layer 'conv9': choose from"):
        select(traced, "conv9")


@pytest.mark.parametrize(
    ("name", "size", "penultimate", "shape"),
    [
        ("mobilenet_v3_small", 64, "classifier.0", (1024,)),
        ("squeezenet1_1", 64, "features.12", (512, 3, 3)),
        ("resnet18", 64, "avgpool", (512, 1, 1)),
    ],
)
def test_torchvision(name: str, size: int, penultimate: str, shape: tuple[int, ...]) -> None:
    model = getattr(torchvision.models, name)(num_classes=10).eval()
    traced = trace(model, torch.randn(2, 3, size, size))
    taps = select(traced)
    index = penultimate_index(taps, traced)
    assert index is not None
    assert (taps[index].name, taps[index].shape) == (penultimate, shape)
    assert traced.classifier is not None
    assert len(traced.classifier.weight) == 10


def test_vision_transformer_reads_the_class_token() -> None:
    model = torchvision.models.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=4).eval()
    nn.init.normal_(model.heads.head.weight)
    traced = trace(model, torch.randn(2, 3, 16, 16))
    taps = select(traced)
    assert [t.name for t in taps] == [
        "input", "conv_proj", "encoder_layer_0", "encoder_layer_1", "class token", "logits",
    ]  # fmt: skip
    assert all(t.class_token for t in taps[1:4])
    assert penultimate_index(taps, traced) == 4


class _NormAct(nn.BatchNorm2d):
    """A batch norm with its activation inside, as timm has it."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(super().forward(x))


class _Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(x).flatten(1))


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3), _NormAct(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3), _NormAct(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm2(self.conv2(self.norm1(self.conv1(x))))


class _Student(nn.Module):
    """One encoder and a head: the encoder is looked into, the head adds no second output."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = _Encoder(), _Head(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


class _Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = _Student()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("network", [_Student, _Wrapped])
def test_a_single_block_is_looked_into(network: type[nn.Module]) -> None:
    traced = trace(network().eval(), torch.randn(2, 3, 12, 12))
    assert [t.name for t in select(traced)] == ["input", "conv1", "conv2", "pool", "logits"]


def test_blocks_that_occur_once_stay_whole() -> None:
    network = torchvision.models.inception_v3(num_classes=4, init_weights=False).eval()
    names = [t.name for t in select(trace(network, torch.randn(2, 3, 299, 299)))]
    assert {"Mixed_5b", "Mixed_6a", "Mixed_7a", "Mixed_7c"} <= set(names)
    assert len(names) == 19


@pytest.mark.parametrize(
    ("name", "size", "positions", "second"),
    [
        ("resnet18", 64, [0] + [1, 2] * 8, "layer1.0.relu"),
        ("resnet50", 64, [0] + [1, 2, 3] * 16, "layer1.0.relu#1"),
        ("vit_b_32", 224, [1] * 12, "encoder.layers.encoder_layer_1.mlp.1"),
    ],
)
def test_activations_inside_torchvision_s_blocks(
    name: str, size: int, positions: list[int], second: str
) -> None:
    module = torchvision.models.get_model(name).eval()
    found, places = _activations(module, torch.randn(2, 3, size, size))
    assert places == positions
    assert found[1].name == second


def test_activations_inside_blocks_of_our_own_networks() -> None:
    resnet = constructors()["resnet20_cifar"](10, 3).eval()
    found, places = _activations(resnet, torch.randn(2, 3, 32, 32))
    assert places == [0] + [1, 2] * 9
    assert [t.name for t in found[:4]] == ["conv1", "layer1.0.relu1", "layer1.0", "layer1.1.relu1"]
    vit = ViT((3, 16, 16), 8, 16, 3, 2, classes=10).eval()
    found, places = _activations(vit, torch.randn(2, 3, 16, 16))
    assert [(t.name, t.kind, t.shape) for t in found] == [
        (f"blocks.{i}.act", "GELU", (5, 64)) for i in range(3)
    ]
    assert places == [1, 1, 1]


def test_places_in_blocks_follow_from_paths() -> None:
    paths = ["stem.act", "a.0.act1", "a.0", "a.1.act1", "a.10.act1", "a.1", "head.act"]
    assert block_positions(paths, ["a.0", "a.1", "a.10"]) == [
        *(("", 0), ("a.0", 1), ("a.0", 2), ("a.1", 1)),
        *(("a.10", 1), ("a.1", 2), ("", 0)),
    ]


def _activations(module: nn.Module, probe: torch.Tensor) -> tuple[list[Tap], list[int]]:
    traced = trace(module, probe)
    taps = select(traced)
    tapped = [t for t in taps if t.is_activation or t.relu_like]
    found = sorted([*tapped, *inner_activations(traced, taps)], key=lambda t: t.depth)
    places = block_positions([t.path for t in found], blocks_of(traced))
    return found, [position for _, position in places]

"""ResNets with a 3×3 stem, as used for CIFAR, in the key layout of the published files.

He et al. 2016 (arXiv:1512.03385), section 4.2: 20/32/44/56/110 layers in three stages, with
parameter-free (option A) or projection (option B) shortcuts; and the ImageNet designs
18/34/50/101/152 with the 7×7 stem replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from core.models import describe


class PadShortcut(nn.Module):
    """Option A: every second pixel, new channels filled with zeros on both sides."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (width - channels) // 2
        self.padding = (0, 0, 0, 0, before, width - channels - before)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, channels, H, W) → (N, width, H/stride, W/stride)."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def _shortcut(channels: int, width: int, stride: int, project: bool) -> nn.Module:
    if stride == 1 and channels == width:
        return nn.Identity()
    if not project:
        return PadShortcut(channels, width, stride)
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, stride, bias=False),
        nn.BatchNorm2d(width),
    )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(channels, width, stride, project)
        self.relu2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, channels, H, W) → (N, width, H/stride, W/stride)."""
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.shortcut = _shortcut(channels, 4 * width, stride, project)
        self.relu3 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, channels, H, W) → (N, 4 * width, H/stride, W/stride)."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        return self.relu3(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """3×3 stem → stages ``layer1``, ``layer2``, … → global average → ``linear``.

    ``blocks`` and ``widths`` have an entry per stage; every stage but the first halves the image.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        widths: Sequence[int],
        classes: int,
        channels: int = 3,
        *,
        project: bool = True,
        stem_kernel: int = 3,
        stem_stride: int = 1,
        stem_pool: bool = False,
    ) -> None:
        super().__init__()
        reach = stem_kernel // 2
        self.conv1 = nn.Conv2d(channels, widths[0], stem_kernel, stem_stride, reach, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem_pool else None
        size = widths[0]
        self.stages: list[str] = []
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            layers = []
            for i in range(count):
                stride = 2 if i == 0 and stage > 1 else 1
                layers.append(block(size, width, stride, project))
                size = width * block.expansion
            self.stages.append(f"layer{stage}")
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(size, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, channels, H, W) → logits (N, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.linear(torch.flatten(self.avgpool(x), 1))


class CifarResNet(ResNet):
    """One basic block for every width, which describes itself in its checkpoint.

    input_shape (C, H, W); shortcuts are projections where the shape changes (He et al. 2016,
    option B).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int],
        classes: int,
        stem_stride: int = 1,
        stem_pool: bool = False,
        stem_kernel: int = 3,
    ) -> None:
        super().__init__(
            BasicBlock,
            (1,) * len(widths),
            widths,
            classes,
            input_shape[0],
            stem_kernel=stem_kernel,
            stem_stride=stem_stride,
            stem_pool=stem_pool,
        )
        self.input_shape = tuple(input_shape)
        self.widths = tuple(widths)
        self.classes = classes
        self.stem_stride = stem_stride
        self.stem_pool = stem_pool
        self.stem_kernel = stem_kernel

    def metadata(self) -> dict[str, str]:
        """What a checkpoint must store (as safetensors metadata) so that ``build`` restores it."""
        return {
            "architecture": "resnet",
            "input_shape": describe.write(self.input_shape),
            "widths": describe.write(self.widths),
            "classes": str(self.classes),
            "stem_stride": str(self.stem_stride),
            "stem_pool": str(self.stem_pool).lower(),
            "stem_kernel": str(self.stem_kernel),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> CifarResNet:
        """The network (freshly initialised) that ``metadata`` describes; UserError if it cannot."""
        return cls(**cls._described(metadata))

    @staticmethod
    def _described(metadata: Mapping[str, object]) -> dict[str, Any]:
        return {
            "input_shape": describe.image_shape(metadata),
            "widths": describe.integers(metadata, "widths"),
            "classes": describe.integer(metadata, "classes"),
            "stem_stride": describe.integer(metadata, "stem_stride", limit=4),
            "stem_pool": describe.word(metadata, "stem_pool", "false") == "true",
            "stem_kernel": describe.integer(
                {"stem_kernel": 3, **metadata}, "stem_kernel", limit=31
            ),
        }


_IMAGENET: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def constructors() -> dict[str, Callable[..., ResNet]]:
    """Name → function of (classes, channels) for every network of this module.

    Names with ``_pool`` and ``_stride2`` have the same tensors as those without: only their
    stems differ.
    """
    found: dict[str, Callable[..., ResNet]] = {}
    for depth in (20, 32, 44, 56, 110):
        blocks = ((depth - 2) // 6,) * 3
        small = partial(ResNet, BasicBlock, blocks, (16, 32, 64))
        found[f"resnet{depth}_cifar"] = partial(small, project=False)
        found[f"resnet{depth}_cifar_b"] = partial(small, project=True)
    for depth, (block, counts) in _IMAGENET.items():
        large = partial(ResNet, block, counts, (64, 128, 256, 512))
        found[f"resnet{depth}_cifar"] = large
        found[f"resnet{depth}_cifar_pool"] = partial(large, stem_pool=True)
        found[f"resnet{depth}_cifar_stride2"] = partial(large, stem_stride=2)
    return found

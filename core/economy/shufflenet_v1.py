"""ShuffleNet v1 (Zhang et al. 2018, arXiv:1707.01083), the network behind the lecture's 53 %.

Neither torchvision nor timm has it. Every convolution has a bias, as in the common PyTorch
implementation of that time; a strided unit's bottleneck is a quarter of what it computes itself,
its concatenated input left out.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTHS = {1: 144, 2: 200, 3: 240}
"""Channels of the first stage by number of groups (table 1 of the paper); the next ones double.
With 4 or 8 groups such bottlenecks do not divide into the groups."""


class Unit(nn.Module):
    """1×1 grouped convolution → shuffle → 3×3 depthwise → 1×1 grouped, beside a shortcut.

    A unit of stride 2 puts its averaged input beside what it computes instead of adding it.
    """

    def __init__(self, channels: int, width: int, groups: int, stride: int, first: bool) -> None:
        super().__init__()
        own = width - channels if stride == 2 else width
        inner = own // 4
        self.groups = 1 if first else groups
        self.stride = stride
        self.compress = nn.Conv2d(channels, inner, 1, groups=self.groups)
        self.norm1 = nn.BatchNorm2d(inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner)
        self.norm2 = nn.BatchNorm2d(inner)
        self.expand = nn.Conv2d(inner, own, 1, groups=groups)
        self.norm3 = nn.BatchNorm2d(own)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, channels, H, W) → (N, width, H/stride, W/stride)."""
        out = functional.relu(self.norm1(self.compress(x)))
        out = functional.channel_shuffle(out, self.expand.groups)
        out = self.norm3(self.expand(self.norm2(self.depthwise(out))))
        if self.stride == 2:
            x = functional.avg_pool2d(x, 3, 2, 1)
            return functional.relu(torch.cat([x, out], dim=1))
        return functional.relu(x + out)


class ShuffleNetV1(nn.Module):
    """3×3 stem and pooling → stages of 4, 8 and 4 units → average → ``fc``. Width 1."""

    def __init__(self, classes: int, groups: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 2, 1)
        channels, width = 24, WIDTHS[groups]
        units: list[nn.Module] = []
        for stage, count in enumerate((4, 8, 4)):
            for i in range(count):
                first = stage == i == 0
                units.append(Unit(channels, width, groups, 2 if i == 0 else 1, first))
                channels = width
            width *= 2
        self.stages = nn.Sequential(*units)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, 3, H, W) → logits (N, classes)."""
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2, 1)
        return self.fc(self.stages(x).mean(dim=(2, 3)))

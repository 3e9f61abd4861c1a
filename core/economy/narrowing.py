"""Networks whose last block puts out fewer features, built so that they can be counted and run.

The rule follows the code of Zhu et al. 2021 for ResNets: the last layer before the features gets
``width`` outputs, its normalisation too, and where it ends a residual block a 1×1 projection
takes the place of the identity as shortcut. Networks whose features one layer alone puts out have
this layer narrowed. Others raise ``CannotNarrow``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision import models

from core.economy.shufflenet_v1 import ShuffleNetV1
from core.models import registry, resnet
from core.models.cnn import CNN
from core.models.meta import on_meta
from core.models.mlp import MLP
from core.models.vit import ViT

_STREAM = (
    "its blocks add to one stream of d channels and have no projection as shortcut: narrowing "
    "the features would mean narrowing every block"
)
_CONCATENATION = "its features are the outputs of {} side by side: no single layer puts them out"


class CannotNarrow(ValueError):
    """Why the last block of this network cannot be narrowed alone."""


def parameters(module: nn.Module) -> int:
    """Numbers in all its parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def create(name: str, source: str, classes: int) -> nn.Module:
    """The network on the meta device: names and shapes, no memory."""
    if source == "lecture":
        return on_meta(lambda: ShuffleNetV1(classes))
    return on_meta(lambda: registry.create(name, source, classes))


def find_classifier(module: nn.Module, classes: int) -> tuple[str, nn.Linear | nn.Conv2d]:
    """Path and layer of the classifier: the last one with that many outputs. ValueError: none."""
    found = [
        (path, layer)
        for path, layer in module.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == classes)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == classes)
    ]
    if not found:
        raise ValueError(f"{type(module).__name__} has no layer with {classes} outputs")
    return found[-1]


def narrow(module: nn.Module, classes: int, width: int) -> str:
    """Narrow the features of ``module`` to ``width``, in place; returns what was narrowed.

    The new layers are freshly initialised, on the current default device. Raises CannotNarrow,
    before anything is changed.
    """
    for kinds, reason in _REASONS:
        if isinstance(module, kinds):
            raise CannotNarrow(reason)
    rule = next((rule for kinds, rule in _RULES if isinstance(module, kinds)), None)
    if rule is None:
        raise CannotNarrow(f"no rule is known for {type(module).__name__}")
    path, classifier = find_classifier(module, classes)
    assert isinstance(classifier, nn.Linear)
    what = rule(module, width)
    module.set_submodule(path, nn.Linear(width, classes, bias=classifier.bias is not None))
    return what


# --- rules -------------------------------------------------------------------------------------


def _convolution(old: nn.Module, width: int) -> nn.Conv2d:
    assert isinstance(old, nn.Conv2d)
    assert old.groups == 1
    return nn.Conv2d(
        old.in_channels,
        width,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )


def _projection(channels: int, width: int, stride: int | tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, stride, bias=False),  # type: ignore[arg-type]
        nn.BatchNorm2d(width),
    )


def _strides(block: nn.Module) -> int:
    """The stride of a whole residual block, whichever of its convolutions has it."""
    return max(m.stride[0] for m in block.modules() if isinstance(m, nn.Conv2d))


def _last_residual_block(module: nn.Module, width: int) -> str:
    """ResNets, torchvision's and the CIFAR ones; also ResNeXt and Wide ResNet."""
    own = isinstance(module, resnet.ResNet)
    path = module.stages[-1] if isinstance(module, resnet.ResNet) else "layer4"
    block: Any = module.get_submodule(path)[-1]  # type: ignore[index]
    last = 3 if hasattr(block, "conv3") else 2
    channels, stride = block.conv1.in_channels, _strides(block)
    setattr(block, f"conv{last}", _convolution(getattr(block, f"conv{last}"), width))
    setattr(block, f"bn{last}", nn.BatchNorm2d(width))
    setattr(block, "shortcut" if own else "downsample", _projection(channels, width, stride))
    return "last block"


def _last_regnet_block(module: nn.Module, width: int) -> str:
    block: Any = module.trunk_output[-1][-1]  # type: ignore[index]
    channels, stride = block.f.a[0].in_channels, _strides(block)
    block.f.c[0] = _convolution(block.f.c[0], width)
    block.f.c[1] = nn.BatchNorm2d(width)
    block.proj = _projection(channels, width, stride)
    return "last block"


def _hidden_linear(module: nn.Module, width: int) -> str:
    """AlexNet, VGG, MobileNetV3, MaxViT: the linear layer before the classifier."""
    head = module.classifier
    assert isinstance(head, nn.Sequential)
    index = [i for i, layer in enumerate(head) if isinstance(layer, nn.Linear)][-2]
    old = head[index]
    assert isinstance(old, nn.Linear)
    head[index] = nn.Linear(old.in_features, width, bias=old.bias is not None)
    return "last hidden linear layer"


def _last_convolution(path: str, norm: str) -> Callable[[nn.Module, int], str]:
    def rule(module: nn.Module, width: int) -> str:
        module.set_submodule(path, _convolution(module.get_submodule(path), width))
        module.set_submodule(norm, nn.BatchNorm2d(width))
        return "last convolution"

    return rule


def _last_features(module: nn.Module, width: int) -> str:
    """MobileNetV2, EfficientNet: the 1×1 convolution that ends ``features``."""
    last = len(module.features) - 1  # type: ignore[arg-type]
    return _last_convolution(f"features.{last}.0", f"features.{last}.1")(module, width)


def _own_chain(module: nn.Module, width: int) -> str:
    """The own MLP and CNN: the last layer and its norm, by their numbers."""
    assert isinstance(module, MLP | CNN)
    number, kind = len(module.widths), "linear" if isinstance(module, MLP) else "conv"
    if not number:
        raise CannotNarrow("it has no hidden layer: its features are its input")
    old = module.get_submodule(f"{kind}{number}")
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, width)
        norm: nn.Module = nn.BatchNorm1d(width)
    else:
        new, norm = _convolution(old, width), nn.BatchNorm2d(width)
    module.set_submodule(f"{kind}{number}", new)
    if module.batch_norm:
        module.set_submodule(f"norm{number}", norm)
    return "last hidden layer" if kind == "linear" else "last convolution"


_RULES: tuple[tuple[tuple[type[nn.Module], ...], Callable[[nn.Module, int], str]], ...] = (
    ((models.ResNet, resnet.ResNet), _last_residual_block),
    ((models.RegNet,), _last_regnet_block),
    (
        (models.AlexNet, models.VGG, models.MobileNetV3, models.MaxVit),
        _hidden_linear,
    ),
    ((models.MobileNetV2, models.EfficientNet), _last_features),
    ((models.MNASNet,), _last_convolution("layers.14", "layers.15")),
    ((models.ShuffleNetV2,), _last_convolution("conv5.0", "conv5.1")),
    ((MLP, CNN), _own_chain),
)
_REASONS: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((models.VisionTransformer, models.SwinTransformer, models.ConvNeXt, ViT), _STREAM),
    ((models.DenseNet,), _CONCATENATION.format("all layers of the last dense block")),
    ((models.GoogLeNet, models.Inception3), _CONCATENATION.format("several branches")),
    (
        (ShuffleNetV1,),
        "the last layer is a grouped convolution, whose outputs come in equal groups: "
        "not every K can be had",
    ),
    ((models.SqueezeNet,), "its classifier is a convolution with an activation after it"),
)
NOT_FIXED = {
    models.SqueezeNet: "its classifier is a convolution, and a ReLU cuts off what it puts out: "
    "theory speaks of a linear classifier"
}

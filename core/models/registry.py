"""Every architecture that has a name, and how to make it: own, torchvision's, timm's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from torch import nn

from core.errors import UserError
from core.models import resnet

OWN = resnet.constructors()

TORCHVISION_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "googlenet_no_aux": ("googlenet", {"aux_logits": False}),
    "inception_v3_no_aux": ("inception_v3", {"aux_logits": False}),
    "vit_b_16_384": ("vit_b_16", {"image_size": 384}),
    "vit_l_16_512": ("vit_l_16", {"image_size": 512}),
    "vit_h_14_518": ("vit_h_14", {"image_size": 518}),
}
"""Published tensors that torchvision's defaults do not fit: name → (model, arguments)."""


def has_timm() -> bool:
    """Whether timm is installed, without importing it."""
    return find_spec("timm") is not None


def create(name: str, source: str, classes: int, channels: int = 3) -> nn.Module:
    """The network, freshly initialised, on the current default device.

    Raises UserError where the library that has it is missing or too old.
    """
    if source == "own":
        return OWN[name](classes, channels)
    if source == "torchvision":
        return _torchvision(name, classes, channels)
    return _timm(name, classes, channels)


def _torchvision(name: str, classes: int, channels: int) -> nn.Module:
    from torchvision import models

    base, arguments = TORCHVISION_VARIANTS.get(name, (name, {}))
    if base in ("googlenet", "inception_v3"):
        # a truncated normal initialisation of minutes, overwritten by the checkpoint anyway
        arguments = {**arguments, "init_weights": False}
    make: Callable[..., nn.Module] = partial(models.get_model, base, weights=None, **arguments)
    try:
        module = make(num_classes=classes)
    except ValueError:
        raise UserError(
            f"the installed torchvision has no {base}: update torchvision to open this checkpoint"
        ) from None
    if channels != 3:
        _replace_stem(module, channels)
    return module


def _replace_stem(module: nn.Module, channels: int) -> None:
    path, old = next((p, m) for p, m in module.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    module.set_submodule(path, new)


def _timm(name: str, classes: int, channels: int) -> nn.Module:
    if not has_timm():
        raise UserError(f"{name} is a model of timm: install timm (pip install timm) to open it")
    import timm

    plain = name.removeprefix("timm/")
    if not timm.is_model(plain):
        raise UserError(
            f"the installed timm {timm.__version__} has no {plain}: "
            "update timm (pip install -U timm) to open this checkpoint"
        )
    return timm.create_model(plain, pretrained=False, num_classes=classes, in_chans=channels)

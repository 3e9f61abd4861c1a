"""Which network a checkpoint is, and how to build it. Names are imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.models.build import Model, build
    from core.models.cnn import CNN
    from core.models.constructors import constructors, load_constructor
    from core.models.identify import Identification, identify, variants
    from core.models.mlp import MLP
    from core.models.vit import ViT

_MODULES = {
    "Model": "build",
    "build": "build",
    "CNN": "cnn",
    "constructors": "constructors",
    "load_constructor": "constructors",
    "Identification": "identify",
    "identify": "identify",
    "variants": "identify",
    "MLP": "mlp",
    "ViT": "vit",
}

__all__ = [
    "CNN",
    "MLP",
    "Identification",
    "Model",
    "ViT",
    "build",
    "constructors",
    "identify",
    "load_constructor",
    "variants",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

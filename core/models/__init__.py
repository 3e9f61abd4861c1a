"""Which network a checkpoint is, and how to build it. Names are imported when first used.

identification           names and shapes of tensors → Identification
building                 tensors → Model, ready to run
operator_models          the operator's own model code
mlp, cnn, vit, resnet    own architectures; registry has their names, torchvision's and timm's
recognise                every way in which tensors make a known network
signature                digests of names and shapes; make_signatures writes the shipped table
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.models.building import Model, build
    from core.models.cnn import CNN
    from core.models.identification import Identification, identify, variants
    from core.models.mlp import MLP
    from core.models.operator_models import constructors, load_constructor
    from core.models.vit import ViT

_MODULES = {
    "CNN": "cnn",
    "MLP": "mlp",
    "Identification": "identification",
    "Model": "building",
    "ViT": "vit",
    "build": "building",
    "constructors": "operator_models",
    "identify": "identification",
    "load_constructor": "operator_models",
    "variants": "identification",
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

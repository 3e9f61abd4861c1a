"""Usual normalisations, and how a name asks for one: ``resnet18@32,cifar-norm``."""

from __future__ import annotations

from dataclasses import replace

from core.data.preprocessing import Preprocessing
from core.errors import UserError

Norm = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Norm = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

NORMS: dict[str, Norm] = {
    "imagenet-norm": IMAGENET,
    "cifar-norm": ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
    "cifar100-norm": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist-norm": ((0.1307,), (0.3081,)),
    "half-norm": ((0.5,), (0.5,)),
    "no-norm": ((0.0,), (1.0,)),
}


def apply(preprocessing: Preprocessing, options: tuple[str, ...]) -> Preprocessing:
    """``preprocessing`` with an input size (a number) and a normalisation (a name) replaced."""
    for option in options:
        if option.isdecimal():
            size = int(option)
            preprocessing = replace(preprocessing, height=size, width=size, crop_from=None)
        elif option in NORMS:
            mean, std = (_spread(values, preprocessing.channels) for values in NORMS[option])
            preprocessing = replace(preprocessing, mean=mean, std=std)
        else:
            raise UserError(
                f"{option!r} after @ is not known: use an input size such as 32, "
                f"or one of {', '.join(NORMS)}"
            )
    return preprocessing


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels


def suitable(preprocessing: Preprocessing, classes: int | None) -> tuple[str, ...]:
    """The names of the normalisations worth trying for such a network, other than its own."""
    names: tuple[str, ...]
    if preprocessing.channels == 1:
        names = ("no-norm", "half-norm", "mnist-norm")
    elif classes == 1000:
        names = ("imagenet-norm", "half-norm")
    else:
        cifar = "cifar100-norm" if classes == 100 else "cifar-norm"
        names = ("imagenet-norm", cifar, "half-norm", "no-norm")
    own = (preprocessing.mean, preprocessing.std)
    return tuple(
        name
        for name in names
        if own != tuple(_spread(values, preprocessing.channels) for values in NORMS[name])
    )

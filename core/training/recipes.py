"""Recipes: everything that one training run depends on, by name. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import UserError


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network, a data set with a training and a test split, a loss, and a schedule."""

    name: str
    title: str
    train_data: str
    test_data: str
    network: str = "mlp"  # "resnet", "sdnet": one stage for every width; "cnn"; "vit": one width
    widths: tuple[int, ...] = (128,) * 4
    activation: str = "relu"
    batch_norm: bool = True
    loss: str = "ce"  # "focal", "ls", "mse": see core.training.losses
    loss_parameters: dict[str, float] = field(default_factory=dict)
    optimiser: str = "sgd"  # "adam", "adamw"; "lbfgs" takes all images at once
    classifier: str = "learned"  # "etf": fixed; "class_means": follows the features
    epochs: int = 300
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9  # of SGD
    weight_decay: float = 2e-3
    checkpoints: int = 10  # at log-spaced epochs, the first and the last included
    start: str | None = None  # recipe whose trained network this one starts from
    probe_epochs: int = 0  # in which only the classifier is trained, before everything is
    shifted_data: tuple[str, ...] = ()  # on which the trained network's accuracy is measured
    scored_every: int = 1  # epochs between two rows of the history, after the first ten
    seeds: int = 1  # runs bundled: seed 0 with its checkpoints, more seeds with measurements only
    all_checkpoints: bool = False  # bundle those of every seed
    network_options: dict[str, Any] = field(default_factory=dict)  # of its class

    @property
    def group(self) -> str:
        """Heading under which its runs are listed."""
        return "CIFAR-10 subset" if self.train_data.startswith("cifar10") else "Digits"


_CORRUPTIONS = ("gaussian_noise", "impulse_noise", "motion_blur", "contrast", "pixelate")
_SEVERITY = 5
_DIGITS_SHIFTED = tuple(f"digits-test@{name}-{_SEVERITY}" for name in _CORRUPTIONS)
_CIFAR_SHIFTED = tuple(f"cifar10@{name}-{_SEVERITY}" for name in _CORRUPTIONS)

_DIGITS = Recipe("digits-ce", "MLP 4×128, cross-entropy", "digits-train", "digits-test", seeds=3)
_CIFAR = Recipe(
    "cifar-ce",
    "ResNet-8, cross-entropy",
    "cifar10-subset",
    "cifar10",
    network="resnet",
    widths=(24, 48, 96),
    epochs=180,
    batch_size=64,
    learning_rate=0.02,
    weight_decay=1e-2,
    checkpoints=8,
    scored_every=5,
)


def _digits(name: str, title: str, **changes: Any) -> Recipe:
    return replace(_DIGITS, name=f"digits-{name}", title=f"MLP {title}", **changes)


def _cifar(name: str, title: str, **changes: Any) -> Recipe:
    return replace(_CIFAR, name=f"cifar-{name}", title=f"ResNet-8, {title}", **changes)


_ADAM = {"optimiser": "adam", "learning_rate": 1e-3, "weight_decay": 1e-3}
_LBFGS = {"optimiser": "lbfgs", "learning_rate": 1.0, "epochs": 30}
_FOCAL = {"loss": "focal", "loss_parameters": {"focusing": 3.0}}
_SMOOTHED = {"loss": "ls", "loss_parameters": {"smoothing": 0.1}}
_MSE = {
    "loss": "mse",
    "loss_parameters": {"weight": 1.0, "target": 5.0},
    "learning_rate": 0.02,  # the rescaled target makes gradients larger
}
_NARROW = (128, 128, 128, 10)  # the last hidden layer has as many units as there are classes
_ALL_RANDOM = {
    "train_data": "digits-train@random_labels-100",
    "weight_decay": 5e-4,
    "epochs": 600,
}
_TUNED = {
    "train_data": "digits-train@half-2",
    "start": "digits-pretrained",
    "epochs": 60,
    "learning_rate": 0.02,
    "shifted_data": _DIGITS_SHIFTED,
}
_CIFAR_TUNED = {
    "train_data": "cifar10-subset@half-2",
    "start": "cifar-pretrained",
    "epochs": 40,
    "learning_rate": 0.02,
    "shifted_data": _CIFAR_SHIFTED,
    "checkpoints": 4,
}

_SPARSE_CIFAR = {
    "network_options": {"stem_kernel": 5},
    "epochs": 50,
    "scored_every": 5,
    "weight_decay": 5e-3,
    "checkpoints": 2,
    "seeds": 3,
    "all_checkpoints": True,
}
_SPARSE_DIGITS = {
    **_SPARSE_CIFAR,
    "train_data": "digits-train@half-1",
    "network": "resnet",
    "widths": (16, 32),
    "network_options": {"stem_stride": 1, "stem_pool": False},
    "batch_size": 64,
    "learning_rate": 0.02,
}
_VIT = {
    "network": "vit",
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.05,
    "batch_size": 64,
    "checkpoints": 2,
    "scored_every": 5,
    "seeds": 3,
    "all_checkpoints": True,
}
_CIFAR_VIT = {**_VIT, "widths": (64,), "epochs": 30}
_DIGITS_VIT = {**_VIT, "widths": (32,), "epochs": 60}
_CIFAR_VIT_OPTIONS = {"patch": 8, "depth": 4, "heads": 4, "activation": "relu"}
_DIGITS_VIT_OPTIONS = {"patch": 2, "depth": 3, "heads": 2, "activation": "relu"}
_TOP_K = {"cifar": 16, "digits": 8}  # a sixteenth of the MLP's hidden units


def _sdnet(changes: dict[str, Any]) -> dict[str, Any]:
    options = {**changes["network_options"], "lam": 0.1, "iterations": 4}
    return {**changes, "network": "sdnet", "network_options": options}


def _transformers() -> Iterator[Recipe]:
    """Plain and top-k ViTs, on clean labels and with 40 % and 80 % of them random."""
    for noise in (0, 40, 80):
        for kept in (False, True):
            for data, make in (("digits", _digits), ("cifar", _cifar)):
                sizes = _CIFAR_VIT if data == "cifar" else _DIGITS_VIT
                options = _CIFAR_VIT_OPTIONS if data == "cifar" else _DIGITS_VIT_OPTIONS
                k = _TOP_K[data]
                name = f"vit-top{k}" if kept else "vit"
                title = f"ViT, top {k}" if kept else "ViT"
                changes = {
                    **sizes,
                    "network_options": {**options, **({"top_k": k} if kept else {})},
                }
                if noise:
                    base = "digits-train" if data == "digits" else "cifar10-subset"
                    changes["train_data"] = f"{base}@random_labels-{noise}"
                    name, title = f"{name}-labels-{noise}", f"{title}, {noise} % of labels random"
                yield replace(make(name, "", **changes), title=title)


_ALL = (
    Recipe(
        "digits-mlp",
        "MLP 5×128, digits",
        "digits-train",
        "digits-test",
        widths=(128,) * 5,
        epochs=600,
        batch_size=64,
        learning_rate=0.05,
        checkpoints=18,
    ),
    _DIGITS,
    _digits("adam", "4×128, Adam", **_ADAM),
    _digits("lbfgs", "4×128, L-BFGS", **_LBFGS),
    _digits("focal", "4×128, focal loss", **_FOCAL, weight_decay=6e-3, epochs=400),
    _digits("ls", "4×128, label smoothing", **_SMOOTHED),
    _digits("mse", "4×128, rescaled MSE", **_MSE),
    _digits(
        "labels-50",
        "4×128, half of the labels random",
        train_data="digits-train@random_labels-50",
        weight_decay=5e-4,
        epochs=600,
    ),
    _digits("labels-100", "4×128, all labels random", **_ALL_RANDOM),
    _digits("labels-100-w64", "4×64, all labels random", widths=(64,) * 4, **_ALL_RANDOM),
    _digits(
        "labels-100-w256",
        "4×256, all labels random",
        widths=(256,) * 4,
        checkpoints=4,
        **_ALL_RANDOM,
    ),
    _digits(
        "labels-100-w512",
        "4×512, all labels random",
        widths=(512,) * 4,
        checkpoints=2,
        **{**_ALL_RANDOM, "epochs": 300, "seeds": 1},
    ),
    _digits(
        "pixels",
        "4×128, random pixels",
        train_data="digits-train@random_pixels-1",
        test_data="digits-test@random_pixels-1",
    ),
    _digits("d10", "128, 128, 128, 10, learned classifier", widths=_NARROW),
    _digits("etf", "4×128, fixed simplex ETF", classifier="etf"),
    _digits("etf-d10", "128, 128, 128, 10, fixed simplex ETF", classifier="etf", widths=_NARROW),
    _digits("cmf", "4×128, class-mean features", classifier="class_means"),
    _digits("no-decay", "4×128, no weight decay", weight_decay=0.0),
    _digits("no-bn", "4×128, no batch norm", batch_norm=False, learning_rate=0.05),
    _digits(
        "no-bn-no-decay",
        "4×128, no batch norm, no weight decay",
        batch_norm=False,
        weight_decay=0.0,
        learning_rate=0.05,
    ),
    *(
        _digits(
            f"imbalanced-{ratio}",
            f"4×128, 1:{ratio} imbalance",
            train_data=f"digits-train@imbalanced-{ratio}",
            checkpoints=10 if ratio == 20 else 4,
        )
        for ratio in (5, 20, 70)
    ),
    _digits("pretrained", "4×128, first half", train_data="digits-train@half-1", checkpoints=3),
    _digits("tuned-linear", "4×128, fine-tuned, linear classifier", **_TUNED),
    _digits("tuned-cmf", "4×128, fine-tuned, class means", classifier="class_means", **_TUNED),
    _digits("tuned-lp", "4×128, linear probe, then fine-tuned", probe_epochs=30, **_TUNED),
    _CIFAR,
    _cifar("adam", "Adam", **{**_ADAM, "weight_decay": 1e-2}),
    _cifar("focal", "focal loss", **_FOCAL, weight_decay=1.5e-2, epochs=300),
    _cifar("ls", "label smoothing", **_SMOOTHED),
    _cifar("mse", "rescaled MSE", **_MSE),
    _cifar(
        "labels-100",
        "all labels random",
        train_data="cifar10-subset@random_labels-100",
        weight_decay=5e-4,
        learning_rate=0.05,
        epochs=150,
    ),
    _cifar("etf", "fixed simplex ETF", classifier="etf"),
    _cifar("etf-d10", "fixed simplex ETF, d = K", classifier="etf", widths=(24, 48, 10)),
    _cifar("cmf", "class-mean features", classifier="class_means"),
    _cifar("no-decay", "no weight decay", weight_decay=0.0, epochs=100),
    _cifar(
        "imbalanced-20", "1:20 imbalance", train_data="cifar10-subset@imbalanced-20", epochs=120
    ),
    _cifar("pretrained", "first half", train_data="cifar10-subset@half-1", checkpoints=3),
    _cifar("tuned-linear", "fine-tuned, linear classifier", **_CIFAR_TUNED),
    _cifar("tuned-cmf", "fine-tuned, class means", classifier="class_means", **_CIFAR_TUNED),
    _cifar("tuned-lp", "linear probe, then fine-tuned", probe_epochs=20, **_CIFAR_TUNED),
    replace(_digits("plain", "", **_SPARSE_DIGITS), title="ResNet-6, plain"),
    replace(_digits("sdnet", "", **_sdnet(_SPARSE_DIGITS)), title="SDNet-6, λ = 0.1"),
    replace(_cifar("plain", "", **_SPARSE_CIFAR), title="ResNet-8, plain, 5×5 stem"),
    replace(_cifar("sdnet", "", **_sdnet(_SPARSE_CIFAR)), title="SDNet-8, λ = 0.1"),
    *_transformers(),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}
"""In the order in which they can be trained: what others start from comes before them."""


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; UserError lists those there are."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name}; choose one of: {', '.join(RECIPES)}")
    return RECIPES[name]


def checkpoint_epochs(epochs: int, count: int) -> tuple[int, ...]:
    """``count`` (fewer where they coincide) log-spaced epochs from 0, the initialisation, to
    ``epochs``."""
    spaced = {0, epochs}
    for i in range(count - 2):
        spaced.add(round(epochs ** (i / max(1, count - 2))))
    return tuple(sorted(spaced))

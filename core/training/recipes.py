"""Recipes: everything that one training run depends on, by name. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from core.errors import UserError


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network, a data set with a training and a test split, a loss, and a schedule."""

    name: str
    title: str
    train_data: str
    test_data: str
    network: str = "mlp"  # or "resnet": one stage for every width
    widths: tuple[int, ...] = (128,) * 4
    activation: str = "relu"
    batch_norm: bool = True
    loss: str = "ce"  # "focal", "ls", "mse": see core.training.losses
    loss_parameters: dict[str, float] = field(default_factory=dict)
    optimiser: str = "sgd"  # "adam"; "lbfgs" takes all images at once
    classifier: str = "learned"  # "etf": fixed; "class_means": follows the features
    epochs: int = 400
    batch_size: int = 64
    learning_rate: float = 0.05
    momentum: float = 0.9  # of SGD
    weight_decay: float = 2e-3
    checkpoints: int = 12  # at log-spaced epochs, the first and the last included
    start: str | None = None  # recipe whose trained network this one starts from
    probe_epochs: int = 0  # in which only the classifier is trained, before everything is
    shifted_data: tuple[str, ...] = ()  # on which the trained network's accuracy is measured
    seeds: int = 1  # runs bundled: seed 0 with its checkpoints, more seeds with measurements only

    @property
    def group(self) -> str:
        """Heading under which its runs are listed."""
        return "CIFAR-10 subset" if self.train_data.startswith("cifar10") else "Digits"


_CORRUPTIONS = ("gaussian_noise", "impulse_noise", "motion_blur", "contrast", "pixelate")
_SEVERITY = 5
_DIGITS_SHIFTED = tuple(f"digits-test@{name}-{_SEVERITY}" for name in _CORRUPTIONS)
_CIFAR_SHIFTED = tuple(f"cifar10@{name}-{_SEVERITY}" for name in _CORRUPTIONS)

_DIGITS = Recipe(
    "digits-ce", "Cross-entropy, SGD", "digits-train", "digits-test", epochs=400, seeds=3
)
_CIFAR = Recipe(
    "cifar-ce",
    "Cross-entropy, SGD",
    "cifar10-subset",
    "cifar10",
    network="resnet",
    widths=(16, 32, 64),
    epochs=200,
    learning_rate=0.1,
    weight_decay=2e-3,
)

_ADAM = {"optimiser": "adam", "learning_rate": 1e-3}
_LBFGS = {"optimiser": "lbfgs", "learning_rate": 1.0}
_FOCAL = {"loss": "focal", "loss_parameters": {"focusing": 3.0}}
_SMOOTHED = {"loss": "ls", "loss_parameters": {"smoothing": 0.1}}
_MSE = {"loss": "mse", "loss_parameters": {"weight": 1.0, "target": 5.0}}


def _digits(name: str, title: str, **changes: object) -> Recipe:
    return replace(_DIGITS, name=f"digits-{name}", title=title, **changes)  # type: ignore[arg-type]


def _cifar(name: str, title: str, **changes: object) -> Recipe:
    return replace(_CIFAR, name=f"cifar-{name}", title=title, **changes)  # type: ignore[arg-type]


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "digits-mlp",
            "MLP 5×128, digits",
            "digits-train",
            "digits-test",
            widths=(128,) * 5,
            epochs=600,
            checkpoints=18,
        ),
        _DIGITS,
        _CIFAR,
    )
}


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

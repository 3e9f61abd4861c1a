"""Recipes: everything that one training run depends on, by name."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UserError


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network, a data set with a training and a test split, and a schedule."""

    name: str
    title: str
    train_data: str
    test_data: str
    widths: tuple[int, ...]
    activation: str = "relu"
    batch_norm: bool = True
    epochs: int = 600
    batch_size: int = 64
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 2e-3
    checkpoints: int = 18  # at log-spaced epochs, the first and the last included


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="digits-mlp",
            title="MLP 5×128, digits",
            train_data="digits-train",
            test_data="digits-test",
            widths=(128,) * 5,
        ),
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

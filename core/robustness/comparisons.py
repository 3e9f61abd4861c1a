"""The bundled runs that the page Robustness sets beside each other. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plain network and its sparse counterpart, same parameters and schedule; all their seeds."""

    title: str
    plain: tuple[str, ...]  # recipes; for transformers by share of random labels
    sparse: tuple[str, ...]
    noise: tuple[int, ...]  # % of labels random, one of each recipe
    knob: str  # of the sparse network
    values: tuple[float, ...]  # settings that are tabulated beside the one of training
    test_data: str
    calibration: str | None = None  # held out, apart from the test images


COMPARISONS = {
    "cifar-sdnet": Comparison(
        "ResNet-8 and SDNet-8, CIFAR-10 subset",
        ("cifar-plain",),
        ("cifar-sdnet",),
        (0,),
        "lam",
        (0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
        "cifar10@half-2",
        "cifar10@half-1",
    ),
    "digits-sdnet": Comparison(
        "ResNet-6 and SDNet-6, digits",
        ("digits-plain",),
        ("digits-sdnet",),
        (0,),
        "lam",
        (0.02, 0.05, 0.15, 0.2, 0.3, 0.4, 0.5),
        "digits-test",
        "digits-train@half-2",
    ),
    "cifar-vit": Comparison(
        "ViT and top-16 ViT, CIFAR-10 subset",
        ("cifar-vit", "cifar-vit-labels-40", "cifar-vit-labels-80"),
        ("cifar-vit-top16", "cifar-vit-top16-labels-40", "cifar-vit-top16-labels-80"),
        (0, 40, 80),
        "top_k",
        (2, 4, 8, 32, 64, 128, 256),
        "cifar10",
    ),
    "digits-vit": Comparison(
        "ViT and top-8 ViT, digits",
        ("digits-vit", "digits-vit-labels-40", "digits-vit-labels-80"),
        ("digits-vit-top8", "digits-vit-top8-labels-40", "digits-vit-top8-labels-80"),
        (0, 40, 80),
        "top_k",
        (1, 2, 4, 16, 32, 64, 128),
        "digits-test",
    ),
}


def run_ids(recipe: str, seeds: int) -> tuple[str, ...]:
    """The bundled runs of a recipe, seed 0 first."""
    return (recipe, *(f"{recipe}.{seed}" for seed in range(1, seeds)))

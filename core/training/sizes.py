"""The cells of the trainings that ask whether larger networks are sparser. Imports no torch.

After Li et al. 2023 ("The lazy neuron phenomenon: on emergence of activation sparsity in
transformers", ICLR), who train networks of many widths and depths on true labels, random labels and
random inputs, and count how many activations are not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.training.recipes import Recipe, checkpoint_epochs

SIZES = Path(__file__).parent / "bundled" / "sizes.json"
EPOCHS = 40
MEASURED = checkpoint_epochs(EPOCHS, 8)  # log-spaced from 0
SEEDS = (0, 1, 2)

Network = Literal["mlp", "cnn", "vit"]


@dataclass(frozen=True, slots=True)
class Setup:
    """An architecture and how it is trained. Its widths are taken at ``base_depth``, its depths
    at ``base_width``."""

    name: str
    title: str
    network: Network
    widths: tuple[int, ...]
    base_width: int
    depths: tuple[int, ...] = ()
    base_depth: int = 3
    learning_rate: float = 3e-3
    batch_norm: bool = False

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, depth) of every network, each once."""
        by_width = [(width, self.base_depth) for width in self.widths]
        by_depth = [(self.base_width, depth) for depth in self.depths]
        return tuple(dict.fromkeys(by_width + by_depth))

    def units(self, width: int) -> int:
        """Hidden units of a layer: channels of a CNN, hidden units of a ViT's MLP at a token."""
        return 4 * width if self.network == "vit" else width


@dataclass(frozen=True, slots=True)
class Images:
    """What the networks are trained on, and what they are tested on."""

    name: str
    title: str
    train: str
    test: str


_MLP_WIDTHS = (16, 32, 64, 128, 256)
_DEPTHS = (1, 2, 3, 5, 8)

MAIN = (
    Setup("mlp", "MLP", "mlp", _MLP_WIDTHS, 64, _DEPTHS),
    Setup("cnn", "CNN", "cnn", (4, 8, 16, 32, 64), 16, _DEPTHS),
    Setup("vit", "ViT", "vit", (4, 8, 16, 32, 64), 16, _DEPTHS),
)
CONTRASTS = (
    Setup("mlp_low", "MLP, learning rate 0.001", "mlp", _MLP_WIDTHS, 64, learning_rate=1e-3),
    Setup("mlp_high", "MLP, learning rate 0.01", "mlp", _MLP_WIDTHS, 64, learning_rate=1e-2),
    Setup("mlp_norm", "MLP, batch norm", "mlp", _MLP_WIDTHS, 64, batch_norm=True),
)
SETUPS = {setup.name: setup for setup in (*MAIN, *CONTRASTS)}

DATA = {
    images.name: images
    for images in (
        Images("true", "true labels", "digits-train", "digits-test"),
        Images("labels", "random labels", "digits-train@random_labels-100", "digits-test"),
        Images(
            "inputs", "random inputs", "digits-train@random_pixels-1", "digits-test@random_pixels-1"
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One training."""

    setup: str
    width: int
    depth: int
    data: str
    seed: int


def recipe_of(cell: Cell) -> Recipe:
    """What one cell trains: AdamW with the weight decay of the ViT recipes, the same for all."""
    setup, images = SETUPS[cell.setup], DATA[cell.data]
    vit = setup.network == "vit"
    options: dict[str, Any] = {}
    if vit:  # every token is read, so that every token's units are trained
        options = {"patch": 4, "depth": cell.depth, "heads": 2, "pool": "mean"}
        options["activation"] = "relu"
    return Recipe(
        name=f"sizes-{cell.setup}-{cell.width}x{cell.depth}-{cell.data}",
        title=f"{setup.title} {cell.depth}×{cell.width}, {images.title}",
        train_data=images.train,
        test_data=images.test,
        network=setup.network,
        widths=(cell.width,) if vit else (cell.width,) * cell.depth,
        batch_norm=setup.batch_norm,
        optimiser="adamw",
        epochs=EPOCHS,
        batch_size=128,
        learning_rate=setup.learning_rate,
        weight_decay=0.05,
        network_options=options,
    )


def _cells(setups: tuple[Setup, ...], seed: int) -> list[Cell]:
    longest = max(len(setup.sizes) for setup in setups)
    return [
        Cell(setup.name, *setup.sizes[i], data, seed)
        for i in range(longest)
        for setup in setups
        if i < len(setup.sizes)
        for data in DATA
    ]


CELLS = tuple(
    cell for setups in (MAIN, CONTRASTS) for seed in SEEDS for cell in _cells(setups, seed)
)
"""One seed of everything before the next, so that a grid that was stopped is balanced."""

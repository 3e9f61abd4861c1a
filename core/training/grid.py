"""The cells of the grid width × epochs × seed for every loss. Imports no torch.

After figure 1 of Zhou et al. 2022 ("Are all losses created equal: a neural collapse perspective"),
which trains wider and wider networks for longer and longer with each loss.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

GRID = Path(__file__).parent / "bundled" / "grid.json"
LOSSES = ("ce", "focal", "ls", "mse")
WIDTHS = (16, 64, 256)
EPOCHS = (10, 40, 160)
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of the grid."""

    loss: str
    width: int
    epochs: int
    seed: int


CELLS = tuple(
    Cell(loss, width, epochs, seed)
    for epochs, seed, loss, width in itertools.product(EPOCHS, SEEDS, LOSSES, WIDTHS)
)

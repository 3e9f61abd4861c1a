"""Rows as scripts.train_sizes writes them, with shares that follow a known power law."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.training.sizes import DATA, MEASURED, SEEDS, SETUPS, Cell


def row(
    cell: Cell, end: float, noise: float = 0.0, start: float = 0.5, accuracy: float = 1.0
) -> dict[str, Any]:
    """One training whose layers all go from ``start`` to ``end``, a straight line in log(1 + e)."""
    random = np.random.default_rng([cell.seed, cell.width, cell.depth, len(cell.data)])
    rise = np.log1p(MEASURED) / np.log1p(MEASURED[-1])
    path = start + (end * np.exp(random.normal(0, noise)) - start) * rise  # (E,)
    shares = np.repeat(path[:, None], cell.depth, axis=1)
    return {
        "setup": cell.setup,
        "width": cell.width,
        "depth": cell.depth,
        "data": cell.data,
        "seed": cell.seed,
        "parameters": cell.width**2 * cell.depth,
        "epochs": list(MEASURED),
        "train_accuracy": (0.1 + (accuracy - 0.1) * rise).tolist(),
        "test_accuracy": (0.1 + 0.5 * (accuracy - 0.1) * rise).tolist(),
        "shares": shares.tolist(),
        "dead": (0.1 * shares).tolist(),
    }


def rows(
    exponents: dict[str, float] | None = None,
    noise: float = 0.02,
    setups: tuple[str, ...] = tuple(SETUPS),
    seeds: tuple[int, ...] = SEEDS,
) -> list[dict[str, Any]]:
    """Every cell of these setups: on the data ``name`` the share ends at
    0.4 (units / smallest)^exponent over widths, and the same over depths."""
    exponents = exponents or {"true": -0.1, "labels": -0.2, "inputs": 0.0}
    made = []
    for name in setups:
        setup = SETUPS[name]
        for width, depth in setup.sizes:
            ratio = setup.units(width) / setup.units(setup.widths[0])
            size = ratio if depth == setup.base_depth else depth
            for data in DATA:
                for seed in seeds:
                    cell = Cell(name, width, depth, data, seed)
                    end = 0.4 * size ** exponents[data]
                    made.append(row(cell, end, noise, accuracy=0.5 if data == "labels" else 1.0))
    return made

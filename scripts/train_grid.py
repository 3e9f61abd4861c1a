"""Train the grid width × epochs for every loss, several seeds, and keep the final values.

python -m scripts.train_grid

Writes core/training/bundled/grid.json, which Compare runs draws. Goes on where it stopped. About
half an hour on one core.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.training.grid import CELLS, GRID, Cell
from core.training.loop import train
from core.training.recipes import find_recipe


def measure(cell: Cell) -> dict[str, Any]:
    """Train one cell and keep what the grid shows."""
    base = find_recipe(f"digits-{cell.loss}")
    depth = len(base.widths)
    recipe = replace(base, widths=(cell.width,) * depth, checkpoints=2)
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, Path(folder) / "run", epochs=cell.epochs, seed=cell.seed)
    last = {key: values[-1] for key, values in run.history.items()}
    return {
        "loss": cell.loss,
        "width": cell.width,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "train_accuracy": last["train_accuracy"],
        "test_accuracy": last["test_accuracy"],
        "seconds": last["seconds"],
    }


def main() -> None:
    rows = json.loads(GRID.read_text(encoding="utf-8")) if GRID.is_file() else []
    done = {(r["loss"], r["width"], r["epochs"], r["seed"]) for r in rows}
    for cell in CELLS:
        if (cell.loss, cell.width, cell.epochs, cell.seed) in done:
            continue
        rows.append(measure(cell))
        GRID.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(row) for row in rows)
        GRID.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()

"""Train the grid width × epochs for every loss, several seeds, and keep the final values.

python -m scripts.train_grid --out FILE

Goes on in FILE where it stopped; when every cell is trained, the bundled grid, which Compare runs
draws, becomes a copy of it. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import shutil
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else []
    done = {(r["loss"], r["width"], r["epochs"], r["seed"]) for r in rows}
    for cell in CELLS:
        if (cell.loss, cell.width, cell.epochs, cell.seed) in done:
            continue
        rows.append(measure(cell))
        out.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(row) for row in rows)
        out.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(rows[-1], flush=True)
    shutil.copyfile(out, GRID)


if __name__ == "__main__":
    main()

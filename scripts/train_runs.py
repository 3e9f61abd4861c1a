"""Train the bundled runs from their recipes into folders: one per recipe and seed.

python -m scripts.train_runs --out FOLDER [--only TEXT] [RECIPE …]

Goes on where it stopped, and leaves finished runs alone. ``scripts.bundle_runs`` then measures them
and copies them to checkpoints/. About two hours on one core for all of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from core.checkpoints.runs import open_run
from core.training.loop import train
from core.training.recipes import RECIPES, Recipe, find_recipe


def folder_name(recipe: Recipe, seed: int) -> str:
    """``digits-ce`` for seed 0, ``digits-ce.1`` for seed 1."""
    return recipe.name if seed == 0 else f"{recipe.name}.{seed}"


def finished(folder: Path) -> bool:
    return (folder / "run.json").is_file() and open_run(folder).finished


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="recipes whose name contains this")
    arguments = parser.parse_args()
    recipes = [find_recipe(name) for name in arguments.recipes] or list(RECIPES.values())
    for recipe in (r for r in recipes if arguments.only in r.name):
        for seed in range(recipe.seeds):
            folder = arguments.out / folder_name(recipe, seed)
            if finished(folder):
                continue
            started = time.perf_counter()
            run = train(recipe, folder, seed=seed)
            print(
                f"{folder.name:28} {time.perf_counter() - started:5.0f} s  "
                f"train {run.history['train_accuracy'][-1]:.4f}  "
                f"test {run.history['test_accuracy'][-1]:.4f}  {run.results or ''}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())

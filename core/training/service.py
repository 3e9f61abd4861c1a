"""Training from the browser: what the page Train asks for, and the runs that are kept of it.

A run is named after everything it depends on, so that the same request never trains twice: it goes
on where it was stopped, or is there already. Imports no torch until a training starts.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from core.checkpoints.runs import Run
from core.checkpoints.scanning import runs_below
from core.errors import UserError
from core.library import find, trained_folder
from core.progress import IsCancelled, Progress, never, silent
from core.training.recipes import RECIPES, Recipe, find_recipe

MAX_EPOCHS = 2000
MAX_SEED = 999
WIDTHS = (16, 32, 64, 128, 256, 512)
MAX_RUNS = 40
MAX_BYTES = 512 << 20  # of all runs trained on this server
BUSY_SECONDS = 900.0  # a run that changed later than this may be training, and is not removed

# seconds of one epoch on one core of a 2020 server, where no bundled run tells
_SECONDS_PER_EPOCH = {"mlp": 0.025, "resnet": 6.0}


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A recipe and what the reader changed of it; None: as the recipe has it."""

    recipe: str
    seed: int = 0
    epochs: int | None = None
    width: int | None = None  # of every hidden layer of an MLP

    @property
    def run_id(self) -> str:
        """The name of the run's folder."""
        recipe = adapted(self)
        parts = [recipe.name, f"e{recipe.epochs}", f"s{self.seed}"]
        if recipe.widths != find_recipe(self.recipe).widths:
            parts.insert(1, f"w{self.width}")
        return "-".join(parts)


def adapted(request: TrainRequest) -> Recipe:
    """The recipe with the request's changes; UserError where they are out of bounds."""
    recipe = find_recipe(request.recipe)
    epochs = recipe.epochs if request.epochs is None else request.epochs
    if not 1 <= epochs <= MAX_EPOCHS:
        raise UserError(f"{epochs} epochs cannot be trained here; choose 1 to {MAX_EPOCHS}")
    if not 0 <= request.seed <= MAX_SEED:
        raise UserError(f"the seed is {request.seed}; choose 0 to {MAX_SEED}")
    changes = [] if epochs == recipe.epochs else [f"{epochs} epochs"]
    widths = recipe.widths
    if request.width is not None and has_width(recipe):
        if request.width not in WIDTHS:
            raise UserError(
                f"the width is {request.width}; choose one of {', '.join(map(str, WIDTHS))}"
            )
        widths = (request.width,) * len(recipe.widths)
        if widths != recipe.widths:
            changes.insert(0, f"width {request.width}")
    if request.seed:
        changes.append(f"seed {request.seed}")
    title = ", ".join([recipe.title, *changes])
    return replace(recipe, title=title, epochs=epochs, widths=widths)


def has_width(recipe: Recipe) -> bool:
    """Whether one number may replace the recipe's widths: of an MLP that starts from nothing."""
    return recipe.network == "mlp" and recipe.start is None


def request_behind(run: Run) -> TrainRequest | None:
    """What made a run of this page; None where its recipe is not here any more."""
    if run.recipe not in RECIPES or run.seed is None:
        return None
    widths = run.settings.get("widths") or [None]
    same = tuple(widths) == find_recipe(run.recipe).widths
    width = None if same else widths[0]
    return TrainRequest(run.recipe, run.seed, run.settings.get("epochs"), width)


def train(
    request: TrainRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> str:
    """Train, or go on where the same training was stopped; the run's id in ``core.library``.

    Raises Cancelled with everything kept that was made. Older runs make room where there are more
    than MAX_RUNS, or more than MAX_BYTES.
    """
    from core.training.loop import train as run_recipe

    recipe = adapted(request)
    folder = trained_folder() / request.run_id
    known = trained(request)
    if known is not None and known.finished:
        return known.id
    make_room(keep=folder)
    progress(0, recipe.epochs, "Starting")
    run_recipe(recipe, folder, seed=request.seed, progress=progress, cancelled=cancelled)
    return request.run_id


def trained(request: TrainRequest) -> Run | None:
    """The run of a request, finished or not; None where it never began."""
    return next(iter(runs_below(trained_folder() / request.run_id, depth=0).runs), None)


def trained_runs() -> tuple[Run, ...]:
    """All runs of this page that are kept on this server, the latest first."""
    found = runs_below(trained_folder(), depth=1).runs
    return tuple(sorted(found, key=lambda run: -_changed(run.folder)))


def remove(run_id: str) -> None:
    """Delete a run of this page; UserError for any other run."""
    folder = trained_folder() / run_id
    if folder.parent != trained_folder() or not (folder / "run.json").is_file():
        raise UserError(f"{run_id} was not trained here; only such runs can be deleted")
    shutil.rmtree(folder, ignore_errors=True)


def make_room(keep: Path) -> None:
    """Remove the oldest runs of this page while they are too many or too large together. Neither
    ``keep`` nor a run that may be training is removed."""
    runs = [run for run in trained_runs() if run.folder != keep]
    sizes = {run.id: _bytes(run.folder) for run in runs}
    now = time.time()
    while runs and (len(runs) >= MAX_RUNS or sum(sizes[r.id] for r in runs) > MAX_BYTES):
        oldest = runs.pop()
        if oldest.finished or now - _changed(oldest.folder) > BUSY_SECONDS:
            shutil.rmtree(oldest.folder, ignore_errors=True)


def forecast_seconds(request: TrainRequest) -> float:
    """About how long a training takes on one core: as its bundled run took, else from a table."""
    recipe = adapted(request)
    run = find(request.recipe)
    took = (run.history.get("seconds") or []) if run is not None else []
    widths = find_recipe(request.recipe).widths
    if run is not None and len(took) > 1 and took[-1] > 0:
        each = took[-1] / max(1, run.history.get("epoch", range(len(took)))[-1])
    else:
        each = _SECONDS_PER_EPOCH.get(recipe.network, 1.0)
    # half of an epoch's time does not depend on the width at the widths of these recipes
    growth = sum(w * w for w in recipe.widths) / sum(w * w for w in widths)
    return float(each * recipe.epochs * (0.5 + 0.5 * growth))


def _changed(folder: Path) -> float:
    try:
        return (folder / "run.json").stat().st_mtime
    except OSError:
        return 0.0


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

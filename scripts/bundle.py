"""Make everything that is bundled again: the trained run, and the analysis of every checkpoint.

python -m scripts.bundle              all of it (about half an hour on two cores)
python -m scripts.bundle RUN …        the analyses of these runs only
python -m scripts.bundle --train RUN  train the run again from its recipe first

A run may list a published checkpoint that is too large for the repository: --files FOLDER says
where it is (run.json tells where it was published); without it the run's analysis stays as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from core import library, store
from core.checkpoints.runs import Run, open_run
from core.request import AnalysisRequest
from core.results import FAMILIES, Analysis, Settings

# fixed, so that the numbers are the same anywhere
SETTINGS = Settings(device="cpu", batch_size=32, metrics=FAMILIES)


def make(run: Run, epoch: int | None, data_id: str, files: Path | None = None) -> Analysis:
    """The analysis of one checkpoint of a run on one of its data sets."""
    from core.analysis import analyze

    checkpoint = run.checkpoint_path(epoch)
    if not checkpoint.is_file() and files is not None:
        checkpoint = files / checkpoint.name
    settings = replace(SETTINGS, max_images=run.settings.get("max_images"))
    return analyze(AnalysisRequest(str(checkpoint), data_id, settings=settings))


def bundle(folder: Path, epoch: int | None, data_id: str, files: Path | None) -> str:
    """Make one analysis and store it where the app looks for it."""
    run = open_run(folder)
    path = run.analysis_path(epoch, data_id)
    name = run.checkpoint_path(epoch).name
    if not run.checkpoint_path(epoch).is_file() and not (files and (files / name).is_file()):
        return f"{run.id}: {name} is not in the repository; give its folder with --files"
    store.save(path, make(run, epoch, data_id, files))
    return f"{path.parent.parent.name}/{path.name}  {path.stat().st_size / 1024:.0f} KiB"


def train_again(run: Run) -> None:
    """Replace a trained run by what its recipe makes now."""
    from core.training.loop import train
    from core.training.recipes import find_recipe

    if run.recipe is None or run.seed is None:
        return
    with tempfile.TemporaryDirectory(dir=run.folder.parent) as temporary:
        made = train(find_recipe(run.recipe), Path(temporary) / run.id, seed=run.seed)
        shutil.rmtree(run.folder)
        made.folder.replace(run.folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--files", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [r for r in library.runs() if not arguments.runs or r.id in arguments.runs]
    for run in chosen:
        if arguments.train or not arguments.runs:
            train_again(run)
    work = [
        (run.folder, checkpoint.epoch, data.id, arguments.files)
        for run in map(open_run, (r.folder for r in chosen))
        for checkpoint in run.checkpoints
        for data in run.data
    ]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for line in pool.map(bundle, *zip(*work, strict=True)):
            print(line, flush=True)


if __name__ == "__main__":
    main()

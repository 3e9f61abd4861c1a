"""Make the bundled analyses again.

python -m scripts.bundle              of every run that has some (about ten minutes on two cores)
python -m scripts.bundle RUN …        of these runs

``scripts.train_runs`` and ``scripts.bundle_runs`` train the runs and measure their checkpoints.

A run may list a published checkpoint that is too large for the repository: --files FOLDER says
where it is (run.json tells where it was published); without it the run's analysis stays as it is.
"""

from __future__ import annotations

import argparse
import os
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--files", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [
        run
        for run in library.runs()
        if run.id in arguments.runs or (not arguments.runs and (run.folder / "analyses").is_dir())
    ]
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

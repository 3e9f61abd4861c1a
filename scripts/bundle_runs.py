"""Measure trained runs on their data and copy them to checkpoints/, as they are bundled.

python -m scripts.bundle_runs --from FOLDER [RUN …]

FOLDER is what ``scripts.train_runs`` wrote, or checkpoints itself, to measure again. Seeds other
than 0 are bundled without their checkpoint files (unless the recipe asks for them), and without the
points that are drawn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from core import store
from core.checkpoints.runs import Run, open_run
from core.dynamics.kept import bundled_path
from core.dynamics.request import request_of
from core.dynamics.results import Dynamics
from core.library import BUNDLED_RUNS


def measured(run: Run, data_id: str) -> Dynamics:
    """The dynamics of a run on one of its data sets; on the CPU, so that they come out the same."""
    from core.dynamics import compute

    made = compute.run(request_of(run, data_id, device="cpu"))
    made = replace(made, seconds={})
    return made if run.seed == 0 else _without_points(made)


def _without_points(made: Dynamics) -> Dynamics:
    """Nothing is drawn of a further seed but its curves."""
    epochs = len(made.epochs)
    return replace(made, labels=made.labels[:0], points=np.zeros((epochs, 0, 3), dtype=np.float16))


def bundle(folder: Path) -> str:
    """Measure one run, then copy it."""
    run = open_run(folder)
    if not run.finished:
        return f"{run.id}: not finished"
    target = BUNDLED_RUNS / run.id
    found = {entry.id: measured(run, entry.id) for entry in run.data}
    shutil.rmtree(target / "dynamics", ignore_errors=True)
    if target.resolve() != folder.resolve():
        target.mkdir(exist_ok=True)
        shutil.rmtree(target / "robustness", ignore_errors=True)  # of other weights
        for old in target.glob("epoch_*"):
            old.unlink()
        shutil.copy2(folder / "run.json", target / "run.json")
        whole = run.seed == 0 or run.settings.get("all_checkpoints")
        for checkpoint in run.checkpoints if whole else ():
            shutil.copy2(folder / checkpoint.file, target / checkpoint.file)
    for data_id, made in found.items():
        store.save(bundled_path(replace(run, folder=target), data_id), made)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    last = found[run.data[0].id]
    values = ", ".join(f"{k} {last.of(k)[-1]:.4f}" for k in ("nc1", "cosine_std", "nc3"))
    return f"{run.id:28} {size / 1e6:5.2f} MB  train {last.accuracy[-1]:.4f}, {values}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--from", dest="source", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folders = sorted(p.parent for p in arguments.source.glob("*/run.json"))
    # of a recipe that is named, all seeds: digits-ce, digits-ce.1, …
    names = set(arguments.runs)
    chosen = [f for f in folders if not names or {f.name, f.name.partition(".")[0]} & names]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for line in pool.map(bundle, chosen):
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

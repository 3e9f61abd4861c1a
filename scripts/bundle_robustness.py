"""Measure how the runs that are compared on the page Robustness stand noise and attacks.

python -m scripts.bundle_robustness [COMPARISON …] [--from FOLDER] [--only TEXT] [--force]
                                    [--jobs N]

FOLDER holds run folders as ``scripts.train_runs`` writes them; checkpoints/ unless it is given. The
tables are written into ``robustness/`` of every run; those that exist are left alone, unless
--force is given. CPU only and seeded: the same numbers every time. About 20 minutes of one core for
everything.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from core import store
from core.checkpoints.runs import Run, open_run
from core.library import BUNDLED_RUNS
from core.request import AnalysisRequest
from core.results import Settings
from core.robustness.comparisons import COMPARISONS, Comparison, run_ids
from core.robustness.kept import MOST_SEEDS, attack_path, corruption_path
from core.robustness.request import NORMS, RADII, AttackRequest, CorruptionRequest

SETTINGS = Settings(device="cpu")
IMAGES = 1000  # of a table of corruptions

Request = CorruptionRequest | AttackRequest


@dataclass(frozen=True, slots=True)
class Attacked:
    """How the networks of a comparison are attacked."""

    values: tuple[float, ...]  # of the knob, beside that of training
    images: int


ATTACKED = {
    "cifar-sdnet": Attacked((0.2, 0.4), 300),
    "digits-sdnet": Attacked((0.05, 0.2), 200),
}


def requests(name: str, folder: Path) -> Iterator[tuple[Path, Request]]:
    """Every table of a comparison: where it is written, and what to ask for. Runs that are not
    there or not finished are told about and left out."""
    comparison = COMPARISONS[name]
    for plain, sparse in zip(comparison.plain, comparison.sparse, strict=True):
        sides = [_trained(folder, recipe) for recipe in (plain, sparse)]
        for side, (runs, others) in enumerate(((sides[0], sides[1]), (sides[1], sides[0]))):
            for seed, run in runs.items():
                yield from _of_run(name, comparison, run, others.get(seed), sparse=side == 1)


def _trained(folder: Path, recipe: str) -> dict[int, Run]:
    """The finished runs of a recipe by seed."""
    found = {}
    for seed, run_id in enumerate(run_ids(recipe, MOST_SEEDS)):
        if not (folder / run_id / "run.json").is_file():
            continue
        run = open_run(folder / run_id)
        if run.finished and run.checkpoint_path(None).is_file():
            found[seed] = run
        else:
            print(f"{run_id}: still training, or without its checkpoint; left out", flush=True)
    if not found:
        print(f"{recipe}: no run in {folder}; left out", flush=True)
    return found


def _of_run(
    name: str, comparison: Comparison, run: Run, other: Run | None, sparse: bool
) -> Iterator[tuple[Path, Request]]:
    network = AnalysisRequest(
        str(run.checkpoint_path(None)), comparison.test_data, run.title, settings=SETTINGS
    )
    apart = comparison.calibration if sparse else None
    yield (
        corruption_path(run.folder),
        CorruptionRequest(
            network,
            values=comparison.values if sparse else (),
            calibration=apart,
            max_images=IMAGES,
        ),
    )
    if name not in ATTACKED:
        return
    attacked = ATTACKED[name]
    for norm in NORMS:
        yield (
            attack_path(run.folder, norm),
            AttackRequest(
                network,
                norm,
                RADII[norm],
                values=attacked.values if sparse else (),
                calibration=apart,
                source=None if other is None else str(other.checkpoint_path(None)),
                source_name="" if other is None else other.title,
                max_images=attacked.images,
            ),
        )


def measure(path: Path, request: Request) -> str:
    """Make one table and store it; a line that says so."""
    import torch

    from core.robustness import attacks, corruptions

    torch.set_num_threads(1)  # sums in another order would be other numbers
    started = time.process_time()
    if isinstance(request, AttackRequest):
        store.save(path, attacks.run(request))
    else:
        store.save(path, corruptions.run(request))
    seconds = time.process_time() - started
    return f"{path.parent.parent.name}/{path.name}  {seconds:.0f} s of CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparisons", nargs="*", metavar="COMPARISON", help=", ".join(COMPARISONS))
    parser.add_argument("--from", dest="folder", type=Path, default=BUNDLED_RUNS)
    parser.add_argument("--only", default="", help="tables whose RUN/TABLE contains this")
    parser.add_argument("--force", action="store_true", help="also tables that exist")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    names = arguments.comparisons or list(COMPARISONS)
    if unknown := set(names) - set(COMPARISONS):
        parser.error(f"no comparison {', '.join(sorted(unknown))}: use {', '.join(COMPARISONS)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    work = [
        (path, request)
        for name in names
        for path, request in requests(name, arguments.folder)
        if arguments.only in f"{path.parent.parent.name}/{path.stem}"
        and (arguments.force or not path.is_file())
    ]
    started, failed = time.perf_counter(), 0
    # spawned, so that the number of threads is read anew
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(measure, path, request): path for path, request in work}
        for i, future in enumerate(as_completed(waiting), start=1):
            try:
                line = future.result()
            except Exception as error:  # the others go on
                failed += 1
                line = f"{waiting[future]}: {error!r}"
            passed = time.perf_counter() - started
            print(f"{i} of {len(work)}, {passed:.0f} s: {line}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

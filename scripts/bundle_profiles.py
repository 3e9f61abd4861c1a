"""Make the bundled profiles again: a run's last checkpoint on its splits and every corruption.

python -m scripts.bundle_profiles [RUN …]
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace

from core import library, store
from core.checkpoints.runs import Run
from core.data.corruptions import FAMILIES, SEVERITIES, spec_of
from core.request import AnalysisRequest
from core.shift.profile import Profiles, bundled_path, requests_for, splits_of
from scripts.bundle import SETTINGS

RUNS = ("resnet20-cifar10", "digits-mlp")


def make(run: Run) -> Profiles:
    """The run's splits as they are, and every corruption and severity of its test split."""
    from core.shift.compute import measure

    training, others = splits_of(run)
    base = others[0].id
    checkpoint = run.checkpoint_path(None)
    # the architecture is that found on clean images: corrupted ones must not rank it
    found = library.load(run.id, None, base).checkpoint.architecture
    settings = replace(SETTINGS, architecture=found or "auto")
    behind = AnalysisRequest(str(checkpoint), base, settings=settings)
    specs = [spec_of(base, name, severity) for name in FAMILIES for severity in SEVERITIES]
    wanted = [*(entry.id for entry in training), base, *specs]
    made = measure(requests_for(behind, [(data, "") for data in wanted]), progress=_say)
    return Profiles(library.file_sha256(checkpoint), made)


def _say(done: int, total: int, what: str) -> None:
    if done % 1000 == 0:
        print(f"{done // 1000} of {total // 1000}", flush=True)


def main(names: list[str]) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for run in library.runs():
        if run.id in (names or RUNS):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["FEATURESCOPE_CACHE"] = cache  # nothing that was kept before
                store.save(bundled_path(run, None), make(run))


if __name__ == "__main__":
    main(sys.argv[1:])

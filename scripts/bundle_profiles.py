"""Make the bundled profiles again: a run's last checkpoint under every corruption and severity.

python -m scripts.bundle_profiles [RUN …]
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from core import library, store
from core.checkpoints.runs import Run
from core.data.corruptions import FAMILIES, SEVERITIES, spec_of
from core.request import AnalysisRequest
from core.shift.profile import Profiles, bundled_path, profile_of, requests_for, splits_of
from scripts.bundle import SETTINGS

RUNS = ("resnet20-cifar10", "digits-mlp")


def make(run: Run) -> Profiles:
    """Every corruption and severity of the run's test split."""
    from core.analysis import analyze

    data = splits_of(run)[1][0].id
    checkpoint = run.checkpoint_path(None)
    # the architecture is that found on clean images: corrupted ones must not rank it
    found = library.load(run.id, None, data).checkpoint.architecture
    settings = replace(SETTINGS, architecture=found or "auto")
    behind = AnalysisRequest(str(checkpoint), data, settings=settings)
    specs = [spec_of(data, name, severity) for name in FAMILIES for severity in SEVERITIES]
    profiles = []
    for request in requests_for(behind, [(spec, "") for spec in specs]):
        profiles.append(profile_of(analyze(request), request.data or ""))
        print(f"{run.id}  {request.data}  {profiles[-1].accuracy:.3f}", flush=True)
    return Profiles(library.file_sha256(checkpoint), tuple(profiles))


def main(names: list[str]) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for run in library.runs():
        if run.id in (names or RUNS):
            store.save(bundled_path(run, None), make(run))


if __name__ == "__main__":
    main(sys.argv[1:])

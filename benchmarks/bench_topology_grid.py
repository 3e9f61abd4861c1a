"""All classes and layers of ResNet-20 on the bundled sample, as a page asks for them."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from core import jobs, library
from core.request import AnalysisRequest
from core.results import Settings, TopologyOptions
from core.topology_grid import GridRequest, grid_id, opened

LANDMARKS = 300
COMPUTE = "core.topology_grid.compute:compute"


def run() -> dict[str, float]:
    """Seconds from the start of the job to the first cell and to the last, the forecast's first
    message, and peak memory of all its processes (shared pages counted once)."""
    run_ = library.find(library.DEFAULT_RUN)
    assert run_ is not None
    settings = Settings(architecture="resnet20_cifar")
    asked = AnalysisRequest(str(run_.checkpoint_path(None)), run_.data[0].id, settings=settings)
    request = GridRequest(asked, TopologyOptions(landmarks=LANDMARKS))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FEATURESCOPE_CACHE"] = cache
        jobs.warm()
        time.sleep(8)  # the libraries of the first job are imported in the background
        measured = _follow(request, jobs.submit(COMPUTE, request))
        started = time.perf_counter()
        jobs.submit(COMPUTE, request).wait()
        measured["again, s"] = time.perf_counter() - started
    return measured


def _follow(request: GridRequest, job: jobs.Job) -> dict[str, float]:
    grid, started = grid_id(request), time.perf_counter()
    found: dict[str, float] = {}
    peak = 0
    while (status := job.status()).state in ("queued", "running"):
        now = time.perf_counter() - started
        there = opened(grid)
        if status.what.startswith("Forecast") and "forecast shown, s" not in found:
            found["forecast shown, s"] = now
            print(status.what, file=sys.stderr)
        if there is not None and there.cells:
            found.setdefault("first cell, s", now)
            if len(there.cells) > there.classes:
                found.setdefault("first layer, s", now)
        peak = max(peak, _memory())
        time.sleep(0.05)
    if status.state != "done":
        raise RuntimeError(status.error)
    there = opened(grid)
    assert there is not None
    assert there.is_complete()
    found["all cells, s"] = time.perf_counter() - started
    return {"cells": float(len(there.cells)), **found, "peak memory, GiB": peak / (1 << 30)}


def _memory() -> int:
    """Proportional memory of all processes below this one, in bytes; 0 where /proc is missing."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    mine, below = {os.getpid()}, 0
    while len(mine) != below:
        below = len(mine)
        mine |= {pid for pid, parent in parents.items() if parent in mine}
    total = 0
    for pid in mine - {os.getpid()}:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:24} {value:.3g}")

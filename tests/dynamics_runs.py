"""Runs with synthetic dynamics beside them, for tests of pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from synthetic_dynamics import synthetic_dynamics

from core import store
from core.checkpoints.runs import Run
from core.dynamics.kept import bundled_path


def write_dynamics(run: Run, **options: Any) -> None:
    """Dynamics of all checkpoints of ``run`` on all its data sets, the seed by their order."""
    for seed, entry in enumerate(run.data):
        made = synthetic_dynamics(epochs=run.epochs, data=entry.id, seed=seed, **options)
        made = replace(made, files=tuple(c.file for c in run.checkpoints))
        store.save(bundled_path(run, entry.id), made)

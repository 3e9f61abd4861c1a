"""Every run with its final figures, family by family: what ``python -m core runs`` prints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from core.checkpoints.runs import Run
from core.dynamics.kept import kept
from core.errors import UserError
from core.library import load, runs
from core.results import Analysis
from core.training.families import FAMILIES

SHOWN = ("train_accuracy", "test_accuracy", "nc1", "nc2_means", "cosine_std", "nc3", "nc4")
COLLAPSED = {"nc1": 0.02, "cosine_std": 0.08, "nc3": 0.15}
"""On the training data, a run with true labels is held to values below these."""


def run_table() -> list[dict[str, Any]]:
    """One row per run: the figures of its last checkpoint, collapse on its first data set (the
    training data where it was trained here), and the families that its recipe belongs to."""
    return [_row(run) for run in runs()]


def lines(table: list[dict[str, Any]]) -> Iterator[str]:
    """The table as text: runs of no family first, then every family."""
    width = max((len(row["name"]) for row in table), default=0)
    heads = "".join(f"{key.removesuffix('_means'):>15}" for key in SHOWN)
    yield f"{'':{width}}  epochs{heads}"
    for row in table:
        if not row["families"]:
            yield _line(row, width)
    for name, family in FAMILIES.items():
        members = [row for row in table if name in row["families"]]
        if members:
            yield ""
            yield f"{family.title}: {family.question} ({family.source})"
            members.sort(key=lambda row: family.recipes.index(row["recipe"]))
            yield from (_line(row, width) for row in members)
    yield ""
    bounds = ", ".join(f"{key} < {value:g}" for key, value in COLLAPSED.items())
    yield f"Collapse is measured on the training data where a run has them. *: not {bounds}."


def _line(row: dict[str, Any], width: int) -> str:
    cells = []
    for key in SHOWN:
        value = row["final"].get(key)
        missed = row["recipe"] and value is not None and value >= COLLAPSED.get(key, math.inf)
        cells.append(f"{'n/a' if value is None else f'{value:.4f}'}{'*' if missed else ' '}")
    last = row["epochs"][-1] if row["epochs"] else ""
    return f"{row['name']:{width}}  {last:>6}" + "".join(f"{cell:>15}" for cell in cells)


def _row(run: Run) -> dict[str, Any]:
    final: dict[str, float | None] = {
        key: run.history[key][-1]
        for key in ("train_accuracy", "test_accuracy")
        if run.history.get(key)
    }
    final |= _last_collapse(run)
    analysis = None if len(final) > 2 else _last_analysis(run)
    if analysis is not None:
        final.setdefault("test_accuracy", analysis.accuracy)
        if analysis.penultimate is not None:
            final |= analysis.penultimate.collapse.values()
    return {
        "name": run.id,
        "recipe": run.recipe,
        "epochs": list(run.epochs),
        "data": run.first_data,
        "families": [name for name, f in FAMILIES.items() if run.recipe in f.recipes],
        "final": final | run.results,
    }


def _last_collapse(run: Run) -> dict[str, float | None]:
    """Neural collapse of the last checkpoint on the run's first data, from its dynamics."""
    measured = kept(run, run.first_data) if run.first_data else None
    if measured is None:
        return {}
    last = {key: float(column[-1]) for key, column in measured.collapse.items()}
    return {key: None if math.isnan(value) else value for key, value in last.items()}


def _last_analysis(run: Run) -> Analysis | None:
    try:
        return load(run.id) if run.checkpoints else None
    except UserError:
        return None

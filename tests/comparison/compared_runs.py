"""Runs with chosen numbers, for tests of comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from synthetic_dynamics import synthetic_dynamics

from core.checkpoints.runs import DataEntry, Run, RunCheckpoint
from core.comparison.groups import Final, Measured, final, groups_of
from core.dynamics.results import Dynamics
from core.training.recipes import RECIPES

EPOCHS = (0, 1, 3, 10, 30, 100)
COLLAPSED = {"nc1": 0.005, "nc3": 0.08, "cosine_std": 0.04, "nc2_means": 0.1, "nc4": 0.0}


class Made:
    """Runs as they are added, and what was measured of them."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.known: dict[tuple[str, str], Dynamics] = {}

    def add(
        self,
        recipe: str,
        seed: int = 0,
        *,
        test: float = 0.96,
        train: float = 1.0,
        ends: Mapping[str, float] = COLLAPSED,
        zero_from: int = 20,
        results: Mapping[str, float] | None = None,
        classifier: Sequence[Sequence[float]] | None = None,
        **changes: object,
    ) -> Run:
        """A run of a recipe that ends with these numbers on its training data."""
        made = RECIPES[recipe]
        epochs = np.arange(EPOCHS[-1] + 1)
        accuracy = np.where(epochs >= zero_from, train, 0.5 * train)
        run = Run(
            id=recipe if seed == 0 else f"{recipe}.{seed}",
            folder=Path("/runs") / f"{recipe}.{seed}",
            title=made.title,
            group=made.group,
            checkpoints=tuple(RunCheckpoint(f"epoch_{e:05}.safetensors", e) for e in EPOCHS),
            data=(DataEntry(made.train_data, "train"), DataEntry(made.test_data, "test")),
            recipe=recipe,
            settings=json.loads(json.dumps(asdict(made))),
            seed=seed,
            history={
                "epoch": epochs.tolist(),
                "train_accuracy": accuracy.tolist(),
                "test_accuracy": (test * np.ones(len(epochs))).tolist(),
            },
            results=dict(results or {}),
        )
        run = replace(run, **changes)  # type: ignore[arg-type]
        found = synthetic_dynamics(EPOCHS, data=made.train_data, seed=seed)
        falling = 2.0 - np.array(EPOCHS) / EPOCHS[-1]  # to 1 at the last epoch
        collapse = {k: ends.get(k, 1.0) * falling for k in found.collapse}
        found = replace(found, collapse=collapse)
        if classifier is not None:
            rows = np.repeat(np.asarray(classifier, dtype=float)[None], len(EPOCHS), axis=0)
            found = replace(found, classifier_coordinates=rows)
        self.known[run.id, made.train_data] = found
        self.runs.append(run)
        return run

    @property
    def measured(self) -> Measured:
        return lambda run, data: self.known.get((run.id, data))

    @property
    def finals(self) -> tuple[Final, ...]:
        return tuple(final(group, self.measured) for group in groups_of(self.runs))

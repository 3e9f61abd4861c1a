"""Runs as they are compared: the seeds of one recipe are one line, with a band over the seeds.

Imports neither torch nor anything else that is slow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.checkpoints.runs import DataEntry, Run, splits_of
from core.dynamics.phases import terminal_epoch
from core.dynamics.results import Dynamics

Split = Literal["train", "test"]
Better = Literal["low", "high"]
Measured = Callable[[Run, str], Dynamics | None]
"""measured(run, data id): what is known of a run on a data set, as ``core.dynamics.kept.kept``."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number over the epochs, and how it is shown."""

    title: str  # in a choice and a table
    axis: str  # with its unit
    better: Better | None = None  # None: neither end is better
    log: bool = False
    factor: float = 1.0
    decimals: int = 3
    threshold: float | None = None  # collapsed below, on the training data
    target: float | None = None  # value of a collapsed network


QUANTITIES: dict[str, Quantity] = {
    "accuracy": Quantity("accuracy", "accuracy (%)", "high", factor=100.0, decimals=2),
    "nc1": Quantity("NC1", "NC1", "low", log=True, threshold=0.02),
    "nc2_means": Quantity("NC2", "NC2 of the means", "low", target=0.0),
    "nc3": Quantity("NC3", "NC3", "low", threshold=0.15, target=0.0),
    "nc4": Quantity("NC4", "NC4 (%)", "low", factor=100.0, decimals=2, target=0.0),
    "cosine_std": Quantity(
        "cosine spread", "standard deviation of cosines", "low", threshold=0.08, target=0.0
    ),
    "twonn": Quantity("dimension", "TwoNN dimension", decimals=1),
    "nonzero_fraction": Quantity("non-zeros", "non-zeros (%)", factor=100.0, decimals=1),
    "loss": Quantity("cross-entropy", "cross-entropy", "low", log=True),
}
"""Keys of ``Dynamics.of``. The thresholds are those that a collapsed run on the training data is
held to; they are not the papers', which give none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in their seed alone."""

    id: str  # of its first run
    title: str
    recipe: str | None
    runs: tuple[Run, ...]  # by seed

    @property
    def settings(self) -> dict[str, object]:
        return self.runs[0].settings


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity of a group over its epochs. E epochs that all its seeds have; NaN: undefined."""

    id: str
    title: str
    epochs: np.ndarray  # (E,)
    mean: np.ndarray  # (E,) over the seeds
    low: np.ndarray  # (E,) smallest
    high: np.ndarray  # (E,) largest
    seeds: int
    terminal: tuple[int | None, ...] = ()  # per seed: first epoch of the terminal phase

    @property
    def terminal_median(self) -> float | None:
        """The median over the seeds; None where one of them has no terminal phase."""
        known = [t for t in self.terminal if t is not None]
        return float(np.median(known)) if known and len(known) == len(self.terminal) else None


def groups_of(runs: Iterable[Run]) -> tuple[Group, ...]:
    """The runs as groups, in the order of their first members.

    One group: the same recipe with the same settings and data, in the same folder of runs (a recipe
    that the reader trained again stands beside the bundled one), each seed once.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        key = _key(run)
        seeds = [r.seed for r in found.get(key, [])]
        found.setdefault(f"{key} {run.id}" if run.seed in seeds else key, []).append(run)
    groups = []
    for members in found.values():
        ordered = sorted(members, key=lambda r: (r.seed or 0, r.id))
        first = ordered[0]
        groups.append(Group(first.id, first.title, first.recipe, tuple(ordered)))
    return _distinct(groups)


def _key(run: Run) -> str:
    if run.recipe is None or run.seed is None:
        return json.dumps([str(run.folder)])
    settings = {k: v for k, v in run.settings.items() if k not in ("seed", "title")}
    parts = [str(run.folder.parent), run.recipe, settings, [d.id for d in run.data]]
    return json.dumps(parts, sort_keys=True, default=str)


def _distinct(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The same groups with titles that tell them apart."""
    titles = [g.title for g in groups]
    return tuple(
        Group(g.id, f"{g.title} ({g.id})", g.recipe, g.runs) if titles.count(g.title) > 1 else g
        for g in groups
    )


def data_of(run: Run, split: Split) -> DataEntry | None:
    """The data set that a run was trained on, or the first other one; None where it has none."""
    return splits_of(run.data).get(split)


def curve(group: Group, key: str, split: Split, measured: Measured) -> Curve | None:
    """The quantity over the epochs, in the units it is shown in; None where no seed has it.

    Accuracy comes from every epoch of the history where the run has one, everything else from the
    checkpoints. Seeds that were not measured are left out.
    """
    factor = QUANTITIES[key].factor
    columns = [c for c in (_column(run, key, split, measured) for run in group.runs) if c]
    if not columns:
        return None
    shared = sorted(set.intersection(*(set(c) for c in columns)))
    if not shared:  # seeds with other checkpoints: the first one alone says something true
        columns = columns[:1]
        shared = sorted(columns[0])
    values = factor * np.array([[c[e] for e in shared] for c in columns])  # (seeds, E)
    return Curve(
        id=group.id,
        title=group.title,
        epochs=np.array(shared, dtype=np.int64),
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
        seeds=len(columns),
        terminal=tuple(terminal_of(run, measured) for run in group.runs),
    )


def terminal_of(run: Run, measured: Measured) -> int | None:
    """The first epoch of zero training error that lasts; None: there is none, or not known."""
    if run.history.get("train_accuracy"):
        return terminal_epoch(run.history)
    found = _dynamics(run, "train", measured)
    return None if found is None else terminal_epoch(run.history, found.epochs, found.accuracy)


def _column(run: Run, key: str, split: Split, measured: Measured) -> dict[int, float]:
    """Epoch → value, NaN where it is undefined; empty where the run has none."""
    history = run.history.get(f"{split}_accuracy") if key == "accuracy" else None
    if history:
        epochs = run.history.get("epoch") or range(len(history))
        return {int(e): float(v) for e, v in zip(epochs, history, strict=False)}
    dynamics = _dynamics(run, split, measured)
    if dynamics is None:
        return {}
    values = dynamics.of(key)
    if not np.isfinite(values).any():
        return {}
    return dict(zip(dynamics.epochs.tolist(), values.tolist(), strict=True))


def _dynamics(run: Run, split: Split, measured: Measured) -> Dynamics | None:
    entry = data_of(run, split)
    return None if entry is None else measured(run, entry.id)


# --- final values ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stat:
    """A number over the seeds, in the units it is shown in."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds, dividing by one less; None for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True, slots=True)
class Final:
    """What a group ends with. Keys of ``train`` and ``test``: those of QUANTITIES, where known."""

    group: Group
    train: dict[str, Stat]
    test: dict[str, Stat]
    epochs: int | None  # the last one
    terminal: tuple[int | None, ...]  # per seed
    results: dict[str, Stat]  # of ``Run.results``, as they are stored

    def stat(self, key: str, split: Split = "train") -> Stat | None:
        return (self.train if split == "train" else self.test).get(key)

    def mean(self, key: str, split: Split = "train") -> float | None:
        found = self.stat(key, split)
        return None if found is None else found.mean


def final(group: Group, measured: Measured) -> Final:
    """The last epoch of every seed."""
    columns: dict[Split, dict[str, Stat]] = {"train": {}, "test": {}}
    last = None
    for split in ("train", "test"):
        for key, quantity in QUANTITIES.items():
            ends = []
            for run in group.runs:
                column = _column(run, key, split, measured)
                last = max([*column, last or 0]) if column else last
                end = column[max(column)] if column else np.nan
                if np.isfinite(end):
                    ends.append(quantity.factor * end)
            if ends:
                columns[split][key] = Stat(tuple(ends))
    keys = dict.fromkeys(k for run in group.runs for k in run.results)
    results = {k: Stat(tuple(r.results[k] for r in group.runs if k in r.results)) for k in keys}
    return Final(
        group=group,
        train=columns["train"],
        test=columns["test"],
        epochs=last,
        terminal=tuple(terminal_of(run, measured) for run in group.runs),
        results=results,
    )


def misses(found: Final) -> tuple[str, ...] | None:
    """The thresholds of collapse that the mean over the seeds misses on the training data; empty:
    collapsed; None: one was not measured."""
    missed = []
    for key, quantity in QUANTITIES.items():
        if quantity.threshold is None:
            continue
        value = found.mean(key)
        if value is None:
            return None
        if value >= quantity.threshold:
            missed.append(key)
    return tuple(missed)


def best_and_worst(
    finals: Sequence[Final], key: str, split: Split
) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of the groups with the best and the worst mean; empty where neither end is better, fewer
    than two have a value, or all show the same."""
    quantity = QUANTITIES[key]
    known = {f.group.id: f.mean(key, split) for f in finals}
    values = {i: round(v, quantity.decimals) for i, v in known.items() if v is not None}
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    if quantity.better is None or low == high:
        return frozenset(), frozenset()
    ends = [frozenset(i for i, v in values.items() if v == end) for end in (low, high)]
    return (ends[0], ends[1]) if quantity.better == "low" else (ends[1], ends[0])

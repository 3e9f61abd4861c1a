"""What the dynamics of a run show, in sentences made of their numbers. Needs numpy alone.

Sentences are Markdown; names of layers in them are escaped.
"""

from __future__ import annotations

import numpy as np

from core.dynamics.phases import STAYS
from core.dynamics.results import Dynamics
from core.figures.theme import number, significant
from core.text import plain

_AFTER = {"nc1": "NC1", "nc2_means": "NC2", "nc3": "NC3", "cosine_std": "the spread of the cosines"}
_FALLS = 0.9  # of its value at the start of the terminal phase, and below: it fell
_RISES = 1.1


def zero_error(train: Dynamics, terminal: int | None, settled: int | None = None) -> str:
    """When the training error first vanished, or how near it came. ``train``: dynamics on the
    training data; ``terminal`` and ``settled``: epochs from ``phases``."""
    if terminal is not None:
        last = int(train.epochs[-1])
        text = (
            f"**The training error first vanishes at epoch {terminal:,}**, where the terminal "
            f"phase begins: {last - terminal:,} of {last:,} epochs."
        )
        back = f"more than {_percent(1 - STAYS)} of the training images wrong"
        if settled is None:
            return f"{text} It came back: later epochs, to the last ones, have {back}."
        if settled > terminal:
            return f"{text} Until epoch {settled:,} single epochs still have {back}."
        return text
    known = np.flatnonzero(np.isfinite(train.accuracy))
    if not len(known):
        return "The network has no classifier, so that there is no training error."
    best = known[train.accuracy[known].argmax()]
    return (
        "**The training error never vanishes**, so that there is no terminal phase to mark: the "
        f"highest training accuracy of these checkpoints is {_percent(train.accuracy[best])}, at "
        f"epoch {int(train.epochs[best]):,}."
    )


def at_the_end(train: Dynamics, test: Dynamics | None) -> str:
    """NC1, NC2 and NC3 of the last checkpoint, on the training and on the test data."""
    said = [f"At epoch {int(train.epochs[-1]):,}, on the training data: {_metrics(train)}"]
    if test is not None:
        said.append(f"on the test data: {_metrics(test)}")
    target = _last(train, "etf_target")
    mean, std = _last(train, "cosine_mean"), _last(train, "cosine_std")
    text = "; ".join(said) + "."
    if target is not None and mean is not None and std is not None:
        text += (
            f" Cosines between the class means of the training data: {number(mean, 3)} ± "
            f"{number(std, 3)}; a simplex ETF has {number(target, 3)} ± 0."
        )
    return text


def since_zero_error(train: Dynamics, terminal: int | None) -> str | None:
    """By how much each metric changed in the terminal phase, on the training data, whichever way it
    went: since its first checkpoint, or where it has one alone, since the last one before it. None
    without a terminal phase, or a checkpoint to compare with."""
    if terminal is None:
        return None
    rows = np.flatnonzero(train.epochs >= terminal)
    alone = len(rows) == 1
    if alone and rows[0] > 0:
        rows = np.array([rows[0] - 1, rows[0]])
    if len(rows) < 2:
        return None
    falls, stays, rises = [], [], []
    for key, name in _AFTER.items():
        first, last = (float(train.of(key)[row]) for row in (rows[0], rows[-1]))
        if not (np.isfinite(first) and np.isfinite(last)) or first <= 0:
            continue
        ratio = last / first
        said = f"{name} ({significant(first, 2)} to {significant(last, 2)}"
        if ratio <= _FALLS:
            falls.append(f"{said}, ÷ {significant(1 / ratio, 2) if ratio > 0 else '∞'})")
        elif ratio < _RISES:
            stays.append(f"{said})")
        else:
            rises.append(f"{said}, × {significant(ratio, 2)})")
    if not (falls or stays or rises):
        return None
    which = "last checkpoint before" if alone else "first checkpoint of"
    text = f"From epoch {int(train.epochs[rows[0]]):,}, the {which} the terminal phase, "
    parts = []
    if falls:
        parts.append(f"{_listed(falls)} fell")
    if stays:
        parts.append(f"{_listed(stays)} stayed about the same")
    if rises:
        parts.append(f"{_listed(rises)} rose")
    return text + "; ".join(parts) + "."


def of_layers(dynamics: Dynamics, quantity: str) -> str:
    """Where and when the structure of a layer × epoch heat map emerges."""
    values = np.asarray(dynamics.layer_values[quantity], dtype=np.float64)
    rows = [i for i in range(len(values)) if np.isfinite(values[i, [0, -1]]).all()]
    if not rows:
        return "Not measured in the first and the last checkpoint."
    names = [plain(layer.name) for layer in dynamics.layers]
    last = values[rows, -1]
    low, high = rows[int(last.argmin())], rows[int(last.argmax())]
    end = int(dynamics.epochs[-1])
    if quantity == "nc1":
        text = (
            f"At epoch {end:,} lowest in **{names[low]}** ({significant(values[low, -1], 2)}), "
            f"highest in {names[high]} ({significant(values[high, -1], 2)})."
        )
        return f"{text} {_half_way(dynamics, values, rows, names)}"
    if quantity == "nonzero_fraction":
        return (
            f"Sparsest at epoch {end:,}: **{names[low]}** with {_percent(values[low, -1])} "
            f"non-zeros, {_percent(values[low, 0])} at epoch {int(dynamics.epochs[0]):,}. Densest: "
            f"{names[high]} with {_percent(values[high, -1])}."
        )
    return (
        f"Lowest at epoch {end:,}: **{names[low]}** with {number(values[low, -1], 1)}, which began "
        f"at {number(values[low, 0], 1)}. Highest: {names[high]} with "
        f"{number(values[high, -1], 1)}."
    )


def _half_way(dynamics: Dynamics, values: np.ndarray, rows: list[int], names: list[str]) -> str:
    """When the first and the last layer had come half of their way down, on the log scale."""
    reached = {}
    for row in rows:
        line = values[row]
        if not (line[-1] < 0.5 * line[0]) or line[-1] <= 0:
            continue
        middle = np.sqrt(line[0] * line[-1])
        reached[row] = int(dynamics.epochs[np.flatnonzero(line <= middle)[0]])
    if not reached:
        return "No layer's NC1 fell to half of where it began."
    early, late = min(reached, key=lambda r: reached[r]), max(reached, key=lambda r: reached[r])
    if reached[early] == reached[late]:
        return f"Half of the way down (on the log scale) was done by epoch {reached[early]:,}."
    return (
        f"Half of the way down (on the log scale) was done by epoch {reached[early]:,} in "
        f"{names[early]}, by epoch {reached[late]:,} in {names[late]}."
    )


def _metrics(dynamics: Dynamics) -> str:
    accuracy = float(dynamics.accuracy[-1])
    parts = [f"accuracy {_percent(accuracy)}"] if np.isfinite(accuracy) else []
    for key, name in (("nc1", "NC1"), ("nc2_means", "NC2"), ("nc3", "NC3")):
        value = _last(dynamics, key)
        parts.append(f"{name} {'n/a' if value is None else significant(value, 2)}")
    return ", ".join(parts)


def _last(dynamics: Dynamics, key: str) -> float | None:
    value = float(dynamics.of(key)[-1])
    return value if np.isfinite(value) else None


def _percent(share: float) -> str:
    return number(100 * float(share), 1, " %")


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

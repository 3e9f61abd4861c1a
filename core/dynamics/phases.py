"""The terminal phase of training: from when on the training error is zero. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

STAYS = 0.999
"""Share of the training samples that must stay right for the training error to have settled."""

_ONE = 1 - 1e-6  # stored accuracies are rounded to six digits, or float32


def terminal_epoch(
    history: Mapping[str, Sequence[float]],
    epochs: Sequence[int] | np.ndarray | None = None,
    accuracy: Sequence[float] | np.ndarray | None = None,
) -> int | None:
    """The epoch at which the terminal phase starts, where the training error first vanishes; None
    if it never does (Papyan, Han and Donoho, PNAS 2020).

    From ``history["train_accuracy"]``, one value per epoch (``history["epoch"]``, else 0, 1, 2, …).
    Without it, from ``accuracy`` on the training data at the checkpoints of these ``epochs``: then
    the answer is the first such checkpoint, which may be later than the epoch itself. Epochs
    without a value (NaN) are left out.
    """
    at, values = _known(history, epochs, accuracy)
    starts = np.flatnonzero(values >= _ONE)
    return int(at[starts[0]]) if len(starts) else None


def settled_epoch(
    history: Mapping[str, Sequence[float]],
    epochs: Sequence[int] | np.ndarray | None = None,
    accuracy: Sequence[float] | np.ndarray | None = None,
) -> int | None:
    """The first epoch with training error 0 from which on the training accuracy never falls below
    99.9 % again; None if there is none. Arguments as of ``terminal_epoch``: with a high learning
    rate the error can come back for single epochs long after it first vanished."""
    at, values = _known(history, epochs, accuracy)
    lowest_after = np.minimum.accumulate(values[::-1])[::-1]
    starts = np.flatnonzero((values >= _ONE) & (lowest_after >= STAYS))
    return int(at[starts[0]]) if len(starts) else None


def _known(
    history: Mapping[str, Sequence[float]],
    epochs: Sequence[int] | np.ndarray | None,
    accuracy: Sequence[float] | np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and training accuracies, in order, without those that have no value."""
    known = history.get("train_accuracy")
    if known is not None and len(known):
        accuracy = known
        epochs = history.get("epoch", range(len(known)))  # type: ignore[assignment]
    if accuracy is None or epochs is None:
        return np.zeros(0), np.zeros(0)
    values = np.asarray(accuracy, dtype=np.float64)
    at = np.asarray(list(epochs), dtype=np.float64)[: len(values)]
    values = values[: len(at)]
    order = np.argsort(at[np.isfinite(values)], kind="stable")
    return at[np.isfinite(values)][order], values[np.isfinite(values)][order]

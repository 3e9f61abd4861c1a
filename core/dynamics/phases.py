"""The terminal phase of training: from when on the training error is zero. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

STAYS = 0.999
"""Share of the training samples that must stay right after the training error was zero once."""

_ONE = 1 - 1e-6  # stored accuracies are rounded to six digits, or float32


def terminal_epoch(
    history: Mapping[str, Sequence[float]],
    epochs: Sequence[int] | np.ndarray | None = None,
    accuracy: Sequence[float] | np.ndarray | None = None,
) -> int | None:
    """The epoch at which the terminal phase starts; None if it never does.

    The rule: the first epoch with training error 0 from which on the training accuracy never falls
    below 99.9 % again. (Papyan, Han and Donoho, PNAS 2020: the terminal phase begins where the
    training error first vanishes; the second half keeps a lucky epoch in between from counting.)

    From ``history["train_accuracy"]``, one value per epoch (``history["epoch"]``, else 0, 1, 2, …).
    Without it, from ``accuracy`` on the training data at the checkpoints of these ``epochs``: then
    the answer is the first such checkpoint, which may be later than the epoch itself. Epochs
    without a value (NaN) are left out.
    """
    known = history.get("train_accuracy")
    if known is not None and len(known):
        accuracy = known
        epochs = history.get("epoch", range(len(known)))  # type: ignore[assignment]
    if accuracy is None or epochs is None:
        return None
    values = np.asarray(accuracy, dtype=np.float64)
    at = np.asarray(list(epochs), dtype=np.float64)[: len(values)]
    values = values[: len(at)]
    order = np.argsort(at[np.isfinite(values)], kind="stable")
    at, values = at[np.isfinite(values)][order], values[np.isfinite(values)][order]
    lowest_after = np.minimum.accumulate(values[::-1])[::-1]
    starts = np.flatnonzero((values >= _ONE) & (lowest_after >= STAYS))
    return int(at[starts[0]]) if len(starts) else None

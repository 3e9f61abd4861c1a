"""What is measured of every checkpoint of a run, as columns over its epochs.

Symbols: E checkpoints, L layers, K classes, r = min(K-1, d) directions of the centred class means
of the penultimate features, S samples shown. NaN: undefined there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

LAYER_VALUES = (
    "nc1",
    "separation",
    "ncc_accuracy",
    "nonzero_fraction",  # NaN for a layer that is no output of an activation function
    "dead_fraction",
    "twonn",
    "twonn_low",
    "twonn_high",
    "participation_ratio",
)
"""Keys of ``Dynamics.layer_values``: see docs/metrics.md. Of pooled features."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of the run's network; the same in every checkpoint."""

    name: str
    kind: str
    dim: int  # of the pooled features
    depth: float  # 0 input … 1 output


@dataclass(frozen=True, slots=True)
class Dynamics:
    """The checkpoints of one run on one data set, in the order of their epochs."""

    data: str  # id of the run's data set
    data_name: str
    class_names: tuple[str, ...]
    counts: np.ndarray  # (K,) samples per class
    epochs: np.ndarray  # (E,) int64
    files: tuple[str, ...]  # (E,) names in the run's folder
    sha256: tuple[str, ...]  # (E,) of these files
    accuracy: np.ndarray  # (E,) share of samples classified right; NaN without a classifier
    loss: np.ndarray  # (E,) mean cross-entropy, whatever the network was trained with
    collapse: dict[str, np.ndarray]  # (E,) per key of NeuralCollapse.values()
    reasons: dict[str, str]  # why a key is undefined
    penultimate: str | None  # name of the layer before the classifier
    layers: tuple[LayerRow, ...]
    layer_values: dict[str, np.ndarray]  # (L, E) per key of LAYER_VALUES
    mean_coordinates: np.ndarray  # (E, K, r) mu_k - mu_G in an orthonormal basis of every epoch
    classifier_coordinates: np.ndarray  # (E, K, r) rows of W in the same basis; NaN without one
    within_trace: np.ndarray  # (E, K) mean squared distance of class k to its mean
    labels: np.ndarray  # (S,) of the samples shown; the same samples in every epoch
    points: np.ndarray  # (E, S, 3) float16, principal components of the penultimate features,
    # centred and divided by ``spread``; not aligned between epochs (core.dynamics.alignment)
    point_means: np.ndarray  # (E, K, 3) class means in the same units
    spread: np.ndarray  # (E,) root mean square distance of the features to their mean
    explained: np.ndarray  # (E, 3) share of variance of these components
    settings: dict[str, int | float | str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # "forward", "all", "checkpoints"
    warnings: tuple[str, ...] = ()

    def of(self, key: str) -> np.ndarray:
        """(E,) the column of that name: ``accuracy``, ``loss``, a collapse key, or a layer value at
        the layer ``layer_of(key)``. NaN where it was not measured; KeyError for an unknown name."""
        if key in ("accuracy", "loss"):
            return np.asarray(getattr(self, key))
        if key in self.collapse:
            return self.collapse[key]
        if key not in LAYER_VALUES:
            raise KeyError(key)
        row = self._row(key)
        if row is None or key not in self.layer_values:
            return np.full(len(self.epochs), np.nan)
        return np.asarray(self.layer_values[key][row])

    def layer_of(self, key: str) -> str | None:
        """The layer at which ``of`` reads a layer value: the penultimate one. Of zeros, the last
        output of an activation function up to it: an average over positions has none of its own."""
        row = self._row(key)
        return None if row is None else self.layers[row].name

    def _row(self, key: str) -> int | None:
        rows = [i for i, layer in enumerate(self.layers) if layer.name == self.penultimate]
        if not rows or key not in ("nonzero_fraction", "dead_fraction"):
            return rows[0] if rows else None
        known = np.isfinite(self.layer_values[key][: rows[0] + 1]).any(axis=1)
        return int(np.flatnonzero(known)[-1]) if known.any() else rows[0]


PER_EPOCH = (
    *("epochs", "accuracy", "loss", "mean_coordinates", "classifier_coordinates"),
    *("within_trace", "points", "point_means", "spread", "explained"),
)
"""Array fields whose first axis is the epoch."""


SETTLED = ("version", "architecture", "preprocessing", "seed")
"""Settings in which measurements of one run must agree."""


def joinable(parts: Sequence[Dynamics]) -> bool:
    """Whether the parts are of one network, measured in one way on the same samples."""
    first = parts[0]
    return all(
        p.layers == first.layers
        and p.class_names == first.class_names
        and all(p.settings.get(k) == first.settings.get(k) for k in SETTLED)
        and np.array_equal(p.counts, first.counts)
        and np.array_equal(p.labels, first.labels)
        for p in parts[1:]
    )


def take(dynamics: Dynamics, rows: Sequence[int]) -> Dynamics:
    """The checkpoints at these positions, in this order."""
    at = list(rows)
    arrays: dict[str, Any] = {k: getattr(dynamics, k)[at] for k in PER_EPOCH}
    return replace(
        dynamics,
        **arrays,
        files=tuple(dynamics.files[i] for i in at),
        sha256=tuple(dynamics.sha256[i] for i in at),
        collapse={k: v[at] for k, v in dynamics.collapse.items()},
        layer_values={k: v[:, at] for k, v in dynamics.layer_values.items()},
        seconds={k: v * len(at) / max(len(dynamics.files), 1) for k, v in dynamics.seconds.items()},
    )


def join(parts: Sequence[Dynamics]) -> Dynamics:
    """Several measurements of one run on one data set as one, in the order of their epochs.

    ValueError if they are not ``joinable``.
    """
    first = parts[0]
    if not joinable(parts):
        raise ValueError("the checkpoints of a run must be of one network, on the same data")
    order = np.argsort(np.concatenate([p.epochs for p in parts]), kind="stable")
    files = [name for p in parts for name in p.files]
    digests = [digest for p in parts for digest in p.sha256]
    arrays: dict[str, Any] = {
        k: np.concatenate([getattr(p, k) for p in parts])[order] for k in PER_EPOCH
    }
    return replace(
        first,
        **arrays,
        files=tuple(files[i] for i in order),
        sha256=tuple(digests[i] for i in order),
        collapse={k: np.concatenate([p.collapse[k] for p in parts])[order] for k in first.collapse},
        layer_values={
            k: np.concatenate([p.layer_values[k] for p in parts], axis=1)[:, order]
            for k in first.layer_values
        },
        reasons={k: v for p in parts for k, v in p.reasons.items()},
        seconds={
            k: sum(p.seconds.get(k, 0.0) for p in parts)
            for k in dict.fromkeys(k for p in parts for k in p.seconds)
        },
        warnings=tuple(dict.fromkeys(w for p in parts for w in p.warnings)),
    )

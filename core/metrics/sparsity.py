"""Share of activations that are not zero, from counts that were made while features streamed by."""

from __future__ import annotations

import numpy as np

from core.results import Estimate, Sparsity

EXACT_ZERO_ACTIVATIONS = frozenset(
    {"ReLU", "ReLU6", "Threshold", "Hardshrink", "Softshrink", "Hardswish", "HardSwish"}
    | {"Hardsigmoid", "HardSigmoid", "HardMish"}
)
"""Class names of activation functions that send a whole interval to exactly 0."""

SMOOTH_ACTIVATIONS = frozenset(
    {"GELU", "GELUTanh", "QuickGELU", "SiLU", "Swish", "Mish", "Tanh", "Sigmoid", "LogSigmoid"}
    | {"ELU", "CELU", "SELU", "Softplus", "Softsign", "Tanhshrink", "Hardtanh"}
    | {"LeakyReLU", "PReLU", "RReLU"}
)
"""Class names of activation functions without exact zeros: a threshold stands in for 0."""

RELATIVE_THRESHOLD = 1e-3
"""Of the largest |a| of a layer without exact zeros: what lies below counts as zero."""


def sparsity(
    nonzero_share: np.ndarray,
    unit_active: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    approximate: bool,
    threshold: float,
    is_activation: bool,
    relu_like: bool,
) -> Sparsity:
    """The share of nonzero entries of one layer's output, for all samples and class by class.

    nonzero_share (N,): of every sample, the share of its units that are not zero; labels (N,);
    unit_active (units,): whether, or how often, a unit was not zero. The 95 % interval is the
    normal one of a mean over N independent samples, mean ± 1.96 s/√N within [0, 1]; it says how
    far another draw of samples would move the share. A class without samples is NaN.
    """
    nonzero_share = np.asarray(nonzero_share, dtype=np.float64)
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, nonzero_share, minlength=classes)
    unit_active = np.asarray(unit_active)
    return Sparsity(
        nonzero_fraction=_mean_estimate(nonzero_share),
        dead_fraction=float((unit_active == 0).mean()) if unit_active.size else None,
        class_nonzero_fraction=np.where(counts > 0, sums / np.maximum(counts, 1), np.nan),
        approximate=approximate,
        threshold=threshold,
        is_activation=is_activation,
        relu_like=relu_like,
    )


def _mean_estimate(values: np.ndarray) -> Estimate:
    if len(values) == 0:
        return Estimate(value=None, reason="no samples")
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(value=mean, warnings=("one sample: no interval",))
    half = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return Estimate(value=mean, low=float(max(0.0, mean - half)), high=float(min(1.0, mean + half)))

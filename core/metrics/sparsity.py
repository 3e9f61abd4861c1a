"""Share of activations that are not zero, from counts that were made while features streamed by."""

from __future__ import annotations

import numpy as np

from core.results import Estimate, Sparsity

EXACT_ZERO_ACTIVATIONS = frozenset(
    {"ReLU", "ReLU6", "Threshold", "Hardshrink", "Softshrink", "Hardswish", "HardSwish"}
    | {"Hardsigmoid", "HardSigmoid", "HardMish"}
    | {"CSC2d", "TopK", "ReLUSquaredActivation"}
)
"""Class names of activation functions that send a whole interval to exactly 0, and of layers that
are sparse by design."""

SMOOTH_ACTIVATIONS = frozenset(
    {"GELU", "GELUTanh", "QuickGELU", "SiLU", "Swish", "Mish", "Tanh", "Sigmoid", "LogSigmoid"}
    | {"ELU", "CELU", "SELU", "Softplus", "Softsign", "Tanhshrink", "Hardtanh"}
    | {"LeakyReLU", "PReLU", "RReLU"}
    | {"GELUActivation", "NewGELUActivation", "FastGELUActivation", "QuickGELUActivation"}
    | {"AccurateGELUActivation", "ClippedGELUActivation", "SiLUActivation", "MishActivation"}
)
"""Class names of activation functions without exact zeros: a threshold stands in for 0."""

RELATIVE_THRESHOLD = 1e-3
"""Of the largest |a| of a layer without exact zeros: what lies below counts as zero."""

HISTOGRAM_BINS = 20
MAX_OVERLAP_CLASSES = 256
"""Classes up to which the overlap of every pair's active sets is computed."""


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
    unit_counts: np.ndarray | None = None,
    active_sets: np.ndarray | None = None,
) -> Sparsity:
    """The share of nonzero entries of one layer's output, for all samples and class by class.

    nonzero_share (N,): of every sample, the share of its units that are not zero; labels (N,);
    unit_active (units,): whether, or how often, a unit was not zero. The 95 % interval is the
    normal one of a mean over N independent samples, mean ± 1.96 s/√N within [0, 1]; it says how
    far another draw of samples would move the share. A class without samples is NaN.

    unit_counts (units,): on how many samples each unit was not zero; with it come the histograms.
    active_sets (K, bytes): bit u of row k tells whether unit u was not zero on at least half of
    the samples of class k; with them come the sets' sizes and overlaps.
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
        unit_histogram=None
        if unit_counts is None
        else share_histogram(np.asarray(unit_counts) / max(len(nonzero_share), 1)),
        sample_histogram=None if unit_counts is None else share_histogram(nonzero_share),
        class_units=None if active_sets is None else set_sizes(active_sets, counts),
        class_overlap=None
        if active_sets is None or classes > MAX_OVERLAP_CLASSES
        else overlaps(active_sets, counts),
    )


def share_histogram(shares: np.ndarray) -> np.ndarray:
    """(20,) how many of the shares lie in each of 20 equal bins of [0, 1]; the last holds 1."""
    # a share such as 3/20 may come out a rounding error below its bin
    bins = np.floor(np.asarray(shares, dtype=np.float64) * HISTOGRAM_BINS + 1e-5).astype(int)
    return np.bincount(np.clip(bins, 0, HISTOGRAM_BINS - 1), minlength=HISTOGRAM_BINS)


def set_sizes(active_sets: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(K,) units in the active set of every class; NaN for a class without samples.

    active_sets (K, bytes) bits; samples (K,) per class.
    """
    sizes = np.bitwise_count(active_sets).sum(axis=1, dtype=np.float64)
    return np.where(samples > 0, sizes, np.nan)


def overlaps(active_sets: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(K, K) Jaccard index |A and B| / |A or B| of every two classes' active sets (Jaccard 1901).

    NaN where a class has no samples, and where both sets are empty. Arguments as ``set_sizes``.
    """
    classes = len(active_sets)
    both = np.empty((classes, classes))
    for k, active in enumerate(active_sets):
        both[k] = np.bitwise_count(active_sets & active).sum(axis=1, dtype=np.float64)
    sizes = set_sizes(active_sets, samples)
    either = sizes[:, None] + sizes - both
    return np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)


def _mean_estimate(values: np.ndarray) -> Estimate:
    if len(values) == 0:
        return Estimate(value=None, reason="no samples")
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(value=mean, warnings=("one sample: no interval",))
    half = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return Estimate(value=mean, low=float(max(0.0, mean - half)), high=float(min(1.0, mean + half)))

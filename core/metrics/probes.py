"""How much of the class a linear classifier can read from the features of a layer.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (2016).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.results import Estimate

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""1/L2 penalty (scikit-learn's C) of the summed loss, strongest penalty first."""

_HELD_OUT = 0.25
_FEWEST = 4  # samples of a class: three to learn from, one to test on
_ITERATIONS = 500


@dataclass(frozen=True, slots=True)
class Probe:
    """Held-out accuracy, and the inverse penalty that was chosen on the training part."""

    accuracy: Estimate
    strength: float | None = None


def linear_probe(features: np.ndarray, labels: np.ndarray, seed: int) -> Probe:
    """Multinomial logistic regression on features (N, d), labels (N,), standardised.

    A quarter of the samples, stratified and seeded, is held out for the accuracy. The L2 penalty is
    the one of ``STRENGTHS`` with the lowest log loss on a quarter of the rest; with it the probe
    is fitted on all of the rest. The 95 % interval is Wilson's for the held-out samples. No
    accuracy, with a reason, where fewer than two classes have samples or a class has fewer than
    four.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        return _undefined(f"needs 2 or more classes, got {len(classes)}")
    if counts.min() < _FEWEST:
        return _undefined(
            f"needs {_FEWEST} or more samples of every class, "
            f"class {classes[counts.argmin()]} has {counts.min()}"
        )
    train_x, test_x, train_y, test_y = _split(features, labels, seed)
    scaler = StandardScaler().fit(train_x)
    train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = _chosen(train_x, train_y, seed)
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(train_x, train_y)
    correct = int((probe.predict(test_x) == test_y).sum())
    low, high = wilson_interval(correct, len(test_y))
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    said = (f"the probe stopped at {_ITERATIONS} iterations",) if stopped else ()
    return Probe(Estimate(correct / len(test_y), low, high, warnings=said), probe.C)


def _chosen(features: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    """The classifier with the penalty of the lowest log loss on a quarter of these samples.

    Penalties go from strong to weak, each fit starting from the one before, until the loss rises:
    weak ones take longest and are worst where features outnumber samples.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    fit_x, seen_x, fit_y, seen_y = _split(features, labels, seed)
    probe = LogisticRegression(warm_start=True, max_iter=_ITERATIONS)
    best, lowest = STRENGTHS[0], np.inf
    for strength in STRENGTHS:
        probe.set_params(C=strength).fit(fit_x, fit_y)
        loss = log_loss(seen_y, probe.predict_proba(seen_x), labels=probe.classes_)
        if loss > lowest:
            break
        best, lowest = strength, loss
    return probe.set_params(C=best)


def _split(features: np.ndarray, labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Stratified: features to learn from and to test on, then their labels."""
    from sklearn.model_selection import train_test_split

    held_out = max(len(np.unique(labels)), round(_HELD_OUT * len(labels)))
    return train_test_split(
        features, labels, test_size=held_out, stratify=labels, random_state=seed
    )


def _undefined(reason: str) -> Probe:
    return Probe(Estimate(value=None, reason=reason))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share of ``trials`` >= 1 independent trials (Wilson 1927)."""
    z = 1.959964
    share = successes / trials
    centre = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))

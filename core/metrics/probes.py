"""How much of the class a linear classifier can read from the features of a layer.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (2016).
"""

from __future__ import annotations

import warnings

import numpy as np

from core.results import Estimate

_HELD_OUT = 0.25
_FEWEST = 4  # samples of a class: three to learn from, one to test on


def linear_probe(features: np.ndarray, labels: np.ndarray, seed: int) -> Estimate:
    """Held-out accuracy of a multinomial logistic regression on features (N, d), labels (N,).

    A quarter of the samples, stratified and seeded, is held out; features are standardised on the
    rest. The 95 % interval is Wilson's for the held-out samples. None with a reason where fewer
    than two classes have samples or a class has fewer than four.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        return Estimate(value=None, reason=f"needs 2 or more classes, got {len(classes)}")
    if counts.min() < _FEWEST:
        return Estimate(
            value=None,
            reason=f"needs {_FEWEST} or more samples of every class, "
            f"class {classes[counts.argmin()]} has {counts.min()}",
        )
    held_out = max(len(classes), round(_HELD_OUT * len(labels)))
    train_x, test_x, train_y, test_y = train_test_split(
        features, labels, test_size=held_out, stratify=labels, random_state=seed
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(train_x, train_y)
    correct = int((probe.predict(test_x) == test_y).sum())
    low, high = wilson_interval(correct, len(test_y))
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return Estimate(
        value=correct / len(test_y),
        low=low,
        high=high,
        warnings=("the probe stopped at 500 iterations",) if stopped else (),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share of ``trials`` >= 1 independent trials (Wilson 1927)."""
    z = 1.959964
    share = successes / trials
    centre = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))

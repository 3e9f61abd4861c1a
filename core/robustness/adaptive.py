"""λ chosen for every image from how badly the dictionary reconstructs it.

After Dai et al. 2022 ("Revisiting sparse convolutional model for visual recognition", NeurIPS,
section 4.3): noise is not in the span of few atoms, so that the reconstruction error grows with it,
and a larger λ leaves it out. Numpy alone: what is read from which images is decided by
``core.robustness.corruptions``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ERRORS = 2.0  # standard errors by which a setting is clearly worse


@dataclass(frozen=True, slots=True)
class Line:
    """λ = intercept + slope · r."""

    slope: float
    intercept: float
    r2: float | None  # None where λ does not vary

    def at(self, errors: np.ndarray, values: np.ndarray) -> np.ndarray:
        """λ for images of these errors (N,), within the settings ``values`` that were tried."""
        return np.clip(self.intercept + self.slope * errors, values.min(), values.max())


def best_setting(right: np.ndarray, values: np.ndarray) -> float:
    """The setting of highest accuracy, with chance kept out of the choice.

    All settings are tried on the same images, so that two of them differ by the images that only
    one gets right: b - c of N, with standard error √(b + c)/N. Settings that are not worse than the
    most accurate one by more than two such errors are as good for all that the images tell: their
    mean is taken. (Over settings with a parabola of accuracies, it errs by a third to a half of
    what the most accurate one alone does.)

    right (M, N) whether image n is right at setting m; values (M,).
    """
    right = np.asarray(right, dtype=bool)
    top = int(right.sum(axis=1).argmax())
    only_top = (right[top] & ~right).sum(axis=1)  # (M,) b
    only_other = (~right[top] & right).sum(axis=1)  # (M,) c
    as_good = only_top - only_other <= ERRORS * np.sqrt(only_top + only_other)
    return float(values[as_good].mean())


def fit_line(errors: np.ndarray, best: np.ndarray) -> Line:
    """Least squares of ``best`` (P,) on ``errors`` (P,). Where all errors are the same it is level,
    at the mean."""
    errors, best = np.asarray(errors, np.float64), np.asarray(best, np.float64)
    centred = errors - errors.mean()
    spread = float(centred @ centred)
    slope = 0.0 if np.ptp(errors) == 0 else float(centred @ best) / spread
    intercept = float(best.mean() - slope * errors.mean())
    if np.ptp(best) == 0:
        return Line(0.0, float(best[0]), None)
    total = float(np.square(best - best.mean()).sum())
    left = float(np.square(best - intercept - slope * errors).sum())
    return Line(slope, intercept, 1.0 - left / total if total > 0 else None)

"""What the figures of the intrinsic dimension show, in sentences."""

from __future__ import annotations

from core.figures.dimension import ESTIMATORS, Features, Scope, layer_dimension
from core.figures.theme import number
from core.metrics.dimension_references import references, true_dimension
from core.results import Analysis, Estimate


def course(analysis: Analysis, estimator: str, scope: Scope, features: Features) -> str:
    """Where the curve over the layers peaks and ends. Empty where nothing is known.

    "TwoNN starts at 12.1 (input), peaks at 21.0 (layer2.0) and ends at 5.3 (fc)."
    """
    known = []
    for layer in analysis.layers:
        measured = layer_dimension(layer, scope, features)
        value = None if measured is None else getattr(measured, estimator)
        value = value.value if isinstance(value, Estimate) else value
        if value is not None:
            known.append((float(value), layer.name))
    if len(known) < 2:
        return ""
    decimals = 0 if estimator.startswith("pca") else 1
    first, last, peak = known[0], known[-1], max(known)
    told = [f"starts at {number(first[0], decimals)} ({first[1]})"]
    if peak[1] not in (first[1], last[1]):
        told.append(f"peaks at {number(peak[0], decimals)} ({peak[1]})")
    told.append(f"ends at {number(last[0], decimals)} ({last[1]})")
    *before, end = told
    where = {first[1]: " It is highest at the start.", last[1]: " It is highest at the end."}
    return f"{ESTIMATORS[estimator]} {', '.join(before)} and {end}.{where.get(peak[1], '')}"


def reading(value: float, points: int, estimator: str) -> str:
    """What known dimension reads like the estimate, for ``estimator`` "twonn" or "mle"."""
    told = f"An estimate of {number(value, 1)} from {points:,} points"
    found = true_dimension(value, points, estimator)
    if found is None:
        known = references(points)
        top = f"{getattr(known, estimator)[-1]:.0f}"
        if value > getattr(known, estimator)[-1]:
            return f"{told} is above the {top} that a cube of dimension 100 reads."
        return f"{told} is below what any cube reads."
    middle, low, high = (round(v) for v in found)
    span = "" if low == high else f" ({low} to {high})"
    return f"{told} is what a cube of dimension {middle}{span} reads."

"""The six numbers that a page puts first, each beside the value of a collapsed network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.figures.theme import number
from core.metrics.geometry import angles_degrees, pair_angles_degrees, simplex_cosine
from core.results import ClassGeometry, LayerAnalysis, NeuralCollapse


@dataclass(frozen=True, slots=True)
class Headline:
    """A number as text, what it would be under collapse, and what it is (Markdown)."""

    label: str
    value: str
    beside: str
    meaning: str


def mean_angle_error(geometry: ClassGeometry) -> float | None:
    """Mean |angle - arccos(-1/(K-1))| over pairs of centred class means, in degrees.

    None for fewer than two classes with a direction. Papyan, Han and Donoho (2020), NC2.
    """
    angles = pair_angles_degrees(geometry)
    target = simplex_cosine(len(geometry.counts))
    if target is None or not len(angles):
        return None
    return float(np.abs(angles - angles_degrees(np.array(target))).mean())


def headlines(
    layer: LayerAnalysis, collapse: NeuralCollapse, geometry: ClassGeometry | None
) -> tuple[Headline, ...]:
    """The six headline numbers of one layer, in the order of NC1 to NC4, then the dimension."""
    angle_error = mean_angle_error(geometry) if geometry is not None else None
    twonn = layer.dimension.all.twonn if layer.dimension is not None else None
    classes = len(geometry.counts) if geometry is not None else None

    def measured(key: str, decimals: int, unit: str = "", factor: float = 1.0) -> tuple[str, str]:
        value = getattr(collapse, key)
        reason = collapse.reasons.get(key, "the layer was not measured")
        if value is None:
            return "n/a", f" Not available: {reason}."
        return number(value * factor, decimals, unit), ""

    nc1, nc1_why = measured("nc1", 2 if (collapse.nc1 or 0) >= 0.1 else 4)
    norm, norm_why = measured("equinorm_means", 3)
    dual, dual_why = measured("nc3_alignment", 3)
    mismatch, mismatch_why = measured("nc4", 1, " %", 100.0)
    return (
        Headline(
            "NC1 variability",
            nc1,
            "target 0",
            r"$\frac1K\operatorname{tr}(\Sigma_W\Sigma_B^\dagger)$: spread within the classes, "
            f"measured in the distances between them.{nc1_why}",
        ),
        Headline(
            "Mean angle error",
            number(angle_error, 1, "°"),
            "target 0°",
            r"Mean $|\angle(\tilde\mu_i,\tilde\mu_j)-\arccos\frac{-1}{K-1}|$ over pairs of centred "
            "class means: how far they are from a simplex ETF.",
        ),
        Headline(
            "Equinorm spread",
            norm,
            "target 0",
            r"$\operatorname{std}_k\|\tilde\mu_k\|\,/\,\operatorname{mean}_k\|\tilde\mu_k\|$: "
            f"do all class means lie equally far from the centre?{norm_why}",
        ),
        Headline(
            "Self-duality gap",
            dual,
            "target 0",
            r"$\|W/\|W\|_F-M^\top/\|M\|_F\|_F$: does the classifier point where the class means "
            f"do?{dual_why}",
        ),
        Headline(
            "NCC mismatch",
            mismatch,
            "target 0 %",
            "Share of samples where the classifier and the nearest class mean disagree."
            f"{mismatch_why}",
        ),
        Headline(
            "Dimension",
            number(twonn.value if twonn else None, 1),
            f"reference {classes - 1}" if classes else "",
            "Intrinsic dimension of all samples at this layer (TwoNN). Collapsed class means span "
            r"$K-1$ dimensions."
            + (f" Not available: {twonn.reason}." if twonn and twonn.reason else ""),
        ),
    )

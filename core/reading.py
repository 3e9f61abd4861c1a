"""Two or three sentences, written from the numbers, that say what is to be seen."""

from __future__ import annotations

import math

import numpy as np

from core.metrics.geometry import cosines, pair_angles_degrees, simplex_cosine
from core.results import Analysis
from core.text import plain

CLOSE_DEGREES = 5.0  # a pair this near the simplex angle counts as there
COLLAPSED_NC1 = 0.05


def sentences(analysis: Analysis) -> tuple[str, ...]:
    """At most three Markdown sentences; fewer where the numbers are not there."""
    makers = (_angles, _components, _closest, _dimension, _separation)
    found = (make(analysis) for make in makers)
    return tuple(sentence for sentence in found if sentence)[:3]


def _angles(analysis: Analysis) -> str | None:
    """How near the class means are to the simplex ETF."""
    if analysis.penultimate is None:
        return None
    angles = pair_angles_degrees(analysis.penultimate.geometry)
    angles = angles[np.isfinite(angles)]
    nc1 = analysis.penultimate.collapse.nc1
    target = simplex_cosine(len(analysis.penultimate.geometry.counts))
    if len(angles) == 0 or target is None:
        return None
    theory = math.degrees(math.acos(target))
    low, high = angles.min(), angles.max()
    spread = (
        f"Pair angles run from {low:.0f}° to {high:.0f}°; theory puts all of them at {theory:.1f}°."
    )
    if high - low < 1:
        spread = f"The angle is {low:.1f}°; theory puts it at {theory:.1f}°."
    near = max(abs(low - theory), abs(high - theory)) <= CLOSE_DEGREES
    tight = nc1 is not None and nc1 <= COLLAPSED_NC1
    if near and tight:
        return f"**Collapsed to a simplex.** {spread}"
    if near:
        return f"**Equiangular, not yet tight.** {spread}"
    if tight:
        return f"**Tight classes, uneven angles.** {spread}"
    return f"**Not yet a simplex.** {spread}"


def _components(analysis: Analysis) -> str | None:
    """From which layer on the samples fall into one component per class."""
    classes = analysis.data.classes if analysis.data is not None else 0
    if classes < 2:
        return None
    apart = [
        layer.topology is not None and layer.topology.all.betti[0] == classes
        for layer in analysis.layers
    ]
    if not apart or not apart[-1]:
        return None
    first = len(apart) - apart[::-1].index(False) if False in apart else 0
    return (
        f"**{classes} components**, one a class, from {plain(analysis.layers[first].name)} on: "
        "the classes have come apart."
    )


def _closest(analysis: Analysis) -> str | None:
    """Which two classes are nearest to each other."""
    if analysis.penultimate is None or analysis.data is None:
        return None
    cosine = cosines(analysis.penultimate.geometry)
    names = analysis.data.class_names
    if len(cosine) < 3 or not np.isfinite(cosine).any():
        return None
    pairs = np.where(np.triu(np.ones_like(cosine), 1) > 0, cosine, -np.inf)
    pairs = np.where(np.isfinite(pairs), pairs, -np.inf)
    a, b = np.unravel_index(int(pairs.argmax()), pairs.shape)
    target = -1 / (len(cosine) - 1)
    excess = float(pairs[a, b]) - target
    if excess < 0.1:
        return None
    values = f"cosine {_number(float(pairs[a, b]))} against {_number(target)}"
    return f"Closest are **{plain(names[a])} and {plain(names[b])}** ({values})."


def _dimension(analysis: Analysis) -> str | None:
    """Where the intrinsic dimension peaks and where it ends."""
    if analysis.penultimate is None:
        return None
    curve = [
        (layer.name, layer.dimension.all.twonn.value)
        for layer in analysis.layers
        if layer.dimension is not None and layer.dimension.all.twonn.value is not None
    ]
    values = {name: value for name, value in curve if value is not None}
    end = values.get(analysis.penultimate.layer)
    if end is None:
        return None
    classes = len(analysis.penultimate.geometry.counts)
    where = "at the last layer" if analysis.mlps else "before the classifier"
    beside = f"beside K − 1 = {classes - 1}" if classes > 1 else "for one class"
    if len(values) < 3:
        return f"**Intrinsic dimension** is {end:.1f} (TwoNN), {beside}."
    peak = max(values, key=lambda name: values[name])
    if peak == analysis.penultimate.layer:
        return f"**Dimension** rises to {end:.1f} {where}, {beside}."
    return (
        f"**Dimension** peaks at {values[peak]:.0f} in {plain(peak)} and falls to {end:.1f} "
        f"{where}, {beside}."
    )


def _separation(analysis: Analysis) -> str | None:
    law = analysis.separation_law
    if law is None or law.rho is None or law.r2 is None:
        return None
    return f"**Each layer** multiplies the separation by {law.rho:.2f} (R² {law.r2:.2f})."


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")

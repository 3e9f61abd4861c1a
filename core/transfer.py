"""A network on data whose classes it never saw: is it one, and what its layers say in words."""

from __future__ import annotations

from core.figures.theme import number, significant
from core.metrics.separation import SECOND_PHASE, Phases, phases
from core.results import Analysis, LayerAnalysis
from core.text import plain


def classes_differ(analysis: Analysis) -> bool:
    """True where the network's output counts other classes than the data have.

    As many of other kinds cannot be told apart from the same ones.
    """
    if analysis.data is None or not analysis.layers:
        return False
    last = analysis.layers[-1]
    return last.kind == "Output" and last.dim != analysis.data.classes


def phases_of(analysis: Analysis) -> Phases | None:
    """The falling and the rising phase of NC1 over the layers; None where it was not measured or
    never falls."""
    return phases([layer.nc1 for layer in analysis.layers])


def phases_in_words(analysis: Analysis) -> str:
    """From which layer NC1 falls to which, and whether it rises again."""
    found = phases_of(analysis)
    if found is None:
        return "NC1 does not fall over the layers."
    start, lowest, end = (analysis.layers[i] for i in (found.start, found.minimum, found.end))
    text = (
        f"NC1 falls from {significant(start.nc1)} at {plain(start.name)} to "
        f"{significant(lowest.nc1)} at {plain(lowest.name)}, {significant(found.fall)} times"
    )
    if found.rises:
        return (
            f"{text}, and rises again by {number(100 * found.rise, 0)} % to "
            f"{significant(end.nc1)} at {plain(end.name)}: two phases."
        )
    limit = number(100 * SECOND_PHASE, 0)
    if found.end == found.minimum:
        return f"{text}, and does not rise again: one phase."
    return (
        f"{text}; the {number(100 * found.rise, 1)} % that it rises after that are below the "
        f"{limit} % that count as a second phase."
    )


def probes_in_words(analysis: Analysis) -> str:
    """What a linear probe reads best, and what it reads from the output; "" without probes."""
    probed = [a for a in analysis.layers if a.probe_accuracy and a.probe_accuracy.value is not None]
    if not probed:
        return ""
    best = max(probed, key=lambda a: a.probe_accuracy.value or 0.0)  # type: ignore[union-attr]
    text = f"A linear probe is right most often at {plain(best.name)}: {_accuracy(best)}"
    return f"{text}." if best is probed[-1] else f"{text}; at the end, {_accuracy(probed[-1])}."


def _accuracy(layer: LayerAnalysis) -> str:
    found = layer.probe_accuracy
    assert found is not None
    value, low, high = (
        number(None if v is None else 100 * v, 1) for v in (found.value, found.low, found.high)
    )
    return f"{value} % (95 %: {low} to {high})"

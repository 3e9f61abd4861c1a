"""The network of an opened checkpoint, counted from what its analysis knows. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import prod

from core.economy.counts import Network, find_network
from core.results import Analysis


def network_of(analysis: Analysis, title: str) -> Network | str:
    """Counts of the network that was analysed, or why it cannot be counted.

    A network of the table is narrowed by the table's rule, an own network by what it says of
    itself in its metadata. Of any other the classifier is known from its weights, and the rest is
    the body, whose last block is not known.
    """
    checkpoint = analysis.checkpoint
    if not checkpoint.parameters:
        return "it is a file of features: there are no parameters to count"
    shape = _classifier_shape(analysis)
    if shape is None:
        return "no matrix of its weights has the shape of a classifier"
    classes, dim = shape
    known = find_network(checkpoint.architecture or "")
    if known is not None and known.dim == dim and known.total(classes) == checkpoint.parameters:
        return replace(known, name="opened", title=title, group="opened", classes=classes)
    widths = _described(checkpoint.metadata)
    if widths is not None and widths.total(classes) == checkpoint.parameters and widths.dim == dim:
        return replace(widths, title=title, classes=classes)
    return Network(
        "opened",
        title,
        "opened",
        classes,
        dim,
        bias=False,  # not known: counted to the body, which is trained in any case
        body=checkpoint.parameters - classes * dim,
        not_narrowed="which of its layers puts out the features is not known",
    )


def _classifier_shape(analysis: Analysis) -> tuple[int, int] | None:
    """(K, d) of the last matrix, which must read the features where these are known."""
    matrices = [w.shape for w in analysis.weights if len(w.shape) == 2]
    if analysis.penultimate is not None:
        matrices = [s for s in matrices if s[1] == analysis.penultimate.dim]
    return (matrices[-1][0], matrices[-1][1]) if matrices else None


def _described(metadata: Mapping[str, object]) -> Network | None:
    """Counts of an own network from its metadata; None where these are of something else."""
    try:
        widths = _integers(metadata["widths"])
        shape = _integers(metadata["input_shape"])
        kind = str(metadata["architecture"]).lower()
        last = widths[-1]
    except (KeyError, ValueError, IndexError):
        return None
    norm = str(metadata.get("batch_norm", kind != "mlp")).lower() == "true"
    chain = [prod(shape) if kind == "mlp" else shape[0], *widths]
    if kind == "mlp":
        steps = [(a + 1 + 2 * norm) * b for a, b in pairwise(chain)]
        base, slope, rule = sum(steps[:-1]), chain[-2] + 1 + 2 * norm, "last hidden layer"
    elif kind == "cnn":
        steps = [(9 * a + (2 if norm else 1)) * b for a, b in pairwise(chain)]
        base, slope = sum(steps[:-1]), 9 * chain[-2] + (2 if norm else 1)
        rule = "last convolution"
    elif kind == "resnet":  # a stem of the first width, then one basic block a width
        chain = [widths[0], *widths]
        first = [(9 * a + 2) * b for a, b in pairwise(chain)]
        second = [(9 * b + 2) * b for b in widths]
        shortcuts = [0] + [(a + 2) * b for a, b in pairwise(widths)]
        stem = (9 * shape[0] + 2) * widths[0]
        steps = [stem, *first, *second, *shortcuts]
        base = sum(steps) - second[-1] - shortcuts[-1]
        slope, rule = 9 * last + 2 + chain[-2] + 2, "last block"
    else:
        return None
    return Network(
        "opened",
        "",
        "opened",
        0,
        last,
        True,
        sum(steps),
        narrow_base=base,
        narrow_slope=slope,
        rule=rule,
    )


def _integers(text: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split(","))

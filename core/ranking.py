"""What a checkpoint's tensors cannot tell apart, ranked by accuracy on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.checkpoints import Checkpoint
from core.data.dataset import Dataset
from core.errors import UserError
from core.features.accuracy import accuracy
from core.models import norms
from core.models.building import Model, build
from core.progress import IsCancelled
from core.results import Candidate, Settings

IMAGES = 500
FEWEST = 24  # images below which a ranking says nothing
BUDGET = 4e12  # floating-point operations over all candidates: one to two minutes on one core
MARGIN = 0.02  # accuracy by which a candidate must beat the default to replace it, at least
STANDARD_ERRORS = 2.0  # … and so many standard errors of the difference


def choose_variant(
    model: Model,
    checkpoint: Checkpoint,
    dataset: Dataset,
    settings: Settings,
    adjust: Callable[[Model], Model],
    cancelled: IsCancelled,
) -> tuple[Model, tuple[Candidate, ...]]:
    """The network to analyse, and the candidates, the most accurate first.

    ``adjust`` puts the user's preprocessing on a variant. The default stays unless a variant is
    clearly better, or the user has chosen. Too heavy networks are not ranked.
    """
    candidates = model.candidates
    if len(candidates) < 2 or model.classes != dataset.classes:
        return model, candidates
    count = min(IMAGES, len(dataset), int(BUDGET / (_operations(model) * len(candidates))))
    if count < FEWEST:
        return model, candidates
    images = dataset.select(dataset.stratified(count, settings.seed))
    ranked: list[Candidate] = []
    best, default = model, 0.0
    for candidate, variant in _variants(model, checkpoint):
        variant = adjust(variant)
        share = accuracy(variant, images, cancelled=cancelled)
        if candidate.architecture == model.architecture:
            default = share
        elif share > max((c.accuracy or 0.0 for c in ranked), default=0.0):
            best = variant
        ranked.append(replace(candidate, accuracy=share))
    ranked.sort(key=lambda c: -(c.accuracy or 0.0))
    found = tuple(ranked)
    top = max((c.accuracy or 0.0 for c in found), default=0.0)
    if settings.architecture == "auto" and top > default + _margin(top, default, count):
        return replace(best, candidates=found), found
    return model, found or candidates


def _margin(best: float, default: float, images: int) -> float:
    """What chance may do to the difference of two accuracies, or MARGIN where that is more."""
    variance = (best * (1 - best) + default * (1 - default)) / images
    return max(MARGIN, STANDARD_ERRORS * variance**0.5)


def _variants(model: Model, checkpoint: Checkpoint) -> Iterator[tuple[Candidate, Model]]:
    """Every candidate that can be built. Those that differ in preprocessing share one module."""
    built = None if "@" in model.architecture else model
    first = model.architecture.partition("@")[0]

    def base_of(candidate: Candidate) -> str:
        return candidate.architecture.partition("@")[0]

    for candidate in sorted(model.candidates, key=lambda c: (base_of(c) != first, base_of(c))):
        base, _, options = candidate.architecture.partition("@")
        try:
            if built is None or built.architecture != base:
                built = None  # lets go of the last one's weights
                built = build(
                    checkpoint.tensors,
                    checkpoint.metadata,
                    base,
                    sample_shape=model.preprocessing.shape,
                )
            words = tuple(filter(None, options.split(",")))
            preprocessing = norms.apply(built.preprocessing, words)
        except UserError:
            continue
        variant = replace(built, architecture=candidate.architecture, preprocessing=preprocessing)
        yield candidate, variant


def _operations(model: Model) -> float:
    """Floating-point operations of one image."""
    device = next(model.module.parameters()).device
    image = torch.zeros(1, *model.preprocessing.shape, device=device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.module.eval()(image)
    return max(1.0, float(counter.get_total_flops()))

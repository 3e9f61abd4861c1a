"""Make the network that a checkpoint is, with its weights, ready to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from torch import Tensor, nn

from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.models import norms, registry
from core.models.identification import REMEDIES, candidates
from core.models.load import check, load
from core.models.meta import on_meta
from core.models.operator_models import Constructor
from core.models.recognise import (
    Fit,
    count_parameters,
    given_fit,
    make_registered,
    recognise,
    with_channels,
)
from core.models.signature import Signature, named_shapes, table
from core.results import Candidate


@dataclass(frozen=True, slots=True)
class Model:
    """A network in evaluation mode, float32, with the weights of a checkpoint."""

    module: nn.Module
    architecture: str
    preprocessing: Preprocessing
    classes: int
    parameters: int
    match: str  # "names", "shapes" or "given"
    candidates: tuple[Candidate, ...] = ()
    warnings: tuple[str, ...] = ()


def build(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    architecture: str = "auto",
    constructor: Constructor | None = None,
    sample_shape: Sequence[int] | None = None,
) -> Model:
    """The network of these tensors.

    ``architecture``: "auto", or a name, followed by ``@`` and an input size and/or a
    normalisation where the usual preprocessing is to be replaced: ``resnet18@32,cifar-norm``.
    ``constructor``: the user's own code instead. ``sample_shape`` (C, H, W) of the data at hand.

    Raises UserError, with the remedies, where the network is unknown or does not fit.
    """
    name, _, options = architecture.partition("@")
    fits: tuple[Fit, ...]
    if constructor is not None:
        fits = (_given(constructor, tensors, sample_shape),)
    else:
        fits = _chosen(recognise(tensors, metadata, sample_shape), name, tensors)
    best = fits[0]
    module = best.make().float().eval()
    return Model(
        module,
        best.name + (f"@{options}" if options else ""),
        norms.apply(best.preprocessing, tuple(filter(None, options.split(",")))),
        best.classes,
        best.parameters,
        best.match,
        candidates(fits),
        best.warnings,
    )


def _given(
    constructor: Constructor, tensors: Mapping[str, Tensor], sample_shape: Sequence[int] | None
) -> Fit:
    module = constructor()
    load(module, tensors, "the given model")
    return given_fit(type(module).__name__, "given", module, lambda: module, sample_shape)


def _chosen(fits: tuple[Fit, ...], name: str, tensors: Mapping[str, Tensor]) -> tuple[Fit, ...]:
    """The fits with the one called ``name`` first."""
    if name == "auto":
        if not fits:
            count = len(named_shapes(tensors))
            raise UserError(f"no known architecture has these {count} tensors: {REMEDIES}")
        return fits
    names = [fit.name for fit in fits]
    if name in names:
        return (fits[names.index(name)], *(fit for fit in fits if fit.name != name))
    known = table().signatures
    if name not in known:
        close = get_close_matches(name, [*names, *known], n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "use auto to have it recognised"
        raise UserError(f"architecture {name!r} is not known: {hint}")
    return (_forced(known[name], tensors),)


def _forced(signature: Signature, tensors: Mapping[str, Tensor]) -> Fit:
    """The network the user insists on, or UserError. Compared before any memory is taken."""
    shapes = named_shapes(tensors)
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    heads = [shapes[key] for key in signature.classifier if key in shapes] or matrices[-1:]
    classes = heads[0][0] if heads else 1000
    stems = [shape[1] for shape in shapes.values() if len(shape) == 4]
    channels = stems[0] if stems else 3
    create = partial(registry.create, signature.name, signature.source, classes, channels)
    match = check(named_shapes(on_meta(create).state_dict()), shapes, signature.name)
    return Fit(
        signature.name,
        match,
        classes,
        count_parameters(tensors),
        with_channels(signature.preprocessing, channels),
        partial(make_registered, signature, classes, channels, tensors),
        signature.flexible,
    )

"""Every way in which a checkpoint's tensors make a known network, the likeliest first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from torch import Tensor, nn

from core.checkpoints.hugging_face import Description
from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.models import describe, norms, registry
from core.models.chain import Chain, build_chain, find_chain, guess_input_shape
from core.models.cnn import CNN
from core.models.hugging_face import image_model
from core.models.inputs import find_input
from core.models.load import compare, load
from core.models.meta import on_meta
from core.models.mlp import ACTIVATIONS, MLP
from core.models.operator_models import Constructor, operator_constructors
from core.models.resnet import CifarResNet
from core.models.sdnet import SDNet
from core.models.signature import Match, Signature, find, named_shapes, positional, table
from core.models.vit import ViT

logger = logging.getLogger(__name__)

DESCRIBED: dict[str, type[MLP] | type[CNN] | type[ViT] | type[CifarResNet] | type[SDNet]] = {
    "mlp": MLP,
    "cnn": CNN,
    "vit": ViT,
    "resnet": CifarResNet,
    "sdnet": SDNet,
}
"""Own networks that write into a checkpoint's metadata what they are."""

_RENAMED = {"downsample": "shortcut", "fc": "linear"}
"""Torchvision's names of what the CIFAR ResNets call otherwise."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One network that the tensors make. ``make`` returns it with the weights loaded."""

    name: str
    match: str  # "names" or "shapes"
    classes: int
    parameters: int
    preprocessing: Preprocessing
    make: Callable[[], nn.Module]
    flexible: bool = False  # other input sizes are possible
    normalised: bool = False  # the normalisation is known, not assumed
    warnings: tuple[str, ...] = ()


def recognise(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None = None,
) -> tuple[Fit, ...]:
    """The fits of the first of these that has any: the operator's own models, what the metadata
    describes, the registry by names, the registry by shapes, a plain chain of linear layers.

    A folder of Hugging Face transformers says itself what it is; UserError where that is not so.
    """
    if isinstance(metadata, Description):
        return () if metadata.is_text else (_hugging_face(tensors, metadata),)
    for find_fits in (_operator, _described, _by_names, _by_order, _chain):
        if fits := find_fits(tensors, metadata, sample_shape):
            mean, std = describe.floats(metadata, "mean"), describe.floats(metadata, "std")
            return tuple(_normalised(fit, mean, std) for fit in fits)
    return ()


def count_parameters(tensors: Mapping[str, Tensor]) -> int:
    """Numbers in the tensors that are not running statistics."""
    return sum(
        prod(shape)
        for name, shape in named_shapes(tensors).items()
        if not name.endswith(("running_mean", "running_var"))
    )


def default_preprocessing(shape: tuple[int, int, int]) -> Preprocessing:
    """ImageNet's normalisation for RGB (the commonest), none for anything else."""
    channels, height, width = shape
    mean, std = norms.IMAGENET if channels == 3 else ((0.0,) * channels, (1.0,) * channels)
    return Preprocessing(height, width, channels, mean, std)


def _normalised(fit: Fit, mean: Sequence[float] | None, std: Sequence[float] | None) -> Fit:
    """The fit with a normalisation that is known, where the numbers make one."""
    if mean is None or std is None or min(std, default=0) <= 0:
        return fit
    if not len(mean) == len(std) == fit.preprocessing.channels:
        return fit
    preprocessing = replace(fit.preprocessing, mean=tuple(mean), std=tuple(std))
    return replace(fit, preprocessing=preprocessing, normalised=True)


# --- models of the person who started the program -----------------------------------------------


def _operator(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None,
) -> list[Fit]:
    shapes = named_shapes(tensors)
    fits = []
    for name, constructor in operator_constructors().items():
        try:
            module = _without_weights(constructor)
        except UserError as error:  # as in constructors(): one broken model is left out
            logger.warning("%s", error)
            continue
        if match := compare(named_shapes(module.state_dict()), shapes):
            make = partial(_make_given, constructor, tensors, name)
            fits.append(given_fit(name, match, module, make, sample_shape))
    return sorted(fits, key=lambda found: found.match)


def _without_weights(constructor: Constructor) -> nn.Module:
    try:
        return on_meta(constructor)
    except Exception:  # code that computes with its weights needs them
        return constructor()


def _make_given(constructor: Constructor, tensors: Mapping[str, Tensor], what: str) -> nn.Module:
    module = constructor()
    load(module, tensors, what)
    return module


def given_fit(
    name: str,
    match: str,
    module: nn.Module,
    make: Callable[[], nn.Module],
    sample_shape: Sequence[int] | None,
) -> Fit:
    """The fit of a network that comes as code; its input shape is found by trying."""
    found = find_input(module, sample_shape)
    shape, classes = found or ((3, 32, 32), 0)
    unknown = "no input size was found that this network accepts: give it an attribute input_shape"
    fit = Fit(
        name,
        match,
        classes,
        sum(parameter.numel() for parameter in module.parameters()),
        default_preprocessing(shape),
        make,
        warnings=() if found else (unknown,),
    )
    mean, std = getattr(module, "mean", None), getattr(module, "std", None)
    if isinstance(mean, Sequence) and isinstance(std, Sequence):
        return _normalised(fit, mean, std)
    return fit


# --- own models that describe themselves --------------------------------------------------------


def _described(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None,
) -> list[Fit]:
    name = describe.word(metadata, "architecture")
    if name not in DESCRIBED:
        return []
    constructor = partial(DESCRIBED[name].from_metadata, metadata)
    try:
        module = on_meta(constructor)
    except (UserError, RuntimeError):  # nonsense, or sizes that overflow
        return []
    if compare(named_shapes(module.state_dict()), named_shapes(tensors)) != "names":
        return []
    make = partial(_make_given, constructor, tensors, name)
    found = given_fit(name, "names", module, make, None)
    # trained by ourselves: the recipe writes its normalisation, or there is none
    plain = norms.apply(found.preprocessing, ("no-norm",))
    return [replace(found, preprocessing=plain, normalised=True)]


def _hugging_face(tensors: Mapping[str, Tensor], description: Description) -> Fit:
    found = image_model(description, tensors)
    return Fit(
        found.name,
        "names",
        found.classes,
        found.parameters,
        found.preprocessing,
        found.make,
        normalised=found.normalised,
    )


# --- the registry --------------------------------------------------------------------------------


def _by_names(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None,
) -> list[Fit]:
    signatures = table()
    for names in ({}, _RENAMED):
        renamed = {_rename(name, names): tensor for name, tensor in tensors.items()}
        match = find(named_shapes(renamed), signatures.classifiers, signatures.by_names)
        if match:
            return _registered(match, "names", renamed, metadata)
    return []


def _rename(name: str, names: Mapping[str, str]) -> str:
    return ".".join(names.get(part, part) for part in name.split("."))


def _by_order(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None,
) -> list[Fit]:
    signatures, items = table(), positional(named_shapes(tensors))
    places = [tuple(len(items) + place for place in places) for places in signatures.places]
    match = find(items, places, signatures.by_order)
    return _registered(match, "shapes", tensors, metadata) if match else []


def _registered(
    match: Match, how: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, object]
) -> list[Fit]:
    total = sum(prod(shape) for shape in named_shapes(tensors).values())
    warnings: tuple[str, ...] = ()
    if how == "shapes":
        warnings = ("the names of the tensors are unknown: they were matched by their shapes",)
    return [
        Fit(
            signature.name,
            how,
            match.classes,
            total - signature.buffers,
            with_channels(signature.preprocessing, match.channels),
            partial(make_registered, signature, match.classes, match.channels, tensors),
            signature.flexible,
            warnings=warnings,
        )
        for signature in _likeliest_first(match.signatures, tensors, metadata)
    ]


def with_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """The same for another number of channels, with their mean normalisation in each."""
    if channels == preprocessing.channels:
        return preprocessing
    mean = sum(preprocessing.mean) / len(preprocessing.mean)
    std = sum(preprocessing.std) / len(preprocessing.std)
    spread = {"mean": (mean,) * channels, "std": (std,) * channels}
    return replace(preprocessing, channels=channels, **spread)  # type: ignore[arg-type]


def make_registered(
    signature: Signature, classes: int, channels: int, tensors: Mapping[str, Tensor]
) -> nn.Module:
    """The network of the registry with the weights loaded, or UserError."""
    module = registry.create(signature.name, signature.source, classes, channels)
    load(module, tensors, signature.name)
    return module


def _likeliest_first(
    signatures: tuple[Signature, ...],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
) -> list[Signature]:
    named = {describe.word(metadata, key) for key in ("architecture", "arch", "model")}
    # files in the layout of EfficientNet-PyTorch are ports of TensorFlow's weights
    prefix = "tf_" if "_conv_stem.weight" in tensors else ""
    sources = ("own", "torchvision", "timm")

    def rank(signature: Signature) -> tuple:
        name = signature.name.removeprefix("timm/")
        unlike = (name not in named, not name.startswith(prefix))
        return (*unlike, sources.index(signature.source), len(name), name)

    ranked = sorted(signatures, key=rank)
    if not registry.has_timm():
        ranked = [s for s in ranked if s.source != "timm"] or ranked
    return ranked


# --- a plain chain of linear layers --------------------------------------------------------------


def _chain(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None,
) -> list[Fit]:
    chain = find_chain(tensors)
    if chain is None:
        return []
    known = describe.word(metadata, "activation")
    activations = [known] if known in ACTIVATIONS else list(ACTIVATIONS)
    warnings = []
    if len(activations) > 1 and len(chain.linears) > 1:
        warnings.append("the checkpoint does not say its activation function: ReLU is assumed")
    shape = _chain_input(chain, metadata, sample_shape)
    return [
        Fit(
            "mlp" if activation == "relu" else f"mlp_{activation}",
            "shapes",
            chain.widths[-1],
            count_parameters(tensors),
            default_preprocessing(shape),
            partial(build_chain, chain, tensors, activation),
            warnings=tuple(warnings),
        )
        for activation in (activations if len(chain.linears) > 1 else activations[:1])
    ]


def _chain_input(
    chain: Chain, metadata: Mapping[str, object], sample_shape: Sequence[int] | None
) -> tuple[int, int, int]:
    size = chain.widths[0]
    with suppress(UserError):
        if prod(shape := describe.image_shape(metadata)) == size:
            return shape
    if sample_shape is not None and prod(sample_shape) == size:
        return (sample_shape[0], sample_shape[1], sample_shape[2])
    return guess_input_shape(size)

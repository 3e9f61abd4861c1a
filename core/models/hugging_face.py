"""Networks of Hugging Face transformers, from a checked folder (``core.checkpoints.hugging_face``).

The classes of the installed library are built from a few known settings and get the tensors by
name: ``from_pretrained`` is never called, so no code, no kernel and no file can come from
elsewhere. Nothing here is imported from transformers until a network is asked for.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import prod
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from core.checkpoints.formats import printable
from core.checkpoints.hugging_face import Description, Folder
from core.data.preprocessing import Preprocessing
from core.errors import UserError
from core.features.readings import first_tensor
from core.models import describe, norms
from core.models.load import differences
from core.models.meta import EmptyOnMeta, on_meta
from core.models.signature import Shape

INSTALL = "pip install -r requirements-transformers.txt"

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How networks of one ``model_type`` are built."""

    config: str  # class of the configuration
    network: str  # class of the network
    settings: tuple[str, ...]  # what is taken from config.json; everything else is ignored
    layers: tuple[str, ...]  # those that count blocks
    base: str = ""  # prefix that heads put before the names of a text encoder's tensors
    renamed: tuple[tuple[str, str], ...] = ()  # pattern in the file, name in the library
    tied: tuple[str, ...] = ()  # names of one and the same tensor, the file's usual one first
    heads: tuple[str, ...] = ()  # prefixes of tensors beside the network that is read
    ignored: tuple[str, ...] = ()  # endings of tensors that old versions wrote
    without: tuple[tuple[str, bool], ...] = ()  # arguments that leave parts out


_T5 = Kind(
    "T5Config",
    "T5Model",
    (
        *("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers"),
        *("num_heads", "relative_attention_num_buckets", "relative_attention_max_distance"),
        *("layer_norm_epsilon", "feed_forward_proj", "pad_token_id"),
    ),
    ("num_layers", "num_decoder_layers"),
    tied=("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"),
    heads=("lm_head.", "classification_head.", "classifier.", "qa_outputs."),
    ignored=("EncDecAttention.relative_attention_bias.weight",),
)
_ENCODER_SETTINGS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "max_position_embeddings", "type_vocab_size"),
    *("layer_norm_eps", "pad_token_id"),
)
_BERT_NAMES = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))
_BERT_HEADS = ("cls.", "lm_head.", "classifier.", "qa_outputs.", "pooler.")
_VIT_NAMES = tuple(
    (rf"^vit\.encoder\.layer\.(\d+)\.{old}", rf"vit.layers.\1.{new}")
    for old, new in (
        (r"attention\.attention\.query\.", "attention.q_proj."),
        (r"attention\.attention\.key\.", "attention.k_proj."),
        (r"attention\.attention\.value\.", "attention.v_proj."),
        (r"attention\.output\.dense\.", "attention.o_proj."),
        (r"intermediate\.dense\.", "mlp.fc1."),
        (r"output\.dense\.", "mlp.fc2."),
        ("", ""),
    )
)

KINDS: dict[str, Kind] = {
    "t5": _T5,
    "bert": Kind(
        *("BertConfig", "BertModel", _ENCODER_SETTINGS, ("num_hidden_layers",)),
        base="bert.",
        renamed=_BERT_NAMES,
        heads=_BERT_HEADS,
        ignored=("position_ids",),
        without=(("add_pooling_layer", False),),
    ),
    "roberta": Kind(
        *("RobertaConfig", "RobertaModel", _ENCODER_SETTINGS, ("num_hidden_layers",)),
        base="roberta.",
        renamed=_BERT_NAMES,
        heads=_BERT_HEADS,
        ignored=("position_ids",),
        without=(("add_pooling_layer", False),),
    ),
    "vit": Kind(
        "ViTConfig",
        "ViTForImageClassification",
        (
            *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
            *("hidden_act", "layer_norm_eps", "image_size", "patch_size", "num_channels"),
            "qkv_bias",
        ),
        ("num_hidden_layers",),
        renamed=_VIT_NAMES,
        heads=("vit.pooler.",),
    ),
    "convnext": Kind(
        "ConvNextConfig",
        "ConvNextForImageClassification",
        (
            *("num_channels", "patch_size", "num_stages", "hidden_sizes", "depths", "hidden_act"),
            *("layer_norm_eps", "layer_scale_init_value"),
        ),
        ("depths",),
    ),
    "resnet": Kind(
        "ResNetConfig",
        "ResNetForImageClassification",
        (
            *("num_channels", "embedding_size", "hidden_sizes", "depths", "layer_type"),
            *("hidden_act", "downsample_in_first_stage", "downsample_in_bottleneck"),
        ),
        ("depths",),
    ),
}
"""One entry a ``model_type``; a further one needs its name in ``core.checkpoints.hugging_face``,
too, and, for text, the paths of its blocks in ``_STACKS``."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A row of transformer blocks, by module paths."""

    name: str  # "encoder" or "decoder"
    blocks: tuple[str, ...]
    activations: tuple[str, ...]  # of the blocks' MLPs, in the same order
    norm: str | None  # after the last block


@dataclass(frozen=True, slots=True)
class TextModel:
    """A text transformer in evaluation mode, float32, without its head."""

    module: nn.Module
    architecture: str
    stacks: tuple[Stack, ...]
    vocabulary: int
    width: int  # d, of the features
    units: int  # hidden ones of every MLP
    longest: int | None  # tokens; None: relative positions, no limit
    start: int  # first token of a decoder's input
    activation: str  # of the MLPs, as config.json names it
    gated: bool  # the activation is the gate of a product
    parameters: int
    warnings: tuple[str, ...] = ()


def library() -> ModuleType:
    """The package transformers, kept offline; UserError how to install it."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[variable] = "1"
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UserError(
            f"folders of Hugging Face models need the package transformers: {INSTALL}"
        ) from error


def text_model(folder: Folder, tensors: Mapping[str, Tensor]) -> TextModel:
    """The text transformer of a folder with its weights. UserError where they do not fit."""
    kind = KINDS[folder.model_type]
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    chosen = settings(folder.config, kind, folder.name, len(shapes))
    names = _names(shapes, kind)
    if folder.model_type == "t5" and not any(n.startswith("decoder.") for n in names.values()):
        raise UserError(
            f"{folder.name} holds an encoder of T5 alone; save the whole network: "
            "T5ForConditionalGeneration"
        )
    module = _filled(kind, chosen, tensors, names, folder.name, shared=True)
    if folder.model_type == "t5":
        act, gated = str(module.config.dense_act_fn), bool(module.config.is_gated_act)
        units = int(module.config.d_ff)
    else:
        act, gated = str(module.config.hidden_act), False
        units = int(module.config.intermediate_size)
    positions = getattr(module.config, "max_position_embeddings", None)
    if folder.model_type == "roberta" and positions is not None:
        positions -= int(module.config.pad_token_id or 0) + 1  # positions are counted from there
    start = folder.config.get("decoder_start_token_id")
    pad = chosen.get("pad_token_id") or 0
    vocabulary = int(module.config.vocab_size)
    start = start if isinstance(start, int) and 0 <= start < vocabulary else pad
    unread = sorted(
        n
        for n, own in names.items()
        if own.startswith(kind.heads or ("\0",)) and own not in kind.tied
    )
    notes = list(folder.warnings)
    if unread:
        more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
        shown = ", ".join(map(printable, unread[:3])) + more
        notes.append(f"the network is read without its head: {shown}")
    return TextModel(
        module,
        folder.model_type,
        _stacks(module, folder.model_type),
        vocabulary,
        int(module.config.hidden_size),
        units,
        positions,
        start,
        act,
        gated,
        parameters(shapes, folder.config),
        tuple(notes),
    )


def parameters(shapes: Mapping[str, Shape], config: Config) -> int:
    """Numbers in the tensors; tied ones and running statistics count once and not at all."""
    kind = KINDS[str(config["model_type"])]
    names = _names(shapes, kind)
    total, counted = 0, False
    for name, shape in shapes.items():
        own = names[name]
        if own.endswith((*kind.ignored, "running_mean", "running_var", "num_batches_tracked")):
            continue
        tied = own in kind.tied or (
            own == "lm_head.weight" and bool(kind.tied) and config.get("tie_word_embeddings", True)
        )
        if not (tied and counted):
            total += prod(shape)
        counted |= tied
    return total


# --- images ------------------------------------------------------------------------------------


class Logits(nn.Module):
    """A classifier of transformers that returns its logits (B, K) as a tensor.

    What only wraps is left out of the module paths: ``convnext.encoder.stages.0.layers.1`` is
    ``stages.0.1`` here.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._add_parts(network)
        self._network = (network,)  # in a tuple: no child, so that no path gets a prefix

    def _add_parts(self, network: nn.Module) -> None:
        for name, child in network.named_children():
            if type(child).__name__.endswith(("Model", "Encoder")):
                self._add_parts(child)
            elif isinstance(child, nn.ModuleList) and all(map(_is_stage, child)):
                self.add_module(name, nn.ModuleList(map(_without_list, child)))
            else:
                self.add_module(name, child)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """pixel_values (B, C, H, W) → logits (B, K)."""
        logits = first_tensor(self._network[0](pixel_values).logits)
        assert logits is not None
        return logits


def _is_stage(module: nn.Module) -> bool:
    return type(module).__name__.endswith("Stage")


def _without_list(stage: nn.Module) -> nn.Module:
    """The parts of a stage, its blocks straight below it."""
    holder = nn.Module()
    for name, child in stage.named_children():
        parts = child.named_children() if name == "layers" else [(name, child)]
        for part, module in parts:
            holder.add_module(part, module)
    return holder


@dataclass(frozen=True, slots=True)
class ImageModel:
    """An image classifier that fits; ``make`` builds it with its weights."""

    name: str
    classes: int
    parameters: int
    preprocessing: Preprocessing
    normalised: bool  # preprocessor_config.json tells the normalisation
    make: Callable[[], nn.Module]


def image_model(description: Description, tensors: Mapping[str, Tensor]) -> ImageModel:
    """The image classifier of a folder, compared by names and shapes before memory is taken."""
    model_type, name = description.model_type, description.name
    kind = KINDS[model_type]
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    heads = [s for key, s in shapes.items() if re.fullmatch(r"classifier(\.1)?\.weight", key)]
    if not heads or len(heads[0]) != 2:
        raise UserError(
            f"{name} has no classifier; save the network as "
            f"{kind.network} for images to be told apart"
        )
    library()
    chosen = {**settings(description.config, kind, name, len(shapes)), "num_labels": heads[0][0]}
    names = _names(shapes, kind)
    _compare(kind, chosen, shapes, names, name)
    preprocessing, normalised = _preprocessing(description, chosen)
    return ImageModel(
        model_type,
        heads[0][0],
        parameters(shapes, description.config),
        preprocessing,
        normalised,
        lambda: Logits(_filled(kind, chosen, tensors, names, name)),
    )


def _preprocessing(description: Description, chosen: Config) -> tuple[Preprocessing, bool]:
    """What ``preprocessor_config.json`` says of size, crop and normalisation, or ImageNet's."""
    told = description.preprocessor or {}
    channels = chosen.get("num_channels", 3)
    if channels not in (1, 3):
        raise UserError(f"{description.name} takes images of {channels} channels; 1 or 3 are read")
    side = _side(chosen.get("image_size")) or 0
    size = told.get("size", told.get("crop_size"))
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    wanted = _side(told.get("crop_size")) if told.get("do_center_crop") else _side(size)
    crop_from = None
    if description.model_type == "convnext" and wanted and wanted < 384:
        share = told.get("crop_pct")  # ConvNeXt resizes to more than it crops
        share = share if isinstance(share, int | float) and 0.1 <= share <= 1 else 224 / 256
        crop_from = round(wanted / share)
    elif told.get("do_center_crop") and isinstance(shortest, int):
        crop_from = shortest
    side = side or wanted or 224
    if crop_from is not None and not side <= crop_from <= describe.LARGEST_SIDE:
        crop_from = None
    interpolation = "bicubic" if told.get("resample") == 3 else "bilinear"
    mean: Any = told.get("image_mean")
    std: Any = told.get("image_std")
    normalised = bool(told.get("do_normalize", True)) and _numbers(mean, channels)
    normalised = normalised and _numbers(std, channels) and min(std) > 0
    if normalised:
        mean, std = tuple(map(float, mean)), tuple(map(float, std))
    elif told and told.get("do_normalize") is False:
        mean, std, normalised = (0.0,) * channels, (1.0,) * channels, True
    else:
        mean, std = norms.IMAGENET if channels == 3 else ((0.0,), (1.0,))
    return Preprocessing(side, side, channels, mean, std, crop_from, interpolation), normalised


def _side(size: object) -> int | None:
    """The side in pixels of ``224``, ``[224, 224]``, ``{"height": 224, …}`` or shortest edge."""
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    if isinstance(size, list | tuple) and size:
        size = size[0]
    if not isinstance(size, int) or isinstance(size, bool):
        return None
    return size if 1 <= size <= describe.LARGEST_SIDE else None


def _numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and abs(v) < 1e6 for v in values)
    )


# --- building ----------------------------------------------------------------------------------


def settings(config: Config, kind: Kind, name: str, tensors: int) -> dict[str, Any]:
    """The known settings of ``config.json``, of sane types and sizes. UserError otherwise.

    tensors: how many the files hold; a network of more blocks than that is not built at all.
    """
    chosen = {key: config[key] for key in kind.settings if config.get(key) is not None}
    for key, value in chosen.items():
        sides = value if isinstance(value, list) else [value]
        numbers = [v for v in sides if isinstance(v, int | float) and not isinstance(v, bool)]
        absurd = any(not -1 <= v <= describe.LARGEST for v in numbers)  # NaN, too
        strange = not all(isinstance(v, int | float | str) for v in sides) or len(sides) > 16
        if absurd or strange:
            raise UserError(
                f"{name}: config.json sets {key} to {printable(str(value), 40)}, which no network "
                "has; copy or download it again"
            )
    blocks = 0
    for key in kind.layers:
        value = chosen.get(key, 0)
        counts = value if isinstance(value, list) else [value]
        if not all(isinstance(v, int) and v >= 0 for v in counts):
            raise UserError(f"{name}: config.json sets {key} to {printable(str(value), 40)}")
        blocks += sum(counts)
    if blocks > tensors:
        raise UserError(
            f"{name}: config.json describes {blocks:,} blocks, and the files hold "
            f"{tensors:,} tensors; copy or download the whole folder"
        )
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise UserError(
            f"{name} uses {printable(str(config['position_embedding_type']), 40)} position "
            "embeddings, which cannot be opened; absolute ones can"
        )
    return chosen


def _construct(kind: Kind, chosen: Config, name: str) -> nn.Module:
    """The network with weights of any value. UserError for settings that make none."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    transformers = library()
    try:
        config = getattr(transformers, kind.config)(**chosen)
        config._attn_implementation = "eager"
        network = getattr(transformers, kind.network)(config, **dict(kind.without))
    except UserError:
        raise
    except Exception as error:  # a configuration from outside can break anything
        raise UserError(
            f"{name}: config.json describes no network of the class {kind.network} "
            f"({printable(f'{type(error).__name__}: {error}', 160)}); copy or download it again"
        ) from error
    assert isinstance(network, nn.Module)
    return network.eval()


def _names(shapes: Mapping[str, Shape], kind: Kind) -> dict[str, str]:
    """Name in the library of every tensor in the file."""
    prefix = kind.base if any(name.startswith(kind.base) for name in shapes) else ""
    result = {}
    for name in shapes:
        own = name.removeprefix(prefix) if prefix else name
        for pattern, better in kind.renamed:
            own = re.sub(pattern, better, own)
        result[name] = own
    return result


def _compare(
    kind: Kind, chosen: Config, shapes: Mapping[str, Shape], names: Mapping[str, str], what: str
) -> None:
    """UserError that shows the first differences between files and network. Takes no memory."""
    network = on_meta(partial(_construct, kind, chosen, what))
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = _read_shapes(kind, {names[name]: shape for name, shape in shapes.items()})
    if own != found:
        raise UserError(f"{what} does not fit its config.json: {differences(own, found)}")


def _read_shapes(kind: Kind, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Without heads and what old versions wrote; a tied tensor stands under all its names."""
    left = kind.heads or ("\0",)
    ignored = kind.ignored or ("\0",)
    found = {n: s for n, s in shapes.items() if not n.startswith(left) and not n.endswith(ignored)}
    source = next((n for n in kind.tied if n in found), None)
    if source is not None:
        found |= dict.fromkeys(kind.tied, found[source])
    return found


def _filled(
    kind: Kind,
    chosen: Config,
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    what: str,
    *,
    shared: bool = False,
) -> Any:
    """The network with the tensors in it, float32, in evaluation mode. ``shared``: the tensors
    themselves, without a copy, which nobody may then change."""
    library()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _compare(kind, chosen, shapes, names, what)
    own = {names[name]: tensor for name, tensor in tensors.items()}
    source = next((n for n in kind.tied if n in own), None)
    if source is not None:
        own |= dict.fromkeys(kind.tied, own[source])
    with EmptyOnMeta() if shared else nullcontext():
        network = _construct(kind, chosen, what)
    with torch.no_grad():
        read = {n: own[n] for n in network.state_dict()}
        network.load_state_dict(read, strict=True, assign=shared)
    return network.float().eval()


# --- blocks of text transformers ---------------------------------------------------------------

_STACKS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "t5": tuple(
        (name, rf"{name}\.block\.\d+", r"\.layer\.\d+\.DenseReluDense\.act", "final_layer_norm")
        for name in ("encoder", "decoder")
    ),
    "bert": (("encoder", r"encoder\.layer\.\d+", r"\.intermediate\.intermediate_act_fn", ""),),
    "roberta": (("encoder", r"encoder\.layer\.\d+", r"\.intermediate\.intermediate_act_fn", ""),),
}


def _stacks(module: nn.Module, model_type: str) -> tuple[Stack, ...]:
    paths = [path for path, _ in module.named_modules()]
    found = []
    for name, block, activation, norm in _STACKS[model_type]:
        found.append(
            Stack(
                name,
                tuple(p for p in paths if re.fullmatch(block, p)),
                tuple(p for p in paths if re.fullmatch(block + activation, p)),
                f"{name}.{norm}" if norm else None,
            )
        )
    return tuple(found)

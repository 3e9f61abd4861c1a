"""Which network a checkpoint is run as, and which bundled data fits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.checkpoints import Checkpoint, open_checkpoint
from core.checkpoints.hugging_face import Description
from core.data.dataset import Dataset
from core.data.opening import open_dataset
from core.errors import UserError
from core.models.building import Model, build
from core.models.identification import identify
from core.models.operator_models import load_constructor
from core.progress import IsCancelled, Progress, check, never, silent
from core.request import AnalysisRequest, FitRequest
from core.results import Settings


def _shape(dataset: Dataset | None) -> tuple[int, int, int] | None:
    """(C, H, W) of the first image: helps where the tensors do not tell the network's input."""
    if dataset is None:
        return None
    height, width, channels = dataset.image(0).shape
    return channels, height, width


def is_text(checkpoint: Checkpoint) -> bool:
    """True for a text transformer, which ``core.language`` analyses."""
    return isinstance(checkpoint.metadata, Description) and checkpoint.metadata.is_text


def find_model(
    checkpoint: Checkpoint, request: AnalysisRequest, dataset: Dataset | None
) -> tuple[Model | None, str]:
    """The network; or None, and what to do about it where no registry knows it. Nothing needs to
    be done where only the weights were asked for."""
    shape = _shape(dataset)
    constructor = load_constructor(request.model) if request.model else None
    settings = request.settings
    if settings.architecture == "weights":
        return None, ""
    if constructor is None and settings.architecture == "auto":
        found = identify(checkpoint.tensors, checkpoint.metadata, shape)
        if found.architecture is None or is_text(checkpoint):
            return None, " ".join(found.warnings) or "no registry knows this network"
    model = build(
        checkpoint.tensors, checkpoint.metadata, settings.architecture, constructor, shape
    )
    return with_preprocessing(settings, model), ""


def open_network(request: AnalysisRequest) -> tuple[Checkpoint, Model, Dataset]:
    """The checkpoint of a request, its network, and all images of its data.

    UserError where one cannot be opened, or no registry knows the network.
    """
    checkpoint = open_checkpoint(Path(request.checkpoint), request.checkpoint_name or None)
    dataset = open_dataset(request.data or "", request.data_name)
    model, reason = find_model(checkpoint, request, dataset)
    if model is None:
        raise UserError(reason or "only the weights were asked for: choose an architecture")
    return checkpoint, model, dataset


def with_preprocessing(settings: Settings, model: Model) -> Model:
    """The model with the preprocessing that the user asked for instead of the checkpoint's."""
    changes: dict[str, Any] = {}
    if settings.input_size is not None:
        changes |= {"height": settings.input_size, "width": settings.input_size, "crop_from": None}
    for key in ("mean", "std"):
        values = getattr(settings, key)
        if values is None:
            continue
        channels = model.preprocessing.channels
        if len(values) not in (1, channels) or (key == "std" and min(values) <= 0):
            raise UserError(
                f"the normalisation's {key} is {values}; give {channels} numbers"
                + (" above 0" if key == "std" else "")
            )
        changes[key] = tuple(values) * (channels if len(values) == 1 else 1)
    return replace(model, preprocessing=replace(model.preprocessing, **changes))


def data_that_fits(
    request: FitRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> tuple[str, ...]:
    """Ids of the bundled data sets that have the network's channels and number of classes (images
    are resized to its input), the best one first; empty where there are none, or no registry knows
    the network."""
    progress(0, 1, "Looking which data fit")
    checkpoint = open_checkpoint(Path(request.checkpoint))
    for shape, names in _BUNDLED_OF_TEN_CLASSES.items():
        check(cancelled)
        found = identify(checkpoint.tensors, checkpoint.metadata, shape)
        channels = found.input_shape[0] if found.input_shape else None
        if found.architecture and found.classes == 10 and channels == shape[0]:
            return names
    return ()


_BUNDLED_OF_TEN_CLASSES = {
    (1, 8, 8): ("digits", "digits-train", "digits-test"),
    (3, 32, 32): ("cifar10", "cifar10-train", "cifar10-subset"),
}


def fitting_data(model: Model, checkpoint: Checkpoint) -> str:
    """The bundled data set that fits the network's input and classes."""
    if model.classes == 10 and model.preprocessing.shape == (3, 32, 32):
        return "cifar10"
    if model.classes == 10 and model.preprocessing.shape == (1, 8, 8):
        return "digits"
    shape = "×".join(map(str, model.preprocessing.shape))
    raise UserError(
        f"{checkpoint.name} takes {shape} inputs of {model.classes} classes, and no bundled data "
        "fits: give images with --data FILE.zip (one folder per class)"
    )

"""A few images as one network sees them at one setting: what a page shows beside a slider."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from core.data.corruptions import check as check_corruption
from core.data.corruptions import corrupt
from core.data.dataset import Dataset
from core.errors import UserError
from core.models.vit import Block
from core.progress import IsCancelled, Progress, check, never, silent
from core.robustness.opening import PixelNetwork, batches, draw, open_network, pixels, settings_of
from core.robustness.request import SeenRequest
from core.robustness.results import Seen

PICTURES = 6
TILE = 96  # pixels at least, so that browsers do not smooth the image
MAX_TILE = 192
GAP = 8


def run(
    request: SeenRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Seen:
    """Accuracy, sparsity and reconstruction error over ``max_images``, and six of these images, of
    different classes where there are enough.

    UserError for an unknown corruption, a setting that the network cannot have, or a network that
    does not fit the data.
    """
    progress(0, 1, "Opening the network")
    if request.severity:
        check_corruption(request.family, request.severity)
    network, whole = open_network(request.network, cancelled=cancelled)
    if request.setting is not None:
        if network.knob is None:
            raise UserError(
                "this network has neither λ nor k: leave the setting out, or choose a network with "
                "a sparse coding layer or top-k activations"
            )
        settings_of(network.knob, (request.setting,))
    dataset = draw(whole, request.max_images, request.network.settings.seed)
    images = dataset
    if request.severity:
        seed = request.network.settings.seed
        images = corrupt(dataset, request.family, request.severity, seed)
    right, errors, counted = 0, [], _Counted()
    pieces = batches(len(dataset), network)
    with network.setting(request.setting), torch.inference_mode():
        for i, rows in enumerate(pieces):
            check(cancelled)
            progress(i, len(pieces), "Looking at the images")
            x = pixels(images, rows, network)
            with _sparse(network, counted):
                logits, error, _ = _look(network, x)
            right += int((logits.argmax(1).cpu().numpy() == dataset.labels[rows]).sum())
            errors.append(error)
        chosen = _of_different_classes(dataset.labels, PICTURES)
        x = pixels(images, chosen, network)
        logits, _, reconstruction = _look(network, x)
    clean = pixels(dataset, chosen, network)
    pictures = {"Image": clean}
    if request.severity:
        pictures["Corrupted"] = x
    if reconstruction is not None:
        pictures["Reconstruction"] = reconstruction
        pictures["Residual, grey = 0"] = 0.5 + x - reconstruction
    progress(1, 1, "Finished")
    knob = network.knob
    error = np.concatenate(errors)
    return Seen(
        setting=request.setting if request.setting is not None or knob is None else knob.trained,
        correct=right / len(dataset),
        images=len(dataset),
        png=_sheet(list(pictures.values())),
        rows=tuple(pictures),
        columns=tuple(
            _said(dataset, int(i), int(k))
            for i, k in zip(chosen, logits.argmax(1).cpu(), strict=True)
        ),
        nonzero=counted.share,
        error=float(error.mean()) if np.isfinite(error).all() else None,
    )


def _look(network: PixelNetwork, x: Tensor) -> tuple[Tensor, np.ndarray, Tensor | None]:
    """Logits, reconstruction error of every image (NaN without a CSC layer), and A z in pixels."""
    if network.csc is None:
        return network(x), np.full(len(x), np.nan), None
    with network.watching() as seen:
        logits = network(x)
    given, code = seen[0]
    error = network.csc.error(given, code).cpu().numpy()
    return logits, error, network.in_pixels(network.csc.dictionary(given).synthesis(code))


class _Counted:
    """Non-zeros among entries."""

    def __init__(self) -> None:
        self.nonzero = self.entries = 0

    def add(self, values: Tensor) -> None:
        self.nonzero += int(torch.count_nonzero(values))
        self.entries += values.numel()

    @property
    def share(self) -> float | None:
        """None where nothing was counted."""
        return self.nonzero / self.entries if self.entries else None


@contextmanager
def _sparse(network: PixelNetwork, counted: _Counted) -> Iterator[None]:
    """Count in the first CSC layer's code, or else in the hidden activations of a ViT's MLPs, where
    these have exact zeros."""
    layers: list[nn.Module]
    if network.csc is not None:
        layers = [network.csc]
    else:
        blocks = [m for m in network.modules() if isinstance(m, Block)]
        layers = [b.act if b.top_k is None else b.top_k for b in blocks]
        layers = [la for la in layers if not isinstance(la, nn.GELU)]
    handles = [la.register_forward_hook(lambda _, x, out: counted.add(out)) for la in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _of_different_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of ``count`` images: the first of every class, then others."""
    _, first = np.unique(labels, return_index=True)
    rest = np.setdiff1d(np.arange(len(labels)), first)
    return np.concatenate([first, rest])[:count]


def _said(dataset: Dataset, index: int, predicted: int) -> str:
    own = dataset.class_names[dataset.labels[index]]
    said = dataset.class_names[predicted]
    return f"{own} ✓" if said == own else f"{own} → {said}"


def _sheet(rows: list[Tensor]) -> bytes:
    """A PNG, every row the images (n, C, H, W) of one entry."""
    height, width = rows[0].shape[-2:]
    factor = max(1, -(-TILE // max(height, width)))
    shrink = min(1.0, MAX_TILE / (factor * max(height, width)))
    size = (round(shrink * factor * width), round(shrink * factor * height))
    step = (size[0] + GAP, size[1] + GAP)
    sheet = Image.new("RGBA", (step[0] * len(rows[0]) - GAP, step[1] * len(rows) - GAP))
    for i, images in enumerate(rows):
        values = images.clamp(0, 1).mul(255).round().byte().cpu().numpy().transpose(0, 2, 3, 1)
        for j, value in enumerate(values):
            picture = Image.fromarray(value[:, :, 0] if value.shape[2] == 1 else value)
            picture = picture.convert("RGB").resize(size, Image.Resampling.BOX)
            sheet.paste(picture, (j * step[0], i * step[1]))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()

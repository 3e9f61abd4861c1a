"""A few images of a data set from clean to the highest severity, as one picture."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from core.data.corruptions import SEVERITIES, corrupted
from core.data.opening import open_dataset
from core.progress import IsCancelled, Progress, never, silent

MAX_TILE = 128  # pixels; larger images are made smaller
MIN_TILE = 96  # smaller ones are enlarged by a whole factor, so that browsers do not smooth them
GAP = 16  # a tile's share of space between tiles is 1/GAP


@dataclass(frozen=True, slots=True)
class ExamplesRequest:
    """Which images, and what is done to them."""

    data: str  # as ``open_dataset`` is asked for it
    corruption: str
    count: int = 3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Examples:
    """A PNG of count rows and 6 columns, severities 0 (clean) to 5, and the class of each row."""

    png: bytes
    class_names: tuple[str, ...]


def examples(
    request: ExamplesRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Examples:
    """Images of different classes where there are enough, each at every severity."""
    progress(0, 1, "Opening the images")
    dataset = open_dataset(request.data)
    rows = _of_different_classes(dataset.labels, request.count, request.seed)
    images = [dataset.image(int(row)) for row in rows]
    side = min(MAX_TILE, max(max(image.shape[:2]) for image in images))
    factor = -(-MIN_TILE // side)
    side *= factor
    step = side + max(1, side // GAP)
    sheet = Image.new("RGBA", (step * 6 - (step - side), step * len(rows) - (step - side)))
    for i, (row, image) in enumerate(zip(rows, images, strict=True)):
        for severity in (0, *SEVERITIES):
            made = image
            if severity:
                identity = int(dataset.ids[row])
                made = corrupted(image, request.corruption, severity, request.seed, identity)
            sheet.paste(_tile(made, side, factor), (severity * step, i * step))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    progress(1, 1, "Finished")
    return Examples(buffer.getvalue(), tuple(dataset.class_names[dataset.labels[r]] for r in rows))


def _of_different_classes(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of ``count`` images; labels (N,)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    _, first = np.unique(labels[order], return_index=True)
    different = order[rng.permutation(first)]
    return np.concatenate([different, np.setdiff1d(order, different)])[:count]


def _tile(image: np.ndarray, side: int, factor: int) -> Image.Image:
    """The image, enlarged by ``factor`` or made smaller, within a transparent square."""
    pixels = image if image.dtype == np.uint8 else np.rint(255 * image).astype(np.uint8)
    picture = Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
    picture = picture.resize(
        (factor * picture.width, factor * picture.height), Image.Resampling.BOX
    )
    picture.thumbnail((side, side))
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square

"""The images of the kept samples, as one JPEG of square tiles inside the analysis. Pillow only."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from core.results import Sample

PICTURED = 800  # samples kept for pictures
COLUMNS = 32
MAX_TILE = 64
QUALITY = 85


def sprite(images: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """(bytes of one JPEG as uint8, side of a tile) of images (H, W, C), uint8 or float in [0, 1].

    Tiles lie row by row, ``COLUMNS`` in a row; an image keeps its shape, centred on grey.
    """
    side = min(MAX_TILE, max(max(image.shape[:2]) for image in images))
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * side, rows * side), (128, 128, 128))
    for i, image in enumerate(images):
        tile = Image.fromarray(_rgb(image))
        if max(tile.size) > side:
            tile.thumbnail((side, side))
        left = (i % COLUMNS) * side + (side - tile.width) // 2
        top = (i // COLUMNS) * side + (side - tile.height) // 2
        sheet.paste(tile, (left, top))
    buffer = io.BytesIO()
    sheet.save(buffer, format="JPEG", quality=QUALITY)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8), side


def tile(sample: Sample, row: int, size: int = 160) -> bytes | None:
    """The image of pictured sample ``row`` (of ``Sample.ids``) enlarged to ``size`` pixels, as
    PNG; None if none was kept."""
    if not 0 <= row < len(sample.ids):
        return None
    return kept_tile(sample, row if sample.kept_rows is None else int(sample.kept_rows[row]), size)


def kept_tile(sample: Sample, row: int, size: int = 160) -> bytes | None:
    """The same of any kept sample, by its row in ``Sample.kept_ids``."""
    kept = sample.ids if sample.kept_ids is None else sample.kept_ids
    if sample.thumbnails is None or not 0 <= row < len(kept):
        return None
    sheet = _sheet(sample.thumbnails.tobytes())
    left, top = (row % sample.columns) * sample.tile, (row // sample.columns) * sample.tile
    piece = sheet.crop((left, top, left + sample.tile, top + sample.tile))
    resample = Image.Resampling.NEAREST if sample.tile * 2 <= size else Image.Resampling.BICUBIC
    buffer = io.BytesIO()
    piece.resize((size, size), resample).save(buffer, format="PNG")
    return buffer.getvalue()


@lru_cache(maxsize=8)
def _sheet(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _rgb(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8:
        low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
        image = np.rint(255 * (image - low) / (high - low)).astype(np.uint8)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image

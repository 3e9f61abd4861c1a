"""Decode one image file into an array, whatever its mode, never trusting its size."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from core.errors import UserError

MAX_PIXELS = 50_000_000
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def decode(data: bytes, name: str) -> np.ndarray:
    """The pixels of an image file: (H, W, 3) or, for grey images, (H, W, 1), uint8.

    Palette, CMYK and other colour modes become RGB, transparency is laid on white, 16-bit grey
    keeps its upper byte, and of an animation the first frame counts. UserError names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise UserError(
                        f"image {name} has {width}×{height} pixels, more than {MAX_PIXELS:,}; "
                        "make it smaller"
                    )
                return _pixels(image)
    except UserError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files
        raise UserError(
            f"image {name} cannot be read ({type(error).__name__}); replace or remove it"
        ) from error


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return (np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)[:, :, None]
    if image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0.0) > 255.0 else 255.0
        return np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)[:, :, None]
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, "white")
        return np.asarray(Image.alpha_composite(ground, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))

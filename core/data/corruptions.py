"""Corruptions of images in five severities, applied when an image is read.

The families, parameters and order of operations are those of CIFAR-10-C (32 pixels) and ImageNet-C
(224 pixels): Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019, and github.com/hendrycks/robustness. Images whose shorter
side is nearer to 32 than to 224 (by ratio: below 85) take the former. Values are rounded where the
published sets cut them off, a difference of less than one grey level.

Every image has random numbers of its own, from its id, the family and a seed: it is corrupted in
the same way in any batch, and a higher severity uses the same numbers.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.data.dataset import Dataset
from core.errors import UserError

SEVERITIES = (1, 2, 3, 4, 5)
LARGE_FROM = 85  # pixels: the geometric mean of 32 and 224

Parameter = float | tuple[float, float]
Apply = Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]
"""apply(x, c, rng): x (H, W, C) float64 in [0, 1] → the same shape, not yet clipped."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of corruption and its parameter c at severities 1 to 5."""

    title: str
    meaning: str  # of the parameter
    small: tuple[Parameter, ...]  # CIFAR-10-C
    large: tuple[Parameter, ...]  # ImageNet-C


FAMILIES: dict[str, Family] = {
    "gaussian_noise": Family(
        "Gaussian noise",
        "standard deviation",
        (0.04, 0.06, 0.08, 0.09, 0.10),
        (0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    "shot_noise": Family(
        "Shot noise",
        "photons of a white pixel",
        (500, 250, 100, 75, 50),
        (60, 25, 12, 5, 3),
    ),
    "impulse_noise": Family(
        "Impulse noise",
        "share of values set to black or white",
        (0.01, 0.02, 0.03, 0.05, 0.07),
        (0.03, 0.06, 0.09, 0.17, 0.27),
    ),
    "defocus_blur": Family(
        "Defocus blur",
        "radius of the disk and sigma that smooths its edge, in pixels",
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "motion_blur": Family(
        "Motion blur",
        "radius and sigma of the trail, in pixels",
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "contrast": Family(
        "Contrast",
        "factor of the distance to the mean of the channel",
        (0.75, 0.5, 0.4, 0.3, 0.15),
        (0.4, 0.3, 0.2, 0.1, 0.05),
    ),
    "brightness": Family(
        "Brightness",
        "added to the value of HSV",
        (0.05, 0.1, 0.15, 0.2, 0.3),
        (0.1, 0.2, 0.3, 0.4, 0.5),
    ),
    "jpeg_compression": Family(
        "JPEG compression",
        "quality",
        (80, 65, 58, 50, 40),
        (25, 18, 15, 10, 7),
    ),
    "pixelate": Family(
        "Pixelate",
        "factor of both sides before they are enlarged again",
        (0.95, 0.9, 0.85, 0.75, 0.65),
        (0.6, 0.5, 0.4, 0.3, 0.25),
    ),
}


def corrupt(dataset: Dataset, name: str, severity: int, seed: int = 0) -> Dataset:
    """The same data set with corrupted images; UserError for an unknown name or severity."""
    check(name, severity)
    key = f"{dataset.sha256}@{name}-{severity}, seed {seed}"
    read = dataset.reader
    return replace(
        dataset,
        name=f"{dataset.name}, {label(name, severity)}",
        sha256=hashlib.sha256(key.encode()).hexdigest(),
        reader=lambda i: corrupted(read(i), name, severity, seed, i),
    )


def corrupted(image: np.ndarray, name: str, severity: int, seed: int, image_id: int) -> np.ndarray:
    """One image (H, W, C), uint8 or float in [0, 1], corrupted; same shape and dtype."""
    family = FAMILIES[name]
    parameters = family.large if min(image.shape[:2]) >= LARGE_FROM else family.small
    rng = np.random.default_rng([seed, image_id, zlib.crc32(name.encode())])
    whole = image.dtype == np.uint8
    values = image / 255.0 if whole else image.astype(np.float64)
    made = np.clip(_APPLY[name](values, parameters[severity - 1], rng), 0.0, 1.0)
    return np.rint(255.0 * made).astype(np.uint8) if whole else made.astype(image.dtype)


def label(name: str, severity: int) -> str:
    """ "Gaussian noise 3" """
    return f"{FAMILIES[name].title} {severity}"


def check(name: str, severity: int) -> None:
    """UserError unless there is such a corruption."""
    if name not in FAMILIES or severity not in SEVERITIES:
        raise UserError(
            f"there is no corruption {name}-{severity}; write NAME-SEVERITY with a severity from "
            f"1 to 5 and a name of {', '.join(FAMILIES)}"
        )


def spec_of(data: str, name: str, severity: int) -> str:
    """How ``open_dataset`` is asked for a corrupted data set: "cifar10@contrast-5"."""
    return f"{data}@{name}-{severity}"


def split_spec(spec: str) -> tuple[str, tuple[str, int] | None]:
    """A data set's name or path, and the corruption that "DATA@NAME-SEVERITY" asks for.

    A path that exists is taken as it is. UserError for an unknown name or severity.
    """
    data, at, wanted = spec.rpartition("@")
    if not at or Path(spec).exists():
        return spec, None
    match = re.fullmatch(r"(.*)-(\d+)", wanted)
    if match is None:
        raise UserError(
            f"there is no data set {spec}; after @ comes a corruption as NAME-SEVERITY, such as "
            f"gaussian_noise-3, with a severity from 1 to 5 and a name of {', '.join(FAMILIES)}"
        )
    name, severity = match[1], int(match[2])
    check(name, severity)
    return data, (name, severity)


# --- the families ------------------------------------------------------------------------------


def _gaussian_noise(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    return x + rng.normal(scale=c, size=x.shape)


def _shot_noise(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(x * c) / c


def _impulse_noise(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(x.shape) < c
    return np.where(hit, rng.random(x.shape) < 0.5, x)


def _defocus_blur(x: np.ndarray, c: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    radius, sigma = c
    kernel = disk(radius, sigma)
    reach = len(kernel) // 2
    height, width = x.shape[:2]
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    result = np.zeros_like(x)
    for i, j in zip(*np.nonzero(kernel), strict=True):
        result += kernel[i, j] * padded[i : i + height, j : j + width]
    return result


def disk(radius: float, sigma: float) -> np.ndarray:
    """A disk, its edge smoothed by a Gaussian of 3×3, or of 5×5 above radius 8.

    It sums to 1, or where the disk touches its border (radius 8 and 10) to 1.01, as published.
    """
    reach, size = (8, 3) if radius <= 8 else (int(radius), 5)
    offset = np.arange(-reach, reach + 1)
    sharp = (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.float64)
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    half = size // 2
    padded = np.pad(sharp / sharp.sum(), half, mode="reflect")
    rows = sum(t * padded[k : k + len(offset)] for k, t in enumerate(taps))
    return sum(t * rows[:, k : k + len(offset)] for k, t in enumerate(taps))  # type: ignore[index]


def _motion_blur(x: np.ndarray, c: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    radius, sigma = c
    return trail(x, radius, sigma, rng.uniform(-45, 45))


def trail(x: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """Motion blur to one side, as ImageMagick's: pixels along a ray, weighted by half a Gaussian;
    beyond the edge the edge goes on. x (H, W, C)."""
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = math.radians(degrees)
    down = np.ceil(steps * math.sin(angle) - 0.5).astype(int)
    right = np.ceil(steps * math.cos(angle) - 0.5).astype(int)
    height, width = x.shape[:2]
    result = np.zeros_like(x)
    for weight, dy, dx in zip(weights, down, right, strict=True):
        rows = np.clip(np.arange(height) + dy, 0, height - 1)
        columns = np.clip(np.arange(width) + dx, 0, width - 1)
        result += weight * x[rows[:, None], columns]
    return result


def _contrast(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    means = x.mean(axis=(0, 1), keepdims=True)
    return (x - means) * c + means


def _brightness(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    # a new value V of HSV at the same hue and saturation scales all channels by the same factor
    value = x.max(axis=2, keepdims=True)
    brighter = np.minimum(value + c, 1.0)
    return np.where(value > 0, x * brighter / np.where(value > 0, value, 1.0), brighter)


def _jpeg_compression(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    pixels = np.rint(255.0 * np.clip(x, 0.0, 1.0)).astype(np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.save(buffer, format="JPEG", quality=int(c))
    decoded = np.asarray(Image.open(buffer)) / 255.0
    return decoded[:, :, None] if decoded.ndim == 2 else decoded


def _pixelate(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    height, width = x.shape[:2]
    small = max(1, int(width * c)), max(1, int(height * c))
    planes = [
        Image.fromarray(x[:, :, k].astype(np.float32))
        .resize(small, Image.Resampling.BOX)
        .resize((width, height), Image.Resampling.BOX)
        for k in range(x.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


_APPLY: dict[str, Apply] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "defocus_blur": _defocus_blur,
    "motion_blur": _motion_blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "jpeg_compression": _jpeg_compression,
    "pixelate": _pixelate,
}

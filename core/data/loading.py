"""From images to the array a network takes: resize, crop, channels, normalisation."""

from __future__ import annotations

import numpy as np
from PIL import Image

from core.data.dataset import Dataset
from core.data.preprocessing import Preprocessing

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def load_batch(dataset: Dataset, positions: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The preprocessed images at ``positions``: (B, C, H, W) float32, contiguous."""
    images = [fit(dataset.image(int(i)), preprocessing) for i in positions]
    batch = np.stack(images)  # (B, H, W, C)
    scale = 255.0 if batch.dtype == np.uint8 else 1.0
    mean = np.asarray(preprocessing.mean, dtype=np.float32)
    std = np.asarray(preprocessing.std, dtype=np.float32)
    values = batch.astype(np.float32)
    values *= 1.0 / (scale * std)
    values -= mean / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def fit(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """One image (H, W, C) brought to the network's size and channels, values untouched."""
    image = _channels(image, preprocessing.channels)
    size = (preprocessing.height, preprocessing.width)
    if preprocessing.crop_from is not None:
        image = _resize_shorter(image, preprocessing.crop_from, preprocessing.interpolation)
        return _centre_crop(image, size)
    if image.shape[:2] != size:
        image = _resize(image, size, preprocessing.interpolation)
    return image


def _channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[2] == channels:
        return image
    if image.shape[2] == 1:
        return np.repeat(image, channels, axis=2)
    # luma of ITU-R BT.601, as Pillow's convert("L")
    grey = image[:, :, :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = np.rint(grey).astype(np.uint8) if image.dtype == np.uint8 else grey
    return np.repeat(grey[:, :, None], channels, axis=2)


def _resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    height, width = size
    resample = _FILTERS[interpolation]
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize((width, height), resample))
    planes = [
        np.asarray(Image.fromarray(image[:, :, c]).resize((width, height), resample))
        for c in range(image.shape[2])
    ]
    return np.stack(planes, axis=2)


def _resize_shorter(image: np.ndarray, shorter: int, interpolation: str) -> np.ndarray:
    height, width = image.shape[:2]
    if height <= width:
        size = (shorter, max(shorter, int(shorter * width / height)))
    else:
        size = (max(shorter, int(shorter * height / width)), shorter)
    return image if size == (height, width) else _resize(image, size, interpolation)


def _centre_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if image.shape[0] < height or image.shape[1] < width:
        return _resize(image, size, "bilinear")
    top = round((image.shape[0] - height) / 2)
    left = round((image.shape[1] - width) / 2)
    return image[top : top + height, left : left + width]

"""How the tensor that a layer returns becomes one vector per sample."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


def first_tensor(value: Any) -> Tensor | None:
    """The first floating-point tensor in what a module takes or returns, or None."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return next((t for t in map(first_tensor, value) if t is not None), None)
    return None


def pooled(x: Tensor, class_token: bool = False) -> Tensor:
    """(B, d): maps are averaged over their positions, tokens over tokens.

    (B, C, H, W) and (B, H, W, C) are told apart by the two equal sides. Tokens are (B, T, C);
    ``class_token`` takes the first of them instead of the mean.
    """
    if x.ndim <= 2:
        return x.reshape(len(x), -1)
    if x.ndim == 3:
        return x[:, 0] if class_token else x.mean(1)
    positions = _positions(tuple(x.shape[1:]))
    if x.device.type == "cpu" and x.dtype == torch.float32 and positions == (2, 3):
        maps = x.permute(0, 2, 3, 1)
        if maps.is_contiguous():  # channels-last: BLAS reads it a third faster than torch.mean
            return _mean_rows(maps.flatten(1, 2))
    return x.mean(positions)


def _mean_rows(x: Tensor) -> Tensor:
    """(B, P, C) → (B, C), on the CPU."""
    weights = np.full((1, x.shape[1]), 1 / x.shape[1], dtype=np.float32)
    return torch.from_numpy(np.matmul(weights, x.numpy())[:, 0])


def pooled_dim(shape: tuple[int, ...]) -> int:
    """d of ``pooled`` for one sample's output of this shape."""
    if len(shape) == 2:
        return shape[1]
    axes = _positions(shape) if len(shape) > 2 else ()
    kept = [size for axis, size in enumerate(shape, start=1) if axis not in axes]
    return int(np.prod(kept))


@lru_cache(maxsize=1024)
def _positions(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of (B, *shape) that are positions."""
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        return (1, 2)
    return tuple(range(2, len(shape) + 1))


def flattened(x: Tensor, channels_last: bool = False) -> Tensor:
    """(B, D): the whole output. ``channels_last`` flattens maps as (H, W, C), without a copy where
    they lie in memory that way; ``canonical`` puts the columns back."""
    if channels_last and x.ndim == 4:
        x = x.permute(0, 2, 3, 1)
    return x.reshape(len(x), -1)


def canonical(columns: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(m, D) flattened channels-last → flattened as ``x.flatten(1)`` does; maps (C, H, W) only."""
    if len(shape) != 3:
        return columns
    channels, height, width = shape
    maps = columns.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(maps).reshape(len(columns), -1)


def numbers(x: Tensor) -> np.ndarray:
    """A float32 array on the CPU."""
    return x.detach().to("cpu", torch.float32).numpy()

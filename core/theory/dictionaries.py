"""Dictionaries of sparse coding: atoms from a trained network, cosines, noise; and the linear map
A that each is on one image patch.

numpy alone. ``core.models.csc`` has the same map as a layer of a network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided

from core.errors import UserError

MARGIN = 1.02  # the power method comes from below, and FISTA needs a step of at most 1/L
MOST_WEIGHTS = 1 << 16  # of a dictionary that is read: beyond, a slider could not be followed
_TOLERANCE = 1e-5
_MOST_POWERS = 500


class LinearMap(Protocol):
    """A and its transpose on batches: signals (B, *signal_shape), codes (B, *code_shape)."""

    signal_shape: tuple[int, ...]
    code_shape: tuple[int, ...]

    def analysis(self, x: np.ndarray) -> np.ndarray:
        """Aᵀx"""
        ...

    def synthesis(self, z: np.ndarray) -> np.ndarray:
        """A z"""
        ...


@dataclass(frozen=True, slots=True)
class Atoms:
    """A set of small patches that a layer puts side by side: all that makes a dictionary but the
    size of the image."""

    title: str
    values: np.ndarray  # (p, C, k, k), each of Euclidean norm 1
    stride: int
    padding: int
    mean: tuple[float, ...] = (0.0,)  # what the network subtracts from a pixel in [0, 1]
    std: tuple[float, ...] = (1.0,)  # and divides by; one number a channel

    def __len__(self) -> int:
        return len(self.values)


class Matrix:
    """The linear map of an explicit matrix A (d, p), the atoms in its columns."""

    def __init__(self, columns: np.ndarray) -> None:
        self.columns = columns
        self.signal_shape: tuple[int, ...] = (columns.shape[0],)
        self.code_shape: tuple[int, ...] = (columns.shape[1],)

    def analysis(self, x: np.ndarray) -> np.ndarray:
        return x @ self.columns

    def synthesis(self, z: np.ndarray) -> np.ndarray:
        return z @ self.columns.T


class Convolution:
    """The linear map of atoms on an image of ``size`` (H, W), which the stride must divide.

    Signals are (B, H/s, W/s, s·s·C): blocks of s × s pixels are channels (``to_blocks``), so that
    the stride is 1, and both directions are one matrix product of sliding windows. Codes are
    (B, H', W', p). UserError where stride or padding do not fit.
    """

    def __init__(
        self, atoms: Atoms, size: tuple[int, int], dtype: type[np.floating] = np.float64
    ) -> None:
        s, (p, channels, k, _) = atoms.stride, atoms.values.shape
        if size[0] % s or size[1] % s:
            raise UserError(f"a stride of {s} does not divide a patch of {size[0]}×{size[1]}")
        self.stride = s
        self._front = -(-atoms.padding // s)  # blocks of padding before the image
        before = s * self._front - atoms.padding
        blocks = -(-(before + k) // s)
        wide = np.zeros((p, channels, s * blocks, s * blocks))
        wide[:, :, before : before + k, before : before + k] = atoms.values
        kernel = to_blocks(wide, s)  # (p, K, K, s·s·C)
        self._kernel = blocks
        if blocks - 1 < self._front:
            raise UserError(f"padding {atoms.padding} is wider than an atom of {k}×{k} pixels")
        self._rows = np.ascontiguousarray(kernel.reshape(p, -1).T, dtype=dtype)
        turned = kernel[:, ::-1, ::-1].transpose(1, 2, 0, 3)  # (K, K, p, s·s·C)
        self._columns = np.ascontiguousarray(turned.reshape(-1, kernel.shape[-1]), dtype=dtype)
        heights = [(side + 2 * atoms.padding - k) // s + 1 for side in size]
        self.signal_shape: tuple[int, ...] = (size[0] // s, size[1] // s, s * s * channels)
        self.code_shape: tuple[int, ...] = (heights[0], heights[1], p)

    def analysis(self, x: np.ndarray) -> np.ndarray:
        height, width, p = self.code_shape
        seen = _windows(x, self._kernel, self._front, (height, width))
        return (seen @ self._rows).reshape(len(x), height, width, p)

    def synthesis(self, z: np.ndarray) -> np.ndarray:
        height, width, channels = self.signal_shape
        seen = _windows(z, self._kernel, self._kernel - 1 - self._front, (height, width))
        return (seen @ self._columns).reshape(len(z), height, width, channels)


def _windows(x: np.ndarray, kernel: int, front: int, count: tuple[int, int]) -> np.ndarray:
    """Sliding windows of x (B, H, W, c), padded by ``front`` zeros before and what is needed
    behind. (B·h·w, kernel·kernel·c)"""
    batch, height, width, channels = x.shape
    sides = [n - 1 + kernel for n in count]
    padded = np.zeros((batch, sides[0], sides[1], channels), dtype=x.dtype)
    used = [min(have, side - front) for have, side in zip((height, width), sides, strict=True)]
    padded[:, front : front + used[0], front : front + used[1]] = x[:, : used[0], : used[1]]
    b, r, c, item = padded.strides
    shape = (batch, *count, kernel, kernel * channels)
    return as_strided(padded, shape, (b, r, c, r, item)).reshape(-1, kernel * kernel * channels)


def to_blocks(images: np.ndarray, stride: int) -> np.ndarray:
    """(B, C, H, W) → (B, H/s, W/s, s·s·C)"""
    b, c, h, w = images.shape
    cut = images.reshape(b, c, h // stride, stride, w // stride, stride)
    return cut.transpose(0, 2, 4, 3, 5, 1).reshape(b, h // stride, w // stride, -1)


def from_blocks(blocks: np.ndarray, stride: int) -> np.ndarray:
    """The inverse of ``to_blocks``: (B, H/s, W/s, s·s·C) → (B, C, H, W)"""
    b, h, w, channels = blocks.shape
    cut = blocks.reshape(b, h, w, stride, stride, channels // stride**2)
    return cut.transpose(0, 5, 1, 3, 2, 4).reshape(b, -1, h * stride, w * stride)


def explicit(a: LinearMap) -> np.ndarray:
    """The matrix A (d, p) of a map: column j is what the code e_j stands for."""
    count = math.prod(a.code_shape)
    units = np.eye(count).reshape(count, *a.code_shape)
    return a.synthesis(units).reshape(count, -1).T


def squared_norm(a: LinearMap, seed: int = 0) -> float:
    """‖A‖², the largest eigenvalue of AᵀA, by the power method until it moves by less than 1e-5;
    it comes from below. Cauchy's step of ISTA and FISTA is 1/(MARGIN·‖A‖²)."""
    v = np.random.default_rng(seed).standard_normal((1, *a.code_shape))
    largest = 0.0
    for _ in range(_MOST_POWERS):
        v /= max(float(np.linalg.norm(v)), 1e-300)
        image = a.synthesis(v)
        before, largest = largest, float(np.sum(image * image))
        if largest - before <= _TOLERANCE * largest:
            break
        v = a.analysis(image)
    return largest


def coherence(atoms: Atoms) -> float:
    """μ: the largest inner product, in absolute value, of two different atoms anywhere (of the
    same atom at two places, too), 0 to 1.

    Papyan, Sulam and Elad 2017, eq. 4.
    """
    p, _, k, _ = atoms.values.shape
    reach = -(-k // atoms.stride)  # code positions at which two atoms may overlap
    side = atoms.stride * (2 * reach + 1 + -(-k // atoms.stride))
    a = Convolution(Atoms(atoms.title, atoms.values, atoms.stride, 0), (side, side))
    middle = np.zeros((p, *a.code_shape))
    middle[np.arange(p), reach, reach, np.arange(p)] = 1.0
    products = np.abs(a.analysis(a.synthesis(middle)))
    products[np.arange(p), reach, reach, np.arange(p)] = 0.0
    return float(products.max())


# --- where atoms come from ------------------------------------------------------------------------


def unit(values: np.ndarray) -> np.ndarray:
    """Atoms (p, C, k, k) divided by their norms."""
    norms = np.linalg.norm(values.reshape(len(values), -1), axis=1)
    return values / np.maximum(norms, 1e-12)[:, None, None, None]


def learned(path: Path, title: str = "learned") -> Atoms:
    """The atoms of the first layer of an SDNet's checkpoint (safetensors).

    UserError where the file is not there or holds no such layer.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import safe_open

    try:
        with safe_open(path, framework="np") as file:
            told: Mapping[str, str] = file.metadata() or {}
            weight = np.asarray(file.get_tensor("conv1.weight"), dtype=np.float64)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path.name} holds no atoms: give a safetensors checkpoint of an SDNet"
        ) from error
    square = weight.ndim == 4 and weight.shape[2] == weight.shape[3]
    if told.get("architecture") != "sdnet" or not square:
        raise UserError(f"{path.name} is no SDNet: give a checkpoint whose first layer is one")
    if not 0 < weight.size <= MOST_WEIGHTS or not np.isfinite(weight).all():
        raise UserError(
            f"the {weight.size:,} weights of the atoms in {path.name} cannot be used: finite "
            f"numbers are needed, {MOST_WEIGHTS:,} at most"
        )
    try:
        stride = int(told.get("stem_stride", "1"))
        mean = tuple(float(v) for v in told.get("mean", "0").split(","))
        std = tuple(float(v) for v in told.get("std", "1").split(","))
    except ValueError as error:
        raise UserError(f"the metadata of {path.name} cannot be read: save it again") from error
    channels, fits = weight.shape[1], 0 < stride <= weight.shape[-1] and all(std)
    if not fits or {len(mean), len(std)} - {1, channels}:
        raise UserError(f"the metadata of {path.name} does not fit its atoms: save it again")
    return Atoms(title, unit(weight), stride, weight.shape[-1] // 2, mean, std)


def cosines(like: Atoms) -> Atoms:
    """As many two-dimensional cosines as ``like`` has atoms, the lowest frequencies first.

    More frequencies than pixels a side (overcomplete), and all but the constant without mean, as
    in Aharon, Elad and Bruckstein 2006 (K-SVD). In colour a quarter of the atoms, at least two,
    are differences of colours (red − blue, green − the others), the others are grey.
    """
    p, channels, k, _ = like.values.shape
    tinted = 0 if channels == 1 else 2 * max(1, p // 8)
    made = [np.repeat(w[None], channels, 0) for w in _waves(k, p - tinted)]
    if channels == 3:
        for colour in ([1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]):
            made += [np.array(colour)[:, None, None] * w for w in _waves(k, tinted // 2)]
    return Atoms("cosines", unit(np.array(made)), like.stride, like.padding, like.mean, like.std)


def _waves(k: int, count: int) -> list[np.ndarray]:
    """The ``count`` lowest products of two cosines on k × k pixels."""
    frequencies = max(k + 1, math.isqrt(max(count - 1, 0)) + 1)
    place = np.arange(k)[:, None] + 0.5
    lines = np.cos(np.pi * place * np.arange(frequencies) / frequencies)  # (k, frequencies)
    lines[:, 1:] -= lines[:, 1:].mean(0)
    order = sorted(
        ((i, j) for i in range(frequencies) for j in range(frequencies)),
        key=lambda f: (f[0] ** 2 + f[1] ** 2, f),
    )
    return [np.outer(lines[:, i], lines[:, j]) for i, j in order[:count]]


def gaussian(like: Atoms, seed: int = 0) -> Atoms:
    """Atoms of Gaussian noise, as many and as large as those of ``like``."""
    values = np.random.default_rng(seed).standard_normal(like.values.shape)
    return Atoms("random", unit(values), like.stride, like.padding, like.mean, like.std)


def spikes_and_waves(side: int = 256) -> Matrix:
    """[I, H/√d]: single points beside Walsh functions, d = ``side`` a power of two. Its coherence
    is 1/√d, the smallest that two orthonormal bases can have (Donoho and Huo 2001)."""
    hadamard = np.ones((1, 1))
    while len(hadamard) < side:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    return Matrix(np.hstack([np.eye(side), hadamard / math.sqrt(side)]))

"""The plane that a run's checkpoints lie in as nearly as possible: Li et al. 2018, section 7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 1 << 20  # parameters at a time in float64
FLAT = 1e-10  # share of variance below which a direction is rounding error
MARGIN = 0.25  # room around the path, as a share of its extent
LEAST = 0.1  # extent of the shorter side of the box, as a share of the longer one's


@dataclass(frozen=True, slots=True)
class Plane:
    """Two principal directions of a path of E points, seen from its last one."""

    directions: Tensor  # (<= 2, P) of length 1; fewer where the path is a straight line
    coordinates: np.ndarray  # (E, <= 2) (θ_e - θ_E) · direction
    distance: np.ndarray  # (E,) of θ_e to the plane through θ_E
    shares: np.ndarray  # (E - 1,) share of variance of every principal direction


def principal_plane(vectors: Tensor, used: Tensor | None = None) -> Plane:
    """PCA of θ_e - θ_E, rows of ``vectors`` (E, P), by the Gram matrix (E, E) in float64.

    ``used`` (P,) bool: the entries that are parameters; directions are 0 elsewhere. Directions
    point so that the path ends at larger coordinates than it starts; the plane passes through the
    last point, not through the mean.
    """
    count = len(vectors)
    used = torch.ones(vectors.shape[1], dtype=torch.bool) if used is None else used
    gram = _gram(vectors, used)  # (E, E) of θ_e - θ_E
    centring = np.eye(count) - 1 / count
    values, axes = np.linalg.eigh(centring @ gram @ centring)
    order = np.argsort(values)[::-1]
    values, axes = np.maximum(values[order], 0), axes[:, order]
    total = values.sum()
    shares = values[: count - 1] / total if total > 0 else np.zeros(count - 1)
    kept = int((shares[:2] > FLAT).sum())
    mixture = (centring @ axes[:, :kept] / np.sqrt(values[:kept])).T  # (kept, E)
    coordinates = gram @ mixture.T  # (E, kept)
    signs = np.where(coordinates[0] > 0, -1.0, 1.0)
    mixture, coordinates = signs[:, None] * mixture, signs * coordinates
    off = np.maximum(np.diag(gram) - (coordinates**2).sum(1), 0)
    return Plane(
        directions=_combine(mixture, vectors, used),
        coordinates=coordinates,
        distance=np.sqrt(off),
        shares=shares,
    )


def _parts(vectors: Tensor, used: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """θ_e - θ_E in float64, some columns at a time; 0 where an entry is not in use."""
    for start in range(0, vectors.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        part = vectors[:, columns].double()
        yield columns, (part - part[-1]) * used[columns]


def _gram(vectors: Tensor, used: Tensor) -> np.ndarray:
    """(E, E) inner products of θ_e - θ_E."""
    gram = np.zeros((len(vectors), len(vectors)))
    for _, part in _parts(vectors, used):
        gram += (part @ part.T).numpy()
    return gram


def _combine(mixture: np.ndarray, vectors: Tensor, used: Tensor) -> Tensor:
    """(k, P) float32: Σ_e mixture_ke (θ_e - θ_E)."""
    weights = torch.from_numpy(mixture)
    result = torch.empty(len(mixture), vectors.shape[1])
    for columns, part in _parts(vectors, used):
        result[:, columns] = (weights @ part).float()
    return result


def box(coordinates: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """x (n,) and y (n,): a grid around the path (E, 2) with room on all sides.

    The axes have scales of their own; the shorter side is a tenth of the longer one at least.
    """
    low, high = coordinates.min(0), coordinates.max(0)
    extent = np.maximum(high - low, LEAST * float((high - low).max()))
    extent = np.where(extent > 0, extent, 1.0)
    middle = (low + high) / 2
    half = extent * (0.5 + MARGIN)
    x, y = (np.linspace(m - h, m + h, resolution) for m, h in zip(middle, half, strict=True))
    return x, y

"""Distances and exact nearest neighbours, computed once and shared by dimension and topology.

Products of matrices do the work; rounding is dealt with explicitly. The squared distance
|x|^2 + |y|^2 - 2<x, y> loses digits where two points are close, so such distances are computed
again from differences in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

FULL_LIMIT = 4000  # points up to which all pairwise distances may be kept: 128 MB in float64
BLOCK = 2**24  # numbers in one temporary block: 128 MB in float64
CACHED = 2**17  # numbers that stay in a core's cache: 1 MB in float64
STRIDE = 8  # columns of which one is looked at to find where the nearest end
WORTH = 64  # neighbours from which that is quicker than to search all columns
MARGIN = 8  # candidates beyond k that are measured exactly


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest other points of every point, nearest first."""

    distances: np.ndarray  # (n, k) float64
    indices: np.ndarray  # (n, k)


def distinct(points: np.ndarray) -> np.ndarray:
    """Rows (ascending) that equal no earlier row, (m,)."""
    # adding 0 makes -0.0 and 0.0 the same bytes
    seen = {hash((points[i] + 0.0).tobytes()): i for i in reversed(range(len(points)))}
    return np.array(sorted(seen.values()), dtype=np.intp)


def distance_matrix(points: np.ndarray) -> np.ndarray:
    """All Euclidean distances of (n, D) points, (n, n) float64, relative error below 1e-7.

    From the Gram matrix in float64, summed over blocks of columns; pairs so close that the
    subtraction would cancel are measured by their differences.
    """
    n, ambient = points.shape
    gram = np.zeros((n, n))
    width = max(1, BLOCK // (2 * max(n, 1)))
    for start in range(0, ambient, width):
        columns = points[:, start : start + width].astype(np.float64)
        columns -= columns.mean(0)
        gram += columns @ columns.T
    norms = np.diag(gram).copy()
    sums = norms[:, None] + norms
    squared = gram
    squared *= -2
    squared += sums
    sums *= 1e-8
    near = squared <= sums
    rows, columns_ = np.nonzero(np.triu(near, 1))
    step = max(1, BLOCK // (4 * ambient))
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns_[start : start + step]
        difference = points[i].astype(np.float64) - points[j]
        squared[i, j] = squared[j, i] = np.einsum("pd,pd->p", difference, difference)
    np.fill_diagonal(squared, 0.0)
    return np.sqrt(squared, out=squared)


def nearest_in(distances: np.ndarray, k: int) -> Neighbours:
    """The k nearest neighbours from a full (n, n) matrix of distances."""
    n = len(distances)
    masked = distances.copy()
    np.fill_diagonal(masked, np.inf)
    if not 1 <= k < n:
        raise ValueError(f"need 1 to {n - 1} neighbours of {n} points, got {k}")
    indices = np.argpartition(masked, k - 1, axis=1)[:, :k]
    found = np.take_along_axis(masked, indices, 1)
    order = np.argsort(found, axis=1)
    return Neighbours(np.take_along_axis(found, order, 1), np.take_along_axis(indices, order, 1))


def nearest(points: np.ndarray, k: int, device: str = "auto") -> Neighbours:
    """The k nearest other points of each of (n, D) points, exact, in blocks of rows.

    Candidates come from products in float32 on the device; the distances of the best k + 8 are
    then measured in float64 from differences. Where the rounding of the products could have
    hidden a nearer point, all points within that rounding are measured. ``device`` "auto" is CUDA
    where there is one, else the CPU.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    n, ambient = points.shape
    if not 1 <= k < n:
        raise ValueError(f"need 1 to {n - 1} neighbours of {n} points, got {k}")
    found = min(k + MARGIN, n - 1)
    centred = points - points.mean(0, dtype=np.float64)
    unit = float(np.abs(centred).max()) or 1.0
    held = torch.from_numpy((centred / unit).astype(np.float32)).to(device)
    norms = held.square().sum(1)
    # How far rounding may move |x|^2 + |y|^2 - 2<x, y>: this share of |x|^2 + |y|^2.
    rounding = 4 * float(np.finfo(np.float32).eps) * (np.sqrt(ambient) + 8)
    slack = (rounding * (norms + norms.max()) - norms).cpu().double().numpy()

    distances, indices = np.empty((n, k)), np.empty((n, k), dtype=np.intp)
    step = max(1, BLOCK // (8 * n))  # small enough to stay in the cache
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        block = slice(start, start + step)
        squared = torch.addmm(norms, held[block], held.T, alpha=-2)  # d^2 - |x_i|^2
        squared[torch.arange(len(rows)), torch.from_numpy(rows)] = torch.inf
        values, columns = _smallest(squared, found)
        best = _measured(points, rows, columns.cpu().numpy(), k)
        reach = (best.distances[:, -1] / unit) ** 2 + slack[block]
        unsure = reach >= values.amax(1).cpu().double().numpy()
        for i in np.flatnonzero(unsure) if found < n - 1 else ():
            within = np.flatnonzero(squared[i].cpu().double().numpy() <= reach[i])[None]
            again = _measured(points, rows[i : i + 1], within, k)
            best.distances[i], best.indices[i] = again.distances[0], again.indices[0]
        distances[block], indices[block] = best.distances, best.indices
    return Neighbours(distances, indices)


def _smallest(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` smallest entries of every row of (b, n) and their columns, in any order.

    On a CPU the search is among the entries below a threshold from every eighth column, which
    leaves some 2 count of them; rows where these are too few are searched whole.
    """
    import torch

    sampled = count // STRIDE + 3 * int((count / STRIDE) ** 0.5) + 2
    few = count < WORTH or values.shape[1] < 4 * STRIDE * sampled
    if few or values.device.type != "cpu":
        return values.topk(count, dim=1, largest=False, sorted=False)
    entries = values.numpy()
    threshold = np.partition(entries[:, ::STRIDE], sampled - 1, axis=1)[:, sampled - 1, None]
    row, column = np.divmod(np.flatnonzero(entries <= threshold), entries.shape[1])
    sizes = np.bincount(row, minlength=len(entries))  # (b,)
    if int(sizes.min()) < count:
        return values.topk(count, dim=1, largest=False, sorted=False)
    place = np.arange(len(row)) - (sizes.cumsum() - sizes)[row]
    packed = np.full((len(entries), int(sizes.max())), np.inf, dtype=entries.dtype)
    packed[row, place] = entries[row, column]
    where = np.zeros(packed.shape, dtype=np.int64)
    where[row, place] = column
    found = torch.from_numpy(packed).topk(count, dim=1, largest=False, sorted=False)
    return found.values, torch.from_numpy(where).gather(1, found.indices)


def _measured(points: np.ndarray, rows: np.ndarray, chosen: np.ndarray, k: int) -> Neighbours:
    """The k nearest of the chosen points (r, c), by differences in float64."""
    exact = np.empty(chosen.shape)
    step = max(1, CACHED // (chosen.shape[1] * points.shape[1]))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        difference = points[chosen[block]].astype(np.float64)  # (b, c, D)
        difference -= points[rows[block], None]
        exact[block] = np.sqrt(np.einsum("bcd,bcd->bc", difference, difference))
    order = np.argsort(exact, axis=1)[:, :k]
    return Neighbours(np.take_along_axis(exact, order, 1), np.take_along_axis(chosen, order, 1))

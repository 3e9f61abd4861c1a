"""The loss along lines or over a plane, and the numbers that describe it. Needs numpy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.results import Estimate


@dataclass(frozen=True, slots=True)
class Path:
    """The checkpoints of a run in the plane of their two principal directions (E checkpoints)."""

    epochs: np.ndarray  # (E,) int64
    coordinates: np.ndarray  # (E, 2) distance along both directions from the last checkpoint
    loss: np.ndarray  # (E,) of the checkpoints themselves
    accuracy: np.ndarray  # (E,)
    plane_loss: np.ndarray  # (E,) of the nearest points of the plane
    distance: np.ndarray  # (E,) of the checkpoints to the plane
    shares: np.ndarray  # (<= E - 1,) share of variance of every principal direction, descending


@dataclass(frozen=True, slots=True)
class Landscape:
    """Loss and accuracy on a grid of parameters.

    A row is a line ("line": one random direction each; "between": one row), or one value of y
    ("plane", "path"). NaN where the loss was not a finite number.
    """

    kind: str
    x: np.ndarray  # (n,)
    y: np.ndarray  # (m,) values of the second direction; numbers of the lines
    loss: np.ndarray  # (m, n) mean cross-entropy in nats
    accuracy: np.ndarray  # (m, n)
    centre_loss: float  # of the checkpoint itself
    centre_accuracy: float
    images: int  # that the loss is a mean over
    all_images: int  # of the data set
    data_name: str
    classes: int
    parameters: int  # that move
    seconds: float
    device: str
    statistics: str  # "none" without batch normalisation, "kept" or "measured"
    path: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_plane(self) -> bool:
        return self.kind in ("plane", "path")


@dataclass(frozen=True, slots=True)
class Trial:
    """How fast a network runs: what a forecast is made of."""

    seconds_per_image: float  # and point, with all workers busy
    opening: float  # seconds until the images are in memory
    images: int  # of the data set
    parameters: int  # that random directions move
    statistics: bool  # whether the network has running statistics

    def seconds(self, points: int, images: int) -> float:
        """What so many points of a landscape take, each over so many images."""
        return self.opening + points * min(images, self.images) * self.seconds_per_image


def highest(landscape: Landscape) -> Estimate:
    """The largest loss on the grid (Keskar et al. 2017 call it sharpness, in a box of a fixed
    size). None where a point of it was not finite: the largest is not known."""
    if not np.isfinite(landscape.loss).all():
        return Estimate(None, reason="the loss is not finite somewhere on the grid")
    return Estimate(float(landscape.loss.max()))


def share_below(landscape: Landscape, level: float) -> Estimate:
    """Share of the grid's points whose loss is below ``level``; points that are not finite count
    as above. None over a path, whose box follows the run, and for a line between checkpoints."""
    if landscape.kind == "path":
        return Estimate(None, reason="the box follows the path, so its share means nothing")
    if landscape.kind == "between":
        return Estimate(None, reason="the line ends where the checkpoints are")
    return Estimate(float((landscape.loss < level).mean()))


def barrier(landscape: Landscape) -> Estimate:
    """How far the loss between two checkpoints rises above the straight line from one's loss to
    the other's, at most (Frankle et al. 2020); 0 where it never does. x = 0 and 1 are the ends."""
    if landscape.kind != "between":
        return Estimate(None, reason="a barrier lies between two checkpoints")
    x, loss = landscape.x, landscape.loss[0]
    inside = (x > -1e-6) & (x < 1 + 1e-6)
    if not np.isfinite(loss[inside]).all():
        return Estimate(None, reason="the loss is not finite somewhere between them")
    start, end = loss[inside][0], loss[inside][-1]
    chord = start + (end - start) * x[inside]
    return Estimate(float(max(0.0, (loss[inside] - chord).max())))


def chance(classes: int) -> float:
    """log K: the loss of a network that gives every class the same probability."""
    return math.log(max(classes, 1))


def gaps(landscape: Landscape) -> int:
    """Points whose loss was not a finite number."""
    return int((~np.isfinite(landscape.loss)).sum())


def random_walk_shares(epochs: np.ndarray) -> np.ndarray:
    """(E-1,) shares of variance that the principal directions of a random walk have, seen at these
    epochs, in a space of many dimensions; NaN where all are one epoch.

    Its Gram matrix is min(t_i, t_j). At evenly spaced steps the k-th share tends to 6/(π² k²), so
    that two directions hold 76 % (Antognini and Sohl-Dickstein 2018).
    """
    times = np.asarray(epochs, dtype=np.float64)
    centring = np.eye(len(times)) - 1 / len(times)
    values = np.linalg.eigvalsh(centring @ np.minimum.outer(times, times) @ centring)[::-1]
    total = values.sum()
    return values[:-1] / total if total > 0 else np.full(len(times) - 1, np.nan)

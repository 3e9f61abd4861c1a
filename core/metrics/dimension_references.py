"""What TwoNN and MLE read on samples of known dimension: how far an estimate is biased.

The table is made by scripts/dimension_references.py. Uniform cubes are affine sets with a
boundary; spheres are curved and closed. Needs numpy alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("dimension_references.json")
SHAPES = ("cube", "sphere")
SPREAD = 1.96  # standard deviations either side that count as the same reading


@dataclass(frozen=True, slots=True)
class References:
    """Readings of both estimators on one shape, at one number of points."""

    points: int
    dimensions: np.ndarray  # (m,) true dimensions, ascending
    twonn: np.ndarray  # (m,) mean over seeds
    twonn_sd: np.ndarray  # (m,) standard deviation of one reading
    mle: np.ndarray  # (m,), k = 20
    mle_sd: np.ndarray  # (m,)


@lru_cache(maxsize=1)
def _table() -> dict:
    return json.loads(PATH.read_text())


def references(points: int, shape: str = "cube") -> References:
    """Readings for this many points, interpolated in log n between tabulated sizes.

    Beyond the table's sizes (50 to 5,000 points) its nearest size stands in. ``shape`` is one of
    ``SHAPES``.
    """
    table = _table()
    sizes = np.log(table["points"])
    where = np.log(np.clip(points, table["points"][0], table["points"][-1]))

    def at(estimator: str, key: str) -> np.ndarray:
        rows = np.array(table["readings"][shape][estimator][key])  # (sizes, m)
        return np.array([np.interp(where, sizes, column) for column in rows.T])

    return References(
        points=points,
        dimensions=np.array(table["dimensions"], dtype=float),
        twonn=at("twonn", "mean"),
        twonn_sd=at("twonn", "sd"),
        mle=at("mle", "mean"),
        mle_sd=at("mle", "sd"),
    )


def true_dimension(
    estimate: float, points: int, estimator: str = "twonn", shape: str = "cube"
) -> tuple[float, float, float] | None:
    """The dimension whose samples of this size read like the estimate, and its range.

    ``estimator`` is "twonn" or "mle". Linear between the table's dimensions; the range holds the
    dimensions whose readings scatter over the estimate (1.96 standard deviations). None where the
    estimate lies outside the table.
    """
    known = references(points, shape)
    mean, sd = getattr(known, estimator), getattr(known, f"{estimator}_sd")
    if not mean[0] - SPREAD * sd[0] <= estimate <= mean[-1]:
        return None

    def inverse(readings: np.ndarray) -> float:
        return float(np.interp(estimate, np.maximum.accumulate(readings), known.dimensions))

    return inverse(mean), inverse(mean + SPREAD * sd), inverse(mean - SPREAD * sd)

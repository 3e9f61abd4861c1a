"""How long an extraction will take and how much memory, from a trial on a few images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.data.dataset import Dataset
from core.features import extract as extraction
from core.features import passes
from core.features.devices import Pace
from core.features.hooks import module_lock
from core.features.passes import ModelLike
from core.features.taps import select
from core.results import Settings


@dataclass(frozen=True, slots=True)
class Forecast:
    """What ``extract`` will cost on this machine as busy as it is now."""

    seconds: float
    memory_bytes: int  # on top of the model: kept features, statistics and one batch
    looks: int  # times that the images go through the model
    flat_dims: tuple[int, ...]  # of the outputs of the layers
    pace: Pace  # found by trying: hand it to ``extract``, which then need not try again


def forecast(model: ModelLike, dataset: Dataset, settings: Settings) -> Forecast:
    """Try threads and batch sizes on the first images, layers read as they will be.

    The time is good to about a third where other work comes and goes; the memory counts arrays,
    not what the device's libraries take. Raises UserError as ``extract`` does.
    """
    with module_lock(model.module):
        placed = passes.place(model, settings.device)
        traced = passes.probe(placed, dataset)
        taps = select(traced, settings.layers)
        pace = extraction.try_pace(placed, dataset, taps, settings)
    flat = settings.features == "flat"
    looks = extraction.looks(taps, len(dataset), flat)
    again = min(len(dataset), extraction.SECOND_LOOK) if flat else len(dataset)
    return Forecast(
        seconds=pace.seconds_per_image * (len(dataset) + (looks - 1) * again),
        memory_bytes=extraction.memory_bytes(taps, dataset, settings, pace.batch_size),
        looks=looks,
        flat_dims=tuple(math.prod(tap.shape) for tap in taps),
        pace=pace,
    )

"""How long a whole analysis will take and how much memory, before it starts."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from core.data.dataset import Dataset
from core.features.devices import Pace
from core.features.extract import SAMPLE
from core.features.flat import BUDGET_BYTES
from core.features.forecast import forecast as forecast_extraction
from core.features.passes import ModelLike
from core.results import LANDMARKS, Settings

# Seconds on one thread of a machine that multiplies matrices at REFERENCE_FLOPS; fitted to
# measured layers of 64 to 16,384 features and 500 to 2,000 samples.
REFERENCE_FLOPS = 90e9
SECONDS_PER_SAMPLE = 4.3e-4  # jackknife, curves and decimation of all points and of the classes
SECONDS_PER_PRODUCT = 3.9e-11  # of two entries: distances and PCA
SECONDS_OF_HOMOLOGY = {1: (400, 0.8), 2: (200, 2.0)}  # (landmarks, seconds) of one cloud


@dataclass(frozen=True, slots=True)
class AnalysisForecast:
    """What an analysis will cost; good to a factor of two."""

    seconds: float
    memory_bytes: int
    pace: Pace

    def describe(self) -> str:
        """In words, for progress."""
        minutes = self.seconds / 60
        time_text = f"{self.seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
        return f"about {time_text} and {self.memory_bytes / 1e9:.1f} GB"


def forecast(model: ModelLike, dataset: Dataset, settings: Settings) -> AnalysisForecast:
    """Extraction from a trial on a few images; measuring from the sizes of the layers."""
    extraction = forecast_extraction(model, dataset, settings)
    samples = min(len(dataset), SAMPLE)
    slowness = REFERENCE_FLOPS / _flops()
    widths = [min(width, BUDGET_BYTES // (4 * samples)) for width in extraction.flat_dims]
    passes = 0
    if {"dimension", "topology"} & set(settings.metrics) and settings.features != "pooled":
        passes = math.ceil(4 * samples * sum(widths) / BUDGET_BYTES)
    measuring = sum(measuring_seconds(w, samples, dataset.classes, settings) for w in widths)
    return AnalysisForecast(
        seconds=extraction.seconds
        + passes * samples * extraction.pace.seconds_per_image
        + slowness * measuring,
        memory_bytes=extraction.memory_bytes
        + min(BUDGET_BYTES, 4 * samples * sum(widths))
        + 12 * samples**2,
        pace=extraction.pace,
    )


def measuring_seconds(width: int, samples: int, classes: int, settings: Settings) -> float:
    """Reference seconds to measure dimension and topology of one layer."""
    seconds = 0.0
    if {"dimension", "topology"} & set(settings.metrics):
        seconds += SECONDS_PER_PRODUCT * samples**2 * width
    if "dimension" in settings.metrics:
        seconds += SECONDS_PER_SAMPLE * samples
    if "topology" in settings.metrics:
        reference, cost = SECONDS_OF_HOMOLOGY[settings.max_dim]
        most = settings.landmarks or LANDMARKS[settings.max_dim]
        power = settings.max_dim + 2
        for points in [samples] + [samples // classes] * classes:
            seconds += cost * (min(points, most) / reference) ** power
    return seconds


def seconds_per_product() -> float:
    """Seconds that one entry of one pair of points costs in a matrix of distances, as busy as
    this machine is now."""
    return SECONDS_PER_PRODUCT * REFERENCE_FLOPS / _flops()


def _flops() -> float:
    """What this machine multiplies now, as busy as it is: float32 operations a second."""
    matrix = np.ones((768, 768), dtype=np.float32)
    best = min(_seconds(matrix) for _ in range(3))
    return 2 * 768**3 / best


def _seconds(matrix: np.ndarray) -> float:
    started = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - started

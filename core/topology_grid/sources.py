"""Where the point clouds of a grid come from: the layers of a network, or a feature file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from core.checkpoints import open_checkpoint
from core.data.dataset import Dataset
from core.data.opening import open_dataset
from core.errors import UserError
from core.feature_files import FeatureFile, is_feature_file, open_features
from core.features import passes
from core.features.extract import SAMPLE
from core.features.flat import flat_samples, width
from core.features.hooks import module_lock
from core.features.taps import Tap, select
from core.fitting import find_model, fitting_data, with_preprocessing
from core.models.building import Model
from core.progress import IsCancelled
from core.ranking import choose_variant
from core.request import AnalysisRequest
from core.topology_grid.cells import GridRequest

BUDGET_BYTES = 288 << 20  # of layers read in one pass: the workers have these while the next come
TRIAL_IMAGES = 32


class Source(Protocol):
    """The same samples at every layer."""

    layers: tuple[str, ...]
    class_names: tuple[str, ...]
    labels: np.ndarray  # (S,)

    def widths(self) -> tuple[int, ...]:
        """Dimensions of the points of every layer."""

    def at_once(self, layers: Sequence[int]) -> list[int]:
        """Those of these layers that are read without running anything."""

    def seconds(self, layers: Sequence[int]) -> float:
        """About how long reading these layers takes, from a trial on a few images."""

    def clouds(
        self, layers: Sequence[int], cancelled: IsCancelled
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Position and points (S, D) of the layers at these positions, in order."""


def open_source(request: GridRequest, cancelled: IsCancelled) -> Source:
    """Open the files of a request. UserError where they cannot be read."""
    path = Path(request.analysis.checkpoint)
    if is_feature_file(path):
        return _FileSource(open_features(path, request.analysis.checkpoint_name))
    return _open_network(request.analysis, request.features == "pooled", cancelled)


class _FileSource:
    def __init__(self, file: FeatureFile) -> None:
        self.layers: tuple[str, ...] = ("features",)
        self.class_names = file.class_names
        self._points = file.features
        count = len(file.features)
        self.labels = np.zeros(count, dtype=np.int64) if file.labels is None else file.labels

    def widths(self) -> tuple[int, ...]:
        return (self._points.shape[1],)

    def at_once(self, layers: Sequence[int]) -> list[int]:
        return list(layers)

    def seconds(self, layers: Sequence[int]) -> float:
        return 0.0

    def clouds(
        self, layers: Sequence[int], cancelled: IsCancelled
    ) -> Iterator[tuple[int, np.ndarray]]:
        for index in layers:
            yield index, self._points


@dataclass
class _NetworkSource:
    model: Model
    dataset: Dataset
    taps: tuple[Tap, ...]
    positions: np.ndarray  # (S,) of the samples in the data set
    pool: bool
    seed: int
    device: str

    def __post_init__(self) -> None:
        self.layers = tuple(tap.name for tap in self.taps)
        self.class_names = self.dataset.class_names
        self.labels = self.dataset.labels[self.positions]

    def widths(self) -> tuple[int, ...]:
        return tuple(width(tap, self.pool) for tap in self.taps)

    def seconds(self, layers: Sequence[int]) -> float:
        few = self.positions[:TRIAL_IMAGES]
        started = time.perf_counter()
        for _ in self._read(layers, few, lambda: False):
            pass
        once = (time.perf_counter() - started) * len(self.positions) / len(few)
        widths = self.widths()
        need = 4 * len(self.positions) * sum(widths[i] for i in layers)
        return once * (1 + need / BUDGET_BYTES) / 2 if need > BUDGET_BYTES else once

    def at_once(self, layers: Sequence[int]) -> list[int]:
        return [i for i in layers if self.taps[i].site == "input" and not self.taps[i].path]

    def clouds(
        self, layers: Sequence[int], cancelled: IsCancelled
    ) -> Iterator[tuple[int, np.ndarray]]:
        return self._read(layers, self.positions, cancelled)

    def _read(
        self, layers: Sequence[int], positions: np.ndarray, cancelled: IsCancelled
    ) -> Iterator[tuple[int, np.ndarray]]:
        for flat in flat_samples(
            self.model,
            self.dataset,
            [self.taps[i] for i in layers],
            positions,
            pool=self.pool,
            budget_bytes=BUDGET_BYTES,
            seed=self.seed,
            device=self.device,
            cancelled=cancelled,
        ):
            yield layers[flat.layer], flat.array
            del flat


def _open_network(asked: AnalysisRequest, pool: bool, cancelled: IsCancelled) -> _NetworkSource:
    settings = asked.settings
    checkpoint = open_checkpoint(Path(asked.checkpoint), asked.checkpoint_name or None)
    dataset = open_dataset(asked.data, asked.data_name) if asked.data else None
    model, reason = find_model(checkpoint, asked, dataset)
    if model is None:
        raise UserError(reason or "only the weights were asked for: choose an architecture")
    dataset = dataset or open_dataset(fitting_data(model, checkpoint))
    if settings.max_images is not None:
        dataset = dataset.select(dataset.stratified(settings.max_images, settings.seed))
    if settings.architecture == "auto":
        model, _ = choose_variant(
            model,
            checkpoint,
            dataset,
            settings,
            lambda variant: with_preprocessing(settings, variant),
            cancelled,
        )
    with module_lock(model.module):
        placed = passes.place(model, settings.device)
        taps = select(passes.probe(placed, dataset), settings.layers)
    positions = dataset.stratified(min(len(dataset), SAMPLE), settings.seed)
    return _NetworkSource(model, dataset, taps, positions, pool, settings.seed, settings.device)

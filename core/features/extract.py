"""Features of every layer: class statistics over all images, a sample of features, sparsity.

Images go through the model once, class by class. The pooled features of all layers are kept while
they fit ``KEEP_BYTES``; then every statistic is made from them at the end. Otherwise, and for
flattened features, the statistics stream and the images go through the model a second time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.data.dataset import Dataset
from core.errors import UserError
from core.features import devices, passes
from core.features.hooks import module_lock
from core.features.passes import Meter, ModelLike, Placed
from core.features.readings import canonical, flattened, numbers, pooled, pooled_dim
from core.features.statistics import ClassStatistics, ProjectedStatistics
from core.features.taps import (
    Tap,
    Trace,
    block_positions,
    blocks_of,
    inner_activations,
    penultimate_index,
    select,
)
from core.features.zeros import MAX_CLASS_UNITS, SmallCounts, ZeroCounts
from core.metrics.moments import ClassMoments
from core.metrics.sparsity import sparsity
from core.progress import IsCancelled, Progress, check, never, silent
from core.results import Activation, Settings, Sparsity

SAMPLE = 2000
"""Samples kept for pictures, dimension and topology, at most."""

KEEP_BYTES = 512 << 20
"""Pooled features of all layers are kept up to this size, so that one pass is enough."""

MEANS_BYTES = 2 << 30
"""Class means and basis of all layers may take this much; flattened features can need more."""

SECOND_LOOK = 4000
"""Images of the second look at flattened features, at most; a stratified draw of more. The
spread around class means then has a relative standard error of about 2 % in one direction
(sqrt(2/4000)), less than 1 % over ten; the means themselves come from all images."""

_BYTES_PER_MEAN = 32  # sum or mean and basis in float64, and both again as they are used
_NO_SPARSITY = ("Input", "Pool", "ClassToken", "Output")


@dataclass(frozen=True, slots=True)
class LayerFeatures:
    """What was read at one layer."""

    tap: Tap
    dim: int  # of the pooled features
    flat_dim: int  # of the whole output
    moments: ClassMoments  # over all N samples; of flattened features if those were asked for
    ncc_accuracy: float | None  # of the nearest-class-mean classifier, over all N samples
    sparsity: Sparsity | None
    pooled_sample: np.ndarray  # (S, d) float32, pooled, rows as Features.sample
    sample_coordinates: np.ndarray  # (S, r) h - mu_G in moments.basis

    @property
    def name(self) -> str:
        return self.tap.name

    @property
    def module(self) -> str:
        return self.tap.module

    @property
    def kind(self) -> str:
        return self.tap.kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tap.shape

    @property
    def depth(self) -> float:
        return self.tap.depth


@dataclass(frozen=True, slots=True)
class Features:
    """Every layer of one model on one data set."""

    device: str
    batch_size: int
    threads: int
    labels: np.ndarray  # (N,)
    predictions: np.ndarray | None  # (N,) None if the output is no vector of class scores
    accuracy: float | None  # None if the model's classes are not the data's
    class_accuracy: np.ndarray | None  # (K,) NaN for a class without images
    sample: np.ndarray  # (S,) sorted positions in the data set
    layers: tuple[LayerFeatures, ...]  # in call order
    penultimate: int | None  # index in layers; None for a model without a linear layer
    weight: np.ndarray | None  # (K, d) of the classifier
    bias: np.ndarray | None  # (K,)
    penultimate_nc4: float | None
    seconds: dict[str, float]
    warnings: tuple[str, ...] = ()
    activations: tuple[Activation, ...] = ()  # in call order, those inside blocks too

    @property
    def taps(self) -> tuple[Tap, ...]:
        return tuple(layer.tap for layer in self.layers)


def extract(
    model: ModelLike,
    dataset: Dataset,
    settings: Settings,
    *,
    pace: devices.Pace | None = None,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Features:
    """Read the layers ``settings.layers`` of the model on all images of ``dataset``.

    Used of ``settings``: layers, features ("flat": statistics of whole outputs), metrics (sparsity
    is left out if not among them), batch_size, device, seed. The caller has already selected
    ``max_images``. ``pace`` comes from a forecast; None: found by trying. One extraction per
    module instance runs at a time. Raises UserError and Cancelled; the hooks are gone in every
    case.
    """
    with module_lock(model.module):
        started = time.perf_counter()
        placed = passes.place(model, settings.device)
        traced = passes.probe(placed, dataset)
        taps = select(traced, settings.layers)
        _check_means(taps, dataset.classes, settings.features == "flat")
        pace = pace or try_pace(placed, dataset, taps, settings)
        seconds = {"trial": time.perf_counter() - started}
        while True:
            try:
                work = _Extraction(placed, dataset, traced, taps, settings)
                return work.run(pace, seconds, progress, cancelled)
            except (MemoryError, RuntimeError) as error:
                if not devices.is_out_of_memory(error) or pace.batch_size == 1:
                    raise
                pace = replace(pace, batch_size=pace.batch_size // 2)
                devices.free_memory()


def looks(taps: Sequence[Tap], images: int, flat: bool) -> int:
    """How often the images go through the model: 1 where all pooled features can be kept."""
    kept = 4 * images * sum(pooled_dim(tap.shape) for tap in taps)
    return 2 if flat or kept > KEEP_BYTES else 1


def memory_bytes(taps: Sequence[Tap], dataset: Dataset, settings: Settings, batch_size: int) -> int:
    """What the extraction holds at most: kept features, class statistics, one batch's outputs, and
    how often every unit was active."""
    flat = settings.features == "flat"
    n, classes = len(dataset), dataset.classes
    rows = n if looks(taps, n, flat) == 1 else min(n, SAMPLE)
    pools = sum(pooled_dim(tap.shape) for tap in taps)
    units = sum(int(np.prod(tap.shape)) for tap in taps)
    widths = units if flat else pools
    statistics = _BYTES_PER_MEAN * classes * widths + 12 * n * len(taps)
    sets = 8 * units + min(classes * units, MAX_CLASS_UNITS * len(taps)) // 8
    return 4 * rows * pools + statistics + 8 * batch_size * max(units // len(taps), 1) + sets


def _check_means(taps: Sequence[Tap], classes: int, flat: bool) -> None:
    if not flat:
        return
    need = _BYTES_PER_MEAN * classes * sum(int(np.prod(tap.shape)) for tap in taps)
    if need > MEANS_BYTES:
        raise UserError(
            f"class means of flattened features of {len(taps)} layers need {need / 1e9:.1f} GB: "
            "use pooled features, or name fewer layers"
        )


def _inner(traced: Trace, taps: tuple[Tap, ...], settings: Settings) -> tuple[Tap, ...]:
    """Activations inside blocks, of which only the zeros are counted."""
    if settings.layers != "auto" or "sparsity" not in settings.metrics:
        return ()
    return inner_activations(traced, taps)


def try_pace(
    placed: Placed, dataset: Dataset, taps: Sequence[Tap], settings: Settings
) -> devices.Pace:
    """Threads and batch size, tried on the first pass's work for the first images."""
    few = dataset.select(np.arange(min(len(dataset), 1024)))
    rows = np.arange(len(few))
    readers = [_Reader(tap, placed, settings, few.labels, few.classes, rows, rows) for tap in taps]
    return passes.find_pace(placed, few, taps, [r.look for r in readers], settings.batch_size)


class _Zeros:
    """The zeros of one tap."""

    def __init__(self, tap: Tap, placed: Placed, labels: np.ndarray, classes: int) -> None:
        self.tap = tap
        self._labels, self._classes = labels, classes
        self._channels_last = placed.channels_last
        smooth = tap.is_activation and not tap.relu_like
        counter = SmallCounts if smooth else ZeroCounts
        self._counts = counter(labels, classes, int(np.prod(tap.shape)))

    def look(self, rows: slice, x: Tensor) -> None:
        self._counts.update(rows, flattened(x, self._channels_last))

    def sparsity(self) -> Sparsity:
        self._counts.finish()
        return sparsity(
            self._counts.share,
            self._counts.active,
            self._labels,
            self._classes,
            approximate=self._counts.approximate,
            threshold=self._counts.threshold,
            is_activation=self.tap.is_activation,
            relu_like=self.tap.relu_like,
            unit_counts=self._counts.units.counts,
            active_sets=self._counts.units.sets,
        )


class _Reader:
    """Everything gathered at one tap. Rows are those of the pass, class by class."""

    def __init__(
        self,
        tap: Tap,
        placed: Placed,
        settings: Settings,
        labels: np.ndarray,
        classes: int,
        kept_row: np.ndarray,
        again: np.ndarray,
    ) -> None:
        self.tap = tap
        self._labels = labels  # (N,) in the order of the pass
        self._kept_row = kept_row  # (N,) row in ``kept``, or -1
        self._again = again  # rows of the first pass that the second pass sees
        self._device = placed.device
        self._channels_last = placed.channels_last
        self._flat = settings.features == "flat"
        self._keeps_all = bool((kept_row >= 0).all()) and not self._flat
        self.dim = pooled_dim(tap.shape)
        self.flat_dim = int(np.prod(tap.shape))
        self.kept = torch.empty(int((kept_row >= 0).sum()), self.dim, device=placed.device)
        width = self.flat_dim if self._flat else self.dim
        self.first = ClassStatistics(classes, width, placed.device)
        self.finite = True
        self.second: ProjectedStatistics | None = None
        self.coordinates = np.empty((0, 0), dtype=np.float32)  # (kept, r)
        self.nearest = np.full(len(labels), -1)  # (N,) class, -1: not in the second look
        self.zeros: _Zeros | None = None
        if "sparsity" in settings.metrics and tap.kind not in _NO_SPARSITY:
            self.zeros = _Zeros(tap, placed, labels, classes)

    def look(self, rows: slice, x: Tensor) -> None:
        """One batch of the first pass."""
        if self._keeps_all:
            self.kept[rows] = pooled(x, self.tap.class_token)  # (B, d)
        else:
            self._keep(rows, x)
            self.first.update(self._vectors(x), self._labels[rows])
        if self.zeros is not None:
            self.zeros.look(rows, x)

    def _keep(self, rows: slice, x: Tensor) -> None:
        row = self._kept_row[rows]
        chosen = np.flatnonzero(row >= 0)
        if len(chosen):
            some = x[torch.from_numpy(chosen).to(self._device)]
            destination = torch.from_numpy(row[chosen]).to(self._device)
            self.kept[destination] = pooled(some, self.tap.class_token).float()

    def look_again(self, rows: slice, x: Tensor) -> None:
        """One batch of the second pass."""
        self._project(self._again[rows], self._vectors(x))

    def _vectors(self, x: Tensor) -> Tensor:
        if self._flat:
            return flattened(x, self._channels_last).float()
        return pooled(x, self.tap.class_token).float()

    def _project(self, rows: np.ndarray, vectors: Tensor) -> None:
        assert self.second is not None
        coordinates, self.nearest[rows] = self.second.project(vectors, self._labels[rows])
        row = self._kept_row[rows]
        self.coordinates[row[row >= 0]] = coordinates[row >= 0]

    def between(self) -> None:
        """From the first look to the second; both at once where all features were kept."""
        if self._keeps_all:
            for rows in _chunks(len(self.kept)):
                self.first.update(self.kept[rows], self._labels[rows])
        means = self.first.compute()
        self.finite = bool(np.isfinite(means.means[means.counts > 0]).all())
        if not self.finite:
            return
        counts = np.bincount(self._labels[self._again], minlength=len(means.counts))
        self.second = ProjectedStatistics(means, self._device, counts)
        self.coordinates = np.empty((len(self.kept), self.second.rank), dtype=np.float32)
        if self._keeps_all:
            for rows in _chunks(len(self.kept)):
                self._project(self._again[rows], self.kept[rows])

    def layer(self, sample_rows: np.ndarray) -> LayerFeatures:
        """The result. sample_rows (S,): rows of ``kept``."""
        assert self.second is not None
        moments = self.second.compute()
        if self._flat and self._channels_last:
            moments = replace(
                moments,
                means=canonical(moments.means, self.tap.shape),
                basis=canonical(moments.basis, self.tap.shape),
            )
        return LayerFeatures(
            tap=self.tap,
            dim=self.dim,
            flat_dim=self.flat_dim,
            moments=moments,
            ncc_accuracy=self.second.ncc_accuracy,
            sparsity=None if self.zeros is None else self.zeros.sparsity(),
            pooled_sample=numbers(self.kept)[sample_rows],
            sample_coordinates=self.coordinates[sample_rows],
        )


def _chunks(rows: int, size: int = 4096) -> list[slice]:
    return [slice(i, min(i + size, rows)) for i in range(0, rows, size)]


class _Extraction:
    """One attempt at one batch size: accumulators are made anew, so a failed one leaves nothing."""

    def __init__(
        self, placed: Placed, dataset: Dataset, traced: Trace, taps: tuple[Tap, ...],
        settings: Settings,
    ) -> None:  # fmt: skip
        self._placed, self._dataset, self._traced = placed, dataset, traced
        self._settings = settings
        n = len(dataset)
        self._looks = looks(taps, n, settings.features == "flat")
        self._order = np.argsort(dataset.labels, kind="stable")  # (N,) position of every row
        self._labels = dataset.labels[self._order].astype(np.int64)
        self._sample = dataset.stratified(min(n, SAMPLE), settings.seed)
        row_of = np.empty(n, dtype=np.int64)
        row_of[self._order] = np.arange(n)
        kept_row = np.arange(n)
        self._sample_rows = row_of[self._sample]
        if self._looks == 2:
            kept_row = np.full(n, -1)
            kept_row[self._sample_rows] = np.arange(len(self._sample))
            self._sample_rows = np.arange(len(self._sample))
        self._again = np.arange(n)
        if settings.features == "flat":
            # the same seed draws a set that contains the sample
            self._again = np.sort(row_of[dataset.stratified(SECOND_LOOK, settings.seed)])
        self._readers = [
            _Reader(tap, placed, settings, self._labels, dataset.classes, kept_row, self._again)
            for tap in taps
        ]
        inner = _inner(traced, taps, settings)
        self._inner = [_Zeros(tap, placed, self._labels, dataset.classes) for tap in inner]
        self._predictions = np.empty(n, dtype=np.int64) if len(traced.output_shape) == 1 else None
        self._finite_output = True
        self._warnings: tuple[str, ...] = ()

    def run(
        self,
        pace: devices.Pace,
        seconds: dict[str, float],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> Features:
        meter = Meter(
            len(self._order) + (self._looks - 1) * len(self._again),
            progress,
            "Features",
        )
        started = time.perf_counter()
        everything = np.arange(len(self._order))
        first = {r.tap: r.look for r in self._readers} | {z.tap: z.look for z in self._inner}
        self._pass(
            pace,
            everything,
            first,
            meter,
            cancelled,
        )
        with devices.torch_threads(pace.threads):
            for reader in self._readers:
                check(cancelled)
                reader.between()
        self._leave_out_nonfinite()
        if self._looks == 2:
            again = {r.tap: r.look_again for r in self._readers}
            self._pass(pace, self._again, again, meter, cancelled)
        seconds = {**seconds, "features": time.perf_counter() - started}
        return self._features(pace, seconds)

    def _leave_out_nonfinite(self) -> None:
        """Go on with the layers whose features are finite; UserError if only the input's are."""
        broken = [r.tap.name for r in self._readers if not r.finite]
        if not broken:
            return
        self._readers = [r for r in self._readers if r.finite]
        self._inner = []
        if all(r.tap.kind == "Input" for r in self._readers):
            raise UserError(
                f"layer {broken[0]} gives NaN or infinite features, and so does all after it: "
                "the checkpoint's weights are not finite or too large"
            )
        listed = ", ".join(broken[:5]) + (f" and {len(broken) - 5} more" if broken[5:] else "")
        self._warnings += (
            f"NaN or infinite features, left out: {listed}; the checkpoint's weights are not "
            "finite or too large",
        )

    def _pass(
        self,
        pace: devices.Pace,
        which: np.ndarray,
        read: Mapping[Tap, passes.Reader],
        meter: Meter,
        cancelled: IsCancelled,
    ) -> None:
        def finished(rows: slice, output: Tensor) -> None:
            if self._predictions is not None:
                self._predictions[self._order[which[rows]]] = output.argmax(1).cpu().numpy()
                self._finite_output &= bool(torch.isfinite(output).all())
            meter.add(rows.stop - rows.start)

        passes.run_pass(
            self._placed,
            self._dataset,
            list(read),
            self._order[which],
            pace,
            list(read.values()),
            finished=finished,
            cancelled=cancelled,
        )

    def _features(self, pace: devices.Pace, seconds: dict[str, float]) -> Features:
        classes = self._dataset.classes
        taps = tuple(r.tap for r in self._readers)
        penultimate = penultimate_index(taps, self._traced)
        classifier = self._traced.classifier
        if not self._finite_output:
            self._predictions = None
        correct, warnings = self._correct()
        warnings = self._warnings + warnings
        if len(self._again) < len(self._labels):
            warnings += (
                f"the spread around class means of flattened features, and nearest class means, "
                f"are from {len(self._again)} of {len(self._labels)} images",
            )
        by_class = None
        if correct is not None:
            counts = np.bincount(self._dataset.labels, minlength=classes)
            with np.errstate(invalid="ignore"):
                by_class = np.bincount(self._dataset.labels, correct, classes) / counts
        nc4 = None
        if correct is not None and penultimate is not None and self._predictions is not None:
            nearest = self._readers[penultimate].nearest[self._again]
            nc4 = float((nearest != self._predictions[self._order[self._again]]).mean())
        layers = tuple(r.layer(self._sample_rows) for r in self._readers)
        return Features(
            device=self._placed.device.type,
            batch_size=pace.batch_size,
            threads=pace.threads,
            labels=self._dataset.labels,
            predictions=self._predictions,
            accuracy=float(correct.mean()) if correct is not None else None,
            class_accuracy=by_class,
            sample=self._sample,
            layers=layers,
            penultimate=penultimate,
            weight=numbers(classifier.weight) if classifier is not None else None,
            bias=numbers(classifier.bias) if classifier and classifier.bias is not None else None,
            penultimate_nc4=nc4,
            seconds=seconds,
            warnings=warnings,
            activations=self._activations(layers),
        )

    def _activations(self, layers: tuple[LayerFeatures, ...]) -> tuple[Activation, ...]:
        """The layers that are activations and those inside blocks, in call order."""
        found = [(z.tap, z.sparsity()) for z in self._inner]
        for layer in layers:
            if layer.sparsity is not None and (layer.tap.is_activation or layer.tap.relu_like):
                found.append((layer.tap, layer.sparsity))
        found.sort(key=lambda pair: pair[0].depth)
        places = block_positions([tap.path for tap, _ in found], blocks_of(self._traced))
        return tuple(
            Activation(
                name=tap.name,
                module=tap.module,
                kind=tap.kind,
                shape=tap.shape,
                block=block,
                position=position,
                depth=tap.depth,
                sparsity=measured,
            )
            for (tap, measured), (block, position) in zip(found, places, strict=True)
        )

    def _correct(self) -> tuple[np.ndarray | None, tuple[str, ...]]:
        """(N,) whether each prediction is right, or None and a warning why there is no answer."""
        outputs = self._traced.output_shape
        if not self._finite_output:
            return None, ("the network's output is not finite: no accuracy",)
        if self._predictions is None:
            return None, (f"the output of the model has shape {outputs}: no accuracy",)
        if outputs[0] != self._dataset.classes:
            return None, (
                f"the model tells {outputs[0]} classes apart and the data has "
                f"{self._dataset.classes}: no accuracy, and no comparison with the classifier",
            )
        return self._predictions == self._dataset.labels, ()

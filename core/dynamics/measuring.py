"""One checkpoint of a run on one data set: every layer, in one forward pass.

What the checkpoints of a run share is made once: the network, its taps, the batches of images, the
buffers. A checkpoint then costs its forward passes, and some statistics of pooled features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.checkpoints import Checkpoint
from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.dynamics.kept import VERSION
from core.dynamics.results import LAYER_VALUES, SETTLED, Dynamics, LayerRow
from core.errors import UserError
from core.features import devices, passes
from core.features.hooks import TappedModel, module_lock
from core.features.readings import flattened, numbers, pooled, pooled_dim
from core.features.statistics import ClassStatistics, ProjectedStatistics
from core.features.taps import Tap, penultimate_index, select
from core.features.zeros import SmallCounts
from core.metrics.collapse import class_geometry, neural_collapse
from core.metrics.moments import ClassMoments
from core.metrics.projection import projection
from core.metrics.separation import separation
from core.metrics.twonn_interval import SUBSETS, participation_ratio, twonn_estimate
from core.models.building import Model
from core.models.load import differences, load
from core.models.signature import named_shapes
from core.progress import IsCancelled, check, never

SHOWN = 300
"""Samples whose principal components are kept, at most."""

DIMENSION_POINTS = 600
"""Samples that the intrinsic dimension is estimated from, at most."""

KEEP_BYTES = 512 << 20
"""Pooled features of all layers must fit; of more images, a stratified draw is measured."""

HOLD_BYTES = 512 << 20
"""Images ready for the network are held up to this size, and made again for every checkpoint
beyond."""

_CHUNK = 4096  # rows reduced at a time

Rebuild = Callable[[Checkpoint], nn.Module]
"""The network of a checkpoint, made from nothing."""

Report = Callable[[int, int], None]
"""report(images done, images in all)"""


class Measurer:
    """Measures the checkpoints of one run on one data set, one after the other.

    ``model`` is the network of the checkpoint ``its``, whose tensors all others must have in names
    and shapes; ``rebuild`` is asked where tensors cannot be put into the network as it stands.
    Which layers there are is seen on the checkpoint ``first``.
    """

    def __init__(
        self,
        model: Model,
        its: Checkpoint,
        first: Checkpoint,
        dataset: Dataset,
        data_id: str,
        rebuild: Rebuild,
        *,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self._model = model
        self._shapes = named_shapes(its.tensors)
        self._weights = _Weights(model.module, its, rebuild)
        self._check(first)
        with module_lock(model.module):
            self._weights.put(first)
            self._placed = passes.place(model, device)
            traced = passes.probe(self._placed, dataset)
        taps = select(traced, "auto")
        dataset = _affordable(dataset, taps, seed)
        self._data_id, self._dataset = data_id, dataset
        order = np.argsort(dataset.labels, kind="stable")  # class by class
        labels = dataset.labels[order].astype(np.int64)
        self._order, self._labels = order, labels
        self._counts = np.bincount(labels, minlength=dataset.classes)
        row_of = np.empty(len(order), dtype=np.int64)
        row_of[order] = np.arange(len(order))
        self._shown = np.sort(row_of[dataset.stratified(SHOWN, seed)])
        cloud = np.sort(row_of[dataset.stratified(DIMENSION_POINTS, seed)])
        self._readers = [
            _Reader(tap, self._placed, labels, dataset.classes, cloud, seed) for tap in taps
        ]
        self._taps, self._traced = taps, traced
        self._penultimate = penultimate_index(taps, traced)
        # without classes in common there is no accuracy, and no comparison with the classifier
        self._scores = traced.output_shape == (dataset.classes,)
        few = dataset.select(order[: max(devices.BATCH_SIZES[self._placed.device.type])])
        self._pace = passes.find_pace(
            self._placed, few, taps, [r.look for r in self._readers], None
        )
        self._batches = _Batches(self._placed, dataset, order, self._pace.batch_size)
        self._truth = torch.from_numpy(labels).to(self._placed.device)
        self._seed = seed
        self.settings: dict[str, int | float | str] = {
            "version": VERSION,
            "seed": seed,
            "architecture": model.architecture,
            "preprocessing": model.preprocessing.describe(),
            "images": len(labels),
            "features": "pooled",
            "dimension_points": len(cloud),
            "dimension_subsets": SUBSETS,
            "shown": len(self._shown),
            "device": self._placed.device.type,
            "batch_size": self._pace.batch_size,
        }

    @property
    def layers(self) -> tuple[LayerRow, ...]:
        return tuple(
            LayerRow(t.name, t.kind, r.dim, t.depth)
            for t, r in zip(self._taps, self._readers, strict=True)
        )

    def fits(self, part: Dynamics) -> bool:
        """Whether an earlier measurement is of this network, on these samples, made in this way."""
        return (
            part.layers == self.layers
            and part.class_names == self._dataset.class_names
            and all(part.settings.get(k) == self.settings[k] for k in SETTLED)
            and np.array_equal(part.counts, self._counts)
            and np.array_equal(part.labels, self._labels[self._shown])
        )

    def measure(
        self,
        checkpoint: Checkpoint,
        epoch: int,
        file: str,
        *,
        report: Report = lambda done, total: None,
        cancelled: IsCancelled = never,
    ) -> Dynamics:
        """The measurement of one checkpoint, of one epoch. UserError if it is another network."""
        started = time.perf_counter()
        with module_lock(self._model.module), devices.torch_threads(self._pace.threads):
            self._check(checkpoint)
            self._weights.put(checkpoint)
            output = self._pass(report, cancelled)
            for reader in self._readers:
                check(cancelled)
                reader.measure()
            return self._dynamics(checkpoint, epoch, file, output, started)

    def _check(self, checkpoint: Checkpoint) -> None:
        shapes = named_shapes(checkpoint.tensors)
        if shapes != self._shapes:
            raise UserError(
                f"{checkpoint.name} is not of the same network as the other checkpoints of the run "
                f"({differences(self._shapes, shapes) or 'other tensors'}): put it into a run of "
                "its own"
            )

    def _pass(self, report: Report, cancelled: IsCancelled) -> _Outputs:
        """All images through the network, every tapped tensor to its reader."""
        outputs = _Outputs(len(self._labels))
        reading = 0.0

        for reader in self._readers:
            reader.reset()
        with TappedModel(self._model.module, self._taps) as tapped:
            started = time.perf_counter()
            for rows, batch in self._batches:
                check(cancelled)

                def sink(i: int, x: Tensor, rows: slice = rows) -> None:
                    nonlocal reading
                    before = time.perf_counter()
                    self._readers[i].look(rows, x)
                    reading += time.perf_counter() - before

                logits = tapped(batch, sink)
                if self._scores:
                    outputs.add(rows, logits, self._truth[rows])
                report(rows.stop, len(self._labels))
            outputs.seconds = time.perf_counter() - started - reading
        return outputs

    def _dynamics(
        self, checkpoint: Checkpoint, epoch: int, file: str, outputs: _Outputs, started: float
    ) -> Dynamics:
        dataset, warnings = self._dataset, []
        broken = [r.tap.name for r in self._readers if r.moments is None]
        if broken:
            warnings.append(
                f"{file}: NaN or infinite features at {', '.join(broken[:3])}"
                + (f" and {len(broken) - 3} more layers" if len(broken) > 3 else "")
            )
        usable = self._scores and outputs.finite
        if not self._scores:
            warnings.append(
                f"the network's output has shape {self._traced.output_shape} and the data has "
                f"{dataset.classes} classes: no accuracy, and no comparison with the classifier"
            )
        last = None if self._penultimate is None else self._readers[self._penultimate]
        weight = self._weight() if self._scores else None
        nc4 = None
        if usable and last is not None and last.moments is not None:
            nc4 = float((last.nearest != outputs.predictions).mean())
        collapse = neural_collapse(None if last is None else last.moments, weight, nc4)
        geometry = _geometry(last, weight, dataset.classes)
        picture = _picture(last, self._shown, dataset.classes)
        return Dynamics(
            data=self._data_id,
            data_name=dataset.name,
            class_names=dataset.class_names,
            counts=self._counts,
            epochs=np.array([epoch], dtype=np.int64),
            files=(file,),
            sha256=(checkpoint.sha256,),
            accuracy=np.array([outputs.accuracy(self._labels) if usable else np.nan]),
            loss=np.array([outputs.loss / len(self._labels) if usable else np.nan]),
            collapse=_columns(collapse.values()),
            reasons=collapse.reasons,
            penultimate=None if last is None else last.tap.name,
            layers=self.layers,
            layer_values={
                key: np.array([[r.values[key]] for r in self._readers]) for key in LAYER_VALUES
            },
            mean_coordinates=geometry.means[None],
            classifier_coordinates=geometry.classifier[None],
            within_trace=geometry.within[None],
            labels=self._labels[self._shown],
            points=picture.points[None],
            point_means=picture.means[None],
            spread=np.array([picture.spread]),
            explained=picture.explained[None],
            settings=self.settings,
            seconds={
                "forward": round(outputs.seconds, 4),
                "all": round(time.perf_counter() - started, 4),
                "checkpoints": 1,
            },
            warnings=(*self._model.warnings, *dataset.warnings, *warnings),
        )

    def _weight(self) -> np.ndarray | None:
        """(K, d) of the classifier as it is now."""
        classifier = self._traced.classifier
        if classifier is None:
            return None
        layer = self._traced.modules[classifier.path]
        return numbers(layer.weight.flatten(1))  # type: ignore[operator, union-attr]


class _Weights:
    """Puts the tensors of further checkpoints into the network of the first."""

    def __init__(self, module: nn.Module, first: Checkpoint, rebuild: Rebuild) -> None:
        self._module, self._rebuild = module, rebuild
        before = {name: t.clone() for name, t in module.state_dict().items()}
        try:
            load(module, first.tensors, first.name)
            after = module.state_dict()
            self._directly = all(torch.equal(t, after[name]) for name, t in before.items())
        except UserError:
            self._directly = False
        if not self._directly:
            module.load_state_dict(before)

    def put(self, checkpoint: Checkpoint) -> None:
        if self._directly:
            load(self._module, checkpoint.tensors, checkpoint.name)
        else:
            self._module.load_state_dict(self._rebuild(checkpoint).state_dict())


class _Batches:
    """The images, class by class, as the network takes them; held where they fit."""

    def __init__(
        self, placed: passes.Placed, dataset: Dataset, order: np.ndarray, size: int
    ) -> None:
        self._placed, self._dataset, self._order = placed, dataset, order
        n = len(order)
        self._ranges = [slice(i, min(i + size, n)) for i in range(0, n, size)]
        fits = 4 * n * int(np.prod(placed.model.preprocessing.shape)) <= HOLD_BYTES
        self._held = [self._make(rows) for rows in self._ranges] if fits else None

    def _make(self, rows: slice) -> Tensor:
        images = load_batch(self._dataset, self._order[rows], self._placed.model.preprocessing)
        return self._placed.tensor(images)

    def __iter__(self):  # type: ignore[no-untyped-def]
        if self._held is not None:
            yield from zip(self._ranges, self._held, strict=True)
            return
        for rows in self._ranges:
            yield rows, self._make(rows)


class _Outputs:
    """Predictions and loss of one pass."""

    def __init__(self, images: int) -> None:
        self.predictions = np.full(images, -1)  # (N,)
        self.loss = 0.0  # sum of cross-entropies
        self.finite = True
        self.seconds = 0.0  # of the pass, without reading the layers

    def add(self, rows: slice, logits: Tensor, truth: Tensor) -> None:
        self.predictions[rows] = logits.argmax(1).cpu().numpy()
        self.loss += float(cross_entropy(logits.float(), truth, reduction="sum"))
        self.finite &= bool(torch.isfinite(logits).all())

    def accuracy(self, labels: np.ndarray) -> float:
        return float((self.predictions == labels).mean())


class _Zeros:
    """Exact zeros of one tap: the share of all entries, and units that are zero on every sample."""

    def __init__(self, units: int, channels_last: bool) -> None:
        self._channels_last = channels_last
        self._active = np.zeros(units, dtype=bool)
        self._nonzero = self._seen = 0

    def look(self, rows: slice, x: Tensor) -> None:
        flat = flattened(x, self._channels_last)  # (B, units)
        mask = np.not_equal(flat.numpy(), 0) if flat.device.type == "cpu" else None
        if mask is None:
            mask = (flat != 0).cpu().numpy()
        self._nonzero += int(np.count_nonzero(mask))
        self._seen += mask.size
        silent = np.flatnonzero(~self._active)
        if 8 * len(silent) > len(self._active):
            self._active |= np.logical_or.reduce(mask, axis=0)
        elif len(silent):
            self._active[silent] = mask[:, silent].any(axis=0)

    def shares(self) -> tuple[float, float]:
        """Nonzero entries and dead units."""
        return self._nonzero / max(self._seen, 1), float((~self._active).mean())


class _SmallValues:
    """The same for activations without exact zeros, as ``core.features.zeros`` counts them."""

    def __init__(self, units: int, labels: np.ndarray, classes: int) -> None:
        self._counts = SmallCounts(labels, classes, units)

    def look(self, rows: slice, x: Tensor) -> None:
        self._counts.update(rows, flattened(x))

    def shares(self) -> tuple[float, float]:
        self._counts.finish()
        return float(self._counts.share.mean(dtype=np.float64)), float(
            (~self._counts.active).mean()
        )


class _Reader:
    """Everything gathered at one tap. Rows are class by class."""

    def __init__(
        self,
        tap: Tap,
        placed: passes.Placed,
        labels: np.ndarray,
        classes: int,
        cloud: np.ndarray,
        seed: int,
    ) -> None:
        self.tap = tap
        self.dim = pooled_dim(tap.shape)
        self._placed, self._labels, self._classes = placed, labels, classes
        self._cloud, self._seed = cloud, seed
        self.kept = torch.empty(len(labels), self.dim, device=placed.device)  # (N, d)
        self._done = False  # the network's input is the same for every checkpoint
        self.reset()

    def reset(self) -> None:
        """Forget the last checkpoint."""
        if self._done:
            return
        self.moments: ClassMoments | None = None
        self.nearest = np.full(len(self._labels), -1)  # (N,) class
        self.values = dict.fromkeys(LAYER_VALUES, float("nan"))
        self._zeros: _Zeros | _SmallValues | None = None
        units = int(np.prod(self.tap.shape))
        if self.tap.relu_like:
            self._zeros = _Zeros(units, self._placed.channels_last)
        elif self.tap.is_activation:
            self._zeros = _SmallValues(units, self._labels, self._classes)

    def look(self, rows: slice, x: Tensor) -> None:
        """One batch of the pass."""
        if self._done:
            return
        self.kept[rows] = pooled(x, self.tap.class_token)
        if self._zeros is not None:
            self._zeros.look(rows, x)

    def rows(self, which: np.ndarray) -> np.ndarray:
        """(m, d) float32: the features of these samples."""
        return numbers(self.kept[torch.from_numpy(which).to(self.kept.device)])

    def measure(self) -> None:
        """Fill ``values``, ``moments`` and ``nearest`` from what was read."""
        if self._done:
            return
        self._done = self.tap.kind == "Input"
        values = self.values
        if self._zeros is not None:
            values["nonzero_fraction"], values["dead_fraction"] = self._zeros.shares()
        second = self._statistics()
        if second is None:
            return
        self.moments = moments = second.compute()
        found: Mapping[str, float | None] = {
            "nc1": neural_collapse(moments).nc1,
            "separation": separation(moments),
            "ncc_accuracy": second.ncc_accuracy,
        }
        cloud = self.rows(self._cloud)
        dimension = twonn_estimate(cloud, self._seed)
        found = {
            **found,
            "twonn": dimension.value,
            "twonn_low": dimension.low,
            "twonn_high": dimension.high,
            "participation_ratio": participation_ratio(cloud),
        }
        values |= {k: v for k, v in found.items() if v is not None}

    def _statistics(self) -> ProjectedStatistics | None:
        """Both looks at the kept features; None where they are not finite."""
        device, n = self._placed.device, len(self._labels)
        chunks = [slice(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK)]
        first = ClassStatistics(self._classes, self.dim, device)
        for rows in chunks:
            first.update(self.kept[rows], self._labels[rows])
        means = first.compute()
        if not np.isfinite(means.means[means.counts > 0]).all():
            return None
        second = ProjectedStatistics(means, device)
        for rows in chunks:
            _, self.nearest[rows] = second.project(self.kept[rows], self._labels[rows])
        return second


@dataclass(frozen=True, slots=True)
class _Geometry:
    means: np.ndarray  # (K, r)
    classifier: np.ndarray  # (K, r)
    within: np.ndarray  # (K,)


def _geometry(last: _Reader | None, weight: np.ndarray | None, classes: int) -> _Geometry:
    """Class means and classifier in r = min(K-1, d) coordinates: 0 in those that are not needed,
    NaN where there is nothing to show."""
    r = max(0, classes - 1) if last is None else min(max(0, classes - 1), last.dim)
    means, rows = np.full((classes, r), np.nan), np.full((classes, r), np.nan)
    if last is None or last.moments is None:
        return _Geometry(means, rows, np.full(classes, np.nan))
    found = class_geometry(last.moments, weight)

    def padded(coordinates: np.ndarray) -> np.ndarray:
        return np.pad(coordinates, ((0, 0), (0, r - coordinates.shape[1])))

    means = padded(found.mean_coordinates)
    means[found.counts == 0] = np.nan
    if found.classifier_coordinates is not None:
        rows = padded(found.classifier_coordinates)
    return _Geometry(means, rows, found.within_trace)


@dataclass(frozen=True, slots=True)
class _Picture:
    points: np.ndarray  # (S, 3) float16
    means: np.ndarray  # (K, 3)
    spread: float
    explained: np.ndarray  # (3,)


def _picture(last: _Reader | None, shown: np.ndarray, classes: int) -> _Picture:
    """Three principal components of the shown samples, in units of the spread of all."""
    nothing = np.full((len(shown), 3), np.nan, dtype=np.float16)
    if last is None or last.moments is None:
        return _Picture(nothing, np.full((classes, 3), np.nan), np.nan, np.full(3, np.nan))
    found = projection(
        numbers(last.kept[torch.from_numpy(shown).to(last.kept.device)]), last.moments, 3
    )
    spread = _spread(last.moments)
    unit = spread if spread > 0 else 1.0  # all features equal: every point lies at the origin
    missing = 3 - found.pca.shape[1]
    return _Picture(
        np.pad(found.pca / unit, ((0, 0), (0, missing))).astype(np.float16),
        np.pad(found.pca_means.astype(np.float64) / unit, ((0, 0), (0, missing))),
        spread,
        np.pad(found.explained, (0, missing)),
    )


def _spread(moments: ClassMoments) -> float:
    """Root mean square distance of all features to their mean: within plus between classes."""
    present = moments.present
    share = moments.counts[present] / moments.counts.sum()
    means = moments.means[present]
    between = np.square(means - share @ means).sum(axis=1)
    return float(np.sqrt(share @ (moments.within_trace[present] + between)))


def _columns(values: Mapping[str, float | None]) -> dict[str, np.ndarray]:
    return {k: np.array([np.nan if v is None else v]) for k, v in values.items()}


def _affordable(dataset: Dataset, taps: tuple[Tap, ...], seed: int) -> Dataset:
    """The data set, or so much of it that the pooled features of all layers can be kept."""
    most = max(1, KEEP_BYTES // (4 * sum(pooled_dim(tap.shape) for tap in taps)))
    if len(dataset) <= most:
        return dataset
    note = f"measured on {most:,} of {len(dataset):,} images, a stratified draw"
    chosen = dataset.select(dataset.stratified(most, seed))
    return replace(chosen, warnings=(*dataset.warnings, note))

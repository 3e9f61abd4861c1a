"""analyze(): one checkpoint on one data set, from the file to a finished ``Analysis``.

``run`` and ``inspect`` are what pages submit to ``core.jobs``; finished analyses are cached on disk
under a digest of checkpoint, data and settings.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core import library, store
from core.checkpoints import Checkpoint, open_checkpoint
from core.data.dataset import Dataset, stratified
from core.data.opening import open_dataset
from core.errors import UserError
from core.feature_files import is_feature_file, open_features
from core.features.extract import Features, extract
from core.features.flat import flat_samples
from core.forecasting import forecast
from core.measures import Cloud, LayerInput, measure_layer
from core.metrics import collapse
from core.metrics.moments import class_moments
from core.metrics.separation import separation_law
from core.metrics.weights import classifier_geometry, find_classifier, weight_summaries
from core.models.building import Model, build
from core.models.identification import Identification, identify
from core.models.operator_models import load_constructor
from core.models.recognise import count_parameters
from core.progress import IsCancelled, Progress, check, never, silent
from core.ranking import choose_variant
from core.request import AnalysisRequest
from core.results import (
    Analysis,
    Candidate,
    CheckpointSummary,
    DataSummary,
    LayerAnalysis,
    Penultimate,
    Sample,
    SeparationLaw,
    Settings,
)
from core.thumbnails import COLUMNS, sprite

PICTURED = 800  # samples kept for pictures
SHARES = {"open": 2, "features": 28, "layers": 70}  # of the progress bar, in percent


@dataclass
class _Clock:
    """Seconds per stage, and one progress bar over all stages."""

    progress: Progress
    cancelled: IsCancelled
    seconds: dict[str, float] = field(default_factory=dict)
    before: int = 0

    @contextmanager
    def stage(self, name: str):  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        check(self.cancelled)
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
        self.before += SHARES.get(name, 0)

    def say(self, what: str) -> None:
        """What is being done, without moving the bar."""
        self.progress(10 * self.before, 1000, what)

    def report(self, name: str) -> Progress:
        """The progress callable of one stage, as its share of the whole bar."""
        share = SHARES[name]

        def report(done: int, total: int, what: str) -> None:
            per_mille = 10 * self.before + round(10 * share * done / max(1, total))
            self.progress(per_mille, 1000, what)

        return report


def analyze(
    request: AnalysisRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Analysis:
    """Open, identify, extract and measure. UserError where the input is at fault."""
    path, settings = Path(request.checkpoint), request.settings
    if is_feature_file(path):
        return measure(
            path, settings, request.checkpoint_name, progress=progress, cancelled=cancelled
        )
    clock = _Clock(progress, cancelled)
    with clock.stage("open"):
        clock.say("Opening the checkpoint")
        checkpoint = open_checkpoint(path, request.checkpoint_name or None)
        dataset = open_dataset(request.data, request.data_name) if request.data else None
        model, reason = _model(checkpoint, request, _shape(dataset))
    if model is None:
        if request.data is not None and settings.architecture != "weights":
            raise UserError(reason)
        return _weights_only(checkpoint, settings, reason, clock)
    with clock.stage("data"):
        dataset = dataset or open_dataset(_fitting_data(model, checkpoint))
        if settings.max_images is not None:
            dataset = dataset.select(dataset.stratified(settings.max_images, settings.seed))
        clock.say("Ranking what the tensors cannot tell")
        model, candidates = choose_variant(
            model, checkpoint, dataset, settings, partial(_with_preprocessing, settings), cancelled
        )
    return _analyze_model(checkpoint, model, candidates, dataset, settings, clock)


def _shape(dataset: Dataset | None) -> tuple[int, int, int] | None:
    """(C, H, W) of the first image: helps where the tensors do not tell the network's input."""
    if dataset is None:
        return None
    height, width, channels = dataset.image(0).shape
    return channels, height, width


def _model(
    checkpoint: Checkpoint, request: AnalysisRequest, shape: tuple[int, int, int] | None
) -> tuple[Model | None, str]:
    """The network, or None and what to do about it where no registry knows it."""
    constructor = load_constructor(request.model) if request.model else None
    settings = request.settings
    if settings.architecture == "weights":
        return None, "only the weights were asked for"
    if constructor is None and settings.architecture == "auto":
        found = identify(checkpoint.tensors, checkpoint.metadata, shape)
        if found.architecture is None:
            return None, " ".join(found.warnings) or "no registry knows this network"
    model = build(
        checkpoint.tensors, checkpoint.metadata, settings.architecture, constructor, shape
    )
    return _with_preprocessing(settings, model), ""


def _with_preprocessing(settings: Settings, model: Model) -> Model:
    changes: dict[str, Any] = {}
    if settings.input_size is not None:
        changes |= {"height": settings.input_size, "width": settings.input_size, "crop_from": None}
    for key in ("mean", "std"):
        values = getattr(settings, key)
        if values is None:
            continue
        channels = model.preprocessing.channels
        if len(values) not in (1, channels) or (key == "std" and min(values) <= 0):
            raise UserError(
                f"the normalisation's {key} is {values}; give {channels} numbers"
                + (" above 0" if key == "std" else "")
            )
        changes[key] = tuple(values) * (channels if len(values) == 1 else 1)
    return replace(model, preprocessing=replace(model.preprocessing, **changes))


def _fitting_data(model: Model, checkpoint: Checkpoint) -> str:
    """The bundled data set that fits the network's input and classes."""
    if model.classes == 10 and model.preprocessing.shape == (3, 32, 32):
        return "cifar10"
    if model.classes == 10 and model.preprocessing.shape == (1, 8, 8):
        return "digits"
    shape = "×".join(map(str, model.preprocessing.shape))
    raise UserError(
        f"{checkpoint.name} takes {shape} inputs of {model.classes} classes, and no bundled data "
        "fits: give images with --data FILE.zip (one folder per class)"
    )


def _analyze_model(
    checkpoint: Checkpoint,
    model: Model,
    candidates: tuple[Candidate, ...],
    dataset: Dataset,
    settings: Settings,
    clock: _Clock,
) -> Analysis:
    with clock.stage("forecast"):
        cost = forecast(model, dataset, settings)
        clock.say(f"Forecast: {cost.describe()}")
    with clock.stage("features"):
        features = extract(
            model,
            dataset,
            settings,
            progress=clock.report("features"),
            cancelled=clock.cancelled,
        )
    with clock.stage("layers"):
        pictured = stratified(features.labels[features.sample], PICTURED, settings.seed)
        layers = _measure_layers(features, model, dataset, pictured, settings, clock)
    with clock.stage("finish"):
        sample = _sample(features, dataset, pictured)
        weights = weight_summaries(checkpoint.tensors)
    clock.progress(1000, 1000, "Finished")
    return Analysis(
        checkpoint=_summary(checkpoint, model, candidates),
        data=DataSummary(
            name=dataset.name,
            images=len(dataset),
            classes=dataset.classes,
            class_names=dataset.class_names,
            sha256=dataset.sha256,
            preprocessing=model.preprocessing.describe(),
            warnings=dataset.warnings,
        ),
        settings=settings,
        device=features.device,
        seconds=clock.seconds,
        accuracy=features.accuracy,
        class_accuracy=features.class_accuracy,
        penultimate=_penultimate(features),
        layers=layers,
        separation_law=_law(layers),
        sample=sample,
        weights=weights,
        classifier=None if features.weight is None else classifier_geometry(features.weight),
        warnings=tuple(checkpoint.warnings) + tuple(dataset.warnings) + tuple(features.warnings),
    )


def _measure_layers(
    features: Features,
    model: Model,
    dataset: Dataset,
    pictured: np.ndarray,
    settings: Settings,
    clock: _Clock,
) -> tuple[LayerAnalysis, ...]:
    """Every layer, in call order; flattened samples arrive a few layers at a time."""
    labels = features.labels[features.sample]
    report = clock.report("layers")
    done: dict[int, LayerAnalysis] = {}
    for index, cloud in _clouds(features, model, dataset, settings, clock.cancelled):
        check(clock.cancelled)
        layer = features.layers[index]
        report(len(done), len(features.layers), f"Measuring {layer.name}")
        given = LayerInput(
            name=layer.name,
            module=layer.module,
            kind=layer.kind,
            shape=layer.shape,
            depth=layer.depth,
            moments=layer.moments,
            ncc_accuracy=layer.ncc_accuracy,
            sparsity=layer.sparsity,
            sample=cloud.points if settings.features == "flat" else layer.pooled_sample,
            sample_labels=labels,
            pictured=pictured,
            class_names=dataset.class_names,
        )
        done[index] = measure_layer(given, cloud, settings)
    return tuple(done[i] for i in sorted(done))


def _clouds(
    features: Features,
    model: Model,
    dataset: Dataset,
    settings: Settings,
    cancelled: IsCancelled,
) -> Iterator[tuple[int, Cloud]]:
    """The point cloud of every layer: flattened outputs, or pooled features if those were asked
    for or no family needs a cloud."""
    needless = not {"dimension", "topology"} & set(settings.metrics)
    if settings.features == "pooled" or (needless and settings.features != "flat"):
        for index, layer in enumerate(features.layers):
            yield index, Cloud(layer.pooled_sample, layer.dim, None)
        return
    for flat in flat_samples(
        model,
        dataset,
        features.taps,
        features.sample,
        seed=settings.seed,
        device=settings.device,
        batch_size=features.batch_size,
        threads=features.threads,
        cancelled=cancelled,
    ):
        yield flat.layer, Cloud(flat.array, flat.ambient, flat.projected)


def _penultimate(features: Features) -> Penultimate | None:
    if features.penultimate is None:
        return None
    last = features.layers[features.penultimate]
    return Penultimate(
        layer=last.name,
        dim=last.dim,
        collapse=collapse.neural_collapse(last.moments, features.weight, features.penultimate_nc4),
        geometry=collapse.class_geometry(last.moments, features.weight),
    )


def _sample(features: Features, dataset: Dataset, pictured: np.ndarray) -> Sample:
    positions = features.sample[pictured]
    thumbnails, side = sprite([dataset.image(int(i)) for i in positions])
    predictions = features.predictions
    return Sample(
        ids=dataset.ids[positions],
        labels=features.labels[positions],
        predictions=None if predictions is None else predictions[positions],
        thumbnails=thumbnails,
        tile=side,
        columns=COLUMNS,
    )


def _law(layers: tuple[LayerAnalysis, ...]) -> SeparationLaw | None:
    if all(layer.separation is None for layer in layers):
        return None
    return separation_law([la.name for la in layers], [la.separation for la in layers])


def _summary(
    checkpoint: Checkpoint, model: Model | None, candidates: tuple[Candidate, ...] = ()
) -> CheckpointSummary:
    return CheckpointSummary(
        name=checkpoint.name,
        format=checkpoint.format,
        sha256=checkpoint.sha256,
        architecture=model.architecture if model else None,
        parameters=model.parameters if model else count_parameters(checkpoint.tensors),
        metadata=dict(checkpoint.metadata),
        match=model.match if model else "none",
        candidates=candidates,
        warnings=(*checkpoint.warnings, *(model.warnings if model else ())),
    )


def _weights_only(
    checkpoint: Checkpoint, settings: Settings, reason: str, clock: _Clock
) -> Analysis:
    """What a network that cannot be built still shows."""
    with clock.stage("weights"):
        classifier = find_classifier(checkpoint.tensors)
        geometry = classifier_geometry(classifier[1]) if classifier else None
        weights = weight_summaries(checkpoint.tensors)
    return Analysis(
        checkpoint=_summary(checkpoint, None),
        data=None,
        settings=settings,
        device="cpu",
        seconds=clock.seconds,
        accuracy=None,
        class_accuracy=None,
        penultimate=None,
        layers=(),
        separation_law=None,
        sample=None,
        weights=weights,
        classifier=geometry,
        warnings=(reason, *checkpoint.warnings),
    )


def measure(
    path: Path,
    settings: Settings,
    name: str = "",
    *,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Analysis:
    """The features of one layer from a file: an ``Analysis`` of that single layer."""
    clock = _Clock(progress, cancelled)
    with clock.stage("open"):
        clock.say("Opening the feature file")
        file = open_features(path, name)
    labels = np.zeros(len(file.features), dtype=np.int64) if file.labels is None else file.labels
    with clock.stage("layers"):
        progress(100, 1000, "Measuring the features")
        moments = class_moments(file.features, labels, len(file.class_names))
        pictured = stratified(labels, PICTURED, settings.seed)
        given = LayerInput(
            name="features",
            module="features#1",
            kind="file",
            shape=(file.features.shape[1],),
            depth=1.0,
            moments=moments,
            ncc_accuracy=None
            if file.labels is None
            else collapse.ncc_accuracy(file.features, labels, moments.means),
            sparsity=None,
            sample=file.features,
            sample_labels=labels,
            pictured=pictured,
            class_names=file.class_names,
        )
        cloud = Cloud(file.features, file.features.shape[1], None)
        layer = measure_layer(given, cloud, settings)
    fits = file.weight is not None and file.weight.shape == moments.means.shape
    nc4, share, predictions = None, None, None
    if fits and file.weight is not None:
        nc4 = collapse.nc4(file.features, moments.means, file.weight, file.bias)
        bias = 0.0 if file.bias is None else file.bias
        predictions = (file.features @ file.weight.T + bias).argmax(axis=1)
        share = float((predictions == labels).mean()) if file.labels is not None else None
    return Analysis(
        checkpoint=CheckpointSummary(
            name=file.name,
            format="feature file",
            sha256=file.sha256,
            architecture=None,
            parameters=0,
        ),
        data=DataSummary(
            name=file.name,
            images=len(labels),
            classes=len(file.class_names),
            class_names=file.class_names,
            sha256=file.sha256,
        ),
        settings=settings,
        device="cpu",
        seconds=clock.seconds,
        accuracy=share,
        class_accuracy=None,
        penultimate=Penultimate(
            layer=layer.name,
            dim=layer.dim,
            collapse=collapse.neural_collapse(moments, file.weight, nc4),
            geometry=collapse.class_geometry(moments, file.weight),
        ),
        layers=(layer,),
        separation_law=None,
        sample=Sample(
            ids=pictured,
            labels=labels[pictured],
            predictions=None if predictions is None else predictions[pictured],
        ),
        classifier=None if file.weight is None else classifier_geometry(file.weight),
    )


# --- what pages submit -------------------------------------------------------------------------


def inspect(
    request: AnalysisRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> CheckpointSummary:
    """What a file is, before anything is computed: for the page that asks what to do with it."""
    path = Path(request.checkpoint)
    progress(0, 2, "Opening")
    if is_feature_file(path):
        file = open_features(path, request.checkpoint_name)
        return CheckpointSummary(
            name=file.name,
            format="feature file",
            sha256=file.sha256,
            architecture=None,
            parameters=0,
            metadata={
                "samples": len(file.features),
                "dimensions": file.features.shape[1],
                "classes": len(file.class_names),
            },
        )
    checkpoint = open_checkpoint(path, request.checkpoint_name or None)
    check(cancelled)
    progress(1, 2, "Identifying the architecture")
    found = identify(checkpoint.tensors, checkpoint.metadata)
    return CheckpointSummary(
        name=checkpoint.name,
        format=checkpoint.format,
        sha256=checkpoint.sha256,
        architecture=found.architecture,
        parameters=found.parameters,
        metadata=dict(checkpoint.metadata),
        match=found.match,
        candidates=found.candidates,
        warnings=(*checkpoint.warnings, *found.warnings),
    )


def identification(path: Path) -> Identification:
    """What ``python -m core identify`` prints."""
    checkpoint = open_checkpoint(path)
    return identify(checkpoint.tensors, checkpoint.metadata)


def run(
    request: AnalysisRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> str:
    """Analyse and keep the result in the cache; the id under which ``core.library`` finds it."""
    key = library.analysis_id(_sha256(Path(request.checkpoint)), _data_key(request), request)
    path = library.analysis_path(key)
    if not path.is_file():
        store.save(path, analyze(request, progress=progress, cancelled=cancelled))
    return key


def _data_key(request: AnalysisRequest) -> str | None:
    path = Path(request.data) if request.data else None
    return _sha256(path) if path is not None and path.is_file() else request.data


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""analyze(): one checkpoint on one data set, from the file to a finished ``Analysis``.

``run`` and ``inspect`` are what pages submit to ``core.jobs``; finished analyses are cached on disk
under a digest of checkpoint, data and settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from core import library, store
from core.checkpoints import Checkpoint, open_checkpoint
from core.data.dataset import Dataset, stratified
from core.data.opening import open_dataset
from core.errors import UserError
from core.feature_analysis import measure
from core.feature_files import is_feature_file, open_features
from core.features.extract import Features, extract
from core.features.flat import flat_samples
from core.fitting import find_model, fitting_data, with_preprocessing
from core.forecasting import forecast
from core.measures import Cloud, LayerInput, measure_layer
from core.metrics import collapse
from core.metrics.separation import separation_law
from core.metrics.weights import classifier_geometry, find_classifier, weight_summaries
from core.models.building import Model
from core.models.identification import Identification, identify
from core.progress import IsCancelled, Progress, check, never, silent
from core.ranking import choose_variant
from core.request import AnalysisRequest
from core.results import (
    Analysis,
    Candidate,
    CheckpointSummary,
    ClassGeometry,
    DataSummary,
    LayerAnalysis,
    Penultimate,
    Sample,
    SeparationLaw,
    Settings,
)
from core.stages import Stages
from core.thumbnails import COLUMNS, PICTURED, sprite


def analyze(
    request: AnalysisRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Analysis:
    """Open, identify, extract and measure. UserError where the input is at fault."""
    path, settings = Path(request.checkpoint), request.settings
    if is_feature_file(path):
        return measure(
            path, settings, request.checkpoint_name, progress=progress, cancelled=cancelled
        )
    stages = Stages(progress, cancelled)
    with stages.stage("open"):
        stages.say("Opening the checkpoint")
        checkpoint = open_checkpoint(path, request.checkpoint_name or None)
        dataset = open_dataset(request.data, request.data_name) if request.data else None
        model, reason = find_model(checkpoint, request, dataset)
    if model is None:
        if request.data is not None and settings.architecture != "weights":
            raise UserError(reason)
        return _weights_only(checkpoint, settings, reason, stages)
    with stages.stage("data"):
        dataset = dataset or open_dataset(fitting_data(model, checkpoint))
        if settings.max_images is not None:
            dataset = dataset.select(dataset.stratified(settings.max_images, settings.seed))
        stages.say("Ranking what the tensors cannot tell")
        model, candidates = choose_variant(
            model, checkpoint, dataset, settings, partial(with_preprocessing, settings), cancelled
        )
    return _analyze_model(checkpoint, model, candidates, dataset, settings, stages)


def _analyze_model(
    checkpoint: Checkpoint,
    model: Model,
    candidates: tuple[Candidate, ...],
    dataset: Dataset,
    settings: Settings,
    stages: Stages,
) -> Analysis:
    with stages.stage("forecast"):
        cost = forecast(model, dataset, settings)
        stages.say(f"Forecast: {cost.describe()}")
    with stages.stage("features"):
        features = extract(
            model,
            dataset,
            settings,
            pace=cost.pace,
            progress=stages.report("features"),
            cancelled=stages.cancelled,
        )
    with stages.stage("layers"):
        pictured = stratified(features.labels[features.sample], PICTURED, settings.seed)
        layers = _measure_layers(features, model, dataset, pictured, settings, stages)
    with stages.stage("finish"):
        sample = _sample(features, dataset, pictured)
        weights = weight_summaries(checkpoint.tensors)
    stages.progress(1000, 1000, "Finished")
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
        seconds=stages.seconds,
        accuracy=features.accuracy,
        class_accuracy=features.class_accuracy,
        penultimate=_penultimate(features),
        layers=layers,
        separation_law=_law(layers),
        sample=sample,
        weights=weights,
        classifier=_classifier(features, dataset),
        warnings=tuple(checkpoint.warnings) + tuple(dataset.warnings) + tuple(features.warnings),
        activations=features.activations,
    )


def _measure_layers(
    features: Features,
    model: Model,
    dataset: Dataset,
    pictured: np.ndarray,
    settings: Settings,
    stages: Stages,
) -> tuple[LayerAnalysis, ...]:
    """Every layer, in call order; flattened samples arrive a few layers at a time."""
    labels = features.labels[features.sample]
    report = stages.report("layers")
    done: dict[int, LayerAnalysis] = {}
    for index, cloud in _clouds(features, model, dataset, settings, stages.cancelled):
        check(stages.cancelled)
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
        del cloud, given  # a large layer, before the next ones are read
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
        del flat


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


def _classifier(features: Features, dataset: Dataset) -> ClassGeometry | None:
    """The classifier's rows, where they are of the data's classes."""
    if features.weight is None or len(features.weight) != dataset.classes:
        return None
    return classifier_geometry(features.weight)


def _sample(features: Features, dataset: Dataset, pictured: np.ndarray) -> Sample:
    positions = features.sample[pictured]
    thumbnails, side = sprite([dataset.image(int(i)) for i in features.sample])
    predictions = features.predictions
    return Sample(
        ids=dataset.ids[positions],
        labels=features.labels[positions],
        predictions=None if predictions is None else predictions[positions],
        thumbnails=thumbnails,
        tile=side,
        columns=COLUMNS,
        kept_ids=dataset.ids[features.sample],
        kept_rows=pictured,
    )


def _law(layers: tuple[LayerAnalysis, ...]) -> SeparationLaw | None:
    if all(layer.separation is None for layer in layers):
        return None
    return separation_law([la.name for la in layers], [la.separation for la in layers])


def _summary(
    checkpoint: Checkpoint,
    network: Model | Identification,
    candidates: tuple[Candidate, ...] | None = None,
) -> CheckpointSummary:
    """The file and what it was recognised as; ``candidates`` replace the network's once ranked."""
    return CheckpointSummary(
        name=checkpoint.name,
        format=checkpoint.format,
        sha256=checkpoint.sha256,
        architecture=network.architecture,
        parameters=network.parameters,
        metadata=dict(checkpoint.metadata),
        match=network.match,
        candidates=network.candidates if candidates is None else candidates,
        warnings=(*checkpoint.warnings, *network.warnings),
    )


def _weights_only(
    checkpoint: Checkpoint, settings: Settings, reason: str, stages: Stages
) -> Analysis:
    """What the weights alone show: of a network that cannot be built, or where that was asked."""
    with stages.stage("weights"):
        classifier = find_classifier(checkpoint.tensors)
        geometry = classifier_geometry(classifier[1]) if classifier else None
        weights = weight_summaries(checkpoint.tensors)
    return Analysis(
        checkpoint=_summary(checkpoint, identify(checkpoint.tensors, checkpoint.metadata), ()),
        data=None,
        settings=settings,
        device="cpu",
        seconds=stages.seconds,
        accuracy=None,
        class_accuracy=None,
        penultimate=None,
        layers=(),
        separation_law=None,
        sample=None,
        weights=weights,
        classifier=geometry,
        warnings=tuple(filter(None, (reason, *checkpoint.warnings))),
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
    return _summary(checkpoint, identify(checkpoint.tensors, checkpoint.metadata))


def identification(path: Path) -> Identification:
    """What ``python -m core identify`` prints."""
    checkpoint = open_checkpoint(path)
    return identify(checkpoint.tensors, checkpoint.metadata)


def run(
    request: AnalysisRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> str:
    """Analyse and keep the result in the cache; the id under which ``core.library`` finds it."""
    key = library.analysis_id(
        library.file_sha256(Path(request.checkpoint)), library.data_key(request), request
    )
    path = library.analysis_path(key)
    if not path.is_file():
        store.save(path, analyze(request, progress=progress, cancelled=cancelled))
    return key

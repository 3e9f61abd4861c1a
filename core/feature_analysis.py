"""measure(): the features of one layer from a file, from any framework."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.data.dataset import stratified
from core.feature_files import open_features
from core.measures import Cloud, LayerInput, measure_layer
from core.metrics import collapse
from core.metrics.moments import class_moments
from core.metrics.weights import classifier_geometry
from core.progress import IsCancelled, Progress, never, silent
from core.results import (
    Analysis,
    CheckpointSummary,
    DataSummary,
    Penultimate,
    Sample,
    Settings,
)
from core.stages import Stages
from core.thumbnails import PICTURED


def measure(
    path: Path,
    settings: Settings,
    name: str = "",
    *,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> Analysis:
    """The features of one layer from a file: an ``Analysis`` of that single layer."""
    stages = Stages(progress, cancelled)
    with stages.stage("open"):
        stages.say("Opening the feature file")
        file = open_features(path, name)
    labels = np.zeros(len(file.features), dtype=np.int64) if file.labels is None else file.labels
    with stages.stage("layers"):
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
            warnings=file.warnings,
        ),
        settings=settings,
        device="cpu",
        seconds=stages.seconds,
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
            ids=file.ids[pictured],
            labels=labels[pictured],
            predictions=None if predictions is None else predictions[pictured],
            kept_ids=file.ids,
            kept_rows=pictured,
        ),
        classifier=None if file.weight is None else classifier_geometry(file.weight),
        warnings=file.warnings,
    )

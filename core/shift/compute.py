"""Profiles of a network on data sets that were not analysed yet; what pages submit as a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core import library, store
from core.data.dataset import Dataset
from core.features.extract import Features, LayerFeatures, extract
from core.fitting import open_network
from core.metrics.collapse import ncc_accuracy, neural_collapse
from core.metrics.moments import class_moments
from core.metrics.separation import separation
from core.progress import IsCancelled, Progress, check, never, silent
from core.request import AnalysisRequest
from core.shift.profile import GROUPS, Profile

STEPS = 1000  # of a data set's progress
READING = 800  # of them for the pass through the network
MAX_CLASSES = 100

_Report = Callable[[int, str], None]


def measure(
    requests: tuple[AnalysisRequest, ...],
    *,
    progress: Progress = silent,
    cancelled: IsCancelled = never,
) -> tuple[Profile, ...]:
    """The profile of every request, in order; each is kept on disk and never computed twice."""
    profiles = []
    for i, request in enumerate(requests):

        def report(done: int, what: str, before: int = i) -> None:
            where = f", data set {before + 1} of {len(requests)}" if len(requests) > 1 else ""
            progress(before * STEPS + done, len(requests) * STEPS, what + where)

        path = _path(request)
        if not path.is_file():
            store.save(path, _profile(request, report, cancelled))
        profiles.append(store.load(Profile, path))
    return tuple(profiles)


def _path(request: AnalysisRequest) -> Path:
    key = library.analysis_id(
        library.file_sha256(Path(request.checkpoint)), library.data_key(request), request
    )
    return library.cache_folder() / "profiles" / f"{key}.npz"


def _profile(request: AnalysisRequest, report: _Report, cancelled: IsCancelled) -> Profile:
    report(0, "Opening")
    dataset, features = _read(request, report, cancelled)
    last = None if features.penultimate is None else features.layers[features.penultimate]
    return Profile(
        data=request.data or "",
        name=dataset.name,
        images=len(dataset),
        classes=dataset.classes,
        accuracy=features.accuracy,
        layers=tuple(layer.name for layer in features.layers),
        **_columns(features.layers),
        penultimate=None
        if last is None
        else neural_collapse(last.moments, features.weight, features.penultimate_nc4),
        deviations=_deviations(features, dataset.classes, request.settings.seed, report, cancelled),
    )


def _deviations(
    features: Features, classes: int, seed: int, report: _Report, cancelled: IsCancelled
) -> np.ndarray | None:
    """The jackknife of every layer, (3, GROUPS, L); None for so many classes that it takes long."""
    if classes > MAX_CLASSES:
        return None
    labels = features.labels[features.sample]  # (S,)
    part = groups(labels, np.random.default_rng(seed))
    # the sample's error, as it is with all N images
    shrink = np.sqrt(len(labels) / len(features.labels))
    columns = []
    for i, layer in enumerate(features.layers):
        check(cancelled)
        report(READING + (STEPS - READING) * i // len(features.layers), f"Measuring {layer.name}")
        columns.append(shrink * jackknife(layer.pooled_sample, labels, classes, part))
    return np.stack(columns, axis=2)


def _read(
    request: AnalysisRequest, report: _Report, cancelled: IsCancelled
) -> tuple[Dataset, Features]:
    settings = request.settings
    _, model, dataset = open_network(request)
    if settings.max_images is not None:
        dataset = dataset.select(dataset.stratified(settings.max_images, settings.seed))

    def reading(done: int, total: int, what: str) -> None:
        report(READING * done // max(total, 1), what)

    return dataset, extract(model, dataset, settings, progress=reading, cancelled=cancelled)


def _columns(layers: tuple[LayerFeatures, ...]) -> dict[str, np.ndarray]:
    """nc1, separation and ncc_accuracy of every layer, each (L,)."""
    rows = [
        (neural_collapse(la.moments).nc1, separation(la.moments), la.ncc_accuracy) for la in layers
    ]
    table = np.array([[np.nan if v is None else v for v in row] for row in rows])  # (L, 3)
    return dict(zip(("nc1", "separation", "ncc_accuracy"), table.T, strict=True))


def groups(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Every image's group, 0 … GROUPS-1, at random and the same share of every class. (S,)

    It depends on labels and generator alone: two data sets of the same images share it.
    """
    part = np.empty(len(labels), dtype=np.int64)
    for k in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == k))
        part[rows] = (np.arange(len(rows)) + generator.integers(GROUPS)) % GROUPS
    return part


def jackknife(
    features: np.ndarray, labels: np.ndarray, classes: int, part: np.ndarray
) -> np.ndarray:
    """Deviations of the delete-a-group jackknife: estimates without group g minus their mean, for
    log nc1, log separation and ncc_accuracy. (3, GROUPS)

    (G-1)/G times the sum of their squares is the variance of the estimate (Efron and Stein 1981).
    features (S, d), labels and part (S,). NaN where a quantity is undefined.
    """
    values = np.full((3, GROUPS), np.nan)
    for g in range(GROUPS):
        kept = part != g
        moments = class_moments(features[kept], labels[kept], classes)
        nc1, d = neural_collapse(moments).nc1, separation(moments)
        ncc = ncc_accuracy(features[kept], labels[kept], moments.means)
        values[0, g] = np.log(nc1) if nc1 else np.nan
        values[1, g] = np.log(d) if d else np.nan
        values[2, g] = np.nan if ncc is None else ncc
    return values - values.mean(axis=1, keepdims=True)

"""Two checkpoints layer by layer: linear CKA, and Procrustes of class means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from core import store
from core.checkpoints import open_checkpoint
from core.comparison.pair import PairRequest, PairSimilarity, Side, cached_path
from core.data.dataset import Dataset
from core.data.opening import open_dataset
from core.errors import UserError
from core.features.extract import Features, extract
from core.fitting import find_model
from core.metrics.similarity import cka_matrix, procrustes_matrix
from core.progress import IsCancelled, Progress, check, never, silent
from core.request import AnalysisRequest

STEPS = 1000
_READING = 400  # of the steps, for each network


def compare(
    request: PairRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> PairSimilarity:
    """Both networks on the same images; kept on disk, so that a pair is computed once.

    UserError where a checkpoint or the data cannot be opened, or do not fit each other.
    """
    path = cached_path(request)
    if path.is_file():
        try:
            return store.load(PairSimilarity, path)
        except UserError:  # cut off, or of an older version: computed again
            pass
    store.save(path, _compare(request, progress, cancelled))
    return store.load(PairSimilarity, path)


def _compare(request: PairRequest, progress: Progress, cancelled: IsCancelled) -> PairSimilarity:
    first, second = request.first, replace(request.second, data=request.first.data)
    progress(0, STEPS, "Opening")
    dataset = open_dataset(first.data or "", first.data_name)
    dataset = dataset.select(dataset.stratified(request.images, request.seed))

    def read(one: AnalysisRequest, before: int, which: str) -> Features:
        def report(done: int, total: int, what: str) -> None:
            progress(before + _READING * done // max(total, 1), STEPS, f"{which}: {what}")

        return _read(one, dataset, report, cancelled)

    one = read(first, 0, "first network")
    same = first.checkpoint == second.checkpoint
    other = one if same else read(second, _READING, "second network")
    check(cancelled)
    progress(2 * _READING, STEPS, "Comparing layers")
    xs, ys = ([layer.pooled_sample for layer in f.layers] for f in (one, other))
    cka = cka_matrix(xs, ys)
    check(cancelled)
    means = [[layer.moments.means for layer in f.layers] for f in (one, other)]
    return PairSimilarity(
        data_name=dataset.name,
        images=len(dataset),
        first=_side(one),
        second=_side(other),
        cka=cka,
        procrustes=procrustes_matrix(*means),
    )


def _read(
    request: AnalysisRequest, dataset: Dataset, progress: Progress, cancelled: IsCancelled
) -> Features:
    checkpoint = open_checkpoint(Path(request.checkpoint), request.checkpoint_name or None)
    model, reason = find_model(checkpoint, request, dataset)
    if model is None:
        raise UserError(reason or "only the weights were asked for: choose an architecture")
    settings = replace(request.settings, metrics=("collapse",), features="pooled")
    features = extract(model, dataset, settings, progress=progress, cancelled=cancelled)
    if not all(np.isfinite(layer.pooled_sample).all() for layer in features.layers):
        raise UserError(
            f"{checkpoint.name} gives features that are NaN or infinite: choose another epoch"
        )
    return features


def _side(features: Features) -> Side:
    return Side(tuple(layer.name for layer in features.layers), features.accuracy)

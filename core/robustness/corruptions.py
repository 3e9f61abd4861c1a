"""Accuracy and calibration of one network on corrupted images, at every setting of its knob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.data.corruptions import check as check_corruption
from core.data.corruptions import corrupt, label
from core.data.dataset import Dataset
from core.data.opening import open_dataset
from core.data.variants import split_variant
from core.errors import UserError
from core.metrics.calibration import reliability
from core.progress import IsCancelled, Progress, check, never, silent
from core.robustness.adaptive import Line, best_setting, fit_line
from core.robustness.opening import (
    PixelNetwork,
    batches,
    draw,
    each_setting,
    open_network,
    pixels,
    settings_of,
)
from core.robustness.request import CorruptionRequest
from core.robustness.results import AdaptiveFit, CorruptionTable, Reliability

Condition = tuple[str, int]  # family and severity; ("", 0) for clean images
CLEAN: Condition = ("", 0)


def run(
    request: CorruptionRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> CorruptionTable:
    """The table of a request. The λ of every test image is chosen by a line that was fitted on the
    images of ``request.calibration`` alone.

    UserError where network, data and settings do not fit, or where images of the calibration are
    test images.
    """
    progress(0, 1, "Opening the network")
    severities = _severities(request)
    network, whole = open_network(request.network, cancelled=cancelled)
    values = settings_of(network.knob, request.values)
    seed = request.network.settings.seed
    dataset = draw(whole, request.max_images, seed)
    apart = None
    if request.calibration is not None and network.csc is not None:
        apart = open_dataset(request.calibration)
        check_apart(request.network.data or "", whole, request.calibration, apart)
        apart = draw(apart, request.max_images, seed)
    wanted = [CLEAN] + [(f, s) for f in request.families for s in severities if s]
    count = len(batches(len(dataset), network))
    total = len(wanted) * (count + (0 if apart is None else len(batches(len(apart), network))))
    steps = _Steps(total, progress, cancelled)

    fit = None if apart is None else _fit(network, apart, wanted, values, steps)
    line = None if fit is None else fit.line
    read = {c: _read(network, dataset, c, seed, values, line, steps) for c in wanted}
    rows = [[read[(f, s) if s else CLEAN] for s in severities] for f in request.families]
    progress(1, 1, "Finished")
    return CorruptionTable(
        data=dataset.name,
        images=len(dataset),
        classes=dataset.classes,
        families=request.families,
        severities=severities,
        knob="" if network.knob is None else network.knob.name,
        values=values,
        trained=None if network.knob is None else network.knob.trained,
        correct=_table(rows, lambda r: r.right.mean(axis=1)),
        reliability=tuple(tuple(r.reliability for r in row) for row in rows),
        errors=None if network.csc is None else _table(rows, lambda r: r.errors.mean()),
        adaptive=None if fit is None or apart is None else _adaptive(fit, apart, rows),
    )


def _severities(request: CorruptionRequest) -> tuple[int, ...]:
    """Those asked for, with 0 first. UserError for an unknown family or severity."""
    severities = (0, *sorted(set(request.severities) - {0}))
    if not request.families:
        raise UserError("no corruption was chosen; choose one or more families")
    for family in request.families:
        check_corruption(family, max(1, severities[-1]))
        for severity in severities[1:]:
            check_corruption(family, severity)
    return severities


def check_apart(test: str, tested: Dataset, calibration: str, fitted: Dataset) -> None:
    """UserError where what the knob is chosen on holds test images."""
    same_source = _source(test) == _source(calibration)
    if same_source and len(np.intersect1d(tested.ids, fitted.ids)):
        raise UserError(
            f"{calibration} holds images of {test}: the setting must be chosen on images apart "
            "from those that it is tested on, such as the other half of the data"
        )


def _source(spec: str) -> str:
    data, variant = split_variant(spec)
    return data if variant is None else _source(data)


# --- reading -------------------------------------------------------------------------------------


class _Steps:
    """Progress by batches."""

    def __init__(self, total: int, progress: Progress, cancelled: IsCancelled) -> None:
        self.total, self.progress, self.cancelled = total, progress, cancelled
        self.done = 0

    def next(self, what: str) -> None:
        check(self.cancelled)
        self.progress(self.done, self.total, what)
        self.done += 1


@dataclass(frozen=True, slots=True)
class _Read:
    """What the network says of N images of one condition."""

    right: np.ndarray  # (M, N) at every setting
    reliability: Reliability  # at the setting of training
    errors: np.ndarray  # (N,) of reconstruction at the λ of training; NaN without a CSC layer
    chosen: np.ndarray  # (N,) λ by the line; NaN without one
    adapted: np.ndarray  # (N,) right with it


def _read(
    network: PixelNetwork,
    dataset: Dataset,
    condition: Condition,
    seed: int,
    values: np.ndarray,
    line: Line | None,
    steps: _Steps,
) -> _Read:
    family, severity = condition
    images = corrupt(dataset, family, severity, seed) if severity else dataset
    what = label(family, severity) if severity else "Clean images"
    n, settings = len(dataset), each_setting(values)
    right = np.zeros((len(values), n), dtype=bool)
    adapted = np.zeros(n, dtype=bool)
    confidence, errors, chosen = np.zeros(n), np.full(n, np.nan), np.full(n, np.nan)
    labels = torch.from_numpy(dataset.labels).to(network.device)
    with torch.inference_mode():
        for rows in batches(n, network):
            steps.next(what)
            x = pixels(images, rows, network)
            logits, errors[rows] = _as_trained(network, x)
            confidence[rows] = logits.softmax(1).amax(1).cpu()
            for m, value in enumerate(settings):
                if value is not None and network.knob and value != network.knob.trained:
                    with network.setting(value):
                        right[m, rows] = _right(network(x), labels[rows])
                else:
                    right[m, rows] = _right(logits, labels[rows])
            if line is not None:
                chosen[rows] = line.at(errors[rows], values)
                with network.setting(torch.from_numpy(chosen[rows]).float()):
                    adapted[rows] = _right(network(x), labels[rows])
    if not np.isfinite(confidence).all():
        raise UserError(
            "the network's outputs are not finite numbers: its weights or its normalisation are "
            "broken; choose another checkpoint"
        )
    trained = 0 if network.knob is None else settings.index(network.knob.trained)
    table = reliability(confidence.clip(0, 1), right[trained])
    return _Read(right, table, errors, chosen, adapted)


def _as_trained(network: PixelNetwork, x: Tensor) -> tuple[Tensor, np.ndarray | float]:
    """Logits at the setting of training, and the reconstruction error of every image."""
    if network.csc is None:
        return network(x), np.nan
    with network.watching() as seen:
        logits = network(x)
    return logits, network.csc.error(*seen[0]).cpu().numpy()


def _right(logits: Tensor, labels: Tensor) -> np.ndarray:
    return (logits.argmax(1) == labels).cpu().numpy()


def _table(rows: list[list[_Read]], of: Callable[[_Read], np.ndarray]) -> np.ndarray:
    return np.array([[of(read) for read in row] for row in rows])


# --- the adaptive λ ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fit:
    line: Line
    conditions: tuple[Condition, ...]  # (P,)
    errors: np.ndarray  # (P,)
    best: np.ndarray  # (P,)


def _fit(
    network: PixelNetwork,
    apart: Dataset,
    conditions: list[Condition],
    values: np.ndarray,
    steps: _Steps,
) -> _Fit:
    """The line through one point for every condition."""
    # random numbers of their own, lest calibration and test images share their noise
    seed = 1
    read = [_read(network, apart, c, seed, values, None, steps) for c in conditions]
    errors = np.array([r.errors.mean() for r in read])
    best = np.array([best_setting(r.right, values) for r in read])
    return _Fit(fit_line(errors, best), tuple(conditions), errors, best)


def _adaptive(fit: _Fit, apart: Dataset, rows: list[list[_Read]]) -> AdaptiveFit:
    return AdaptiveFit(
        data=apart.name,
        images=len(apart),
        families=tuple(family for family, _ in fit.conditions),
        severities=np.array([severity for _, severity in fit.conditions]),
        errors=fit.errors,
        best=fit.best,
        slope=fit.line.slope,
        intercept=fit.line.intercept,
        r2=fit.line.r2,
        chosen=_table(rows, lambda r: r.chosen.mean()),
        spread=_table(rows, lambda r: r.chosen.std()),
        correct=_table(rows, lambda r: r.adapted.mean()),
    )

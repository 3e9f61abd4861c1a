"""What a comparison of data sets needs of an analysis: a few numbers a layer, a few kilobytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core import store
from core.checkpoints.runs import DataEntry, Run
from core.request import AnalysisRequest
from core.results import Analysis, NeuralCollapse

METRICS = ("collapse", "separation")
GROUPS = 20  # of images, left out one at a time to find the sampling error


@dataclass(frozen=True, slots=True)
class Profile:
    """Collapse of one network on one data set, layer by layer. L layers; NaN where undefined."""

    data: str  # as ``open_dataset`` is asked for it
    name: str
    images: int
    classes: int
    accuracy: float | None
    layers: tuple[str, ...]
    separation: np.ndarray  # (L,) D
    nc1: np.ndarray  # (L,)
    ncc_accuracy: np.ndarray  # (L,) of the nearest class mean
    penultimate: NeuralCollapse | None
    # (3, GROUPS, L) jackknife deviations of log nc1, log separation and ncc_accuracy
    deviations: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles of one checkpoint: the contents of ``RUN/profiles/CHECKPOINT.npz``."""

    checkpoint_sha256: str
    profiles: tuple[Profile, ...]


def profile_of(analysis: Analysis, data: str) -> Profile:
    """The profile of a finished analysis on ``data``; its network was run, so that it has data."""
    assert analysis.data is not None

    def column(name: str) -> np.ndarray:
        values = [getattr(layer, name) for layer in analysis.layers]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    last = analysis.penultimate
    return Profile(
        data=data,
        name=analysis.data.name,
        images=analysis.data.images,
        classes=analysis.data.classes,
        accuracy=analysis.accuracy,
        layers=tuple(layer.name for layer in analysis.layers),
        separation=column("separation"),
        nc1=column("nc1"),
        ncc_accuracy=column("ncc_accuracy"),
        penultimate=None if last is None else last.collapse,
    )


def requests_for(
    behind: AnalysisRequest, data: Iterable[tuple[str, str]]
) -> tuple[AnalysisRequest, ...]:
    """The same network on other data sets, (how to open it, name to show) each, and no more
    measured than a profile needs."""
    settings = replace(behind.settings, metrics=METRICS, features="default")
    return tuple(
        replace(behind, data=spec, data_name=name, settings=settings) for spec, name in data
    )


def splits_of(run: Run) -> tuple[tuple[DataEntry, ...], tuple[DataEntry, ...]]:
    """The data sets of a run that it was trained on, and the others; either may be empty."""
    training = tuple(entry for entry in run.data if entry.id.endswith("-train"))
    return training, tuple(entry for entry in run.data if entry not in training)


def bundled_path(run: Run, epoch: int | None) -> Path:
    """Where the finished profiles of a run's checkpoint are stored."""
    return run.folder / "profiles" / f"{Path(run.checkpoint(epoch).file).stem}.npz"


def bundled(run: Run, epoch: int | None) -> dict[str, Profile]:
    """The finished profiles of a run's checkpoint by data set; empty where there are none."""
    path = bundled_path(run, epoch)
    if not path.is_file():
        return {}
    return {profile.data: profile for profile in store.load(Profiles, path).profiles}

"""Two checkpoints layer by layer: what is asked for, and the result. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from core import library
from core.checkpoints.runs import Run
from core.figures.theme import number
from core.request import AnalysisRequest

IMAGES = 1000
"""Images compared, at most; a stratified draw of more."""

VERSION = 1

Measure = Literal["cka", "procrustes"]


@dataclass(frozen=True, slots=True)
class PairRequest:
    """Two checkpoints of networks that take the same images. Hashable."""

    first: AnalysisRequest
    second: AnalysisRequest  # on the data of ``first``
    images: int = IMAGES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """The layers of one of the two, from input to output."""

    layers: tuple[str, ...]
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class PairSimilarity:
    """Every layer of the first network beside every layer of the second, on the same images."""

    data_name: str
    images: int
    first: Side
    second: Side
    cka: np.ndarray  # (L1, L2) unbiased linear CKA of pooled features; NaN where undefined
    procrustes: np.ndarray  # (L1, L2) degrees between the shapes of class means; NaN: undefined


def with_files(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """The runs that name data, and of which at least one checkpoint file is there."""
    return tuple(run for run in runs if run.data and epochs_with_files(run))


def shared_data(first: Run, second: Run) -> tuple[str, ...]:
    """Ids of the data sets that both runs name, in the first one's order."""
    names = {entry.id for entry in second.data}
    return tuple(entry.id for entry in first.data if entry.id in names)


def epochs_with_files(run: Run) -> tuple[int | None, ...]:
    """The epochs whose checkpoint file is there; (None,) for a single network."""
    return tuple(c.epoch for c in run.checkpoints if (run.folder / c.file).is_file())


def side_request(run: Run, epoch: int | None, data_id: str) -> AnalysisRequest:
    """The request for one of the two checkpoints."""
    names = {entry.id: entry.title for entry in run.data}
    return AnalysisRequest(
        checkpoint=str(run.checkpoint_path(epoch)), data=data_id, data_name=names.get(data_id, "")
    )


def cached_path(request: PairRequest) -> Path:
    """Where the result is kept: under a digest of both checkpoints, the data and the settings."""
    parts = [
        VERSION,
        library.file_sha256(Path(request.first.checkpoint)),
        library.file_sha256(Path(request.second.checkpoint)),
        library.data_key(request.first),
        [[r.data_name, r.model, asdict(r.settings)] for r in (request.first, request.second)],
        request.images,
        request.seed,
    ]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return library.cache_folder() / "similarity" / f"{key}.npz"


def most_alike(pair: PairSimilarity, measure: Measure) -> tuple[int | None, ...]:
    """For every layer of the first network the position of the second's layer that it is most
    like; None where it can be compared with none."""
    values = pair.cka if measure == "cka" else -pair.procrustes
    return tuple(int(np.nanargmax(r)) if np.isfinite(r).any() else None for r in values)


def in_words(pair: PairSimilarity, measure: Measure) -> str:
    """Whether layers are most like those at their own depth, and how alike the ends are: Markdown
    sentences. "Own depth" is asked of networks with as many layers alone."""
    values = pair.cka if measure == "cka" else pair.procrustes
    if not np.isfinite(values).any():
        return "No two layers can be compared: their features have no spread."
    best, rows, columns = most_alike(pair, measure), len(pair.first.layers), len(pair.second.layers)
    said = []
    if rows == columns:
        known = [(i, j) for i, j in enumerate(best) if j is not None]
        own, near = (sum(abs(i - j) <= d for i, j in known) for d in (0, 1))
        said.append(
            f"**{own} of {len(known)} layers are most like the layer at their own depth**, {near} "
            "like it or one beside it."
        )
        middle = np.diag(values)[np.isfinite(np.diag(values))]
        if len(middle):
            said.append(f"Along the diagonal the {_noun(measure)} is {_range(middle, measure)}.")
    else:
        places = [j for j in best if j is not None]
        steps = sum(b >= a for a, b in pairwise(places))
        said.append(
            f"The networks have {rows} and {columns} layers. Going up the first, the most alike "
            f"layer of the second moves up or stays at {steps} of {len(places) - 1} steps."
        )
    return " ".join(said)


def _noun(measure: Measure) -> str:
    return "CKA" if measure == "cka" else "distance"


def _range(values: np.ndarray, measure: Measure) -> str:
    decimals, unit = (2, "") if measure == "cka" else (0, "°")
    low, middle, high = (
        number(float(v), decimals, unit) for v in (values.min(), np.median(values), values.max())
    )
    return f"{low} to {high}, with median {middle}"

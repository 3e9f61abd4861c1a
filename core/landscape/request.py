"""What to draw of a loss landscape, and where a finished one is kept. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath

from core import library, store
from core.errors import UserError
from core.landscape.results import Landscape
from core.request import AnalysisRequest

VERSION = 1
KINDS = {
    "plane": "random plane",
    "line": "random lines",
    "between": "between two checkpoints",
    "path": "path of the run",
}
IMAGES = 512
STATISTICS = {"kept": "as stored", "measured": "measured again"}
BEYOND = 0.25
"""How far a line between two checkpoints goes on beyond both, as a share of their distance."""


@dataclass(frozen=True, slots=True)
class LandscapeRequest:
    """One network and the lines or the plane through it.

    The loss is the mean cross-entropy over a stratified draw of ``images`` images, the network in
    evaluation mode. Running statistics of batch normalisation are "kept" as stored: along random
    directions and in the plane of a path those of the network itself, between two checkpoints
    interpolated linearly (beyond an end, those of the end); or "measured" again on the images at
    every point, as Garipov et al. 2018 and Jordan et al. 2023 do between networks.
    """

    network: AnalysisRequest
    kind: str = "plane"  # one of KINDS
    resolution: int = 25  # points along each direction; odd, so that the centre is one of them
    images: int = IMAGES
    seed: int = 0  # of the random directions and of the draw of images
    span: float = 1.0  # random directions: from -span to span, in norms of the filters
    lines: int = 3  # random lines
    statistics: str = "kept"  # of batch normalisation, one of STATISTICS
    other: str = ""  # "between": path of the checkpoint where the line starts; it ends at network
    path: tuple[tuple[int, str], ...] = ()  # "path": (epoch, path of the checkpoint)

    @property
    def points(self) -> int:
        """How many times the images go through the network."""
        if self.kind == "line":
            return self.lines * self.resolution
        if self.kind == "between":
            return self.resolution
        # a checkpoint of a path is evaluated itself and where it falls on the plane
        return self.resolution**2 + 2 * len(self.path)

    def for_trial(self) -> LandscapeRequest:
        """The same network, images and statistics without a grid: what a forecast depends on."""
        return LandscapeRequest(
            self.network, images=self.images, seed=self.seed, statistics=self.statistics
        )


def validate(request: LandscapeRequest) -> None:
    """UserError where the request asks for something that is not there."""
    if request.kind not in KINDS:
        raise UserError(f"there is no landscape {request.kind!r}: use one of {', '.join(KINDS)}")
    if request.statistics not in STATISTICS:
        raise UserError(
            f"running statistics cannot be {request.statistics!r}: use one of "
            f"{', '.join(STATISTICS)}"
        )
    if request.resolution < 3 or request.images < 1 or request.lines < 1:
        raise UserError(
            f"a landscape of {request.lines} lines of {request.resolution} points over "
            f"{request.images} images is empty: use 3 points, a line and an image or more"
        )
    if not 0 < request.span <= 100:
        raise UserError(f"the span is {request.span}: use a number above 0, at most 100")
    if request.kind == "between" and not request.other:
        raise UserError("a line between two checkpoints needs a second one: choose it")
    if request.kind == "path" and len(request.path) < 3:
        raise UserError(
            f"the path of a run needs 3 checkpoints or more, and this one has {len(request.path)}: "
            "choose a run with more"
        )


def kept(request: LandscapeRequest) -> Landscape | None:
    """The finished landscape of this request, or None. UserError where its files are gone."""
    file = kept_at(request)
    return read(file) if file.is_file() else None


def read(file: str | FilePath) -> Landscape:
    """A finished landscape from its file."""
    return store.load(Landscape, FilePath(file))


def default_size(data: str | None, kind: str) -> tuple[int, int]:
    """Points along each direction and images that take seconds: networks of digits are cheap, and
    a line has fewer points than a plane."""
    light = (data or "").startswith("digits")
    return (25 if light or kind in ("line", "between") else 13), (IMAGES if light else 128)


def kept_at(request: LandscapeRequest) -> FilePath:
    """The file of a request: bundled beside the checkpoint, or in the cache. Its name is a digest
    of all that the result depends on."""
    network = request.network
    settings = network.settings
    parts = [
        VERSION,
        library.file_sha256(FilePath(network.checkpoint)),
        library.data_key(network),
        [network.data_name, network.model, settings.architecture],
        [settings.mean, settings.std, settings.input_size],
        {k: v for k, v in asdict(request).items() if k not in ("network", "other", "path")},
        library.file_sha256(FilePath(request.other)) if request.other else None,
        [[epoch, library.file_sha256(FilePath(file))] for epoch, file in request.path],
    ]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    bundled = bundled_folder(request) / f"{key}.npz"
    return bundled if bundled.is_file() else library.cache_folder() / "landscape" / f"{key}.npz"


def bundled_folder(request: LandscapeRequest) -> FilePath:
    """Where landscapes that come with a run lie."""
    return FilePath(request.network.checkpoint).parent / "landscapes"

"""What is asked of a grid of cells, and where finished cells are kept.

A cell is one layer's samples, of one class or of all classes. The folder of a grid holds
``grid.json`` (its layers and number of classes) and one file a finished cell, named by positions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from core import library, store
from core.errors import UserError
from core.request import AnalysisRequest
from core.results import DISTANCES, Analysis, Topology, TopologyOptions

ALL = "all"
CellKey = tuple[str, str | int]
"""A layer's name, and ``ALL`` or the index of a class."""

FEATURES = ("flat", "pooled")
_GRID_ID = re.compile(r"grid-[0-9a-f]{20}")


@dataclass(frozen=True, slots=True)
class GridRequest:
    """Which network on which data, what of it, and how its topology is computed.

    ``layers`` names those to compute, None for all; the cells of a grid are the same whichever
    layers were asked for at a time. ``features``: whole outputs ("flat") or pooled ones.
    """

    analysis: AnalysisRequest
    options: TopologyOptions = field(default_factory=TopologyOptions)
    layers: tuple[str, ...] | None = None
    features: str = "flat"

    def check(self) -> None:
        """UserError where an option has no meaning."""
        if self.features not in FEATURES:
            raise UserError(f"features are flat or pooled, not {self.features!r}")
        if self.options.distance not in DISTANCES:
            raise UserError(
                f"the distance is one of {', '.join(DISTANCES)}, not {self.options.distance!r}"
            )
        if self.options.max_dim not in (1, 2):
            raise UserError(f"the highest dimension is 1 or 2, not {self.options.max_dim}")


def scopes(classes: int) -> tuple[str | int, ...]:
    """Every class, then all samples together."""
    return (*range(classes), ALL)


@dataclass(frozen=True, slots=True)
class Grid:
    """The layers of a grid in call order, the number of its classes, and its finished cells."""

    layers: tuple[str, ...]
    classes: int
    cells: Mapping[CellKey, Topology]

    @property
    def keys(self) -> tuple[CellKey, ...]:
        """All cells, finished or not: layer by layer, the classes before all together."""
        return tuple((layer, scope) for layer in self.layers for scope in scopes(self.classes))

    @property
    def dimensions(self) -> int:
        """Number of homology dimensions that were computed."""
        return max((len(cell.diagrams) for cell in self.cells.values()), default=0)

    def column(self, scope: str | int) -> list[Topology | None]:
        """The cells of one class, or of all samples, layer by layer."""
        return [self.cells.get((layer, scope)) for layer in self.layers]

    def is_complete(self) -> bool:
        return all(key in self.cells for key in self.keys)


def grid_of_analysis(analysis: Analysis) -> Grid:
    """The topology that a finished analysis holds, as a grid; layers not measured have no cells."""
    found: dict[CellKey, Topology] = {}
    for layer in analysis.layers:
        if layer.topology is not None:
            found[layer.name, ALL] = layer.topology.all
            found |= {(layer.name, k): cell for k, cell in enumerate(layer.topology.classes)}
    classes = analysis.data.classes if analysis.data is not None else 0
    return Grid(tuple(layer.name for layer in analysis.layers), classes, found)


def grid_id(request: GridRequest) -> str:
    """The id of a grid: a digest of the files, what is read of them, and the options.

    What changes no cell is left out: shown names, device, batch size, which layers to compute.
    """
    asked = request.analysis
    settings = asdict(asked.settings)
    read = {
        key: settings[key]
        for key in ("architecture", "layers", "max_images", "seed", "mean", "std", "input_size")
    }
    parts = [
        library.file_sha256(Path(asked.checkpoint)),
        library.data_key(asked),
        asked.model,
        read,
        request.features,
        asdict(request.options),
    ]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"grid-{digest[:20]}"


def folder(grid: str) -> Path:
    """Where a grid is kept."""
    if not _GRID_ID.fullmatch(grid):
        raise UserError(f"{grid} is not the id of a grid")
    return library.cache_folder() / "topology" / grid


def begin(grid: str, layers: tuple[str, ...], classes: int) -> None:
    """Write what the cells of a grid are, unless it is there already."""
    place = folder(grid)
    place.mkdir(parents=True, exist_ok=True)
    file = place / "grid.json"
    if not file.is_file():
        temporary = place / f".grid.json.{os.getpid()}"
        temporary.write_text(json.dumps({"layers": layers, "classes": classes}), encoding="utf-8")
        temporary.replace(file)


def cell_path(grid: str, layer: int, scope: str | int) -> Path:
    """The file of one cell, by the position of its layer in the grid."""
    return folder(grid) / f"{layer:04d}-{scope}.npz"


def opened(grid: str) -> Grid | None:
    """A grid with the cells that are finished by now; None where none was begun."""
    place = folder(grid)
    try:
        tree = json.loads((place / "grid.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    layers, classes = tuple(tree["layers"]), int(tree["classes"])
    names = {path.name: path for path in place.glob("*.npz")}
    found: dict[CellKey, Topology] = {}
    for index, layer in enumerate(layers):
        for scope in scopes(classes):
            path = names.get(cell_path(grid, index, scope).name)
            if path is not None and (cell := _cell(path)) is not None:
                found[layer, scope] = cell
    return Grid(layers, classes, found)


def cells(grid: str) -> dict[CellKey, Topology]:
    """The finished cells of a grid, none where it was not begun."""
    known = opened(grid)
    return {} if known is None else dict(known.cells)


def _cell(path: Path) -> Topology | None:
    """A finished cell; a file that is damaged is removed, so that it is computed again."""
    try:
        return _stored(path)
    except UserError:
        path.unlink(missing_ok=True)
        return None


@lru_cache(maxsize=8192)
def _stored(path: Path) -> Topology:
    """A cell's file never changes."""
    return store.load(Topology, path)

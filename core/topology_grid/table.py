"""All cells of a grid as one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from core.report import defuse
from core.topology_grid.cells import ALL, Grid

_COLUMNS = (
    *("layer", "class", "points", "landmarks", "cover_radius", "spacing", "distance"),
    *("neighbours", "rule", "scale", "confidence", "engine"),
)


def grid_csv(grid: Grid, class_names: Sequence[str]) -> str:
    """CSV of the finished cells, a line each, layer by layer: how it was measured, Betti numbers
    and persistence entropies (nats) of every dimension, and the reason where they are undefined."""
    dimensions = range(grid.dimensions)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    numbers = [f"betti_{d}" for d in dimensions] + [f"entropy_{d}" for d in dimensions]
    writer.writerow([*_COLUMNS, *numbers, "reason"])
    for layer, scope in grid.keys:
        cell = grid.cells.get((layer, scope))
        if cell is None:
            continue
        values = [
            *(cell.points, cell.landmarks, cell.cover_radius, cell.spacing, cell.distance),
            *(cell.neighbours, cell.rule, cell.scale, cell.confidence, cell.engine),
            *(cell.betti[d] if d < len(cell.betti) else None for d in dimensions),
            *(cell.entropy[d] if d < len(cell.entropy) else None for d in dimensions),
        ]
        name = "all" if scope == ALL else class_names[int(scope)]
        row = [defuse(layer), defuse(name), *values, cell.reason or ""]
        writer.writerow("" if value is None else value for value in row)
    return buffer.getvalue()

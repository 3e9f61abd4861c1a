"""Persistent homology of every layer and class of a network, computed cell by cell.

``cells`` is what pages read while ``core.topology_grid.compute:compute`` runs; importing this
package needs numpy alone.
"""

from core.topology_grid.cells import (
    ALL,
    CellKey,
    Grid,
    GridRequest,
    cells,
    grid_id,
    grid_of_analysis,
    opened,
)

__all__ = [
    "ALL",
    "CellKey",
    "Grid",
    "GridRequest",
    "cells",
    "grid_id",
    "grid_of_analysis",
    "opened",
]

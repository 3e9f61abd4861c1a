"""From the features of one layer to its ``LayerAnalysis``: every metric family in one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.metrics.collapse import class_geometry, neural_collapse
from core.metrics.intrinsic_dimension import FULL_LIMIT, dimensions
from core.metrics.moments import ClassMoments, moment_warnings
from core.metrics.neighbours import distance_matrix
from core.metrics.probes import linear_probe
from core.metrics.projection import projection
from core.metrics.separation import separation
from core.metrics.topology import topologies
from core.results import (
    IntrinsicDimension,
    LayerAnalysis,
    Scoped,
    Settings,
    Sparsity,
    Topology,
    TopologyOptions,
)


@dataclass(frozen=True, slots=True)
class LayerInput:
    """What is known of one layer before anything is measured."""

    name: str
    module: str
    kind: str
    shape: tuple[int, ...]
    depth: float
    moments: ClassMoments
    ncc_accuracy: float | None
    sparsity: Sparsity | None
    sample: np.ndarray  # (S, d) pooled features of the sampled images
    sample_labels: np.ndarray  # (S,)
    pictured: np.ndarray  # (P,) rows of ``sample`` kept for pictures
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cloud:
    """The point cloud that dimension and topology are measured on."""

    points: np.ndarray  # (S, D)
    ambient: int
    projected: int | None


def measure_layer(layer: LayerInput, cloud: Cloud, settings: Settings) -> LayerAnalysis:
    """Every family named in ``settings.metrics``, of one layer."""
    wanted = settings.metrics
    collapse = neural_collapse(layer.moments)
    dimension, topology = measure_cloud(
        cloud, layer.sample_labels, len(layer.class_names), settings
    )
    pictured = layer.sample[layer.pictured]
    warnings = moment_warnings(layer.moments, layer.class_names)
    picture = None
    if pictured.shape[1] == layer.moments.means.shape[1]:
        picture = projection(pictured, layer.moments)
    else:
        warnings += ("too large to be drawn: only a random projection of the features was kept",)
    probe = None
    if "probes" in wanted:
        probe = linear_probe(layer.sample, layer.sample_labels, settings.seed)
    return LayerAnalysis(
        name=layer.name,
        module=layer.module,
        kind=layer.kind,
        shape=layer.shape,
        dim=layer.moments.means.shape[1],
        depth=layer.depth,
        nc1=collapse.nc1,
        separation=separation(layer.moments) if "separation" in wanted else None,
        ncc_accuracy=layer.ncc_accuracy if "separation" in wanted else None,
        probe_accuracy=None if probe is None else probe.accuracy,
        collapse=collapse,
        geometry=class_geometry(layer.moments),
        projection=picture,
        sparsity=layer.sparsity if "sparsity" in wanted else None,
        dimension=dimension,
        topology=topology,
        warnings=warnings,
        dimension_pooled=_pooled_dimension(layer, settings),
        probe_strength=None if probe is None else probe.strength,
    )


def _pooled_dimension(layer: LayerInput, settings: Settings) -> Scoped[IntrinsicDimension] | None:
    """Intrinsic dimension of the pooled features, where ``dimension`` is that of flattened ones."""
    flat_too = settings.features == "default" and len(layer.shape) > 1
    if not flat_too or "dimension" not in settings.metrics:
        return None
    ambient, width = layer.moments.means.shape[1], layer.sample.shape[1]
    return dimensions(
        layer.sample,
        layer.sample_labels,
        len(layer.class_names),
        seed=settings.seed,
        ambient=ambient,
        projected=width if width < ambient else None,
    )


def measure_cloud(
    cloud: Cloud, labels: np.ndarray, classes: int, settings: Settings
) -> tuple[Scoped[IntrinsicDimension] | None, Scoped[Topology] | None]:
    """Intrinsic dimension and topology of all points and of every class, where wanted."""
    dimension, topology, distances = None, None, None
    if len(cloud.points) <= FULL_LIMIT and {"dimension", "topology"} & set(settings.metrics):
        distances = distance_matrix(cloud.points)
    if "dimension" in settings.metrics:
        dimension = dimensions(
            cloud.points,
            labels,
            classes,
            distances=distances,
            seed=settings.seed,
            ambient=cloud.ambient,
            projected=cloud.projected,
        )
    if "topology" in settings.metrics:
        options = TopologyOptions(settings.max_dim, settings.landmarks, seed=settings.seed)
        topology = topologies(
            cloud.points,
            labels,
            classes,
            options,
            distances=distances,
        )
    return dimension, topology

"""Analyses as JSON, CSV and HTML. The keys of the JSON are a contract: scripts rely on them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np

from core.results import (
    Analysis,
    Candidate,
    CheckpointSummary,
    Estimate,
    IntrinsicDimension,
    LayerAnalysis,
    NeuralCollapse,
    Scoped,
    SeparationLaw,
    Topology,
    WeightSummary,
)

T = TypeVar("T")
Json = dict[str, Any]


def analysis_json(analysis: Analysis) -> Json:
    """The JSON tree of ``python -m core analyze``; NaN and infinity become null."""
    names = analysis.data.class_names if analysis.data else ()
    tree = {
        "schema": analysis.schema,
        "checkpoint": checkpoint_json(analysis.checkpoint),
        "data": _data_json(analysis),
        "settings": asdict(analysis.settings),
        "device": analysis.device,
        "seconds": analysis.seconds,
        "accuracy": analysis.accuracy,
        "penultimate": _penultimate_json(analysis),
        "layers": [layer_json(layer, names) for layer in analysis.layers],
        "separation_law": _law_json(analysis.separation_law),
        "weights": [_weight_json(w) for w in analysis.weights],
        "warnings": list(analysis.warnings),
    }
    if analysis.mlps:
        tree["mlps"] = [asdict(mlp) for mlp in analysis.mlps]
    return plain(tree)


def measures_json(analysis: Analysis) -> Json:
    """The JSON tree of ``python -m core measure``: what the features of one file show."""
    assert analysis.penultimate is not None
    layer = analysis.layers[0]
    measures = {
        **(_penultimate_json(analysis) or {}),
        "separation": layer.separation,
        "ncc_accuracy": layer.ncc_accuracy,
        "probe_accuracy": _estimate_json(layer.probe_accuracy),
    }
    return plain(
        {
            "schema": analysis.schema,
            "name": analysis.checkpoint.name,
            "data": _data_json(analysis),
            "settings": asdict(analysis.settings),
            "seconds": analysis.seconds,
            "accuracy": analysis.accuracy,
            "measures": measures,
            "warnings": list(analysis.warnings) + list(layer.warnings),
        }
    )


def checkpoint_json(checkpoint: CheckpointSummary) -> Json:
    """What is known of a checkpoint file."""
    return {
        "name": checkpoint.name,
        "format": checkpoint.format,
        "sha256": checkpoint.sha256,
        "architecture": checkpoint.architecture,
        "parameters": checkpoint.parameters,
        "metadata": checkpoint.metadata,
        "match": checkpoint.match,
        "candidates": [candidate_json(c) for c in checkpoint.candidates],
        "warnings": list(checkpoint.warnings),
    }


def candidate_json(candidate: Candidate) -> Json:
    """One architecture that fits, with its accuracy where labelled data ranked it."""
    return asdict(candidate)


def layer_json(layer: LayerAnalysis, class_names: Sequence[str]) -> Json:
    """One entry of ``layers``."""
    sparsity = layer.sparsity
    return {
        "name": layer.name,
        "module": layer.module,
        "kind": layer.kind,
        "shape": list(layer.shape),
        "dim": layer.dim,
        "depth": layer.depth,
        "nc1": layer.nc1,
        "separation": layer.separation,
        "ncc_accuracy": layer.ncc_accuracy,
        "probe_accuracy": _estimate_json(layer.probe_accuracy),
        "nonzero_fraction": sparsity.nonzero_fraction.value if sparsity else None,
        "dead_fraction": sparsity.dead_fraction if sparsity else None,
        "nonzero_approximate": sparsity.approximate if sparsity else None,
        "intrinsic_dimension": _scoped_json(layer.dimension, class_names, _dimension_json),
        "betti": _betti_json(layer.topology, class_names),
        "topology": _topology_json(layer.topology),
        "collapse": _collapse_json(layer.collapse),
        "warnings": list(layer.warnings),
    }


def _penultimate_json(analysis: Analysis) -> Json | None:
    if analysis.penultimate is None or analysis.data is None:
        return None
    layer = analysis.layer(analysis.penultimate.layer)
    names = analysis.data.class_names
    return {
        "layer": analysis.penultimate.layer,
        "dim": analysis.penultimate.dim,
        **_collapse_json(analysis.penultimate.collapse),
        "intrinsic_dimension": _scoped_json(layer.dimension, names, _dimension_json),
        "betti": _betti_json(layer.topology, names),
        "topology": _topology_json(layer.topology),
    }


def _data_json(analysis: Analysis) -> Json | None:
    data = analysis.data
    if data is None:
        return None
    return {
        "name": data.name,
        "images": data.images,
        "classes": data.classes,
        "class_names": list(data.class_names),
        "sha256": data.sha256,
        "preprocessing": data.preprocessing,
        "warnings": list(data.warnings),
    }


def _collapse_json(collapse: NeuralCollapse) -> Json:
    return {f.name: getattr(collapse, f.name) for f in fields(collapse)}


def _law_json(law: SeparationLaw | None) -> Json | None:
    return None if law is None else asdict(law)


def _estimate_json(estimate: Estimate | None) -> Json | None:
    if estimate is None:
        return None
    tree: Json = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    if estimate.reason:
        tree["reason"] = estimate.reason
    if estimate.warnings:
        tree["warnings"] = list(estimate.warnings)
    return tree


def _dimension_json(dimension: IntrinsicDimension) -> Json:
    return {
        "twonn": _estimate_json(dimension.twonn),
        "mle": _estimate_json(dimension.mle),
        "pca_90": dimension.pca_90,
        "pca_95": dimension.pca_95,
        "pca_99": dimension.pca_99,
        "participation_ratio": dimension.participation_ratio,
        "points": dimension.points,
        "duplicates": dimension.duplicates,
        "ambient": dimension.ambient,
        "projected": dimension.projected,
        "warnings": list(dimension.warnings),
    }


def _betti_json(topology: Scoped[Topology] | None, names: Sequence[str]) -> Json | None:
    if topology is None:
        return None
    tree = {"all": list(topology.all.betti)}
    for name, value in zip(names, topology.classes, strict=False):
        tree.setdefault(name, list(value.betti))
    return tree


def _topology_json(topology: Scoped[Topology] | None) -> Json | None:
    if topology is None:
        return None
    whole = topology.all
    return {
        "rule": whole.rule,
        "scale": whole.scale,
        "confidence": whole.confidence,
        "landmarks": whole.landmarks,
        "cover_radius": whole.cover_radius,
        "distance": whole.distance,
        "reason": whole.reason,
        "warnings": list(whole.warnings),
    }


def _scoped_json(
    scoped: Scoped[T] | None, names: Sequence[str], encode: Callable[[T], Json]
) -> Json | None:
    """The keys for all samples, then ``all`` and every class by name."""
    if scoped is None:
        return None
    whole = encode(scoped.all)
    tree = {**whole, "all": whole}
    for name, value in zip(names, scoped.classes, strict=False):
        tree.setdefault(name, encode(value))
    return tree


def _weight_json(weight: WeightSummary) -> Json:
    return {
        "name": weight.name,
        "shape": list(weight.shape),
        "norm": weight.norm,
        "spectral_norm": weight.spectral_norm,
        "stable_rank": weight.stable_rank,
        "zero_fraction": weight.zero_fraction,
    }


def plain(value: Any) -> Any:
    """``value`` with numpy types as Python's, and NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def dump(tree: Any) -> str:
    """JSON text of a tree, for files and standard output."""
    return json.dumps(plain(tree), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


# --- CSV ---------------------------------------------------------------------------------------

LAYER_COLUMNS = (
    "name",
    "module",
    "kind",
    "dim",
    "depth",
    "nc1",
    "separation",
    "ncc_accuracy",
    "nonzero_fraction",
    "dead_fraction",
)


def layers_csv(analysis: Analysis) -> str:
    """One row per layer: the numbers of ``layers`` without the per-class ones."""
    rows = []
    for layer in analysis.layers:
        tree = layer_json(layer, ())
        row: Json = {key: tree[key] for key in LAYER_COLUMNS}
        if layer.dimension is not None:
            for key in ("twonn", "mle"):
                estimate: Estimate = getattr(layer.dimension.all, key)
                row |= {key: estimate.value, f"{key}_low": estimate.low}
                row |= {f"{key}_high": estimate.high}
            for key in ("pca_90", "pca_95", "pca_99", "participation_ratio"):
                row[key] = getattr(layer.dimension.all, key)
        if layer.topology is not None:
            for degree, betti in enumerate(layer.topology.all.betti):
                row[f"betti_{degree}"] = betti
        rows.append({k: defuse(v) for k, v in plain(row).items()})
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row)) or list(LAYER_COLUMNS)
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def defuse(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + cell
    return cell

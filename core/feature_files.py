"""Feature files: ``.npz`` with features and labels, from any framework."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.arrays import read_npz
from core.errors import UserError

FEATURE_KEYS = ("features", "X", "x", "points")
LABEL_KEYS = ("labels", "y")
MAX_CLASSES = 20_000


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """Features of one layer. Labels are all 0 where the file has none (one unnamed class)."""

    name: str
    sha256: str
    features: np.ndarray  # (N, d)
    labels: np.ndarray | None  # (N,) int64
    class_names: tuple[str, ...]
    weight: np.ndarray | None  # (K, d)
    bias: np.ndarray | None  # (K,)
    ids: np.ndarray  # (N,) rows in the file
    warnings: tuple[str, ...] = ()


def is_feature_file(path: Path) -> bool:
    """True for a zip of ``.npy`` arrays, by content."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def open_features(path: Path, name: str = "") -> FeatureFile:
    """Read ``features`` (N, d; more axes are flattened) and, where present, ``labels`` (N,),
    ``weight`` (K, d), ``bias`` (K,) and ``class_names``. Rows that hold NaN or infinity are left
    out, and a warning says how many. UserError says what does not fit."""
    name = name or path.name
    if not path.is_file():
        raise UserError(f"there is no feature file {path}")
    if not is_feature_file(path):
        raise UserError(f"{name} is not an .npz file; write one with numpy.savez(…, features=…)")
    arrays = read_npz(path, name)
    features = _first(arrays, FEATURE_KEYS)
    if features is None:
        raise UserError(
            f"{name} needs the array features (N, d), found: {', '.join(arrays) or 'nothing'}"
        )
    features = _features(features, name)
    finite = np.isfinite(features).all(axis=1)
    if not finite.any():
        raise UserError(
            f"{name}: all {len(features)} features hold NaN or infinity; compute them again, "
            "in float32 or without dividing by 0"
        )
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ("all",)
    values = _first(arrays, LABEL_KEYS)
    if values is not None:
        labels, class_names = _labels(values, len(features), arrays.get("class_names"), name)
    weight = _matrix(arrays.get("weight", arrays.get("W")), features.shape[1], name)
    bias = arrays.get("bias", arrays.get("b"))
    if bias is not None and (weight is None or bias.shape != (len(weight),)):
        raise UserError(f"{name}: bias has shape {bias.shape}; it must have one entry per class")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    ids = np.flatnonzero(finite)
    warnings: tuple[str, ...] = ()
    if len(ids) < len(features):
        left_out = f"{len(features) - len(ids)} of {len(features)} features hold NaN or infinity"
        warnings = (f"{left_out}: left out",)
        features, labels = features[ids], None if labels is None else labels[ids]
    return FeatureFile(name, digest, features, labels, class_names, weight, bias, ids, warnings)


def _first(arrays: dict[str, np.ndarray], keys: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[key] for key in keys if key in arrays), None)


def _features(values: np.ndarray, name: str) -> np.ndarray:
    if values.ndim < 2 or values.dtype.kind not in "fiub":
        raise UserError(
            f"{name}: features has shape {values.shape} and dtype {values.dtype}; it must be a "
            "table of numbers (N, d)"
        )
    values = values.reshape(len(values), -1)
    if values.size == 0:
        raise UserError(f"{name}: features is empty (shape {values.shape})")
    if values.dtype != np.float64:
        values = values.astype(np.float32)
    return values


def _labels(
    values: np.ndarray, count: int, names: np.ndarray | None, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    if values.shape != (count,):
        raise UserError(f"{name}: labels has shape {values.shape}, but there are {count} features")
    if values.dtype.kind in "US":
        found, labels = np.unique(values, return_inverse=True)
        return labels.astype(np.int64), tuple(str(v) for v in found)
    if values.dtype.kind == "f" and np.array_equal(values, np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= MAX_CLASSES:
        raise UserError(f"{name}: labels must be class numbers 0, 1, 2, … or names")
    classes = int(values.max()) + 1
    if names is not None and len(names) >= classes:
        return values.astype(np.int64), tuple(str(v) for v in names)
    return values.astype(np.int64), tuple(str(k) for k in range(classes))


def _matrix(weight: np.ndarray | None, dim: int, name: str) -> np.ndarray | None:
    if weight is None:
        return None
    if weight.ndim != 2 or weight.shape[1] != dim or not np.isfinite(weight).all():
        raise UserError(
            f"{name}: weight has shape {weight.shape}; it must be finite and (K, {dim}), one row "
            "per class"
        )
    return weight

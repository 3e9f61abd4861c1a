"""An ``.npz`` of images ``X`` and labels ``y``."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from core.data.dataset import Dataset
from core.errors import UserError

MAX_BYTES = 8 * 2**30
LAYOUTS = "(N, H, W), (N, H, W, C), (N, C, H, W) with C = 1 or 3, or (N, D)"


def read_npz(path: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``: headers are checked against sizes, object arrays are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(e.file_size for e in archive.infolist())
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    _check_header(file, entry.file_size, f"{name}, array {entry.filename}")
        if total > MAX_BYTES:
            raise UserError(f"{name} unpacks to {total / 2**30:.0f} GiB, more than 8; take fewer")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except UserError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        raise UserError(
            f"{name} is not a readable .npz file ({error}); write it with numpy.savez"
        ) from error


def _check_header(file: object, size: int, what: str) -> None:
    version = np.lib.format.read_magic(file)  # type: ignore[arg-type]
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)  # type: ignore[arg-type]
    if dtype.hasobject:
        raise UserError(f"{what} holds Python objects; save plain numbers")
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed > size:
        raise UserError(f"{what} claims {claimed:,} bytes but holds {size:,}; write it again")


def open_npz(path: Path, name: str) -> Dataset:
    """Images ``X`` (uint8, or float in [0, 1]) and labels ``y``; optional ``class_names``, which
    ``y`` then counts from 0 (a class may be empty)."""
    arrays = read_npz(path, name)
    if "X" not in arrays or "y" not in arrays:
        found = ", ".join(arrays) or "nothing"
        raise UserError(f"{name} needs the arrays X (images) and y (labels), found: {found}")
    images, warnings = _images(arrays["X"], name)
    labels = _labels(arrays["y"], len(images), name)
    classes, positions = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"{name}: need 2 or more classes, got 1 (y = {classes[0]} everywhere)")
    if "class_names" in arrays and len(arrays["class_names"]) > int(classes[-1]):
        names = tuple(str(c) for c in arrays["class_names"])  # some may have no images
    else:
        names, labels = tuple(str(c) for c in classes), positions
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    ids = np.arange(len(labels))
    return Dataset(name, digest, labels.astype(np.int64), names, images.__getitem__, ids, warnings)


def _images(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """X as (N, H, W, C), uint8 or float32, with what was assumed about it."""
    if values.ndim == 2:
        values = values[:, None, :, None]  # (N, 1, D, 1): vectors
    elif values.ndim == 3:
        values = values[:, :, :, None]
    elif values.ndim == 4 and values.shape[3] in (1, 3):
        pass
    elif values.ndim == 4 and values.shape[1] in (1, 3):
        values = values.transpose(0, 2, 3, 1)
    else:
        raise UserError(f"{name}: X has shape {values.shape}; it must be {LAYOUTS}")
    if len(values) == 0:
        raise UserError(f"{name}: X holds no images")
    if values.dtype == np.uint8:
        return values, ()
    if values.dtype.kind not in "fiub":
        raise UserError(f"{name}: X has dtype {values.dtype}; it must be uint8 or float")
    values = values.astype(np.float32)
    bad = int((~np.isfinite(values)).any(axis=(1, 2, 3)).sum())
    if bad:
        raise UserError(
            f"{name}: {bad} of {len(values)} images in X hold NaN or infinity; drop them"
        )
    low, high = float(values.min()), float(values.max())
    is_image = values.shape[1] > 1
    if is_image and low >= 0 and 1 < high <= 255:
        return values / 255.0, (f"X runs from {low:g} to {high:g} and was divided by 255",)
    if is_image and low < 0:
        return values, (
            f"X runs from {low:g} to {high:g} and seems normalised already: set mean 0 and std 1",
        )
    return values, ()


def _labels(values: np.ndarray, count: int, name: str) -> np.ndarray:
    if values.shape != (count,):
        raise UserError(f"{name}: y has shape {values.shape}, but X holds {count} images")
    if values.dtype.kind == "f" and np.array_equal(values, np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu" or (values.min() < 0):
        raise UserError(f"{name}: y must hold class numbers 0, 1, 2, …")
    return values

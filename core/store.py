"""Write and read the dataclasses of ``core.results`` as one compact file, without pickle.

A file is an ``.npz`` of a JSON tree and one flat array per dtype; the tree refers to slices of
those arrays. Reading needs numpy alone and takes milliseconds, however many arrays there are.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import types
import typing
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.errors import UserError

T = TypeVar("T")

_BROKEN = (ValueError, KeyError, TypeError, IndexError, OSError, EOFError)


class _Packer:
    def __init__(self) -> None:
        self.parts: dict[str, list[np.ndarray]] = {}
        self.sizes: dict[str, int] = {}

    def add(self, array: np.ndarray) -> dict[str, Any]:
        if array.dtype == object:
            raise TypeError("an object array cannot be stored")
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = array.dtype.str[1:]
        start = self.sizes.get(key, 0)
        self.parts.setdefault(key, []).append(np.ascontiguousarray(array).ravel())
        self.sizes[key] = start + array.size
        return {"~": [key, start, *array.shape]}


def _encode(value: Any, packer: _Packer) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _encode(getattr(value, f.name), packer) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return packer.add(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): _encode(v, packer) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(v, packer) for v in value]
    return value


def _decode(hint: Any, tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    if tree is None:
        return None
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [a for a in typing.get_args(hint) if a is not type(None)]
        return _decode(options[0], tree, arrays) if len(options) == 1 else tree
    origin = typing.get_origin(hint)
    if hint is np.ndarray:
        key, start, *shape = tree["~"]
        return arrays[key][start : start + int(np.prod(shape))].reshape(shape)
    if origin is tuple:
        inner = typing.get_args(hint)
        item = inner[0] if inner else Any
        return tuple(_decode(item, v, arrays) for v in tree)
    if origin is dict:
        item = typing.get_args(hint)[1]
        return {k: _decode(item, v, arrays) for k, v in tree.items()}
    target = origin if origin is not None and dataclasses.is_dataclass(origin) else hint
    if dataclasses.is_dataclass(target) and isinstance(target, type):
        hints = _hints(target)
        parameters = dict(
            zip(getattr(target, "__parameters__", ()), typing.get_args(hint), strict=False)
        )
        fields = {
            name: _decode(_bind(hints[name], parameters), value, arrays)
            for name, value in tree.items()
            if name in hints
        }
        return target(**fields)
    return tree


def _bind(hint: Any, parameters: dict[Any, Any]) -> Any:
    """Put the type argument of a generic dataclass in the place of its type variable."""
    if hint in parameters:
        return parameters[hint]
    if typing.get_origin(hint) is tuple and parameters:
        return tuple[tuple(_bind(a, parameters) for a in typing.get_args(hint))]  # type: ignore[misc]
    return hint


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(target: type) -> dict[str, Any]:
    if target not in _HINTS:
        _HINTS[target] = typing.get_type_hints(target)
    return _HINTS[target]


def dumps(value: Any) -> bytes:
    """The bytes of a dataclass of ``core.results``. float64 arrays are stored as float32."""
    packer = _Packer()
    tree = json.dumps(_encode(value, packer), allow_nan=True, separators=(",", ":"))
    arrays = {key: np.concatenate(parts) for key, parts in packer.parts.items()}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, json=np.frombuffer(tree.encode(), dtype=np.uint8), **typing.cast(Any, arrays)
    )
    return buffer.getvalue()


def loads(cls: type[T], data: bytes) -> T:
    """The dataclass ``cls`` back from ``dumps``; UserError if the bytes are something else."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        tree = json.loads(arrays.pop("json").tobytes())
        return typing.cast(T, _decode(cls, tree, arrays))
    except (*_BROKEN, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"this is not a stored {cls.__name__} of Featurescope ({error}); analyse it again"
        ) from error


def save(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` in one step: readers see the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(dumps(value))
    temporary.replace(path)


def load(cls: type[T], path: Path) -> T:
    """Read what ``save`` wrote."""
    return loads(cls, Path(path).read_bytes())

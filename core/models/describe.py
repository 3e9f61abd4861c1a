"""How an own model is written into a checkpoint's metadata, and read back: strings only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core.errors import UserError

LARGEST = 1 << 24
"""Largest size accepted from a file: metadata must not be able to ask for absurd memory."""

LARGEST_SIDE = 4096
"""Pixels; a network with global average pooling would accept images of any size."""

MOST_LAYERS = 1000


def write(values: Sequence[object]) -> str:
    """``(1, 8, 8)`` → ``"1,8,8"``."""
    return ",".join(str(value) for value in values)


def word(metadata: Mapping[str, object], key: str, default: str = "") -> str:
    """The lower-case text of ``metadata[key]``."""
    return str(metadata.get(key, default)).strip().lower()


def integers(
    metadata: Mapping[str, object], key: str, limit: int = LARGEST, empty: bool = False
) -> tuple[int, ...]:
    """``"1,8,8"`` → ``(1, 8, 8)``; UserError unless all are whole numbers from 1 to ``limit``."""
    text = word(metadata, key)
    try:
        values = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        values = (0,)
    allowed = (0 if empty else 1) <= len(values) <= MOST_LAYERS
    if not allowed or any(not 1 <= value <= limit for value in values):
        raise UserError(
            f"the checkpoint's metadata has {key}={text[:40]!r}: "
            f"expected whole numbers from 1 to {limit}, separated by commas"
        )
    return values


def integer(metadata: Mapping[str, object], key: str, limit: int = LARGEST) -> int:
    """``"10"`` → ``10``, or UserError."""
    values = integers(metadata, key, limit)
    if len(values) != 1:
        raise UserError(f"the checkpoint's metadata has {key}={values}: expected one number")
    return values[0]


def number(metadata: Mapping[str, object], key: str, default: float) -> float:
    """``"0.1"`` → ``0.1``; UserError unless it is a finite number that is not negative."""
    values = floats({key: default, **metadata}, key)
    if values is None or len(values) != 1 or values[0] < 0:
        raise UserError(
            f"the checkpoint's metadata has {key}={word(metadata, key)[:40]!r}: expected a number "
            "that is not negative"
        )
    return values[0]


def image_shape(metadata: Mapping[str, object]) -> tuple[int, int, int]:
    """(C, H, W) from ``input_shape``, or UserError."""
    shape = integers(metadata, "input_shape", limit=LARGEST_SIDE)
    if len(shape) != 3:
        raise UserError(
            f"the checkpoint's metadata has input_shape={write(shape)}: "
            "expected channels,height,width"
        )
    return shape


def floats(metadata: Mapping[str, object], key: str) -> tuple[float, ...] | None:
    """``"0.5,0.5,0.5"`` (or with brackets) → ``(0.5, 0.5, 0.5)``; None where these are no finite
    numbers, since other programs' metadata may mean anything."""
    try:
        values = tuple(float(part) for part in word(metadata, key).strip("[]()").split(","))
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None

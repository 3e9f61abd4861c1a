"""How an own model is written into a checkpoint's metadata, and read back: strings only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import UserError

LIMIT = 1 << 24
"""Largest size accepted from a file: metadata must not be able to ask for absurd memory."""


def write(values: Sequence[object]) -> str:
    """``(1, 8, 8)`` → ``"1,8,8"``."""
    return ",".join(str(value) for value in values)


def word(metadata: Mapping[str, object], key: str, default: str = "") -> str:
    """The lower-case text of ``metadata[key]``."""
    return str(metadata.get(key, default)).strip().lower()


def integers(metadata: Mapping[str, object], key: str, empty: bool = False) -> tuple[int, ...]:
    """``"1,8,8"`` → ``(1, 8, 8)``. UserError unless all are whole numbers from 1 to ``LIMIT``."""
    text = word(metadata, key)
    try:
        values = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        values = (0,)
    if (not values and not empty) or any(not 1 <= value <= LIMIT for value in values):
        raise UserError(
            f"the checkpoint's metadata has {key}={text[:40]!r}: "
            "expected positive whole numbers separated by commas"
        )
    return values


def integer(metadata: Mapping[str, object], key: str) -> int:
    """``"10"`` → ``10``, or UserError."""
    values = integers(metadata, key)
    if len(values) != 1:
        raise UserError(f"the checkpoint's metadata has {key}={values}: expected one number")
    return values[0]


def floats(metadata: Mapping[str, object], key: str) -> tuple[float, ...] | None:
    """``"0.5,0.5,0.5"`` → ``(0.5, 0.5, 0.5)``; None where absent; UserError if not numbers."""
    if key not in metadata:
        return None
    try:
        return tuple(float(part) for part in str(metadata[key]).split(","))
    except ValueError:
        raise UserError(
            f"the checkpoint's metadata has {key}={str(metadata[key])[:40]!r}: "
            "expected numbers separated by commas"
        ) from None

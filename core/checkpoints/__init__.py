"""Opening checkpoints safely, and run folders.

``open_checkpoint`` and ``Checkpoint`` are imported on first use, because they need torch and run
folders do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.checkpoints.opening import Checkpoint, open_checkpoint

__all__ = ["Checkpoint", "open_checkpoint"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from core.checkpoints import opening

        return getattr(opening, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

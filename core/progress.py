"""How long work in ``core`` reports itself: two callables, nothing else."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import Cancelled

Progress = Callable[[int, int, str], None]
"""progress(done, total, what): how far, of how much, and what is being done now."""

IsCancelled = Callable[[], bool]
"""cancelled(): True as soon as the work should stop."""


def silent(done: int, total: int, what: str) -> None:
    """The progress callable that reports to nobody."""


def never() -> bool:
    """The cancellation callable that never cancels."""
    return False


def check(cancelled: IsCancelled) -> None:
    """Raise ``Cancelled`` if the work should stop."""
    if cancelled():
        raise Cancelled

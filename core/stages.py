"""The stages of a long piece of work: seconds of each, and one progress bar over all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.progress import IsCancelled, Progress, check

SHARES = {"open": 2, "features": 28, "layers": 70}  # of the progress bar, in percent


@dataclass
class Stages:
    """Seconds per stage, and one progress bar over all stages."""

    progress: Progress
    cancelled: IsCancelled
    seconds: dict[str, float] = field(default_factory=dict)
    before: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside, and move the bar past it."""
        started = time.perf_counter()
        check(self.cancelled)
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
        self.before += SHARES.get(name, 0)

    def say(self, what: str) -> None:
        """What is being done, without moving the bar."""
        self.progress(10 * self.before, 1000, what)

    def report(self, name: str) -> Progress:
        """The progress callable of one stage, as its share of the whole bar."""
        share = SHARES[name]

        def report(done: int, total: int, what: str) -> None:
            per_mille = 10 * self.before + round(10 * share * done / max(1, total))
            self.progress(per_mille, 1000, what)

        return report

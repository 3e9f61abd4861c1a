"""What the tests run in worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from core.checkpoints import open_checkpoint
from core.errors import UserError
from core.progress import IsCancelled, Progress, check


def count(steps: int, seconds: float, progress: Progress, cancelled: IsCancelled) -> int:
    """Report ``steps`` steps of ``seconds`` each; stops when cancelled."""
    for step in range(steps):
        check(cancelled)
        progress(step, steps, f"step {step}")
        time.sleep(seconds)
    return steps


def deaf(seconds: float, progress: Progress, cancelled: IsCancelled) -> None:
    """Never asks whether it is cancelled."""
    progress(0, 1, "not listening")
    time.sleep(seconds)


def refuse(progress: Progress, cancelled: IsCancelled) -> None:
    raise UserError("the file is a picture; open a checkpoint")


def crash(number: int, progress: Progress, cancelled: IsCancelled) -> None:
    os.kill(os.getpid(), number)


def bug(progress: Progress, cancelled: IsCancelled) -> None:
    raise KeyError("layer9")


def unpicklable(progress: Progress, cancelled: IsCancelled) -> object:
    return lambda: None


def allocate(mebibytes: int, progress: Progress, cancelled: IsCancelled) -> None:
    held = [bytearray(b"x" * (1 << 20)) for _ in range(mebibytes)]
    time.sleep(5 if held else 0)


def spin(progress: Progress, cancelled: IsCancelled) -> None:
    while True:
        pass


def once_in_two(marker: str, progress: Progress, cancelled: IsCancelled) -> str:
    """Killed on the first call, done on the second."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def start_child(progress: Progress, cancelled: IsCancelled) -> None:
    """Forks a child that outlives it, unless the whole group is killed."""
    child = os.fork()
    if child:
        progress(child, 0, "child")
    time.sleep(60)


def own_process(progress: Progress, cancelled: IsCancelled) -> None:
    progress(os.getpid(), 0, "running")
    time.sleep(60)


def environment(progress: Progress, cancelled: IsCancelled) -> dict[str, object]:
    import sys

    import torch

    return {"main": getattr(sys.modules["__main__"], "__file__", None), "pid": os.getpid()} | {
        "threads": torch.get_num_threads(),
        "omp": os.environ["OMP_NUM_THREADS"],
    }


def open_each(
    paths: list[str], progress: Progress, cancelled: IsCancelled
) -> dict[str, tuple[str, float]]:
    """Open checkpoints one after the other: name → (what came of it, seconds)."""
    outcomes = {}
    for i, path in enumerate(paths):
        progress(i, len(paths), path)
        started = time.monotonic()
        try:
            checkpoint = open_checkpoint(path)
            outcome = f"opened: {len(checkpoint.tensors)} tensors"
        except UserError as error:
            outcome = f"refused: {error}"
        except Exception as error:
            outcome = f"bug: {error!r}"
        outcomes[Path(path).name] = (outcome, time.monotonic() - started)
    return outcomes

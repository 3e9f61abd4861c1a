"""The inside of a worker process of ``core.jobs``: runs one function and reports through a pipe.

Messages to the parent are tuples: ("ready",), ("progress", done, total, what), ("result", value),
("fault", sentence), ("cancelled",) and ("bug", sentence, traceback). The parent sends one word,
"cancel"; when its end of the pipe closes, the parent is gone and the worker leaves, too.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from core.errors import Cancelled, UserError

_INTERVAL = 0.05  # seconds between two progress messages about the same thing
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(
    connection: Connection,
    function: str,
    args: tuple[Any, ...],
    threads: int,
    cpu_seconds: float | None,
) -> None:
    """Call ``function`` ("package.module:name") with ``args``, ``progress`` and ``cancelled``."""
    _confine(cpu_seconds)
    cancel = threading.Event()
    threading.Thread(target=_listen, args=(connection, cancel), daemon=True).start()
    reporter = _Reporter(connection)
    try:
        module, _, name = function.partition(":")
        call = getattr(importlib.import_module(module), name)
        limit_threads(threads)
        reporter.send("ready")
        result = call(*args, progress=reporter.progress, cancelled=cancel.is_set)
        reporter.send("result", result)
    except Cancelled:
        reporter.send("cancelled")
    except UserError as error:
        reporter.send("fault", str(error))
    except MemoryError:
        reporter.send("fault", "this needs more memory than the machine has; use fewer images")
    except Exception as error:
        shown = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        reporter.send("bug", shown, traceback.format_exc())


class _Reporter:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._last = (0.0, "")

    def send(self, *message: Any) -> None:
        with self._lock:
            self._connection.send(message)

    def progress(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        when, last = self._last
        if what != last or done >= total or now - when >= _INTERVAL:
            self._last = (now, what)
            self.send("progress", int(done), int(total), str(what))


def _listen(connection: Connection, cancel: threading.Event) -> None:
    try:
        while connection.recv() == "cancel":
            cancel.set()
    except (EOFError, OSError):
        os._exit(1)


def _confine(cpu_seconds: float | None) -> None:
    """A process group of its own, so that it ends with all it started; no core dumps."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "win32":
        return
    import resource

    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if cpu_seconds is not None:
        seconds = max(1, round(cpu_seconds))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def limit_threads(threads: int) -> None:
    """Set the thread counts of the numeric libraries that are loaded and of those to come."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "threadpoolctl" in sys.modules:
        sys.modules["threadpoolctl"].threadpool_limits(threads)

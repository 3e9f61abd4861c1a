"""Long work in worker processes: submit, progress, cancel, retry.

A file from outside is parsed and run in a process of its own, which is killed when it exceeds its
limits. Jobs wait in one queue that is fair between owners; at most ``FEATURESCOPE_WORKERS`` (by
default half of the cores, two at least) run at once, and share the cores that are there when they
start. All functions may be called from any thread. This module imports no numeric library.

On Linux, workers are forked from a server process that has the numeric libraries imported, so that
a job starts in a tenth of a second; elsewhere they are spawned. Resident memory is watched through
/proc on Linux and ``ps`` on macOS; on Windows it is not limited. ``RLIMIT_AS`` is not used: below
some 3 GB it keeps torch from being imported.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import spawn
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from core import worker

log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]
Outcome = tuple[State, str | None, Any]  # of a run: state, error, result

REMEMBERED = 200  # finished jobs
GRACE_SECONDS = 2.0  # between asking a worker to stop and killing it
_POLL_SECONDS = 0.05
_PRELOAD = [
    *("torch", "torchvision", "sklearn.neighbors", "sklearn.linear_model", "ripser"),
    *("core.analysis", "core.topology_grid.compute"),
]
_ON_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use; None: no limit."""

    memory_bytes: int | None = 2 << 30  # resident, above what the imported libraries take
    wall_seconds: float | None = None
    cpu_seconds: float | None = None  # of all threads together; not on Windows


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment."""

    state: State
    done: int = 0
    total: int = 0
    what: str = ""
    seconds: float = 0.0  # since it started to run
    position_in_queue: int | None = None  # 1: the next one to run
    error: str | None = None  # one sentence
    result: Any = None


class Job:
    """One piece of work. Made by ``submit``; found again by its ``id``."""

    def __init__(
        self,
        scheduler: _Scheduler,
        function: str,
        args: tuple[Any, ...],
        limits: Limits,
        owner: str,
    ) -> None:
        self.id = secrets.token_urlsafe(12)
        self.owner = owner
        self.function = function
        self.args = args
        self.limits = limits
        self._scheduler = scheduler
        self.reset()

    def reset(self) -> None:
        self.state: State = "queued"
        self.reported: tuple[int, int, str] = (0, 0, "")
        self.error: str | None = None
        self.result: Any = None
        self.turn = 0  # the how-manieth job of the server to be started
        self.started: float | None = None
        self.ended: float | None = None
        self.cancel_requested = threading.Event()
        self.finished = threading.Event()

    def status(self) -> JobStatus:
        """State, progress, and the result or the error once there is one."""
        return self._scheduler.status(self)

    def wait(self, timeout: float | None = None) -> JobStatus:
        """The status once the job has ended, or after ``timeout`` seconds."""
        self.finished.wait(timeout)
        return self.status()

    def cancel(self) -> None:
        """Take it from the queue, or ask the worker to stop and kill it after two seconds."""
        self._scheduler.cancel(self)

    def retry(self) -> None:
        """Queue a failed or cancelled job again, under the same id; otherwise do nothing."""
        self._scheduler.retry(self)


class _Scheduler:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.jobs: dict[str, Job] = {}  # oldest first
        self.waiting: list[Job] = []
        self.running: dict[str, BaseProcess | None] = {}
        self.turns = 0

    def submit(self, job: Job) -> Job:
        with self.lock:
            self.jobs[job.id] = job
            self.waiting.append(job)
            finished = [j for j in self.jobs.values() if j.ended is not None]
            for old in finished[: max(0, len(finished) - REMEMBERED)]:
                del self.jobs[old.id]
        self.dispatch()
        return job

    def retry(self, job: Job) -> None:
        with self.lock:
            if job.state not in ("failed", "cancelled"):
                return
            job.reset()
        self.submit(job)

    def cancel(self, job: Job) -> None:
        with self.lock:
            job.cancel_requested.set()
            if job in self.waiting:
                self.waiting.remove(job)
                self.finish(job, "cancelled")

    def status(self, job: Job) -> JobStatus:
        with self.lock:
            done, total, what = job.reported
            until = job.ended if job.ended is not None else time.monotonic()
            return JobStatus(
                state=job.state,
                done=done,
                total=total,
                what=what,
                seconds=until - job.started if job.started is not None else 0.0,
                position_in_queue=self.order().index(job) + 1 if job in self.waiting else None,
                error=job.error,
                result=job.result,
            )

    def order(self) -> list[Job]:
        """The waiting jobs as they will run: always the first job of the owner who has the fewest
        running (or ahead in this list); among equals, of the one whose last turn is longest ago."""
        ahead: Counter[str] = Counter(self.jobs[job_id].owner for job_id in self.running)
        last: dict[str, int] = {}
        for job in self.jobs.values():
            last[job.owner] = max(job.turn, last.get(job.owner, 0))
        queues: dict[str, deque[Job]] = {}
        for job in self.waiting:
            queues.setdefault(job.owner, deque()).append(job)
        order: list[Job] = []
        while queues:
            owner = min(queues, key=lambda name: (ahead[name], last[name]))
            order.append(queues[owner].popleft())
            ahead[owner] += 1
            last[owner] = self.turns + len(order)
            if not queues[owner]:
                del queues[owner]
        return order

    def dispatch(self) -> None:
        """Start waiting jobs while there are free workers."""
        with self.lock:
            while self.waiting and len(self.running) < workers():
                job = self.order()[0]
                self.waiting.remove(job)
                self.turns += 1
                job.turn = self.turns
                job.state = "running"
                job.started = time.monotonic()
                self.running[job.id] = None
                threading.Thread(target=self.supervise, args=(job,), daemon=True).start()

    def finish(self, job: Job, state: State, error: str | None = None, result: Any = None) -> None:
        with self.lock:
            job.state, job.error, job.result = state, error, result
            job.ended = time.monotonic()
            job.finished.set()

    def supervise(self, job: Job) -> None:
        """Follow the worker of ``job`` to its end. Runs in a thread of its own."""
        try:
            outcome = self.run(job)
        except Exception as error:
            log.exception("job %s could not be supervised", job.function)
            outcome = ("failed", _bug(f"{type(error).__name__}: {error}"), None)
        with self.lock:
            del self.running[job.id]
            self.finish(job, *outcome)
        self.dispatch()

    def run(self, job: Job) -> Outcome:
        process, connection = _start(job)
        with self.lock:
            self.running[job.id] = process
        try:
            with connection:
                return _follow(job, process, connection)
        finally:
            _kill(process)

    def kill_all(self) -> None:
        with self.lock:
            self.waiting.clear()
            for process in self.running.values():
                if process is not None:
                    _kill(process)


_scheduler = _Scheduler()
atexit.register(_scheduler.kill_all)


def submit(function: str, *args: Any, limits: Limits = Limits(), owner: str = "") -> Job:
    """Queue ``function`` ("package.module:name") to be called in a worker process.

    The worker calls ``function(*args, progress=…, cancelled=…)``; arguments and result are
    pickled. ``owner`` is whom the queue is fair to (a session).
    """
    return _scheduler.submit(Job(_scheduler, function, args, limits, owner))


def get(job_id: str) -> Job | None:
    """The job with that id, if it is still remembered."""
    with _scheduler.lock:
        return _scheduler.jobs.get(job_id)


def jobs(owner: str) -> tuple[Job, ...]:
    """All remembered jobs of one owner, oldest first."""
    with _scheduler.lock:
        return tuple(job for job in _scheduler.jobs.values() if job.owner == owner)


def workers() -> int:
    """How many jobs may run at once."""
    default = max(2, (os.cpu_count() or 1) // 2)  # a short job need not wait for a long one
    with contextlib.suppress(ValueError):
        return max(1, int(os.environ.get("FEATURESCOPE_WORKERS", default)))
    return default


def warm() -> None:
    """Start importing the numeric libraries in the background, so that the first job is quick."""
    if _ON_LINUX:
        from multiprocessing import forkserver

        _context()
        forkserver.ensure_running()


def _context() -> Any:
    context = multiprocessing.get_context("forkserver" if _ON_LINUX else "spawn")
    if _ON_LINUX:
        context.set_forkserver_preload(_PRELOAD)
    return context


_starting = threading.Lock()


@contextlib.contextmanager
def main_module_left_alone() -> Iterator[None]:
    """Keep a new process from running the main script again: under Streamlit that is a page."""
    original = spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data = original(name)
        return {k: v for k, v in data.items() if not k.startswith("init_main_from")}

    with _starting:
        spawn.get_preparation_data = without_main
        try:
            yield
        finally:
            spawn.get_preparation_data = original


def _start(job: Job) -> tuple[BaseProcess, Connection]:
    context = _context()
    ours, theirs = context.Pipe()
    threads = max(1, (os.cpu_count() or 1) // max(1, len(_scheduler.running)))
    process = context.Process(
        target=worker.run,
        args=(theirs, job.function, job.args, threads, job.limits.cpu_seconds),
        name=f"featurescope {job.function}",
    )
    with main_module_left_alone():
        process.start()
    theirs.close()
    return process, ours


def _follow(job: Job, process: BaseProcess, connection: Connection) -> Outcome:
    """Read messages, watch the limits, pass on a cancellation."""
    started = time.monotonic()
    asked: float | None = None  # when the worker was asked to stop
    baseline: int | None = None  # resident memory of the libraries
    limits = job.limits
    while True:
        if asked is None and job.cancel_requested.is_set():
            asked = time.monotonic()
            with contextlib.suppress(OSError):
                connection.send("cancel")
        if asked is not None and time.monotonic() - asked > GRACE_SECONDS:
            return "cancelled", None, None
        if limits.wall_seconds is not None and time.monotonic() - started > limits.wall_seconds:
            return "failed", _too_long(limits.wall_seconds, "seconds"), None
        if limits.memory_bytes is not None and baseline is not None:
            used = resident_bytes(process.pid)
            if used is not None and used - baseline > limits.memory_bytes:
                return "failed", _too_much(limits.memory_bytes), None
        try:
            if not connection.poll(_POLL_SECONDS):
                continue
            kind, *content = connection.recv()
        except (EOFError, OSError):
            process.join(GRACE_SECONDS)
            return _ended(job, process.exitcode)
        if kind == "ready":
            baseline = resident_bytes(process.pid)
        elif kind == "progress":
            job.reported = (content[0], content[1], content[2])
        elif kind == "result":
            return ("cancelled", None, None) if asked else ("done", None, content[0])
        elif kind == "cancelled":
            return "cancelled", None, None
        elif kind == "fault":
            return "failed", content[0], None
        else:
            log.error("job %s failed\n%s", job.function, content[1])
            return "failed", _bug(content[0]), None


def _ended(job: Job, exitcode: int | None) -> Outcome:
    """What to say of a worker that ended without a last message."""
    if job.cancel_requested.is_set():
        return "cancelled", None, None
    if exitcode is None or exitcode >= 0:
        return "failed", _bug(f"the worker process ended with status {exitcode}"), None
    number = -exitcode
    if job.limits.cpu_seconds is not None and number == getattr(signal, "SIGXCPU", None):
        return "failed", _too_long(job.limits.cpu_seconds, "seconds of processor time"), None
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    cause = (
        "the machine probably ran out of memory; use fewer images, or try again"
        if number == getattr(signal, "SIGKILL", None)
        else "the file may be damaged; try again, or open another one"
    )
    return "failed", f"the worker process was ended by signal {name}: {cause}", None


def _bug(what: str) -> str:
    return f"this is a bug in Featurescope: {what}; the server's log has the details"


def _too_long(limit: float, unit: str) -> str:
    return f"this was stopped at its limit of {limit:g} {unit}; use fewer images or a smaller file"


def _too_much(limit: int) -> str:
    return (
        f"this was stopped at its memory limit of {limit / (1 << 30):.3g} GiB; "
        "use fewer images or a smaller file"
    )


def resident_bytes(pid: int | None) -> int | None:
    """Resident memory of a process, or None where it cannot be read."""
    try:
        if _ON_LINUX:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if sys.platform == "darwin":
            shown = subprocess.run(
                ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False, timeout=5
            )
            return int(shown.stdout) * 1024
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return None


def _kill(process: BaseProcess) -> None:
    """End a worker and whatever it started."""
    if process.pid is not None and process.exitcode is None and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(GRACE_SECONDS)

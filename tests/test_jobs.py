"""Worker processes: progress, cancel, limits, crashes, fairness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core import jobs
from core.jobs import Job, JobStatus, Limits

F = "job_functions:"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc")


@pytest.fixture(autouse=True)
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_WORKERS", "2")


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(pid: int) -> bool:
    """No such process, or one that only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def running(job: Job) -> Job:
    """The job, once its worker has reported."""
    until(lambda: job.status().what)
    return job


def test_result_and_progress() -> None:
    job = jobs.submit(F + "count", 5, 0.02)
    seen: list[JobStatus] = []
    until(lambda: seen.append(job.status()) or seen[-1].state == "done")
    assert seen[-1].result == 5
    assert seen[-1].error is None
    assert (seen[-1].done, seen[-1].total, seen[-1].what) == (4, 5, "step 4")
    steps = [status.done for status in seen]
    assert steps == sorted(steps)
    assert len(set(steps)) >= 3, "progress arrives while the job runs"
    assert jobs.get(job.id) is job
    assert jobs.get("no such job") is None


def test_cancel_is_obeyed_by_a_job_that_listens() -> None:
    job = running(jobs.submit(F + "count", 1000, 0.02))
    asked = time.monotonic()
    job.cancel()
    assert job.wait(10).state == "cancelled"
    assert time.monotonic() - asked < jobs.GRACE_SECONDS


def test_cancel_kills_a_job_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.3)
    job = running(jobs.submit(F + "deaf", 60.0))
    job.cancel()
    assert job.wait(10).state == "cancelled"


def test_what_the_worker_started_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.3)
    job = jobs.submit(F + "start_child")
    until(lambda: job.status().done > 0)
    child = job.status().done
    job.cancel()
    job.wait(10)

    until(lambda: ended(child), 5)


def test_a_fault_of_the_user_is_passed_on() -> None:
    status = jobs.submit(F + "refuse").wait(30)
    assert status.state == "failed"
    assert status.error == "the file is a picture; open a checkpoint"


@pytest.mark.parametrize(
    ("function", "words"), [("bug", "KeyError: 'layer9'"), ("unpicklable", "pickle"), ("no", "no")]
)
def test_a_bug_is_called_one_and_logged(
    function: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    status = jobs.submit(F + function).wait(30)
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.startswith("this is a bug in Featurescope: ")
    assert words in status.error
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_reported(number: signal.Signals) -> None:
    status = jobs.submit(F + "crash", int(number)).wait(30)
    assert status.state == "failed"
    assert status.error is not None
    assert f"signal {number.name}" in status.error


def test_memory_limit() -> None:
    limits = Limits(memory_bytes=256 << 20)
    status = jobs.submit(F + "allocate", 700, limits=limits).wait(30)
    assert status.state == "failed"
    assert status.error is not None
    assert "memory limit of 0.25 GiB" in status.error


def test_wall_limit() -> None:
    status = jobs.submit(F + "deaf", 60.0, limits=Limits(wall_seconds=0.5)).wait(30)
    assert status.state == "failed"
    assert status.error is not None
    assert "limit of 0.5 seconds" in status.error


def test_cpu_limit() -> None:
    status = jobs.submit(F + "spin", limits=Limits(cpu_seconds=1)).wait(60)
    assert status.state == "failed"
    assert status.error is not None
    assert "limit of 1 seconds of processor time" in status.error


def test_a_failed_job_can_be_retried(tmp_path: Path) -> None:
    job = jobs.submit(F + "once_in_two", str(tmp_path / "marker"), owner="r")
    assert job.wait(30).state == "failed"
    job.retry()
    assert job.wait(30) == job.status()
    assert job.status().result == "done"
    job.retry()  # of a finished job: nothing
    assert job.status().state == "done"
    assert jobs.jobs("r") == (job,)


def test_two_jobs_run_at_once_and_the_third_waits() -> None:
    first, second = (running(jobs.submit(F + "count", 1000, 0.02)) for _ in range(2))
    third = jobs.submit(F + "count", 1, 0.0)
    assert first.status().state == second.status().state == "running"
    assert third.status() == JobStatus(state="queued", position_in_queue=1)
    first.cancel()
    assert third.wait(10).state == "done"
    second.cancel()
    second.wait(10)


def test_the_queue_is_fair_between_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_WORKERS", "1")
    blocking = running(jobs.submit(F + "count", 1000, 0.02, owner="heavy"))
    heavy = [jobs.submit(F + "count", 1, 0.0, owner="heavy") for _ in range(3)]
    light = [jobs.submit(F + "count", 1, 0.0, owner="light") for _ in range(2)]
    expected = [light[0], heavy[0], light[1], heavy[1], heavy[2]]
    assert [job.status().position_in_queue for job in expected] == [1, 2, 3, 4, 5]
    heavy[1].cancel()
    assert heavy[1].status().state == "cancelled"
    blocking.cancel()
    for job in expected:
        job.wait(20)
    expected.remove(heavy[1])
    assert sorted(expected, key=lambda job: job.turn) == expected


def test_threads_are_set_and_the_main_module_is_not_run_again() -> None:
    status = jobs.submit(F + "environment").wait(30)
    threads = os.cpu_count() or 1  # no other job is running
    assert status.result["threads"] == threads
    assert status.result["omp"] == str(threads)
    assert status.result["pid"] != os.getpid()


def test_finished_jobs_are_forgotten_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "REMEMBERED", 3)
    done = [jobs.submit(F + "count", 0, 0.0) for _ in range(5)]
    for job in done:
        job.wait(20)
    jobs.submit(F + "count", 0, 0.0).wait(20)
    assert jobs.get(done[0].id) is None
    assert jobs.get(done[-1].id) is done[-1]


def test_many_threads_submit_and_ask() -> None:
    results: list[object] = []

    def session(owner: str) -> None:
        results.append(jobs.submit(F + "count", 2, 0.0, owner=owner).wait(60).result)

    threads = [threading.Thread(target=session, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2] * 8


def test_a_script_without_a_guard_is_run_once(tmp_path: Path, repo: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(
        f"import sys; sys.path[:0] = [{str(repo)!r}, {str(repo / 'tests')!r}]\n"
        "print('script runs')\n"
        "from core import jobs\n"
        "jobs._PRELOAD = []\n"
        "print(jobs.submit('job_functions:count', 1, 0.0).wait(60).state)\n"
        "print('torch' in sys.modules)\n"
    )
    shown = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout.split("\n")[:3] == ["script runs", "done", "False"]


@pytest.mark.parametrize("end", ["leaves", "killed"])
def test_workers_end_with_the_server(tmp_path: Path, repo: Path, end: str) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        f"import sys, time; sys.path[:0] = [{str(repo)!r}, {str(repo / 'tests')!r}]\n"
        "from core import jobs\n"
        "jobs._PRELOAD = []\n"
        "job = jobs.submit('job_functions:own_process')\n"
        "while not job.status().done: time.sleep(0.01)\n"
        "print(job.status().done, flush=True)\n"
        f"time.sleep({60 if end == 'killed' else 0})\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        assert server.stdout is not None
        worker = int(server.stdout.readline())
        if end == "killed":
            server.kill()
        assert server.wait(10) == (-signal.SIGKILL if end == "killed" else 0)
    until(lambda: ended(worker), 10)

"""Numbers that a page asks for while the reader waits: computed in a worker, kept for everyone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import streamlit as st

from core import jobs
from core.jobs import Job, Limits
from core.text import plain
from pages._ui.jobs import FINISHED, POLL_SECONDS, error_box, owner, progress_text

KEPT = 128  # results, of all sessions together
LIMITS = Limits(memory_bytes=4 << 30, wall_seconds=1800)

Key = tuple[str, Hashable]


@st.cache_resource(show_spinner=False)
def _results() -> OrderedDict[Key, Any]:
    return OrderedDict()


def result_of(slot: str, function: str, request: Hashable, what: str) -> Any | None:
    """What ``function`` ("package.module:name") of ``core`` returns for ``request``.

    Computed once in a worker process and kept for all sessions. While it runs, a progress bar with
    a way to cancel stands here and the result is None; so it is after a failure or a cancellation,
    with a way to try again. A ``slot`` holds one job of a session: a new request in it replaces
    the one before. The request is pickled and must be hashable: a frozen dataclass.
    """
    key = (function, request)
    results = _results()
    if key in results:
        results.move_to_end(key)
        return results[key]
    job = _job(slot, key)
    status = job.status()
    if status.state == "done":
        results[key] = status.result
        while len(results) > KEPT:
            results.popitem(last=False)
        return status.result
    if status.state in FINISHED:
        _ended(slot, job, what)
    else:
        _wait(slot, job, what)
    return None


def forget(function: str, request: Hashable) -> None:
    """Drop a result: what it stands for is gone, and the next ``result_of`` makes it again."""
    _results().pop((function, request), None)


def running(slot: str) -> Job | None:
    """The job of this slot, if it has not ended."""
    _, job = _held(slot)
    return job if job is not None and job.status().state not in FINISHED else None


def _held(slot: str) -> tuple[Key | None, Job | None]:
    """What was asked for last in this slot, and its job where the server still knows it."""
    key, job_id = st.session_state.get(f"_live_{slot}", (None, ""))
    return key, jobs.get(job_id)


def _job(slot: str, key: Key) -> Job:
    before, job = _held(slot)
    if before == key and job is not None:
        return job
    if job is not None:
        job.cancel()
    job = jobs.submit(key[0], key[1], limits=LIMITS, owner=owner())
    st.session_state[f"_live_{slot}"] = (key, job.id)
    return job


@st.fragment(run_every=POLL_SECONDS)
def _wait(slot: str, job: Job, what: str) -> None:
    status = job.status()
    if status.state in FINISHED:
        st.rerun()
    share = min(1.0, status.done / status.total) if status.total else 0.0
    with st.container(horizontal=True, vertical_alignment="center", key=f"live_{slot}"):
        st.progress(share, text=progress_text(status, share) if status.what else plain(what))
        if st.button("Cancel", key=f"cancel_{slot}", icon=":material/close:", type="tertiary"):
            job.cancel()


def _ended(slot: str, job: Job, what: str) -> None:
    status = job.status()
    if status.state == "failed":
        error_box(f"{what} stopped.", status.error or "")
    else:
        st.caption(f"{plain(what)}: cancelled.")
    if st.button("Try again", key=f"again_{slot}", icon=":material/refresh:"):
        job.retry()
        st.rerun()

"""Long work on a page: submit, follow, cancel. The job's id is in the URL, so a reload finds it."""

from __future__ import annotations

import re
import secrets
import tempfile
from typing import Any

import streamlit as st

from core import jobs
from core.jobs import Job, JobStatus, Limits
from core.language.request import TextRequest
from core.request import AnalysisRequest
from core.text import plain
from pages._ui.choices import drop, notice, recall
from pages._ui.upload import session_folder

POLL_SECONDS = 0.3
FORECAST = "Forecast"
STEPS = ("Open the checkpoint", "Extract features", "Collapse, dimension, topology")
_CODE = re.compile(r"(torch\.save\([^`]*\)|(?<=\s)--[\w-]+(?: [A-Z][\w.:]*)?)")
LIMITS = {
    "core.analysis:inspect": Limits(wall_seconds=120),
    "core.analysis:run": Limits(memory_bytes=4 << 30),
    "core.language.analysis:run": Limits(memory_bytes=4 << 30),
}
FINISHED = ("done", "failed", "cancelled")


def owner() -> str:
    """Whom the queue is fair to: this session."""
    if "_owner" not in st.session_state:
        st.session_state["_owner"] = secrets.token_hex(8)
    return st.session_state["_owner"]


@st.cache_resource(show_spinner=False)
def _held() -> dict[str, tempfile.TemporaryDirectory[str]]:
    """Folders that unfinished jobs read from, whatever becomes of the session."""
    return {}


def submit(function: str, request: Any, folder: tempfile.TemporaryDirectory[str]) -> Job:
    """Queue ``function(request)`` for this session and keep ``folder`` until it is done."""
    held = _held()
    for job_id in list(held):
        job = jobs.get(job_id)
        if job is None or job.status().state in FINISHED:
            held.pop(job_id, None)
    job = jobs.submit(function, request, limits=LIMITS[function], owner=owner())
    held[job.id] = folder
    return job


def analyse(request: AnalysisRequest | TextRequest) -> Job:
    """Queue an analysis of this session's files."""
    texts = isinstance(request, TextRequest)
    function = "core.language.analysis:run" if texts else "core.analysis:run"
    return submit(function, request, session_folder())


def following() -> Job | None:
    """The job that the URL names; says so where the server no longer knows it."""
    asked = recall("job")
    if asked is None:
        return None
    job = jobs.get(asked)
    if job is not None and job.status().state in FINISHED:
        _held().pop(job.id, None)
    if job is None:
        notice("This analysis is no longer known to the server; start it again.")
        drop("job")
    return job


def follow(job: Job | None) -> None:
    """Progress bar, time left and steps of a job, looked at twice a second until it ends."""
    if job is None:
        st.caption("Nothing is running. What was analysed before opens at once.")
    elif job.status().state in FINISHED:
        _ended(job, job.status())
    else:
        _poll(job)


@st.fragment(run_every=POLL_SECONDS)
def _poll(job: Job) -> None:
    status = job.status()
    if status.state in FINISHED:
        st.rerun()
    share = status.done / status.total if status.total else 0.0
    if status.what.startswith(FORECAST):
        st.session_state[f"_forecast_{job.id}"] = status.what
    st.progress(min(1.0, share), text=progress_text(status, share))
    if forecast := st.session_state.get(f"_forecast_{job.id}"):
        st.caption(f"{plain(forecast)}, before it started")
    _show_steps(job, status)


def _ended(job: Job, status: JobStatus) -> None:
    _show_steps(job, status)
    if status.state == "failed":
        error_box("The analysis stopped.", status.error or "")
    elif status.state == "cancelled":
        st.caption("Cancelled. Nothing was kept.")
    if status.state != "done" and st.button("Try again", icon=":material/refresh:"):
        job.retry()
        st.rerun()


def _show_steps(job: Job, status: JobStatus) -> None:
    """One line a step: done with its seconds, running, waiting, or failed."""
    begun: dict[int, float] = st.session_state.setdefault(f"_steps_{job.id}", {})
    if status.state == "queued":
        begun.clear()
    at = _step_of(status.what)
    begun.setdefault(at, status.seconds)
    for index, name in enumerate(STEPS):
        if status.state == "done" or index < at:
            later = [second for step, second in begun.items() if step > index]
            took = min(later, default=status.seconds) - begun[index] if index in begun else None
            st.markdown(step_line(name, "done", took))
        elif index > at or status.state == "queued":
            st.markdown(step_line(name, "waiting"))
        else:
            state = "running" if status.state == "running" else "failed"
            st.markdown(step_line(name, state))


def _step_of(what: str) -> int:
    """The position in STEPS of what a job of ``core.analysis`` says it is doing."""
    if what.startswith("Measuring"):
        return 2
    return 0 if not what or what.startswith("Opening") else 1


def progress_text(status: JobStatus, share: float) -> str:
    """What is being done, and about how long it takes still."""
    if status.state == "queued":
        ahead = (status.position_in_queue or 1) - 1
        return f"Waiting, {ahead} before this one" if ahead else "Waiting for a free worker"
    text = status.what or "Starting"
    if share > 0.02 and status.seconds > 1:
        text += f" · about {seconds_text(status.seconds * (1 - share) / share)} left"
    return plain(text)


def seconds_text(seconds: float) -> str:
    """A duration as a person would say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def step_line(name: str, state: str, seconds: float | None = None) -> str:
    """One step as Markdown: done, running, waiting or failed."""
    icon = {
        "done": ":material/check_circle:",
        "running": ":material/pending:",
        "waiting": ":material/radio_button_unchecked:",
        "failed": ":material/error:",
    }[state]
    after = "" if seconds is None else f" :gray[{seconds:.1f} s]"
    return f"{icon} {plain(name)}{after}"


def error_box(what: str, sentence: str) -> None:
    """One red box: what failed, why, and the remedy (the last two are the sentence)."""
    st.error(f"**{plain(what)}** {_with_code(sentence)}", icon=":material/block:")


def _with_code(sentence: str) -> str:
    """A sentence from ``core`` as Markdown: file names as they are, the remedy's line as code."""
    parts = _CODE.split(sentence)
    shown = (f"`{part}`" if i % 2 else plain(part) for i, part in enumerate(parts))
    return " ".join(filter(None, shown))

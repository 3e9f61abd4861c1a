"""Trainings that were started from the browser: which job makes which run, and how far it is."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core import jobs
from core.checkpoints.runs import Run
from core.errors import UserError
from core.jobs import Job, Limits
from core.training import service
from core.training.service import TrainRequest
from pages._ui.choices import drop, keep, recall
from pages._ui.jobs import FINISHED, owner, progress_text

TRAIN = "core.training.service:train"
LIMITS = Limits(memory_bytes=4 << 30, wall_seconds=4 * 3600)
POLL_SECONDS = 1.0


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[str, str]:
    """Run id → job id, of all sessions: two readers who ask for the same run share its job."""
    return {}


def begun_here() -> set[str]:
    """Ids of the runs that this session started."""
    return st.session_state.setdefault("_begun", set())


def job_of(run_id: str) -> Job | None:
    """The job that trains a run, or did so last."""
    return jobs.get(_jobs().get(run_id, ""))


def is_running(run_id: str) -> bool:
    job = job_of(run_id)
    return job is not None and job.status().state not in FINISHED


def start(request: TrainRequest) -> None:
    """Train in a worker, unless that is being done or was done; show the run from now on."""
    run_id = request.run_id
    known = service.trained(request)
    if not is_running(run_id) and not (known is not None and known.finished):
        _jobs()[run_id] = jobs.submit(TRAIN, request, limits=LIMITS, owner=owner()).id
        begun_here().add(run_id)
    keep("training", run_id)


def followed() -> TrainRequest | None:
    """The run that the URL names, as a request; None where it is not there (any more)."""
    run_id = recall("training")
    if run_id is None:
        return None
    job = job_of(run_id)
    if job is not None:
        return job.args[0]
    run = next((r for r in service.trained_runs() if r.folder.name == run_id), None)
    request = None if run is None else service.request_behind(run)
    try:
        if request is not None and request.run_id == run_id:
            return request
    except UserError:
        pass
    drop("training")
    return None


def stop_following(run_id: str) -> None:
    """Forget a run that was deleted."""
    _jobs().pop(run_id, None)
    begun_here().discard(run_id)
    if recall("training") == run_id:
        drop("training")


@st.fragment(run_every=POLL_SECONDS)
def watch(job: Job, draw: Callable[[], None]) -> None:
    """Draw a run again every second while it trains; the whole page once it has ended."""
    if job.status().state in FINISHED:
        st.rerun()
    draw()


def progress_bar(request: TrainRequest, run: Run | None) -> None:
    """Progress with the time left and a way to cancel; how it ended, where it did."""
    job = job_of(request.run_id)
    status = None if job is None else job.status()
    if job is not None and status is not None and status.state not in FINISHED:
        share = min(1.0, status.done / status.total) if status.total else 0.0
        with st.container(horizontal=True, vertical_alignment="center", key="train_progress"):
            st.progress(share, text=progress_text(status, share))
            st.button(
                "Cancel",
                key="train_cancel",
                icon=":material/close:",
                type="tertiary",
                on_click=job.cancel,
            )
        return
    if run is None:
        st.caption("Cancelled before the first epoch." if status is not None else "Not begun.")
    elif not run.finished:
        st.caption("Stopped. What was trained is kept, and training can go on.")
        st.button(
            "Go on",
            key="train_again",
            icon=":material/play_arrow:",
            on_click=start,
            args=(request,),
        )

"""The dynamics of a run: what was measured already, what is missing, and a run that still grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import library
from core.checkpoints.runs import DataEntry, Run, splits_of
from core.dynamics.kept import kept, missing
from core.dynamics.phases import settled_epoch, terminal_epoch
from core.dynamics.request import DynamicsRequest, request_of
from core.dynamics.results import Dynamics
from core.figures.dynamics import Split
from core.text import plain
from pages._ui.live import result_of, running

JOB = "core.dynamics.compute:run"
FOLLOW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Film:
    """A run over its epochs on its training data and, where it has some, on its test data."""

    run: Run
    splits: tuple[Split, ...]
    terminal: int | None  # first epoch of the terminal phase
    settled: int | None  # from when on the training error stays below 0.1 %

    @property
    def train(self) -> Dynamics:
        return self.splits[0].dynamics

    @property
    def test(self) -> Dynamics | None:
        return self.splits[1].dynamics if len(self.splits) > 1 else None


def chosen_run() -> Run | None:
    """The run that the sidebar chose, whether or not its checkpoints were analysed."""
    return library.find(str(st.session_state.get("choice_run", "")))


def film(run: Run, entries: Sequence[DataEntry]) -> Film | None:
    """Everything measured of the run on these data sets. What is missing is measured in a worker,
    with its progress here; meanwhile what is there already is shown. None while there is nothing
    on the training data."""
    splits = []
    for label, entry in splits_of(entries).items():
        found = _dynamics(run, label, entry)
        if found is not None:
            splits.append(Split(label, found))
    if not splits or splits[0].label != "train":
        return None
    train = splits[0].dynamics
    told = (run.history, train.epochs, train.accuracy)
    return Film(run, tuple(splits), terminal_epoch(*told), settled_epoch(*told))


def is_measurable(run: Run, entries: Sequence[DataEntry]) -> bool:
    """Whether a checkpoint file is there that was not measured yet."""
    return any(missing(run, entry.id) for entry in entries)


def _dynamics(run: Run, label: str, entry: DataEntry) -> Dynamics | None:
    request = request_of(run, entry.id)
    if not missing(run, entry.id):
        return _kept(run, entry.id, request)
    slot = f"dynamics_{label}"
    asked = under_way(slot, request)
    whole: Any = result_of(slot, JOB, asked, f"Measuring the {label} data")
    return whole if whole is not None and asked == request else kept(run, entry.id)


def under_way(slot: str, request: DynamicsRequest) -> DynamicsRequest:
    """The request to go on with: a checkpoint that appears does not stop what is being measured."""
    before = st.session_state.get(f"_asked_{slot}", request)
    same = (before.run, before.folder, before.data) == (request.run, request.folder, request.data)
    if not (same and running(slot)):
        before = request
    st.session_state[f"_asked_{slot}"] = before
    return before


@st.cache_resource(max_entries=32, show_spinner=False)
def _kept(_run: Run, _data: str, request: DynamicsRequest) -> Dynamics | None:
    """One copy for all readers; the request changes with every checkpoint."""
    return kept(_run, _data)


def epoch_shown(run: Run) -> int | None:
    """The epoch of the sidebar; None, for the newest, while the reader follows a run that grows and
    has not chosen an earlier epoch."""
    chosen, last = st.session_state.get("choice_epoch"), run.epochs[-1]
    of, newest = st.session_state.get("_dynamics_newest", ("", None))
    if of == run.id and chosen == newest and not run.finished:
        return None
    st.session_state["_dynamics_newest"] = (run.id, last)
    return chosen if chosen in run.epochs else None


def follow(run: Run) -> None:
    """While the run is still training: how far it is, and the page again when a checkpoint comes.

    A finished run is left alone.
    """
    if not run.finished:
        _follow(run.id, _state(run))


@st.fragment(run_every=FOLLOW_SECONDS)
def _follow(run_id: str, seen: object) -> None:
    run = library.find(run_id)
    if run is None or run.finished or _state(run) != seen:
        st.rerun()
    with st.container(key="dynamics_follow"):
        st.caption(f":material/autorenew: training: {plain(progress_of(run))}")


def _state(run: Run) -> object:
    """What changes when a checkpoint appears; not the history, which grows every epoch."""
    return request_of(run, "").files, run.finished


def progress_of(run: Run) -> str:
    """ "epoch 37 of 200", as far as the run tells."""
    column = run.history.get("epoch") or next(iter(run.history.values()), [])
    numbered = "epoch" in run.history
    epoch = int(column[-1]) if column and numbered else len(column) - 1
    epoch = max([epoch, *run.epochs])
    if epoch < 0:
        return "not begun"
    total = run.settings.get("epochs")
    return f"epoch {epoch:,}" + (f" of {total:,}" if isinstance(total, int) else "")

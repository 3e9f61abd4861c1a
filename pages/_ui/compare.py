"""Which runs the page Compare runs shows, and what was measured of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from core import library
from core.checkpoints.runs import Run
from core.comparison.groups import (
    Final,
    Group,
    Measured,
    Split,
    data_of,
    final,
    groups_of,
)
from core.comparison.selection import families_of, family_groups, headings
from core.dynamics.kept import kept, missing
from core.dynamics.request import DynamicsRequest, request_of
from core.dynamics.results import Dynamics
from core.text import plain
from core.training.families import FAMILIES
from pages._ui.choices import choose, drop, keep, recall
from pages._ui.dynamics import follow
from pages._ui.live import result_of
from pages._ui.wanted import Wanted, data_of_run, fit_wanted, make

JOB = "core.dynamics.compute:run"
OWN = "own"
SPLITS: tuple[Split, ...] = ("train", "test")
KEPT = 256  # measurements in memory
MOST_GROUPS = 10  # of the reader's own choice


@dataclass(frozen=True, slots=True)
class Compared:
    """The runs that are shown together. ``family`` is OWN for a choice of the reader's."""

    family: str
    heading: str
    groups: tuple[Group, ...]
    measured: Measured
    wanted: Wanted | None = None  # what must be found out of a run first: which data fit it

    @property
    def finals(self) -> tuple[Final, ...]:
        return tuple(final(group, self.measured) for group in self.groups)


def comparable(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """The runs with more than one checkpoint: single networks have no epochs."""
    return tuple(run for run in runs if len(run.checkpoints) > 1 or run.history)


def choose_runs(runs: tuple[Run, ...]) -> Compared:
    """A family and its setting, or any runs."""
    families = families_of(runs)
    titles = {name: FAMILIES[name].title for name in families} | {OWN: "own choice"}
    family = choose(
        "family",
        list(titles),
        _first_family(families),
        partial(st.selectbox, "Family", format_func=titles.__getitem__, width=220),
    )
    if family == OWN:
        drop("setting")
        groups = groups_of(runs)
        chosen, wanted = _with_data(_choose_groups(groups))
        return Compared(OWN, "", chosen, _measured(chosen), wanted)
    drop("runs")
    found = headings(family, runs)
    heading = found[0]
    if len(found) > 1:
        heading = choose(
            "setting", found, found[0], partial(st.segmented_control, "Setting", required=True)
        )
    else:
        drop("setting")
    groups = family_groups(family, heading, runs)
    return Compared(family, heading, groups, _measured(groups))


def _first_family(families: tuple[str, ...]) -> str:
    """The family of the sidebar's run; else the first one."""
    run = library.find(str(st.session_state.get("choice_run", "")))
    mine = [f for f in families if run is not None and run.recipe in FAMILIES[f].recipes]
    return next(iter([*mine, *families]), OWN)


def _choose_groups(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Ids in the URL, joined by commas; first the run of the sidebar and its neighbours."""
    titles = {group.id: group.title for group in groups}
    chosen_run = str(st.session_state.get("choice_run", ""))
    mine = next((g for g in groups if any(r.id == chosen_run for r in g.runs)), None)
    heading = mine.runs[0].group if mine else groups[0].runs[0].group if groups else ""
    beside = [g.id for g in groups if g.runs[0].group == heading and g is not mine]
    default = ([mine.id] if mine else []) + beside
    default = default[:3]
    if "choice_runs" not in st.session_state:
        asked = [i for i in (recall("runs") or "").split(",") if i in titles]
        st.session_state["choice_runs"] = asked[:MOST_GROUPS] or default
    st.session_state["choice_runs"] = [i for i in st.session_state["choice_runs"] if i in titles]
    chosen = st.multiselect(
        "Runs",
        list(titles),
        format_func=titles.__getitem__,
        max_selections=MOST_GROUPS,
        key="choice_runs",
    )
    keep("runs", ",".join(chosen), ",".join(default))
    by_id = {group.id: group for group in groups}
    return tuple(by_id[i] for i in chosen)


def _with_data(groups: tuple[Group, ...]) -> tuple[tuple[Group, ...], Wanted | None]:
    """The groups with the data that fit where a run names none, as its other pages offer them; and
    what has to be found out for that, where it is not known yet."""
    found, wanted = [], None
    for group in groups:
        runs = []
        for run in group.runs:
            entries = data_of_run(run)
            if entries is None:
                asked = fit_wanted(run)
                wanted = wanted or (asked if isinstance(asked, Wanted) else None)
            known = tuple(e for e in entries or () if e.id != library.WEIGHTS)
            runs.append(run if run.data else replace(run, data=known))
        found.append(replace(group, runs=tuple(runs)))
    return tuple(found), wanted


def _measured(groups: tuple[Group, ...]) -> Measured:
    """What is known of these runs, each looked up once."""
    known: dict[tuple[str, str], Dynamics | None] = {}

    def measured(run: Run, data_id: str) -> Dynamics | None:
        key = run.id, data_id
        if key not in known:
            known[key] = _look(run, data_id)
        return known[key]

    return measured


@st.cache_resource(show_spinner=False)
def _whole() -> OrderedDict[DynamicsRequest, Dynamics]:
    """Measurements of all checkpoints of a run, one copy for all readers."""
    return OrderedDict()


def _look(run: Run, data_id: str) -> Dynamics | None:
    """What is known of a run now. Only what is complete is remembered: the rest may have grown."""
    request, whole = request_of(run, data_id), _whole()
    if request in whole:
        whole.move_to_end(request)
        return whole[request]
    found = kept(run, data_id)
    if found is not None and {c.file for c in run.checkpoints} <= set(found.files):
        whole[request] = found
        while len(whole) > KEPT:
            whole.popitem(last=False)
    return found


def measure_missing(compared: Compared) -> None:
    """Measure the first run of which checkpoints were not measured, in a worker, with its progress
    here; then the page runs again and takes the next one. What is there is shown meanwhile."""
    if compared.wanted is not None:
        make(compared.wanted)
        return
    for run in (run for group in compared.groups for run in group.runs if not run.data):
        st.caption(
            f"{plain(run.title)} cannot be measured: no data set here fits it, or its network is "
            "not known. Write it with RunWriter and name its data."
        )
    runs = [run for group in compared.groups for run in group.runs]
    for run in runs:
        for split in SPLITS:
            entry = data_of(run, split)
            if entry is None:
                continue
            _look(run, entry.id)
            request = request_of(run, entry.id)
            if request in _whole() or not missing(run, entry.id):
                continue
            what = f"Measuring {run.title} on {entry.title}"
            found: Dynamics | None = result_of("compare_measure", JOB, request, what)
            if found is None:
                return
            _whole()[request] = found  # also where the cache could not be written
    growing = next((run for run in runs if not run.finished), None)
    if growing is not None:
        follow(growing)

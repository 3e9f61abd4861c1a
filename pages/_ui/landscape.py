"""Which networks the page Loss landscape shows, and how their landscapes are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from core import library
from core.checkpoints.runs import Run
from core.errors import UserError
from core.figures.landscape import Shown
from core.landscape import Landscape, LandscapeRequest
from core.landscape.request import kept_at, read
from core.request import AnalysisRequest
from core.text import plain
from pages._ui.choices import choose
from pages._ui.jobs import seconds_text
from pages._ui.live import result_of
from pages._ui.sidebar import analysis_of, own_analyses
from pages._ui.source import request_behind
from pages._ui.view import View

NONE = "none"
AT_ONCE = 8.0  # seconds of forecast that are spent without being asked


@dataclass(frozen=True, slots=True)
class Network:
    """One network on one data set, and where it stands in its run."""

    id: str
    title: str
    epoch: int | None
    request: AnalysisRequest
    run: Run | None

    @property
    def name(self) -> str:
        return self.title if self.epoch is None else f"{self.title}, epoch {self.epoch}"

    @property
    def path(self) -> tuple[tuple[int, str], ...]:
        """Epoch and file of every checkpoint of its run that is there."""
        if self.run is None:
            return ()
        files = [(c.epoch, self.run.folder / c.file) for c in self.run.checkpoints]
        return tuple((e, str(f)) for e, f in files if e is not None and f.is_file())

    @property
    def last(self) -> Network:
        """The last checkpoint of its run."""
        if not self.path:
            return self
        epoch, file = self.path[-1]
        return replace(self, epoch=epoch, request=replace(self.request, checkpoint=file))


def request_for(
    network: Network, asked: dict[str, Any], start: Network | None
) -> LandscapeRequest | None:
    """What to ask of ``core`` for one network; None where it cannot be drawn in this way."""
    if asked["kind"] == "path":
        enough = len(network.path) > 2
        return LandscapeRequest(network.request, path=network.path, **asked) if enough else None
    if asked["kind"] == "between":
        if start is None or start.request.checkpoint == network.request.checkpoint:
            return None
        return LandscapeRequest(network.request, other=start.request.checkpoint, **asked)
    return LandscapeRequest(network.request, **asked)


def start_of(second: Network, first: Network, start: Network | None) -> Network | None:
    """Where the second network's line begins: as long ago in its own run as the first one's in
    its; at the same checkpoint where that is another run's."""
    if start is None or start.id != first.id or second.run is None:
        return start
    epochs = [epoch for epoch in second.run.epochs if epoch != second.epoch]
    if not epochs:
        return None
    nearest = min(epochs, key=lambda epoch: abs(epoch - (start.epoch or 0)))
    return of_run(second.id, nearest, _data_id(first))


def chosen() -> Network | None:
    """The network of the sidebar, whether or not it was analysed; None where its files are gone."""
    view = st.session_state["view"]
    if isinstance(view, View):
        request = None if view.of_features else request_behind(view)
        if request is None:
            return None
        return _network(view.run, view.title, view.epoch, request)
    run = library.find(str(st.session_state.get("choice_run", "")))
    if run is None:
        return None
    epoch, data = (st.session_state.get(f"choice_{key}") for key in ("epoch", "data"))
    return of_run(run.id, epoch, data)


def of_run(run_id: str, epoch: int | None, data: str | None) -> Network | None:
    """A checkpoint of a run, or an upload of this session, on data that it has: ``data`` where it
    is among them. As its analysis read it, where there is one."""
    run = library.find(run_id)
    title = run.title if run is not None else own_analyses().get(run_id, run_id)
    if run is not None:
        listed = [entry.id for entry in run.data]
        data = data if data in listed or not listed else run.first_data
        epoch = run.checkpoint(epoch).epoch if run.checkpoints else None
    try:
        analysis = analysis_of(run_id, epoch, data)
        layer = analysis.layers[-1] if analysis.layers else None
        view = View(title, epoch, analysis, layer, run_id, data)
        if view.of_features:
            return None
        request = request_behind(view)
    except UserError:
        request = None
    if request is None and run is not None:
        try:
            request = library.request_for(run, epoch, data)
        except UserError:
            return None
    return None if request is None else _network(run_id, title, epoch, request)


def _network(run_id: str, title: str, epoch: int | None, request: AnalysisRequest) -> Network:
    # an analysis remembers the device that it was made on; this one takes the best there is
    request = replace(request, settings=replace(request.settings, device="auto"))
    return Network(run_id, title, epoch, request, library.find(run_id))


def titles() -> dict[str, str]:
    """Runs with checkpoints on this server, and this session's uploads."""
    return library.titles() | own_analyses()


def choose_start(network: Network) -> Network | None:
    """Where the line between two checkpoints begins: an epoch of the same run, or another run."""
    names = titles()
    mine = network.run is not None and len(network.run.epochs) > 1
    others = [i for i in names if i != network.id and _shares_data(i, network)]
    options = [*([network.id] if mine else []), *others]
    if not options:
        return None
    start = choose(
        "from",
        options,
        options[0],
        partial(
            st.selectbox,
            "Line starts at",
            format_func=lambda i: "the same run" if i == network.id else names[i],
            width=320,
        ),
    )
    run = library.find(start)
    epoch = None
    if run is not None and len(run.epochs) > 1:
        epochs = [e for e in run.epochs if start != network.id or e != network.epoch]
        default = epochs[0] if start == network.id else epochs[-1]
        if len(epochs) > 1:
            draw = partial(st.select_slider, "at epoch", width=240)
            epoch = choose("from_epoch", epochs, default, draw)
        else:
            epoch = epochs[0]
    return of_run(start, epoch, _data_id(network))


def _shares_data(run_id: str, network: Network) -> bool:
    run = library.find(run_id)
    if run is None:
        return True  # an upload: the error says so if it does not fit
    return network.run is None or bool({d.id for d in run.data} & {d.id for d in network.run.data})


def choose_second(network: Network) -> Network | None:
    """A second network to be shown side by side, at the same epoch where it has it."""
    names = {i: title for i, title in titles().items() if i != network.id}
    second = choose(
        "second",
        [NONE, *names],
        NONE,
        partial(
            st.selectbox,
            "Second network",
            format_func=lambda i: "none" if i == NONE else names[i],
            width=320,
        ),
    )
    if second == NONE:
        return None
    run = library.find(second)
    epoch = network.epoch if run is not None and network.epoch in run.epochs else None
    found = of_run(second, epoch, _data_id(network))
    if found is None:
        st.caption(
            f"{plain(names[second])} cannot be drawn: its files are not on this server any more, "
            "or hold no weights of a known network."
        )
    return found


def _data_id(network: Network) -> str | None:
    data = st.session_state.get("choice_data")
    return str(data) if data is not None and network.run is not None else None


def made(requests: list[tuple[Network, LandscapeRequest]]) -> list[Shown]:
    """The landscapes of these requests, in order. What is not kept yet is computed in a worker:
    at once where the forecast is short, else when the reader says so. Empty while one is missing.
    """
    found: list[Landscape | None] = []
    for _, request in requests:
        try:
            found.append(_kept(request))
        except UserError as error:
            st.error(plain(str(error)), icon=":material/block:")
            return []
    waiting = [request for (_, request), done in zip(requests, found, strict=True) if done is None]
    if waiting and not _may_start(waiting):
        return []
    for i, ((network, request), done) in enumerate(zip(requests, found, strict=True)):
        if done is None:
            job = "core.landscape.compute:compute"
            found[i] = result_of(f"landscape_{i}", job, request, network.name)
    shown = [
        Shown(network.name, done)
        for (network, _), done in zip(requests, found, strict=True)
        if done is not None
    ]
    return shown if len(shown) == len(requests) else []


def _kept(request: LandscapeRequest) -> Landscape | None:
    file = kept_at(request)
    return _read(str(file), file.stat().st_mtime_ns) if file.is_file() else None


@st.cache_resource(max_entries=32, show_spinner=False)
def _read(path: str, changed: int) -> Landscape:
    return read(path)


def _may_start(waiting: list[LandscapeRequest]) -> bool:
    """Whether to go on: says what it will take, and asks where that is long."""
    if set(waiting) <= _asked():
        return True
    trials = [
        result_of(
            f"landscape_trial_{i}",
            "core.landscape.compute:trial",
            request.for_trial(),
            "Forecasting",
        )
        for i, request in enumerate(waiting)
    ]
    if None in trials:
        return False
    seconds = sum(
        trial.seconds(request.points, request.images)
        for trial, request in zip(trials, waiting, strict=True)
    )
    if seconds <= AT_ONCE:
        _ask(tuple(waiting))
        return True
    points = sum(request.points for request in waiting)
    with st.container(border=True, key="card_forecast"):
        st.markdown(
            f"**About {seconds_text(seconds)}** on this machine, as busy as it is now: "
            f"{points:,} points, each over up to {waiting[0].images:,} images. Fewer points, fewer "
            "images or lines instead of a plane take less. The result is kept."
        )
        st.button(
            "Compute",
            type="primary",
            icon=":material/play_arrow:",
            key="landscape_go",
            on_click=_ask,
            args=(tuple(waiting),),
        )
    return False


def _asked() -> set[LandscapeRequest]:
    """What this session may compute without being asked again."""
    return st.session_state.setdefault("_landscapes_asked", set())


def _ask(requests: tuple[LandscapeRequest, ...]) -> None:
    _asked().update(requests)

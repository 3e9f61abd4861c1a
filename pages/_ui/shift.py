"""Which data sets the Distribution shift page shows, and where their numbers come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core import library
from core.data.corruptions import SEVERITIES, label, spec_of
from core.errors import UserError
from core.figures.shift import Shown
from core.request import AnalysisRequest
from core.shift import Profile, bundled, profile_of, requests_for, splits_of
from core.text import plain
from pages._ui import upload
from pages._ui.live import result_of
from pages._ui.sidebar import analysis_of
from pages._ui.source import MISSING, request_behind
from pages._ui.view import View

JOB = "core.shift.compute:measure"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Corruption:
    """A family of corruptions and the chosen severity."""

    name: str
    severity: int


@dataclass(frozen=True, slots=True)
class Splits:
    """What is there before anything is computed: the base that is corrupted, and what it is
    compared with."""

    base: Shown
    reference: Shown | None  # the training split
    profiles: dict[str, Profile]  # bundled ones, by data set
    behind: AnalysisRequest | None


def there(view: View) -> Splits:
    """The run's training split and the split that the sidebar chose, or its first other one."""
    behind = request_behind(view)
    run = library.find(view.run)
    if run is None:
        data = "" if behind is None or behind.data is None else behind.data
        name = view.analysis.data.name if view.analysis.data else ""
        return Splits(Shown(name, profile_of(view.analysis, data)), None, {}, behind)
    training, others = splits_of(run)
    profiles = bundled(run, view.epoch)
    pair = len(training) == 1 and len(others) == 1

    def shown(entry: Any, short: str) -> Shown | None:
        try:
            profile = profiles.get(entry.id) or profile_of(
                analysis_of(run.id, view.epoch, entry.id), entry.id
            )
        except UserError:
            return None  # listed, but not analysed for this checkpoint
        return Shown(short if pair else entry.title, profile)

    chosen = next((d for d in others if d.id == view.data), others[0] if others else None)
    base = None if chosen is None else shown(chosen, "test split")
    reference = shown(training[0], "training split") if training else None
    if base is None:
        base, reference = reference, None
    if base is None:
        base = Shown(view.title, profile_of(view.analysis, view.data or ""))
    return Splits(base, reference, profiles, behind)


def corrupted(splits: Splits, corruption: Corruption) -> tuple[Splits, Shown | None]:
    """The base under a corruption: bundled, or computed while the reader waits."""
    spec = spec_of(splits.base.profile.data, corruption.name, corruption.severity)
    title = label(corruption.name, corruption.severity)
    profile = splits.profiles.get(spec)
    if profile is not None:
        return splits, Shown(title, profile)
    splits, found = _measured("shift_corruption", splits, ((spec, _name(splits)),), title)
    return splits, Shown(title, found[0]) if found else None


def every_severity(splits: Splits, name: str, wanted: bool) -> tuple[Profile | None, ...]:
    """Profiles at severities 0 to 5; those that are not there are computed where ``wanted``."""
    data = splits.base.profile.data
    specs = [spec_of(data, name, severity) for severity in SEVERITIES]
    known = {spec: splits.profiles.get(spec) for spec in specs}
    missing = [spec for spec, profile in known.items() if profile is None]
    if missing and wanted:
        asked = tuple((spec, _name(splits)) for spec in missing)
        _, found = _measured("shift_severities", splits, asked, "The other severities")
        known |= dict(zip(missing, found or [None] * len(missing), strict=True))
    return (splits.base.profile, *known.values())


def own_images(splits: Splits) -> tuple[Splits, Shown | None]:
    """A data set of the reader's, computed while the reader waits."""
    file = st.file_uploader(
        "Your own images: a zip of class folders, or an .npz with X and y",
        key="shift_file",
        help="The same classes as the network's, in the same order: CIFAR-10.2, your own photos.",
    )
    if file is None:
        return splits, None
    asked = ((str(upload.store(file)), file.name),)
    splits, found = _measured("shift_own", splits, asked, file.name)
    return splits, Shown(file.name, found[0]) if found else None


def _name(splits: Splits) -> str:
    """The name that a data set in a file is shown by; bundled ones have their own."""
    return "" if splits.behind is None else splits.behind.data_name


def _measured(
    slot: str, splits: Splits, data: tuple[tuple[str, str], ...], what: str
) -> tuple[Splits, tuple[Profile, ...] | None]:
    """Profiles of other data sets, and of the base where its sampling error is not known yet."""
    if splits.behind is None:
        st.caption(plain(MISSING))
        return splits, None
    base = splits.base
    first = () if base.profile.deviations is not None else ((base.profile.data, _name(splits)),)
    found = result_of(slot, JOB, requests_for(splits.behind, first + data), what)
    if found and first:
        splits = replace(splits, base=replace(base, profile=found[0]))
    return splits, found[len(first) :] if found else None

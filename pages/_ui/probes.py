"""Linear probes of an analysis that was made without them, measured while the reader waits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from core.results import Analysis
from pages._ui.choices import choose
from pages._ui.live import result_of
from pages._ui.sidebar import analysis_of
from pages._ui.source import request_behind
from pages._ui.view import View


def has_probes(analysis: Analysis) -> bool:
    """True where a probe was fitted in at least one layer."""
    return any(a.probe_accuracy is not None and a.probe_accuracy.value for a in analysis.layers)


def with_probes(view: View) -> Analysis:
    """The analysis on the page, with probes if it has them or the reader has them measured.

    Otherwise a switch stands here that measures them, or a line that says why that is not possible.
    """
    analysis = view.analysis
    if has_probes(analysis):
        return analysis
    if any(a.probe_accuracy is not None for a in analysis.layers):
        reasons = {a.probe_accuracy.reason for a in analysis.layers if a.probe_accuracy}
        st.caption(f"No linear probe: it {', '.join(sorted(filter(None, reasons)))}.")
        return analysis
    behind = request_behind(view)
    if view.of_texts:
        return analysis
    if behind is None:
        st.caption(
            "This analysis was made without linear probes. `python -m core analyze … --metrics "
            "all` measures them, and so does this page while it has the checkpoint and the images."
        )
        return analysis
    if not choose(
        "probes", [False, True], False, partial(_switch, label=f"Measure probes of {view.title}")
    ):
        return analysis
    settings = replace(behind.settings, metrics=("probes",))
    run = result_of(
        f"probes_{view.run}",
        "core.analysis:run",
        replace(behind, settings=settings),
        "Linear probes",
    )
    if run is None:
        return analysis
    measured = {a.name: a for a in analysis_of(run, None, None).layers}
    layers = tuple(
        replace(
            a,
            probe_accuracy=measured[a.name].probe_accuracy,
            probe_strength=measured[a.name].probe_strength,
        )
        if a.name in measured
        else a
        for a in analysis.layers
    )
    return replace(analysis, layers=layers)


def _switch(options: list[bool], key: str, label: str) -> bool:
    return st.toggle(label, key=key, help="Logistic regression at every layer; takes seconds.")

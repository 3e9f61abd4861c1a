"""What the Robustness page compares, where its tables come from, and what is computed live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from core import library
from core.comparison.findings import Finding
from core.data.corruptions import SEVERITIES
from core.figures import theme
from core.figures.robustness import seen
from core.figures.theme import number, significant
from core.request import AnalysisRequest
from core.results import Settings
from core.robustness import kept, summary
from core.robustness.comparisons import COMPARISONS, Comparison
from core.robustness.request import NORMS, SeenRequest
from core.robustness.results import Seen
from core.robustness.summary import Side
from core.robustness.table import Row, family_title
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card
from pages._ui.choices import choose
from pages._ui.live import result_of
from pages._ui.verdicts import verdict_line
from pages._ui.view import View

THIS = "this"
CORRUPTIONS_JOB = "core.robustness.corruptions:run"
ATTACKS_JOB = "core.robustness.attacks:run"
SEEN_JOB = "core.robustness.seen:run"
LOOKS = {"corruptions": "Corruptions", "attacks": "Attacks", "calibration": "Calibration"}
KNOB_NAMES = {"lam": "λ", "top_k": "k"}
LAMBDA_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)  # times that of training


@dataclass(frozen=True, slots=True)
class Compared:
    """Both kinds of network of a comparison, with one pair for every share of random labels."""

    key: str
    comparison: Comparison
    plains: tuple[Side, ...]
    sparses: tuple[Side, ...]

    @property
    def measured(self) -> bool:
        sides = (*self.plains, *self.sparses)
        return any(s.corruptions or any(s.attacks.values()) for s in sides)

    @property
    def attacked(self) -> bool:
        return any(found for side in self.sparses for found in side.attacks.values())

    @property
    def of_transformers(self) -> bool:
        return self.comparison.knob == "top_k"

    def pair(self, noise: int) -> tuple[Side, Side]:
        """Plain and sparse network of that share of random labels."""
        at = self.comparison.noise.index(noise)
        return self.plains[at], self.sparses[at]


def choose_comparison() -> str:
    """A key of COMPARISONS, or THIS. An upload, or a run that is not bundled, is looked at itself;
    a bundled run in the comparison that it is part of."""
    titles = {key: one.title for key, one in COMPARISONS.items()}
    return choose(
        "compare",
        [*titles, THIS],
        _default(),
        partial(
            st.selectbox,
            "Networks",
            format_func=lambda k: titles.get(k, "The checkpoint in the sidebar"),
            width=340,
        ),
    )


def _default() -> str:
    chosen = str(st.session_state.get("choice_run", ""))
    run = library.find(chosen)
    if run is None or run.folder.parent != library.BUNDLED_RUNS:
        return THIS if chosen else next(iter(COMPARISONS))
    for key, one in COMPARISONS.items():
        if run.recipe in (*one.plain, *one.sparse):
            return key
    return next(iter(COMPARISONS))


def compared(key: str) -> Compared:
    """The tables of all seeds of a comparison; sides without tables are empty."""
    one = COMPARISONS[key]
    plain_name, _, sparse_name = one.title.partition(",")[0].partition(" and ")
    plains, sparses = (
        tuple(_side(title, recipe, noise) for recipe, noise in zip(recipes, one.noise, strict=True))
        for title, recipes in ((plain_name, one.plain), (sparse_name, one.sparse))
    )
    return Compared(key, one, plains, sparses)


def _side(title: str, recipe: str, noise: int) -> Side:
    found = [(run, kept.corruption_table(run)) for run in kept.runs_of(recipe)]
    measured = [(run, one) for run, one in found if one is not None]
    alike = summary.alike([one for _, one in measured])
    measured = [(run, one) for run, one in measured if any(one is other for other in alike)]
    runs = [run for run, _ in measured] or [run for run, _ in found]
    attacks = {norm: [kept.attack_table(run, norm) for run in runs] for norm in NORMS}
    return Side(
        title,
        tuple(run.id for run in runs),
        noise,
        alike,
        {norm: tuple(t for t in found if t is not None) for norm, found in attacks.items()},
    )


# --- controls ----------------------------------------------------------------------------------


def choose_family(families: tuple[str, ...], label: str = "Corruption") -> str:
    options = [summary.MEAN, *families] if len(families) > 1 else list(families)
    return choose(
        "family",
        options,
        options[0],
        partial(st.selectbox, label, format_func=family_title, width=200),
    )


def choose_severity(severities: tuple[int, ...], default: int, label: str = "Severity") -> int:
    return choose(
        "severity",
        list(severities),
        default if default in severities else severities[-1],
        partial(
            st.select_slider,
            label,
            format_func=lambda s: "clean" if s == 0 else str(s),
            width=220,
        ),
    )


def choose_one(key: str, label: str, options: dict[Any, str], default: Any) -> Any:
    """One of a few."""
    draw = partial(st.segmented_control, label, required=True, format_func=options.__getitem__)
    return choose(key, list(options), default, draw)


# --- cards -------------------------------------------------------------------------------------


def say(found: Finding | None, more: tuple[str, ...] = ()) -> None:
    """What the tables say, and the paper's claim beside it."""
    about = Reading(
        "Written by rules from the numbers on this page. ± is the standard error of the mean over "
        "the seeds. A difference of two means counts where it is beyond the 95 % limit of "
        "Student's t: with three seeds each, 2.8 standard errors; for two settings of the same "
        "three networks, 4.3. Anything less is called no difference that these seeds can show. "
        "Comparing many cells, one in twenty differs by chance alone.",
        r"|\bar a-\bar b|>t_{0.975}\,s\sqrt{1/m+1/n}",
        "Student 1908",
    )
    with card("robustness_finding", "What these runs show", about):
        if found is None:
            st.markdown("The runs of this comparison were not measured in this way.")
            return
        st.markdown(f"*{plain(found.claim)}*")
        st.markdown(f"{verdict_line(found.verdict)} {found.text}")
        if more:
            st.markdown("\n".join(f"- {text}" for text in more))
        st.caption(plain(f"Claim: {found.paper}"))


def table_card(
    key: str, title: str, rows: list[Row], reading: Reading, note: str, csv: Any = None
) -> None:
    """Rows of text, what they are means over, and all their numbers as CSV (``csv()`` text)."""
    with card(key, title, reading):
        with st.container(key=f"wide_{key}"):
            st.table(rows, border="horizontal", hide_index=True)
        st.caption(plain(note))
        if csv is not None:
            st.download_button(
                "All numbers as CSV",
                data=csv,
                file_name=f"featurescope-{key}.csv",
                mime="text/csv",
                key=f"csv_of_{key}",
                on_click="ignore",
                type="tertiary",
                icon=":material/download:",
            )


# --- live --------------------------------------------------------------------------------------


def network_of(run_id: str, data: str) -> AnalysisRequest | None:
    """The last checkpoint of a bundled run, read as its metadata say; None without its file."""
    run = library.find(run_id)
    if run is None or not run.checkpoints or not run.checkpoint_path(None).is_file():
        return None
    return AnalysisRequest(
        str(run.checkpoint_path(None)), data, checkpoint_name=run.title, settings=Settings()
    )


def fresh(request: AnalysisRequest) -> AnalysisRequest:
    """On the best device there is here: an analysis remembers the one that it was made on."""
    return replace(request, settings=replace(request.settings, device="auto", max_images=None))


def pixels_of(view: View) -> int:
    """Numbers in one input of the network."""
    count = 1
    for size in view.analysis.layers[0].shape if view.analysis.layers else ():
        count *= size
    return count


def settings_for(knob: str, values: list[float], trained: float | None) -> list[float]:
    """Steps of the live slider: the settings of the table, and for λ finer ones."""
    more = [trained * step for step in LAMBDA_STEPS] if knob == "lam" and trained else []
    every = [*values, *more, *([] if trained is None else [trained])]
    return sorted({round(float(value), 4) for value in every})


def seen_card(
    request: SeenRequest, knob: str, values: list[float], trained: float | None, title: str
) -> None:
    """Images as the network sees them: severity and setting at will, computed when they change."""
    symbol = KNOB_NAMES.get(knob)
    large = frame.style("large")
    about = Reading(
        "A few test images, corrupted in the way and strength chosen, and the accuracy at this "
        "setting. "
        + (
            "Az is what the first layer's atoms make of the image: what the rest of the network "
            "gets to know of it. The residual x − Az is what is left out; with a larger λ more is "
            "left out, noise and detail alike."
            if knob == "lam"
            else "k is how many hidden activations every token keeps in every block."
            if knob == "top_k"
            else ""
        )
        + " Hover an image for its class and what the network says.",
        r"x\approx Az,\quad z=\arg\min_z\tfrac12\|x-Az\|^2+\lambda\|z\|_1" * (knob == "lam"),
    )
    with card("robustness_seen", "What the network sees", about):
        left, right = st.columns([1, 3])
        with left:
            st.caption(plain(f"{title}, {family_title(request.family)}"))
            severity = choose(
                "seen_severity",
                [0, *SEVERITIES],
                3,
                partial(
                    st.select_slider,
                    "Severity",
                    format_func=lambda s: "clean" if s == 0 else str(s),
                ),
            )
            setting = None
            if symbol is not None and trained is not None:
                at = round(trained, 4)
                setting = choose(
                    "setting",
                    settings_for(knob, values, trained),
                    at,
                    partial(
                        st.select_slider,
                        f"{symbol} at test time (training: {at:g})",
                        format_func=lambda v: f"{v:g}",
                    ),
                )
            asked = replace(request, severity=severity, setting=setting)
        with right:
            found: Seen | None = result_of("robustness_seen", SEEN_JOB, asked, "Running it")
            if found is None:
                return
            with st.container(key="wide_robustness_seen"):
                st.plotly_chart(
                    seen(found.png, found.rows, found.columns, large),
                    theme=None,
                    key="chart_robustness_seen",
                    alt="Images, corrupted images, and what the network's first layer keeps.",
                    config=theme.config(large, "featurescope-robustness-seen"),
                )
        with left:
            st.metric(
                "Accuracy",
                number(100 * found.correct, 1, " %"),
                border=True,
                help=f"Of {found.images:,} images, this network alone",
            )
            rest = []
            if found.nonzero is not None:
                what = "the code" if knob == "lam" else "the hidden activations"
                rest.append(f"{number(100 * found.nonzero, 1)} % of {what} are not zero")
            if found.error is not None:
                rest.append(f"reconstruction error {significant(found.error)}")
            st.caption(" · ".join(rest))

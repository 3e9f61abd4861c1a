"""The part of the Robustness page that measures the checkpoint of the sidebar, uploads too."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core import library
from core.data.corruptions import FAMILIES as ALL_FAMILIES
from core.figures import robustness as figures
from core.figures.robustness import Shown
from core.figures.theme import number
from core.metrics.calibration import ece
from core.request import AnalysisRequest
from core.robustness import findings, summary, table
from core.robustness.request import (
    FAMILIES,
    NORMS,
    RADII,
    AttackRequest,
    CorruptionRequest,
    SeenRequest,
)
from core.robustness.results import AttackTable, CorruptionTable
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.live import result_of
from pages._ui.robustness import (
    ATTACKS_JOB,
    CORRUPTIONS_JOB,
    KNOB_NAMES,
    choose_family,
    choose_one,
    choose_severity,
    fresh,
    pixels_of,
    seen_card,
    table_card,
)
from pages._ui.source import missing, request_behind
from pages._ui.view import View
from pages._ui.wanted import Wanted, make

NONE = "none"
WHICH = {"noise": "Noise", "all": "All nine"}
SMALL = 3 * 64 * 64  # numbers in an input up to which a network takes milliseconds an image
STEPS, MORE_STEPS = 20, 50
OTHERS = {"lam": (0.5, 1.5, 2.0, 3.0, 4.0, 6.0), "top_k": (0.25, 0.5, 2.0, 4.0)}
WILSON = "95 % interval over the images (Wilson 1927): one network, so nothing is said of seeds."


def this_checkpoint(look: str) -> None:
    """Corruptions, attacks or calibration of what the sidebar chose, computed here."""
    view = st.session_state["view"]
    if isinstance(view, Wanted):
        make(view)
        return
    if not isinstance(view, View):
        frame.empty(str(view), "Open your own checkpoint", "pages/open_your_own.py")
        return
    st.caption(plain(f"{view.title} · {view.line}"))
    behind = behind_of(view)
    if behind is None:
        return
    if look == "attacks":
        attacks(view, behind)
    else:
        corruptions(view, behind, look)


def behind_of(view: View) -> AnalysisRequest | None:
    """The network and its labelled images; says in one sentence what is missing."""
    text = ""
    if view.of_features:
        text = "A feature file holds no network, so nothing can be corrupted or attacked."
    elif not view.analysis.layers or view.analysis.data is None:
        text = (
            "Only the weights of this checkpoint were read: robustness needs a network that can "
            "be run, and labelled images of its classes."
        )
    elif view.analysis.accuracy is None:
        text = (
            "This network was not trained on the classes of these images, so there is no right "
            "answer: open it with images of its own classes."
        )
    if text:
        frame.empty(text, "Open your own", "pages/open_your_own.py")
        return None
    request = request_behind(view)
    if request is None:
        frame.empty(missing(view), "Open your own", "pages/open_your_own.py")
        return None
    return fresh(request)


def choose_images(view: View, sizes: tuple[int, ...]) -> int:
    """How many of the images; fewer where the network is large."""
    assert view.analysis.data is not None
    there = view.analysis.data.images
    if pixels_of(view) > SMALL:
        sizes = tuple(max(10, size // 10) for size in sizes)
    options = [size for size in sizes if size < there]
    if len(options) < len(sizes):
        options.append(there)
    labels = {size: f"{size:,}" for size in options}
    return int(choose_one("images", "Images", labels, options[0]))


# --- corruptions and calibration ---------------------------------------------------------------


def corruptions(view: View, behind: AnalysisRequest, look: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="robustness_own"):
        which = choose_one("which", "Corruptions", WHICH, "noise")
        images = choose_images(view, (200, 500, 2000))
        families = FAMILIES if which == "noise" else tuple(ALL_FAMILIES)
        request = CorruptionRequest(behind, families, max_images=images)
        family = choose_family(families) if look == "calibration" else summary.MEAN
        severity = choose_severity((1, 2, 3, 4, 5), 3) if look == "calibration" else 3
    found: CorruptionTable | None = result_of(
        "robustness_corruptions", CORRUPTIONS_JOB, request, "Corrupting the images"
    )
    if found is None:
        return
    if look == "calibration":
        one_calibration(view, found, family, severity)
        return
    words = findings.one_network_in_words(found)
    with card("robustness_finding", "Measured", Reading(f"Written by rules. {WILSON}")):
        st.markdown(words)
    left, right = st.columns(2)
    with left:
        table_card(
            "robustness_severity",
            "Severity",
            family_rows(found),
            Reading(
                "Percent of the images that are right. Severities 1 to 5 are those of CIFAR-10-C "
                "for small images and of ImageNet-C for large ones.",
                source="Hendrycks and Dietterich, ICLR 2019",
            ),
            f"{found.images:,} images of {found.data}; an interval goes up to "
            f"± {98 / found.images**0.5:.1f} points around a number.",
            partial(table.corruptions_csv, [summary.Side(view.title, corruptions=(found,))]),
        )
    with right:
        large = frame.style("large")
        figure_card(
            "robustness_curves",
            "Accuracy by severity",
            figures.by_severity(
                own_lines(found), found.severities, large, chance=100 / found.classes
            ),
            large,
            Reading(f"One line a kind of corruption. Bands: {WILSON}"),
            alt="Accuracy against severity, one line a kind of corruption.",
        )
    own_knob(request, found, view.title)
    seen = SeenRequest(behind, families[0], max_images=min(images, 500))
    if found.knob:
        family = choose_family(families, "Corruption shown")
        seen = SeenRequest(
            behind, families[0] if family == summary.MEAN else family, max_images=min(images, 500)
        )
    seen_card(seen, found.knob, found.values.tolist(), found.trained, view.title)


def family_rows(found: CorruptionTable) -> list[table.Row]:
    at = summary.setting_index(found, None)
    return [
        {"corruption": table.family_title(family)}
        | {
            "clean" if not severity else str(severity): number(
                100 * float(found.correct[f, s, at]), 1
            )
            for s, severity in enumerate(found.severities)
        }
        for f, family in enumerate(found.families)
    ]


def own_lines(found: CorruptionTable) -> list[Shown]:
    at = summary.setting_index(found, None)
    lines = []
    for f, family in enumerate(found.families):
        shares = [float(v) for v in found.correct[f, :, at]]
        bounds = [findings.wilson(v, found.images) for v in shares]
        title = table.family_title(family)
        lines.append(Shown.with_interval(title, [100 * v for v in shares], bounds))
    return lines


def own_knob(request: CorruptionRequest, found: CorruptionTable, title: str) -> None:
    """Other settings of λ or k, where the network has one, when the reader asks for them."""
    symbol = KNOB_NAMES.get(found.knob)
    if symbol is None or not found.trained:
        return
    wanted = choose(
        "settings",
        [False, True],
        False,
        partial(toggle, f"Also at other {symbol} (takes several times as long)"),
    )
    if not wanted:
        return
    values = tuple(
        float(max(1, round(found.trained * k))) if found.knob == "top_k" else found.trained * k
        for k in OTHERS[found.knob]
    )
    asked = CorruptionRequest(
        request.network, request.families, values=values, max_images=request.max_images
    )
    whole: CorruptionTable | None = result_of(
        "robustness_settings", CORRUPTIONS_JOB, asked, f"Trying other {symbol}"
    )
    if whole is None:
        return
    large = frame.style("large")
    figure_card(
        "robustness_by_setting",
        f"Accuracy against {symbol}",
        figures.by_setting(
            summary.by_setting([whole], summary.MEAN),
            whole.values,
            whole.severities,
            whole.trained,
            whole.knob,
            large,
        ),
        large,
        Reading(
            f"Mean over the families, one line a severity; the ring is the best {symbol} of each, "
            "on these images and in hindsight. One network."
        ),
        alt=f"Accuracy against {symbol}, one line a severity, the best one marked.",
    )
    side = summary.Side(title, corruptions=(whole,))
    st.caption(plain(findings.best_setting_in_words(side).replace("**", "")))


def toggle(label: str, options: list[bool], key: str) -> bool:
    """A toggle as ``choose`` draws it."""
    return st.toggle(label, key=key)


def one_calibration(view: View, found: CorruptionTable, family: str, severity: int) -> None:
    columns = st.columns(3)
    for column, at in zip(columns, (0, severity), strict=False):
        with column:
            style = frame.style()
            pooled = summary.pooled([found], family, at)
            figure_card(
                f"robustness_reliability_{at}",
                f"Severity {at}" if at else "Clean images",
                figures.reliability_diagram([(view.title, pooled)], style),
                style,
                Reading(
                    "Accuracy of the images in 15 bins of confidence, the probability that the "
                    "network gives its prediction. Below the dashed diagonal it claims too much. "
                    "Open symbols are bins of fewer than 20 images.",
                    r"\mathrm{ECE}=\sum_b\tfrac{n_b}{n}\,|\mathrm{acc}_b-\mathrm{conf}_b|",
                    "Guo et al., ICML 2017",
                ),
                alt="Accuracy by confidence against the diagonal.",
            )
            error = ece(pooled)
            over = 100 * summary.overconfidence(pooled)
            st.caption(
                f"ECE {number(None if error is None else 100 * error, 1)} %; confidence claims "
                f"{number(abs(over), 1)} points too {'much' if over > 0 else 'little'} on average."
            )
    with columns[2]:
        style = frame.style()
        figure_card(
            "robustness_ece",
            "Calibration error",
            figures.by_severity(
                [
                    Shown.of(table.family_title(name), summary.calibration([found], name))
                    for name in found.families
                ],
                found.severities,
                style,
                "ECE (%)",
            ),
            style,
            Reading(
                "Expected calibration error by severity, one line a kind of corruption. For few "
                "images it comes out too large, as chance moves every bin.",
                source="Guo et al., ICML 2017",
            ),
            alt="Expected calibration error against severity.",
        )


# --- attacks -----------------------------------------------------------------------------------


def attacks(view: View, behind: AnalysisRequest) -> None:
    names = {norm: findings.NORM_NAMES[norm] for norm in NORMS}
    with st.container(horizontal=True, vertical_alignment="bottom", key="robustness_own"):
        norm = choose_one("norm", "Norm of the attack", names, "linf")
        images = choose_images(view, (100, 300, 1000))
        source = choose_source(view)
    request = AttackRequest(
        behind,
        norm,
        RADII[norm],
        source=None if source is None else source[0],
        restarts=1,
        steps=STEPS,
        more_steps=MORE_STEPS,
        max_images=images,
        source_name="" if source is None else source[1],
    )
    wanted = choose("attack", [False, True], False, partial(toggle, "Attack this network"))
    if not wanted:
        st.caption(
            f"Projected gradient descent with {STEPS} and {MORE_STEPS} steps at every radius: it "
            f"runs the network about {len(RADII[norm]) * 2 * (STEPS + MORE_STEPS):,} times on each "
            "image, forwards and backwards. It can be cancelled."
        )
        return
    found: AttackTable | None = result_of(
        "robustness_attacks", ATTACKS_JOB, request, "Attacking the network"
    )
    if found is None:
        return
    classes = len(view.class_names)
    with card("robustness_finding", "Measured", Reading(f"Written by rules. {WILSON}")):
        st.markdown(findings.one_attack_in_words(found, classes))
        if found.warnings:
            st.warning(
                "**Signs of masked gradients**: PGD may say more of the attack than of the "
                "network. " + " ".join(plain(text) for text in found.warnings),
                icon=":material/visibility_off:",
            )
        if found.transfer is None:
            st.caption("Nothing was transferred: choose another network to take images from.")
    left, right = st.columns(2)
    with left:
        table_card(
            "robustness_attacks",
            "Attacks by radius",
            table.one_attack_rows(found),
            Reading(
                "Percent of the images right after an attack up to a radius. *PGD*: many small "
                "steps that raise the loss, each followed by a return into the ball around the "
                "image. *L∞*: no pixel changes by more than the radius; *L2*: the changes have at "
                "most that length; pixels go from 0 to 1. *Random*: perturbations of that size "
                "without a gradient. *Transferred*: images made against another network. *Survives "
                "all*: right under every one.",
                source="Madry et al., ICLR 2018; Athalye, Carlini and Wagner, ICML 2018",
            ),
            f"{found.images:,} images of {found.data}.",
            partial(table.attacks_csv, [summary.Side(view.title, attacks={norm: (found,)})]),
        )
    with right:
        large = frame.style("large")
        at = summary.setting_index(found, None)
        lines = {}
        for attack in ("worst", "white"):
            shares = [float(v) for v in getattr(found, attack)[:, at]]
            bounds = [findings.wilson(v, found.images) for v in shares]
            lines[attack] = [Shown.with_interval(view.title, [100 * v for v in shares], bounds)]
        figure_card(
            "robustness_radius",
            "Accuracy by radius",
            figures.by_radius(
                lines["worst"], lines["white"], found.radii, norm, large, 100 / classes
            ),
            large,
            Reading(f"Solid: every attack that was tried; dotted: PGD alone. Band: {WILSON}"),
            alt="Accuracy against the radius of the attack.",
        )


def choose_source(view: View) -> tuple[str, str] | None:
    """File and title of another network, of the same data, whose adversarial images are tried."""
    own = library.find(view.run)
    data = None if own is None else {entry.id for entry in own.data}
    titles = {}
    for run_id, title in library.titles().items():
        run = library.find(run_id)
        if run is None or run_id == view.run or not run.checkpoint_path(None).is_file():
            continue
        shares = data is None or data & {entry.id for entry in run.data}
        if shares:
            titles[run_id] = title
    chosen = choose(
        "source",
        [NONE, *titles],
        NONE,
        partial(
            st.selectbox,
            "Transfer images from",
            format_func=lambda i: titles.get(i, "none"),
            width=300,
        ),
    )
    run = library.find(chosen)
    return None if run is None else (str(run.checkpoint_path(None)), run.title)

"""Robustness: accuracy under corruptions and attacks, what λ or k changes, and calibration."""

from functools import partial

import streamlit as st

from core.figures import robustness as figures
from core.figures.robustness import Shown
from core.figures.theme import Size
from core.robustness import findings, summary, table
from core.robustness.request import NORMS, SeenRequest
from core.robustness.summary import Side
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, figure_card
from pages._ui.robustness import (
    KNOB_NAMES,
    LOOKS,
    THIS,
    Compared,
    choose_comparison,
    choose_family,
    choose_one,
    choose_severity,
    compared,
    network_of,
    say,
    seen_card,
    table_card,
)
from pages._ui.robustness_one import this_checkpoint

SEVERITY = (
    "Severities 1 to 5 are those of CIFAR-10-C: Gaussian noise with a standard deviation of 0.04 "
    "to 0.10 of the range of a pixel, shot noise as of 500 to 50 photons, impulse noise that sets "
    "1 to 7 % of the values to black or white."
)
BAND = "Lines are means over the seeds, bands go from the worst seed to the best."
HENDRYCKS = "Hendrycks and Dietterich, ICLR 2019 (corruptions)"
DAI = "Dai et al., NeurIPS 2022, Revisiting sparse convolutional model for visual recognition"
CSC = r"z^*=\arg\min_z\tfrac12\|x-Az\|^2+\lambda\|z\|_1"
PGD = r"x'\leftarrow\Pi_{\|x'-x\|\le\varepsilon}\big(x'+\alpha\,\mathrm{step}(\nabla_{x'}L)\big)"
NOT_TRAINED = (
    "None of these networks was trained against attacks (adversarial training, Madry et al. 2018): "
    "this shows what an architecture buys by itself."
)
ECE = r"\mathrm{ECE}=\sum_b\tfrac{n_b}{n}\,|\mathrm{acc}_b-\mathrm{conf}_b|"


# --- corruptions, sparse coding ----------------------------------------------------------------


def sdnet_corruptions(found: Compared, family: str) -> None:
    one, sparse = found.pair(0)
    if not one.corruptions or not sparse.corruptions:
        say(None)
        return
    first = sparse.corruptions[0]
    more = findings.best_setting_in_words(sparse, family), findings.fit_in_words(sparse.corruptions)
    say(findings.corruption_finding(one, sparse, family), tuple(filter(None, more)))
    left, right = st.columns(2)
    with left:
        table_card(
            "robustness_severity",
            "Severity × λ",
            table.severity_rows(one, sparse, family),
            Reading(
                f"Accuracy in percent. {SEVERITY} λ weighs sparsity against fidelity in the "
                "first layer: the larger, the fewer atoms explain the image, and the more of the "
                "noise is left out. *As trained*: the λ of training at every severity. *Adaptive "
                "λ*: chosen for every image from its reconstruction error. ▲ and ▽: clearly better "
                "or worse than the plain network.",
                CSC,
                f"{DAI}; {HENDRYCKS}",
            ),
            note_of(sparse, one),
            partial(table.corruptions_csv, (one, sparse)),
        )
    with right:
        severity_curves(sdnet_lines(one, sparse, family), one, "Accuracy by severity")
    columns = st.columns(3)
    with columns[0]:
        setting_card(sparse, family)
    with columns[1]:
        fit_card(sparse)
    with columns[2]:
        chosen_card(sparse, family)
    with st.expander("Every λ at every severity"):
        table_card(
            "robustness_settings",
            "Accuracy at every λ",
            table.setting_rows(sparse, family),
            Reading("Accuracy in percent; the best λ of a row in bold."),
            note_of(sparse),
        )
    seen_section(found, sparse, first.families, family)


def note_of(*sides: Side) -> str:
    """What the cells of a table are means over."""
    seeds = sorted({len(side.corruptions) for side in sides})
    first = sides[0].corruptions[0]
    count = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    if seeds[-1] == 1:
        return f"One network each, {first.images:,} images of {first.data}; no error over seeds."
    own = 100 * (0.25 / first.images) ** 0.5
    return (
        f"Percent right, mean ± standard error over {count} seeds, {first.images:,} images of "
        f"{first.data}. All networks see the same images; as a sample these leave ± {own:.1f} "
        "points more at most."
    )


def sdnet_lines(one: Side, sparse: Side, family: str) -> list[Shown]:
    shown = [
        Shown.of(one.title, summary.accuracy(one.corruptions, family)),
        Shown.of(f"{sparse.title}, as trained", summary.accuracy(sparse.corruptions, family)),
    ]
    adaptive = summary.adaptive_accuracy(sparse.corruptions, family)
    if adaptive is not None:
        shown.append(Shown.of(f"{sparse.title}, adaptive λ", adaptive))
    return shown


def severity_curves(shown: list[Shown], one: Side, title: str) -> None:
    large = frame.style("large")
    first = one.corruptions[0]
    figure_card(
        "robustness_curves",
        title,
        figures.by_severity(shown, first.severities, large, chance=100 / first.classes),
        large,
        Reading(
            "Share of the test images that is right, by the strength of the corruption. Mind the "
            f"axis: it starts above 0 where the lines lie close together. {BAND} "
            f"{SEVERITY}",
            source=HENDRYCKS,
        ),
        alt="Accuracy against severity, one line a network.",
    )


def setting_card(sparse: Side, family: str, size: Size = "card") -> None:
    style = frame.style(size)
    first = sparse.corruptions[0]
    symbol = KNOB_NAMES.get(first.knob, "setting")
    figure_card(
        "robustness_by_setting",
        f"Accuracy against {symbol}",
        figures.by_setting(
            summary.by_setting(sparse.corruptions, family),
            first.values,
            first.severities,
            first.trained,
            first.knob,
            style,
        ),
        style,
        Reading(
            f"One line a severity, stronger colours for more noise; the ring is the best {symbol} "
            f"of each. {symbol} is changed in the finished network, which is not trained again. "
            + (
                "More noise asks for more sparsity: the rings should move to the right."
                if first.knob == "lam"
                else "k counts the hidden activations that every token keeps."
            )
            + " The rings are chosen on the test images themselves, in hindsight.",
            CSC if first.knob == "lam" else "",
            DAI if first.knob == "lam" else findings.TOP_K_PAPER,
        ),
        alt=f"Accuracy against {symbol}, one line a severity, the best one marked.",
    )


def fit_card(sparse: Side) -> None:
    style = frame.style()
    figure_card(
        "robustness_fit",
        "λ from the error",
        figures.setting_fit(sparse.corruptions, style),
        style,
        Reading(
            "How adaptive λ is chosen: on images apart from the test images, corrupted in every "
            "way, the reconstruction error r of the first layer and the λ of highest accuracy give "
            "one point each; the dashed line is fitted by least squares, one for every network. At "
            "test time an image's r gives its λ. r² is the share of the variance that the line "
            "explains.",
            r"\lambda(r)=a+b\,r,\quad r=\sqrt{\overline{(x-Az)^2}}",
            DAI,
        ),
        alt="Best λ against reconstruction error with fitted lines.",
    )


def chosen_card(sparse: Side, family: str) -> None:
    style = frame.style()
    first = sparse.corruptions[0]
    picked = summary.chosen(sparse.corruptions, family)
    title = "λ that was chosen"
    about = Reading(
        "The λ that the line gives the test images, by severity; the band is one standard "
        "deviation over the images. Beside it the λ that would have been best on these images, "
        "which no one knows beforehand.",
        source=DAI,
    )
    drawn = (
        figures.message("No λ was fitted to the reconstruction error.", style)
        if picked is None
        else figures.chosen_setting(
            *picked, summary.best_settings(sparse.corruptions, family), first.severities, style
        )
    )
    alt = "Chosen and best λ by severity."
    figure_card("robustness_chosen", title, drawn, style, about, alt=alt)


def seen_section(found: Compared, sparse: Side, families: tuple[str, ...], family: str) -> None:
    """The images as the first seed's network sees them, at a λ or k of the reader's."""
    request = network_of(sparse.runs[0], found.comparison.test_data) if sparse.runs else None
    if request is None:
        st.caption("The checkpoint of this network is not on this server: nothing to run live.")
        return
    first = sparse.corruptions[0]
    shown = family if family in families else families[0]
    seen_card(
        SeenRequest(request, shown), first.knob, first.values.tolist(), first.trained, sparse.title
    )


# --- corruptions, top-k ------------------------------------------------------------------------


def top_k_corruptions(found: Compared, noise: int, family: str, severity: int) -> None:
    plains, sparses = found.plains, found.sparses
    if not any(a.corruptions and b.corruptions for a, b in zip(plains, sparses, strict=True)):
        say(None)
        return
    say(findings.top_k_finding(plains, sparses, severity))
    measured = [
        (a, b) for a, b in zip(plains, sparses, strict=True) if a.corruptions and b.corruptions
    ]
    left, right = st.columns([3, 2])
    with left:
        table_card(
            "robustness_top_k",
            "Top-k and noise",
            table.top_k_rows(plains, sparses, severity),
            Reading(
                "Accuracy in percent on clean test images and on the same images corrupted. Of "
                "the *training* labels that share was exchanged at random; the test labels are "
                "true. *Top-k*: in every block's MLP each token keeps only its k largest hidden "
                f"activations, in training and at test time. {SEVERITY} ▲ and ▽: clearly better or "
                "worse than the plain transformer of the same row pair.",
                source=f"{findings.TOP_K_PAPER}; {HENDRYCKS}",
            ),
            f"Corruptions at severity {severity}. " + note_of(measured[0][1], measured[0][0]),
            partial(table.corruptions_csv, (*plains, *sparses)),
        )
    with right:
        label_noise_card(measured, family, severity)
    one, sparse = found.pair(noise)
    if not one.corruptions or not sparse.corruptions:
        st.caption(f"The networks of {noise} % random labels were not measured.")
        return
    left, right = st.columns(2)
    with left:
        shown = [
            Shown.of(side.title, summary.accuracy(side.corruptions, family))
            for side in (one, sparse)
        ]
        severity_curves(shown, one, f"By severity, {noise} % random")
    with right:
        setting_card(sparse, family, "large")
        st.caption(plain_bold(findings.best_setting_in_words(sparse, family)))
    seen_section(found, sparse, sparse.corruptions[0].families, family)


def plain_bold(text: str) -> str:
    """Captions are grey: bold would only be a darker grey."""
    return text.replace("**", "")


def label_noise_card(measured: list[tuple[Side, Side]], family: str, severity: int) -> None:
    large = frame.style("large")
    shown = []
    for kind in (0, 1):
        sides = [pair[kind] for pair in measured]
        at = sides[0].corruptions[0].severities.index(severity)
        values = [summary.accuracy(side.corruptions, family).values[:, at] for side in sides]
        shown.append(Shown.of(sides[0].title, summary.stacked(values)))
    first = measured[0][0].corruptions[0]
    what = "clean images" if not severity else f"{table.family_title(family)}, severity {severity}"
    figure_card(
        "robustness_labels",
        "Wrong training labels",
        figures.by_label_noise(
            shown, [pair[0].noise for pair in measured], large, 100 / first.classes
        ),
        large,
        Reading(
            f"Accuracy on test images ({what}) against the share of training labels that were "
            f"exchanged at random. {BAND}",
            source=findings.TOP_K_PAPER,
        ),
        alt="Accuracy against the share of random training labels, one line a network.",
    )


# --- attacks -----------------------------------------------------------------------------------


def attacks(found: Compared, noise: int, norm: str) -> None:
    one, sparse = found.pair(noise)
    first, second = one.attacks.get(norm, ()), sparse.attacks.get(norm, ())
    if not first or not second:
        say(None)
        return
    say(findings.attack_finding(one, sparse, norm), (NOT_TRAINED,))
    symbol = KNOB_NAMES.get(second[0].knob, "setting")
    table_card(
        "robustness_attacks",
        "Attacks",
        table.attack_rows(one, sparse, NORMS),
        Reading(
            "Percent of the images that are right before the attack and after it. *PGD*, "
            "projected gradient descent: many small steps that raise the loss, each followed "
            "by a return into the allowed ball, from several random starts. *L∞*: no pixel "
            "changes by more than ε; *L2*: the changes have a length of at most ε. Pixels go "
            "from 0 to 1. *Longer*: with more steps. *Transferred*: images made against the "
            "other network of the same seed. *Random*: perturbations of the same size without a "
            "gradient. *Survives all*: right under every one of them. *Tuned*: the "
            f"{symbol} that stands attacks on other images best. ▲ and ▽: clearly better or "
            "worse than the plain network.",
            PGD,
            "Madry et al., ICLR 2018; Athalye, Carlini and Wagner, ICML 2018",
        ),
        attack_note(one, sparse, norm),
        partial(table.attacks_csv, (one, sparse)),
    )
    masking(first + second, (one.title,) * len(first) + (sparse.title,) * len(second))
    left, right = st.columns(2)
    with left:
        radius_card(one, sparse, norm)
    with right:
        attacked_settings(sparse, norm)


def attack_note(one: Side, sparse: Side, norm: str) -> str:
    tables = sparse.attacks[norm]
    first = tables[0]
    seeds = sorted({len(one.attacks[norm]), len(tables)})
    count = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        f"Mean ± standard error over {count} seeds, {first.images:,} images of {first.data}; "
        f"{first.restarts} starts of {first.steps} steps, one of {first.more_steps}."
    )


def masking(tables: tuple, titles: tuple[str, ...]) -> None:
    """The warnings of the tables, one of a kind, and what they mean."""
    said: dict[str, str] = {}
    for title, one in zip(titles, tables, strict=True):
        for warning in one.warnings:
            said.setdefault(f"{title}: {warning}", warning)
    if said:
        with st.container(key="robustness_masking"):
            lines = "\n".join(f"- {plain(text)}" for text in said)
            st.warning(
                "**Signs of masked gradients.** The gradient leads an attack astray, so PGD "
                "finds fewer adversarial images than there are; its row then says more of the "
                f"attack than of the network. Only the last column counts.\n\n{lines}",
                icon=":material/visibility_off:",
            )
    else:
        st.caption(
            "No sign of masked gradients: more steps, transferred images and random perturbations "
            "find hardly anything that PGD does not, and a ball without limits leaves nothing."
        )


def radius_card(one: Side, sparse: Side, norm: str) -> None:
    large = frame.style("large")
    first, second = one.attacks[norm], sparse.attacks[norm]
    lines = {"worst": [], "white": []}
    for attack, shown in lines.items():
        for title, tables, setting in (
            (one.title, first, "trained"),
            (f"{sparse.title}, as trained", second, "trained"),
            (f"{sparse.title}, tuned", second, "tuned"),
        ):
            spread = summary.attacked(tables, attack, setting)
            if spread is not None:
                shown.append(Shown.of(title, spread))
    classes = next((t.classes for s in (one, sparse) for t in s.corruptions), None)
    figure_card(
        "robustness_radius",
        "Accuracy by radius",
        figures.by_radius(
            lines["worst"],
            lines["white"],
            second[0].radii,
            norm,
            large,
            100 / classes if classes else None,
        ),
        large,
        Reading(
            "What survives attacks up to a radius. Solid: every attack that was tried; dotted: "
            "PGD alone. Where the dotted line lies far above the solid one, PGD alone would have "
            f"claimed robustness that is not there. {BAND}",
            source="Madry et al. 2018; Athalye et al. 2018",
        ),
        alt="Accuracy against the radius of the attack, one line a network.",
    )


def attacked_settings(sparse: Side, norm: str) -> None:
    tables = sparse.attacks[norm]
    first = tables[0]
    if len(first.values) < 2:
        return
    large = frame.style("large")
    symbol = KNOB_NAMES.get(first.knob, "setting")
    found = {"clean": figures.clean_by_setting(tables)}
    for attack in summary.ATTACKS:
        spread = summary.attacked_by_setting(tables, attack)
        if spread is not None:
            found[attack] = spread.at(-1)
    radius = findings.radius_name(norm, float(first.radii[-1]))
    tuned = sorted(t.tuned for t in tables if t.tuned is not None)
    figure_card(
        "robustness_attacked_settings",
        f"Attacks against {symbol}",
        figures.attacks_by_setting(
            found,
            first.values,
            first.trained,
            tuned[len(tuned) // 2] if tuned else None,
            first.knob,
            large,
        ),
        large,
        Reading(
            f"Accuracy at radius {radius} against {symbol} at test time, one line an attack. "
            f"*Tuned* is the median over the seeds of the {symbol} chosen on other images. {BAND}",
            source=DAI if first.knob == "lam" else findings.TOP_K_PAPER,
        ),
        alt=f"Accuracy under every attack against {symbol}.",
    )


# --- calibration -------------------------------------------------------------------------------


def calibration(found: Compared, noise: int, family: str, severity: int) -> None:
    one, sparse = found.pair(noise)
    if not one.corruptions or not sparse.corruptions:
        say(None)
        return
    say(findings.calibration_finding(one, sparse, family, severity, found.of_transformers))
    first = sparse.corruptions[0]
    columns = st.columns(3)
    for column, at in zip(columns, dict.fromkeys((0, severity)), strict=False):
        with column:
            reliability_card([one, sparse], family, at)
    with columns[-1]:
        calibration_curves(
            [
                Shown.of(side.title, summary.calibration(side.corruptions, family))
                for side in (one, sparse)
            ],
            first.severities,
        )


def reliability_card(sides: list[Side], family: str, severity: int) -> None:
    style = frame.style()
    figure_card(
        f"robustness_reliability_{severity}",
        f"Severity {severity}" if severity else "Clean images",
        figures.reliability_diagram(
            [(side.title, summary.pooled(side.corruptions, family, severity)) for side in sides],
            style,
        ),
        style,
        Reading(
            "Images are sorted by the probability that the network gives its own prediction, the "
            "confidence, into 15 bins. A point shows how many of a bin's images are right. On the "
            "dashed diagonal confidence is what it should be; below it the network claims too "
            "much. Below, how many images fall into each bin; open symbols are bins of fewer than "
            "20 images. All seeds are counted together, so the ECE here can differ a little from "
            "their mean. ECE, the expected calibration error, is the "
            "mean distance to the diagonal, weighted by images.",
            ECE,
            "Guo et al., ICML 2017, On calibration of modern neural networks",
        ),
        alt="Accuracy by confidence against the diagonal, and the share of images in every bin.",
    )


def calibration_curves(shown: list[Shown], severities: tuple[int, ...]) -> None:
    style = frame.style()
    figure_card(
        "robustness_ece",
        "Calibration error",
        figures.by_severity(shown, severities, style, "ECE (%)", tall=True),
        style,
        Reading(
            "Expected calibration error by severity, as trained; 0 where confidence is right. "
            f"{BAND} For few images it comes out too large, as chance moves every bin.",
            ECE,
            "Guo et al., ICML 2017",
        ),
        alt="Expected calibration error against severity, one line a network.",
    )


# --- the page ----------------------------------------------------------------------------------

frame.guard(__file__)
frame.title("Robustness", line="What noise and attacks leave, what λ and k change, and calibration")
bar = st.container(horizontal=True, vertical_alignment="bottom", key="robustness_choices")
with bar:
    key = choose_comparison()
found = None if key == THIS else compared(key)
if found is not None and not found.measured:
    frame.empty(
        "The runs of this comparison were not measured on this server. Choose another one, or "
        "look at the checkpoint in the sidebar.",
        "Go to Overview",
        "pages/overview.py",
    )
    frame.stop()
looks = {k: v for k, v in LOOKS.items() if k != "attacks" or found is None or found.attacked}
with bar:
    look = choose_one("look", "Look at", looks, "corruptions")
if found is None:
    this_checkpoint(look)
else:
    first = next((t for s in (*found.sparses, *found.plains) for t in s.corruptions), None)
    noise, family, severity, norm = 0, summary.MEAN, 3, NORMS[0]
    with bar:
        if look == "attacks":
            names = {norm: findings.NORM_NAMES[norm] for norm in NORMS}
            norm = choose_one("norm", "Norm of the attack", names, norm)
        elif first is not None:
            family = choose_family(first.families)
            if look == "calibration" or found.of_transformers:
                severity = choose_severity(first.severities[1:], severity)
        if found.of_transformers:
            options = {n: f"{n} %" for n in found.comparison.noise}
            noise = choose_one("labels", "Random training labels", options, noise)
    if look == "attacks":
        attacks(found, noise, norm)
    elif look == "calibration":
        calibration(found, noise, family, severity)
    elif found.of_transformers:
        top_k_corruptions(found, noise, family, severity)
    else:
        sdnet_corruptions(found, family)

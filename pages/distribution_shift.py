"""Distribution shift: one network on its training split, test split, corrupted and other images."""

from functools import partial

import streamlit as st

from core.data.corruptions import FAMILIES, SEVERITIES
from core.figures import shift
from core.figures.shift import Shown
from core.figures.theme import number
from core.shift import QUANTITIES, Profile, compare, in_words, verdict
from core.shift.examples import ExamplesRequest
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.live import result_of
from pages._ui.shift import (
    NONE,
    Corruption,
    Splits,
    corrupted,
    every_severity,
    own_images,
    there,
)
from pages._ui.source import TEXTS

NAMES = {"nc1": "NC1", "separation": "separation D", "ncc_accuracy": "class-mean accuracy"}
HOW = {
    "nc1": (
        "Spread within classes over distance between them. Higher is less collapsed: a line that "
        "lies above another is less collapsed at every depth.",
        r"\mathrm{NC1}=\tfrac1K\operatorname{tr}(\Sigma_W\Sigma_B^\dagger)",
        "Papyan, Han and Donoho 2020",
    ),
    "separation": (
        "Spread within classes over distance between them, every image weighing the same. Higher "
        "is less separated.",
        r"D_l=\operatorname{tr}(S_W S_B^\dagger)",
        "He and Su, PNAS 2023",
    ),
    "ncc_accuracy": (
        "Share of images nearest to the mean of their own class, the means being those of the same "
        "data set. Lower is less collapsed.",
        r"\arg\min_k\|h-\mu_k\|",
        "Ben-Shaul and Dekel 2022",
    ),
}

BANDS = (
    "Bands are 95 % intervals: how far the line could lie with other images drawn from the same "
    "source."
)


def choose_corruption(splits: Splits) -> Corruption | None:
    names = [NONE, *FAMILIES]
    name = choose(
        "corruption",
        names,
        "gaussian_noise" if splits.profiles else NONE,
        partial(
            st.selectbox,
            "Corruption",
            format_func=lambda n: FAMILIES[n].title if n in FAMILIES else "none",
            width=240,
        ),
    )
    if name == NONE:
        return None
    severity = choose("severity", SEVERITIES, 3, partial(st.select_slider, "Severity", width=240))
    return Corruption(name, severity)


def by_layer(shown: list[Shown], quantity: str) -> None:
    large = frame.style("large")
    text, formula, source = HOW[quantity]
    figure_card(
        "shift_layers",
        "Collapse by layer",
        shift.by_layer(shown, large, quantity),
        large,
        Reading(f"{text} {BANDS}", formula, source),
        alt=f"{NAMES[quantity]} by layer, one line for each data set.",
    )


def words(pairs: list[tuple[Shown, Shown]], quantity: str) -> None:
    about = Reading(
        "A pair of data sets at a time: the ratio at the median layer (for accuracies the "
        "difference), and at how many layers the shifted one is less collapsed. The lecture's "
        "claim is that a shift means slightly less collapse at every depth. The sampling error is "
        "that of which images were drawn, from leaving out a twentieth of them at a time: with "
        "2,000 images it is large in the first layers.",
        source="Zhu, ICASSP 2023 short course, lecture 5",
    )
    with card("shift_words", "Measured", about):
        if not pairs:
            st.markdown("One data set alone: choose a corruption, or add your own images.")
        for reference, other in pairs:
            found = compare(reference.profile, other.profile, quantity)
            st.markdown(
                f"**{verdict(found)}** {in_words(found, spoken(reference), spoken(other))} "
                f"{accuracies(reference.profile, other.profile)}"
                f"{caution(reference.profile, other.profile)}"
            )


def spoken(one: Shown) -> str:
    return f"the {one.label}" if one.label.endswith(" split") else one.label


def accuracies(reference: Profile, other: Profile) -> str:
    if reference.accuracy is None or other.accuracy is None:
        return ""
    one, two = number(100 * other.accuracy, 1), number(100 * reference.accuracy, 1)
    return f"The network is right on {one}\u00a0% of the images, against {two}\u00a0%."


def caution(reference: Profile, other: Profile) -> str:
    if reference.classes != other.classes:
        return f" They have {reference.classes} and {other.classes} classes: compare with care."
    if reference.images != other.images:
        return (
            f" They hold {reference.images:,} and {other.images:,} images: means of fewer images "
            "are less certain."
        )
    return ""


def penultimate(shown: list[Shown]) -> None:
    style = frame.style()
    figure_card(
        "shift_penultimate",
        "At the penultimate layer",
        shift.penultimate(shown, style),
        style,
        Reading(
            "Each row is one number on a scale of its own from zero, each dot a data set. All but "
            "accuracy are 0 for a collapsed network, so that farther right is less collapsed. NC4 "
            "is the share of images that the classifier and the nearest class mean judge "
            "differently; NC3 how far the classifier's rows are from the class means.",
            source="Papyan, Han and Donoho 2020; CDNV: Galanti et al. 2022",
        ),
        alt="Accuracy and penultimate collapse metrics, one dot for each data set.",
    )


def severities(splits: Splits, corruption: Corruption) -> None:
    style = frame.style()
    specs = every_severity(splits, corruption.name, wanted=False)
    if None in specs and splits.behind is not None:
        wanted = choose(
            "sweep",
            [False, True],
            False,
            lambda options, key: st.toggle("Measure all five severities", key=key),
        )
        specs = every_severity(splits, corruption.name, wanted)
    family = FAMILIES[corruption.name]
    figure_card(
        "shift_severity",
        f"{family.title} by severity",
        shift.severity(specs, style),
        style,
        Reading(
            f"The same images from clean to severity 5. The parameter is the {family.meaning}: "
            f"{', '.join(map(str, family.small))} for small images such as CIFAR-10's, "
            f"{', '.join(map(str, family.large))} for images of 85 pixels and more.",
            source="Hendrycks and Dietterich, ICLR 2019 (CIFAR-10-C, ImageNet-C)",
        ),
        alt="Accuracy and NC1 at severities from 0 to 5.",
    )


def pictures(splits: Splits, corruption: Corruption) -> None:
    data = splits.base.profile.data
    if splits.behind is None or not data:
        return
    request = ExamplesRequest(data, corruption.name)
    made = result_of("shift_examples", "core.shift.examples:examples", request, "Example images")
    if made is None:
        return
    style, title = frame.style(), FAMILIES[corruption.name].title
    figure_card(
        "shift_examples",
        f"{title} on images",
        shift.examples(made.png, made.class_names, title, style),
        style,
        Reading(
            "Three images of the data set, clean and at severities 1 to 5, as the network sees "
            "them before its own preprocessing. Every image has its own random numbers, the same "
            "at every severity."
        ),
        alt=f"Three images, clean and with {title} of severities 1 to 5.",
    )


view = frame.view(__file__)
frame.heading("Distribution shift", view)
frame.needs_layers(view)
frame.needs(
    view.analysis.data is not None and not view.of_features,
    "A feature file holds no images that could be corrupted or replaced. Bring the checkpoint "
    "itself to compare data sets.",
)
frame.needs(not view.of_texts, TEXTS)
splits = there(view)
with st.container(horizontal=True, vertical_alignment="bottom", key="shift_choices"):
    quantity = choose(
        "quantity",
        list(QUANTITIES),
        "nc1",
        partial(st.segmented_control, "Quantity", required=True, format_func=NAMES.__getitem__),
    )
    corruption = choose_corruption(splits)
shifted = None
if corruption is not None:
    splits, shifted = corrupted(splits, corruption)
left, right = st.columns([3, 2])
with right, st.expander("Add your own images", icon=":material/add_photo_alternate:"):
    splits, own = own_images(splits)
first = [splits.reference] if splits.reference else []
others = [s for s in (shifted, own) if s is not None]
shown = [*first, splits.base, *others]
with left:
    by_layer(shown, quantity)
    pairs = [(s, splits.base) for s in first] + [(splits.base, s) for s in others]
    words(pairs, quantity)
with right:
    penultimate(shown)
if corruption is not None:
    left, right = st.columns(2)
    with left:
        pictures(splits, corruption)
    with right:
        severities(splits, corruption)
if splits.base.profile.data.startswith("cifar10"):
    st.caption(
        "The CIFAR-10 samples of this app are JPEG files, which is a shift itself: on the test "
        "images ResNet-20 reaches 81 % as JPEGs, and 91.7 % on the original pixels."
    )

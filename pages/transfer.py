"""Transfer: a network on data whose classes it never saw, beside one on its own classes."""

from functools import partial

import streamlit as st

from core import library
from core.errors import UserError
from core.figures.transfer import Network, two_phases
from core.results import Analysis
from core.text import plain
from core.transfer import classes_differ, phases_in_words, probes_in_words
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.probes import with_probes
from pages._ui.sidebar import analysis_of, own_analyses
from pages._ui.view import View

NONE = "none"
ACCURACIES = {"probe": "linear probe", "mean": "class mean"}
READING = {
    "probe": (
        "Below, the accuracy of a logistic regression fitted to three quarters of the images at "
        "each layer and tested on the rest, with its 95 % interval."
    ),
    "mean": "Below, the share of images nearest to the mean of their own class at each layer.",
}


def known() -> dict[str, View]:
    """The last checkpoint of every run, and this session's own analyses, by id."""
    own = own_analyses()
    found = {}
    for run_id in [*library.titles(), *own]:
        run = library.find(run_id)
        epoch = run.epochs[-1] if run is not None and run.epochs else None
        data = run.first_data if run is not None else None
        try:
            analysis = analysis_of(run_id, epoch, data)
        except UserError:
            continue  # a run that was not analysed
        if analysis.layers and analysis.data is not None:
            title = own[run_id] if run is None else run.title
            found[run_id] = View(title, epoch, analysis, analysis.layers[-1], run_id, data)
    return found


def choose_network(networks: dict[str, View]) -> View | None:
    """A network on other classes; the one of the sidebar where it is one. Own analyses may have
    as many classes as the data and yet others, so that all of them can be chosen."""
    foreign = [
        i
        for i, view in networks.items()
        if classes_differ(view.analysis)
        or (i in own_analyses() and not (view.of_features or view.of_texts))
    ]
    if not foreign:
        return None
    chosen = st.session_state["view"]
    own = chosen.run if isinstance(chosen, View) else ""
    default = own if own in foreign else foreign[0]
    name = choose(
        "network",
        foreign,
        default,
        partial(
            st.selectbox,
            "Network on other classes",
            format_func=lambda i: networks[i].title,
            width=420,
        ),
    )
    return networks[name]


def choose_beside(networks: dict[str, View], shown: View) -> View | None:
    """A network that classifies the classes of its data, or none."""
    others = [
        i
        for i, view in networks.items()
        if i != shown.run and view.analysis.accuracy is not None and not view.of_features
    ]
    name = choose(
        "beside",
        [NONE, *others],
        next(iter(others), NONE),
        partial(
            st.selectbox,
            "Beside it, on its own classes",
            format_func=lambda i: networks[i].title if i in networks else "none",
            width=320,
        ),
    )
    return networks.get(name)


def figure(networks: list[Network], accuracy: str) -> None:
    large = frame.style("large")
    figure_card(
        "two_phases",
        "Two phases",
        two_phases(networks, large, accuracy),
        large,
        Reading(
            "Above, the spread within classes over the distance between them, on a log axis. On "
            "other classes a network first makes them more separate, layer by layer, and then, "
            "near its end, less: the last layers serve the classes that it was trained on. The "
            "first shaded span is where NC1 of the first network falls, the second where it rises, "
            "by more than 10 %. "
            f"{READING[accuracy]} A second network is drawn at the same relative depth.",
            r"\mathrm{NC1}=\tfrac1K\operatorname{tr}(\Sigma_W\Sigma_B^\dagger)",
            "Zhu, ICASSP 2023 short course, lecture 5; Alain and Bengio 2016 (probes)",
        ),
        alt="NC1 and accuracy by relative depth, one line a network, with the phases shaded.",
        wide=True,
    )


def words(views: list[tuple[View, Analysis]]) -> None:
    about = Reading(
        "The first phase goes from the highest NC1 to the lowest one after it, the second from "
        "there to the highest one that follows. Rises below 10 % are within what another sample "
        "of images could bring about, and count as none."
    )
    with card("transfer_words", "Measured", about):
        for view, analysis in views:
            data = view.analysis.data
            outputs = analysis.layers[-1].dim
            st.markdown(
                f"**{plain(view.title)}** ({outputs:,} outputs, {data.classes} classes in "
                f"{plain(data.name)}, {data.images:,} images): {phases_in_words(analysis)} "
                f"{probes_in_words(analysis)}"
            )


def bring_your_own() -> None:
    about = Reading("The number of classes is what tells other classes from the network's own.")
    with card("transfer_own", "Bring your own", about):
        st.markdown(
            "Open any checkpoint together with any labelled images, such as a network trained on "
            "ImageNet and a ZIP file with a folder of images for each of your classes. The images "
            "are resized to what the network takes. When the analysis is done, come back: it is in "
            "the list above."
        )
        st.page_link(
            "pages/open_your_own.py", label="Open your own", icon=":material/arrow_forward:"
        )


frame.guard(__file__)
frame.title("Transfer", line="A network on data whose classes it never saw")
networks = known()
with st.container(horizontal=True, vertical_alignment="bottom", key="transfer_choices"):
    foreign = choose_network(networks)
    if foreign is not None:
        beside = choose_beside(networks, foreign)
        accuracy = choose(
            "reading",
            list(ACCURACIES),
            "probe",
            partial(
                st.segmented_control,
                "Accuracy of",
                required=True,
                format_func=ACCURACIES.__getitem__,
            ),
        )
if foreign is None:
    st.markdown("No network here was analysed on classes other than its own.")
else:
    views = [view for view in (foreign, beside) if view is not None]
    measured = [
        (view, with_probes(view) if accuracy == "probe" else view.analysis) for view in views
    ]
    figure([Network(view.title, analysis) for view, analysis in measured], accuracy)
    words(measured)
bring_your_own()

"""Overview: what this network is, its headline numbers, and five small figures."""

import json
from dataclasses import replace
from functools import partial

import streamlit as st

from core import reading, report
from core.figures import dimension, means, projections, topology, weights
from core.figures.theme import number
from core.metrics import geometry
from core.request import AnalysisRequest
from core.results import CheckpointSummary
from core.text import plain
from pages._ui import frame, jobs
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import link
from pages._ui.metrics import headline_row
from pages._ui.sidebar import request_of
from pages._ui.view import View

MATCHES = {
    "names": ("identified by names", "green"),
    "shapes": ("identified by shapes", "green"),
    "given": ("architecture given", "green"),
    "none": ("architecture unknown", "orange"),
}


def cosines_card(view: View, of: str) -> None:
    cosine = geometry.cosines(view.geometry, of)
    rows = of == "classifier"
    figure_card(
        "cosines",
        "Cosines of classifier rows" if rows else "Cosines of class means",
        means.cosine_matrix(cosine, view.class_names, frame.style()),
        frame.style(),
        Reading(
            "The neutral colour is the simplex ETF's value $-1/(K-1)$. Orange pairs are "
            "**closer** than that, blue pairs further apart. The scale is symmetric about the "
            "target.",
            r"\cos\angle(w_i,\,w_j)" if rows else r"\cos\angle(\mu_i-\mu_G,\ \mu_j-\mu_G)",
            "Papyan, Han and Donoho, PNAS 2020",
        ),
        alt="Matrix of cosines, class against class; neutral colour where a simplex ETF would be.",
        page=None if rows else "pages/class_means.py",
    )


def angles_card(view: View, of: str) -> None:
    cosine = geometry.cosines(view.geometry, of)
    rows = of == "classifier"
    figure_card(
        "angles",
        "Angles of classifier rows" if rows else "Angles between class means",
        means.pair_angles(cosine, view.class_names, frame.style()),
        frame.style(),
        Reading(
            "Every mark is one pair of classes. Under neural collapse all of them stand at the "
            "dashed line, the widest angle that $K$ directions can all keep from each other.",
            r"\arccos\frac{-1}{K-1}",
            "Papyan, Han and Donoho, PNAS 2020",
        ),
        alt="Histogram of the angles between pairs of classes, with the simplex ETF's angle.",
        page=None if rows else "pages/class_means.py",
    )


def dimension_card(view: View) -> None:
    style = frame.style()
    figure_card(
        "dimension",
        "Intrinsic dimension by layer",
        dimension.dimension_by_layer(view.analysis, style, selected=view.layer.name),
        style,
        Reading(
            "How many numbers it takes to say where a sample lies, layer by layer. It often "
            "rises at first and falls towards the output. The band is a 95 % interval.",
            r"F(\mu)=1-\mu^{-d},\quad \mu=r_2/r_1",
            "Facco et al. 2017; Ansuini et al. 2019",
        ),
        alt="Line of the TwoNN dimension from input to output, with K − 1 as reference.",
        page="pages/intrinsic_dimension.py",
    )


def betti_card(view: View) -> None:
    style = frame.style()
    some = topology.has_significant_holes(view.analysis)
    noise = (
        ""
        if some
        else " Here none does, in any class and layer; shown are **all** loops, noise included, at "
        "the scale where most are alive."
    )
    figure_card(
        "betti",
        "Loops (β₁) by layer and class" if some else "Loops (β₁), noise included",
        topology.betti_by_layer(view.analysis, style, at="rule" if some else "peak"),
        style,
        Reading(
            "Loops in the cloud of every class that stand out from sampling noise. A network "
            f"that untangles its classes brings them down to 0.{noise}",
            r"\beta_1(\varepsilon)=\operatorname{rank} H_1(\mathrm{VR}_\varepsilon)",
            "Naitzat, Zhitnikov and Lim, JMLR 2020; Fasy et al. 2014",
        ),
        alt="Heat map of the first Betti number, classes against layers.",
        page="pages/topology.py",
    )


def reading_card(view: View) -> None:
    about = "Written by fixed rules from the numbers of this analysis; nothing is guessed."
    with card("reading", "Reading", Reading(about)):
        for sentence in reading.sentences(view.analysis):
            st.markdown(sentence)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.page_link(
                "pages/class_means.py",
                label="Open class means",
                icon=":material/arrow_forward:",
                query_params=link(),
            )
            json_button(view)


def json_button(view: View) -> None:
    st.download_button(
        "Analysis as JSON",
        data=lambda: json.dumps(report.analysis_json(view.analysis), indent=1),
        file_name=f"{view.analysis.checkpoint.name}.json",
        mime="application/json",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
    )


def pca_card(view: View) -> None:
    style = frame.style()
    figure_card(
        "pca",
        "PCA of the features",
        projections.pca(view.layer, view.analysis.sample, view.class_names, style),
        style,
        Reading(
            "The two directions of largest variance at this layer. Large marks are class "
            "means; every class keeps its colour and symbol on all pages.",
            r"h \mapsto V_2^\top(h-\bar h)",
        ),
        alt="Scatter of the samples in the first two principal components, coloured by class.",
        page="pages/projections.py",
    )


def show_layers(view: View) -> None:
    """Headline numbers, then six cards three in a row, or four cards two in a row."""
    headline_row(view)
    cards = [pca_card, dimension_card, betti_card, reading_card]
    if view.geometry is not None and len(view.class_names) > 1:
        cards = [partial(cosines_card, of="means"), partial(angles_card, of="means"), *cards]
    width = 3 if len(cards) == 6 else 2
    for start in range(0, len(cards), width):
        for column, draw in zip(st.columns(width), cards[start : start + width], strict=True):
            with column:
                draw(view)


def show_weights(view: View) -> None:
    """What the weights alone tell, and what gives the rest."""
    style = frame.style()
    rows = view.geometry
    top = st.columns(3)
    if rows is not None and rows.classifier_gram is not None and len(rows.classifier_gram) > 1:
        with top[0]:
            cosines_card(view, "classifier")
        with top[1]:
            angles_card(view, "classifier")
    else:
        with top[0], card("rows", "Classifier rows", Reading("The last linear layer's weights.")):
            st.markdown("No weight looks like a classifier, so there are no rows to compare.")
    with top[2]:
        rest_card(view)
    left, right = st.columns(2)
    with left:
        figure_card(
            "spectra",
            "Spectra of the weights",
            weights.weight_spectra(view.analysis.weights, style),
            style,
            Reading("Singular values of every weight, each relative to its largest."),
            alt="Lines of singular values, one for each weight tensor.",
        )
    with right:
        figure_card(
            "zeros",
            "Zeros in the weights",
            weights.weight_zeros(view.analysis.weights, style),
            style,
            Reading("Share of entries that are exactly 0: above 0 where a network was pruned."),
            alt="Share of zero entries for each weight tensor.",
        )


def rest_card(view: View) -> None:
    with card("rest", "What gives the rest", Reading("Features need a network that can be run.")):
        if view.analysis.checkpoint.architecture is None:
            st.markdown(
                "No known architecture has these tensors. Three ways to its features:\n"
                "1. `python -m core analyze CHECKPOINT --model FILE.py:FUNCTION` with your own "
                "constructor.\n"
                "2. Whoever starts this server names a folder of model files "
                "(`FEATURESCOPE_MODELS`).\n"
                "3. Run `docs/save_features.py` beside your model; it writes a feature file "
                "(`.npz`) to open here."
            )
        else:
            what = "lines of text" if view.of_texts else "images"
            st.markdown(f"The network is known, but there was no data. Open it again with {what}.")
        st.page_link("pages/open_your_own.py", label="Open your own", icon=":material/upload:")
        json_button(view)


def fits_card(view: View) -> None:
    """Networks and preprocessings that the tensors cannot tell apart, ranked on the data."""
    found = view.analysis.checkpoint
    ranked = any(candidate.accuracy is not None for candidate in found.candidates)
    order = (
        "They are ranked by accuracy on some images of every class."
        if ranked
        else "These data cannot rank them: that needs labelled images of the network's own classes."
    )
    about = Reading(
        "The tensors fit all of these: preprocessing leaves no trace in a checkpoint. " + order
    )
    rows = [
        f"| {plain(candidate.architecture)} | {plain(candidate.preprocessing)} "
        f"| {number(None if candidate.accuracy is None else 100 * candidate.accuracy, 1, ' %')} "
        f"| {'used' if candidate.architecture == found.architecture else ''} |"
        for candidate in found.candidates
    ]
    with card("fits", "Networks that fit this checkpoint", about):
        # Markdown, not st.table: that would import pandas for the first page of a server
        st.markdown("\n".join(["| Network | Preprocessing | Accuracy | |", "|-|-|-|-|", *rows]))
        if (request := request_of(link().get("run"))) is not None:
            analyse_as_another(request, found)
        else:
            st.caption(
                "To analyse it as another one, open the file under **Open your own** and choose "
                "that one under **Network and preprocessing**."
            )


def analyse_as_another(request: AnalysisRequest, found: CheckpointSummary) -> None:
    """Choose another of the networks that fit, and analyse the same files as that one."""
    others = [c.architecture for c in found.candidates if c.architecture != found.architecture]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Another one that fits", others, key="another", width=320)
        if st.button("Analyse again", icon=":material/refresh:"):
            settings = replace(request.settings, architecture=chosen)
            job = jobs.analyse(replace(request, settings=settings))
            st.switch_page("pages/open_your_own.py", query_params={"job": job.id})


view = frame.view(__file__)
analysis = view.analysis
if view.of_features:
    badges = [("feature file", "green")]
else:
    badges = [MATCHES.get(analysis.checkpoint.match, MATCHES["none"])]
if analysis.accuracy is not None:
    badges.append((f"{100 * analysis.accuracy:.1f} % accurate", "gray"))
frame.title(view.title, tuple(badges), view.line)
if view.layer is not None:
    show_layers(view)
else:
    show_weights(view)
if len(analysis.checkpoint.candidates) > 1:
    fits_card(view)
warnings = dict.fromkeys((*analysis.warnings, *(view.layer.warnings if view.layer else ())))
if warnings:
    st.warning("  \n".join(plain(w) for w in warnings), icon=":material/warning:")

"""Class means: their cosines, angles and norms against the simplex ETF, and NC1 to NC4."""

from functools import partial

import pandas as pd
import streamlit as st

from core.figures import means, projections
from core.figures.theme import number
from core.metrics import geometry
from core.results import ClassGeometry
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, presenting
from pages._ui.view import View

PAPYAN = "Papyan, Han and Donoho, PNAS 2020"
PROPERTIES = (
    ("nc1", "NC1 variability", r"$\frac{1}{K}\,\mathrm{tr}(\Sigma_W\Sigma_B^{\dagger})$"),
    ("nc1_quotient", "NC1 quotient", r"$\mathrm{tr}\,\Sigma_W\,/\,\mathrm{tr}\,\Sigma_B$"),
    ("cdnv", "NC1 class distance", r"$\mathrm{mean}_{k\neq k'}\frac{\sigma_k^2+\sigma_{k'}^2}"
     r"{2\|\mu_k-\mu_{k'}\|^2}$"),
    ("nc2_means", "NC2 simplex, means", r"$\|M^\top M/\|M^\top M\|_F-"
     r"\frac{I_K-\frac1K 11^\top}{\sqrt{K-1}}\|_F$"),
    ("nc2_classifier", "NC2 simplex, classifier", r"the same with $WW^\top$"),
    ("equinorm_means", "NC2 equal norms", r"$\mathrm{std}_k\|\tilde\mu_k\|\,/\,"
     r"\mathrm{mean}_k\|\tilde\mu_k\|$"),
    ("equiangularity", "NC2 equal angles", r"$\mathrm{mean}_{k\neq k'}\,|\cos(\tilde\mu_k,"
     r"\tilde\mu_{k'})+\frac{1}{K-1}|$"),
    ("nc3", "NC3 duality", r"$\|WM/\|WM\|_F-\frac{I_K-\frac1K 11^\top}{\sqrt{K-1}}\|_F$"),
    ("nc3_alignment", "NC3 alignment", r"$\|W/\|W\|_F-M^\top/\|M\|_F\|_F$"),
    ("nc4", "NC4 nearest class mean", r"$\Pr[\,\hat y_{\mathrm{linear}}\neq"
     r"\hat y_{\mathrm{nearest}}\,]$"),
)  # fmt: skip


def choices(means_of: ClassGeometry) -> tuple[str, str]:
    of = "means"
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        if means_of.classifier_gram is not None:
            of = choose(
                "of",
                ("means", "classifier"),
                "means",
                partial(
                    st.segmented_control,
                    "Means of",
                    required=True,
                    format_func={"means": "features", "classifier": "classifier rows"}.__getitem__,
                ),
            )
        order = choose(
            "order",
            ("data", "similarity"),
            "data",
            partial(
                st.segmented_control,
                "Order classes",
                required=True,
                format_func={"data": "as in data", "similarity": "by similarity"}.__getitem__,
            ),
        )
    return of, order


def matrix(view: View, of: str, order: str) -> None:
    cosine = geometry.cosines(view.geometry, of)
    large = frame.style("large")
    figure_card(
        "matrix",
        "Cosine between centred class means" if of == "means" else "Cosine of classifier rows",
        means.cosine_matrix(
            cosine,
            view.class_names,
            large,
            order=geometry.cluster_order(cosine) if order == "similarity" else None,
        ),
        large,
        Reading(
            "Under neural collapse every cell has the neutral colour, $-1/(K-1)$. Orange pairs "
            "are **closer** than that, blue ones further apart. Ordered by similarity, groups of "
            "related classes appear as orange blocks.",
            r"\cos\angle(\mu_i-\mu_G,\ \mu_j-\mu_G)",
            PAPYAN,
        ),
        alt="Matrix of cosines with the value in every cell, classes named at both sides.",
        wide=True,
    )


def angles(view: View, of: str) -> None:
    style = frame.style()
    figure_card(
        "angles",
        "Angles",
        means.pair_angles(geometry.cosines(view.geometry, of), view.class_names, style),
        style,
        Reading(
            "One mark for each pair of classes, in bins of 5°. The dashed line is the angle of "
            "the simplex ETF, where all pairs meet under neural collapse.",
            r"\arccos\frac{-1}{K-1}",
            PAPYAN,
        ),
        alt="Histogram of pair angles with the simplex ETF's angle.",
    )


def norms(view: View) -> None:
    style, shape = frame.style(), view.geometry
    rows = geometry.norms(shape, "classifier") if shape.classifier_gram is not None else None
    figure_card(
        "norms",
        "Norms",
        means.norms(geometry.norms(shape), rows, view.class_names, style),
        style,
        Reading(
            "Length of every centred class mean and classifier row, relative to the mean length. "
            "Under neural collapse all are 1.",
            r"\|\mu_k-\mu_G\|\ /\ \mathrm{mean}_j\|\mu_j-\mu_G\|",
            PAPYAN,
        ),
        alt="Dots of relative norms, one row for each class.",
    )


def in_table(value: float | None) -> str:
    """Three decimals, four where three would hide a small number."""
    return number(value, 4 if value is not None and 0 < abs(value) < 0.01 else 3)


def collapse_table(view: View) -> None:
    about = Reading(
        "Every number is 0 in a completely collapsed network. $M$ holds the centred class means "
        r"$\tilde\mu_k=\mu_k-\mu_G$ as columns, $W$ the classifier's rows.",
        source=f"{PAPYAN}; Zhu, ICASSP 2023, lecture 5; Galanti et al. 2022 (class distance)",
    )
    values = view.collapse
    rows = [
        (name, formula, in_table(getattr(values, key)), "0") for key, name, formula in PROPERTIES
    ]
    with card("collapse", "Neural collapse, NC1 to NC4", about), st.container(key="nc_table"):
        st.table(
            pd.DataFrame(rows, columns=["Property", "Formula", "Value", "Target"]),
            border="horizontal",
            hide_index=True,
        )
        missing = {values.reasons[k] for k, _, _ in PROPERTIES if k in values.reasons}
        if missing:
            st.caption("n/a: " + "; ".join(sorted(missing)))


def around(view: View) -> None:
    large = frame.style("large")
    if len(view.class_names) == 2 and view.layer.projection and view.analysis.sample:
        figure_card(
            "means_pca",
            "Class means among the samples",
            projections.pca(view.layer, view.analysis.sample, view.class_names, large),
            large,
            Reading(
                "Two centred class means lie on one line, so there is nothing to turn. These are "
                "the two directions of largest variance of the samples."
            ),
            alt="Scatter of the samples in two principal components, with both class means.",
        )
        return
    figure_card(
        "means_3d",
        "Class means in 3-D",
        means.means_3d(view.layer, view.analysis.sample, view.class_names, large),
        large,
        Reading(
            "Centred class means as rays in their three leading directions, and a sample around "
            "them. Drag to turn. Three dimensions cannot hold a simplex of more than four "
            "classes: read angles from the matrix.",
            source=PAPYAN,
        ),
        alt="Class means as rays from the centre, with samples around them.",
    )


def alignment_and_spread(view: View) -> None:
    style, shape = frame.style(), view.geometry
    left, right = st.columns(2)
    with left:
        if shape.classifier_coordinates is not None:
            figure_card(
                "alignment",
                "Classifier against means",
                means.alignment_matrix(geometry.alignment(shape), view.class_names, style),
                style,
                Reading(
                    "Row: classifier row $w_j$. Column: centred class mean $k$. Under "
                    "self-duality the diagonal is 1 and everything else $-1/(K-1)$.",
                    r"\cos\angle(w_j,\ \mu_k-\mu_G)",
                    PAPYAN,
                ),
                alt="Matrix of cosines between classifier rows and class means.",
            )
        else:
            with card("alignment", "Classifier against means", Reading("Needs a classifier.")):
                st.markdown(
                    "The classifier reads the **penultimate** layer. Choose it in the sidebar to "
                    "compare its rows with the class means."
                    if view.analysis.penultimate
                    else "There is no classifier in this file to compare with the class means."
                )
    with right:
        figure_card(
            "spread",
            "Spread within and between",
            means.spread(shape.within_trace, geometry.norms(shape), view.class_names, style),
            style,
            Reading(
                "How far the samples of a class lie from its mean, beside how far the mean lies "
                "from the centre. Collapse takes the first to 0 and leaves the second.",
                r"\sigma_k=\sqrt{\tfrac{1}{n_k}\sum_i\|h_{k,i}-\mu_k\|^2},\quad \|\mu_k-\mu_G\|",
                "Galanti, György and Hutter 2022",
            ),
            alt="Spread within each class beside the distance of its mean from the centre.",
        )


view = frame.view(__file__)
frame.heading("Class means", view)
frame.needs_layers(view)
frame.needs(
    view.geometry is not None and len(view.class_names) > 1,
    "Class means need two classes or more with their labels.",
)
of, order = choices(view.geometry)
if presenting():  # all figures have one height then
    left, right = st.columns(2)
    with left:
        matrix(view, of, order)
        norms(view)
    with right:
        angles(view, of)
        around(view)
    collapse_table(view)
else:
    left, right = st.columns([57, 43])
    with left:
        matrix(view, of, order)
    with right:
        angles(view, of)
        norms(view)
    left, right = st.columns([57, 43])
    with left:
        collapse_table(view)
    with right:
        around(view)
alignment_and_spread(view)

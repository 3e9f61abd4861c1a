"""Projections: a layer in two or three dimensions; the sample behind a point."""

from functools import partial

import streamlit as st

from core.figures import dimension, projections
from core.text import plain
from core.thumbnails import tile
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.view import View

KINDS = {"2d": "PCA in 2-D", "3d": "PCA in 3-D", "plane": "plane of three means"}
MULLER = "Müller, Kornblith and Hinton, NeurIPS 2019, figure 1"


def scatter(view: View, kind: str) -> object:
    """The large figure; returns the selection."""
    large = frame.style("large")
    names, sample = view.class_names, view.analysis.sample
    clicks = {"on_select": "rerun", "selection_mode": "points"}
    if kind == "plane":
        return figure_card(
            "plane",
            "Plane of three class means",
            projections.three_means_plane(view.layer, sample, names, three_classes(view), large),
            large,
            Reading(
                "The plane through the means of three classes, and the samples of those classes "
                "projected onto it. Tight, equally distant clusters are the picture of collapse.",
                r"h\mapsto Q^\top(h-\mu_a),\ \ \operatorname{span} Q=\{\mu_b-\mu_a,\mu_c-\mu_a\}",
                MULLER,
            ),
            alt="Scatter of three classes in the plane of their means.",
            **clicks,
        )
    dimensions = 3 if kind == "3d" else 2
    return figure_card(
        f"pca_{kind}",
        f"PCA in {dimensions}-D",
        projections.pca(view.layer, sample, names, large, dimensions, components(view, dimensions)),
        large,
        Reading(
            "Samples in the directions of largest variance; large marks are class means. What "
            "looks mixed here may be apart in further components: read the shares on the axes.",
            r"h \mapsto V^\top(h-\bar h)",
        ),
        alt=f"Scatter of the samples in {dimensions} principal components, coloured by class.",
        **({} if kind == "3d" else clicks),
    )


def three_classes(view: View) -> tuple[int, ...]:
    names = view.class_names
    chosen = []
    for place, key in enumerate(("a", "b", "c")):
        options = [k for k in range(len(names)) if k not in chosen]
        default = place if place in options else options[0]
        pick = partial(
            st.selectbox,
            f"Class {key}",
            format_func=names.__getitem__,
            label_visibility="collapsed",
        )
        with columns[place]:
            chosen.append(choose(f"class_{key}", options, default, pick))
    return tuple(chosen)


def components(view: View, dimensions: int) -> tuple[int, ...]:
    available = view.layer.projection.pca.shape[1]
    chosen = []
    for place in range(min(dimensions, available)):
        options = [c for c in range(1, available + 1) if c not in chosen]
        default = place + 1 if place + 1 in options else options[0]
        pick = partial(
            st.selectbox,
            f"{'xyz'[place]} axis",
            format_func=lambda c: f"PC {c}",
            label_visibility="collapsed",
        )
        with columns[place]:
            chosen.append(choose(f"{'xyz'[place]}_axis", options, default, pick))
    return tuple(c - 1 for c in chosen)


def picked_row(view: View, selection: object) -> int | None:
    """The row of ``Sample`` behind the first selected point: its id is the point's customdata."""
    points = getattr(getattr(selection, "selection", None), "points", None) or []
    data = points[0].get("customdata") if points else None
    value = data[0] if isinstance(data, list | tuple) and data else data
    ids = view.analysis.sample.ids.tolist()
    return ids.index(int(value)) if isinstance(value, int | float) and value in ids else None


def picked_card(view: View, row: int | None) -> None:
    sample = view.analysis.sample
    about = Reading("Click a point in the figure beside to see the sample it stands for.")
    with card("picked", "The sample behind a point", about):
        if row is None or not 0 <= row < len(sample.ids):
            bare = view.of_features or view.of_texts
            st.caption(f"Click a point to see its {'class' if bare else 'image'}.")
            return
        image = tile(sample, row)
        names = view.class_names
        label = names[int(sample.labels[row])]
        if image is None:
            line = f"Line {int(sample.ids[row]) + 1:,} of the texts."
            st.caption(line if view.of_texts else "No image was kept of this sample.")
        else:
            st.image(image, width=160, alt=f"Sample {int(sample.ids[row])}, {label}")
        st.markdown(f"**{plain(label)}**, sample {int(sample.ids[row])}")
        if sample.predictions is not None:
            guess = int(sample.predictions[row])
            right = guess == int(sample.labels[row])
            said = names[guess] if 0 <= guess < len(names) else f"class {guess}"
            st.markdown(f"Classified as {plain(said)}, {'right' if right else 'wrong'}.")


view = frame.view(__file__)
frame.heading("Projections", view)
frame.needs_layers(view)
frame.needs(
    view.layer.projection is not None and view.analysis.sample is not None,
    "No samples of this layer were kept for pictures.",
)
kinds = [k for k in KINDS if k != "plane" or len(view.class_names) > 2]
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
    kind = choose(
        "view",
        kinds,
        "2d",
        partial(st.segmented_control, "View", required=True, format_func=KINDS.__getitem__),
    )
    with st.container(horizontal=True, width="content", key="axes_row"):
        columns = [st.container(width=140) for _ in range(3)]
left, right = st.columns([68, 32])
with left:
    selection = scatter(view, kind)
with right:
    picked_card(view, picked_row(view, selection))
    if view.layer.dimension is not None:
        figure_card(
            "spectrum",
            "Explained variance",
            dimension.pca_spectrum(view.layer.dimension.all, frame.style()),
            frame.style(),
            Reading(
                "Share of variance of every principal component. A collapsed layer needs $K-1$.",
                r"\lambda_i/\textstyle\sum_j\lambda_j",
            ),
            alt="Share of variance by principal component.",
        )

"""Loss landscape: the loss around a network, between two, and along the path of a run."""

from functools import partial
from typing import Any, NoReturn

import pandas as pd
import streamlit as st

from core.figures import landscape as figures
from core.figures.landscape import ROOF, Shown
from core.figures.theme import significant
from core.landscape import KINDS
from core.landscape.reading import compared, in_words
from core.landscape.request import STATISTICS, default_size
from core.landscape.results import barrier, chance, highest, share_below
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.landscape import (
    Network,
    choose_second,
    choose_start,
    chosen,
    made,
    request_for,
    start_of,
)
from pages._ui.source import MISSING, TEXTS
from pages._ui.view import View

SOURCE = "Li, Xu, Taylor, Studer and Goldstein, NeurIPS 2018"
NORMALISED = r"d_{ij}\leftarrow\frac{d_{ij}}{\lVert d_{ij}\rVert}\lVert\theta_{ij}\rVert"
SPANS = (0.25, 0.5, 1.0, 2.0)
GRIDS = (13, 19, 25, 37, 49)
ALL = 1_000_000
IMAGES = (64, 128, 256, 512, 1024, ALL)
CHANCE = 0.0
LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, CHANCE)
SCALES = {"log": "log", "linear": "linear"}
PLACES = ("first", "second")


def one_of(label: str, names: dict[str, str], **more: Any):
    """A row of two to four choices."""
    names_of = names.__getitem__
    return partial(st.segmented_control, label, required=True, format_func=names_of, **more)


def how_fine(network: Network, kind: str) -> dict[str, Any]:
    """Grid, images, seed and statistics."""
    grid, over = default_size(network.request.data, kind)
    between = kind in ("between", "path")
    with st.expander("Grid, images and seed", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            draw = partial(st.select_slider, "Points along each direction")
            resolution = choose("grid", GRIDS, grid, draw)
            draw = partial(
                st.select_slider,
                "Images that the loss is a mean over",
                format_func=lambda n: "all" if n == ALL else f"{n:,}",
                help="A seeded draw with the same share of every class.",
            )
            images = choose("over", IMAGES, over, draw)
            seed = choose("draw", tuple(range(10)), 0, partial(st.select_slider, "Seed"))
        with right:
            span, lines = 1.0, 3
            if not between:
                draw = partial(
                    st.select_slider,
                    "Span to either side",
                    format_func=lambda s: f"{s:g}",
                    help="In norms of the filters: at 1 every filter has been moved by a random "
                    "one of its own length.",
                )
                span = choose("span", SPANS, 1.0, draw)
            if kind == "line":
                draw = partial(st.select_slider, "Random lines")
                lines = choose("directions", (1, 2, 3, 4, 5), 3, draw)
            draw = one_of(
                "Running statistics of batch normalisation",
                STATISTICS,
                help="As stored: those of the network; on a line between two checkpoints, a "
                "mixture of both. Measured again: from these images at every point, because "
                "statistics belong to the weights that they were measured with; it takes twice as "
                "long. Without batch normalisation there is no difference.",
            )
            default = "measured" if between else "kept"
            statistics = choose("statistics", list(STATISTICS), default, draw)
    return {
        "kind": kind,
        "resolution": resolution,
        "images": images,
        "seed": seed,
        "span": span,
        "lines": lines,
        "statistics": statistics,
    }


def ends_of(network: Network, start: Network | None, several: bool) -> tuple[str, str]:
    """What stands at both ends of the line between two checkpoints."""
    if several or start is None:
        return "start", "end"
    if start.id == network.id:
        return f"epoch {start.epoch}", f"epoch {network.epoch}"
    return start.name, network.name


def drawn_lines(shown: list[Shown], kind: str, log: bool, ends: tuple[str, str]) -> None:
    """Loss and accuracy beside each other."""
    style = frame.style("large")
    cut = "" if log else f" The axis ends at a loss of {ROOF:g}."
    if kind == "between":
        what = "between the two"
        how = Reading(
            "The straight line from one checkpoint to another, and a quarter of it beyond both. A "
            "rise between them says that they lie in different valleys **along this line**: a "
            "curved path between them may be flat, and the units of a layer can be permuted "
            "without changing what a network computes. Where weight decay has made a network "
            f"small, the line soon passes the origin beyond its end.{cut}",
            r"L\big((1-t)\,\theta_0+t\,\theta_1\big)",
            "Goodfellow, Vinyals and Saxe 2015; Frankle et al. 2020; Garipov et al. 2018 and "
            "Jordan et al. 2023 (statistics measured again)",
        )
    else:
        what = "on random lines"
        how = Reading(
            "Each line is a random direction through the network, every filter as long as the "
            "network's own. Lines that differ much from each other say how much a single slice "
            f"owes to its draw.{cut}",
            NORMALISED,
            SOURCE,
        )
    for column, quantity in zip(st.columns(2), ("loss", "accuracy"), strict=True):
        with column:
            figure_card(
                f"landscape_{quantity}",
                f"{quantity.capitalize()} {what}",
                figures.lines(shown, style, quantity, log, ends),
                style,
                how,
                alt=f"{quantity.capitalize()} {what}.",
            )


def drawn_planes(shown: list[Shown], kind: str, log: bool, level: float) -> None:
    """Contours and surface: beside each other for one network, a column each for two."""
    style = frame.style("large")
    scale = figures.scale_of([one.landscape for one in shown], log)
    how = (
        "Mean cross-entropy at every point of the plane, over the same images; the dashed line is "
        "the level chosen above."
    )
    if not log:
        how += f" Losses above {ROOF:g} are cut off there."
    if kind == "path":
        formula = r"\theta_E+a\,v_1+b\,v_2,\quad v_i\text{: PCA of }\theta_e-\theta_E"
        how += (
            " The plane holds as much of the run's path as two directions can. Circles are "
            "checkpoints as they fall on it; they lie off the plane, so their own loss (in the "
            "hover) differs from the colour beneath. Each axis has its own scale."
        )
    else:
        formula = NORMALISED
        how += (
            " The star is the network, the axes are two random directions whose filters are as "
            "long as the network's. Biases and normalisation parameters stay."
        )
    columns = st.columns(2)
    for i, one in enumerate(shown):
        of = f", {PLACES[i]} network" if len(shown) > 1 else ""
        with columns[i]:
            figure_card(
                f"landscape_contour_{i}",
                f"Contours{of}",
                figures.contour(one, style, scale, level),
                style,
                Reading(how, formula, SOURCE),
                alt=f"Contours of the loss around {one.name}.",
            )
            if len(shown) > 1:
                st.caption(plain(one.name))
        with columns[i if len(shown) > 1 else 1]:
            figure_card(
                f"landscape_surface_{i}",
                f"Surface{of}",
                figures.surface(one, style, scale),
                style,
                Reading(f"{how} Drag to turn.", formula, SOURCE),
                alt=f"Surface of the loss around {one.name}.",
            )


def directions_card(shown: list[Shown]) -> None:
    style = frame.style()
    figure_card(
        "landscape_variance",
        "How flat the path lies",
        figures.variance(shown, style),
        style,
        Reading(
            "Share of the variance of all checkpoints along each principal direction. Much in two "
            "directions is no sign of a simple path by itself: a random walk in many dimensions "
            "has 61 % and 15 % at evenly spaced steps. The dashed line is a random walk seen at "
            "this run's epochs.",
            r"\lambda_k\Big/\sum_j\lambda_j,\quad\lambda\text{ of the Gram matrix of }"
            r"\theta_e-\bar\theta",
            f"{SOURCE}; Antognini and Sohl-Dickstein, NeurIPS 2018 (random walk)",
        ),
        alt="Share of variance of the principal directions of the path.",
    )


def measured(shown: list[Shown], level: float) -> None:
    """Sentences by rule, and the numbers beneath the figures."""
    about = Reading(
        "Loss and accuracy are those of the checkpoint itself, with its own statistics. The "
        "largest loss shown is the sharpness of Keskar et al. in this slice; the share below the "
        "level counts points of the grid. Both depend on the slice: compare networks of one "
        "shape, with one seed and span, and look at another seed before you believe it.",
        r"\max_{a,b}L,\quad\tfrac1{n^2}\#\{L<\ell\}",
        "Keskar et al. 2017; Li et al. 2018",
    )
    with card("landscape_words", "In numbers", about):
        for one in shown:
            lead = f"**{plain(one.name)}.** " if len(shown) > 1 else ""
            st.markdown(f"{lead}{plain(in_words(one.landscape, level))}")
        if len(shown) > 1:
            one, other = shown
            names = (one.name, other.name)
            text = compared(one.landscape, other.landscape, names, level)
            st.markdown(f"**{plain(text)}**" if text else "")
        st.table(table(shown, level), border="horizontal", hide_index=True)
        for note in dict.fromkeys(w for one in shown for w in one.landscape.warnings):
            st.caption(plain(note[:1].upper() + note[1:] + "."))


def table(shown: list[Shown], level: float) -> pd.DataFrame:
    """A line a quantity, a column a network; what is not defined says so."""
    columns = [cells(one, level) for one in shown]
    names = [plain(one.name) for one in shown] if len(shown) > 1 else ["value"]
    rows = [
        {"": key} | {name: column[key] for name, column in zip(names, columns, strict=True)}
        for key in columns[0]
    ]
    return pd.DataFrame(rows)


def cells(one: Shown, level: float) -> dict[str, str]:
    """The numbers of one network."""
    la = one.landscape
    found = {
        "loss of the network": significant(la.centre_loss),
        "accuracy": f"{100 * la.centre_accuracy:.1f} %",
        "largest loss shown": text_of(highest(la)),
    }
    if la.kind == "between":
        return found | {"barrier": text_of(barrier(la))}
    if la.kind == "path" and la.path is not None:
        return found | {
            "checkpoints": str(len(la.path.epochs)),
            "variance in two directions": f"{100 * float(la.path.shares[:2].sum()):.1f} %",
            "largest distance to the plane": significant(float(la.path.distance.max())),
        }
    share = share_below(la, level).value
    below = "" if share is None else f"{100 * share:.1f} %"
    return found | {f"share below {level:.3g}": below}


def text_of(estimate: Any) -> str:
    return significant(estimate.value) if estimate.value is not None else estimate.reason


def provenance(shown: list[Shown]) -> None:
    """One grey line a network: what the loss is a mean over, and how it was computed."""
    for one in shown:
        la = one.landscape
        statistics = {
            "none": "no running statistics",
            "kept": "running statistics as stored",
            "measured": "running statistics measured again at every point",
        }[la.statistics]
        st.caption(
            plain(
                f"{one.name}: mean cross-entropy over {la.images:,} of {la.all_images:,} images of "
                f"{la.data_name}; evaluation mode, {statistics}; {la.parameters:,} parameters "
                f"move; {la.loss.size:,} points."
            )
        )


def path_card(shown: list[Shown]) -> None:
    style = frame.style()
    figure_card(
        "landscape_path",
        "Beside the plane",
        figures.path_losses(shown, style),
        style,
        Reading(
            "The loss of every checkpoint itself, and of the point of the plane nearest to it. "
            "The picture of the plane tells of the run as far as these two lines agree.",
            r"L(\theta_e)\ \text{and}\ L(\theta_E+a_e v_1+b_e v_2)",
        ),
        alt="Loss of every checkpoint and of its projection onto the plane, by epoch.",
    )


def honesty() -> None:
    with card("landscape_honest", "What a slice can show", Reading(HONEST, source=SOURCE)):
        st.markdown(HONEST_SHORT)


HONEST_SHORT = (
    "- **Two of many directions.** Where the slice is curved up the network may still have a way "
    "down in another direction: what looks convex here need not be. Where the slice is *not* "
    "convex, the loss is not either.\n"
    "- **Scale.** Rectified and normalised networks compute the same with small and with large "
    "filters, and a step of fixed length means more to small ones. Filter normalisation takes out "
    "this difference between networks of one shape; it is one choice among several.\n"
    "- **Chance.** Another seed draws another slice: compare several before calling one network "
    "flatter. Sharpness also changes with what is counted as a step, and a flat slice alone does "
    "not make a network generalise (Dinh et al. 2017).\n"
    "- **Cross-entropy** is drawn whatever loss the network was trained with; the images are a "
    "sample, and so is their loss."
)
HONEST = (
    "Li et al. show (section 6 and appendix) that principal curvatures of a random slice are "
    "weighted averages of those of the whole loss: negative ones can hide, and they measure how "
    "rarely they are there."
)


def nothing() -> NoReturn:
    """Why there is no network to draw, and one way on."""
    frame.title("Loss landscape")
    view = st.session_state["view"]
    if isinstance(view, View):
        frame.needs_layers(view)
        frame.needs(not view.of_features, "A feature file has no weights to move.")
        frame.needs(not view.of_texts, TEXTS)
    text = view if isinstance(view, str) else MISSING
    frame.empty(text, "Open your own checkpoint", "pages/open_your_own.py")
    frame.stop()


frame.guard(__file__)
network = chosen()
if network is None:
    nothing()
frame.title("Loss landscape", ((network.name, "gray"),))
with st.container(horizontal=True, vertical_alignment="bottom", key="landscape_choices"):
    kinds = [k for k in KINDS if k != "path" or len(network.path) > 2]
    kind = choose("slice", kinds, "plane", one_of("What to draw", KINDS))
    start = choose_start(network) if kind == "between" else None
    second = choose_second(network)
with st.container(horizontal=True, vertical_alignment="bottom", key="landscape_scales"):
    log = choose("height", list(SCALES), "log", one_of("Loss axis", SCALES)) == "log"
    level = 0.1
    if kind != "between":
        draw = partial(
            st.select_slider,
            "Level",
            format_func=lambda v: "chance" if v == CHANCE else f"{v:g}",
            width=240,
        )
        level = choose("level", LEVELS, 0.1, draw)
asked = how_fine(network, kind)
networks = [network] if second is None else [network, second]
if kind == "path":
    networks = [n.last for n in networks]
requests = []
for one in networks:
    begin = start if one is network else start_of(one, network, start)
    request = request_for(one, asked, begin)
    if request is not None:
        requests.append((one, request))
    else:
        lacks = "has too few checkpoints" if kind == "path" else "has no other checkpoint"
        st.caption(f"{plain(one.name)} {lacks} for this.")
shown = made(requests) if requests else []
if shown:
    at = level or chance(shown[0].landscape.classes)
    if kind in ("line", "between"):
        drawn_lines(shown, kind, log, ends_of(network, start, len(shown) > 1))
    else:
        drawn_planes(shown, kind, log, at)
    left, right = st.columns(2)
    with left:
        measured(shown, at)
        if kind == "path":
            path_card(shown)
        provenance(shown)
    with right:
        if kind == "path":
            directions_card(shown)
        honesty()

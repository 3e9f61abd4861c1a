"""Topology lab: a network parts two classes, and the holes of a class go layer by layer."""

from functools import lru_cache, partial

import streamlit as st

from core.data.two_class_problems import (
    CLASS_NAMES,
    PROBLEMS,
    TwoClasses,
    find_problem,
    generate,
)
from core.figures import topology_lab as figures
from core.jobs import warm
from core.topology_lab import (
    ACTIVATIONS,
    DEPTHS,
    EPOCHS,
    NEIGHBOURS,
    SEEDS,
    SIZES,
    WIDTHS,
    LabRequest,
    LabResult,
    Row,
    bundled,
    default_request,
    read_table,
    verdict,
)
from pages._ui import choices, frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.live import result_of

SOURCE = "Naitzat, Zhitnikov and Lim, Topology of Deep Neural Networks, JMLR 2020"
SIZE_KEYS = ("depth", "width", "epochs", "per_class")
DRAWN = 900  # points of a class in the picture of the problem

table = lru_cache(maxsize=1)(read_table)


def start_over() -> None:
    """Another problem starts with its own sizes."""
    first = default_request(st.session_state["choice_problem"])
    for key in SIZE_KEYS:
        choices.set_choice(key, getattr(first, key))


def controls() -> tuple[LabRequest, int]:
    """The network that the reader chose, and the class to follow."""
    with st.container(border=True, key="card_controls"):
        problem = choose(
            "problem",
            list(PROBLEMS),
            "d1",
            partial(
                st.selectbox,
                "Problem",
                format_func=lambda p: PROBLEMS[p].title,
                on_change=start_over,
            ),
        )
        first = default_request(problem)
        activation = choose(
            "activation",
            list(ACTIVATIONS),
            first.activation,
            partial(
                st.segmented_control,
                "Activation",
                required=True,
                format_func=ACTIVATIONS.__getitem__,
            ),
        )
        sizes = {
            key: choose(key, list(options), getattr(first, key), partial(st.select_slider, label))
            for key, label, options in (
                ("depth", "Hidden layers", DEPTHS),
                ("width", "Units in each", WIDTHS),
                ("epochs", "Epochs", EPOCHS),
                ("per_class", "Points of each class", SIZES),
                ("seed", "Seed", SEEDS),
            )
        }
        of = choose(
            "class",
            [0, 1],
            0,
            partial(
                st.segmented_control,
                "Class to follow",
                required=True,
                format_func=CLASS_NAMES.__getitem__,
            ),
        )
    return LabRequest(problem, activation, **sizes), of


def train_here(request: LabRequest) -> None:
    st.session_state["_trained_here"] = {*st.session_state.get("_trained_here", ()), request}


def trained(request: LabRequest) -> LabResult | None:
    """The network that came with Featurescope, or one that is trained when the reader says so."""
    if request in st.session_state.get("_trained_here", ()):
        return result_of("topology_lab", "core.topology_lab:run", request, "Training")
    ready = bundled(request)
    with st.container(horizontal=True, vertical_alignment="center", key="train_row"):
        st.button(
            "Train it again, live" if ready else "Train this network",
            key="train",
            icon=":material/play_arrow:",
            type="tertiary" if ready else "primary",
            on_click=train_here,
            args=(request,),
        )
        st.caption(
            "This network was trained beforehand."
            if ready
            else "It is not trained yet: seconds, for nine nested spheres up to a minute."
        )
    return ready


def problem_card(request: LabRequest, data: TwoClasses, result: LabResult | None) -> None:
    problem = find_problem(request.problem)
    style = frame.style("large")
    truths = "; ".join(
        f"class {name}: β = {', '.join(map(str, betti))}"
        for name, betti in zip(CLASS_NAMES, problem.betti, strict=True)
    )
    shown = "The background is what the network decides. " if problem.dim == 2 else "Drag to turn. "
    figure_card(
        "problem",
        "The problem",
        figures.problem(data, style, None if result is None else result.regions),
        style,
        Reading(
            f"Two classes of points that no plane parts. {shown}True Betti numbers (components, "
            f"loops{', voids' if problem.dim == 3 else ''}) are: {truths}.",
            source=SOURCE,
        ),
        alt=f"Points of two classes: {problem.title}.",
    )


def training_card(result: LabResult) -> None:
    style = frame.style("large")
    figure_card(
        "training",
        "The training",
        figures.training(result, style),
        style,
        Reading(
            "Loss and share of training points on the wrong side, by epoch (Adam, one-cycle "
            "learning rate). The second line ends where no point is wrong: its axis is "
            "logarithmic.",
            r"-\tfrac1N\sum_i\log p_{y_i}(x_i)",
        ),
        alt="Loss and share of wrong points against the epoch.",
    )
    said = "learned the problem" if result.reached else "did **not** learn the problem"
    st.caption(
        f"The network {said}: {100 * float(result.accuracy[-1]):.2f} % of the training points and "
        f"{100 * result.fresh_accuracy:.2f} % of fresh points are right. The paper looks at "
        "networks without an error alone."
    )


def layers_card(result: LabResult, of: int) -> None:
    style = frame.style("large")
    name = CLASS_NAMES[of]
    figure_card(
        "row",
        f"Class {name}, layer by layer",
        figures.layer_row(result, of, style),
        style,
        Reading(
            f"Class {name} as every layer sees it, in two principal components; some points of the "
            "other class in grey. Below each picture are the layer and the Betti numbers of the "
            f"class. Two points are joined where at most two steps along the graph of {NEIGHBOURS} "
            "nearest neighbours part them (the paper's scale 2.5). **1, 0** is one piece without "
            "holes. Stretched or thin clouds have a few loops from sampling alone.",
            r"\beta_k=\operatorname{rank} H_k(\mathrm{VR}_{2.5}),\quad d=\text{steps in the graph}",
            SOURCE,
        ),
        alt=f"Class {name} at every layer with its Betti numbers.",
        wide=True,
    )
    truth, seen = find_problem(result.request.problem).betti[of], result.layers[0].betti[of]
    if seen != truth:
        st.caption(
            f"The points are too few to show the class as it is: {', '.join(map(str, seen))} at "
            f"the input instead of {', '.join(map(str, truth))}. Choose more."
        )


def holes_cards(result: LabResult, of: int) -> None:
    style = frame.style("large")
    names = [layer.name for layer in result.layers]
    shown = choose(
        "at", names, names[len(names) // 2], partial(st.select_slider, "Layer of the picture")
    )
    left, right = st.columns(2)
    with left:
        figure_card(
            "betti",
            "Betti numbers by layer",
            figures.betti_by_layer(result, of, style),
            style,
            Reading(
                "Components, loops and voids of the class, and their sum. A network that has "
                "learned ends at one component without holes: total 1.",
                r"\omega=\textstyle\sum_k\beta_k",
                SOURCE,
            ),
            alt="Betti numbers of the class against the layer.",
        )
    with right:
        figure_card(
            "at_layer",
            f"Both classes at layer {shown}",
            figures.layer_cloud(result, names.index(shown), style),
            style,
            Reading("Drag to turn. The first three principal components of both classes."),
            alt=f"Both classes at layer {shown} in three principal components.",
        )


def comparison_card(rows: tuple[Row, ...], problem: str, of: int) -> None:
    if not (words := verdict(rows, problem, of)):
        return
    style = frame.style("large")
    left, right = st.columns([3, 2])
    with left:
        figure_card(
            "comparison",
            "Three activations, many seeds",
            figures.comparison(rows, problem, of, style),
            style,
            Reading(
                "Mean total Betti number of the class by layer, over the networks that learned the "
                "problem; the band holds 95 % of them. A tanh layer that is one to one keeps every "
                "hole, ReLU maps many points to one and can close them. Where a tanh curve falls "
                "and rises again, the layer has squeezed parts so close that the graph of "
                "neighbours joins them; they are not gone.",
                r"\overline{\omega}(l)",
                SOURCE,
            ),
            alt="Mean total Betti number by layer for three activations.",
        )
    with (
        right,
        card(
            "verdict",
            "Does ReLU do it faster?",
            Reading(
                "Networks of the same seed have the same points. Compared is the total Betti "
                "number, averaged over the layers, by an exact two-sided sign test.",
                r"\frac{1}{L}\sum_l \omega(l)/\omega(0)",
                SOURCE,
            ),
        ),
    ):
        st.markdown(words)


frame.guard(__file__)
warm()
head = st.container()
left, right = st.columns([2, 5])
with left:
    request, of = controls()
with head:  # after the choices: it names what a link asked for in vain
    frame.title(
        "Topology lab",
        line="Two classes with holes: where in the network do the holes of a class go?",
    )
data = generate(find_problem(request.problem), min(request.per_class, DRAWN), request.seed)
with right:
    result = trained(request)
    one, two = st.columns(2)
    with one:
        problem_card(request, data, result)
    if result is not None:
        with two:
            training_card(result)
        layers_card(result, of)
if result is not None:
    holes_cards(result, of)
comparison_card(table(), request.problem, of)

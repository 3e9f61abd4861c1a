"""Manifold lab: estimators of the dimension on manifolds whose dimension is known."""

from functools import partial

import streamlit as st

from core.data.manifolds import MANIFOLDS, ManifoldSpec
from core.figures import dimension, dimension_curves, manifolds
from core.jobs import warm
from core.manifold_lab import (
    NOISES,
    POINTS,
    PRESETS,
    SEEDS,
    LabResult,
    Sweep,
    ambients,
    dimensions,
    points_csv,
    preset_of,
    reading,
    surprise,
    swept,
)
from core.text import plain
from pages._ui import choices, frame
from pages._ui.cards import Reading, figure_card
from pages._ui.choices import choose
from pages._ui.live import result_of

FIRST = PRESETS[0].spec
VIEWS = {"own": "as made", "components": "PCA"}
TWONN = "Facco, d'Errico, Rodriguez and Laio, Scientific Reports 2017"
MLE = "Levina and Bickel 2004; MacKay and Ghahramani 2005"


def set_all(spec: ManifoldSpec) -> None:
    """Every choice at once, from a button."""
    for key, value in (
        ("manifold", spec.manifold),
        ("dim", spec.dim),
        ("ambient", spec.ambient),
        ("points", spec.points),
        ("noise", spec.noise),
        ("seed", spec.seed),
    ):
        choices.set_choice(key, value)


def surprise_me() -> None:
    set_all(surprise())
    choices.set_choice("guess", True)


def presets() -> bool:
    """The row of lecture cases; True where the reader wants to guess before the answer."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="presets"):
        for preset in PRESETS:
            st.button(
                preset.title, key=f"preset_{preset.id}", on_click=set_all, args=(preset.spec,)
            )
        st.button(
            "Surprise me",
            key="preset_surprise",
            icon=":material/casino:",
            on_click=surprise_me,
        )
        return choose("guess", [False, True], False, guess_first)


def guess_first(options: list[bool], key: str) -> bool:
    """The toggle of ``guess``; its options are off and on."""
    return st.toggle("Guess first", key=key)


def guess_card(spec: ManifoldSpec) -> None:
    """A prediction before the answer."""
    with st.container(border=True, key="card_guess"):
        st.markdown(
            f"{spec.points:,} points in {spec.ambient:,} dimensions. Along how many dimensions do "
            "they spread? Turn the picture, read the curves, then decide."
        )
        guess = st.number_input("My guess", 1, 100, 2, key="lab_guess")
        st.button("Show the answer", type="primary", on_click=reveal, args=(spec, guess))


def reveal(spec: ManifoldSpec, guess: int) -> None:
    choices.set_choice("guess", False)
    st.session_state["_guessed"] = (spec, guess)


def answer(result: LabResult) -> None:
    """The sentence, what this case teaches, and what the reader had guessed."""
    with st.container(border=True, key="card_sentence"):
        st.markdown(plain(reading(result)))
        spec, guess = st.session_state.get("_guessed", (None, None))
        if spec == result.spec:
            right = "and that is the truth" if guess == spec.dim else f"the truth is {spec.dim}"
            st.caption(f"You guessed {guess}, {right}.")
        if (preset := preset_of(result.spec)) is not None:
            st.caption(plain(preset.lesson))


def controls(hidden: bool) -> tuple[ManifoldSpec, str]:
    """The sample that the reader chose, and the coordinates of its picture."""
    with (
        st.expander("The choices give the answer away")
        if hidden
        else st.container(border=True, key="card_controls")
    ):
        name = choose(
            "manifold",
            list(MANIFOLDS),
            FIRST.manifold,
            partial(st.selectbox, "Manifold", format_func=lambda m: MANIFOLDS[m].title),
        )
        manifold = MANIFOLDS[name]
        dims = dimensions(manifold)
        dim = choose("dim", dims, 2 if 2 in dims else dims[0], one_of("Intrinsic dimension", dims))
        spaces = ambients(manifold, dim)
        ambient = choose("ambient", spaces, spaces[0], one_of("Ambient dimension", spaces))
        points = choose("points", POINTS, FIRST.points, one_of("Points", POINTS))
        noise = choose(
            "noise",
            NOISES,
            0.0,
            partial(
                st.select_slider,
                "Noise",
                format_func=lambda share: f"{100 * share:g} %",
                help="Root mean square displacement of a point, as a share of the root mean square "
                "distance from the centre. Gaussian, equal in all ambient directions.",
            ),
        )
        seed = choose("seed", SEEDS, 0, one_of("Seed", SEEDS))
        spec = ManifoldSpec(name, dim, ambient, points, noise, seed)
        shown = choose(
            "coordinates",
            list(VIEWS),
            "own",
            partial(
                st.segmented_control,
                "Coordinates of the picture",
                required=True,
                format_func=VIEWS.__getitem__,
            ),
        )
        st.download_button(
            "Points as CSV",
            data=partial(points_csv, spec),
            file_name=f"{name}-{dim}-in-{ambient}.csv",
            mime="text/csv",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )
    return spec, shown


def one_of(label: str, options: tuple[int, ...]):
    """A slider over numbers, or the one number there is, which nobody can change."""
    if len(options) > 1:
        return partial(st.select_slider, label, format_func=lambda n: f"{n:,}")
    return partial(st.selectbox, label, disabled=True)


def picture(result: LabResult, shown: str) -> None:
    manifold = MANIFOLDS[result.spec.manifold]
    style = frame.style("large")
    uniform = "" if manifold.uniform else " Its points are not quite uniform on it."
    figure_card(
        "cloud",
        "The points",
        manifolds.cloud(result, style, shown),
        style,
        Reading(
            "Drag to turn. The points in three coordinates; colour is the "
            f"{manifold.coordinate}. **As made** are the manifold's own first coordinates, before "
            "it was turned into the ambient space; **PCA** shows the directions of "
            f"largest variance.{uniform}"
        ),
        alt=f"Points of a {manifold.title} in three coordinates.",
    )


def against_truth(result: LabResult) -> None:
    style = frame.style("large")
    figure_card(
        "estimates",
        "Every estimator and the truth",
        manifolds.estimates(result, style),
        style,
        Reading(
            "TwoNN and MLE look at nearest neighbours and estimate how many ways a point can move. "
            "PCA counts straight directions, so it sees the room that a bent set takes. Bars are "
            "95 % intervals: they tell chance, **not** bias.",
            r"\hat d:\; -\log(1-F(\mu))=d\,\log\mu,\quad \mu=r_2/r_1",
            f"{TWONN}; {MLE}",
        ),
        alt="Dot plot of every estimate with the true dimension as a line.",
    )


def curves(result: LabResult) -> None:
    style = frame.style()
    left, right = st.columns(2)
    with left:
        figure_card(
            "over_k",
            "MLE over neighbours",
            dimension_curves.mle_over_k(result.estimates, style),
            style,
            Reading(
                "Few neighbours look at a small piece of the surface: noise lifts the estimate. "
                "Many see its curvature and its edges, which pull it up or down.",
                source="Levina and Bickel 2004; MacKay and Ghahramani 2005",
            ),
            alt="Maximum likelihood estimate against the number of neighbours.",
        )
    with right:
        figure_card(
            "ratio_fit",
            "The line that TwoNN fits",
            dimension_curves.ratio_fit(result.estimates, style),
            style,
            Reading(
                "One point for every sample: $\\mu$ is the distance to its second neighbour over "
                "that to its first. On a set of dimension $d$ they lie on a line of slope $d$.",
                r"-\log(1-F(\mu))=d\,\log\mu",
                TWONN,
            ),
            alt="Points of the log-log plot and the line through the origin that TwoNN fits.",
        )
    left, right = st.columns(2)
    with left:
        figure_card(
            "decimation",
            "Against number of points",
            dimension.decimation(result.estimates, style),
            style,
            Reading(
                "The same estimates from random subsets. Fewer points look from further away: "
                "noise then counts less, and curvature more.",
                source=TWONN,
            ),
            alt="Estimates against the number of points.",
        )
    with right:
        figure_card(
            "spectrum",
            "PCA spectrum",
            dimension.pca_spectrum(result.estimates, style),
            style,
            Reading(
                "Share of variance of every principal component. A sharp drop at the truth means "
                "that the set is flat; a later one, that it bends.",
                r"\lambda_i/\textstyle\sum_j\lambda_j",
            ),
            alt="Share of variance by principal component.",
        )


def sweep_card(spec: ManifoldSpec) -> None:
    request = swept(spec)
    result: Sweep | None = result_of(
        "manifold_sweep", "core.manifold_lab:sweep", request, "Sweeping over the dimension"
    )
    if result is None:
        return
    style = frame.style("large")
    title = MANIFOLDS[spec.manifold].title
    alone = f" The {title} has one dimension only, so flat cubes stand in for it."
    same = request.manifold == spec.manifold
    figure_card(
        "bias",
        "Estimate against the true dimension",
        manifolds.bias(result, style, spec.dim if same else None),
        style,
        Reading(
            f"The same number of points ({spec.points:,}) and noise for every dimension. Far from "
            "zero the curves bend below the dashed line: **high dimensions read low**, since the "
            "number of points needed grows exponentially. Noise lifts the curves on the left, "
            f"where neighbours are closer than the noise is wide.{'' if same else alone}",
            source=TWONN,
        ),
        alt="Estimates against the true dimension, with the diagonal.",
    )


frame.guard(__file__)
warm()
head = st.container()
guessing = presets()
left, right = st.columns([1, 3])
with left:
    place = st.container()
    spec, shown = controls(guessing)
    if guessing:
        with place:
            guess_card(spec)
with head:  # after the choices: it names what a link asked for in vain
    frame.title(
        "Manifold lab",
        line="How many dimensions do these points have? Choose a manifold whose dimension is "
        "known, and see what every estimator answers.",
    )
with right:
    result = result_of("manifold", "core.manifold_lab:measure", spec, "Measuring")
    if result is not None and guessing:
        picture(result, shown)
    elif result is not None:
        answer(result)
        one, two = st.columns(2)
        with one:
            picture(result, shown)
        with two:
            against_truth(result)
if result is not None:
    curves(result)
if result is not None and not guessing:
    sweep_card(spec)

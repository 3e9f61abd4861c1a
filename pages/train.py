"""Train: start a recipe of this repository from the browser, and watch its curves."""

from functools import partial

import streamlit as st

from core import library
from core.checkpoints.runs import Run
from core.dynamics.phases import terminal_epoch
from core.errors import UserError
from core.figures import training as figures
from core.figures.theme import number
from core.jobs import warm
from core.text import plain
from core.training import service
from core.training.recipes import RECIPES
from core.training.service import MAX_EPOCHS, MAX_SEED, WIDTHS, TrainRequest
from pages._ui import choices, frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, set_choice
from pages._ui.jobs import error_box, seconds_text
from pages._ui.training import (
    begun_here,
    followed,
    is_running,
    job_of,
    progress_bar,
    start,
    stop_following,
    watch,
)

DYNAMICS = "pages/training_dynamics.py"
OVERVIEW = "pages/overview.py"


def choose_request() -> TrainRequest:
    """Recipe, seed, epochs and width; the last three are the recipe's unless changed."""
    names = list(RECIPES)
    name = choose("recipe", names, names[0], partial(st.selectbox, "Recipe", format_func=label_of))
    recipe = RECIPES[name]
    if st.session_state.get("_train_recipe", name) != name:  # another one has epochs of its own
        set_choice("train_epochs", recipe.epochs)
        set_choice("train_width", recipe.widths[0])
    st.session_state["_train_recipe"] = name
    left, right = st.columns(2)
    with left:
        field = whole("Epochs", MAX_EPOCHS, 1)
        epochs = choose("train_epochs", range(1, MAX_EPOCHS + 1), recipe.epochs, field)
    with right:
        seed = choose("train_seed", range(MAX_SEED + 1), 0, whole("Seed", MAX_SEED, 0))
    width = None
    if service.has_width(recipe):
        own = recipe.widths[0]
        widths = sorted({*WIDTHS, own}) if len(set(recipe.widths)) == 1 else list(WIDTHS)
        layers = f"Width of its {len(recipe.widths)} hidden layers"
        chosen = choose("train_width", widths, own, partial(st.select_slider, layers))
        width = None if chosen == own else chosen
    return TrainRequest(name, seed, epochs, width)


def label_of(name: str) -> str:
    recipe = RECIPES[name]
    return f"{recipe.group}: {recipe.title}"


def whole(label: str, highest: int, lowest: int):
    """A number field; its options are a range."""

    def draw(options: list[int], key: str) -> int:
        return st.number_input(label, lowest, highest, step=1, key=key)

    return draw


def start_card() -> None:
    with st.container(border=True, key="card_start"):
        st.header("What to train", anchor=False)
        request = choose_request()
        recipe = service.adapted(request)
        st.caption(plain(described(recipe)))
        known = service.trained(request)
        busy = is_running(request.run_id)
        took = seconds_text(service.forecast_seconds(request))
        label = "Start"
        if busy:
            st.caption("Training now. It goes on while you look at other pages.")
        elif known is not None and known.finished:
            st.caption("Trained already on this server.")
            label = "Show"
        elif known is not None and known.history:
            st.caption(f"Stopped at epoch {reached(known):,}; it goes on from what was kept.")
            label = "Go on"
        else:
            st.caption(f"About {took} on one core. It goes on while you look at other pages.")
        st.button(
            label,
            type="primary",
            icon=":material/play_arrow:",
            key="train_start",
            disabled=busy,
            on_click=start,
            args=(request,),
        )


def described(recipe) -> str:
    """The recipe in a line."""
    network = {"mlp": "MLP", "resnet": "small ResNet"}.get(recipe.network, recipe.network)
    widths = ", ".join(map(str, recipe.widths))
    same = len(set(recipe.widths)) == 1 and len(recipe.widths) > 1
    shape = f"{len(recipe.widths)}×{recipe.widths[0]}" if same else widths
    parts = [
        f"{network} {shape}",
        "with batch norm" if recipe.batch_norm else "without batch norm",
        f"{recipe.optimiser.upper()}, learning rate {recipe.learning_rate:g}",
        f"weight decay {recipe.weight_decay:g}",
        f"data {recipe.train_data}",
    ]
    return " · ".join(parts)


def reached(run: Run) -> int:
    """The last epoch that the run tells of."""
    return int((run.history.get("epoch") or run.epochs or (0,))[-1])


def live_card(request: TrainRequest) -> None:
    """Progress, curves and what to do with the run; drawn again every second while it trains."""
    st.subheader(plain(service.adapted(request).title), anchor=False)
    job = job_of(request.run_id)
    if job is not None and is_running(request.run_id):
        watch(job, partial(progress_and_curves, request))
        return
    progress_and_curves(request)
    if job is not None and job.status().state == "failed":
        error_box("The training stopped.", job.status().error or "")


def progress_and_curves(request: TrainRequest) -> None:
    run = service.trained(request)
    progress_bar(request, run)
    if run is None or not run.history:
        return
    terminal = terminal_epoch(run.history)
    st.caption(said(run, terminal))
    style = frame.style()
    left, right = st.columns(2)
    with left:
        figure_card(
            "errors",
            "Error",
            figures.errors(run.history, style, terminal),
            style,
            Reading(
                "Share of images that are classified wrongly. The dashed line stands where the "
                "training error becomes zero: there the terminal phase begins, in which the "
                "features go on collapsing.",
                source="Papyan, Han and Donoho, PNAS 2020",
            ),
            alt="Training and test error by epoch.",
        )
    with right:
        figure_card(
            "losses",
            "Loss",
            figures.losses(run.history, style, terminal),
            style,
            Reading(
                "The loss that is minimised, without weight decay, in evaluation mode. It goes on "
                "falling after the training error is zero."
            ),
            alt="Training and test loss by epoch.",
        )
    links(run)


def said(run: Run, terminal: int | None) -> str:
    """The last epoch in a sentence."""
    last = {k: v[-1] for k, v in run.history.items() if v}
    text = f"Epoch {reached(run):,}"
    for key, name in (("train_accuracy", "training"), ("test_accuracy", "test")):
        if key in last:
            text += f" · {name} accuracy {number(100 * last[key], 1)} %"
    if terminal is not None:
        text += f" · training error zero since epoch {terminal:,}"
    if last.get("seconds"):
        text += f" · {seconds_text(last['seconds'])}"
    return text


def links(run: Run) -> None:
    if len(run.checkpoints) < 2:
        return
    with st.container(horizontal=True, key="train_links"):
        for page, label in (
            (DYNAMICS, "Watch it on Training dynamics"),
            (OVERVIEW, "Open in Explore"),
        ):
            st.page_link(
                page,
                label=label,
                icon=":material/arrow_forward:",
                query_params={"run": run.id},
            )


def kept_runs() -> None:
    """What was trained on this server: look, go on, delete one's own."""
    runs = service.trained_runs()
    if not runs:
        return
    about = Reading(
        f"Runs stay on this server, for everybody who uses it: at most {service.MAX_RUNS} of them "
        f"and {service.MAX_BYTES >> 20} MB together; the oldest make room for new ones. Only the "
        "browser session that started a run can delete it. `python -m core train` keeps a run "
        "where you want it."
    )
    with card("kept_runs", "Trained here", about):
        for run in runs:
            with st.container(
                horizontal=True, vertical_alignment="center", key=f"kept_{run.folder.name}"
            ):
                with st.container(width=480, gap="xxsmall"):
                    st.markdown(f"**{plain(run.title)}**")
                    st.caption(plain(state_of(run)))
                request = service.request_behind(run)
                if request is not None:
                    st.button(
                        "Show",
                        key=f"show_{run.id}",
                        icon=":material/show_chart:",
                        type="tertiary",
                        on_click=choices.keep,
                        args=("training", run.folder.name),
                    )
                if run.folder.name in begun_here() and not is_running(run.folder.name):
                    st.button(
                        "Delete",
                        key=f"delete_{run.id}",
                        icon=":material/delete:",
                        type="tertiary",
                        on_click=delete,
                        args=(run,),
                    )


def state_of(run: Run) -> str:
    if is_running(run.folder.name):
        state = "training now"
    elif run.finished:
        state = f"{reached(run):,} epochs"
    else:
        state = f"stopped at epoch {reached(run):,} of {run.settings.get('epochs', '?')}"
    return f"{run.group} · {state} · {len(run.checkpoints)} checkpoints"


def delete(run: Run) -> None:
    try:
        service.remove(run.folder.name)
    except UserError as error:
        choices.notice(str(error))
    stop_following(run.folder.name)


frame.guard(__file__)
warm()
frame.title(
    "Train a network here",
    line="Recipes of this repository, from initialisation into the terminal phase. Everything "
    "that the other pages show is measured on runs like these.",
)
left, right = st.columns((2, 3), gap="medium")
with left:
    start_card()
shown = followed()
with right:
    if shown is not None:
        live_card(shown)
    else:
        with st.container(border=True, key="card_live"):
            st.header("Nothing is training", anchor=False)
            st.caption("Choose a recipe and start it. Its error and loss are drawn here, live.")
kept_runs()
if library.problems():
    st.caption("Some run folders were left out; the sidebar says why.")

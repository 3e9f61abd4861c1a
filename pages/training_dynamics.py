"""Training dynamics: a run through all its epochs, as a film, in sentences, and by layer."""

from functools import partial

import pandas as pd
import streamlit as st

from core import library
from core.checkpoints.runs import DataEntry, Run
from core.dynamics.findings import at_the_end, of_layers, since_zero_error, zero_error
from core.dynamics.results import Dynamics
from core.figures.dynamics import MAPS, Split, layer_by_epoch
from core.figures.dynamics_player import player
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, set_choice
from pages._ui.dynamics import Film, chosen_run, epoch_shown, film, follow, is_measurable
from pages._ui.wanted import Wanted, data_of_run, make

PAGE = "pages/training_dynamics.py"
MAP_TITLES = {
    "nc1": "NC1 by layer and epoch",
    "nonzero_fraction": "Non-zeros by layer, epoch",
    "twonn": "Dimension by layer, epoch",
}
MAP_READINGS = {
    "nc1": Reading(
        "A row is a layer, input below, output on top; a column is a checkpoint. Pale is "
        "collapsed: the spread within classes is small against the distance between them. The "
        "colour is logarithmic. The line marks zero training error, the frame the chosen layer.",
        r"\mathrm{NC1}=\tfrac1K\operatorname{tr}(\Sigma_W\Sigma_B^\dagger)",
        "Papyan, Han and Donoho 2020; He and Su 2023 (layer by layer)",
    ),
    "nonzero_fraction": Reading(
        "Share of entries that are not zero in the outputs of activation functions, averaged over "
        "samples and units; other layers are left out. Paler is sparser.",
        r"\tfrac1{Nd}\sum_{i,j}[\,a_{ij}\neq0\,]",
        "Zhu, ICASSP 2023 short course, lecture 5",
    ),
    "twonn": Reading(
        "Intrinsic dimension of the pooled features by TwoNN. In a trained network it first rises "
        "and then falls with depth; training pulls it down in the last layers.",
        r"-\log(1-F(\mu))=d\log\mu,\quad\mu=r_2/r_1",
        "Facco et al. 2017; Ansuini et al. 2019",
    ),
}
PLAYER = Reading(
    "Play, or drag the slider: curves get a cursor, and the geometry moves with it. Curves: solid "
    "on the training data, dashed on the test data; the values under the cursor stand above each "
    "panel. The shaded part is the terminal phase, from zero training error on. The axis is "
    "$\\log(1+\\text{epoch})$, so that epoch 0, the untrained network, has a place. Points are "
    "penultimate features in units of their spread in the two principal axes of the last epoch, "
    "followed back through training (Procrustes) so that they move instead of jumping. Squares: "
    "cosines between class means, orange closer than a simplex ETF, blue farther. Dots: the angle "
    "of every pair of classes; the dashed line is the simplex ETF's. The keys ← and → change the "
    "epoch, too.",
    r"\mathrm{NC}_1,\mathrm{NC}_2,\mathrm{NC}_3,\mathrm{NC}_4\to0,\quad\cos\to-\tfrac1{K-1}",
    "Papyan, Han and Donoho 2020; Zhu, ICASSP 2023 short course, lecture 5",
)


def nothing_over_time(run: Run | None) -> None:
    """A single network: say so, and where a run is."""
    with st.container(border=True, key="card_empty_dynamics"):
        st.header("One checkpoint has no past", anchor=False)
        what = "This network" if run is None else plain(run.title)
        st.markdown(
            f"{what} is a single checkpoint. Training dynamics need the checkpoints of one "
            "training, in order: choose a run that has them, or keep them in your own loop."
        )
        for other in [r for r in library.runs() if len(r.epochs) > 1][:6]:
            st.page_link(
                PAGE,
                label=f"{plain(other.title)}, {len(other.epochs)} checkpoints",
                icon=":material/arrow_forward:",
                query_params={"run": other.id},
            )


def nothing_measurable(run: Run) -> None:
    with st.container(border=True, key="card_empty_dynamics"):
        st.header("No data to measure it on", anchor=False)
        st.markdown(
            f"{plain(run.title)} does not name its data, and no bundled data fit it. Name them in "
            "`run.json` under `data`, training data first."
        )


def nothing_measured(run: Run) -> None:
    with st.container(border=True, key="card_empty_dynamics"):
        st.header("Nothing to measure", anchor=False)
        st.markdown(
            f"The checkpoints of {plain(run.title)} are not in its folder, and nothing was "
            "measured while they were. Put the files that `run.json` names back, or train it again."
        )


def data_of(run: Run) -> tuple[DataEntry, ...]:
    """The data sets that the run names, else bundled ones that fit it; found out if need be."""
    entries = data_of_run(run)
    view = st.session_state["view"]
    if entries is None and isinstance(view, Wanted):
        frame.title("Training dynamics", ((run.title, "gray"),))
        make(view)
        frame.stop()
    return tuple(entry for entry in entries or () if entry.id != library.WEIGHTS)


def line_of(shown: Film) -> str:
    dynamics = shown.train
    parts = [
        f"{len(dynamics.epochs)} checkpoints, epochs {dynamics.epochs[0]:,} to "
        f"{dynamics.epochs[-1]:,}",
        f"penultimate features: {dynamics.penultimate}" if dynamics.penultimate else "",
        *(
            f"{split.label}: {split.dynamics.data_name}, {int(split.dynamics.counts.sum()):,}"
            for split in shown.splits
        ),
    ]
    return " · ".join(filter(None, parts))


def choose_split(shown: Film) -> Split:
    """The data whose points and layers are drawn. A new choice of data in the sidebar counts."""
    labels = {split.label: split for split in shown.splits}
    by_data = {split.dynamics.data: split.label for split in shown.splits}
    data = st.session_state.get("choice_data")
    before = st.session_state.get("_dynamics_data", data)
    st.session_state["_dynamics_data"] = data
    if data != before and data in by_data:
        set_choice("split", by_data[data])
    if len(labels) == 1:
        return shown.splits[0]
    label = choose(
        "split",
        list(labels),
        "train",
        partial(st.segmented_control, "Geometry and layers of", required=True),
    )
    return labels[label]


def step(run: Run, by: int) -> None:
    """The epoch before or after the one in the sidebar."""
    at = st.session_state.get("choice_epoch")
    at = run.epochs.index(at) if at in run.epochs else len(run.epochs) - 1
    set_choice("epoch", run.epochs[min(max(at + by, 0), len(run.epochs) - 1)])


def stepper(run: Run) -> None:
    for key, by, icon, shortcut in (
        ("previous", -1, "chevron_left", "Left"),
        ("next", 1, "chevron_right", "Right"),
    ):
        st.button(
            f"{key.capitalize()} epoch",
            key=f"dynamics_{key}",
            icon=f":material/{icon}:",
            type="tertiary",
            shortcut=shortcut,
            on_click=step,
            args=(run, by),
        )


def findings(shown: Film) -> None:
    about = Reading(
        "NC1, NC2 and NC3 are 0 where the features have collapsed. The terminal phase begins "
        "where the training error first vanishes. A metric counts as fallen or risen when it "
        "changed by more than 10 %.",
        source="Papyan, Han and Donoho, PNAS 2020",
    )
    with card("dynamics_findings", "Measured", about):
        said = [
            zero_error(shown.train, shown.terminal, shown.settled),
            at_the_end(shown.train, shown.test),
            since_zero_error(shown.train, shown.terminal),
        ]
        for text in filter(None, said):
            st.markdown(text)
        for warning in shown.train.warnings:
            st.caption(plain(warning))


def maps(shown: Film, split: Split, selected: str | None) -> None:
    style = frame.style()
    for column, quantity in zip(st.columns(len(MAPS)), MAPS, strict=True):
        with column:
            figure_card(
                f"dynamics_{quantity}",
                MAP_TITLES[quantity],
                layer_by_epoch(split.dynamics, style, quantity, selected, shown.terminal),
                style,
                MAP_READINGS[quantity],
                alt=f"{MAP_TITLES[quantity]} on the {split.label} data.",
            )
            st.caption(of_layers(split.dynamics, quantity))


def rows_of(split: Split) -> pd.DataFrame:
    dynamics: Dynamics = split.dynamics
    columns = {"accuracy": dynamics.accuracy, "loss": dynamics.loss, **dynamics.collapse}
    for key in ("nonzero_fraction", "twonn", "participation_ratio"):
        columns[key] = dynamics.of(key)
    return pd.DataFrame({"epoch": dynamics.epochs, "data": split.label, **columns})


def table(shown: Film) -> None:
    rows = pd.concat([rows_of(split) for split in shown.splits])
    rows = rows.sort_values(["epoch", "data"], ascending=[True, False], kind="stable")
    about = Reading(
        "Every checkpoint on both data sets, at the penultimate layer. `loss` is the mean "
        "cross-entropy, whatever the network was trained with."
    )
    with card("dynamics_table", "All epochs", about):
        st.dataframe(
            rows.drop(columns="etf_target"),
            hide_index=True,
            height=320,
            column_config={
                key: st.column_config.NumberColumn(format="%.4f")
                for key in rows.columns
                if key not in ("epoch", "data")
            },
        )
        st.download_button(
            "All epochs as CSV",
            data=lambda: rows.to_csv(index=False),
            file_name="featurescope-training-dynamics.csv",
            mime="text/csv",
            key="csv_dynamics",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )


frame.guard(__file__)
run = chosen_run()
if run is None or (len(run.epochs) < 2 and run.finished):
    frame.title("Training dynamics", ((run.title, "gray"),) if run is not None else ())
    nothing_over_time(run)
    frame.stop()
entries = data_of(run)
if not entries:
    frame.title("Training dynamics", ((run.title, "gray"),))
    follow(run)
    nothing_measurable(run)
    frame.stop()

heading = st.container()
epoch = epoch_shown(run)
follow(run)
shown = film(run, entries)
with heading:
    line = "" if shown is None else line_of(shown)
    frame.title("Training dynamics", ((run.title, "gray"),), line)
if shown is None:
    if not is_measurable(run, entries):
        nothing_measured(run)
    frame.stop()
with st.container(horizontal=True, vertical_alignment="bottom", key="dynamics_options"):
    split = choose_split(shown)
    stepper(run)
large = frame.style("large")
figure_card(
    "player",
    "Through training",
    player(
        shown.splits,
        large,
        shown.splits.index(split),
        shown.terminal,
        epoch,
    ),
    large,
    PLAYER,
    alt="Accuracy, collapse metrics, dimension and sparsity over the epochs, with the features, "
    "cosines and angles of the class means of the epoch chosen by a slider.",
    wide=True,
)
findings(shown)
layers = [layer.name for layer in split.dynamics.layers]
chosen = st.session_state.get("choice_layer")
maps(shown, split, chosen if chosen in layers else split.dynamics.penultimate)
table(shown)

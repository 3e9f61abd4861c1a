"""Compare runs: recipes beside each other, what they end with, and two checkpoints by layer."""

from functools import partial

import pandas as pd
import streamlit as st

from core import library
from core.checkpoints.runs import Run
from core.comparison import table
from core.comparison.findings import Finding, finding
from core.comparison.grid import LossGrid, bundled_grid
from core.comparison.groups import QUANTITIES, Final, Split, curve
from core.comparison.pair import (
    PairRequest,
    PairSimilarity,
    epochs_with_files,
    in_words,
    shared_data,
    side_request,
    with_files,
)
from core.figures.comparison import overlay, shifted_accuracy, width_by_epochs
from core.figures.similarity import layer_similarity
from core.text import plain
from core.training.families import FAMILIES
from core.training.recipes import find_recipe
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.compare import OWN, Compared, choose_runs, comparable, measure_missing
from pages._ui.live import result_of
from pages._ui.verdicts import verdict_line

PAIR = "core.comparison.layers:compare"
ETF = r"\tfrac{I-\mathbf1\mathbf1^\top/K}{\sqrt{K-1}}"
FORMULAS = {
    "nc1": r"\mathrm{NC1}=\tfrac1K\operatorname{tr}(\Sigma_W\Sigma_B^\dagger)",
    "nc2_means": rf"\big\|\tfrac{{M^\top M}}{{\|M^\top M\|_F}}-{ETF}\big\|_F",
    "nc3": rf"\big\|\tfrac{{WM}}{{\|WM\|_F}}-{ETF}\big\|_F",
    "cosine_std": r"\operatorname{std}_{k\ne l}\cos(\mu_k-\mu_G,\mu_l-\mu_G)",
}
MEANINGS = {
    "accuracy": "The share of images that the network gets right, after every epoch.",
    "nc1": "Spread within the classes over the distance between them; 0 when collapsed.",
    "nc2_means": "How far the class means are from a simplex ETF; 0 when they are one.",
    "nc3": "How far the classifier is from the class means, up to scale; 0 when they agree.",
    "nc4": "The share of images that the classifier and the nearest class mean judge differently.",
    "cosine_std": "How much the cosines between pairs of class means differ; 0 for a simplex ETF.",
    "twonn": "Intrinsic dimension of the penultimate features (TwoNN). Collapsed class means span "
    "K − 1 dimensions.",
    "nonzero_fraction": "The share of activations that are not zero in the last activation layer "
    "up to the penultimate one.",
    "loss": "Mean cross-entropy of the outputs, whatever loss the network was trained with, so "
    "that networks of different losses share an axis.",
}
MEASURES = {"cka": "linear CKA", "procrustes": "Procrustes of class means"}
PAIR_READINGS = {
    "cka": Reading(
        "A row for every layer of the first network, a column for every one of the second, input "
        "at the bottom left. The stronger the colour, the more alike; 1 is the same up to "
        "rotation and scale. The ring is the layer that each row is most like. A strong diagonal "
        "means that layers at the same depth hold the same geometry; a strong block means layers "
        "that hardly change it. Features "
        "are pooled: of images, the input layer is only its mean over positions. The estimator is "
        "unbiased: 0 for independent features, and slightly negative by chance.",
        r"\mathrm{CKA}=\frac{\mathrm{HSIC}_1(XX^\top,YY^\top)}"
        r"{\sqrt{\mathrm{HSIC}_1(XX^\top,XX^\top)\,\mathrm{HSIC}_1(YY^\top,YY^\top)}}",
        "Kornblith et al., ICML 2019; HSIC: Song et al. 2012; Nguyen, Raghu and Kornblith 2021",
    ),
    "procrustes": Reading(
        "The same layout for the class means alone: the angle between the two configurations of K "
        "means, after the best rotation, both centred and of norm 1. 0° is the same shape, "
        "and the strongest colour. Two collapsed networks both end in a simplex ETF: their last "
        "layers have the same shape, whatever they were trained with.",
        r"\theta=\arccos\max_{Q^\top Q=I}\langle A,BQ\rangle=\arccos\|A^\top B\|_*",
        "Williams et al., NeurIPS 2021, Generalized shape metrics on neural representations",
    ),
}


def choose_metric() -> tuple[str, Split]:
    key = choose(
        "metric",
        list(QUANTITIES),
        "nc1",
        partial(st.selectbox, "Metric", format_func=lambda k: QUANTITIES[k].title, width=200),
    )
    split: Split = choose(
        "on",
        ["train", "test"],
        "train",
        partial(
            st.segmented_control,
            "Data",
            required=True,
            format_func={"train": "training", "test": "test"}.__getitem__,
        ),
    )
    return key, split


def curves(compared: Compared, key: str, split: Split) -> None:
    found = [curve(group, key, split, compared.measured) for group in compared.groups]
    drawn = [c for c in found if c is not None]
    seeds = sorted({c.seeds for c in drawn})
    band = ""
    if seeds and seeds[-1] > 1:
        count = f"{seeds[-1]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        band = (
            f" Lines are means over {count} seeds, bands go from the smallest to the largest value."
        )
    large = frame.style("large")
    figure_card(
        "compare_curves",
        f"{QUANTITIES[key].title[0].upper()}{QUANTITIES[key].title[1:]} by epoch",
        overlay(drawn, key, split, large),
        large,
        Reading(
            f"{MEANINGS[key]}{band} The ring on a line is where its training error becomes zero "
            "for good (the median over seeds): the start of the terminal phase. The axis is "
            r"$\log(1+\text{epoch})$.",
            FORMULAS.get(key, ""),
            "Papyan, Han and Donoho 2020; docs/metrics.md",
        ),
        alt=f"{QUANTITIES[key].title} over the epochs, one line for each recipe.",
        wide=len(drawn) > 3,
    )


def say(found: Finding, compared: Compared) -> None:
    about = Reading(
        "Written by rules from the numbers of these runs. Collapsed means, on the training data "
        f"and on average over the seeds, {table.thresholds_in_words()}. A difference counts where "
        "it exceeds three standard errors over the seeds.",
        source=found.paper,
    )
    with card("compare_finding", "What these runs show", about):
        st.markdown(f"*{plain(FAMILIES[compared.family].question)}* {plain(found.claim)}")
        st.markdown(f"{verdict_line(found.verdict)} {found.text}")
        st.caption(plain(found.paper))


def final_table(finals: tuple[Final, ...], compared: Compared) -> None:
    about = Reading(
        "The last epoch of every run, the mean over its seeds ± their standard deviation; what is "
        "not said to be of the test data is of the training data. ▲ marks the best mean of a "
        f"column and ▽ the worst. Collapsed: {table.thresholds_in_words()}.",
        source="docs/metrics.md",
    )
    with card("compare_table", "Final values", about):
        st.dataframe(
            pd.DataFrame(table.rows(finals)).set_index("run"),
            height="content",
            key="compare_finals",
        )
        st.download_button(
            "Final values as CSV",
            data=lambda: table.as_csv(finals),
            file_name=f"featurescope-{compared.family}.csv",
            mime="text/csv",
            key="compare_csv",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )


def grids(found: tuple[LossGrid, ...]) -> None:
    style = frame.style()
    left, right = st.columns(2)
    seeds = int(max(g.seeds.max() for g in found))
    for column, statistic, title, text in (
        (
            left,
            "mean",
            "Accuracy, width × epochs",
            "Mean test accuracy of digits MLPs; a stronger colour is better. The lecture's claim "
            "is that all losses get better towards the right top corner and meet there.",
        ),
        (
            right,
            "sd",
            "Spread over seeds",
            "Standard deviation of the test accuracy over seeds, in points; a stronger colour is "
            "steadier. The claim is that the right top corner is the steadiest.",
        ),
    ):
        with column:
            figure_card(
                f"compare_grid_{statistic}",
                title,
                width_by_epochs(found, style, statistic),
                style,
                Reading(
                    f"{text} {seeds} seeds a cell; all panels share one scale.",
                    source="Zhou et al., NeurIPS 2022, Are all losses created equal",
                ),
                alt=f"{title}, one panel a loss.",
            )


def shifted(finals: tuple[Final, ...]) -> None:
    style = frame.style("large")
    figure_card(
        "compare_shifted",
        "In and out of distribution",
        shifted_accuracy(finals, style),
        style,
        Reading(
            "The finished networks on their test images as they are, and on the same images under "
            "corruptions of severity 5. A mark is the mean over seeds, its line goes from the "
            "worst seed to the best.",
            source="Hendrycks and Dietterich, ICLR 2019 (corruptions); Kumar et al., ICLR 2022",
        ),
        alt="Accuracy on own and on corrupted test images, one mark for each recipe.",
    )


# --- two checkpoints ---------------------------------------------------------------------------


def choose_side(
    key: str, label: str, runs: tuple[Run, ...], default: Run, beside: Run | None
) -> tuple[Run, int | None]:
    """A run and one of its epochs: the last one, but the first where it stands beside itself."""
    by_id = {run.id: run for run in runs}
    titles = library.titles()
    pick = partial(st.selectbox, label, format_func=lambda i: titles.get(i, by_id[i].title))
    chosen = by_id[choose(key, list(by_id), default.id, pick)]
    epochs = epochs_with_files(chosen)
    if len(epochs) < 2:
        return chosen, epochs[0]
    alone = beside is not None and (chosen != default or beside == chosen)
    epoch = choose(
        f"{key}_epoch",
        list(epochs),
        epochs[0] if alone else epochs[-1],
        partial(st.select_slider, f"Epoch of the {label.lower()}"),
    )
    return chosen, epoch


def default_pair(there: tuple[Run, ...], compared: Compared) -> tuple[Run, Run]:
    """Two recipes of the family; else the sidebar's run, or another one, at its first and its last
    epoch, or beside a run on the same data."""
    members = [r for g in compared.groups for r in g.runs if r in there]
    chosen = library.find(str(st.session_state.get("choice_run", "")))
    first = next(iter([*members, *(r for r in there if r == chosen), *there]))
    others = [r for r in members if r is not first and shared_data(first, r)]
    if not others and len(epochs_with_files(first)) > 1:
        return first, first
    others += [r for r in there if r is not first and shared_data(first, r)]
    return first, next(iter([*others, first]))


def choose_pair(runs: tuple[Run, ...], compared: Compared) -> tuple[PairRequest, str, str] | None:
    """Two checkpoints on data that both runs name, and what they are called."""
    there = with_files(runs)
    if not there:
        return None
    first_run, second_run = default_pair(there, compared)
    left, right = st.columns(2)
    with left:
        first, epoch = choose_side("first", "First network", there, first_run, second_run)
    mates = tuple(r for r in there if shared_data(first, r))
    with right:
        mate = second_run if first == first_run else first
        second, other_epoch = choose_side("second", "Second network", mates, mate, None)
    data = shared_data(first, second)[0]
    request = PairRequest(side_request(first, epoch, data), side_request(second, other_epoch, data))
    names = [
        run.title if at is None else f"{run.title}, epoch {at:,}"
        for run, at in ((first, epoch), (second, other_epoch))
    ]
    return request, names[0], names[1]


def by_layer(runs: tuple[Run, ...], compared: Compared) -> None:
    st.subheader("Two checkpoints, layer by layer", anchor=False)
    chosen = choose_pair(runs, compared)
    if chosen is None:
        st.caption("No run here has its checkpoint files on this server.")
        return
    request, first, second = chosen
    measure = choose(
        "measure",
        list(MEASURES),
        "cka",
        partial(
            st.segmented_control, "Compare by", required=True, format_func=MEASURES.__getitem__
        ),
    )
    pair: PairSimilarity | None = result_of("compare_pair", PAIR, request, "Comparing layers")
    if pair is None:
        return
    large = frame.style("large")
    figure_card(
        "compare_layers",
        "Layer by layer",
        layer_similarity(pair, large, measure, first, second),
        large,
        PAIR_READINGS[measure],
        alt=f"{MEASURES[measure]} of every layer of one network with every layer of the other.",
    )
    st.caption(f"{in_words(pair, measure)} {pair.images:,} images of {plain(pair.data_name)}.")


frame.guard(__file__)
frame.title("Compare runs", line="Optimisers, losses, labels and classifiers beside each other")
runs = comparable(library.runs())
if not runs:
    frame.empty(
        "There is no run with several epochs on this server yet. Train one, or write one with "
        "RunWriter in your own training loop.",
        "Open your own",
        "pages/open_your_own.py",
    )
    frame.stop()
with st.container(horizontal=True, vertical_alignment="bottom", key="compare_choices"):
    compared = choose_runs(runs)
    key, split = choose_metric()
measure_missing(compared)
if not compared.groups:
    st.markdown("Choose one or more runs.")
else:
    finals = compared.finals
    curves(compared, key, split)
    of_grid = compared.family == "losses" and compared.heading == find_recipe("digits-ce").group
    tables = bundled_grid() if of_grid else ()
    if compared.family != OWN:
        found = finding(compared.family, finals, compared.measured, tables)
        if found is not None:
            say(found, compared)
    final_table(finals, compared)
    if any("shifted_accuracy" in f.results for f in finals):
        shifted(finals)
    if tables:
        grids(tables)
by_layer(library.runs(), compared)

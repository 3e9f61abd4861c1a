"""Size and sparsity: do larger networks use a smaller share of their units?"""

from functools import partial

import pandas as pd
import streamlit as st

from core.figures import sizes as figures
from core.figures.theme import number
from core.size_sparsity import (
    PAPER,
    Finding,
    Layer,
    Series,
    Trained,
    Vary,
    against_the_paper,
    bundled_sizes,
    by_training,
    emergence,
    every_series,
    larger_is_sparser,
    mean_over_seeds,
    points,
    standard_error,
)
from core.text import plain
from core.training.sizes import DATA, EPOCHS, SETUPS, Setup
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose, drop
from pages._ui.verdicts import verdict_line

LAYERS = {"mean": "mean", "first": "first", "last": "last"}
WHERE = {"mean": "mean of all layers", "first": "the first layer", "last": "the last layer"}
SHARE = r"\frac{\#\{a_{iu}\neq0\}}{N\,U},\qquad a=\max(0,Wx+b)"
INTERVAL = "Bands are 95 % intervals of the mean over the seeds (Student's t), so wide for three."


def controls(trained: tuple[Trained, ...]) -> tuple[Setup, Vary, Layer, str]:
    """Which networks, what varies, which layer, and the data of the small figures."""
    there = [s for s in SETUPS if any(t.setup == s for t in trained)]
    with st.container(border=True, key="card_controls"):
        name = choose(
            "networks",
            there,
            there[0],
            partial(st.selectbox, "Networks", format_func=lambda s: SETUPS[s].title),
        )
        setup = SETUPS[name]
        if setup.depths:
            vary: Vary = choose(
                "vary",
                ["width", "depth"],
                "width",
                partial(st.segmented_control, "Size", required=True),
            )
        else:
            vary = "width"
            drop("vary")
            st.caption("These were trained at several widths only.")
        layer: Layer = choose(
            "of",
            list(LAYERS),
            "mean",
            partial(st.segmented_control, "Layer", required=True, format_func=LAYERS.__getitem__),
        )
        data = choose(
            "images",
            list(DATA),
            "true",
            partial(
                st.selectbox,
                "Data by layer and epoch",
                format_func=lambda d: DATA[d].title,
            ),
        )
    return setup, vary, layer, data


def say(found: tuple[Finding, ...], more: tuple[str, ...]) -> None:
    about = Reading(
        "Written by rule. A share falls with size where the 95 % interval of its exponent is "
        "below 0, and in training where that of the mean change over the seeds is. **Shown "
        "here**: on all three kinds of data.",
        r"\text{share}=a\cdot\text{size}^{\,b}",
        PAPER,
    )
    with card("finding", "What holds here", about):
        for one in found:
            st.markdown(f"*{plain(one.claim)}* {verdict_line(one.verdict)} {plain(one.text)}")
        notes = [note for one in found for note in one.notes]
        for note in (*notes, *more):
            st.caption(plain(note))


def notice(said: tuple[str, ...]) -> None:
    if not said:
        return
    with card("points", "Three points to notice", Reading("Computed from the numbers shown.")):
        st.markdown("\n".join(f"{i}. {plain(text)}" for i, text in enumerate(said, start=1)))


def main_figure(series: tuple[Series, ...], layer: Layer, setup: Setup) -> None:
    style = frame.style("large")
    figure_card(
        "share_by_size",
        "Share against size",
        figures.share_by_size(series, style, layer),
        style,
        Reading(
            f"The share of the ReLU's outputs that are not zero on the training images, after "
            f"{EPOCHS} epochs: {WHERE[layer]}. A falling line means: the larger, the sparser. "
            f"{INTERVAL} Weights start symmetric and biases at 0, so that half of the units are "
            "on at the start. Dotted: the paper's own, much larger networks. " + trained_as(setup),
            SHARE,
            f"{PAPER}; docs/metrics.md",
        ),
        alt="Share of non-zero activations against the size of the network, one line for true "
        "labels, one for random labels, one for random inputs.",
    )


def trained_as(setup: Setup) -> str:
    norm = (
        "With batch norm, which centres the input of every ReLU, so that about half is on at "
        "any size."
        if setup.batch_norm
        else "Without batch norm, which would hold every unit on for about half of the images."
    )
    what = "" if setup.network == "vit" else norm
    return f"AdamW, learning rate {setup.learning_rate:g}, weight decay 0.05. {what}".strip()


def inside(series: Series | None, layer: Layer, data: str) -> None:
    style = frame.style()
    title = DATA[data].title
    left, right = st.columns(2)
    with left:
        figure_card(
            "share_by_layer",
            "Layer by layer",
            figures.share_by_layer(series, style),
            style,
            Reading(
                f"Trained on {title}: the final share in every layer with a ReLU, from the input "
                "to the output, one line a size. The stronger the colour, the larger. Dashed: half "
                f"of the units, as at the start. The axis need not start at 0. {INTERVAL}",
                SHARE,
                PAPER,
            ),
            alt=f"Share of non-zeros by layer, one line for every size, trained on {title}.",
        )
    with right:
        figure_card(
            "share_over_epochs",
            "During training",
            figures.share_over_epochs(series, style, layer),
            style,
            Reading(
                f"Trained on {title}, {WHERE[layer]}. Epoch 0 is the initialisation; the axis is "
                r"$\log(1+\text{epoch})$. A line that falls below the dashed one gets sparse in "
                f"training. The axis need not start at 0. {INTERVAL}",
                SHARE,
                PAPER,
            ),
            alt=f"Share of non-zeros over the epochs, one line for every size, trained on {title}.",
        )


def beside(series: tuple[Series, ...], layer: Layer) -> None:
    style = frame.style()
    left, right = st.columns(2)
    with left:
        figure_card(
            "active",
            "Number of active units",
            figures.active_by_size(series, style, layer),
            style,
            Reading(
                "A smaller share of more units can still be more units. Both axes are logarithmic; "
                "the dashed line is half of the units, as at the start. A line that is less steep "
                "means that units are added faster than they are used. In a CNN a unit is a "
                "channel at one position, in a ViT a hidden unit of the MLP at one token.",
                r"\text{share}\times\text{units}",
                PAPER,
            ),
            alt="Number of active units against size, with half of the units as a line.",
        )
    with right:
        figure_card(
            "accuracy",
            "Accuracy reached",
            figures.accuracy_by_size(series, style),
            style,
            Reading(
                "Training accuracy at the end. Random labels can only be learned by heart, and "
                "small networks do not manage: there the share tells of a network that is still "
                "learning. The hover has the test accuracy, which is at chance, 10 %, for both "
                "kinds of random data.",
            ),
            alt="Training accuracy against size for the three kinds of data.",
        )


def all_exponents(trained: tuple[Trained, ...], vary: Vary, layer: Layer) -> None:
    style = frame.style("large")
    rows = [
        (s.setup.title, s.images.title, s.slope(layer))
        for name in SETUPS
        for s in every_series(trained, name, vary)
    ]
    figure_card(
        "exponents",
        f"All networks by {vary}",
        figures.exponents(rows, style),
        style,
        Reading(
            f"The exponent $b$ of a power law fitted to {WHERE[layer]}: −0.1 means 7 % fewer with "
            "every doubling. Bars are 95 % intervals of the regression over all networks; they "
            "widen where a power law does not fit. Learning rate and batch norm are contrasts: "
            "whether the larger network is the sparser one depends on how it was trained.",
            r"\log\text{share}=\log a+b\log\text{size}",
            PAPER,
        ),
        alt="Exponent of the share against size with its interval for all networks and data.",
    )


def table(series: tuple[Series, ...], layer: Layer, vary: Vary) -> None:
    about = Reading(
        "Means over the seeds at the end of training; SE is the standard error, s/√S. The exponent "
        "belongs to all sizes of its data together. Download as CSV from the corner."
    )
    rows = []
    for s in series:
        slope = s.slope(layer)
        for z in s.sizes:
            share = 100 * z.share(layer)[:, -1]
            rows.append(
                {
                    "data": s.images.title,
                    "width": z.width,
                    "depth": z.depth,
                    "parameters": z.parameters,
                    "seeds": len(z.seeds),
                    "training accuracy": mean_over_seeds(100 * z.train_accuracy[:, -1]).value,
                    "test accuracy": mean_over_seeds(100 * z.test_accuracy[:, -1]).value,
                    "share": mean_over_seeds(share).value,
                    "SE": standard_error(share),
                    "active units": mean_over_seeds(z.active(layer)[:, -1]).value,
                    f"exponent ({vary})": slope.value.value,
                    "low": slope.value.low,
                    "high": slope.value.high,
                }
            )
    percent = st.column_config.NumberColumn(format="%.1f %%")
    plain_number = st.column_config.NumberColumn(format="%.3f")
    with card("table", "Size by size", about):
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height="content",
            placeholder="n/a",
            column_config={
                "parameters": st.column_config.NumberColumn(format="localized"),
                "training accuracy": percent,
                "test accuracy": percent,
                "share": percent,
                "SE": percent,
                "active units": st.column_config.NumberColumn(format="%.1f"),
                f"exponent ({vary})": plain_number,
                "low": plain_number,
                "high": plain_number,
            },
        )


frame.guard(__file__)
head = st.container()
trained = bundled_sizes()
if not trained:
    with head:
        frame.title("Size and sparsity")
    frame.needs(False, "The trainings of many sizes are not bundled here: `make runs` makes them.")
left, right = st.columns([2, 5])
with left:
    setup, vary, layer, data = controls(trained)
series = every_series(trained, setup.name, vary)
with head:  # after the choices: it names what a link asked for in vain
    count = len({t.seed for t in trained if t.setup == setup.name})
    frame.title(
        "Size and sparsity",
        line=f"Do larger networks use a smaller share of their units? {number(len(trained), 0)} "
        f"small networks trained on digits, {count} seeds each.",
    )
with left:
    notice(points(series, data, layer))
with right:
    main_figure(series, layer, setup)
    found = larger_is_sparser(series, layer), emergence(series, layer)
    ways = by_training(trained, data, layer) if setup.network == "mlp" else ""
    say(found, tuple(text for text in (ways, against_the_paper(series, layer)) if text))
inside(next((s for s in series if s.images.name == data), None), layer, data)
beside(series, layer)
all_exponents(trained, vary, layer)
table(series, layer, vary)

"""Classifier economy: what a classifier costs, and what need not be trained at collapse."""

from functools import partial

import pandas as pd
import streamlit as st

from core.economy import (
    LECTURE,
    Economy,
    Network,
    checked,
    curve,
    economy,
    find_network,
    network_of,
    networks,
)
from core.economy.counts import MOST_CLASSES
from core.figures import economy as figures
from core.figures.theme import number
from core.text import plain
from pages._ui import choices, frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.view import View

SOURCE = "Zhu et al., A Geometric Analysis of Neural Collapse, NeurIPS 2021"
OPENED = "opened"
FIRST = "resnet50"
QUICK = (10, 100, 1000, 10_000)


def opened() -> Network | str:
    """The network of the sidebar, or why it is not counted."""
    view = st.session_state["view"]
    if not isinstance(view, View):
        return "nothing is open"
    return network_of(view.analysis, view.title)


def set_classes(count: int) -> None:
    choices.set_choice("classes", count)


def start_over() -> None:
    """Another network starts with its own number of classes."""
    choices.drop("classes")
    st.session_state.pop("choice_classes", None)


def number_of_classes(options: list[int], key: str) -> int:
    return st.number_input("Classes K", options[0], options[-1], step=1, key=key)


def guess_first(options: list[bool], key: str) -> bool:
    """The toggle of ``guess``; its options are off and on."""
    return st.toggle("Guess first", key=key)


def controls(mine: Network | str) -> tuple[Network, int, bool]:
    """The network, the number of classes, and whether the answer stays hidden."""
    titles = {network.name: network.title for network in networks()}
    if isinstance(mine, Network):
        titles = {OPENED: f"in the sidebar: {mine.title}"} | titles
    with st.container(border=True, key="card_controls"):
        name = choose(
            "network",
            list(titles),
            FIRST,
            partial(st.selectbox, "Network", format_func=titles.__getitem__, on_change=start_over),
        )
        if name == OPENED and isinstance(mine, Network):
            network = mine
        else:
            network = find_network(name) or networks()[0]
        default = min(max(network.classes, 2), MOST_CLASSES)
        classes = choose("classes", range(2, MOST_CLASSES + 1), default, number_of_classes)
        with st.container(horizontal=True, gap="small", key="quick"):
            for count in QUICK:
                st.button(
                    f"{count:,}",
                    key=f"quick_{count}",
                    type="tertiary",
                    on_click=set_classes,
                    args=(count,),
                )
        hidden = choose("guess", [False, True], False, guess_first)
        if isinstance(mine, str):
            st.caption(f"The network of the sidebar is not in the list: {plain(mine)}.")
    return network, classes, hidden


def reveal(name: str, classes: int, guess: int) -> None:
    choices.set_choice("guess", False)
    st.session_state["_economy_guess"] = (name, classes, guess)


def guess_card(network: Network, classes: int) -> None:
    """A prediction before the answer."""
    with st.container(border=True, key="card_guess"):
        st.markdown(
            f"{plain(network.title)} tells {classes:,} classes apart. Which share of its "
            "parameters is in the classifier, the last linear layer?"
        )
        guess = st.slider("My guess", 0, 100, 10, format="%d %%", key="economy_guess")
        st.button(
            "Show the answer",
            type="primary",
            on_click=reveal,
            args=(network.name, classes, guess),
        )


def numbers(network: Network, found: Economy) -> None:
    """The four counts, and in words what is not possible, or does not pay."""
    with st.container(key="metrics"):
        metric("Parameters", figures.short_count(found.learned), f"{found.learned:,}", "total")
        metric(
            "In the classifier",
            figures.percent(found.classifier_share),
            f"K (d + 1) = {found.classifier:,}" if network.bias else f"K d = {found.classifier:,}",
            f"d = {network.dim:,}",
        )
        fixed, both = found.share_saved("fixed"), found.share_saved("narrowed")
        metric(
            "Fixed ETF saves",
            figures.percent(fixed),
            f"K d = {found.weights:,} weights" if fixed is not None else found.fixed_reason,
            "not possible" if fixed is None else "bias is trained" if network.bias else "no bias",
        )
        extra = found.saved_by_narrowing
        metric(
            "With d = K",
            figures.percent(both),
            f"{found.narrowed:,} trained" if found.narrowed is not None else found.narrowed_reason,
            "not possible"
            if extra is None
            else f"{'saves' if extra >= 0 else 'costs'} {figures.short_count(abs(extra))}",
        )


def metric(label: str, value: str, explained: str, below: str | None) -> None:
    st.metric(
        label,
        value,
        delta=below,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=explained,
    )


def words_card(network: Network, found: Economy) -> None:
    """What was guessed; what is undefined and why; from where on d = K does not pay."""
    about = Reading("What the counts say of this network, by rule.")
    with card("words", "In words", about):
        name, classes, guess = st.session_state.get("_economy_guess", (None, None, None))
        if (name, classes) == (network.name, found.classes):
            share = figures.percent(found.classifier_share)
            st.markdown(f"You guessed {guess} %; it is {share}.")
        for sentence in remarks(network, found):
            st.markdown(f"- {plain(sentence)}")


def remarks(network: Network, found: Economy) -> list[str]:
    said = []
    if found.fixed is not None:
        said.append(
            f"Fixed ETF: {network.dim:,} features hold one of up to {network.dim + 1:,} classes. "
            f"It spares {found.weights:,} weights."
        )
    else:
        said.append(f"Fixed ETF: not possible, as {found.fixed_reason}.")
    extra, limit = found.saved_by_narrowing, network.pays_below
    if extra is None:
        if found.fixed is not None:
            said.append(f"d = K: not possible, as {found.narrowed_reason}.")
    elif extra > 0:
        said.append(f"d = K: the {network.rule} is narrowed, which saves {extra:,} more.")
    else:
        said.append(
            f"d = K: the {network.rule} is narrowed, which costs {-extra:,}: its shortcut becomes "
            "a projection with more weights than the narrow layer saves."
        )
    if extra is not None and limit is not None and limit < network.dim:
        said.append(f"For this network d = K pays below {limit:,} classes.")
    if network.auxiliary:
        said.append(
            f"Its auxiliary heads, used in training alone, have {network.auxiliary:,} parameters "
            "a class more; they count to the body."
        )
    return said


def ways_card(network: Network, found: Economy) -> None:
    style = frame.style("large")
    figure_card(
        "three_ways",
        "What is trained",
        figures.three_ways(network, found, style),
        style,
        Reading(
            "Three ways to train the same network. **Learned**: everything. **Fixed ETF**: the "
            "classifier's weights $W$ are set to a simplex ETF, which collapse would find anyway, "
            "and stay; the bias is trained, as in the paper's code. **ETF, d = K**: the last "
            "block puts out $K$ features instead of $d$. Its last layer has fewer outputs then; "
            "where it ends a residual block, the identity as shortcut becomes a 1×1 projection, "
            "which costs parameters. Pale: not trained any more.",
            r"P=\text{body}+K(d+1),\quad W=\sqrt{\tfrac{K}{K-1}}\,"
            r"\bigl(I-\tfrac1K\mathbf 1\mathbf 1^\top\bigr)U^\top",
            SOURCE,
        ),
        alt="Parameters trained with a learned classifier, a fixed one, and with d = K.",
    )


def classes_card(network: Network, found: Economy) -> None:
    style = frame.style("large")
    figure_card(
        "over_classes",
        "More classes, more to save",
        figures.over_classes(network, curve(network), found, style),
        style,
        Reading(
            "Share of the parameters that need no training, for any number of classes. K vectors "
            "of a simplex ETF span K − 1 dimensions, so that it exists up to K = d + 1: beyond the "
            "dashed line the dotted curve is the classifier's share all the same, but another "
            "fixed matrix is needed. Narrowing to d = K means something only for K < d; near "
            "there it saves nothing, or costs.",
            r"\frac{Kd}{\text{body}+K(d+1)},\qquad d\ge K-1",
            SOURCE,
        ),
        alt="Share of parameters that need no training against the number of classes.",
    )


def pairs_of(classes: int, chosen: Network) -> list[tuple[Network, Economy]]:
    """Every network with this number of classes, the largest share of the classifier first."""
    listed = [*networks(), chosen] if chosen.name == OPENED else list(networks())
    return sorted(
        ((n, economy(n, classes)) for n in listed), key=lambda pair: -pair[1].classifier_share
    )


def across_card(pairs: list[tuple[Network, Economy]], classes: int, chosen: Network) -> None:
    style = frame.style("large")
    figure_card(
        "across",
        "All networks",
        figures.across(pairs, style, chosen.name, {claim.network for claim in LECTURE}),
        style,
        Reading(
            f"Every network with {classes:,} classes; the lecture's are named. Small networks "
            "spend most on their classifier. Open: the features have fewer than K − 1 dimensions, "
            "so that no simplex ETF fits.",
            source=SOURCE,
        ),
        alt="Share of the classifier against the number of parameters of all networks.",
    )


def table_card(pairs: list[tuple[Network, Economy]]) -> None:
    rows = [
        {
            "network": n.title,
            "parameters": e.learned,
            "d": n.dim,
            "classifier": 100 * e.classifier_share,
            "fixed ETF saves": in_percent(e.share_saved("fixed")),
            "with d = K": in_percent(e.share_saved("narrowed")),
            "why not": e.narrowed_reason,
        }
        for n, e in pairs
    ]
    about = Reading(
        "Sorted by the share of the classifier. Empty where undefined; the last column says why. "
        "Negative: d = K costs more than it saves. Download as CSV from the corner."
    )
    share = st.column_config.NumberColumn(format="%.1f %%")
    with card("networks", "Network by network", about):
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height=400,
            placeholder="n/a",
            column_config={
                "parameters": st.column_config.NumberColumn(format="localized"),
                "classifier": st.column_config.ProgressColumn(
                    format="%.1f %%", min_value=0.0, max_value=100.0
                ),
                "fixed ETF saves": share,
                "with d = K": share,
                "why not": st.column_config.TextColumn(width="large"),
            },
        )


def in_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def lecture() -> None:
    """The lecture's figures beside ours."""
    about = Reading(
        "Counted here on built networks. For ImageNet the share is that of the classifier's "
        "weights; for CIFAR-10 it is all that a fixed ETF with d = K spares.",
        r"\frac{Kd}{P},\qquad 1-\frac{P_{\text{ETF},\,d=K}}{P}",
        f"{SOURCE}; Hoffer, Hubara and Soudry, Fix your classifier, ICLR 2018 (ImageNet)",
    )
    with card("lecture", "The lecture's figures, checked", about):
        rows = []
        for claim in LECTURE:
            found, share = checked(claim)
            trained = found.learned - found.weights if claim.way == "weights" else found.narrowed
            decimals = max(1, len(claim.percent.partition(".")[2]))
            rows.append(
                {
                    "network": claim.network,
                    "data": claim.data,
                    "spared": "W" if claim.way == "weights" else "W, d = K",
                    "lecture": f"{claim.percent} %",
                    "here": number(100 * share, decimals, " %"),
                    "parameters": f"{found.learned:,}",
                    "trained": f"{trained:,}",
                }
            )
        with st.container(key="wide_lecture"):
            st.table(unbroken(rows), border="horizontal", hide_index=True)
        for claim in LECTURE:
            if claim.note:
                st.caption(plain(f"{claim.network}: {claim.note}"))


def unbroken(rows: list[dict[str, str]]) -> pd.DataFrame:
    """A table whose cells do not break over lines."""
    space = "\N{NO-BREAK SPACE}"
    return pd.DataFrame([{k: v.replace(" ", space) for k, v in row.items()} for row in rows])


def what_is_lost() -> None:
    about = Reading(
        "A fixed classifier leaves no choice of directions: class 1 and class 2 are as far apart "
        "as any other two, alike or not."
    )
    with card("lost", "What one loses", about):
        st.markdown(
            "Parameters that are not trained save gradients and the optimiser's memory, and W "
            "need not be stored: it is a formula. They save hardly any time, because the body "
            "is computed all the same. Three conditions:\n"
            "- **d ≥ K − 1**, or no simplex ETF exists. Language models have many more "
            "classes than dimensions.\n"
            "- **Collapse must be where training goes**: balanced classes, trained to the end. "
            "With few epochs, or with rare classes, a learned classifier can be better.\n"
            "- **d = K leaves no room**: features that other tasks could use are gone."
        )
        st.page_link(
            "pages/compare_runs.py",
            label="See it trained: Compare runs",
            icon=":material/arrow_forward:",
            query_params=choices.link() | {"family": "classifiers"},
        )


frame.guard(__file__)
head = st.container()
left, right = st.columns([2, 5])
with left:
    network, classes, hidden = controls(opened())
with head:  # after the choices: it names what a link asked for in vain
    frame.title(
        "Classifier economy",
        line="At collapse the classifier is known before training. What need not be trained?",
    )
if hidden:
    with right:
        guess_card(network, classes)
    frame.stop()
found = economy(network, classes)
with left:
    words_card(network, found)
with right:
    numbers(network, found)
    ways_card(network, found)
pairs = pairs_of(classes, network)
left, right = st.columns(2)
with left:
    classes_card(network, found)
with right:
    across_card(pairs, classes, network)
table_card(pairs)
left, right = st.columns([2, 1])
with left:
    lecture()
with right:
    what_is_lost()

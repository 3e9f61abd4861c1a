"""Sparse coding: a patch, a dictionary, and the fewest atoms that make the one of the other."""

from functools import partial

import streamlit as st

from core.errors import UserError
from core.figures import sparse_coding as figures
from core.figures import theme
from core.sparse_lab import (
    DICTIONARIES,
    FACTORS,
    LAMBDAS,
    LAYERS,
    NOISES,
    PATCHES,
    SEED,
    LabRequest,
    LabResult,
    best_sentence,
    code_sentence,
    dictionary_file,
    lab,
    models,
    models_sentence,
    speed_sentence,
    stability_sentence,
    stable,
    sweep,
)
from core.text import plain
from pages._ui import choices, frame
from pages._ui.cards import Reading, card, figure_card
from pages._ui.choices import choose
from pages._ui.jobs import error_box

KEYS = ("patch", "dictionary", "lam", "noise", "nonnegative", "guess", "at", "factor", "stable_in")
BECK = "Beck and Teboulle, SIAM J. Imaging Sciences 2009"
PAPYAN = "Papyan, Sulam and Elad, IEEE Trans. Signal Processing 2017, theorem 19"
SDNET = "Dai et al., NeurIPS 2022 (SDNet)"
GUESSES = {"falls": "falls", "stays": "stays", "rises": "rises"}


def start_over() -> None:
    """Every choice of this page as it was at first."""
    for key in KEYS:
        choices.drop(key)
        st.session_state.pop(f"choice_{key}", None)
    st.session_state.pop("_sparse_guess", None)


def switch(label: str, explained: str, options: list[bool], key: str) -> bool:
    """A toggle; its options are off and on."""
    return st.toggle(label, key=key, help=explained)


def learned_atoms(patch: str) -> tuple[str, int] | str:
    """The checkpoint with the atoms that a network learned, or why there is none."""
    try:
        return dictionary_file(patch)
    except UserError as error:
        return str(error)


def controls() -> tuple[LabRequest, bool]:
    """What the reader chose, and whether the answer stays hidden."""
    with st.container(border=True, key="card_controls"):
        patch = choose(
            "patch",
            list(PATCHES),
            "dog",
            partial(st.selectbox, "Patch", format_func=lambda p: PATCHES[p].title),
        )
        file = learned_atoms(patch)
        there = {
            k: v for k, v in DICTIONARIES.items() if k != "learned" or not isinstance(file, str)
        }
        dictionary = choose(
            "dictionary",
            list(there),
            next(iter(there)),
            partial(st.selectbox, "Dictionary A", format_func=there.__getitem__),
        )
        if isinstance(file, str):
            st.caption(plain(f"{file[0].upper()}{file[1:]}."))
        lam = choose(
            "lam",
            list(LAMBDAS),
            0.2,
            partial(
                st.select_slider,
                "Sparsity λ",
                format_func=lambda v: f"{v:g}",
                help="In ½‖x − A z‖² + λ‖z‖₁. The lecture leaves out the ½: its λ is twice this "
                "one.",
            ),
        )
        noise = choose(
            "noise",
            list(NOISES),
            0.2,
            partial(
                st.select_slider,
                "Noise σ",
                format_func=lambda v: f"{v:g}",
                help="Standard deviation of Gaussian noise, in units of x, the network's input: "
                "for CIFAR-10 pixels minus their mean over their spread. The same noise, scaled.",
            ),
        )
        nonnegative = choose(
            "nonnegative",
            [False, True],
            False,
            partial(switch, "Codes z ≥ 0", "The threshold is then a ReLU with the bias −λ."),
        )
        hidden = choose(
            "guess", [False, True], False, partial(switch, "Guess first", "Hides the answer.")
        )
    path, changed = file if dictionary == "learned" and not isinstance(file, str) else ("", 0)
    return LabRequest(patch, dictionary, lam, noise, nonnegative, path, changed), hidden


def foot() -> None:
    """Start over, or show others what is shown; drawn last, when all choices are known."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            "Reset",
            key="reset",
            icon=":material/restart_alt:",
            type="tertiary",
            on_click=start_over,
        )
        with st.popover("Copy link", icon=":material/link:", type="tertiary"):
            st.caption("It shows what you see now.")
            st.code(choices.here("sparse_coding"), language=None, wrap_lines=True)


# --- cards ------------------------------------------------------------------------------------


def pictures_card(result: LabResult) -> None:
    style = frame.style("large")
    figure_card(
        "pictures",
        "The patch and its code's picture",
        figures.pictures(result, style),
        style,
        Reading(
            "The patch; the patch with noise, $x$, which is all that the method sees; what the "
            "code $z$ stands for, $Az$; and what it leaves over. $A$ puts an atom wherever an "
            "entry of $z$ is not zero. A larger λ leaves more over: first noise, then edges.",
            r"z^\star=\arg\min_z\;\tfrac12\lVert x-Az\rVert^2+\lambda\lVert z\rVert_1",
            f"{SDNET}; with ½: the lecture's λ is twice this one",
        ),
        alt="The patch, the patch with noise, its reconstruction and the residual.",
    )
    st.caption(plain(code_sentence(result)))


def atoms_card(result: LabResult) -> None:
    style = frame.style("large")
    values = result.atoms.values
    how = {
        "learned": "Learned: the first layer of a bundled SDNet.",
        "cosines": "Cosines: products of a wave along x and one along y, more of them than pixels "
        "a side; in colour a quarter are differences of colours.",
        "random": "Random: Gaussian noise.",
    }[result.request.dictionary]
    stride = result.atoms.stride
    figure_card(
        "atoms",
        "The atoms, and their use",
        figures.atoms(result, style),
        style,
        Reading(
            f"{how} All three have the shape of the network's layer, so that they differ in the "
            f"atoms alone: {len(values)} atoms of {values.shape[-1]}×{values.shape[-1]} pixels, "
            f"each of norm 1, at every {'place' if stride == 1 else f'{stride}nd place'}. Grey is "
            "zero. The bar below an atom is its share of $\\lVert z\\rVert_1$.",
            r"a_j\in\mathbb R^{C\times k\times k},\quad\lVert a_j\rVert=1",
            SDNET,
        ),
        alt="The atoms of the dictionary as small pictures with bars for their use.",
    )


def code_cards(result: LabResult, request: LabRequest) -> None:
    style = frame.style("large")
    analysis = (
        "**Synthesis** finds the few atoms that together make $x$: entries compete, and one that "
        "explains a piece of $x$ leaves nothing for its neighbours. **Analysis** asks every atom "
        "alone: a convolution $Wx$, $W=A^\\top$, and a threshold, one layer of an ordinary network."
    )
    one, two = st.columns([3, 2])
    with one:
        figure_card(
            "code",
            "The code, entry by entry",
            figures.code_maps(result, style),
            style,
            Reading(
                "A row is an atom, a column a place; what is exactly zero has no colour. "
                f"{analysis}",
                r"z_{\text{syn}}=\arg\min_z\tfrac12\lVert x-Az\rVert^2+\lambda\lVert z\rVert_1,"
                r"\quad z_{\text{ana}}=S_\lambda(A^\top x)",
                "Elad, Milanfar and Rubinstein, Inverse Problems 2007",
            ),
            alt="Two heat maps: the synthesis code and the analysis code, atoms by places.",
        )
    with two:
        figure_card(
            "models",
            "Same zeros, which error?",
            figures.both_models(models(request), request.lam, style),
            style,
            Reading(
                "Every λ gives a point: how many entries are not zero, and how far the picture is "
                "from the patch without noise. The large marks have the chosen λ. The analysis "
                "code is read back by least squares, "
                "$\\hat x=\\arg\\min\\lVert W\\hat x-z\\rVert$, times the gain that suits it "
                "best, which is in its favour. Lower and further left is better.",
                r"\sqrt{\operatorname{mean}\,(\hat x-x_{\text{clean}})^2}",
                "Elad, Milanfar and Rubinstein, Inverse Problems 2007",
            ),
            alt="Error against the share of non-zeros for synthesis and analysis.",
        )
    st.caption(plain(models_sentence(result)))


def entries_card(result: LabResult) -> None:
    style = frame.style("large")
    figure_card(
        "entries",
        "How quickly it falls to zero",
        figures.sorted_entries(result, style),
        style,
        Reading(
            "The entries' sizes in order. A line that ends early means a sparse code: everything "
            "to its right is exactly zero.",
            r"|z|_{(1)}\ge|z|_{(2)}\ge\dots",
        ),
        alt="Sizes of the entries of both codes in order.",
    )


def search_card(result: LabResult, layer: int) -> None:
    style = frame.style("large")
    figure_card(
        "convergence",
        "FISTA against ISTA",
        figures.convergence(result, style, layer),
        style,
        Reading(
            "How far the objective $F$ is above its optimum $F^\\star$. ISTA steps down the "
            "gradient and thresholds; FISTA does so from a point that is drawn on in the direction "
            "of the last step. Both have the same cost an iteration. Dashed is what theory allows "
            "at most. The pale strip is the layer chosen below. $F^\\star$ is the least value "
            "found in a longer search.",
            r"F(z_t)-F^\star\le\frac{L\lVert z^\star\rVert^2}{2t},\quad"
            r"\frac{2L\lVert z^\star\rVert^2}{(t+1)^2},\quad L\ge\lVert A\rVert^2",
            f"{BECK}, theorems 3.1 and 4.4",
        ),
        alt="Relative distance to the optimum by iteration, FISTA and ISTA.",
    )
    st.caption(plain(speed_sentence(result)))


def denoising_card(request: LabRequest) -> None:
    style = frame.style("large")
    found = sweep(request)
    figure_card(
        "denoising",
        "The best λ moves with the noise",
        figures.denoising(found, request, style),
        style,
        Reading(
            "How far $Az$ is from the patch **without** noise. A small λ keeps the noise, a large "
            "one takes the patch away with it. A line a noise, the chosen one strong; diamonds are "
            "the best λ of each, and the dashed line joins them. The noise is drawn once "
            f"(seed {SEED}) and scaled.",
            r"\sqrt{\operatorname{mean}\,(Az^\star(\lambda)-x_{\text{clean}})^2}",
            SDNET,
        ),
        alt="Error of denoising against λ for several noises, with the best λ of each.",
    )
    guess = st.session_state.get("_sparse_guess")
    said = f"You guessed: it {GUESSES[guess]}. " if guess in GUESSES else ""
    st.caption(plain(said + best_sentence(found, request)))


def guess_card() -> None:
    """A prediction before the answer."""
    with st.container(border=True, key="card_guess"):
        st.markdown("**The noise doubles. What does the λ with the least error do?**")
        guess = st.segmented_control(
            "My guess", list(GUESSES), default="stays", required=True, key="sparse_guess"
        )
        st.button("Show the answer", type="primary", on_click=reveal, args=(guess,))


def reveal(guess: str) -> None:
    choices.set_choice("guess", False)
    st.session_state["_sparse_guess"] = guess


def network_card(result: LabResult, layer: int) -> None:
    style = frame.style("large")
    figure_card(
        "unrolled",
        "The iteration as a network",
        figures.unrolled(result, layer, style),
        style,
        Reading(
            "Every iteration is a layer: a linear step, then the soft threshold $S$ as the "
            "activation. The first layer is a convolution and a threshold, as in any network; "
            "those after it correct what it got wrong, with the **same** weights. Below each layer "
            "are its code (a row an atom; pale is zero), its picture $Az_t$, the share of "
            "non-zeros and the objective $F$. SDNet uses a few layers, and can use more or a "
            "larger λ after training.",
            r"z_{t+1}=S_{\lambda/L}\!\left(y_t+\tfrac1LA^\top(x-Ay_t)\right),\quad "
            r"y_{t}=z_t+\beta_t(z_t-z_{t-1})",
            f"Gregor and LeCun, ICML 2010; {SDNET}; {BECK}, eq. 4.1 to 4.3",
        ),
        alt="The unrolled network: code and picture after the first layers and the chosen one.",
        wide=True,
    )


def layer_slider() -> int:
    return choose(
        "at", list(range(1, LAYERS + 1)), 8, partial(st.select_slider, "Layer shown", width=420)
    )


def stability_card(request: LabRequest) -> None:
    about = Reading(
        "A code $z_0$ with few non-zeros is made up, noise $e$ is added to $Az_0$, and the code "
        "of that is found with λ in proportion to the noise. The theorem: with fewer than "
        "$\\tfrac13(1+1/\\mu)$ non-zeros (μ, the coherence, is the largest inner product of two "
        "atoms) and $\\lambda=4\\lVert e\\rVert$, every non-zero found is a true one, and the "
        "error grows at most like $7.5\\lVert e\\rVert$. Non-zeros above that size are found for "
        "sure; below, they drown. Spikes and waves (256 points, 512 atoms) are as incoherent as "
        "two bases can be. Three draws a noise.",
        r"\lVert z-z_0\rVert_\infty\le 7.5\,\lVert e\rVert_2",
        PAPYAN,
    )
    with card("stable", "Is the code stable?", about):
        options = {"spikes": "spikes and waves", "here": DICTIONARIES[request.dictionary]}
        chosen = choose(
            "stable_in",
            list(options),
            "spikes",
            partial(
                st.segmented_control,
                "Dictionary",
                required=True,
                format_func=options.__getitem__,
            ),
        )
        factor = choose(
            "factor",
            list(FACTORS),
            4.0,
            partial(st.select_slider, "λ / ‖e‖", format_func=lambda v: f"{v:g}", width=320),
        )
        plainest = LabRequest(
            request.patch,
            request.dictionary,
            checkpoint=request.checkpoint,
            changed=request.changed,
        )
        found = stable(factor, None if chosen == "spikes" else plainest)
        style = frame.style("large")
        st.plotly_chart(
            figures.stability(found, style),
            theme=None,
            key="chart_stable",
            alt="Error of the code and share of true non-zeros found against the noise.",
            config=theme.config(style, "featurescope-stable"),
        )
        st.caption(plain(stability_sentence(found)))


def notice_card() -> None:
    about = Reading("What the figures show if you turn one control at a time.")
    with card("notice", "Three points to notice", about):
        st.markdown(
            "1. **λ counts.** Raise it: entries become exactly zero one after another, all of them "
            "at $\\lambda_{\\max}$, the largest entry of $|A^\\top x|$. It can be turned after "
            "training.\n"
            "2. **Noise moves the best λ.** Raise σ and follow the diamond. A network whose λ can "
            "be turned can follow it, too.\n"
            "3. **Competition makes sparse.** Compare both codes at the same λ: the atoms of the "
            "analysis code do not know of each other."
        )


frame.guard(__file__)
head = st.container()
left, right = st.columns([2, 5])
with left:
    request, hidden = controls()
with head:  # after the choices: it names what a link asked for in vain
    frame.title(
        "Sparse coding",
        line="How few atoms make this patch? A layer that looks for them can be made more or less "
        "sparse after training.",
    )
try:
    result = lab(request)
except UserError as error:  # a checkpoint that cannot be read
    with right:
        error_box("These atoms cannot be shown.", str(error))
    frame.stop()
with right:
    pictures_card(result)
    atoms_card(result)
with left:
    notice_card()
    below = st.container()
code_cards(result, request)
layer = layer_slider()
network_card(result, layer)
one, two = st.columns(2)
with one:
    search_card(result, layer)
with two:
    if hidden:
        guess_card()
    else:
        denoising_card(request)
one, two = st.columns(2)
with one:
    stability_card(request)
with two:
    entries_card(result)
with below:
    foot()

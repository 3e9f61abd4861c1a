"""The MLPs of a text transformer on the page Sparsity: by depth, by token position, as a table."""

from __future__ import annotations

import streamlit as st

from core.figures import language
from core.results import MLPSparsity
from core.text import plain
from pages._ui import frame
from pages._ui.cards import Reading, card, figure_card

SHARE = r"\frac{1}{T\,d}\,\#\{(t,j): a_{tj}\neq 0\}"
LAZY = "Li et al., ICLR 2023 (“The lazy neuron phenomenon”)"


def mlps(found: tuple[MLPSparsity, ...]) -> None:
    """All cards, encoder before decoder."""
    by_depth(found)
    stacks = [m for m in found if len(m.tokens)]
    for column, mlp in zip(st.columns(max(1, len(stacks))), stacks, strict=False):
        with column:
            by_position(mlp)
    as_table(found)


def by_depth(found: tuple[MLPSparsity, ...]) -> None:
    large = frame.style("large")
    figure_card(
        "mlps",
        "Non-zeros by block",
        language.by_depth(found, large),
        large,
        Reading(
            "How many hidden activations of each block's MLP are not zero, averaged over all "
            "tokens and units; padding does not count. The band is the 95 % interval over texts. "
            "In a network with random weights a ReLU lets half of them through (dashed, where "
            "zeros are exact); training makes them sparse, larger networks more so: Li et al. "
            "report 3.0 % for T5-Base, and the lecture (Zhu, ICASSP 2023) about 1 % for T5-Large. "
            "Those are their numbers, of networks with ReLU. Open symbols are approximate: GELU "
            "is hardly ever exactly 0, so that $|a|$ up to a thousandth of the block's largest "
            "counts as zero.",
            SHARE,
            LAZY,
        ),
        alt="Share of non-zero hidden activations by block, one line a stack, with intervals.",
        wide=max(len(m.blocks) for m in found) > 12,
    )
    st.caption(plain(language.in_words(found)))


def by_position(mlp: MLPSparsity) -> None:
    large = frame.style("large")
    figure_card(
        f"positions_{mlp.stack}",
        f"{plain(mlp.stack.capitalize())}, by position",
        language.by_position(mlp, large),
        large,
        Reading(
            "One row a block, one column a position in the text; the darker, the more of the "
            "hidden activations are not zero there. The first token is often a special one "
            "(BERT's class token, for instance) and differs. Late positions exist in long texts "
            "alone: the hover says how many tokens a mean is over.",
            r"\frac{1}{n_t\,d}\,\#\{(i,j): a^{(i)}_{tj}\neq 0\}",
            LAZY,
        ),
        alt=f"Heat map of the share of non-zeros, blocks against positions, {mlp.stack}.",
    )
    st.caption(plain(language.position_in_words(mlp)))


def as_table(found: tuple[MLPSparsity, ...]) -> None:
    import pandas as pd  # for the table of text transformers alone

    rows = language.rows(found)
    about = Reading("Low and high bound the 95 % interval over texts, all in per cent.")
    with card("mlps_table", "Block by block", about):
        percent = st.column_config.NumberColumn(format="%.2f %%")
        st.dataframe(
            pd.DataFrame(
                {
                    "stack": r.stack,
                    "block": r.block,
                    "hidden units": r.units,
                    "non-zero": r.share,
                    "low": r.low,
                    "high": r.high,
                    "counted": r.counted,
                }
                for r in rows
            ),
            hide_index=True,
            height="content",
            placeholder="n/a",
            column_config=dict.fromkeys(("non-zero", "low", "high"), percent),
        )
        st.download_button(
            "Table as CSV",
            data=lambda: language.as_csv(rows),
            file_name="featurescope-mlps.csv",
            mime="text/csv",
            key="csv_mlps_table",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )

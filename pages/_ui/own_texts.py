"""Open your own, for a text transformer: the reader's texts, or sentences of the app."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from core.language import example
from core.language.request import MAX_TOKENS, TextRequest
from core.request import AnalysisRequest
from pages._ui import upload
from pages._ui.choices import choose

SOURCES = {"own": "My texts", "example": example.NAME, "weights": "Weights only"}
MOST_TOKENS = 4096
_TELLING = (
    ("blocks", ("num_layers", "num_hidden_layers")),
    ("features", ("d_model", "hidden_size")),
    ("hidden units of an MLP", ("d_ff", "intermediate_size")),
    ("activation", ("feed_forward_proj", "hidden_act")),
)


def facts(metadata: Mapping[str, object]) -> list[str]:
    """What of a network's ``config.json`` tells most of it, in words."""
    found = (
        (what, next((metadata[k] for k in keys if k in metadata), None)) for what, keys in _TELLING
    )
    return [
        f"{value} {what}" if isinstance(value, int) else f"{what} {value}"
        for what, value in found
        if value is not None
    ]


def text_step(request: AnalysisRequest) -> AnalysisRequest | TextRequest | None:
    """What to ask of ``core`` once there are texts; None until then."""
    source = choose(
        "texts",
        list(SOURCES),
        "own",
        partial(
            st.segmented_control,
            "Data",
            required=True,
            format_func=SOURCES.__getitem__,
            label_visibility="collapsed",
        ),
    )
    if source == "weights":
        st.caption("Norms, spectra and zeros of the weights; no features.")
        return request
    if source == "example":
        st.caption(f"{example.SAYS}; one class a topic.")
        text = str(example.EXAMPLE), example.NAME
    else:
        text = own_texts()
    options = reading()
    if text is None:
        return None
    return TextRequest(
        model=request.checkpoint,
        text=text[0],
        model_name=request.checkpoint_name,
        text_name=text[1],
        max_texts=options[0],
        max_tokens=options[1],
    )


def own_texts() -> tuple[str, str] | None:
    """Path and name of the dropped texts; None without any."""
    file = st.file_uploader(
        "A text file, one sentence a line",
        key="text_file",
        help="UTF-8. A label and a tab may stand before each sentence: labels are the classes.",
    )
    if file is None:
        st.caption("Without labels all texts are one class: no separation, but all the rest.")
    with st.expander("What the file looks like", expanded=file is None):
        st.markdown("A label, a tab and a sentence in every line; or sentences alone.")
        st.code(example.FORMAT, language=None)
        st.markdown(
            "Or token ids, for a network without `tokenizer.json`: whole numbers with spaces "
            "between them, a text a line, with or without labels; or an `.npz` with `ids` (N, T) "
            "and, where they are known, `mask` and `labels`."
        )
        st.code(example.FORMAT_IDS, language=None)
        st.download_button(
            "Example as a file",
            data=example.EXAMPLE.read_bytes,
            file_name="sentences.txt",
            mime="text/plain",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )
    return None if file is None else (str(upload.store(file)), file.name)


def reading() -> tuple[int | None, int]:
    """How many texts are read, None for all, and how many tokens of each."""
    with st.expander("How the texts are read"):
        left, right = st.columns(2)
        texts = left.number_input(
            "Texts at most", 2, 100_000, None, placeholder="all", key="max_texts"
        )
        tokens = right.number_input(
            "Tokens of a text at most", 1, MOST_TOKENS, MAX_TOKENS, key="max_tokens"
        )
        st.caption("Of more texts, the same share of every class is drawn; longer texts are cut.")
    return None if texts is None else int(texts), int(tokens)

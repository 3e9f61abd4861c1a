"""From sentences to token ids, by the ``tokenizer.json`` of the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.language.texts import Texts


@dataclass(frozen=True, slots=True)
class Tokens:
    """N texts as token ids without padding, each cut to the most tokens that are read."""

    ids: tuple[np.ndarray, ...]  # per text (T_i,) int64, T_i >= 1
    warnings: tuple[str, ...] = ()

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of every text."""
        return np.array([len(row) for row in self.ids])


def tokenise(
    texts: Texts, tokenizer: Path | None, vocabulary: int, most: int, name: str
) -> tuple[Texts, Tokens]:
    """The texts that have tokens, and these. ``most`` tokens of each are read; special tokens
    that the tokenizer adds (start, end, class token) count as tokens.

    Raises UserError without a tokenizer where there are sentences, and for ids outside the
    vocabulary. ``name`` is the model's.
    """
    notes: tuple[str, ...] = ()
    if texts.ids is not None:
        rows = texts.ids
        cut = sum(len(row) > most for row in rows)
        ids = [row[:most] for row in rows]
    elif tokenizer is None:
        raise UserError(
            f"{name} has no tokenizer.json, so its tokens are known as numbers alone: give lines "
            "of token ids, or an .npz with ids (N, T)"
        )
    else:
        assert texts.sentences is not None
        ids, cut = _encode(texts.sentences, tokenizer, most, name)
    full = np.flatnonzero([len(row) > 0 for row in ids])
    if not len(full):
        raise UserError(f"{texts.name}: the tokenizer of {name} finds no token in any text")
    if len(full) < len(ids):
        notes += (f"{len(ids) - len(full)} texts without a token were left out",)
        texts, ids = texts.select(full), [ids[i] for i in full]
    if cut:
        notes += (f"{cut} of {len(ids)} texts are longer than {most} tokens and were cut",)
    worst = max(int(row.max()) for row in ids)
    if worst >= vocabulary:
        raise UserError(
            f"{texts.name} gives the token id {worst:,}, and the vocabulary of {name} has "
            f"{vocabulary:,}; use the tokenizer that belongs to the network"
        )
    return texts, Tokens(tuple(ids), notes)


def _encode(
    sentences: Sequence[str], path: Path, most: int, name: str
) -> tuple[list[np.ndarray], int]:
    """Token ids of every sentence, and how many sentences were cut."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        from core.models.hugging_face import INSTALL

        raise UserError(f"reading text needs the package tokenizers: {INSTALL}") from error
    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=most)
        encoded = tokenizer.encode_batch(list(sentences))
    except BaseException as error:  # the library's own panics are no Exceptions
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise UserError(
            f"the tokenizer.json of {name} cannot be used ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:120]}); download it again or give token ids"
        ) from error
    # fewer tokens than the special ones alone are not cut by the library
    ids = [np.array(one.ids[:most], dtype=np.int64) for one in encoded]
    return ids, sum(bool(one.overflowing) or len(one.ids) > most for one in encoded)

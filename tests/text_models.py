"""Small text transformers as Hugging Face folders, made on the spot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.language.example import EXAMPLE


def write_t5(folder: Path, *, activation: str = "relu", seed: int = 0, tokenizer: bool = True) -> Path:
    """A T5 of two blocks a stack with random weights, and a tokenizer of the example's words."""
    import torch
    from transformers import T5Config, T5Model

    words = sorted(set(EXAMPLE.read_text().lower().replace(".", " ").split()))
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(words) + 3,
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        feed_forward_proj=activation,
        decoder_start_token_id=0,
    )
    T5Model(config).eval().save_pretrained(folder)
    if tokenizer:
        vocabulary = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *words])}
        parts = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
        }
        (folder / "tokenizer.json").write_text(json.dumps(parts))
    return folder


def zipped(folder: Path) -> Path:
    """The folder as a zip beside it."""
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))

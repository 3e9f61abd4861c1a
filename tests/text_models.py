"""Small networks of transformers, saved as their authors would, and files of texts."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

VOCABULARY = 32
WORDS = [
    *("<pad>", "</s>", "<unk>", "the", "cat", "dog", "bird", "sleeps", "runs", "eats", "sings"),
    *("bank", "fund", "market", "falls", "rises", "pays", "lends", "today", "again", "quietly"),
]


def transformers() -> Any:
    """The package, or a skipped test."""
    return pytest.importorskip("transformers", reason="transformers is an optional extra")


def save_t5(folder: Path, seed: int = 0, **changes: Any) -> Any:
    """A T5 of two blocks on each side, in a folder with its tokenizer."""
    hf = transformers()
    torch.manual_seed(seed)
    sizes = {"vocab_size": VOCABULARY, "d_model": 12, "d_ff": 24, "d_kv": 6, "num_heads": 2}
    config = hf.T5Config(**(sizes | {"num_layers": 2, "decoder_start_token_id": 0} | changes))
    network = hf.T5ForConditionalGeneration(config).eval()
    save(network, folder)
    return network


def save_bert(folder: Path, kind: str = "Bert", seed: int = 0, **changes: Any) -> Any:
    """A BERT (or RoBERTa) of three blocks with a classifier's head."""
    hf = transformers()
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 12,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
        "max_position_embeddings": 40,
        "initializer_range": 0.4,
    }
    config = getattr(hf, f"{kind}Config")(**(sizes | changes))
    network = getattr(hf, f"{kind}ForSequenceClassification")(config).eval()
    save(network, folder)
    return network


def save_image_model(folder: Path, kind: str, **changes: Any) -> Any:
    """A small ViT, ConvNeXt or ResNet of ten classes, with random running statistics."""
    hf = transformers()
    torch.manual_seed(1)
    sizes: dict[str, dict[str, Any]] = {
        "ViT": {
            "hidden_size": 12,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
            "num_channels": 1,
        },
        "ConvNext": {"hidden_sizes": [6, 12], "depths": [1, 2], "num_stages": 2, "patch_size": 2},
        "ResNet": {
            "embedding_size": 6,
            "hidden_sizes": [6, 12],
            "depths": [2, 1],
            "layer_type": "basic",
        },
    }
    config = getattr(hf, f"{kind}Config")(**(sizes[kind] | {"num_labels": 10} | changes))
    network = getattr(hf, f"{kind}ForImageClassification")(config).eval()
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand_like(value) + 0.1)
    network.save_pretrained(folder)
    return network


def save(network: Any, folder: Path) -> None:
    """The network as ``save_pretrained`` writes it, beside a tokenizer of whole words."""
    network.save_pretrained(folder)
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    # padding and truncation of the file must not count
    tokenizer.enable_padding(length=30)
    tokenizer.save(str(folder / "tokenizer.json"))


def sentences(count: int = 40, seed: int = 0) -> list[str]:
    """``label<TAB>sentence`` of two topics, of different lengths."""
    rng = np.random.default_rng(seed)
    topics = {"animals": WORDS[4:11], "money": WORDS[11:18]}
    lines = []
    for i in range(count):
        label = list(topics)[i % 2]
        words = [*rng.choice(topics[label], rng.integers(1, 9)), *rng.choice(WORDS[18:], 1)]
        lines.append(f"{label}\tthe {' '.join(words)}")
    return lines


def zipped(folder: Path, target: Path, inside: str = "") -> Path:
    """The folder as a zip, below ``inside``."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}{file.name}")
    return target


def edit_config(folder: Path, **changes: Any) -> None:
    """Change settings of ``config.json``."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

"""Texts through a transformer: token means of every block, and what its MLPs' activations are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.features.devices import is_out_of_memory
from core.features.hooks import module_lock
from core.features.readings import first_tensor
from core.language.tokens import Tokens
from core.models.hugging_face import TextModel
from core.progress import IsCancelled, Progress, check

TOKENS_AT_ONCE = 4096  # of a batch, padding included, unless a batch size is asked for
MOST_AT_ONCE = 64  # texts

Reader = Callable[[np.ndarray, Tensor, Tensor], None]
"""reader(rows, x, mask): rows (B,) which texts; x (B, T, d); mask (B, T) True for tokens."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader looks: the output of a module, or the first input of it."""

    path: str
    site: str = "output"


class TokenMeans:
    """The mean over the tokens of every text: (N, d) float32."""

    def __init__(self, texts: int) -> None:
        self._texts = texts
        self.values: np.ndarray = np.empty((texts, 0), dtype=np.float32)

    def update(self, rows: np.ndarray, x: Tensor, mask: Tensor) -> None:
        """A ``Reader``."""
        inside = x.float().masked_fill(~mask[..., None], 0.0)
        wide = torch.float32 if x.device.type == "mps" else torch.float64  # which MPS lacks
        means = inside.sum(1, dtype=wide) / mask.sum(1)[:, None]  # (B, d)
        if self.values.shape[1] == 0:
            self.values = np.empty((self._texts, x.shape[2]), dtype=np.float32)
        self.values[rows] = means.float().cpu().numpy()


def run_pass(
    model: TextModel,
    tokens: Tokens,
    readers: Mapping[Place, Reader],
    device: torch.device,
    *,
    batch_size: int | None,
    progress: Progress,
    cancelled: IsCancelled,
    what: str,
) -> None:
    """All texts once, of similar length together. The decoder reads the same text shifted right,
    after the start token. Raises UserError where memory runs out."""
    module = model.module.to(device)
    batches = list(_batches(tokens.lengths, batch_size))
    done = 0
    try:
        with module_lock(module), _watched(module, readers) as state, torch.inference_mode():
            for rows in batches:
                check(cancelled)
                ids, mask = _padded(tokens, rows, device)
                state.update(rows=rows, mask=mask)
                _forward(model, module, ids, mask)
                done += len(rows)
                progress(done, len(tokens.ids), f"{what}, {done:,} of {len(tokens.ids):,} texts")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            "memory ran out while reading the texts; take fewer tokens of each, or a smaller "
            "batch size"
        ) from error


def _forward(model: TextModel, module: nn.Module, ids: Tensor, mask: Tensor) -> None:
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask.long()}
    if any(stack.name == "decoder" for stack in model.stacks):
        shifted = ids.roll(1, dims=1)
        shifted[:, 0] = model.start
        given |= {"decoder_input_ids": shifted, "decoder_attention_mask": mask.long()}
        given |= {"use_cache": False}
    module(**given)


def _batches(lengths: np.ndarray, batch_size: int | None) -> Iterator[np.ndarray]:
    """Rows (B,) of every batch, the longest texts first: too large a batch fails at once."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = batch_size or int(np.clip(TOKENS_AT_ONCE // lengths[order[start]], 1, MOST_AT_ONCE))
        yield order[start : start + size]
        start += size


def _padded(tokens: Tokens, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids (B, T), padded with 0 at the end, and the mask (B, T)."""
    width = max(len(tokens.ids[i]) for i in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=bool)
    for k, i in enumerate(rows):
        ids[k, : len(tokens.ids[i])] = tokens.ids[i]
        mask[k, : len(tokens.ids[i])] = True
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


@contextmanager
def _watched(module: nn.Module, readers: Mapping[Place, Reader]) -> Iterator[dict[str, Any]]:
    """Hooks that hand every place to its reader; gone afterwards. They only look."""
    state: dict[str, Any] = {}

    def hand(reader: Reader, value: Any) -> None:
        x = first_tensor(value)
        assert x is not None  # (B, T, d)
        reader(state["rows"], x, state["mask"])

    def before(reader: Reader) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, given: Any) -> None:
            hand(reader, args or given)

        return hook

    def after(reader: Reader) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            hand(reader, output)

        return hook

    handles: list[Any] = []
    try:
        for place, reader in readers.items():
            watched = module.get_submodule(place.path)
            if place.site == "input":
                hook = before(reader)
                handles.append(watched.register_forward_pre_hook(hook, with_kwargs=True))
            else:
                handles.append(watched.register_forward_hook(after(reader)))
        yield state
    finally:
        for handle in handles:
            handle.remove()

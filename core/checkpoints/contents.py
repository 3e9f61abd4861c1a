"""Which dictionary of a loaded checkpoint is the network, and what stands beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from core.checkpoints.formats import SAVE, printable
from core.checkpoints.pickles import Namespace
from core.errors import UserError

Scalar = str | int | float | bool

MAX_OBJECTS = 200_000
LONGEST_TEXT = 8000  # characters of one value of the metadata: the widths of 1,000 layers fit
MAX_DEPTH = 12
MAX_METADATA = 100

# the names that training scripts give the state dict, most wanted first
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "",
)
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_OPTIMISER = ("optim", "opt_state", "scheduler", "scaler", "rng")


@dataclass(frozen=True, slots=True)
class Contents:
    """The state dict of the network, where it was found, and the scalars beside it."""

    tensors: dict[str, torch.Tensor]
    path: tuple[str, ...]
    others: tuple[tuple[str, ...], ...]  # further dictionaries of weights that were left
    metadata: dict[str, Scalar]


def find_contents(root: Any, name: str) -> Contents:
    """The dictionary in ``root`` that is most probably the network's state dict.

    ``root`` is what ``torch.load`` returned. Raises UserError if it holds no weights.
    """
    if isinstance(root, torch.Tensor):
        raise UserError(f"{name} holds a single tensor, not the weights of a network; {_remedy()}")
    found = list(_mappings(root, name))
    optimiser = [path for path, mapping in found if _is_optimiser(path, mapping)]
    candidates = [
        (path, tensors)
        for path, mapping in found
        if not any(path[: len(o)] == o for o in optimiser) and (tensors := _tensors(mapping))
    ]
    # buffers of random states and counters are no networks, where there are weight matrices
    matrices = [c for c in candidates if any(t.dim() >= 2 for t in c[1].values())]
    candidates = matrices or candidates
    if not candidates:
        what = "the state of an optimiser" if optimiser else "no tensors"
        raise UserError(f"{name} holds {what} and no weights; {_remedy()}")
    candidates.sort(key=lambda c: (_rank(c[0]), -_numbers(c[1])))
    path, tensors = candidates[0]
    enough = _numbers(tensors) // 10
    others = tuple(other for other, t in candidates[1:] if _numbers(t) >= enough)
    return Contents(tensors, path, others, _metadata(root, path))


def _numbers(tensors: Mapping[Any, torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _remedy() -> str:
    return f"write the weights with: {SAVE}"


def _mappings(root: Any, name: str) -> Iterator[tuple[tuple[str, ...], dict[Any, Any]]]:
    """Every dictionary within ``root`` once, with the names that lead to it."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen: set[int] = set()
    visited = 0
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen or len(path) > MAX_DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield path, value
            children = [(_text(k), v) for k, v in dict.items(value)]
        elif isinstance(value, list | tuple):
            children = [(str(i), v) for i, v in enumerate(value)]
        else:
            continue
        visited += len(children)
        if visited > MAX_OBJECTS:
            raise UserError(
                f"{name} holds more than {MAX_OBJECTS:,} objects, which no network needs; "
                f"{_remedy()}"
            )
        waiting.extend(
            ((*path, key), child)
            for key, child in reversed(children)
            if isinstance(child, dict | list | tuple)
        )


def _text(key: object) -> str:
    return str(key) if isinstance(key, str | int | float) else type(key).__name__


def _is_optimiser(path: tuple[str, ...], mapping: dict[Any, Any]) -> bool:
    named = bool(path) and any(word in path[-1].lower() for word in _OPTIMISER)
    return named or ("param_groups" in mapping and "state" in mapping)


def _tensors(mapping: dict[Any, Any]) -> dict[Any, torch.Tensor]:
    # detached: a pickled tensor may carry attributes that hide its methods
    return {
        k: torch.Tensor.detach(v) for k, v in dict.items(mapping) if isinstance(v, torch.Tensor)
    }


def _rank(path: tuple[str, ...]) -> int:
    """Small for the usual names of a state dict; averaged weights (EMA) come after plain ones."""
    worst = 0
    for part in path or ("",):
        if "ema" in part.lower() or "averag" in part.lower():
            worst = max(worst, len(_WRAPPERS) + 1)
        elif part in _WRAPPERS:
            worst = max(worst, _WRAPPERS.index(part))
        else:
            worst = max(worst, len(_WRAPPERS))
    return worst


def _metadata(root: Any, path: tuple[str, ...]) -> dict[str, Scalar]:
    """Scalars and short texts beside the state dict, and one level inside the other dictionaries
    ("hyper_parameters.lr")."""
    found: dict[str, Scalar] = {}
    level = root
    for depth in range(len(path) + 1):
        if not isinstance(level, dict):
            break
        for key, value in dict.items(level):
            if isinstance(value, Namespace):
                value = value.values
            inside = depth < len(path) and _text(key) == path[depth]
            if isinstance(value, dict) and not inside and len(value) <= MAX_METADATA:
                if not _tensors(value) and not _is_optimiser((_text(key),), value):
                    _add_scalars(found, value, f"{_text(key)}.")
            elif depth < len(path) or not isinstance(value, torch.Tensor):
                _add_scalars(found, {key: value}, "")
        level = level.get(path[depth]) if depth < len(path) else None
    return found


def _add_scalars(found: dict[str, Scalar], values: dict[Any, Any], prefix: str) -> None:
    for key, value in dict.items(values):
        if isinstance(value, torch.Tensor):
            value = torch.Tensor.detach(value)
            value = value.item() if value.numel() == 1 and value.dim() == 0 else None
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if isinstance(value, int) and abs(value) >= 1 << 63:
            continue
        if isinstance(value, str):
            value = printable(value, LONGEST_TEXT)
        if isinstance(value, Scalar) and len(found) < MAX_METADATA:
            found[printable(prefix + _text(key))] = value


def strip_prefixes(
    tensors: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors without the prefixes that wrappers add to every name, and what was stripped."""
    stripped = ""
    while True:
        shared = [p for p in _PREFIXES if all(k.startswith(p) and k != p for k in tensors)]
        if not shared or not tensors:
            return tensors, stripped
        tensors = {key[len(shared[0]) :]: value for key, value in tensors.items()}
        stripped += shared[0]

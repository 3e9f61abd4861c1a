"""Networks without memory: only names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class EmptyOnMeta(TorchFunctionMode):
    """Weights, which ``torch.empty`` makes, get no memory; everything else is as usual."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))


def on_meta(constructor: Callable[[], nn.Module]) -> nn.Module:
    """The network that ``constructor`` makes, on the meta device.

    Constructors that read numbers from tensors (``torch.linspace(…).tolist()``) cannot run there
    as a whole; of those only the weights are.
    """
    try:
        with torch.device("meta"):
            return constructor()
    except (RuntimeError, NotImplementedError):
        with EmptyOnMeta():
            return constructor().to("meta")

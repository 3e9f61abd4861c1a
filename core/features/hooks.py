"""Read the tapped tensors during a forward pass, inside the hook."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from core.features.readings import first_tensor
from core.features.taps import Tap

Sink = Callable[[int, Tensor], None]
"""sink(tap index, tensor): must copy or reduce at once; the next module may overwrite it."""

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


class _AllRead(Exception):
    """Raised inside a forward pass once every tap was read."""


def module_lock(module: nn.Module) -> threading.RLock:
    """The lock of this module instance: threads that hook one module would see each other's
    activations, so one extraction per instance runs at a time."""
    with _locks_guard:
        return _locks.setdefault(module, threading.RLock())


class TappedModel:
    """``with TappedModel(module, taps) as run: logits = run(x, sink)``.

    The hooks only look: they return nothing, so the model computes what it would without them.
    They are gone after the ``with`` block, also after an error, and the module stays locked
    inside it.
    """

    def __init__(self, module: nn.Module, taps: Sequence[Tap]) -> None:
        self._module = module
        self._taps = tuple(taps)
        self._lock = module_lock(module)
        self._handles: list[Any] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._sink: Sink | None = None
        self._left: int | None = None  # taps to be read before the pass may end

    def __enter__(self) -> TappedModel:
        self._lock.acquire()
        try:
            self._register()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def __call__(self, x: Tensor, sink: Sink) -> Tensor:
        """One forward pass of x (B, C, H, W); every tap is handed to ``sink``; the output."""
        self._counts.clear()
        self._sink = sink
        try:
            with torch.inference_mode():
                self._hand_ends("input", x)
                output = first_tensor(self._module(x))
                assert output is not None  # the trace has checked it
                self._hand_ends("output", output)
                return output
        finally:
            self._sink = None

    def read(self, x: Tensor, sink: Sink) -> None:
        """As a call, without the output: the forward pass ends with the last tap."""
        self._left = len(self._taps)
        try:
            self(x, sink)
        except _AllRead:
            pass
        finally:
            self._left = None

    def _hand_ends(self, site: str, x: Tensor) -> None:
        ends = [i for i, tap in enumerate(self._taps) if not tap.path and tap.site == site]
        self._hand(ends, x)

    def _hand(self, indices: Sequence[int], x: Tensor) -> None:
        assert self._sink is not None
        for i in indices:
            self._sink(i, x)
        if self._left is not None:
            self._left -= len(indices)
            if self._left == 0:
                raise _AllRead

    def _register(self) -> None:
        modules = dict(self._module.named_modules())
        wanted: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for i, tap in enumerate(self._taps):
            if tap.path:
                wanted[tap.path, tap.site][tap.call].append(i)
        for (path, site), calls in wanted.items():
            hook = self._hook((path, site), dict(calls))
            if site == "input":
                self._handles.append(modules[path].register_forward_pre_hook(hook))
            else:
                self._handles.append(modules[path].register_forward_hook(hook))

    def _hook(self, key: tuple[str, str], calls: dict[int, list[int]]) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any = None) -> None:
            self._counts[key] += 1
            indices = calls.get(self._counts[key])
            if not indices or self._sink is None:
                return
            tensor = first_tensor(args if key[1] == "input" else output)
            if tensor is not None:
                self._hand(indices, tensor)

        return hook

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._lock.release()

"""All tensors of a network as one vector that the network reads, so that moving it is one sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one tensor lies in the vector."""

    name: str
    shape: torch.Size
    start: int
    stop: int
    filters: int | None  # axis that counts filters or neurons; None: random directions leave it
    channels_last: bool
    parameter: bool  # False: a buffer, such as the running statistics of batch normalisation


class Weights:
    """The parameters and the floating-point buffers of ``module``, in float32, as ``vector`` (P,).

    The module's own tensors become views of ``vector``: what is written there is what the module
    computes with, without copying a state dictionary. One thread at a time.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        owners = _owners(module)
        tensors = [*module.named_parameters(), *_buffers(module)]
        self.slots = tuple(_slots(module, tensors))
        size = self.slots[-1].stop if self.slots else 0
        self.vector = torch.empty(size, dtype=torch.float32, device=_device(tensors))
        for slot, (name, tensor) in zip(self.slots, tensors, strict=True):
            view = _view(self.vector, slot)
            view.copy_(tensor.detach())
            if isinstance(tensor, nn.Parameter):
                tensor.data = view
            else:
                owner, key = owners[name]
                owner._buffers[key] = view
        self._norms = [
            m
            for m in module.modules()
            if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats
        ]

    @property
    def has_statistics(self) -> bool:
        """Whether the network has batch normalisation with running statistics."""
        return bool(self._norms)

    def read(self) -> Tensor:
        """(P,) a copy of the vector as it is now."""
        return self.vector.clone()

    def move(self, origin: Tensor, steps: Sequence[tuple[float, Tensor]]) -> None:
        """vector = origin + Σ step · direction; origin and directions (P,), not ``vector``."""
        self.vector.copy_(origin)
        for step, direction in steps:
            self.vector.add_(direction, alpha=step)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Batches that go through the module in here make new running statistics: the mean over
        the batches, as ``torch.optim.swa_utils.update_bn`` does it."""
        momenta = [m.momentum for m in self._norms]
        for norm in self._norms:
            norm.reset_running_stats()
            norm.momentum = None  # type: ignore[assignment]
            norm.training = True
        try:
            yield
        finally:
            for norm, momentum in zip(self._norms, momenta, strict=True):
                norm.momentum = momentum
                norm.training = False

    def flat(self, tensors: dict[str, Tensor]) -> Tensor:
        """(P,) tensors by name in the order of the vector; 0 where one is missing."""
        result = torch.zeros_like(self.vector)
        for slot in self.slots:
            if slot.name in tensors:
                _view(result, slot).copy_(tensors[slot.name])
        return result

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """The parts of a vector (P,) by name, in the shapes of the network's tensors: views."""
        return {slot.name: _view(vector, slot) for slot in self.slots}

    def parameters(self) -> Tensor:
        """(P,) True for parameters, False for running statistics and other buffers."""
        used = torch.zeros(len(self.vector), dtype=torch.bool, device=self.vector.device)
        for slot in self.slots:
            used[slot.start : slot.stop] = slot.parameter
        return used

    @property
    def moving(self) -> int:
        """Parameters that random directions move."""
        return sum(slot.stop - slot.start for slot in self.slots if slot.filters is not None)


def _buffers(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, b) for name, b in module.named_buffers() if b.is_floating_point()]


def _owners(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """The module that holds each buffer, and its name there."""
    return {
        f"{path}.{key}" if path else key: (owner, key)
        for path, owner in module.named_modules()
        for key in owner._buffers
    }


def _device(tensors: Sequence[tuple[str, Tensor]]) -> torch.device:
    return tensors[0][1].device if tensors else torch.device("cpu")


def _slots(module: nn.Module, tensors: Sequence[tuple[str, Tensor]]) -> list[Slot]:
    modules = dict(module.named_modules())
    slots, start = [], 0
    for name, tensor in tensors:
        path = name.rpartition(".")[0]
        last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        slots.append(
            Slot(
                name,
                tensor.shape,
                start,
                start + tensor.numel(),
                _filters(modules.get(path, module), tensor),
                last and not tensor.is_contiguous(),
                isinstance(tensor, nn.Parameter),
            )
        )
        start += tensor.numel()
    return slots


def _filters(owner: nn.Module, tensor: Tensor) -> int | None:
    """The axis of filters: 0, of transposed convolutions 1. None for biases, for all that belongs
    to a normalisation, for buffers, and for what was not trained."""
    if not isinstance(tensor, nn.Parameter) or not tensor.requires_grad:
        return None
    if tensor.dim() < 2 or isinstance(owner, _NORMS):
        return None
    return 1 if isinstance(owner, _TRANSPOSED) else 0


def _view(vector: Tensor, slot: Slot) -> Tensor:
    part = vector[slot.start : slot.stop]
    if slot.channels_last:
        n, c, h, w = slot.shape
        return part.view(n, h, w, c).permute(0, 3, 1, 2)
    return part.view(slot.shape)

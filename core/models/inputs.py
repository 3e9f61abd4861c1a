"""The input shape of a network that comes without one: found by trying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from core.models.chain import guess_input_shape
from core.models.signature import named_shapes

Shape3 = tuple[int, int, int]

_SIZES = (32, 224, 28, 64, 96, 128, 299, 384)


def find_input(module: nn.Module, sample_shape: Sequence[int] | None) -> tuple[Shape3, int] | None:
    """The first (C, H, W) that ``module`` turns into (N, K), with K; or None.

    Tried: its attribute ``input_shape``, the size of the data at hand, and usual sizes.
    """
    training = module.training
    module.eval()
    try:
        for shape in _shapes(module, sample_shape):
            if classes := _outputs(module, shape):
                return shape, classes
        return None
    finally:
        module.train(training)


def _shapes(module: nn.Module, sample_shape: Sequence[int] | None) -> Iterator[Shape3]:
    own = getattr(module, "input_shape", None)
    if isinstance(own, Sequence) and len(own) == 3:
        yield (int(own[0]), int(own[1]), int(own[2]))
    weights = [shape for shape in named_shapes(module.state_dict()).values() if len(shape) > 1]
    first = weights[0] if weights else (1, 1)
    if len(first) == 2:
        if sample_shape is not None:
            yield (sample_shape[0], sample_shape[1], sample_shape[2])
        yield guess_input_shape(first[1])
    channels = next((shape[1] for shape in weights if len(shape) == 4), 3)
    if sample_shape is not None:
        yield (channels, sample_shape[1], sample_shape[2])
    yield from ((channels, size, size) for size in _SIZES)


def _outputs(module: nn.Module, shape: Shape3) -> int:
    """K, or 0 where ``module`` does not accept such images."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            out = module(torch.zeros(2, *shape, device=device))
    except Exception:
        return 0
    return out.shape[1] if isinstance(out, torch.Tensor) and out.ndim == 2 else 0

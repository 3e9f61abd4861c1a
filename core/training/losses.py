"""The losses of the lecture, as means over a batch of logits.

Zhou et al. 2022 ("Are all losses created equal: a neural collapse perspective", NeurIPS) compare
them; definitions as in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
"""loss(logits (B, K), labels (B,)) → a scalar."""


def focal(logits: Tensor, labels: Tensor, focusing: float) -> Tensor:
    """-(1 - p_y)^γ log p_y, γ = ``focusing`` (Lin et al. 2017)."""
    log_p = functional.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]  # (B,)
    # 1 - p would lose its digits near 1, and its power's slope is not finite at 0
    rest = -torch.expm1(log_p.clamp(max=-1e-12))
    return (-(rest**focusing) * log_p).mean()


def rescaled_mse(logits: Tensor, labels: Tensor, weight: float, target: float) -> Tensor:
    """½ (k (z_y - M)² + Σ_{j≠y} z_j²), k = ``weight``, M = ``target`` (Hui and Belkin 2021);
    k = M = 1 gives ½‖z - onehot‖²."""
    true = logits.gather(1, labels[:, None])[:, 0]  # (B,)
    others = (logits**2).sum(1) - true**2
    return 0.5 * (weight * (true - target) ** 2 + others).mean()


def make(name: str, parameters: dict[str, float]) -> Loss:
    """The loss of that name: ``ce``, ``focal`` (focusing), ``ls`` (smoothing), ``mse`` (weight,
    target)."""
    if name == "focal":
        return partial(focal, focusing=parameters["focusing"])
    if name == "mse":
        return partial(rescaled_mse, weight=parameters["weight"], target=parameters["target"])
    smoothing = parameters.get("smoothing", 0.0) if name == "ls" else 0.0
    return partial(functional.cross_entropy, label_smoothing=smoothing)

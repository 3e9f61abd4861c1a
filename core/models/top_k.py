"""Only the k largest activations of every token or sample are kept.

Li et al. 2023 ("The lazy neuron phenomenon: on emergence of activation sparsity in transformers",
ICLR), section 4.
"""

from __future__ import annotations

from torch import Tensor, nn


class TopK(nn.Module):
    """x (…, d) with all but the ``k`` largest entries of the last axis set to zero.

    ``k`` may be changed at any time; k >= d keeps everything. The gradient flows through what is
    kept.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) → (…, d)"""
        if self.k >= x.shape[-1]:
            return x
        values, places = x.topk(self.k, dim=-1)
        return x.new_zeros(x.shape).scatter(-1, places, values)

    def extra_repr(self) -> str:
        return f"k={self.k}"

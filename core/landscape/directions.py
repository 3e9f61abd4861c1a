"""Random directions that have the scale of the network: Li et al. 2018, section 4."""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import UserError
from core.landscape.weights import Weights


def filter_normalised(weights: Weights, origin: Tensor, generator: torch.Generator) -> Tensor:
    """(P,) a Gaussian direction whose every filter is as long as the network's.

    d_ij ← d_ij / ‖d_ij‖ · ‖θ_ij‖ for filter j of layer i; of a linear layer, the weights of one
    neuron are a filter. Biases, parameters of normalisations, running statistics and parameters
    that were not trained do not move. ``generator`` is of the CPU, so that every device draws the
    same. UserError where nothing moves.
    """
    if not weights.moving:
        raise UserError(
            "this network has no filters to move at random: choose the line between two checkpoints"
        )
    named = weights.named(origin)
    drawn = {}
    for slot in weights.slots:
        if slot.filters is None:
            continue
        noise = torch.randn(slot.shape, generator=generator).to(origin.device)
        drawn[slot.name] = normalise(noise, named[slot.name], slot.filters)
    return weights.flat(drawn)


def normalise(direction: Tensor, like: Tensor, axis: int = 0) -> Tensor:
    """``direction`` with the norm of every slice along ``axis`` replaced by that of ``like``.

    A filter of zeros does not move.
    """
    others = [i for i in range(like.dim()) if i != axis]
    own = torch.linalg.vector_norm(direction, dim=others, keepdim=True)
    wanted = torch.linalg.vector_norm(like, dim=others, keepdim=True)
    return direction * torch.where(own > 0, wanted / own, torch.zeros_like(own))

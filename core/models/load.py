"""Put a checkpoint's tensors into a network: by name, or by the order of their shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.signature import Shape, named_shapes, ordered

_ROLES = {"weight", "bias", "running_mean", "running_var"}


def load(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> str:
    """Load by name, else by order; the match, "names" or "shapes". ``what`` names the network.

    Raises UserError that shows the first differences where the tensors do not fit.
    """
    own, theirs = named_shapes(module.state_dict()), named_shapes(tensors)
    match = check(own, theirs, what)
    pairs = {name: name for name in own}
    if match == "shapes":
        pairs = dict(zip(ordered(own), ordered(theirs), strict=True))
        _check_roles(pairs, tensors, what)
    module.load_state_dict({name: tensors[other] for name, other in pairs.items()}, strict=False)
    return match


def check(own: Mapping[str, Shape], theirs: Mapping[str, Shape], what: str) -> str:
    """The match, or UserError that shows the first differences."""
    match = compare(own, theirs)
    if match is None:
        raise UserError(f"the checkpoint does not fit {what}: {differences(own, theirs)}")
    return match


def compare(own: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> str | None:
    """ "names" if names and shapes agree, "shapes" if the ordered shapes do, else None."""
    if dict(own) == dict(theirs):
        return "names"
    if [own[name] for name in ordered(own)] == [theirs[name] for name in ordered(theirs)]:
        return "shapes"
    return None


def differences(own: Mapping[str, Shape], theirs: Mapping[str, Shape], most: int = 3) -> str:
    """The first differences in words: missing, unknown and misshapen tensors."""
    found = [f"it lacks {name}" for name in own if name not in theirs]
    found += [f"{name} is not part of it" for name in theirs if name not in own]
    wrong = [name for name in own if name in theirs and own[name] != theirs[name]]
    found = [f"{n} is {_size(theirs[n])} instead of {_size(own[n])}" for n in wrong] + found
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def _size(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _check_roles(pairs: Mapping[str, str], tensors: Mapping[str, Tensor], what: str) -> None:
    for name, other in pairs.items():
        role, other_role = name.rsplit(".", 1)[-1], other.rsplit(".", 1)[-1]
        known = {role, other_role} <= _ROLES
        negative = role == "running_var" and bool(torch.any(tensors[other] < 0))
        if (known and role != other_role) or negative:
            raise UserError(
                f"the shapes are those of {what}, but {other} cannot be its {name}: "
                "give the model's own code with --model FILE.py:FUNCTION"
            )

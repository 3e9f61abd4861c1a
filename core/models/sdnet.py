"""SDNet: a ResNet whose convolutions are layers of convolutional sparse coding.

Dai et al. 2022 ("Revisiting sparse convolutional model for visual recognition", NeurIPS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from core.errors import UserError
from core.models import describe
from core.models.csc import CSC2d
from core.models.resnet import CifarResNet

MOST_ITERATIONS = 1000
WHICH = ("first", "all")


class SDNet(CifarResNet):
    """A ``CifarResNet`` with a CSC layer for its first convolution, or for ``which="all"`` of those
    that look at more than one pixel. It has the parameters, names and shapes of the plain network.

    UserError for another ``which``.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int],
        classes: int,
        stem_stride: int = 1,
        stem_pool: bool = False,
        stem_kernel: int = 3,
        *,
        which: str = "first",
        lam: float = 0.1,
        iterations: int = 4,
        nonnegative: bool = False,
    ) -> None:
        if which not in WHICH:
            raise UserError(f"which={which!r} is not known: use one of {', '.join(WHICH)}")
        super().__init__(input_shape, widths, classes, stem_stride, stem_pool, stem_kernel)
        self.which, self.nonnegative = which, nonnegative
        self.lam, self.iterations = lam, iterations
        found = [
            (parent, name, child)
            for parent in list(self.modules())
            for name, child in parent.named_children()
            if isinstance(child, nn.Conv2d) and child.kernel_size[0] > 1
        ]
        for parent, name, child in found if which == "all" else found[:1]:
            made = CSC2d(
                child.in_channels,
                child.out_channels,
                child.kernel_size[0],
                child.stride[0],
                int(child.padding[0]),
                lam=lam,
                iterations=iterations,
                nonnegative=nonnegative,
            )
            made.weight.data = child.weight.data  # the initialisation of the plain network
            setattr(parent, name, made)

    def metadata(self) -> dict[str, str]:
        """What a checkpoint must store (as safetensors metadata) so that ``build`` restores it."""
        return super().metadata() | {
            "architecture": "sdnet",
            "which": self.which,
            "lam": str(self.lam),
            "iterations": str(self.iterations),
            "nonnegative": str(self.nonnegative).lower(),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> SDNet:
        """The network (freshly initialised) that ``metadata`` describes; UserError if it cannot."""
        return cls(
            **cls._described(metadata),
            which=describe.word(metadata, "which", "first"),
            lam=describe.number(metadata, "lam", 0.1),
            iterations=describe.integer(metadata, "iterations", limit=MOST_ITERATIONS),
            nonnegative=describe.word(metadata, "nonnegative", "false") == "true",
        )

"""A layer made of convolutional sparse coding, used where a network has a convolution.

Dai et al. 2022 ("Revisiting sparse convolutional model for visual recognition", NeurIPS; SDNet),
after Papyan, Romano and Elad 2017 ("Convolutional neural networks analyzed via convolutional sparse
coding", JMLR).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

POWER_ITERATIONS = 30  # from the fixed start; in training one more a step, from where it was
MARGIN = 1.02  # the power method comes from below, and FISTA needs a step of at most 1/L


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The linear map A of one set of atoms on images of one size."""

    atoms: Tensor  # (out_channels, in_channels, kernel, kernel), each of norm 1
    stride: int
    padding: int
    size: tuple[int, int]  # of the images

    def analysis(self, x: Tensor) -> Tensor:
        """Aᵀx: inner products with the atoms everywhere. (N, C, *size) → (N, out, H', W')."""
        return functional.conv2d(x, self.atoms, None, self.stride, self.padding)

    def synthesis(self, z: Tensor) -> Tensor:
        """A z: the images (N, C, *size) that codes (N, out, H', W') stand for."""
        kernel = self.atoms.shape[-1]
        # rows and columns that the stride leaves over at the end belong to no code
        rest = [
            side - ((count - 1) * self.stride - 2 * self.padding + kernel)
            for side, count in zip(self.size, z.shape[-2:], strict=True)
        ]
        return functional.conv_transpose2d(z, self.atoms, None, self.stride, self.padding, rest)

    def code_size(self) -> tuple[int, int]:
        """(H', W')"""
        kernel = self.atoms.shape[-1]
        height, width = ((s + 2 * self.padding - kernel) // self.stride + 1 for s in self.size)
        return height, width

    def in_blocks(self) -> Dictionary | None:
        """The same map on images whose stride × stride blocks are channels (``pixel_unshuffle``),
        where it has stride 1, which is twice as fast; None where sizes do not allow it."""
        s, kernel = self.stride, self.atoms.shape[-1]
        if s == 1 or self.size[0] % s or self.size[1] % s:
            return None
        padding = -(-self.padding // s)
        front = s * padding - self.padding
        back = -(front + kernel) % s
        atoms = functional.pad(self.atoms, (front, back, front, back))
        size = (self.size[0] // s, self.size[1] // s)
        made = Dictionary(functional.pixel_unshuffle(atoms, s), 1, padding, size)
        return made if made.code_size() == self.code_size() else None


class CSC2d(nn.Module):
    """z* = argmin_z ½‖x - A z‖² + λ‖z‖₁ by unrolled FISTA, in the place of a convolution.

    A is the transposed convolution with the atoms: each of the ``out_channels`` atoms, a
    (in_channels, kernel, kernel) patch of Euclidean norm 1, is put where the code is not zero. Aᵀ
    is the convolution with the same atoms, so that codes have the shape of a convolution's output,
    and the layer has exactly the parameters of ``nn.Conv2d(…, bias=False)``.

    ``lam`` (λ; a number, or a tensor (N,) with one for every sample) and ``iterations`` may be
    changed at any time without training again. ``nonnegative`` restricts the codes to z >= 0. The
    step is 1/‖A‖², from the power method, and is a constant to the gradient.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        *,
        lam: float = 0.1,
        iterations: int = 4,
        nonnegative: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.lam: float | Tensor = lam
        self.iterations = iterations
        self.nonnegative = nonnegative
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as nn.Conv2d
        self._direction: Tensor | None = None  # (1, out, H', W'), of the power method
        self._known: tuple[object, Tensor, float] | None = None  # images, atoms, ‖A‖² of both

    def dictionary(self, x: Tensor) -> Dictionary:
        """A for images of the size of x (N, C, H, W)."""
        norms = torch.linalg.vector_norm(self.weight, dim=(1, 2, 3), keepdim=True)
        atoms = self.weight / norms.clamp_min(1e-12)
        return Dictionary(atoms, self.stride, self.padding, (int(x.shape[-2]), int(x.shape[-1])))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) → codes (N, out_channels, H', W')."""
        return self.codes(x)[-1]

    def codes(self, x: Tensor, keep: bool = False) -> list[Tensor]:
        """The code after the last iteration, or with ``keep`` after every one.

        FISTA starts from the first code, which is one step of ISTA from z = 0.
        """
        a = self.dictionary(x)
        if (blocks := a.in_blocks()) is not None:
            a, x = blocks, functional.pixel_unshuffle(x, self.stride)
        step = 1.0 / self._largest(x, a)
        threshold = step * self._lam(x)
        z = self._shrink(step * a.analysis(x), threshold)
        point, momentum, made = z, 1.0, [z]
        for _ in range(self.iterations - 1):
            new = self._shrink(point + step * a.analysis(x - a.synthesis(point)), threshold)
            # Beck and Teboulle 2009, eq. 4.2 and 4.3
            following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            point = new + (momentum - 1.0) / following * (new - z)
            z, momentum = new, following
            made = [*made, z] if keep else [z]
        return made

    def _lam(self, x: Tensor) -> float | Tensor:
        return self.lam.to(x).reshape(-1, 1, 1, 1) if isinstance(self.lam, Tensor) else self.lam

    def _shrink(self, z: Tensor, threshold: float | Tensor) -> Tensor:
        if self.nonnegative:
            return functional.relu(z - threshold)
        if isinstance(threshold, Tensor):
            return z.sign() * functional.relu(z.abs() - threshold)
        return functional.softshrink(z, threshold)

    def objective(self, x: Tensor, z: Tensor) -> Tensor:
        """½‖x - A z‖² + λ‖z‖₁ of every sample, (N,)."""
        residual = x - self.dictionary(x).synthesis(z)
        lam = self.lam.to(x) if isinstance(self.lam, Tensor) else self.lam
        return 0.5 * residual.square().flatten(1).sum(1) + lam * z.abs().flatten(1).sum(1)

    def error(self, x: Tensor, z: Tensor) -> Tensor:
        """Root mean square over the pixels of x - A z, of every sample, (N,)."""
        return (x - self.dictionary(x).synthesis(z)).square().flatten(1).mean(1).sqrt()

    # --- the step ---------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> CSC2d:
        """As usual; the power method starts anew, so that an epoch does not depend on the last."""
        self._direction = self._known = None
        return super().train(mode)

    @torch.no_grad()
    def _largest(self, x: Tensor, a: Dictionary) -> float:
        """‖A‖², the largest eigenvalue of AᵀA for images of this size, with a margin."""
        if x.is_meta:  # only shapes are asked for
            return 1.0
        key, known = (x.shape[1:], x.dtype, x.device), self._known
        # by their values: weights that are moved through a view of them keep their version
        if known is not None and known[0] == key and torch.equal(known[1], self.weight):
            return known[2]
        shape = torch.Size((1, len(a.atoms), *a.code_size()))
        v, count = (self._direction, 1) if self.training else (None, 4 * POWER_ITERATIONS)
        if v is None or v.shape != shape or v.dtype != x.dtype or v.device != x.device:
            # noise is hardly orthogonal to the eigenvector
            noise = torch.Generator().manual_seed(0)
            v, count = torch.randn(shape, generator=noise).to(x), max(count, POWER_ITERATIONS)
        for _ in range(count):
            v = a.analysis(a.synthesis(v))
            v = v / torch.linalg.vector_norm(v).clamp_min(1e-30)
        self._direction = v
        largest = max(MARGIN * float(a.synthesis(v).square().sum()), 1e-30)
        self._known = (key, self.weight.detach().clone(), largest)
        return largest

    def extra_repr(self) -> str:
        out, channels, kernel, _ = self.weight.shape
        return (
            f"{channels}, {out}, kernel_size={kernel}, stride={self.stride}, "
            f"padding={self.padding}, lam={self.lam}, iterations={self.iterations}"
        )

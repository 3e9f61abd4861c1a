"""Sparse coding of one signal: z* = argmin_z ½‖x − A z‖² + λ‖z‖₁, by ISTA and by FISTA.

Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm for linear inverse
problems", SIAM J. Imaging Sciences. numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.theory.dictionaries import MARGIN, LinearMap, squared_norm


@dataclass(frozen=True, slots=True)
class Solved:
    """Codes of B signals after the last iteration, and what happened on the way."""

    codes: np.ndarray  # (B, *code_shape)
    images: np.ndarray  # (B, *signal_shape), A z
    objective: np.ndarray  # (T, B), after 1, 2, … iterations
    nonzero: np.ndarray  # (T, B), share of the code's entries
    kept: tuple[tuple[np.ndarray, np.ndarray], ...] = ()  # codes and images of the first iterations


def soft(z: np.ndarray, threshold: float | np.ndarray, nonnegative: bool = False) -> np.ndarray:
    """sign(z)·max(|z| − threshold, 0); with ``nonnegative`` max(z − threshold, 0)."""
    if nonnegative:
        return np.maximum(z - threshold, 0.0)
    return z - np.clip(z, -threshold, threshold)


def largest_lambda(a: LinearMap, x: np.ndarray, nonnegative: bool = False) -> np.ndarray:
    """λ_max of every signal (B,): from there on the code is zero. ‖Aᵀx‖_∞, or the largest entry of
    Aᵀx (0 at least) for codes that must not be negative."""
    seen = a.analysis(x).reshape(len(x), -1)
    return np.maximum(seen.max(1), 0.0) if nonnegative else np.abs(seen).max(1)


def solve(
    a: LinearMap,
    x: np.ndarray,
    lam: float | np.ndarray,
    iterations: int,
    *,
    step: float | None = None,
    start: np.ndarray | None = None,
    nonnegative: bool = False,
    accelerated: bool | np.ndarray = True,
    restart: bool = False,
    traced: bool = True,
    keep: int = 0,
) -> Solved:
    """``iterations`` steps of FISTA for signals x (B, *signal_shape), or ISTA where not
    ``accelerated``.

    ``lam`` and ``accelerated`` may differ between signals, (B,). ``step`` is 1/(MARGIN·‖A‖²)
    unless given, ``start`` zero. ``restart`` forgets the momentum of a signal that goes uphill
    (O'Donoghue and Candès 2015, gradient scheme). Without ``traced`` the two records are empty;
    ``keep`` codes of the first iterations are kept.
    """
    batch, ones = len(x), (1,) * len(a.code_shape)
    step = 1.0 / (MARGIN * squared_norm(a)) if step is None else step
    lams = np.broadcast_to(np.asarray(lam, dtype=x.dtype), (batch,))
    threshold = (step * lams).reshape(-1, *ones).astype(x.dtype)
    fast = np.broadcast_to(np.asarray(accelerated, dtype=bool), (batch,))
    z = np.zeros((batch, *a.code_shape), dtype=x.dtype) if start is None else start
    image = a.synthesis(z)
    point, point_image = z, image
    momentum = np.ones(batch)
    objective, nonzero, kept = [], [], []
    for i in range(iterations):
        new = soft(point + x.dtype.type(step) * a.analysis(x - point_image), threshold, nonnegative)
        new_image = a.synthesis(new)
        if restart:
            uphill = ((point - new) * (new - z)).reshape(batch, -1).sum(1) > 0
            momentum = np.where(uphill, 1.0, momentum)
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        beta = np.where(fast, (momentum - 1.0) / following, 0.0).astype(x.dtype)
        # A is linear: the image of the extrapolated point needs no further product
        point = new + beta.reshape(-1, *ones) * (new - z)
        point_image = new_image + beta.reshape(-1, *(1,) * len(a.signal_shape)) * (
            new_image - image
        )
        z, image, momentum = new, new_image, following
        if i < keep:
            kept.append((z, image))
        if traced:
            objective.append(value(x, image, z, lams))
            nonzero.append(np.count_nonzero(z.reshape(batch, -1), axis=1) / z[0].size)
    shape = (len(objective), batch)
    return Solved(z, image, np.reshape(objective, shape), np.reshape(nonzero, shape), tuple(kept))


def value(x: np.ndarray, image: np.ndarray, z: np.ndarray, lam: float | np.ndarray) -> np.ndarray:
    """½‖x − A z‖² + λ‖z‖₁ of every signal, (B,); ``image`` is A z."""
    residual = (x - image).reshape(len(x), -1)
    return 0.5 * np.square(residual).sum(1) + lam * np.abs(z).reshape(len(x), -1).sum(1)


def duality_gap(
    a: LinearMap,
    x: np.ndarray,
    z: np.ndarray,
    lam: float | np.ndarray,
    nonnegative: bool = False,
) -> np.ndarray:
    """An upper bound of how far the objective of z is above the optimum, (B,).

    The residual, scaled into the dual's feasible set ‖Aᵀu‖_∞ <= λ, gives the bound
    ½‖x‖² − ½‖x − u‖² from below.
    """
    image = a.synthesis(z)
    residual = x - image
    most = largest_lambda(a, residual, nonnegative)
    scale = np.minimum(1.0, lam / np.maximum(most, 1e-300))
    u = residual * scale.reshape(-1, *(1,) * (x.ndim - 1))
    flat = x.reshape(len(x), -1)
    below = 0.5 * np.square(flat).sum(1) - 0.5 * np.square(flat - u.reshape(len(x), -1)).sum(1)
    return value(x, image, z, lam) - below


def path(
    a: LinearMap,
    x: np.ndarray,
    lams: np.ndarray,
    step: float,
    iterations: Sequence[int],
    nonnegative: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (len(lams), B, *code_shape) and A z (len(lams), B, *signal_shape) of every signal for
    every λ, from the largest λ to the smallest, each from the code before. ``iterations`` are
    those of each λ."""
    images = np.empty((len(lams), *x.shape), dtype=x.dtype)
    codes = np.empty((len(lams), len(x), *a.code_shape), dtype=x.dtype)
    z = None
    for i in np.argsort(lams)[::-1]:
        found = solve(
            a,
            x,
            float(lams[i]),
            iterations[i],
            step=step,
            start=z,
            nonnegative=nonnegative,
            restart=True,
            traced=False,
        )
        codes[i], images[i] = z, _ = found.codes, found.images
    return codes, images


# --- the analysis model ---------------------------------------------------------------------------


def analysis_code(
    a: LinearMap, x: np.ndarray, lam: float | np.ndarray, nonnegative: bool = False
) -> np.ndarray:
    """z = soft(Wx, λ) with W = Aᵀ: what a convolution and a threshold compute in one go."""
    lams = np.reshape(np.asarray(lam, dtype=x.dtype), (-1, *(1,) * len(a.code_shape)))
    return soft(a.analysis(x), lams, nonnegative)


def decoded(a: LinearMap, z: np.ndarray, x: np.ndarray, iterations: int = 40) -> np.ndarray:
    """The image that an analysis code stands for, (B, *signal_shape): x̂ = argmin ‖W x̂ − z‖ by
    conjugate gradients, times the gain that brings it closest to x."""
    flat = (len(z), -1)
    target = a.synthesis(z)  # normal equations: A Aᵀ x̂ = A z
    found = np.zeros_like(target)
    residual = target.copy()
    direction = residual
    size = np.square(residual.reshape(flat)).sum(1)
    ones = (1,) * len(a.signal_shape)
    tiny = np.finfo(z.dtype).tiny
    enough = size * (10 * np.finfo(z.dtype).eps) ** 2  # beyond, directions are rounding errors
    for _ in range(iterations):
        image = a.synthesis(a.analysis(direction))
        curvature = (direction * image).reshape(flat).sum(1)
        going = (size > enough) & (curvature > tiny)
        alpha = np.where(going, size / np.maximum(curvature, tiny), 0.0)
        alpha = alpha.reshape(-1, *ones).astype(z.dtype)
        found = found + alpha * direction
        residual = residual - alpha * image
        before, size = size, np.square(residual.reshape(flat)).sum(1)
        beta = np.where(before > tiny, size / np.maximum(before, tiny), 0.0)
        direction = residual + beta.reshape(-1, *ones).astype(z.dtype) * direction
    overlap = (found * x).reshape(flat).sum(1)
    norm = np.maximum(np.square(found.reshape(flat)).sum(1), tiny)
    return found * (overlap / norm).reshape(-1, *ones).astype(z.dtype)


# --- stability ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stability:
    """Codes of signals x = A z₀ + e for growing noise e, λ a multiple of ‖e‖. D draws each."""

    noise: np.ndarray  # (m,) ‖e‖₂
    error: np.ndarray  # (m, D) ‖z − z₀‖_∞
    inside: np.ndarray  # (m, D) bool: every non-zero of z is one of z₀
    found: np.ndarray  # (m, D) share of z₀'s non-zeros that z has
    factor: float  # λ/‖e‖
    nonzeros: int  # s, of z₀
    coherence: float  # μ
    size: tuple[int, int]  # of A

    @property
    def allowed(self) -> float:
        """The theorem holds for fewer than ⅓(1 + 1/μ) non-zeros."""
        return (1.0 + 1.0 / self.coherence) / 3.0

    @property
    def constant(self) -> float:
        """C of the bound ‖z − z₀‖_∞ <= C‖e‖ for this s: (factor + 1)/(1 − (s − 1)μ); the theorem's
        7.5 is its value for factor 4 at the most non-zeros that it allows."""
        return (self.factor + 1.0) / (1.0 - (self.nonzeros - 1) * self.coherence)


STABLE_FACTOR = 4.0
STABLE_CONSTANT = 7.5


def stability(
    a: LinearMap,
    mu: float,
    noise: np.ndarray,
    *,
    nonzeros: int = 5,
    draws: int = 6,
    factor: float = STABLE_FACTOR,
    iterations: int = 120,
    seed: int = 0,
) -> Stability:
    """The theorem as an experiment: z₀ with ``nonzeros`` entries of ±1 to ±2 at random places, e
    Gaussian of norm ``noise`` (m,), the code for λ = factor·‖e‖.

    Papyan, Sulam and Elad 2017 ("Working locally thinking globally", IEEE Trans. Signal Processing,
    theorem 19; JMLR 2017): for fewer than ⅓(1 + 1/μ) non-zeros and λ = 4‖e‖ the support stays
    inside the true one and ‖z − z₀‖_∞ <= 7.5‖e‖.
    """
    rng = np.random.default_rng(seed)
    count, dim = math.prod(a.code_shape), math.prod(a.signal_shape)
    truth = np.zeros((draws, count))
    for row in truth:
        places = rng.choice(count, nonzeros, replace=False)
        row[places] = rng.choice([-1.0, 1.0], nonzeros) * rng.uniform(1.0, 2.0, nonzeros)
    e = rng.standard_normal((draws, dim))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    clean = a.synthesis(truth.reshape(draws, *a.code_shape)).reshape(draws, dim)
    x = clean[None] + np.asarray(noise)[:, None, None] * e[None]  # (m, D, d)
    x = x.reshape(-1, *a.signal_shape)
    lam = np.repeat(factor * np.asarray(noise), draws)
    found = solve(a, x, lam, iterations, restart=True, traced=False)
    z = found.codes.reshape(len(noise), draws, count)
    there, true = z != 0, truth[None] != 0
    return Stability(
        noise=np.asarray(noise),
        error=np.abs(z - truth).max(2),
        inside=~(there & ~true).any(2),
        found=(there & true).sum(2) / nonzeros,
        factor=factor,
        nonzeros=nonzeros,
        coherence=mu,
        size=(dim, count),
    )

"""Robustness of one network, as frozen dataclasses. F families of corruptions, S severities with 0,
the clean images, first; M settings of the knob (λ or k); R radii; B bins of confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15  # of confidence, equally wide (Guo et al. 2017)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against accuracy (Guo et al. 2017): images by the probability of the predicted
    class, in ``BINS`` equally wide bins. Empty bins have NaN."""

    counts: np.ndarray  # (B,) images
    confidence: np.ndarray  # (B,) their mean largest probability
    accuracy: np.ndarray  # (B,) share of them that is right


@dataclass(frozen=True, slots=True)
class AdaptiveFit:
    """λ = intercept + slope · r by least squares, r the reconstruction error of an image (root mean
    square of x - A z at the λ of training) averaged over a set of corrupted images, and λ the best
    one for that set; then λ chosen by it for every test image (Dai et al. 2022)."""

    data: str  # on which the fit was made: images apart from the test images
    images: int
    families: tuple[str, ...]  # (P,) of every point of the fit
    severities: np.ndarray  # (P,)
    errors: np.ndarray  # (P,) r
    best: np.ndarray  # (P,) λ of highest accuracy there
    slope: float
    intercept: float
    r2: float | None  # None where all points have the same best λ
    chosen: np.ndarray  # (F, S) mean of the chosen λ over the test images
    spread: np.ndarray  # (F, S) its standard deviation
    correct: np.ndarray  # (F, S) share of test images right with it


@dataclass(frozen=True, slots=True)
class CorruptionTable:
    """One network on corrupted images. Severity 0 is the same clean images for every family."""

    data: str
    images: int
    classes: int
    families: tuple[str, ...]  # (F,) names of core.data.corruptions.FAMILIES
    severities: tuple[int, ...]  # (S,) 0 first
    knob: str  # "lam", "top_k", or "" where the network has neither
    values: np.ndarray  # (M,) settings, ascending; (1,) NaN without a knob
    trained: float | None  # the setting in training, one of ``values``
    correct: np.ndarray  # (F, S, M) share of the images right
    reliability: tuple[tuple[Reliability, ...], ...]  # F × S, at the setting of training
    errors: np.ndarray | None = None  # (F, S) mean reconstruction error at the λ of training
    adaptive: AdaptiveFit | None = None


@dataclass(frozen=True, slots=True)
class AttackTable:
    """One network under attack, in one norm. Radii in units of pixel values in [0, 1].

    An image counts as right under an attack if it is right before it and survives it. ``worst``
    counts an image only if it survives every attack that was tried.
    """

    data: str
    images: int
    norm: str  # "linf" or "l2"
    radii: np.ndarray  # (R,) 0 first
    knob: str
    values: np.ndarray  # (M,)
    trained: float | None
    tuned: float | None  # the setting that is best for attacked images apart from the test images
    steps: int
    restarts: int
    more_steps: int  # of the check with a longer attack
    source: str  # name of the network whose adversarial images are transferred; "" for none
    white: np.ndarray  # (R, M) share right under projected gradient descent
    longer: np.ndarray  # (R, M) the same with ``more_steps``
    transfer: np.ndarray | None  # (R, M) under the adversarial images of ``source``
    noise: np.ndarray  # (R, M) under random perturbations of the same size
    worst: np.ndarray  # (R, M)
    warnings: tuple[str, ...] = ()  # signs of gradient masking
    # (M,) share right even where the whole image may become grey: 0 unless gradients are masked
    unbounded: np.ndarray | None = None
    unbounded_radius: float = float("nan")


@dataclass(frozen=True, slots=True)
class Seen:
    """A few images as one network sees them at one setting: what a page shows beside a slider."""

    setting: float | None
    correct: float  # share of ``images`` right
    images: int
    png: bytes  # rows: image, corrupted, and for a CSC layer its reconstruction and the residual
    rows: tuple[str, ...]  # names of the rows of pictures
    columns: tuple[str, ...]  # of every picture: its class and what the network says
    nonzero: float | None  # share of non-zeros of the code or of the MLP's hidden activations
    error: float | None  # reconstruction error

"""What pages and scripts ask of core.robustness. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from core.request import AnalysisRequest

FAMILIES = ("gaussian_noise", "shot_noise", "impulse_noise")
SEVERITIES = (0, 1, 2, 3, 4, 5)
NORMS = ("linf", "l2")
RADII = {
    "linf": (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255),
    "l2": (0.0, 0.125, 0.25, 0.5),
}
"""The last ones are the lecture's: 8/255 in L∞ and 0.5 in L2."""


@dataclass(frozen=True, slots=True)
class CorruptionRequest:
    """Of ``core.robustness.corruptions:run`` → CorruptionTable; ``network.data`` are the images."""

    network: AnalysisRequest
    families: tuple[str, ...] = FAMILIES
    severities: tuple[int, ...] = SEVERITIES
    values: tuple[float, ...] = ()  # settings of the knob beside the one of training
    calibration: str | None = None  # data apart from the test images, for the adaptive λ
    max_images: int | None = 1000


@dataclass(frozen=True, slots=True)
class AttackRequest:
    """Of ``core.robustness.attacks:run`` → AttackTable."""

    network: AnalysisRequest
    norm: str = "linf"
    radii: tuple[float, ...] = RADII["linf"]
    values: tuple[float, ...] = ()
    calibration: str | None = None  # data apart from the test images, on which the knob is tuned
    source: str | None = None  # checkpoint whose adversarial images are transferred
    steps: int = 20
    restarts: int = 2
    more_steps: int = 100
    max_images: int | None = 500
    seed: int = 0
    source_name: str = ""  # as it is shown


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """Of ``core.robustness.seen:run`` → Seen: one corruption, one setting, live."""

    network: AnalysisRequest
    family: str = "gaussian_noise"
    severity: int = 0
    setting: float | None = None
    max_images: int = 500

"""Synthetic tables of robustness: accuracies that fall with severity, one optimum of λ that rises
with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.robustness.request import FAMILIES, RADII, SEVERITIES
from core.robustness.results import (
    BINS,
    AdaptiveFit,
    AttackTable,
    CorruptionTable,
    Reliability,
)

LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.8)
KEPT = (2, 4, 8, 16, 32, 64)


def reliability(gap: float = 0.1, images: int = 300, seed: int = 0) -> Reliability:
    """Images spread over the upper bins; confidence exceeds accuracy by ``gap``. Bins of the lower
    fifth are empty."""
    rng = np.random.default_rng(seed)
    centres = (np.arange(BINS) + 0.5) / BINS
    weights = np.where(centres > 0.2, centres**2, 0)
    counts = rng.multinomial(images, weights / weights.sum()).astype(np.float64)
    empty = counts == 0
    confidence = np.where(empty, np.nan, centres)
    accuracy = np.where(empty, np.nan, np.clip(centres - gap, 0, 1))
    return Reliability(counts, confidence, accuracy)


def corruption_table(
    seed: int = 0,
    lift: float = 0.0,
    fall: float = 0.1,
    knob: str = "",
    values: Sequence[float] = LAMBDAS,
    trained: float = 0.1,
    rises: bool = True,
    adaptive: float | None = None,
    noise: float = 0.01,
    families: tuple[str, ...] = FAMILIES,
    data: str = "cifar10@half-2",
) -> CorruptionTable:
    """Accuracy 0.8 + ``lift``, minus ``fall`` a severity, minus a penalty for settings away from
    the best one, which doubles with every second severity where it ``rises``. ``adaptive``: what
    the adaptive λ adds at every severity above 0."""
    rng = np.random.default_rng([seed, len(knob)])
    f, s = len(families), len(SEVERITIES)
    severity = np.array(SEVERITIES, dtype=np.float64)
    own = rng.normal(0, noise)  # a better or worse network
    base = 0.8 + lift + own - fall * severity + rng.normal(0, noise / 3, (f, s))  # (F, S)
    base[:, 0] = base[0, 0]
    settings = np.array(values if knob else [np.nan], dtype=np.float64)
    best = trained * 2 ** (severity / 2) if rises else np.full(s, trained)
    correct = np.repeat(base[:, :, None], len(settings), 2)
    if knob:
        correct = correct - 0.05 * np.log2(settings[None, None] / best[None, :, None]) ** 2
    correct = np.clip(correct, 0.05, 1)
    at = int(np.abs(settings - trained).argmin()) if knob else 0
    fit = None
    if adaptive is not None:
        errors = 0.05 + 0.02 * severity
        fit = AdaptiveFit(
            data="cifar10@half-1",
            images=300,
            families=tuple(np.repeat(families, s)),
            severities=np.tile(severity, f),
            errors=np.tile(errors, f) + rng.normal(0, 0.002, f * s),
            best=settings[np.abs(settings[None] - np.tile(best, f)[:, None]).argmin(1)],
            slope=4.0,
            intercept=-0.1,
            r2=0.83,
            chosen=np.tile(best, (f, 1)),
            spread=np.full((f, s), 0.03),
            correct=np.clip(correct[:, :, at] + adaptive * (severity > 0), 0, 1),
        )
    return CorruptionTable(
        data=data,
        images=300,
        classes=10,
        families=families,
        severities=SEVERITIES,
        knob=knob,
        values=settings,
        trained=trained if knob else None,
        correct=correct,
        reliability=tuple(
            tuple(reliability(0.05 + 0.03 * k, seed=seed) for k in SEVERITIES) for _ in families
        ),
        errors=np.tile(0.05 + 0.02 * severity, (f, 1)) if knob == "lam" else None,
        adaptive=fit,
    )


def attack_table(
    norm: str = "linf",
    seed: int = 0,
    lift: float = 0.0,
    knob: str = "",
    values: Sequence[float] = LAMBDAS,
    trained: float = 0.1,
    masked: bool = False,
    noise: float = 0.01,
) -> AttackTable:
    """White-box accuracy falls to about zero with the radius; ``masked``: it hardly falls, though
    the transferred images bring it down."""
    rng = np.random.default_rng([seed, 7, len(norm)])
    radii = np.array(RADII[norm])
    share = radii / radii[-1]
    settings = np.array(values if knob else [np.nan], dtype=np.float64)
    gain = 0.02 * np.arange(len(settings)) if knob else np.zeros(1)
    clean = 0.8 + rng.normal(0, noise)
    fall = 0.3 if masked else 0.75 - lift
    white = np.clip(clean - fall * share[:, None] + share[:, None] * gain[None], 0, 1)
    longer = np.clip(white - 0.02 * share[:, None], 0, 1)
    transfer = np.clip(clean - (0.6 if masked else 0.3) * share[:, None] + 0 * gain[None], 0, 1)
    worst = np.minimum(np.minimum(white, longer), transfer)
    return AttackTable(
        data="cifar10@half-2",
        images=300,
        norm=norm,
        radii=radii,
        knob=knob,
        values=settings,
        trained=trained if knob else None,
        tuned=float(settings[-1]) if knob else None,
        steps=20,
        restarts=2,
        more_steps=100,
        source="ResNet-8",
        white=white,
        longer=longer,
        transfer=transfer,
        noise=np.clip(clean - 0.02 * share[:, None] + 0 * gain[None], 0, 1),
        worst=worst,
        warnings=("images transferred from another network fool it more often",) if masked else (),
    )

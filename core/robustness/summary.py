"""Tables of several seeds as one: means with standard errors, differences, best settings.

Shares become percentages here. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.metrics.calibration import ece
from core.robustness.results import BINS, AttackTable, CorruptionTable, Reliability

MEAN = "mean"
"""In the place of a family of corruptions: the mean of all of them."""

Setting = Literal["trained", "tuned"]
"""Of the knob: as it was in training, or as it is best against attacks on other images."""

# two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, slots=True)
class Side:
    """One kind of network: its tables, one a seed, in the order of ``runs``."""

    title: str
    runs: tuple[str, ...] = ()
    noise: int = 0  # % of the training labels that are random
    corruptions: tuple[CorruptionTable, ...] = ()
    attacks: dict[str, tuple[AttackTable, ...]] = field(default_factory=dict)  # by norm

    @property
    def knob(self) -> str:
        first: CorruptionTable | AttackTable | None = next(iter(self.corruptions), None)
        first = first or next((t for found in self.attacks.values() for t in found), None)
        return "" if first is None else first.knob


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity over n seeds. ``values`` (n, …); the rest has the shape behind n."""

    values: np.ndarray

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(0)

    @property
    def error(self) -> np.ndarray:
        """Standard error of the mean; NaN for one seed."""
        if self.seeds < 2:
            return np.full(self.values.shape[1:], np.nan)
        return self.values.std(0, ddof=1) / np.sqrt(self.seeds)

    @property
    def low(self) -> np.ndarray:
        return self.values.min(0)

    @property
    def high(self) -> np.ndarray:
        return self.values.max(0)

    def at(self, *index: int) -> Spread:
        """One entry of the shape behind n."""
        where: tuple[slice | int, ...] = (slice(None), *index)
        return Spread(self.values[where])


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of the second minus mean of the first, with its standard error (None: one seed)."""

    value: float
    error: float | None
    limit: float  # a difference beyond it is clear: t · error

    @property
    def clear(self) -> bool | None:
        """Whether chance over the seeds is no likely reason; None where it cannot be told."""
        return None if self.error is None else abs(self.value) > self.limit


def difference(first: Spread, second: Spread, paired: bool = False) -> Difference:
    """Of two scalar spreads. ``paired``: the same networks in both, in the same order.

    The limit is the 95 % quantile of Student's t times the standard error: of the differences
    (n − 1 degrees of freedom), or with the variance pooled over both groups (m + n − 2). With three
    seeds each it is 2.8 standard errors, 4.3 for pairs.
    """
    a, b = np.ravel(first.values), np.ravel(second.values)
    value = float(b.mean() - a.mean())
    if paired:
        freedom = len(a) - 1
        error = float((b - a).std(ddof=1) / np.sqrt(len(a))) if freedom else None
    else:
        freedom = len(a) + len(b) - 2
        error = None
        if len(a) > 1 and len(b) > 1:
            squares = np.square(a - a.mean()).sum() + np.square(b - b.mean()).sum()
            error = float(np.sqrt(squares / freedom * (1 / len(a) + 1 / len(b))))
    return Difference(value, error, 0.0 if error is None else t95(freedom) * error)


def t95(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t; beyond 10 degrees of freedom by the expansion of
    Cornish and Fisher, with an error below 1e-3. ValueError for none."""
    if freedom < 1:
        raise ValueError("Student's t needs one degree of freedom or more")
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def stacked(columns: Sequence[np.ndarray]) -> Spread:
    """One spread (n, m) of m scalar ones, cut to the fewest seeds."""
    fewest = min(len(column) for column in columns)
    return Spread(np.stack([column[:fewest] for column in columns], axis=1))


# --- corruptions -------------------------------------------------------------------------------


def alike(tables: Sequence[CorruptionTable]) -> tuple[CorruptionTable, ...]:
    """Those tables that measured the same as the first one; others cannot be averaged with it."""
    return tuple(t for t in tables if _measured(t) == _measured(tables[0]))


def _measured(table: CorruptionTable) -> tuple[object, ...]:
    values = () if table.knob == "" else tuple(np.round(table.values, 6).tolist())
    return table.families, table.severities, table.knob, values, table.data


def of_family(shares: np.ndarray, families: Sequence[str], family: str) -> np.ndarray:
    """The entry of (F, …) of that family, or the mean over F."""
    return shares.mean(0) if family == MEAN else shares[list(families).index(family)]


def setting_index(table: CorruptionTable | AttackTable, setting: float | None) -> int:
    """Where that setting, or the nearest, stands in the table; None: that of training."""
    wanted = table.trained if setting is None else setting
    if wanted is None or not np.isfinite(table.values).all():
        return 0
    return int(np.abs(table.values - wanted).argmin())


def accuracy(
    tables: Sequence[CorruptionTable], family: str, setting: float | None = None
) -> Spread:
    """Accuracy by severity (n, S) in percent, at a value of the knob or at that of training."""
    shares = [t.correct[:, :, setting_index(t, setting)] for t in tables]  # (F, S)
    return Spread(np.stack([_percent(s, t, family) for s, t in zip(shares, tables, strict=True)]))


def adaptive_accuracy(tables: Sequence[CorruptionTable], family: str) -> Spread | None:
    """The same with λ chosen by the reconstruction error; None where no table has it."""
    found = [_percent(t.adaptive.correct, t, family) for t in tables if t.adaptive is not None]
    return Spread(np.stack(found)) if found else None


def _percent(shares: np.ndarray, table: CorruptionTable, family: str) -> np.ndarray:
    return 100 * of_family(np.asarray(shares, np.float64), table.families, family)


def by_setting(tables: Sequence[CorruptionTable], family: str) -> Spread:
    """Accuracy (n, S, M) in percent by severity and setting."""
    return Spread(np.stack([_percent(t.correct, t, family) for t in tables]))


def best_settings(tables: Sequence[CorruptionTable], family: str) -> np.ndarray:
    """The setting of highest mean accuracy at every severity (S,). Of several equally good ones the
    one nearest to that of training."""
    mean = by_setting(tables, family).mean  # (S, M)
    values, trained = np.asarray(tables[0].values, np.float64), tables[0].trained
    distance = np.abs(values - (values[0] if trained is None else trained))
    tie = np.where(mean >= mean.max(1, keepdims=True) - 1e-9, distance, np.inf)
    return values[tie.argmin(1)]


def chosen(tables: Sequence[CorruptionTable], family: str) -> tuple[Spread, np.ndarray] | None:
    """Mean λ that the fit chose by severity (n, S), and its standard deviation over the images
    (S,), averaged over seeds; None without a fit."""
    fits = [(t, t.adaptive) for t in tables if t.adaptive is not None]
    if not fits:
        return None
    means = [of_family(np.asarray(a.chosen, np.float64), t.families, family) for t, a in fits]
    spreads = [of_family(np.asarray(a.spread, np.float64), t.families, family) for t, a in fits]
    return Spread(np.stack(means)), np.mean(spreads, axis=0)


# --- calibration -------------------------------------------------------------------------------


def calibration(tables: Sequence[CorruptionTable], family: str) -> Spread:
    """Expected calibration error by severity (n, S) in percent; MEAN: the mean over families."""
    rows = []
    for table in tables:
        errors = np.array([[ece(r) for r in row] for row in table.reliability], np.float64)
        rows.append(100 * of_family(errors, table.families, family))
    return Spread(np.stack(rows))


def pooled(tables: Sequence[CorruptionTable], family: str, severity: int) -> Reliability:
    """The bins of all seeds, and of all families for MEAN, at one severity as one. Severity 0 is
    the same clean images in every family, and counts once."""
    counts = np.zeros(BINS)
    confidence, right = np.zeros(BINS), np.zeros(BINS)
    for table in tables:
        s = table.severities.index(severity)
        rows = range(len(table.families)) if family == MEAN else [table.families.index(family)]
        for f in rows if severity else list(rows)[:1]:
            one = table.reliability[f][s]
            n = np.asarray(one.counts, np.float64)
            counts += n
            confidence += np.where(n > 0, n * np.nan_to_num(one.confidence), 0)
            right += np.where(n > 0, n * np.nan_to_num(one.accuracy), 0)
    with np.errstate(invalid="ignore"):
        return Reliability(counts, confidence / counts, right / counts)


def overconfidence(one: Reliability) -> float:
    """Mean confidence minus accuracy: positive where the network claims too much."""
    counts = np.asarray(one.counts, np.float64)
    there = counts > 0
    gap = np.asarray(one.confidence, np.float64) - np.asarray(one.accuracy, np.float64)
    return float((counts[there] * gap[there]).sum() / counts.sum())


# --- attacks -----------------------------------------------------------------------------------

ATTACKS = ("white", "longer", "transfer", "noise", "worst")


def attacked(
    tables: Sequence[AttackTable], attack: str, setting: Setting = "trained"
) -> Spread | None:
    """Accuracy by radius (n, R) in percent; None where no table has that attack or setting."""
    found = []
    for table in tables:
        shares = getattr(table, attack)
        value = table.tuned if setting == "tuned" else table.trained
        if shares is None or (setting == "tuned" and value is None):
            continue
        found.append(100 * np.asarray(shares, np.float64)[:, setting_index(table, value)])
    return Spread(np.stack(found)) if found else None


def attacked_by_setting(tables: Sequence[AttackTable], attack: str) -> Spread | None:
    """Accuracy (n, R, M) in percent."""
    shares = [getattr(t, attack) for t in tables]
    known = [100 * np.asarray(s, np.float64) for s in shares if s is not None]
    return Spread(np.stack(known)) if known else None

"""Do larger networks use a smaller share of their units? Trainings of many sizes, summed up.

After Li et al. 2023 ("The lazy neuron phenomenon: on emergence of activation sparsity in
transformers", ICLR). Needs numpy alone, since a page imports it. Sentences are plain text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from core.errors import UserError
from core.figures.theme import number
from core.results import Estimate
from core.training.sizes import DATA, SETUPS, SIZES, Images, Setup

Vary = Literal["width", "depth"]
Layer = Literal["mean", "first", "last"]
Verdict = Literal["shown here", "shown in part", "not shown here", "cannot be told"]

FITTED = 0.99  # training accuracy from which a network counts as having fitted its data
SMALL = 5.0  # percentage points from the smallest to the largest size; a smaller fall is named
HALF = 0.5  # share at the start that a symmetric initialisation is expected to have

_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)

PAPER = "Li et al., The lazy neuron phenomenon, ICLR 2023"
PAPERS_SHARES = {"T5-Base": 3.0, "ViT-B16": 6.3}  # % of non-zeros after the ReLU of the MLP
PAPERS_NUMBERS = (
    "The paper counts 3.0 % non-zeros in T5-Base and 6.3 % in ViT-B16, after the ReLU of the MLP."
)


@dataclass(frozen=True, slots=True)
class Trained:
    """One training. E epochs at which it was measured, from 0; L layers with a ReLU."""

    setup: str
    width: int
    depth: int
    data: str
    seed: int
    parameters: int
    epochs: tuple[int, ...]  # (E,)
    train_accuracy: np.ndarray  # (E,)
    test_accuracy: np.ndarray  # (E,)
    shares: np.ndarray  # (E, L) of the layer's outputs on the training images that are not zero
    dead: np.ndarray  # (E, L) of the layer's units that are zero on all of them


@dataclass(frozen=True, slots=True)
class Size:
    """The seeds of one size. S seeds, E epochs, L layers."""

    width: int
    depth: int
    units: int  # of a layer
    parameters: int
    seeds: tuple[int, ...]  # (S,)
    epochs: tuple[int, ...]  # (E,)
    train_accuracy: np.ndarray  # (S, E)
    test_accuracy: np.ndarray  # (S, E)
    shares: np.ndarray  # (S, E, L)
    dead: np.ndarray  # (S, E, L)

    def share(self, layer: Layer = "mean") -> np.ndarray:
        """(S, E) of one layer, or the mean over layers, each counting once."""
        return _of_layer(self.shares, layer)

    def active(self, layer: Layer = "mean") -> np.ndarray:
        """(S, E) number of units that are not zero, on average over images and places: of one
        layer, or with "mean" of all layers together."""
        count = self.units * (self.depth if layer == "mean" else 1)
        return count * self.share(layer)

    def final_share(self, layer: Layer = "mean") -> Estimate:
        """At the end of training, mean over the seeds and its 95 % interval."""
        return mean_over_seeds(self.share(layer)[:, -1])

    @property
    def fitted(self) -> bool:
        """Whether the mean training accuracy over the seeds ends at 99 % or more."""
        return bool(self.train_accuracy[:, -1].mean() >= FITTED)


@dataclass(frozen=True, slots=True)
class Slope:
    """The exponent b of share = a · size^b, by least squares on logarithms over all networks.

    The 95 % interval is that of simple linear regression (Student's t, n − 2 degrees of freedom)
    over the n networks. ``value.value`` is None where it is undefined; ``reason`` says why.
    """

    value: Estimate
    networks: int = 0
    left_out: int = 0  # networks without a single non-zero, whose logarithm is undefined

    @property
    def sign(self) -> int:
        """−1 where the whole interval is below 0, 1 where it is above, 0 otherwise."""
        low, high = self.value.low, self.value.high
        if low is None or high is None:
            return 0
        return -1 if high < 0 else 1 if low > 0 else 0


@dataclass(frozen=True, slots=True)
class Series:
    """One setup on one kind of data, over its sizes from small to large."""

    setup: Setup
    vary: Vary
    images: Images
    sizes: tuple[Size, ...]

    def x(self) -> np.ndarray:
        """(m,) widths, as units of a layer, or depths."""
        return np.array([s.units if self.vary == "width" else s.depth for s in self.sizes])

    def slope(self, layer: Layer = "mean") -> Slope:
        """Of the final share of non-zeros."""
        return slope_of(self.x(), [s.share(layer)[:, -1] for s in self.sizes])

    def active_slope(self, layer: Layer = "mean") -> Slope:
        """Of the final number of active units."""
        return slope_of(self.x(), [s.active(layer)[:, -1] for s in self.sizes])


# --- reading -----------------------------------------------------------------------------------


def bundled_sizes() -> tuple[Trained, ...]:
    """The trainings that are bundled; empty where there is no such file."""
    return _read(SIZES, SIZES.stat().st_mtime_ns) if SIZES.is_file() else ()


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[Trained, ...]:
    try:
        return trained_of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path.name} does not hold trainings of many sizes ({error!r}); make it again with "
            "python -m scripts.train_sizes"
        ) from error


def trained_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Trained, ...]:
    """Rows as ``scripts.train_sizes`` writes them. KeyError, ValueError or TypeError otherwise."""
    return tuple(
        Trained(
            setup=str(r["setup"]),
            width=int(r["width"]),
            depth=int(r["depth"]),
            data=str(r["data"]),
            seed=int(r["seed"]),
            parameters=int(r["parameters"]),
            epochs=tuple(int(e) for e in r["epochs"]),
            **{
                key: np.asarray(r[key], dtype=np.float64)
                for key in ("train_accuracy", "test_accuracy", "shares", "dead")
            },
        )
        for r in rows
    )


def series_of(trained: Sequence[Trained], setup: str, vary: Vary, data: str) -> Series | None:
    """The sizes of one setup on one kind of data; None where nothing was trained or the setup
    does not vary in this way. Only epochs that all seeds of a size share are kept."""
    of = SETUPS[setup]
    wanted = of.widths if vary == "width" else of.depths
    groups: dict[tuple[int, int], list[Trained]] = {}
    for t in sorted(trained, key=lambda t: t.seed):
        base = t.depth == of.base_depth if vary == "width" else t.width == of.base_width
        value = t.width if vary == "width" else t.depth
        if t.setup == setup and t.data == data and base and value in wanted:
            groups.setdefault((t.width, t.depth), []).append(t)
    if not groups:
        return None
    sizes = tuple(_size(of, groups[key]) for key in sorted(groups))
    return Series(of, vary, DATA[data], sizes)


def every_series(trained: Sequence[Trained], setup: str, vary: Vary) -> tuple[Series, ...]:
    """One for every kind of data that was trained."""
    found = (series_of(trained, setup, vary, data) for data in DATA)
    return tuple(s for s in found if s is not None)


def _size(setup: Setup, members: Sequence[Trained]) -> Size:
    shared = sorted(set.intersection(*(set(t.epochs) for t in members)))
    rows = [[t.epochs.index(e) for e in shared] for t in members]

    def stacked(key: str) -> np.ndarray:
        return np.stack([getattr(t, key)[r] for t, r in zip(members, rows, strict=True)])

    first = members[0]
    return Size(
        width=first.width,
        depth=first.depth,
        units=setup.units(first.width),
        parameters=first.parameters,
        seeds=tuple(t.seed for t in members),
        epochs=tuple(shared),
        train_accuracy=stacked("train_accuracy"),
        test_accuracy=stacked("test_accuracy"),
        shares=stacked("shares"),
        dead=stacked("dead"),
    )


def _of_layer(values: np.ndarray, layer: Layer) -> np.ndarray:
    """(S, E, L) → (S, E)"""
    if layer == "mean":
        return values.mean(axis=-1)
    return values[..., 0 if layer == "first" else -1]


# --- estimates ---------------------------------------------------------------------------------


def mean_over_seeds(values: np.ndarray) -> Estimate:
    """Mean of (S,) values and its 95 % interval, mean ± t s/√S with S − 1 degrees of freedom.

    No interval for one seed. It is not cut to [0, 1], so that it is the same ± everywhere.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, reason="one seed has no interval")
    half = student(len(values) - 1) * float(values.std(ddof=1)) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def standard_error(values: np.ndarray) -> float | None:
    """s/√S of (S,) values; None for one seed."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def slope_of(sizes: np.ndarray, values: Sequence[np.ndarray]) -> Slope:
    """See ``Slope``. sizes (m,) > 0; values: for every size (S,) of its seeds, ≥ 0."""
    x = np.repeat(np.asarray(sizes, dtype=np.float64), [len(v) for v in values])
    y = np.concatenate([np.asarray(v, dtype=np.float64) for v in values])
    known = y > 0
    x, y = x[known], y[known]
    left_out = int(np.count_nonzero(~known))
    if len(np.unique(x)) < 3:
        return Slope(Estimate(None, reason="fewer than three sizes"), len(x), left_out)
    u, v = np.log(x) - np.log(x).mean(), np.log(y) - np.log(y).mean()
    value = float(u @ v / (u @ u))
    residual = float(np.square(v - value * u).sum())
    error = (residual / (len(x) - 2) / float(u @ u)) ** 0.5
    half = student(len(x) - 2) * error
    return Slope(Estimate(value, value - half, value + half), len(x), left_out)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to 0.001: a table, then the expansion in 1/ν of
    Abramowitz and Stegun 26.7.5. scipy would cost a page half a second."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


# --- what it says ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What one setup shows on all kinds of data, by rule."""

    verdict: Verdict
    claim: str  # the paper's, which the verdict is about
    text: str  # what holds here
    notes: tuple[str, ...]  # what to know before believing it


def larger_is_sparser(series: Sequence[Series], layer: Layer = "mean") -> Finding:
    """Whether the share falls with size: where the interval of its slope is below 0."""
    vary = series[0].vary if series else "width"
    size = "wider" if vary == "width" else "deeper"
    claim = f"The {size} the sparser."
    slopes = [(s, s.slope(layer)) for s in series]
    known = [(s, b) for s, b in slopes if b.value.value is not None]
    if not known:
        return Finding("cannot be told", claim, "Too few sizes were trained.", ())
    parts = []
    for sign, verb in ((-1, "falls"), (0, "has no clear trend"), (1, "rises")):
        mine = [(s, b) for s, b in known if b.sign == sign]
        if mine:
            ends = [f"{s.images.title} ({_change(s, b, layer)})" for s, b in mine]
            parts.append(f"{verb} with {vary} on {_list(ends)}")
    falling = sum(b.sign < 0 for _, b in known)
    verdict: Verdict = "not shown here"
    if falling:
        verdict = "shown here" if falling == len(known) else "shown in part"
    where = {"mean": "", "first": " of the first layer", "last": " of the last layer"}[layer]
    text = f"{known[0][0].setup.title}: the share of non-zeros{where} {'; it '.join(parts)}."
    return Finding(verdict, claim, text, _notes(series, layer, slopes))


def _change(series: Series, slope: Slope, layer: Layer) -> str:
    """From the smallest to the largest size, and the exponent."""
    value = slope.value
    first, last = _ends(series, layer)
    return (
        f"{number(first, 0)} → {number(last, 0)} %, "
        f"exponent {number(value.value, 3)}, "
        f"95 %: {number(value.low, 3)} to {number(value.high, 3)}"
    )


def _ends(series: Series, layer: Layer) -> tuple[float, float]:
    """Final share in percent of the smallest and of the largest size, mean over the seeds."""
    first, last = (
        100 * float(z.share(layer)[:, -1].mean()) for z in (series.sizes[0], series.sizes[-1])
    )
    return first, last


def _notes(
    series: Sequence[Series], layer: Layer, slopes: Sequence[tuple[Series, Slope]]
) -> tuple[str, ...]:
    notes = []
    falls = [np.subtract(*_ends(s, layer)) for s, b in slopes if b.sign < 0]
    if falls and max(falls) < SMALL:
        notes.append(
            f"It falls by {number(max(float(max(falls)), 0.0), 1)} points at most: clear of the "
            "scatter, but little."
        )
    unfitted = []
    for s in series:
        missed = [z for z in s.sizes if not z.fitted]
        if missed:
            names = ", ".join(str(_size_name(s, z)) for z in missed)
            many = "all" if len(missed) == len(s.sizes) else f"{s.vary} {names}"
            unfitted.append(f"{s.images.title} ({many})")
    if unfitted:
        notes.append(
            f"Training accuracy ends below {100 * FITTED:.0f} % on {_list(unfitted)}: there size "
            "and how far a network got change together."
        )
    gone = sum(b.left_out for _, b in slopes)
    if gone:
        notes.append(f"{gone} networks without a single non-zero are left out of the slopes.")
    dead = [
        (s, s.sizes[-1], float(_of_layer(s.sizes[-1].dead, layer)[:, -1].mean())) for s in series
    ]
    dead = [d for d in dead if d[2] >= 0.05]
    if dead:
        ends = [f"{number(100 * share, 0, ' %')} on {s.images.title}" for s, _, share in dead]
        notes.append(
            f"Of the largest network's units, some are zero on every training image: {_list(ends)}."
        )
    return tuple(notes)


def emergence(series: Sequence[Series], layer: Layer = "mean") -> Finding:
    """Whether training makes the largest network sparser: final against initial share, over the
    seeds, with the 95 % interval of their mean difference."""
    claim = "Training makes networks sparse, whatever the data."
    parts: dict[int, list[str]] = {-1: [], 0: [], 1: []}
    for s in series:
        share = s.sizes[-1].share(layer)
        change = mean_over_seeds(share[:, -1] - share[:, 0])
        if change.low is None or change.high is None:
            continue
        sign = -1 if change.high < 0 else 1 if change.low > 0 else 0
        start, end = (number(100 * float(share[:, i].mean()), 0) for i in (0, -1))
        parts[sign].append(f"{s.images.title} ({start} → {end} %)")
    told = sum(map(len, parts.values()))
    if not told:
        return Finding("cannot be told", claim, "Each size was trained with one seed only.", ())
    verbs = {-1: "falls", 0: "does not change clearly", 1: "rises"}
    said = "; it ".join(f"{verbs[k]} on {_list(v)}" for k, v in parts.items() if v)
    falling = len(parts[-1])
    verdict: Verdict = "not shown here"
    if falling:
        verdict = "shown here" if falling == told else "shown in part"
    text = f"In training, the share of the largest {series[0].setup.title} {said}."
    return Finding(verdict, claim, text, ())


def points(series: Sequence[Series], data: str, layer: Layer = "mean") -> tuple[str, ...]:
    """Three things to notice: number of units, layers, and other data; fewer where unknown."""
    mine = next((s for s in series if s.images.name == data), None)
    if mine is None:
        return ()
    said = [_more_units(mine, layer), _layers(mine), _other_data(series, mine, layer)]
    return tuple(text for text in said if text)


def _more_units(series: Series, layer: Layer) -> str:
    small, large = series.sizes[0], series.sizes[-1]
    slope = series.active_slope(layer)
    if slope.value.value is None:
        return ""
    first, last = (float(z.active(layer)[:, -1].mean()) for z in (small, large))
    verb = {1: "grows", 0: "hardly changes", -1: "falls"}[slope.sign]
    return (
        f"The number of active units {verb} with {series.vary}: from {number(first, 1)} to "
        f"{number(last, 1)}, exponent {number(slope.value.value, 2)} (1 is in proportion)."
    )


def _layers(series: Series) -> str:
    size = series.sizes[-1]
    shares = 100 * size.shares[:, -1].mean(axis=0)  # (L,)
    if len(shares) < 2:
        return ""
    low, high = int(shares.argmin()), int(shares.argmax())
    largest = {"width": "widest", "depth": "deepest"}[series.vary]
    if shares[high] - shares[low] < 1.0:
        mean = number(float(shares.mean()), 0)
        return f"All layers of the {largest} network use about the same share, {mean} %."
    return (
        f"Layers differ: in the {largest} network layer {low + 1} of {len(shares)} is the sparsest "
        f"({number(float(shares[low]), 0)} %), layer {high + 1} the densest "
        f"({number(float(shares[high]), 0)} %), on {series.images.title}."
    )


def _other_data(series: Sequence[Series], mine: Series, layer: Layer) -> str:
    """The largest network on each other kind of data, by the interval of the difference."""
    said: dict[int, list[str]] = {-1: [], 0: [], 1: []}
    own = mine.sizes[-1].share(layer)[:, -1]
    for other in series:
        values = other.sizes[-1].share(layer)[:, -1]
        gap = difference(values, own)
        if other is mine or gap is None or gap.low is None or gap.high is None:
            continue
        sign = -1 if gap.high < 0 else 1 if gap.low > 0 else 0
        said[sign].append(f"{other.images.title} ({number(100 * float(values.mean()), 0)} %)")
    words = {-1: "sparser on", 0: "not clearly different on", 1: "denser on"}
    parts = [f"{words[k]} {_list(v)}" for k, v in said.items() if v]
    if not parts:
        return ""
    return (
        f"Against {mine.images.title} ({number(100 * float(own.mean()), 0)} %), the largest "
        f"network is {'; '.join(parts)}."
    )


def difference(one: np.ndarray, other: np.ndarray) -> Estimate | None:
    """Mean of (S,) minus mean of (T,) and its 95 % interval, with one variance for both (Student's
    t, S + T − 2 degrees of freedom); None where both have one value."""
    freedom = len(one) + len(other) - 2
    if freedom < 1:
        return None
    squares = float(np.square(one - one.mean()).sum() + np.square(other - other.mean()).sum())
    error = (squares / freedom * (1 / len(one) + 1 / len(other))) ** 0.5
    value = float(one.mean() - other.mean())
    half = student(freedom) * error
    return Estimate(value, value - half, value + half)


def by_training(trained: Sequence[Trained], data: str, layer: Layer = "mean") -> str:
    """What the widest MLP ends with, trained in each of the ways; empty unless there are two."""
    ends = []
    for name, setup in SETUPS.items():
        series = series_of(trained, name, "width", data) if setup.network == "mlp" else None
        if series is not None:
            way = "batch norm" if setup.batch_norm else f"learning rate {setup.learning_rate:g}"
            ends.append((setup.batch_norm, setup.learning_rate, way, _ends(series, layer)[1]))
    if len(ends) < 2:
        return ""
    said = [f"{number(share, 0)} % with {way}" for _, _, way, share in sorted(ends)]
    return f"By way of training: on {DATA[data].title} the widest MLP ends at {_list(said)}."


def against_the_paper(series: Sequence[Series], layer: Layer = "mean") -> str:
    """The smallest mean share over the seeds here, and the paper's own numbers as theirs."""
    known = [(float(z.share(layer)[:, -1].mean()), s, z) for s in series for z in s.sizes]
    if not known:
        return PAPERS_NUMBERS
    share, of, size = min(known, key=lambda k: k[0])
    return (
        f"The sparsest network here, {of.vary} {_size_name(of, size)} on {of.images.title}, still "
        f"uses {number(100 * share, 0)} %. {PAPERS_NUMBERS}"
    )


def _size_name(series: Series, size: Size) -> int:
    return size.units if series.vary == "width" else size.depth


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

"""What a family of runs shows, in one or two sentences made of the measured numbers by rules, and
whether that is what the paper behind it says. Needs numpy alone. Sentences are Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from core.comparison.grid import LossGrid
from core.comparison.groups import QUANTITIES, Final, Measured, Split, data_of, misses
from core.dynamics.results import Dynamics
from core.figures.theme import number, significant
from core.text import plain

Verdict = Literal["shown here", "shown in part", "not shown here", "cannot be told", "not measured"]

CLEAR = 3.0
"""A difference of means counts from so many standard errors on: about Tukey's 95 % limit for the
largest difference among two to five groups of three seeds (2.8 to 3.3)."""

ONE_SEED = "With one seed each, chance cannot be told from these differences."
FITTED = 99.95  # training accuracy in percent that counts as 100 %


@dataclass(frozen=True, slots=True)
class Finding:
    """``claim`` is what the paper says; ``text`` what these runs say to it."""

    verdict: Verdict
    text: str
    claim: str
    paper: str


@dataclass(frozen=True, slots=True)
class _Rule:
    claim: str
    paper: str
    read: Callable[[Sequence[Final], Measured], tuple[Verdict, str]]


def finding(
    family: str, finals: Sequence[Final], measured: Measured, grids: Sequence[LossGrid] = ()
) -> Finding | None:
    """The finding of a family from its runs under one heading; None for a family without rules or
    fewer than two groups of runs."""
    rule = RULES.get(family)
    if rule is None or len(finals) < 2:
        return None
    verdict, text = rule.read(finals, measured)
    if family == "losses" and grids:
        text = f"{text} {grid_in_words(grids)}"
    return Finding(verdict, text, rule.claim, rule.paper)


# --- differences against the spread over seeds -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference of means among groups; ``error`` is its standard error, None where
    no group has two seeds."""

    low: Final
    high: Final
    value: float
    error: float | None

    @property
    def clear(self) -> bool | None:
        """Whether it exceeds CLEAR standard errors; None: not known."""
        return None if self.error is None else self.value > CLEAR * self.error


def largest_difference(
    finals: Sequence[Final], key: str, split: Split, results: bool = False
) -> Difference | None:
    """Of a quantity, or of a stored result (``results``, in percent), over the groups that have it;
    None for fewer than two.

    The standard error is s √(1/m + 1/n) with s² the variance over seeds pooled over all groups.
    """
    known = [(f, _values(f, key, split, results)) for f in finals]
    known = [(f, v) for f, v in known if len(v)]
    if len(known) < 2:
        return None
    means = [float(v.mean()) for _, v in known]
    low, high = int(np.argmin(means)), int(np.argmax(means))
    freedom = sum(len(v) - 1 for _, v in known)
    error = None
    if freedom:
        variance = sum(float(np.square(v - v.mean()).sum()) for _, v in known) / freedom
        error = float(np.sqrt(variance * (1 / len(known[low][1]) + 1 / len(known[high][1]))))
    return Difference(known[low][0], known[high][0], means[high] - means[low], error)


def _values(one: Final, key: str, split: Split, results: bool) -> np.ndarray:
    if results:
        found = one.results.get(key)
        return np.array([] if found is None else [100 * v for v in found.values])
    stat = one.stat(key, split)
    return np.array([] if stat is None else stat.values)


def _title(one: Final) -> str:
    return plain(one.group.title)


def _started(one: Final) -> str:
    """The title at the start of a sentence."""
    title = _title(one)
    return title[:1].upper() + title[1:]


def _all(count: int) -> str:
    return "Both" if count == 2 else f"All {count}"


def _points(value: float) -> str:
    return f"{number(value, 1)} points"


def test_accuracies(finals: Sequence[Final]) -> tuple[str, bool | None]:
    """How far the test accuracies lie apart, and whether that is more than the seeds explain."""
    found = largest_difference(finals, "accuracy", "test")
    if found is None:
        return "Test accuracies are not known.", None
    low, high = (number(f.mean("accuracy", "test"), 1) for f in (found.low, found.high))
    text = (
        f"Test accuracies lie between {low} % ({_title(found.low)}) and {high} % "
        f"({_title(found.high)}): {_points(found.value)} apart, "
    )
    if found.error is None:
        return f"{text}with one seed each, so that chance cannot be told from it.", None
    error = f"{CLEAR:.0f} standard errors over the seeds ({number(CLEAR * found.error, 1)})"
    if found.clear:
        return f"{text}more than {error}: a difference.", True
    return f"{text}less than {error}: no difference beyond the seeds.", False


# --- collapse ----------------------------------------------------------------------------------


def collapsed(finals: Sequence[Final], what: str) -> tuple[Verdict, str]:
    """How many groups meet all thresholds of collapse on the training data, and what others miss.

    ``what`` names the groups in the plural: "optimisers".
    """
    missed = {f.group.id: misses(f) for f in finals}
    known = [f for f in finals if missed[f.group.id] is not None]
    if not known:
        return "not measured", f"No collapse metric of these {what} was measured."
    good = [f for f in known if not missed[f.group.id]]
    if len(good) == len(known):
        verdict: Verdict = "shown here"
        text = f"**{_all(len(known))} {what} collapse**: {_worst(known)} at most"
    elif good:
        verdict = "shown in part"
        text = f"**{len(good)} of {len(known)} {what} collapse** ({_worst(good)} at most)"
    else:
        verdict = "not shown here"
        text = f"**None of the {len(known)} {what} meets every threshold of collapse**"
    bad = [
        f"{_title(f)} misses {_missed(f, missed[f.group.id] or ())}" for f in known if f not in good
    ]
    return verdict, "; ".join([text, *bad]) + "."


def _worst(finals: Sequence[Final]) -> str:
    parts = []
    for key, quantity in QUANTITIES.items():
        values = [f.mean(key) for f in finals]
        if quantity.threshold is not None:
            largest = max((v for v in values if v is not None), default=None)
            parts.append(f"{quantity.title} {significant(largest, 2)}")
    return ", ".join(parts)


def _missed(one: Final, keys: Sequence[str]) -> str:
    parts = [
        f"{QUANTITIES[k].title} ({_beside(one.mean(k), QUANTITIES[k].threshold)}, threshold "
        f"{number(QUANTITIES[k].threshold, 2)})"
        for k in keys
    ]
    return " and ".join(parts)


def _beside(value: float | None, threshold: float | None) -> str:
    """Two digits, and a third where they would read as the threshold itself."""
    text = significant(value, 2)
    return significant(value, 3) if text == significant(threshold, 2) else text


def _optimisers(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    verdict, text = collapsed(finals, "optimisers")
    return verdict, f"{text} {test_accuracies(finals)[0]}"


def _losses(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    verdict, text = collapsed(finals, "losses")
    said, differ = test_accuracies(finals)
    if differ and verdict == "shown here":
        verdict = "shown in part"
    return verdict, f"{text} {said}"


def grid_in_words(grids: Sequence[LossGrid]) -> str:
    """The left bottom and right top corner of the grid: spread over losses, and over seeds."""
    corners = np.array([g.corners for g in grids])  # (losses, 2 corners, mean and sd)
    if not np.isfinite(corners[..., 0]).all():
        return "The grid of widths and epochs is not complete."
    small, large = np.ptp(corners[..., 0], axis=0)
    one, other = corners[..., 0].mean(axis=0)
    first = grids[0]
    text = (
        f"In the grid the losses lie {_points(small)} apart for the narrowest network trained "
        f"shortest (width {first.widths[0]:,}, {first.epochs[0]:,} epochs) and {_points(large)} in "
        f"the right top corner (width {first.widths[-1]:,}, {first.epochs[-1]:,} epochs); "
        f"the mean accuracy goes from {number(one, 1)} to {number(other, 1)} %"
    )
    if np.isfinite(corners[..., 1]).all():
        before, after = corners[..., 1].mean(axis=0)
        text += (
            f", the spread over seeds from {number(before, 2)} to {_points_fine(after)}: "
            f"{_corner(other > one, after < before)}"
        )
    return f"{text}."


def _points_fine(value: float) -> str:
    return f"{number(value, 2)} points"


def _corner(better: bool, steadier: bool) -> str:
    if better and steadier:
        return "the corner is better and steadier"
    if better:
        return "the corner is better, not steadier"
    return "the corner is steadier, not better" if steadier else "neither better nor steadier"


# --- labels ------------------------------------------------------------------------------------


def random_share(one: Final) -> int:
    """Percent of the labels that the run was trained on at random; 0 for true ones."""
    _, at, wanted = str(one.group.settings.get("train_data", "")).rpartition("@random_labels-")
    return int(wanted) if at and wanted.isdigit() else 0


def _pixels(one: Final) -> bool:
    return "@random_pixels" in str(one.group.settings.get("train_data", ""))


def _width(one: Final) -> int:
    widths = one.group.settings.get("widths")
    return int(widths[-1]) if isinstance(widths, list | tuple) and widths else 0


def _first_nc1(one: Final, measured: Measured) -> list[float]:
    """NC1 of the first checkpoint of every seed, on the training data."""
    found = []
    for run in one.group.runs:
        entry = data_of(run, "train")
        dynamics = None if entry is None else measured(run, entry.id)
        if dynamics is not None and np.isfinite(dynamics.collapse["nc1"][0]):
            found.append(float(dynamics.collapse["nc1"][0]))
    return found


def _labels(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    random = [f for f in finals if random_share(f) == 100 and not _pixels(f)]
    random = [f for f in random if f.mean("accuracy") is not None]
    if not random:
        return "not measured", "No run here was trained on random labels alone."
    fitted = [f for f in random if (f.mean("accuracy") or 0) >= FITTED]
    said = []
    if len(fitted) == len(random):
        who = "The network fits" if len(random) == 1 else f"{_all(len(random))} networks fit"
        said.append(f"**{who} labels that are all random**")
    else:
        least = min((_width(f) for f in fitted), default=0)
        said.append(
            f"**{len(fitted)} of {len(random)} networks fit labels that are all random**"
            + (f", from width {least:,} on" if least else "")
        )
    tests = [v for f in fitted or random if (v := f.mean("accuracy", "test")) is not None]
    if tests:
        span = " to ".join(dict.fromkeys(number(v, 1) for v in (min(tests), max(tests))))
        said.append(f"; their test accuracy is {span} %.")
    else:
        said.append(".")
    ends = [(v, f) for f in random if (v := f.mean("nc1")) is not None]
    true = [
        v
        for f in finals
        if not random_share(f) and not _pixels(f) and (v := f.mean("nc1")) is not None
    ]
    threshold = QUANTITIES["nc1"].threshold or 0.0
    collapsing = [f for v, f in ends if v < threshold]
    if ends:
        by_width = ", ".join(
            f"{significant(v, 2)} at width {_width(f):,}"
            for v, f in sorted(ends, key=lambda end: _width(end[1]))
        )
        starts = [v for _, f in ends for v in _first_nc1(f, measured)]
        said.append(
            f" Their training features have NC1 {by_width}"
            + (f", from {significant(float(np.mean(starts)), 2)} untrained" if starts else "")
            + (f" (true labels: {significant(min(true), 2)})" if true else "")
            + f": {len(collapsing)} of {len(ends)} are below {number(threshold, 2)}."
        )
    noise = [f for f in finals if _pixels(f) and f.mean("accuracy") is not None]
    for f in noise:
        nc1 = f.mean("nc1")
        said.append(
            f" On random pixels ({_title(f)}) the training accuracy is "
            f"{number(f.mean('accuracy'), 1)} %"
            + (f" and NC1 {significant(nc1, 2)}." if nc1 is not None else ".")
        )
    whole = len(fitted) == len(random) and len(collapsing) == len(ends) and bool(ends)
    part = bool(fitted or collapsing)
    return "shown here" if whole else "shown in part" if part else "not shown here", "".join(said)


# --- against a reference -----------------------------------------------------------------------


def _against(
    reference: Final,
    others: Sequence[Final],
    key: str,
    split: Split = "test",
    results: bool = False,
) -> list[tuple[Final, float, bool | None]]:
    """Every other group's mean minus the reference's, and whether that is clear."""
    base = _values(reference, key, split, results)
    found = []
    for one in others:
        values = _values(one, key, split, results)
        pair = largest_difference([reference, one], key, split, results)
        if len(values) and len(base) and pair is not None:
            found.append((one, float(values.mean() - base.mean()), pair.clear))
    return found


def _signed(value: float, decimals: int = 1) -> str:
    text = number(value, decimals)
    return text if text.startswith("\u2212") or value == 0 else f"+{text}"


def _listed(found: Sequence[tuple[Final, float, bool | None]]) -> str:
    notes = {True: "", False: ", within the seeds", None: ", one seed"}
    return "; ".join(f"{_title(f)} {_signed(v)} points{notes[clear]}" for f, v, clear in found)


def _classifiers(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    learned = [f for f in finals if _classifier(f) == "learned"]
    if not learned:
        return "not measured", "No run here has a learned classifier to compare with."
    reference = max(learned, key=_width)
    others = [f for f in finals if f is not reference]
    found = _against(reference, others, "accuracy")
    if not found:
        return "not measured", "Test accuracies are not known."
    worse = [f for f, v, clear in found if v < 0 and clear]
    base = number(reference.mean("accuracy", "test"), 1)
    text = (
        f"**Against the learned classifier ({_title(reference)}, {base} % on the test data)**: "
        f"{_listed(found)}. "
    )
    collapse = collapsed(finals, "classifiers")[1]
    verdict: Verdict = "shown here" if not worse else "shown in part"
    if len(worse) == len(found):
        verdict = "not shown here"
    end = (
        "No economy costs accuracy beyond the seeds."
        if not worse
        else "It costs accuracy with " + " and ".join(_title(f) for f in worse) + "."
    )
    if all(clear is None for _, _, clear in found):
        verdict, end = "cannot be told", ONE_SEED
    return verdict, f"{text}{end} {collapse}"


def _classifier(one: Final) -> str:
    return str(one.group.settings.get("classifier", "learned"))


def _fine_tuning(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    tuned = [f for f in finals if f.group.settings.get("start")]
    plainly = [
        f for f in tuned if _classifier(f) == "learned" and not f.group.settings.get("probe_epochs")
    ]
    if not plainly:
        return "not measured", "No run here was fine-tuned with a linear classifier alone."
    reference, others = plainly[0], [f for f in tuned if f not in plainly[:1]]
    inside = _against(reference, others, "accuracy")
    outside = _against(reference, others, "shifted_accuracy", results=True)
    if not outside:
        return "not measured", "Accuracies on shifted images are not known."
    base = [
        number(reference.mean("accuracy", "test"), 1),
        number(float(_values(reference, "shifted_accuracy", "test", True).mean()), 1),
    ]
    text = (
        f"**{_started(reference)} is right on {base[1]} % of the shifted images** ({base[0]} % of "
        f"the unshifted ones). Against it on shifted images: {_by_seed(reference, outside)}"
        + (f"; on unshifted ones: {_listed(inside)}." if inside else ".")
    )
    better = [f for f, v, clear in outside if v > 0 and clear]
    verdict: Verdict = "not shown here"
    if all(clear is None for _, _, clear in outside):
        return "cannot be told", f"{text} {ONE_SEED}"
    if better:
        verdict = "shown here" if len(better) == len(outside) else "shown in part"
    else:
        text += " No improvement out of distribution beyond three standard errors over the seeds"
        wins = [_wins(reference, f) for f, _, _ in outside]
        if all(0 < won == tried for won, tried in wins):
            verdict = "shown in part"
            text += ", though with every seed it is there"
        text += "."
    return verdict, text


def _wins(reference: Final, one: Final) -> tuple[int, int]:
    """With how many of the seeds that both have the accuracy on shifted images is higher."""
    key = "shifted_accuracy"
    base = {r.seed: r.results[key] for r in reference.group.runs if key in r.results}
    pairs = [
        (r.results[key], base[r.seed])
        for r in one.group.runs
        if key in r.results and r.seed in base
    ]
    return sum(a > b for a, b in pairs), len(pairs)


def _by_seed(reference: Final, found: Sequence[tuple[Final, float, bool | None]]) -> str:
    parts = []
    for one in found:
        won, tried = _wins(reference, one[0])
        seeds = f" (higher with {won} of {tried} seeds)" if tried > 1 else ""
        parts.append(f"{_listed([one])}{seeds}")
    return "; ".join(parts)


def _regularisation(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    whole = [f for f in finals if _decay(f) and _batch_norm(f)]
    if not whole:
        return "not measured", "No run here has both weight decay and batch norm."
    reference = min(whole, key=lambda f: f.mean("nc1") or np.inf)
    parts, helped, known = [], 0, 0
    for one in finals:
        if one is reference:
            continue
        said = []
        for key in ("nc1", "cosine_std"):
            a, b = reference.mean(key), one.mean(key)
            if a is None or b is None:
                continue
            known += 1
            helped += b > 1.1 * a
            said.append(f"{QUANTITIES[key].title} {significant(b, 2)}")
        if said:
            parts.append(f"{_title(one)}: {', '.join(said)}")
    if not known:
        return "not measured", "No collapse metric of these runs was measured."
    base = ", ".join(
        f"{QUANTITIES[k].title} {significant(reference.mean(k), 2)}" for k in ("nc1", "cosine_std")
    )
    text = (
        f"**With weight decay and batch norm the training features end at {base}**; "
        f"{'; '.join(parts)}. {test_accuracies(finals)[0]}"
    )
    if helped == known:
        return "shown here", text
    return ("shown in part" if helped else "not shown here"), text


def _decay(one: Final) -> bool:
    value: Any = one.group.settings.get("weight_decay", 0)
    return float(value) > 0


def _batch_norm(one: Final) -> bool:
    return bool(one.group.settings.get("batch_norm", True))


# --- imbalance ---------------------------------------------------------------------------------


def imbalance_ratio(one: Final) -> int:
    """How many times fewer images the minority classes have; 1 for balanced data."""
    _, at, wanted = str(one.group.settings.get("train_data", "")).rpartition("@imbalanced-")
    return int(wanted) if at and wanted.isdigit() else 1


def minority_cosine(dynamics: Dynamics) -> float | None:
    """Mean cosine between the classifier rows of the second half of the classes, at the last
    epoch. None where it is undefined."""
    rows = np.asarray(dynamics.classifier_coordinates[-1], dtype=np.float64)  # (K, r)
    rows = rows[len(rows) // 2 :]
    norms = np.linalg.norm(rows, axis=1)
    if len(rows) < 2 or not np.isfinite(norms).all() or not (norms > 0).all():
        return None
    cosines = (rows / norms[:, None]) @ (rows / norms[:, None]).T
    return float(cosines[np.triu_indices(len(rows), 1)].mean())


def _imbalance(finals: Sequence[Final], measured: Measured) -> tuple[Verdict, str]:
    points = []
    for one in sorted(finals, key=imbalance_ratio):
        values = []
        for run in one.group.runs:
            entry = data_of(run, "train")
            dynamics = None if entry is None else measured(run, entry.id)
            cosine = None if dynamics is None else minority_cosine(dynamics)
            values += [] if cosine is None else [cosine]
        if values:
            points.append((imbalance_ratio(one), float(np.mean(values)), one))
    if len({ratio for ratio, _, _ in points}) < 2:
        return "not measured", "The classifiers of two ratios of imbalance are needed."
    series = ", ".join(
        f"{number(c, 2)} at 1/{ratio}" if ratio > 1 else f"{number(c, 2)} balanced"
        for ratio, c, _ in points
    )
    first, last = points[0][1], points[-1][1]
    rising = all(b[1] >= a[1] - 0.02 for a, b in pairwise(points))
    text = (
        "**The classifiers of the minority classes "
        + ("move together" if last > first + 0.05 else "do not move together")
        + f" as these get fewer images**: their mean cosine is {series} (1: they are the same). "
        f"{test_accuracies(finals)[0]}"
    )
    if last <= first + 0.05:
        return "not shown here", text
    return ("shown here" if rising and last > 0.9 else "shown in part"), text


RULES: dict[str, _Rule] = {
    "optimisers": _Rule(
        "Neural collapse does not depend on the algorithm: SGD, Adam and L-BFGS all reach it.",
        "Zhu et al., NeurIPS 2021, A geometric analysis of neural collapse with unconstrained "
        "features",
        _optimisers,
    ),
    "losses": _Rule(
        "Cross-entropy, focal loss, label smoothing and MSE all lead to neural collapse, and in a "
        "network large enough and trained long enough to the same test accuracy.",
        "Zhou et al., NeurIPS 2022, Are all losses created equal: a neural collapse perspective",
        _losses,
    ),
    "labels": _Rule(
        "Networks that are wide enough fit labels, and images, that are random, and their features "
        "collapse even then: collapse tells of optimisation, not of generalisation.",
        "Zhang et al., ICLR 2017, Understanding deep learning requires rethinking generalization; "
        "Zhu et al., NeurIPS 2021 (collapse on random labels)",
        _labels,
    ),
    "classifiers": _Rule(
        "A classifier fixed to a simplex ETF, features of only d = K dimensions, and class means "
        "in the place of a classifier cost no accuracy.",
        "Zhu et al., NeurIPS 2021 (fixed ETF, d = K); Jiang et al. 2023, Generalized neural "
        "collapse for a large number of classes (class-mean features)",
        _classifiers,
    ),
    "fine-tuning": _Rule(
        "Fine-tuning with class-mean features, or a linear probe before fine-tuning, is better out "
        "of distribution than fine-tuning with a linear classifier.",
        "Jiang et al. 2023 (class-mean features); Kumar et al., ICLR 2022, Fine-tuning can distort "
        "pretrained features and underperform out-of-distribution",
        _fine_tuning,
    ),
    "regularisation": _Rule(
        "Weight decay and batch norm bring the features closer to collapse.",
        "Zhu et al., NeurIPS 2021; Rangamani and Banburski-Fahey, ICASSP 2022, Neural collapse in "
        "deep homogeneous classifiers and the role of weight decay; Pan and Cao 2023, Towards "
        "understanding neural collapse: the effects of batch normalization and weight decay",
        _regularisation,
    ),
    "imbalance": _Rule(
        "With classes of very different sizes the classifiers of the small ones move together and "
        "in the end become the same: minority collapse.",
        "Fang et al., PNAS 2021, Exploring deep neural networks via layer-peeled model: minority "
        "collapse in imbalanced training; balanced case: Papyan, Han and Donoho, PNAS 2020",
        _imbalance,
    ),
}

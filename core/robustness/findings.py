"""What the tables of robustness say, in a few sentences made of the measured numbers by rules, and
whether that is what the papers claim. Needs numpy alone. Sentences are Markdown.

A difference of two means over seeds counts where it is beyond the 95 % limit of Student's t
(``summary.difference``); anything below it is called no difference that these seeds can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.comparison.findings import Finding, Verdict
from core.data.corruptions import FAMILIES
from core.figures.theme import number, significant
from core.robustness import summary
from core.robustness.results import AttackTable, CorruptionTable
from core.robustness.summary import MEAN, Difference, Setting, Side, Spread
from core.text import plain

KNOBS = {"lam": "λ", "top_k": "k"}
NORM_NAMES = {"linf": "L∞", "l2": "L2"}

SDNET = (
    "A layer of convolutional sparse coding costs no accuracy on clean images, and with a λ that "
    "grows with the noise the network stands corruptions better than the plain one."
)
SDNET_PAPER = (
    "Dai et al., NeurIPS 2022, Revisiting sparse convolutional model for visual recognition; "
    "Zhu, ICASSP 2023 short course, lecture 5"
)
ATTACKED = (
    "The network with sparse coding is more robust to adversarial perturbations, the more so with "
    "a larger λ at test time."
)
ATTACKED_PAPER = (
    f"{SDNET_PAPER}; how to read such numbers: Madry et al., ICLR 2018; Athalye, Carlini and "
    "Wagner, ICML 2018, Obfuscated gradients give a false sense of security"
)
TOP_K = (
    "Keeping only the k largest hidden activations makes a transformer less sensitive to wrong "
    "training labels and to corrupted images."
)
TOP_K_PAPER = "Li et al., ICLR 2023, The lazy neuron phenomenon"
CALIBRATED = "Modern networks claim more confidence than they are right."
CALIBRATED_PAPER = "Guo et al., ICML 2017, On calibration of modern neural networks"
TOP_K_CALIBRATED = "A transformer with top-k activations has better calibrated confidences."

MASKED_POINTS = 5.0
"""PGD overstates robustness where this many points more fall to some other attack."""
ALIKE_POINTS = 0.05  # means closer than this are the same number in a table


@dataclass(frozen=True, slots=True)
class Level:
    """Two networks at one severity, radius or share of noise, in percent."""

    name: str
    first: Spread
    second: Spread
    difference: Difference


def levels(
    first: Spread, second: Spread, names: Sequence[str], paired: bool = False
) -> tuple[Level, ...]:
    """First against second at every entry of (n, S), named in the same order."""
    pairs = [(first.at(i), second.at(i)) for i in range(len(names))]
    return tuple(
        Level(name, a, b, summary.difference(a, b, paired))
        for name, (a, b) in zip(names, pairs, strict=True)
    )


# --- corruptions -------------------------------------------------------------------------------


def corruption_finding(one: Side, sparse: Side, family: str = MEAN) -> Finding | None:
    """The plain network against the one with sparse coding, at the λ of training and adaptive.
    None where a side was not measured."""
    if not one.corruptions or not sparse.corruptions:
        return None
    severities = sparse.corruptions[0].severities
    base = summary.accuracy(one.corruptions, family)
    fixed = summary.accuracy(sparse.corruptions, family)
    adaptive = summary.adaptive_accuracy(sparse.corruptions, family)
    names = [f"severity {s}" if s else "clean" for s in severities]
    by_fixed = levels(base, fixed, names)
    trained = f"{plain(sparse.title)} as trained"
    lead = _against(by_fixed[1:], plain(one.title), trained)
    decisive, said = by_fixed, []
    if adaptive is not None:
        decisive = levels(base, adaptive, names)
        adapted = f"{plain(sparse.title)} with adaptive λ"
        said.append(lead)
        lead = _against(decisive[1:], plain(one.title), adapted)
        change = levels(fixed, adaptive, names, paired=fixed.seeds == adaptive.seeds)
        said.append(_adapting(change))
    said.append(_clean(by_fixed[0], plain(one.title), plain(sparse.title)))
    text = _listing(f"Under {_noise(family)}, {_inside(lead)}", said)
    return Finding(_verdict(by_fixed[0], decisive[1:]), text, SDNET, SDNET_PAPER)


def _listing(lead: str, said: Sequence[str]) -> str:
    """One sentence, and the rest as points below it."""
    return "\n".join([lead, "", *(f"- {text}" for text in said if text)]).rstrip()


def _inside(sentence: str) -> str:
    """A sentence of ``_against`` after a comma."""
    return sentence[:1].lower() + sentence[1:] if sentence.startswith("Compared") else sentence


def _noise(family: str) -> str:
    if family == MEAN:
        return "noise (mean of the families)"
    title = FAMILIES[family].title if family in FAMILIES else family
    proper = title.startswith(("Gaussian", "JPEG"))
    return plain(title if proper else title[:1].lower() + title[1:])


def _clean(level: Level, one: str, other: str) -> str:
    both = f"({_share(level.first)} and {_share(level.second)})"
    if level.difference.clear is None:
        return f"On clean images {one} and {other} are right on {_pair(level)}."
    if not level.difference.clear:
        return (
            f"On clean images {one} and {other} show **no difference that "
            f"{_seeds(level)} can show** {both}."
        )
    more = "more" if level.difference.value > 0 else "less"
    return (
        f"On clean images {other} is **{_points(level.difference.value)} {more} accurate** than "
        f"{one} {both}."
    )


def _against(found: Sequence[Level], one: str, other: str, noun: str = "accurate") -> str:
    """Where the second is clearly better or worse than the first, and by how much."""
    better = [x for x in found if x.difference.clear and x.difference.value > 0]
    worse = [x for x in found if x.difference.clear and x.difference.value < 0]
    largest = max(found, key=lambda x: abs(x.difference.value))
    if all(x.difference.clear is None for x in found):
        return (
            f"{other} differs most from {one} at {largest.name} ({_pair(largest)}); with a single "
            "seed on a side, chance cannot be told from that."
        )
    parts = []
    for group, word in ((better, "more"), (worse, "less")):
        if group:
            most = max(group, key=lambda x: abs(x.difference.value))
            many = len(group) > 1
            where = f" at {_spans([x.name for x in group])}" if len(found) > 1 else ""
            parts.append(
                f"**{word} {noun}{where}**, by {'up to ' * many}{_points(most.difference.value)} "
                f"({f'{most.name}: ' * many}{_share(most.second)} against {_share(most.first)})"
            )
    if not parts:
        return (
            f"{other} and {one} show **no difference that {_seeds(largest)} can show** (largest: "
            f"{_signed(largest.difference)} points at {largest.name})."
        )
    lead = f"{other} is {' and '.join(parts)}"
    rest = len(found) - len(better) - len(worse)
    end = "; elsewhere these seeds show no difference" if rest else ""
    return f"Compared with {one}, {lead}{end}."


def _adapting(change: Sequence[Level]) -> str:
    """Adaptive against fixed λ, the same networks."""
    better = [x for x in change[1:] if x.difference.clear and x.difference.value > 0]
    worse = [x for x in change if x.difference.clear and x.difference.value < 0]
    largest = max(change[1:], key=lambda x: abs(x.difference.value))
    if largest.difference.clear is None:
        return (
            "Choosing λ by the reconstruction error changes the accuracy most at "
            f"{largest.name}, by {_signed(largest.difference)} points, with one seed."
        )
    if not better and not worse:
        return (
            "Choosing λ by the reconstruction error makes no difference to the fixed λ that these "
            f"seeds can show (largest: {_signed(largest.difference)} points at {largest.name})."
        )
    parts = []
    for group, verb in ((better, "gains"), (worse, "loses")):
        if group:
            most = max(group, key=lambda x: abs(x.difference.value))
            up_to = "up to " if len(group) > 1 else ""
            parts.append(
                f"{verb} {up_to}{_points(most.difference.value)} at "
                f"{_spans([x.name for x in group])}"
            )
    return f"Against the fixed λ, choosing it by the reconstruction error {' and '.join(parts)}."


def _verdict(clean: Level, found: Sequence[Level]) -> Verdict:
    known = [x for x in (clean, *found) if x.difference.clear is not None]
    if not known:
        return "cannot be told"
    better = [x for x in found if x.difference.clear and x.difference.value > 0]
    worse = [x for x in (clean, *found) if x.difference.clear and x.difference.value < 0]
    if not better:
        return "not shown here"
    return "shown here" if not worse and 2 * len(better) > len(found) else "shown in part"


def best_setting_in_words(sparse: Side, family: str = MEAN) -> str:
    """Whether the best λ (or k) rises with the severity, and what the fit chose."""
    tables = sparse.corruptions
    knob = KNOBS.get(sparse.knob, "")
    if not tables or not knob or len(tables[0].values) < 2:
        return ""
    best = summary.best_settings(tables, family)
    severities = tables[0].severities
    first, last = significant(float(best[0]), 2), significant(float(best[-1]), 2)
    steps = np.diff(best)
    if best[-1] != best[0]:
        moves = "rises" if best[-1] > best[0] else "falls"
        back = (steps < 0).any() if moves == "rises" else (steps > 0).any()
        text = (
            f"**The best {knob} {moves} with the noise**, from {first} on clean images to {last} "
            f"at severity {severities[-1]}{', not at every step' * bool(back)}"
        )
    elif np.ptp(best) == 0:
        text = f"**The best {knob} is {first} at every severity**: noise does not change it"
    else:
        text = (
            f"**The best {knob} does not follow the noise**: it is {first} on clean images and at "
            f"severity {severities[-1]}, and another one between"
        )
    gain = summary.by_setting(tables, family)
    at = summary.setting_index(tables[0], None)
    place = int(np.abs(np.asarray(tables[0].values) - best[-1]).argmin())
    end = levels(
        Spread(gain.values[:, -1:, at]), Spread(gain.values[:, -1:, place]), ["end"], paired=True
    )[0]
    if place != at:
        text += (
            f"; there it is worth {_signed(end.difference)} points over the {knob} of training, "
            "chosen in hindsight on the same test images"
        )
    return text + "."


def fit_in_words(tables: Sequence[CorruptionTable]) -> str:
    """The linear fits of λ on the reconstruction error, over the seeds."""
    fits = [t.adaptive for t in tables if t.adaptive is not None]
    if not fits:
        return ""
    slopes = [f.slope for f in fits]
    r2 = [f.r2 for f in fits if f.r2 is not None]
    images = fits[0].images
    text = (
        f"The line from error to λ, fitted on {images:,} images apart from the test images: slope "
        f"{_range(slopes)} per unit of error"
    )
    if r2:
        low, high = f"{min(r2):.2f}", f"{max(r2):.2f}"
        text += f", r² {low if low == high else f'{low} to {high}'}"
        if max(r2) < 0.5:
            text += ": **the error says little of which λ is best here**"
    else:
        text += "; all points have the same best λ, so that there is no r²"
    return text + "."


def _range(values: Sequence[float]) -> str:
    low, high = significant(min(values), 2), significant(max(values), 2)
    return low if low == high else f"{low} to {high}"


# --- attacks -----------------------------------------------------------------------------------


def radius_name(norm: str, radius: float) -> str:
    """ "8/255" for L∞, "0.5" for L2."""
    if norm == "linf":
        steps = 255 * radius
        return f"{steps:.0f}/255" if abs(steps - round(steps)) < 0.01 else f"{steps:.1f}/255"
    return f"{radius:g}"


def attack_finding(one: Side, sparse: Side, norm: str) -> Finding | None:
    """What survives every attack at the largest radius; None where a side was not attacked."""
    first, second = one.attacks.get(norm, ()), sparse.attacks.get(norm, ())
    if not first or not second:
        return None
    table = second[0]
    radius = radius_name(norm, float(table.radii[-1]))
    settings: tuple[Setting, ...] = ("trained", "trained", "tuned")
    names = [plain(one.title), plain(sparse.title), f"{plain(sparse.title)} with tuned λ"]
    networks = list(zip(names, (first, second, second), settings, strict=True))
    white = {n: summary.attacked(t, "white", s) for n, t, s in networks}
    worst = {n: summary.attacked(t, "worst", s) for n, t, s in networks}
    lead = (
        f"**What survives every attack** ({NORM_NAMES[norm]}, {radius}): "
        + ", ".join(f"{n} {_share(v.at(-1))}" for n, v in worst.items() if v is not None)
        + "."
    )
    said = []
    base, found = worst[names[0]], []
    for name in names[1:]:
        spread = worst[name]
        if spread is None or base is None:
            continue
        level = levels(base, spread, [radius_name(norm, float(r)) for r in table.radii])[-1]
        found.append(level)
        said.append(_against([level], names[0], name, "robust"))
    for name in names:
        said.append(_masked(name, white[name], worst[name]))
    tables = [*first, *second]
    chance = 100 / _classes(one, sparse)
    highest = max(float(v.mean[-1]) for v in worst.values() if v is not None)
    weak = highest < chance
    if weak:
        said.append(
            f"All of them are below the {number(chance, 0)} % of guessing: **none is robust to "
            "this attack**, whatever the differences."
        )
    verdict: Verdict = "not shown here"
    if all(x.difference.clear is None for x in found):
        verdict = "cannot be told"
    elif any(x.difference.clear and x.difference.value > 0 for x in found):
        verdict = "shown in part"
        if not weak and not any(t.warnings for t in tables):
            verdict = "shown here"
    return Finding(verdict, _listing(lead, said), ATTACKED, ATTACKED_PAPER)


def _classes(*sides: Side) -> int:
    """Classes of the data: attack tables do not know them, those of corruptions do."""
    return next((t.classes for side in sides for t in side.corruptions), 10)


def _masked(name: str, white: Spread | None, worst: Spread | None) -> str:
    """Where PGD alone overstates what survives."""
    if white is None or worst is None:
        return ""
    gap = float(white.mean[-1] - worst.mean[-1])
    if gap < MASKED_POINTS:
        return ""
    return (
        f"PGD alone overstates {name}: {_share(white.at(-1))} survive it, {_points(gap)} more than "
        "survive all attacks, a sign of masked gradients."
    )


# --- top-k -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """Plain and sparse network at one share of random labels, on one kind of images."""

    noise: int
    family: str  # "" for clean images
    plain: Spread
    sparse: Spread
    difference: Difference


def top_k_cells(plains: Sequence[Side], sparses: Sequence[Side], severity: int) -> tuple[Cell, ...]:
    """Every share of label noise × clean and every family at that severity; pairs in order."""
    cells = []
    for one, sparse in zip(plains, sparses, strict=True):
        if not one.corruptions or not sparse.corruptions:
            continue
        table = sparse.corruptions[0]
        for family in ("", *table.families):
            at = table.severities.index(severity if family else 0)
            a, b = (
                summary.accuracy(side.corruptions, family or table.families[0]).at(at)
                for side in (one, sparse)
            )
            cells.append(Cell(one.noise, family, a, b, summary.difference(a, b)))
    return tuple(cells)


def top_k_finding(plains: Sequence[Side], sparses: Sequence[Side], severity: int) -> Finding | None:
    """Plain against top-k, over label noise and corruptions; None where nothing was measured."""
    cells = top_k_cells(plains, sparses, severity)
    if not cells:
        return None
    names = plain(plains[0].title), plain(sparses[0].title)
    started = names[1][:1].upper() + names[1][1:]
    better = [c for c in cells if c.difference.clear and c.difference.value > 0]
    worse = [c for c in cells if c.difference.clear and c.difference.value < 0]
    seeds = min(min(c.plain.seeds, c.sparse.seeds) for c in cells)
    if all(c.difference.clear is None for c in cells):
        largest = max(cells, key=lambda c: abs(c.difference.value))
        text = (
            f"{started} differs most from {names[0]} for {_cell(largest)} "
            f"({_signed(largest.difference)} points); with a single seed on a side, chance "
            "cannot be told from that."
        )
        return Finding("cannot be told", text, TOP_K, TOP_K_PAPER)
    parts = []
    for group, word in ((better, "more"), (worse, "less")):
        if group:
            most = max(group, key=lambda c: abs(c.difference.value))
            parts.append(
                f"**{word} accurate in {len(group)} of {len(cells)} cells**, "
                f"{'most for ' if len(group) > 1 else ''}"
                f"{_cell(most)} ({_share(most.sparse)} against {_share(most.plain)})"
            )
    if parts:
        rest = len(cells) - len(better) - len(worse)
        text = f"Compared with {names[0]}, {names[1]} is {', and '.join(parts)}"
        text += f"; in the other {rest} these {seeds} seeds show no difference." if rest else "."
    else:
        largest = max(cells, key=lambda c: abs(c.difference.value))
        text = (
            f"{started} and {names[0]} show **no difference that {seeds} seeds can show** in any "
            f"of {len(cells)} cells (largest: {_signed(largest.difference)} points, "
            f"{_cell(largest)})."
        )
    text = _listing(text, (_of_labels(cells), _of_noise(cells)))
    harder = [c for c in better if c.noise or c.family]
    verdict: Verdict = "not shown here"
    if harder:
        verdict = "shown here" if not worse and 2 * len(better) > len(cells) else "shown in part"
    return Finding(verdict, text, TOP_K, TOP_K_PAPER)


def _cell(cell: Cell) -> str:
    images = _noise(cell.family) if cell.family else "clean images"
    return f"{images} after {cell.noise} % random labels" if cell.noise else f"{images}"


def _of_labels(cells: Sequence[Cell]) -> str:
    """Mean difference on clean images, over shares of noise above 0."""
    found = [c for c in cells if c.noise and not c.family]
    if not found:
        return ""
    listed = ", ".join(f"{_signed(c.difference)} at {c.noise} %" for c in found)
    return f"On clean images after training with random labels, in points: {listed}."


def _of_noise(cells: Sequence[Cell]) -> str:
    found = [c for c in cells if not c.noise and c.family]
    if not found:
        return ""
    listed = ", ".join(f"{_signed(c.difference)} under {_noise(c.family)}" for c in found)
    return f"With true labels on corrupted images: {listed}."


# --- calibration -------------------------------------------------------------------------------


def calibration_finding(
    one: Side, sparse: Side, family: str, severity: int, top_k: bool = False
) -> Finding | None:
    """Calibration errors of both, clean and at that severity; lower is better."""
    if not one.corruptions or not sparse.corruptions:
        return None
    severities = sparse.corruptions[0].severities
    a = summary.calibration(one.corruptions, family)
    b = summary.calibration(sparse.corruptions, family)
    names = [f"severity {s}" if s else "clean images" for s in severities]
    wanted = dict.fromkeys((0, severities.index(severity)))
    found = [levels(a, b, names)[i] for i in wanted]
    said = []
    for level in found:
        where = "On clean images" if level.name == "clean images" else f"At {level.name}"
        pair = f"{_share(level.first)} for {plain(one.title)}, {_share(level.second)} for "
        said.append(f"{where} the expected calibration error is {pair}{plain(sparse.title)}")
        clear = level.difference.clear
        if clear:
            better = sparse if level.difference.value < 0 else one
            said[-1] += f": **{plain(better.title)} is better calibrated**."
        elif clear is None:
            said[-1] += "; with a single seed on a side, chance cannot be told from that."
        else:
            said[-1] += f": no difference that {_seeds(level)} can show."
    claims = []
    for side in (one, sparse):
        pooled = summary.pooled(side.corruptions, family, severity)
        over = 100 * summary.overconfidence(pooled)
        word = "too much" if over > 0 else "too little"
        claims.append(f"{plain(side.title)} {_points(over)} {word}")
    where = f"At severity {severity}" if severity else "On clean images"
    said.append(f"{where} confidence claims, on average: {', '.join(claims)}.")
    verdict: Verdict
    if top_k:
        signs = [x.difference.value < 0 for x in found if x.difference.clear]
        unknown = all(x.difference.clear is None for x in found)
        verdict = "cannot be told" if unknown else "not shown here"
        if any(signs):
            verdict = "shown here" if all(signs) and len(signs) == len(found) else "shown in part"
        return Finding(verdict, _listing(said[0], said[1:]), TOP_K_CALIBRATED, TOP_K_PAPER)
    too_sure = [
        summary.overconfidence(summary.pooled(side.corruptions, family, s)) > 0
        for side in (one, sparse)
        for s in dict.fromkeys((0, severity))
    ]
    verdict = "shown in part" if any(too_sure) else "not shown here"
    if all(too_sure):
        verdict = "shown here"
    return Finding(verdict, _listing(said[0], said[1:]), CALIBRATED, CALIBRATED_PAPER)


# --- one network -------------------------------------------------------------------------------


def wilson(share: float, images: int) -> tuple[float, float]:
    """95 % interval of a share of ``images`` (Wilson 1927), in percent."""
    z = 1.959964
    centre = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    return 100 * float(centre - half), 100 * float(centre + half)


def one_network_in_words(table: CorruptionTable) -> str:
    """Accuracy clean and under the most harmful family at the highest severity."""
    at = summary.setting_index(table, None)
    correct = np.asarray(table.correct, np.float64)[:, :, at]  # (F, S)
    clean = float(correct[0, table.severities.index(0)]) if 0 in table.severities else None
    worst = int(correct[:, -1].argmin())
    low, high = wilson(float(correct[worst, -1]), table.images)
    text = "" if clean is None else f"Right on {number(100 * clean, 1)} % of the clean images. "
    text += (
        f"Most harmful is **{_noise(table.families[worst])}**: at severity {table.severities[-1]} "
        f"{number(100 * float(correct[worst, -1]), 1)} % are left (95 %: {number(low, 1)} to "
        f"{number(high, 1)} %, from {table.images:,} images)"
    )
    least = int(correct[:, -1].argmax())
    if correct[least, -1] > correct[worst, -1]:
        text += (
            f", least harmful {_noise(table.families[least])} "
            f"({number(100 * float(correct[least, -1]), 1)} %)"
        )
    return text + "."


def one_attack_in_words(table: AttackTable, classes: int) -> str:
    """What of one network survives at the largest radius, attack by attack."""
    at = summary.setting_index(table, None)
    radius = radius_name(table.norm, float(table.radii[-1]))

    def share(name: str) -> str:
        return number(100 * float(np.asarray(getattr(table, name))[-1, at]), 1, " %")

    clean = number(100 * float(np.asarray(table.white)[0, at]), 1, " %")
    parts = [
        f"PGD with {table.steps} steps leaves {share('white')}",
        f"with {table.more_steps} steps {share('longer')}",
    ]
    if table.transfer is not None:
        parts.append(f"images made against {plain(table.source)} leave {share('transfer')}")
    parts.append(f"random perturbations of the same size {share('noise')}")
    worst = 100 * float(np.asarray(table.worst)[-1, at])
    low, high = wilson(worst / 100, table.images)
    text = (
        f"Of {clean} right without attack, in {NORM_NAMES[table.norm]} up to {radius}: "
        f"{', '.join(parts)}. **{number(worst, 1)} % survive every attack** (95 %: "
        f"{number(low, 1)} to {number(high, 1)} %, from {table.images:,} images)"
    )
    if classes and worst < 100 / classes:
        text += f": less than the {number(100 / classes, 1)} % of guessing"
    return text + "."


# --- words -------------------------------------------------------------------------------------


def _share(spread: Spread) -> str:
    """ "41.2 ± 0.8 %": mean and standard error."""
    mean, error = float(spread.mean), float(spread.error)
    more = "" if np.isnan(error) else f" ± {number(error, 1)}"
    return f"{number(mean, 1)}{more} %".replace(" ", "\u00a0")


def _pair(level: Level) -> str:
    return f"{_share(level.first)} and {_share(level.second)}"


def _points(value: float) -> str:
    return f"{number(abs(value), 1)} points"


def _signed(found: Difference) -> str:
    text = number(found.value, 1)
    text = text if text.startswith("\u2212") or abs(found.value) < ALIKE_POINTS else f"+{text}"
    return text if found.error is None else f"{text} ± {number(found.error, 1)}"


def _seeds(level: Level) -> str:
    low, high = sorted((level.first.seeds, level.second.seeds))
    return f"{low} seeds" if low == high else f"{low} and {high} seeds"


def _spans(names: Sequence[str]) -> str:
    """ "severities 1 to 3 and 5" of "severity 1", …; other names are listed."""
    numbers = [n.removeprefix("severity ") for n in names]
    if not all(n.startswith("severity ") for n in names):
        return ", ".join(names)
    values = [int(n) for n in numbers]
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    parts = [str(a) if a == b else f"{a} {'and' if b == a + 1 else 'to'} {b}" for a, b in runs]
    noun = "severity" if len(values) == 1 else "severities"
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{noun} {listed}"

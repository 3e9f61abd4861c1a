"""The table of final values: for people, with best and worst marked, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from core.comparison.groups import (
    QUANTITIES,
    Final,
    Split,
    Stat,
    best_and_worst,
    misses,
)
from core.figures.theme import number, significant

BEST, WORST = "▲", "▽"
COLUMNS: tuple[tuple[str, Split], ...] = (
    ("accuracy", "train"),
    ("accuracy", "test"),
    ("nc1", "train"),
    ("nc2_means", "train"),
    ("nc3", "train"),
    ("nc4", "train"),
    ("cosine_std", "train"),
    ("twonn", "train"),
    ("nonzero_fraction", "train"),
    ("loss", "train"),
    ("loss", "test"),
    ("nc1", "test"),
)
"""What is shown, in this order; collapse is a property of the training features."""


def header(key: str, split: Split) -> str:
    """ "test accuracy (%)", "NC1"; what is not said to be of the test data is of the training
    data, but for accuracy and loss."""
    quantity = QUANTITIES[key]
    unit = " (%)" if quantity.factor == 100 else ""
    said = f"{split} {quantity.title}" if key in ("accuracy", "loss") else quantity.title
    return said + (", test" if split == "test" and said == quantity.title else "") + unit


def rows(finals: Sequence[Final]) -> list[dict[str, str]]:
    """One row a group, cells as text: mean ± standard deviation over the seeds, and a mark at the
    best and the worst mean of a column. Columns that no group has are left out."""
    ends = {column: best_and_worst(finals, *column) for column in COLUMNS}
    shown = [c for c in COLUMNS if any(f.stat(*c) is not None for f in finals)]
    table = []
    for one in finals:
        row = {"run": one.group.title, "seeds": str(len(one.group.runs))}
        for column in shown:
            best, worst = ends[column]
            mark = BEST if one.group.id in best else WORST if one.group.id in worst else ""
            row[header(*column)] = f"{_cell(one.stat(*column), column[0])} {mark}".rstrip()
        row["zero error from"] = _terminal(one)
        row["collapsed"] = verdict(one)
        table.append(row)
    return table


def _cell(stat: Stat | None, key: str) -> str:
    if stat is None:
        return "n/a"
    quantity = QUANTITIES[key]
    if quantity.log:
        return significant(stat.mean, 2) + (
            "" if stat.sd is None else f" ± {significant(stat.sd, 1)}"
        )
    text = number(stat.mean, quantity.decimals)
    return text + ("" if stat.sd is None else f" ± {number(stat.sd, quantity.decimals)}")


def _terminal(one: Final) -> str:
    known = sorted(t for t in one.terminal if t is not None)
    if not known:
        return "n/a" if one.stat("accuracy") is None else "never"
    text = f"{known[0]:,}" if known[0] == known[-1] else f"{known[0]:,}–{known[-1]:,}"
    few = len(known) < len(one.terminal)
    return f"{text} ({len(known)} of {len(one.terminal)} seeds)" if few else text


def verdict(one: Final) -> str:
    """ "yes", "no: NC3", or "n/a"; of the mean over the seeds."""
    missed = misses(one)
    if missed is None:
        return "n/a"
    return "yes" if not missed else f"no: {', '.join(QUANTITIES[k].title for k in missed)}"


def thresholds_in_words() -> str:
    """ "NC1 below 0.02, NC3 below 0.15 and cosine spread below 0.08"."""
    parts = [
        f"{q.title} below {number(q.threshold, 2)}"
        for q in QUANTITIES.values()
        if q.threshold is not None
    ]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def as_csv(finals: Sequence[Final]) -> str:
    """The table with plain numbers: mean, standard deviation and number of seeds of every
    quantity on both splits, and the results stored with the runs. One line a group."""
    splits: tuple[Split, ...] = ("train", "test")
    columns = [(k, s) for k in QUANTITIES for s in splits]
    columns = [c for c in columns if any(f.stat(*c) is not None for f in finals)]
    results = list(dict.fromkeys(k for f in finals for k in f.results))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [f"{split}_{key}" for key, split in columns] + results
    head = ["run", "title", "recipe", "seeds", "epochs", "terminal_epochs", "collapsed"]
    writer.writerow([*head, *(f"{n}{end}" for n in names for end in ("", "_sd", "_seeds"))])
    for one in finals:
        stats = [one.stat(*c) for c in columns] + [one.results.get(k) for k in results]
        scale = [QUANTITIES[k].factor for k, _ in columns] + [1.0] * len(results)
        cells: list[object] = []
        for stat, factor in zip(stats, scale, strict=True):
            cells += ["", "", ""] if stat is None else _numbers(stat, factor)
        starts = "; ".join("" if t is None else str(t) for t in one.terminal)
        first = [one.group.id, one.group.title, one.group.recipe or "", len(one.group.runs)]
        writer.writerow([*map(_safe, first), one.epochs, starts, verdict(one), *cells])
    return buffer.getvalue()


def _numbers(stat: Stat, factor: float) -> list[object]:
    sd = "" if stat.sd is None else f"{stat.sd / factor:.6g}"
    return [f"{stat.mean / factor:.6g}", sd, len(stat.values)]


def _safe(value: object) -> object:
    """A title that a spreadsheet would take for a formula gets a leading apostrophe."""
    text = " ".join(value.split()) if isinstance(value, str) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@")) else text

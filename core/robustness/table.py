"""The tables of the page Robustness as text, and all their numbers as CSV. Needs numpy alone.

Cells are means ± standard errors over seeds, in percent; ▲ and ▽ mark what is clearly better or
worse than the plain network of the same row or column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.corruptions import FAMILIES
from core.figures.theme import number, significant
from core.robustness import summary
from core.robustness.findings import KNOBS, NORM_NAMES, radius_name, top_k_cells
from core.robustness.results import AttackTable
from core.robustness.summary import Difference, Setting, Side, Spread
from core.text import plain

Row = dict[str, str]
NO_BREAK = "\u00a0"


def cell(spread: Spread, against: Difference | None = None) -> str:
    """ "41.2 ± 0.8 ▲" """
    mean, error = float(spread.mean), float(spread.error)
    text = number(mean, 1) if np.isnan(error) else f"{number(mean, 1)} ± {number(error, 1)}"
    if against is not None and against.clear:
        text += " ▲" if against.value > 0 else " ▽"
    return text.replace(" ", NO_BREAK)


def family_title(family: str) -> str:
    """ "Gaussian noise", or "mean of all" """
    if family == summary.MEAN:
        return "mean of all"
    return FAMILIES[family].title if family in FAMILIES else family


def severity_rows(one: Side, sparse: Side, family: str) -> list[Row]:
    """A row a severity: plain, sparse as trained, sparse with adaptive λ."""
    base = summary.accuracy(one.corruptions, family)
    columns = {plain(sparse.title): summary.accuracy(sparse.corruptions, family)}
    adaptive = summary.adaptive_accuracy(sparse.corruptions, family)
    if adaptive is not None:
        columns["adaptive λ"] = adaptive
    rows = []
    for i, severity in enumerate(sparse.corruptions[0].severities):
        first = base.at(i)
        row = {"severity": str(severity) if severity else "clean", plain(one.title): cell(first)}
        for name, spread in columns.items():
            row[name] = cell(spread.at(i), summary.difference(first, spread.at(i)))
        rows.append(row)
    return rows


def setting_rows(sparse: Side, family: str) -> list[Row]:
    """A row a severity, a column a setting; the best mean of a row in bold."""
    table = sparse.corruptions[0]
    spread = summary.by_setting(sparse.corruptions, family)  # (n, S, M)
    best = summary.best_settings(sparse.corruptions, family)
    symbol = KNOBS.get(table.knob, "setting")
    rows = []
    for s, severity in enumerate(table.severities):
        row = {"severity": str(severity) if severity else "clean"}
        for m, value in enumerate(table.values):
            text = cell(spread.at(s, m))
            name = f"{symbol} = {significant(float(value), 2)}"
            row[name] = f"**{text}**" if float(value) == float(best[s]) else text
        rows.append(row)
    return rows


def top_k_rows(plains: Sequence[Side], sparses: Sequence[Side], severity: int) -> list[Row]:
    """A row a network and share of random labels; columns clean and every family."""
    rows: list[Row] = []
    for one, sparse in zip(plains, sparses, strict=True):
        cells = top_k_cells([one], [sparse], severity)
        for side in (one, sparse) if cells else ():
            row = {"random labels": f"{side.noise} %", "network": plain(side.title)}
            for c in cells:
                name = family_title(c.family) if c.family else "clean"
                row[name] = cell(c.plain) if side is one else cell(c.sparse, c.difference)
            rows.append(row)
    return rows


def attack_rows(one: Side, sparse: Side, norms: Sequence[str]) -> list[Row]:
    """A row a norm and network at the largest radius; a column an attack."""
    rows: list[Row] = []
    for norm in norms:
        first, second = one.attacks.get(norm, ()), sparse.attacks.get(norm, ())
        if not first or not second:
            continue
        where = f"{NORM_NAMES[norm]}, {radius_name(norm, float(second[0].radii[-1]))}"
        networks: list[tuple[str, tuple[AttackTable, ...], Setting]] = [
            (plain(one.title), first, "trained"),
            (plain(sparse.title), second, "trained"),
        ]
        if any(t.tuned is not None for t in second):
            networks.append((tuned_title(second), second, "tuned"))
        for title, tables, setting in networks:
            row = {"up to": where, "network": title}
            for heading, (attack, at) in attack_columns(second[0]).items():
                spread = summary.attacked(tables, attack, setting)
                reference = summary.attacked(first, attack)
                against = None
                if spread is not None and reference is not None and tables is not first:
                    against = summary.difference(reference.at(at), spread.at(at))
                row[heading] = "n/a" if spread is None else cell(spread.at(at), against)
            rows.append(row)
    return rows


def attack_columns(table: AttackTable) -> dict[str, tuple[str, int]]:
    """Heading of every column, and which attack at which radius it is."""
    return {
        "no attack": ("white", 0),
        "random": ("noise", -1),
        f"PGD, {table.steps} steps": ("white", -1),
        f"{table.more_steps} steps": ("longer", -1),
        "transferred": ("transfer", -1),
        "survives all": ("worst", -1),
    }


def tuned_title(tables: Sequence[AttackTable]) -> str:
    """ "tuned λ (0.4 to 0.8)": what was chosen on other images, over the seeds."""
    values = sorted(t.tuned for t in tables if t.tuned is not None)
    symbol = KNOBS.get(tables[0].knob, "setting")
    low, high = significant(values[0], 2), significant(values[-1], 2)
    return f"tuned {symbol} ({low if low == high else f'{low} to {high}'})"


def one_attack_rows(table: AttackTable) -> list[Row]:
    """A row a radius of one network as trained, a column an attack; no errors, one network."""
    at = summary.setting_index(table, None)
    rows = []
    for r, radius in enumerate(np.asarray(table.radii, np.float64).tolist()):
        row = {"radius": radius_name(table.norm, radius) if radius else "0"}
        for heading, (attack, _) in attack_columns(table).items():
            shares = getattr(table, attack)
            if heading != "no attack":
                row[heading] = (
                    "n/a" if shares is None else number(100 * float(np.asarray(shares)[r, at]), 1)
                )
        rows.append(row)
    return rows


# --- CSV ---------------------------------------------------------------------------------------

CORRUPTION_COLUMNS = (
    *("network", "run", "random_labels_percent", "data", "images", "family", "severity"),
    *("setting", "value", "accuracy"),
)
ATTACK_COLUMNS = (
    *("network", "run", "random_labels_percent", "data", "images", "norm", "radius"),
    *("setting", "value", "attack", "accuracy"),
)


def corruptions_csv(sides: Sequence[Side]) -> str:
    """A line a network, family, severity and setting; accuracies in [0, 1]."""
    lines: list[tuple[Any, ...]] = []
    for side in sides:
        for run, table in zip(_runs(side, len(side.corruptions)), side.corruptions, strict=True):
            start = (side.title, run, side.noise, table.data, table.images)
            at = summary.setting_index(table, None)
            for f, family in enumerate(table.families):
                for s, severity in enumerate(table.severities):
                    for m, value in enumerate(table.values):
                        kind = "trained" if m == at else "other"
                        share = float(table.correct[f, s, m])
                        lines.append((*start, family, severity, kind, _value(value), share))
                    if table.adaptive is not None:
                        value = table.adaptive.chosen[f, s]
                        share = float(table.adaptive.correct[f, s])
                        lines.append((*start, family, severity, "adaptive", _value(value), share))
    return _csv(CORRUPTION_COLUMNS, lines)


def attacks_csv(sides: Sequence[Side]) -> str:
    """A line a network, norm, radius, setting and attack; accuracies in [0, 1]."""
    lines: list[tuple[Any, ...]] = []
    for side in sides:
        for norm, tables in side.attacks.items():
            for run, table in zip(_runs(side, len(tables)), tables, strict=True):
                start = (side.title, run, side.noise, table.data, table.images, norm)
                lines += [(*start, *line) for line in _attack_lines(table)]
    return _csv(ATTACK_COLUMNS, lines)


def _attack_lines(table: AttackTable) -> list[tuple[Any, ...]]:
    at = summary.setting_index(table, None)
    lines = []
    for m, value in enumerate(table.values):
        kind = "trained" if m == at else "other"
        if table.tuned is not None and abs(float(value) - table.tuned) < 1e-6:
            kind = "trained, tuned" if m == at else "tuned"
        for attack in summary.ATTACKS:
            shares = getattr(table, attack)
            for r, radius in enumerate(table.radii if shares is not None else ()):
                lines.append((float(radius), kind, _value(value), attack, float(shares[r, m])))
    return lines


def _runs(side: Side, count: int) -> Sequence[str]:
    """Ids where every run has a table, else positions."""
    return side.runs if len(side.runs) == count else [str(i) for i in range(count)]


def _value(value: float) -> str:
    return "" if np.isnan(value) else f"{float(value):.6g}"


def _csv(columns: Sequence[str], lines: Sequence[tuple[Any, ...]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else _harmless(v) for v in line])
    return file.getvalue()


def _harmless(value: Any) -> Any:
    """Names from outside, so that no spreadsheet takes them for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value

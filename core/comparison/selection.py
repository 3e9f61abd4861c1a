"""Which runs are compared: a family of recipes in one setting, or any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.checkpoints.runs import Run
from core.comparison.groups import Group, groups_of
from core.training.families import FAMILIES

REFERENCES = {
    "optimisers": "SGD with momentum",
    "labels": "true labels",
    "classifiers": "learned classifier",
    "regularisation": "weight decay and batch norm",
    "imbalance": "balanced",
}
"""What a family's recipe of reference (plain cross-entropy) is called among the others."""

CLASSES = 10  # of the bundled data sets

_REFERENCE_LOSSES = ("digits-ce", "cifar-ce")


def family_runs(family: str, runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs of a family's recipes, in the order of the recipes."""
    order = {name: i for i, name in enumerate(FAMILIES[family].recipes)}
    found = [run for run in runs if run.recipe in order]
    return tuple(sorted(found, key=lambda run: order[str(run.recipe)]))


def families_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """The families of which two or more recipes have runs under one heading."""
    return tuple(name for name in FAMILIES if headings(name, runs))


def headings(family: str, runs: Sequence[Run]) -> tuple[str, ...]:
    """What the family's runs are listed under ("Digits", "CIFAR-10 subset"), where that has two or
    more recipes: networks and data of different headings are not compared."""
    found = family_runs(family, runs)
    names = dict.fromkeys(run.group for run in found)
    return tuple(n for n in names if len({r.recipe for r in found if r.group == n}) > 1)


def family_groups(family: str, heading: str, runs: Sequence[Run]) -> tuple[Group, ...]:
    """The family's runs under one heading, the seeds of a recipe together, by short titles."""
    groups = groups_of(run for run in family_runs(family, runs) if run.group == heading)
    return _short_titles(family, groups)


def _short_titles(family: str, groups: Sequence[Group]) -> tuple[Group, ...]:
    """Without what all titles begin with, and with the reference called by what the family
    varies."""
    shared = 0 if len(groups) < 2 else _shared_words([g.title.split(" ") for g in groups])
    short = []
    for group in groups:
        title = " ".join(group.title.split(" ")[shared:])
        if group.recipe in _REFERENCE_LOSSES and "cross-entropy" in title:
            title = title.replace("cross-entropy", REFERENCES.get(family, "cross-entropy"))
        if family == "classifiers":
            title = _by_dimension(group, title)
        short.append(replace(group, title=title))
    return tuple(short)


def _by_dimension(group: Group, title: str) -> str:
    """The title with the widths of the hidden layers replaced by what matters to a classifier: the
    last one, d."""
    widths = group.settings.get("widths")
    if not isinstance(widths, list | tuple) or not widths or "," not in title:
        return title
    start, last = title.rsplit(", ", 1)
    if last.startswith("d = "):
        return f"{last}, {start}"
    return f"d = {'K' if widths[-1] == CLASSES else widths[-1]}, {last}"


def _shared_words(titles: Sequence[Sequence[str]]) -> int:
    """How many words all titles begin with; every title keeps one of its own."""
    count = 0
    for words in zip(*(t[:-1] for t in titles), strict=False):
        if len(set(words)) > 1:
            break
        count += 1
    return count

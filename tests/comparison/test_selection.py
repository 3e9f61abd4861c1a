"""Which runs a family compares, and what they are called there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from compared_runs import Made

from core.comparison.selection import families_of, family_groups, family_runs, headings
from core.training.families import FAMILIES
from core.training.recipes import RECIPES


@pytest.fixture
def made() -> Made:
    made = Made()
    for name in RECIPES:
        made.add(name)
    made.add("digits-ce", 1)
    return made


def test_every_family_is_found_under_both_headings(made: Made) -> None:
    assert families_of(made.runs) == tuple(FAMILIES)
    for name, family in FAMILIES.items():
        assert headings(name, made.runs) == ("Digits", "CIFAR-10 subset")
        groups = family_groups(name, "Digits", made.runs)
        assert tuple(g.recipe for g in groups) == family.digits
        assert len({g.title for g in groups}) == len(groups)


def test_names_say_what_the_family_varies(made: Made) -> None:
    def titles(family: str, heading: str = "Digits") -> list[str]:
        return [g.title for g in family_groups(family, heading, made.runs)]

    assert titles("optimisers") == ["SGD with momentum", "Adam", "L-BFGS"]
    assert titles("optimisers", "CIFAR-10 subset")[:2] == ["SGD with momentum", "Adam"]
    assert titles("losses")[0] == "cross-entropy"
    assert titles("labels")[0] == "4×128, true labels"
    assert titles("classifiers")[:3] == [
        "d = 128, learned classifier",
        "d = K, learned classifier",
        "d = 128, fixed simplex ETF",
    ]
    assert titles("classifiers", "CIFAR-10 subset")[2] == "d = K, fixed simplex ETF"
    assert titles("regularisation")[:2] == ["weight decay and batch norm", "no weight decay"]
    assert titles("imbalance")[0] == "balanced"


def test_a_family_needs_two_recipes_under_a_heading(made: Made) -> None:
    runs = [r for r in made.runs if r.recipe in ("digits-ce", "cifar-adam")]
    assert families_of(runs) == ()
    more = [*runs, *(r for r in made.runs if r.recipe == "digits-mse")]
    assert families_of(more) == ("losses",)
    assert headings("losses", more) == ("Digits",)
    assert len(family_runs("losses", more)) == 3  # two seeds of one recipe


def test_the_reader_s_own_run_of_a_recipe_stands_beside_the_bundled_one(made: Made) -> None:
    own = replace(made.runs[1], id="mine", folder=made.runs[1].folder.parent.parent / "own/mine")
    groups = family_groups("losses", "Digits", [*made.runs, own])
    assert len(groups) == 5
    assert len({g.title for g in groups}) == 5

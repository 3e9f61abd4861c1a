"""Groups of seeds: who belongs together, curves with bands, final values, best and worst."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compared_runs import COLLAPSED, EPOCHS, Made
from hypothesis import given
from hypothesis import strategies as st

from core.checkpoints.runs import DataEntry, Run
from core.comparison.groups import (
    QUANTITIES,
    Stat,
    best_and_worst,
    curve,
    data_of,
    final,
    groups_of,
    misses,
    terminal_of,
)


@pytest.fixture
def made() -> Made:
    made = Made()
    for seed, nc1 in enumerate((0.001, 0.002, 0.006)):
        made.add("digits-ce", seed, ends={**COLLAPSED, "nc1": nc1}, zero_from=10 + 10 * seed)
    made.add("digits-adam", ends={**COLLAPSED, "nc3": 0.4}, train=0.9)
    return made


def test_seeds_of_a_recipe_are_one_group(made: Made) -> None:
    groups = groups_of(made.runs)
    assert [g.id for g in groups] == ["digits-ce", "digits-adam"]
    assert [r.seed for r in groups[0].runs] == [0, 1, 2]
    assert [len(g.runs) for g in groups_of(made.runs[::-1])] == [1, 3]
    assert [r.seed for r in groups_of(made.runs[::-1])[1].runs] == [0, 1, 2]


def test_other_settings_folders_and_repeated_seeds_are_groups_of_their_own(made: Made) -> None:
    run = made.runs[0]
    longer = replace(run, id="long", settings={**run.settings, "epochs": 7})
    elsewhere = replace(run, id="own", folder=Path("/own/digits-ce"))
    again = replace(run, id="again")
    groups = groups_of([*made.runs, longer, elsewhere, again])
    assert [g.id for g in groups] == ["digits-ce", "digits-adam", "long", "own", "again"]
    assert len({g.title for g in groups}) == 5  # the same titles get their ids


def test_runs_without_a_recipe_stay_alone() -> None:
    runs = [Run(f"r{i}", Path(f"/r/{i}"), "Mine", "Mine", (), ()) for i in range(2)]
    assert [g.title for g in groups_of(runs)] == ["Mine (r0)", "Mine (r1)"]


@pytest.mark.parametrize(
    ("ids", "train", "test"),
    [
        (("digits-test", "digits-train"), "digits-train", "digits-test"),
        (
            ("digits-train@random_labels-50", "digits-test"),
            "digits-train@random_labels-50",
            "digits-test",
        ),
        (("cifar10-subset", "cifar10"), "cifar10-subset", "cifar10"),
        (("/home/me/restrained.npz", "b"), "/home/me/restrained.npz", "b"),
        (("only",), "only", None),
        ((), None, None),
    ],
)
def test_which_data_a_run_was_trained_on(ids, train, test) -> None:
    run = Run("r", Path("/r"), "r", "g", (), tuple(DataEntry(i, i) for i in ids))
    found = [data_of(run, s) for s in ("train", "test")]
    assert [None if f is None else f.id for f in found] == [train, test]


def test_a_curve_is_the_mean_within_the_extremes_of_the_seeds(made: Made) -> None:
    group = groups_of(made.runs)[0]
    found = curve(group, "nc1", "train", made.measured)
    assert found.seeds == 3
    assert found.epochs.tolist() == list(EPOCHS)
    assert [found.low[-1], found.mean[-1], found.high[-1]] == pytest.approx([0.001, 0.003, 0.006])
    assert found.terminal == (10, 20, 30)
    assert found.terminal_median == 20
    assert curve(group, "nc1", "test", made.measured) is None


def test_accuracy_has_every_epoch_of_the_history_in_percent(made: Made) -> None:
    found = curve(groups_of(made.runs)[0], "accuracy", "test", made.measured)
    assert len(found.epochs) == 101
    assert found.mean[-1] == pytest.approx(96)
    bare = replace(made.runs[0], history={})
    shorter = curve(groups_of([bare])[0], "accuracy", "train", made.measured)
    assert shorter.epochs.tolist() == list(EPOCHS)
    assert shorter.seeds == 1


def test_seeds_with_other_checkpoints_are_compared_where_they_meet(made: Made) -> None:
    run = made.runs[1]
    known = made.known[run.id, "digits-train"]
    made.known[run.id, "digits-train"] = replace(known, epochs=np.array([0, 2, 3, 9, 30, 100]))
    found = curve(groups_of(made.runs)[0], "nc1", "train", made.measured)
    assert found.epochs.tolist() == [0, 3, 30, 100]
    made.known[run.id, "digits-train"] = replace(known, epochs=np.array([5, 6, 7, 8, 9, 11]))
    alone = curve(groups_of(made.runs)[0], "nc1", "train", made.measured)
    assert alone.seeds == 1


def test_a_seed_without_a_terminal_phase_leaves_the_group_without_one(made: Made) -> None:
    made.add("digits-ce", 3, train=0.9)
    found = curve(groups_of(made.runs)[0], "nc1", "train", made.measured)
    assert found.terminal == (10, 20, 30, None)
    assert found.terminal_median is None
    assert terminal_of(replace(made.runs[0], history={}), lambda run, data: None) is None


def test_final_values_are_of_the_last_epoch(made: Made) -> None:
    one, other = made.finals
    assert one.stat("nc1").values == pytest.approx((0.001, 0.002, 0.006))
    assert one.stat("nc1").mean == pytest.approx(0.003)
    assert one.stat("nc1").sd == pytest.approx(np.std([1, 2, 6], ddof=1) / 1000)
    assert one.mean("accuracy", "test") == pytest.approx(96)
    assert one.epochs == 100
    assert other.stat("nc1").sd is None
    assert other.stat("nc1", "test") is None
    assert misses(one) == ()
    assert misses(other) == ("nc3",)


def test_without_measurements_nothing_is_collapsed(made: Made) -> None:
    bare = final(groups_of(made.runs)[0], lambda run, data: None)
    assert misses(bare) is None
    assert bare.mean("nc1") is None
    assert bare.mean("accuracy") == pytest.approx(100)  # from the history


def test_undefined_values_are_left_out(made: Made) -> None:
    found = made.known["digits-adam", "digits-train"]
    column = found.collapse["nc1"].copy()
    column[-1] = np.nan
    collapse = {**found.collapse, "nc1": column, "nc3": np.full(6, np.nan)}
    made.known["digits-adam", "digits-train"] = replace(found, collapse=collapse)
    one = made.finals[1]
    assert one.mean("nc1") is None  # not that of an epoch before
    assert one.mean("nc3") is None
    assert misses(one) is None
    found = curve(groups_of(made.runs)[1], "nc1", "train", made.measured)
    assert np.isfinite(found.mean).tolist() == [True] * 5 + [False]
    assert curve(groups_of(made.runs)[1], "nc3", "train", made.measured) is None


def test_best_and_worst(made: Made) -> None:
    finals = made.finals
    assert best_and_worst(finals, "nc1", "train") == ({"digits-ce"}, {"digits-adam"})
    assert best_and_worst(finals, "accuracy", "train") == ({"digits-ce"}, {"digits-adam"})
    assert best_and_worst(finals, "accuracy", "test") == (frozenset(), frozenset())  # the same
    assert best_and_worst(finals, "twonn", "train") == (frozenset(), frozenset())  # no direction
    assert best_and_worst((), "nc1", "train") == (frozenset(), frozenset())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_a_stat_lies_within_its_values(values: list[float]) -> None:
    stat = Stat(tuple(values))
    assert min(values) - 1e-6 <= stat.mean <= max(values) + 1e-6
    assert (stat.sd is None) == (len(values) == 1)


def test_every_quantity_can_be_asked_of_dynamics(made: Made) -> None:
    found = made.known["digits-ce", "digits-train"]
    assert all(len(found.of(key)) == len(EPOCHS) for key in QUANTITIES)

"""The topology lab: a small run from end to end, requests, the table and what is read from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from core import store, topology_lab
from core.data.two_class_problems import PROBLEMS
from core.errors import Cancelled, UserError
from core.topology_lab import LabRequest, LabResult, Row
from scripts import topology_lab_table as recipe

SMALL = replace(topology_lab.default_request("d1-small"), per_class=400, epochs=100, depth=3)


@pytest.fixture(scope="module")
def result() -> LabResult:
    return topology_lab.run(SMALL)


def test_the_holes_go(result: LabResult) -> None:
    assert result.reached
    assert [layer.name for layer in result.layers] == ["input", "1", "2", "3", "output"]
    assert result.layers[0].betti == ((3, 0), (1, 3))
    assert result.totals(1)[0] == 4
    assert result.totals(0)[-1] <= 2
    assert result.totals(1)[-1] <= 2


def test_pictures(result: LabResult) -> None:
    for layer in result.layers:
        for cloud in layer.principal:
            assert cloud.shape == (topology_lab.KEPT, 2 if layer.name in ("input", "output") else 3)
            assert np.abs(cloud).max() <= 1
    assert result.regions is not None
    assert result.regions.shape == (topology_lab.GRID, topology_lab.GRID)
    assert 0.05 < float((result.regions < 0.5).mean()) < 0.6  # the disks, of the square


def test_regions_have_x_along_columns() -> None:
    import torch
    from torch import nn

    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [50.0, 0.0]]))
        model.bias.zero_()
    regions = topology_lab._regions(model)
    assert (regions[:, 0] < 0.01).all()
    assert (regions[:, -1] > 0.99).all()


def test_a_result_can_be_stored(result: LabResult) -> None:
    again = store.loads(LabResult, store.dumps(result))
    assert again.request == result.request
    assert again.reached == result.reached
    assert again.layers[2].betti == result.layers[2].betti


def test_progress_never_falls_and_cancels() -> None:
    seen: list[float] = []
    topology_lab.run(
        replace(SMALL, epochs=10, per_class=200),
        progress=lambda done, total, what: seen.append(done / total),
    )
    assert seen == sorted(seen)
    assert seen[-1] < 1
    with pytest.raises(Cancelled):
        topology_lab.run(SMALL, cancelled=lambda: len(seen) > 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"problem": "d7"}, "d7"),
        ({"activation": "sine"}, "sine"),
        ({"depth": 0}, "depth"),
        ({"depth": 99}, "99"),
        ({"width": 1}, "width"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 10**6}, "epochs"),
        ({"per_class": 5}, "5"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        topology_lab.run(replace(LabRequest(), **change))  # type: ignore[arg-type]


def row(activation: str, seed: int, totals: list[int], reached: bool = True) -> Row:
    betti = tuple(((total, 0), (1, total - 1)) for total in totals)
    return Row("d1", activation, seed, reached, 1.0, betti)


def test_area_and_half() -> None:
    totals = np.array([10, 10, 6, 5, 1])
    assert topology_lab.area(totals) == pytest.approx(0.64)
    assert topology_lab.half_layer(totals) == 3
    assert topology_lab.half_layer(np.array([10, 9, 8])) == 3
    assert topology_lab.half_layer(np.array([10, 4, 8, 5])) == 3  # a dip is not the end


def test_only_networks_that_learned_are_compared() -> None:
    rows = [row("relu", s, [8, 4, 2, 1]) for s in range(10)]
    rows += [row("tanh", s, [8, 8, 8, 1], reached=s > 1) for s in range(10)]
    found = topology_lab.compare(rows, "d1", 0)
    assert found is not None
    assert (found.pairs, found.lower, found.ties) == (8, 8, 0)
    assert (found.half, found.other_half) == (1, 3)
    assert found.reverse == ()
    assert found.p_value == pytest.approx(2 / 2**8)
    words = topology_lab.verdict(rows, "d1", 0)
    assert "as the paper reports" in words
    assert "8 of 8 seeds" in words
    assert "8 of 10 tanh" in words
    assert "But tanh" not in words
    assert topology_lab.verdict(rows, "d2", 0) == ""


def test_the_verdict_can_be_no_and_the_other_way_round() -> None:
    fast, slow = [8, 4, 2, 1], [8, 8, 8, 1]
    mixed = [row("relu", s, fast if s % 2 else slow) for s in range(10)]
    mixed += [row("tanh", s, slow if s % 2 else fast) for s in range(10)]
    assert "not seen" in topology_lab.verdict(mixed, "d1", 0)
    against = [row("relu", s, slow) for s in range(10)] + [row("tanh", s, fast) for s in range(10)]
    assert "Against the paper" in topology_lab.verdict(against, "d1", 1)
    assert "fewer at these layers: 1, 2 (medians)" in topology_lab.verdict(against, "d1", 0)
    equal = [row(a, s, slow) for s in range(10) for a in ("relu", "tanh")]
    assert "not seen" in topology_lab.verdict(equal, "d1", 0)


@pytest.mark.parametrize(("wins", "trials"), [(0, 1), (3, 10), (5, 10), (10, 10), (7, 9)])
def test_sign_test_is_scipys(wins: int, trials: int) -> None:
    assert topology_lab.sign_test(wins, trials) == pytest.approx(binomtest(wins, trials).pvalue)
    assert topology_lab.sign_test(0, 0) is None


def test_table_on_disk(tmp_path: Path) -> None:
    rows = (row("relu", 0, [3, 2]), row("tanh", 1, [3, 1], reached=False))
    topology_lab.write_table(rows, tmp_path / "folder" / "table.json")
    assert topology_lab.read_table(tmp_path / "folder" / "table.json") == rows


def test_recipe_tries_seeds_until_enough_have_learned() -> None:
    def after(*reached: bool) -> int | None:
        rows = [row("tanh", seed, [3, 1], it) for seed, it in enumerate(reached)]
        return recipe.next_seed([row("relu", 0, [3, 2]), *rows], "d1", "tanh", 2)

    assert after() == 0
    assert after(True) == 1
    assert after(True, True) is None
    assert after(True, False) == 2
    assert after(False, False, False) is None


def test_recipe_on_few_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        recipe, "default_request", lambda p, a, seed: replace(SMALL, activation=a, seed=seed)
    )
    path = tmp_path / "table.json"
    topology_lab.write_table([row("relu", 0, [3, 2])], path)
    recipe.make_table(["d1-small"], 1, path, epochs=10)
    rows = topology_lab.read_table(path)
    assert [r.problem for r in rows].count("d1") == 1
    assert {r.activation for r in rows} == set(topology_lab.ACTIVATIONS)
    recipe.make_table(["d1-small"], 1, path, epochs=10)  # nothing is missing
    assert topology_lab.read_table(path) == rows


# --- what is bundled ---------------------------------------------------------------------------


@pytest.mark.parametrize("activation", topology_lab.ACTIVATIONS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_default_network_is_bundled(problem: str, activation: str) -> None:
    request = topology_lab.default_request(problem, activation)
    found = topology_lab.bundled(request)
    assert found is not None
    assert found.request == request
    assert found.layers[0].betti == PROBLEMS[problem].betti
    assert topology_lab.bundled(replace(request, seed=1)) is None


@pytest.mark.parametrize("activation", topology_lab.ACTIVATIONS)
@pytest.mark.parametrize("problem", recipe.COMPARED)
def test_the_table_has_ten_networks_that_learned(problem: str, activation: str) -> None:
    rows = [
        r
        for r in topology_lab.read_table()
        if r.problem == problem and r.activation == activation and r.reached
    ]
    assert len(rows) >= recipe.SEEDS
    assert all(r.betti[0] == PROBLEMS[problem].betti for r in rows)

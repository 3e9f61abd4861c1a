"""The grid of widths and epochs as it is read, and the table of final values."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from compared_runs import COLLAPSED, Made

from core.comparison import grid as grids
from core.comparison import table
from core.comparison.grid import bundled_grid, grids_of
from core.errors import UserError

ROWS = [
    {
        "loss": loss,
        "width": width,
        "epochs": epochs,
        "seed": seed,
        "test_accuracy": value + seed / 100,
    }
    for loss, base in (("mse", 0.5), ("ce", 0.6), ("hinge", 0.1))
    for i, width in enumerate((64, 16))
    for j, epochs in enumerate((10, 100))
    for seed in range(3)
    for value in [base + i / 10 + j / 20]
    if not (loss == "hinge" and width == 64)
]


def test_a_grid_is_mean_and_deviation_by_width_and_epochs() -> None:
    ce, mse, hinge = grids_of(ROWS)
    assert [g.title for g in (ce, mse, hinge)] == ["cross-entropy", "MSE", "hinge"]
    assert ce.widths == (16, 64)
    assert ce.epochs == (10, 100)
    # width 16 is the second of ROWS: 0.1 more
    assert ce.mean == pytest.approx(np.array([[71, 76], [61, 66]]))
    assert ce.sd == pytest.approx(np.ones((2, 2)))
    assert (ce.seeds == 3).all()
    assert np.isnan(hinge.mean[1]).all()
    assert ce.corners[0] == pytest.approx((71, 1))
    assert ce.corners[1] == pytest.approx((66, 1))


def test_one_seed_has_no_deviation_and_a_repeated_one_counts_once() -> None:
    row = {"loss": "ce", "width": 1, "epochs": 1, "seed": 0, "test_accuracy": 0.5}
    (found,) = grids_of([row, {**row, "test_accuracy": 0.7}])
    assert found.seeds[0, 0] == 1
    assert found.mean[0, 0] == pytest.approx(70)
    assert np.isnan(found.sd[0, 0])


@pytest.mark.parametrize("whole", [ROWS, {"rows": ROWS, "seconds": 3}])
def test_the_file_is_read_and_broken_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: object
) -> None:
    path = tmp_path / "grid.json"
    monkeypatch.setattr(grids, "GRID", path)
    assert bundled_grid() == ()
    path.write_text(json.dumps(whole))
    assert len(bundled_grid()) == 3
    path.write_text('[{"loss": "ce"}]')
    with pytest.raises(UserError, match=r"grid\.json is not a grid"):
        bundled_grid()


@pytest.fixture
def made() -> Made:
    made = Made()
    for seed, nc1 in enumerate((0.001, 0.002, 0.006)):
        made.add("digits-ce", seed, ends={**COLLAPSED, "nc1": nc1}, zero_from=10 + 10 * seed)
    made.add("digits-adam", ends={**COLLAPSED, "nc3": 0.4}, train=0.9, test=0.8)
    made.add("digits-lbfgs", history={}, results={"shifted_accuracy": 0.5})
    return made


def test_cells_have_deviations_and_marks(made: Made) -> None:
    ce, adam, lbfgs = table.rows(made.finals)
    assert ce["NC1"] == "0.0030 ± 0.003 ▲"
    assert adam["NC1"] == "0.0050 ▽"
    assert lbfgs["NC1"] == "0.0050 ▽"  # shown alike: both are worst
    assert adam["NC3"] == "0.400 ▽"
    assert ce["test accuracy (%)"] == "96.00 ± 0.00 ▲"
    assert lbfgs["test accuracy (%)"] == "n/a"
    assert ce["zero error from"] == "10–30"
    assert adam["zero error from"] == "never"
    assert ce["collapsed"] == "yes"
    assert adam["collapsed"] == "no: NC3"
    assert ce["seeds"] == "3"
    assert not any("test" in key and "NC1" in key for key in ce)  # not measured


def test_a_phase_that_some_seeds_lack_says_how_many_have_it(made: Made) -> None:
    made.add("digits-ce", 3, train=0.9)
    assert table.rows(made.finals)[0]["zero error from"] == "10–30 (3 of 4 seeds)"


def test_the_csv_holds_plain_numbers(made: Made) -> None:
    made.add("digits-mse", title="=HYPERLINK(1)")
    ce, adam, lbfgs, mse = csv.DictReader(io.StringIO(table.as_csv(made.finals)))
    assert float(ce["train_nc1"]) == pytest.approx(0.003)
    assert float(ce["train_nc1_sd"]) == pytest.approx(np.std([1, 2, 6], ddof=1) / 1000, rel=1e-4)
    assert ce["train_nc1_seeds"] == "3"
    assert float(adam["test_accuracy"]) == pytest.approx(0.8)  # shares, as everywhere in files
    assert adam["test_accuracy_sd"] == ""
    assert lbfgs["test_accuracy"] == ""
    assert float(lbfgs["shifted_accuracy"]) == 0.5
    assert ce["terminal_epochs"] == "10; 20; 30"
    assert mse["title"] == "'=HYPERLINK(1)"


def test_thresholds_are_those_that_are_used() -> None:
    assert table.thresholds_in_words() == (
        "NC1 below 0.02, NC3 below 0.15 and cosine spread below 0.08"
    )

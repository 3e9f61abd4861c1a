"""Share of non-zeros against size: cells, measuring, slopes, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_sizes import row, rows

from core import size_sparsity
from core.errors import UserError
from core.size_sparsity import (
    against_the_paper,
    bundled_sizes,
    by_training,
    difference,
    emergence,
    every_series,
    larger_is_sparser,
    mean_over_seeds,
    points,
    series_of,
    slope_of,
    standard_error,
    student,
    trained_of,
)
from core.training.sizes import CELLS, DATA, EPOCHS, MAIN, MEASURED, SEEDS, SETUPS, SIZES, Cell
from scripts.train_sizes import Counter, images_of, measure, start_symmetric

# --- cells -------------------------------------------------------------------------------------


def test_every_size_is_trained_on_every_data_with_every_seed() -> None:
    assert len(set(CELLS)) == len(CELLS)
    for setup in SETUPS.values():
        mine = {(c.width, c.depth, c.data, c.seed) for c in CELLS if c.setup == setup.name}
        assert len(mine) == len(setup.sizes) * len(DATA) * len(SEEDS)
    for setup in MAIN:
        assert len(setup.widths) >= 5
        assert setup.widths[-1] == 16 * setup.widths[0]
        assert len(setup.depths) >= 5
        assert setup.base_width in setup.widths
        assert setup.base_depth in setup.depths


def test_a_grid_that_is_stopped_is_balanced() -> None:
    """One seed of all architectures comes before the next."""
    main = [c for c in CELLS if c.setup in ("mlp", "cnn", "vit")]
    assert list(CELLS[: len(main)]) == main
    assert [c.seed for c in main] == sorted(c.seed for c in main)


# --- measuring ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setup", "layers", "units"), [("mlp", 2, 16), ("cnn", 2, 4), ("vit", 2, 16)]
)
def test_the_counter_counts_as_a_loop_does(setup: str, layers: int, units: int) -> None:
    from core.training.sizes import recipe_of
    from core.training.steps import Training

    (x, y), _ = images_of("true")
    cell = Cell(setup, SETUPS[setup].widths[0], layers, "true", 0)
    training = Training(recipe_of(cell), x[:50], y[:50], 10, 0)
    start_symmetric(training.model)
    counter = Counter(training.model)
    counter.counting = True
    outputs: list[torch.Tensor] = []
    for module in training.model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda _, __, out: outputs.append(out.clone()))
    training.evaluate(x[:50], y[:50])
    assert len(outputs) == layers
    for share, dead, out in zip(counter.shares(), counter.dead(), outputs, strict=True):
        values = out.movedim(1, -1) if out.ndim == 4 else out
        columns = values.reshape(-1, units).numpy()
        assert share == pytest.approx(sum(v != 0 for v in columns.ravel()) / columns.size)
        assert dead == pytest.approx(sum(not c.any() for c in columns.T) / units)


@pytest.mark.parametrize("setup", ["mlp", "cnn", "vit"])
def test_half_of_the_units_are_on_at_a_symmetric_start(setup: str) -> None:
    first = measure(Cell(setup, SETUPS[setup].widths[-2], 1, "true", 0), last=0)
    assert first["epochs"] == [0]
    assert first["shares"][0][0] == pytest.approx(0.5, abs=0.06)
    assert first["train_accuracy"][0] == pytest.approx(0.1, abs=0.15)


def test_images_are_centred_with_the_training_images_alone() -> None:
    (x, y), (x_test, y_test) = images_of("true")
    assert x.mean(dim=0).abs().max() < 1e-5
    assert float(x.std()) == pytest.approx(1.0, abs=1e-4)
    assert x_test.mean(dim=0).abs().max() > 1e-3
    assert (len(y), len(y_test)) == (1437, 360)


def test_random_labels_change_the_labels_and_random_inputs_the_images() -> None:
    (x, y), _ = images_of("true")
    (x_labels, y_labels), _ = images_of("labels")
    (x_inputs, y_inputs), _ = images_of("inputs")
    assert torch.equal(x, x_labels)
    assert float((y == y_labels).float().mean()) < 0.2
    assert torch.equal(y.bincount(), y_labels.bincount())
    assert torch.equal(y, y_inputs)
    nearest = torch.corrcoef(torch.cat((x[:20].flatten(1), x_inputs[:20].flatten(1))))
    assert nearest[:20, 20:].abs().max() < 0.6


def test_the_bundled_file_is_what_the_script_measures() -> None:
    """The first epochs of one small training again; machines may differ in the last digits."""
    stored = {
        (r["setup"], r["width"], r["depth"], r["data"], r["seed"]): r
        for r in json.loads(SIZES.read_text(encoding="utf-8"))
    }
    cell = Cell("mlp", 16, 3, "true", 0)
    wanted = stored["mlp", 16, 3, "true", 0]
    again = measure(cell, last=3)
    kept = len(again["epochs"])
    assert again["epochs"] == wanted["epochs"][:kept] == [0, 1, 2, 3]
    assert set(again) == set(wanted)
    assert again["parameters"] == wanted["parameters"]
    for key in ("shares", "dead", "train_accuracy", "test_accuracy"):
        assert np.array(again[key]) == pytest.approx(np.array(wanted[key][:kept]), abs=0.02), key
    assert again["shares"][0] == pytest.approx(wanted["shares"][0], abs=1e-3)


def test_the_bundled_file_is_whole_and_small() -> None:
    assert SIZES.stat().st_size < 1_000_000
    trained = bundled_sizes()
    cells = {Cell(t.setup, t.width, t.depth, t.data, t.seed) for t in trained}
    assert cells == set(CELLS)
    assert len(trained) == len(CELLS)
    for t in trained:
        assert t.epochs == MEASURED
        assert t.epochs[-1] == EPOCHS
        assert t.shares.shape == (len(MEASURED), t.depth)
        assert (t.shares >= 0).all()
        assert (t.shares <= 1).all()
        assert (t.shares <= 1 - t.dead + 1e-3).all()  # a dead unit is never on


# --- estimates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 2, 4, 10, 11, 13, 25, 100])
def test_quantiles_of_student(freedom: int) -> None:
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-3)


def test_a_mean_over_seeds_has_scipys_interval() -> None:
    values = np.array([0.3, 0.35, 0.31])
    found = mean_over_seeds(values)
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)
    assert standard_error(values) == pytest.approx(stats.sem(values))
    alone = mean_over_seeds(values[:1])
    assert (alone.low, alone.high, alone.reason) == (None, None, "one seed has no interval")
    assert standard_error(values[:1]) is None


def test_a_difference_has_scipys_interval() -> None:
    one, other = np.array([0.3, 0.35, 0.31]), np.array([0.4, 0.5, 0.44])
    found = difference(one, other)
    expected = stats.ttest_ind(one, other).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-4)
    assert difference(one[:1], other[:1]) is None


def test_a_power_law_is_found_exactly() -> None:
    sizes = np.array([16, 32, 64, 256])
    found = slope_of(sizes, [0.7 * np.full(3, s**-0.25) for s in sizes])
    assert found.value.value == pytest.approx(-0.25)
    assert found.value.low == pytest.approx(-0.25, abs=1e-6)
    assert found.sign == -1
    assert (found.networks, found.left_out) == (12, 0)


def test_a_slope_is_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    sizes = np.array([1, 2, 3, 5, 8])
    values = [random.uniform(0.2, 0.6, 3) for _ in sizes]
    found = slope_of(sizes, values)
    fit = stats.linregress(np.log(np.repeat(sizes, 3)), np.log(np.concatenate(values)))
    half = stats.t.ppf(0.975, 13) * fit.stderr
    assert found.value.value == pytest.approx(fit.slope)
    assert found.value.low == pytest.approx(fit.slope - half, rel=1e-4)
    assert found.value.high == pytest.approx(fit.slope + half, rel=1e-4)


def test_no_slope_without_three_sizes_and_zeros_are_left_out() -> None:
    found = slope_of(np.array([1, 2]), [np.full(3, 0.5)] * 2)
    assert found.value.value is None
    assert found.value.reason == "fewer than three sizes"
    assert found.sign == 0
    zeros = slope_of(np.array([1, 2, 4]), [np.array([0.5, 0.0]), np.full(2, 0.25), [0.125, 0.125]])
    assert (zeros.networks, zeros.left_out) == (5, 1)
    assert zeros.value.value == pytest.approx(-1)


@settings(deadline=None, max_examples=40)
@given(
    exponent=st.floats(-1, 1),
    factor=st.floats(0.01, 100),
    unit=st.floats(0.1, 50),
    noise=st.integers(0, 10**6),
)
def test_a_slope_keeps_to_powers_and_units(
    exponent: float, factor: float, unit: float, noise: int
) -> None:
    """Times size^c adds c; times a constant, or in other units of size, changes nothing."""
    sizes = np.array([4.0, 8, 16, 64])
    base = np.exp(np.random.default_rng(noise).normal(-1, 0.3, (4, 3)))
    first = slope_of(sizes, list(base)).value
    second = slope_of(unit * sizes, list(factor * base * sizes[:, None] ** exponent)).value
    for a, b in ((first.value, second.value), (first.low, second.low), (first.high, second.high)):
        assert a is not None
        assert b == pytest.approx(a + exponent, abs=1e-9)


# --- series ------------------------------------------------------------------------------------


def test_series_hold_their_sizes_from_small_to_large() -> None:
    trained = trained_of(rows())
    by_width = series_of(trained, "vit", "width", "true")
    by_depth = series_of(trained, "vit", "depth", "true")
    assert by_width is not None
    assert by_depth is not None
    assert by_width.x().tolist() == [16, 32, 64, 128, 256]  # hidden units: four times the width
    assert by_depth.x().tolist() == [1, 2, 3, 5, 8]
    size = by_depth.sizes[-1]
    assert size.shares.shape == (3, len(MEASURED), 8)
    assert size.seeds == SEEDS
    assert size.active("mean") == pytest.approx(64 * size.shares.sum(axis=2))
    assert size.active("first") == pytest.approx(64 * size.shares[:, :, 0])
    assert by_width.slope().value.value == pytest.approx(-0.1, abs=0.02)
    assert by_width.active_slope().value.value == pytest.approx(
        1 + by_width.slope().value.value, abs=1e-9
    )


def test_a_setup_without_depths_has_no_series_over_them() -> None:
    trained = trained_of(rows())
    assert series_of(trained, "mlp_norm", "depth", "true") is None
    assert every_series(trained, "mlp_norm", "depth") == ()
    assert len(every_series(trained, "mlp_norm", "width")) == 3


def test_a_part_of_the_grid_is_read_as_far_as_it_goes() -> None:
    cut = rows(seeds=(0, 1))
    cut[0]["epochs"] = cut[0]["epochs"][:4]
    for key in ("train_accuracy", "test_accuracy", "shares", "dead"):
        cut[0][key] = cut[0][key][:4]
    series = series_of(trained_of(cut), "mlp", "width", "true")
    assert series is not None
    assert series.sizes[0].epochs == MEASURED[:4]
    assert series.sizes[1].epochs == MEASURED


@pytest.mark.parametrize(
    "text", ["{", "[1]", '[{"setup": "mlp"}]', '[{"setup": "mlp", "width": "x"}]']
)
def test_a_broken_file_says_how_to_make_it_again(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sizes.json"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(size_sparsity, "SIZES", path)
    with pytest.raises(UserError, match=r"sizes.json .* make it again with python -m scripts"):
        bundled_sizes()
    path.unlink()
    assert bundled_sizes() == ()


# --- what it says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exponents", "verdict", "said"),
    [
        ({"true": -0.2, "labels": -0.2, "inputs": -0.3}, "shown here", "falls with width on true"),
        ({"true": -0.2, "labels": 0.0, "inputs": 0.1}, "shown in part", "it has no clear trend"),
        ({"true": 0.1, "labels": 0.1, "inputs": 0.1}, "not shown here", "rises with width on true"),
    ],
)
def test_the_verdict_follows_the_slopes(
    exponents: dict[str, float], verdict: str, said: str
) -> None:
    series = every_series(trained_of(rows(exponents, noise=0.01)), "cnn", "width")
    found = larger_is_sparser(series)
    assert found.verdict == verdict
    assert said in found.text
    assert found.claim == "The wider the sparser."


def test_what_is_not_fitted_is_said() -> None:
    series = every_series(trained_of(rows()), "mlp", "depth")
    found = larger_is_sparser(series)
    assert found.claim == "The deeper the sparser."
    assert "below 99 % on random labels (all)" in " ".join(found.notes)
    fitted = [replace(s, sizes=tuple(s.sizes)) for s in series if s.images.name != "labels"]
    assert not any("below 99 %" in n for n in larger_is_sparser(fitted).notes)


def test_nothing_is_said_of_too_few_sizes_or_seeds() -> None:
    assert larger_is_sparser(()).verdict == "cannot be told"
    alone = every_series(trained_of(rows(seeds=(0,))), "mlp", "width")
    assert emergence(alone).verdict == "cannot be told"
    assert points((), "true") == ()


@pytest.mark.parametrize(("exponent", "verdict"), [(-0.3, "shown here"), (0.3, "not shown here")])
def test_emergence_compares_with_the_start(exponent: float, verdict: str) -> None:
    made = rows(dict.fromkeys(DATA, exponent), noise=0.01)
    found = emergence(every_series(trained_of(made), "mlp", "width"))
    assert found.verdict == verdict
    assert "50 →" in found.text


def test_points_tell_numbers_layers_and_other_data() -> None:
    made = rows({"true": -0.1, "labels": -0.4, "inputs": 0.2}, noise=0.005)
    more, layers, other = points(every_series(trained_of(made), "mlp", "width"), "true")
    assert "active units grows with width" in more
    assert "All layers of the widest network use about the same share, 30 %" in layers
    assert "sparser on random labels" in other
    assert "denser on random inputs" in other


def test_a_small_fall_is_called_small() -> None:
    small = every_series(trained_of(rows(dict.fromkeys(DATA, -0.02), noise=0.001)), "mlp", "width")
    found = larger_is_sparser(small)
    assert found.verdict == "shown here"
    assert "It falls by 2.2 points at most" in found.notes[0]  # 0.4 · (1 - 16^-0.02)
    large = every_series(trained_of(rows(dict.fromkeys(DATA, -0.2), noise=0.001)), "mlp", "width")
    assert not any("at most" in note for note in larger_is_sparser(large).notes)


def test_ways_of_training_are_compared_at_the_widest() -> None:
    trained = trained_of(rows({"true": 0.0, "labels": -0.25, "inputs": 0.0}, noise=0.0))
    said = by_training(trained, "labels")
    assert "on random labels the widest MLP ends at 20 % with learning rate 0.001, 20 %" in said
    assert said.endswith("and 20 % with batch norm.")
    assert by_training(trained_of(rows(setups=("mlp", "vit"))), "true") == ""


def test_the_sparsest_network_stands_beside_the_papers_numbers() -> None:
    made = rows({"true": -0.1, "labels": -0.4, "inputs": 0.2}, noise=0.0)
    said = against_the_paper(every_series(trained_of(made), "mlp", "width"))
    assert "width 256 on random labels, still uses 13 %." in said  # 0.4 · 16^-0.4
    assert "The paper counts 3.0 %" in said
    assert against_the_paper(()) == size_sparsity.PAPERS_NUMBERS


def test_layers_that_differ_are_named() -> None:
    made = rows(setups=("mlp",))
    for r in made:
        for shares in r["shares"]:
            shares[1:2] = [0.01] * len(shares[1:2])
    _, layers, _ = points(every_series(trained_of(made), "mlp", "width"), "true")
    assert "layer 2 of 3 is the sparsest (1 %)" in layers


def test_a_row_ends_where_it_is_told() -> None:
    made = row(Cell("mlp", 16, 2, "true", 0), end=0.2)
    assert made["shares"][-1] == pytest.approx([0.2, 0.2])
    assert made["shares"][0] == pytest.approx([0.5, 0.5])

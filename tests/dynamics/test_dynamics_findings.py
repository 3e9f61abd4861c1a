"""Sentences about a run: they say what its numbers say, whichever way these go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.dynamics.findings import at_the_end, of_layers, since_zero_error, zero_error
from tests.synthetic_dynamics import synthetic_dynamics

EPOCHS = (0, 1, 3, 10, 30, 100)


def with_columns(dynamics, **columns):
    made = {k: np.array(v, dtype=np.float64) for k, v in columns.items()}
    return replace(dynamics, collapse=dynamics.collapse | made)


def test_zero_error_is_told_with_its_epoch_or_how_near_it_came():
    train = synthetic_dynamics()
    assert "first vanishes at epoch 17" in zero_error(train, 17)
    assert "83 of 100 epochs" in zero_error(train, 17)
    short = replace(train, accuracy=np.array([0.1, 0.5, 0.982, 0.9, 0.7, 0.8]))
    said = zero_error(short, None)
    assert "never vanishes" in said
    assert "98.2 %, at epoch 3" in said
    unclassified = replace(train, accuracy=np.full(6, np.nan))
    assert "no classifier" in zero_error(unclassified, None)


def test_the_end_has_both_data_sets_and_the_cosines_beside_theory():
    train = with_columns(
        synthetic_dynamics(),
        nc1=[1, 1, 1, 1, 1, 0.0042],
        nc2_means=[1, 1, 1, 1, 1, 0.11],
        nc3=[np.nan] * 6,
        cosine_std=[1, 1, 1, 1, 1, 0.036],
    )
    test = with_columns(synthetic_dynamics(), nc1=[1, 1, 1, 1, 1, 0.13])
    said = at_the_end(train, test)
    assert "At epoch 100, on the training data: accuracy 99.1 %, NC1 0.0042, NC2 0.11" in said
    assert "NC3 n/a" in said
    assert "on the test data: accuracy 99.1 %, NC1 0.13" in said
    assert "of the training data: −0.111 ± 0.036; a simplex ETF has −0.111 ± 0" in said
    assert "test data" not in at_the_end(train, None)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (0.05, "NC1 (0.20 to 0.050, ÷ 4.0) fell"),
        (0.19, "NC1 (0.20 to 0.19) stayed about the same"),
        (0.6, "NC1 (0.20 to 0.60, × 3.0) rose"),
    ],
)
def test_what_happened_after_zero_error_is_told_honestly(last, said):
    nan = [np.nan] * 6
    train = with_columns(
        synthetic_dynamics(),
        **{"nc1": [2, 1, 1, 0.2, 9, last], "nc2_means": nan, "nc3": nan, "cosine_std": nan},
    )
    text = since_zero_error(train, 7)
    assert text == f"From epoch 10, the first checkpoint of the terminal phase, {said}."


def test_one_checkpoint_in_the_terminal_phase_is_compared_with_the_one_before() -> None:
    train = synthetic_dynamics()
    said = since_zero_error(train, 31)
    assert said is not None
    assert said.startswith("From epoch 30, the last checkpoint before the terminal phase, NC1 (")


def test_without_a_terminal_phase_nothing_is_said_of_it() -> None:
    train = synthetic_dynamics()
    assert since_zero_error(train, None) is None
    assert since_zero_error(train, 101) is None


def test_where_and_when_structure_emerges_in_the_layers():
    dynamics = synthetic_dynamics(layers=3)
    values = dict(dynamics.layer_values)
    values["nc1"] = np.array(
        [
            [4, 4, 4, 4, 4, 4],
            [4, 3, 0.5, 0.4, 0.3, 0.04],  # half-way on the log scale is 0.4: epoch 10
            [4, 4, 4, 4, 0.2, 0.01],  # 0.2: epoch 30
        ],
        dtype=np.float64,
    )
    dynamics = replace(dynamics, layer_values=values)
    said = of_layers(dynamics, "nc1")
    assert "lowest in **act2** (0.010), highest in input (4.0)" in said
    assert "by epoch 10 in act1, by epoch 30 in act2" in said
    values["nc1"] = np.ones((3, 6))
    assert "No layer" in of_layers(replace(dynamics, layer_values=values), "nc1")
    values["nonzero_fraction"] = np.full((3, 6), np.nan)
    nothing = of_layers(replace(dynamics, layer_values=values), "nonzero_fraction")
    assert nothing == "Not measured in the first and the last checkpoint."


def test_sentences_on_zeros_and_dimension_name_the_extreme_layers():
    dynamics = synthetic_dynamics(layers=3)
    values = dict(dynamics.layer_values)
    values["nonzero_fraction"] = np.array([[np.nan] * 6, [0.5] * 6, [0.4, 1, 1, 1, 1, 0.2]])
    values["twonn"] = np.array([[9.0] * 6, [8, 7, 7, 7, 7, 5.5], [7.0] * 6])
    dynamics = replace(dynamics, layer_values=values)
    said = of_layers(dynamics, "nonzero_fraction")
    assert "**act2** with 20.0 % non-zeros, 40.0 % at epoch 0" in said
    assert "Densest: act1 with 50.0 %" in said
    said = of_layers(dynamics, "twonn")
    assert "**act1** with 5.5, which began at 8.0. Highest: input with 9.0" in said


def test_layer_names_are_no_markup():
    dynamics = synthetic_dynamics(layers=2)
    layers = tuple(replace(a, name="**[x](y)** :red[z]") for a in dynamics.layers)
    for quantity in ("nc1", "nonzero_fraction", "twonn"):
        said = of_layers(replace(dynamics, layers=layers), quantity)
        assert "[x](" not in said
        assert ":red[" not in said

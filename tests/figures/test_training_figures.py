"""Live curves of a training: what is drawn, where, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import pytest

from core.figures import training
from core.figures.dynamics import place
from core.figures.theme import Style

STYLES = [Style(mode, size) for mode in ("light", "dark") for size in ("card", "large")]
HISTORY = {
    "epoch": [0, 1, 10, 100],
    "train_loss": [2.3, 1.0, 0.1, 0.001],
    "test_loss": [2.3, 1.2, 0.4, 0.3],
    "train_accuracy": [0.1, 0.6, 1.0, 1.0],
    "test_accuracy": [0.1, 0.5, 0.9, math.nan],
}


def lines(fig: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in fig.data}


@pytest.mark.parametrize("style", STYLES)
def test_errors_and_losses_stand_at_their_epochs(style: Style) -> None:
    errors = training.errors(HISTORY, style, 10)
    assert set(lines(errors)) == {"train", "test"}
    train = lines(errors)["train"]
    assert np.allclose(train.x, np.log10([1, 2, 11, 101]))
    assert np.allclose(train.y, [90, 40, 0, 0])
    assert lines(errors)["test"].y[-1] is None
    assert [s.x0 for s in errors.layout.shapes] == [pytest.approx(float(place(10)))]
    assert any("zero error: 10" in a.text for a in errors.layout.annotations)
    losses = training.losses(HISTORY, style)
    assert losses.layout.yaxis.type == "log"
    assert np.allclose(lines(losses)["test"].y, HISTORY["test_loss"])
    assert not losses.layout.shapes
    for fig in (errors, losses):
        go.Figure(fig.to_dict())  # every property is one that Plotly knows


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"epoch": []},
        {"epoch": [0], "seconds": [0.0]},
        {"train_loss": [], "train_accuracy": []},
        {"epoch": [0, 1], "train_loss": [math.nan] * 2, "train_accuracy": [math.nan] * 2},
    ],
)
def test_without_values_there_is_a_sentence(history: dict) -> None:
    for draw in (training.losses, training.errors):
        fig = draw(history, STYLES[0])
        assert not fig.data
        assert "recorded yet" in " ".join(a.text for a in fig.layout.annotations).replace(
            "<br>", " "
        )


def test_one_epoch_without_error_and_columns_of_different_lengths() -> None:
    once = training.errors({"epoch": [0], "train_accuracy": [1.0]}, STYLES[0], 0)
    low, high = once.layout.yaxis.range
    assert low < high
    assert lines(once)["train"].mode == "markers"
    uneven = training.losses({"train_loss": [3.0, 2.0, 1.0], "test_loss": [3.0, 2.0]}, STYLES[0])
    assert len(lines(uneven)["train"].y) == 3
    assert len(lines(uneven)["test"].y) == 2


def test_long_histories_are_thinned_and_keep_both_ends() -> None:
    epochs = np.arange(5000)
    history = {"epoch": epochs, "train_loss": 1.0 / (1 + epochs)}
    line = lines(training.losses(history, STYLES[0]))["train"]
    assert len(line.x) <= training.MOST_POINTS
    assert line.y[0] == 1.0
    assert line.y[-1] == pytest.approx(1 / 5000)
    assert np.allclose(10 ** np.asarray(line.x), 1 / np.asarray(line.y))

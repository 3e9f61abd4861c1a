"""Networks on point clouds: shapes, the same numbers from the same seed, learning, cancelling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import Cancelled
from core.training import point_clouds


def blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    points = generator.standard_normal((200, 2)) * 0.2 + np.where(labels[:, None], 1.0, -1.0)
    return points.astype(np.float32), labels


@pytest.mark.parametrize("activation", point_clouds.ACTIVATIONS)
def test_a_network_learns_two_blobs(activation: str) -> None:
    points, labels = blobs()
    seen = []
    model = point_clouds.network(2, 8, 3, activation, 0)
    trained = point_clouds.train(
        model, points, labels, 40, 0, 0.01, progress=lambda *step: seen.append(step)
    )
    assert trained.loss.shape == trained.accuracy.shape == (40,)
    assert trained.accuracy[-1] == 1 == point_clouds.accuracy(model, points, labels)
    assert trained.loss[-1] < 0.1 * trained.loss[0]
    assert seen[-1][:2] == (40, 40)


def test_the_same_seed_gives_the_same_network() -> None:
    points, labels = blobs()
    losses = [
        point_clouds.train(
            point_clouds.network(2, 5, 2, "relu", 1), points, labels, 3, seed, 0.01
        ).loss
        for seed in (4, 4, 5)
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


def test_layer_outputs_are_those_of_the_layers() -> None:
    points, _ = blobs()
    model = point_clouds.network(2, 5, 2, "leaky_relu", 0)
    outputs = point_clouds.layer_outputs(model, points)
    assert [o.shape for o in outputs] == [(200, 2), (200, 5), (200, 5), (200, 2)]
    linear = model[0]
    assert isinstance(linear, nn.Linear)
    before = points @ linear.weight.detach().numpy().T
    np.testing.assert_allclose(outputs[1], np.where(before > 0, before, 0.2 * before), atol=1e-6)
    with torch.no_grad():
        np.testing.assert_array_equal(outputs[-1], model(torch.from_numpy(points)).numpy())


@pytest.mark.parametrize("activation", point_clouds.ACTIVATIONS)
def test_initial_weights_keep_the_size_of_signals(activation: str) -> None:
    model = point_clouds.network(50, 50, 8, activation, 0)
    points = np.random.default_rng(0).standard_normal((500, 50)).astype(np.float32)
    last = point_clouds.layer_outputs(model, points)[-2]
    assert 0.2 < float(np.sqrt((last**2).mean())) < 5


def test_cancelled() -> None:
    points, labels = blobs()
    with pytest.raises(Cancelled):
        point_clouds.train(
            point_clouds.network(2, 5, 2, "relu", 0),
            points,
            labels,
            3,
            0,
            0.01,
            cancelled=lambda: True,
        )

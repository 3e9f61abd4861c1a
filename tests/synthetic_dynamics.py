"""A run's dynamics made of numbers that look like a training, for tests of figures and pages."""

from __future__ import annotations

import numpy as np

from core.dynamics.results import LAYER_VALUES, Dynamics, LayerRow
from core.results import NeuralCollapse


def synthetic_dynamics(
    epochs: tuple[int, ...] = (0, 1, 3, 10, 30, 100),
    classes: int = 10,
    layers: int = 5,
    data: str = "digits-train",
    class_names: tuple[str, ...] | None = None,
    seed: int = 0,
) -> Dynamics:
    """Accuracy rises to 1, collapse metrics fall as power laws of the epoch."""
    rng = np.random.default_rng(seed)
    e, k, s = len(epochs), classes, 120
    r = k - 1
    at = np.asarray(epochs, dtype=np.float64)
    falling = 1 / (1 + at)
    keys = NeuralCollapse().values()
    collapse = {key: falling * rng.uniform(0.5, 2) for key in keys}
    collapse["cosine_mean"] = np.full(e, -1 / (k - 1))
    collapse["etf_target"] = np.full(e, -1 / (k - 1))
    labels = np.arange(s) % k
    means = rng.normal(size=(k, r))
    turned = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in epochs]
    within = rng.normal(size=(s, 3))
    point_means = np.stack([means[:, :3] @ q for q in turned])
    points = np.stack(
        [(means[labels, :3] + f * within) @ q for f, q in zip(falling, turned, strict=True)]
    )
    values = {key: rng.uniform(0.1, 1, size=(layers, e)) for key in LAYER_VALUES}
    values["nonzero_fraction"][0] = np.nan
    values["twonn_low"] = values["twonn"] * 0.9
    values["twonn_high"] = values["twonn"] * 1.1
    names = ["input", *(f"act{i}" for i in range(1, layers))]
    return Dynamics(
        data=data,
        data_name=data.replace("-", ", "),
        class_names=class_names or tuple(map(str, range(k))),
        counts=np.full(k, s // k),
        epochs=at.astype(np.int64),
        files=tuple(f"epoch_{n:05}.safetensors" for n in epochs),
        sha256=tuple(f"{n:064x}" for n in epochs),
        accuracy=1 - falling * (1 - 1 / k),
        loss=falling * np.log(k),
        collapse=collapse,
        reasons={},
        penultimate=names[-1],
        layers=tuple(LayerRow(n, "ReLU", 64, i / layers) for i, n in enumerate(names)),
        layer_values=values,
        mean_coordinates=np.stack([means * (1 + i) for i in range(e)]),
        classifier_coordinates=np.stack([means + f for f in falling]),
        within_trace=np.repeat(falling[:, None], k, axis=1),
        labels=labels,
        points=points.astype(np.float16),
        point_means=point_means,
        spread=np.ones(e),
        explained=np.tile([0.5, 0.3, 0.1], (e, 1)),
    )

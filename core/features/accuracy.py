"""Accuracy alone, without reading any layer: to rank what a checkpoint's tensors cannot tell."""

from __future__ import annotations

import numpy as np
import torch

from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.features import devices
from core.features.hooks import module_lock
from core.features.passes import ModelLike
from core.progress import IsCancelled, check, never


def accuracy(
    model: ModelLike, dataset: Dataset, *, batch_size: int = 64, cancelled: IsCancelled = never
) -> float:
    """Share of the images of ``dataset`` whose largest output is at their label."""
    correct = 0
    device = next(model.module.parameters()).device
    with module_lock(model.module), torch.inference_mode(), devices.torch_threads(1):
        for positions in np.array_split(np.arange(len(dataset)), -(-len(dataset) // batch_size)):
            check(cancelled)
            images = torch.from_numpy(load_batch(dataset, positions, model.preprocessing)).to(
                device
            )
            predictions = model.module(images).argmax(1).cpu().numpy()
            correct += int((predictions == dataset.labels[positions]).sum())
    return correct / len(dataset)

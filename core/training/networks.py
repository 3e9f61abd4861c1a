"""The network of a recipe, and classifiers that are not learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.models.cnn import CNN
from core.models.mlp import MLP
from core.models.norms import NORMS
from core.models.resnet import CifarResNet
from core.models.sdnet import SDNet
from core.models.vit import ViT
from core.training.recipes import Recipe

Norm = tuple[tuple[float, ...], tuple[float, ...]]


def normalisation(channels: int) -> Norm:
    """Mean and standard deviation that images are normalised with: those of CIFAR for colour."""
    if channels == 3:
        return NORMS["cifar-norm"]
    return (0.0,) * channels, (1.0,) * channels


Network = MLP | CNN | CifarResNet | SDNet | ViT


def build_network(recipe: Recipe, shape: tuple[int, int, int], classes: int) -> Network:
    """The freshly initialised network of a recipe for images of ``shape`` (C, H, W)."""
    options = recipe.network_options
    if recipe.network in ("resnet", "sdnet"):
        made = CifarResNet if recipe.network == "resnet" else SDNet
        return made(
            shape, recipe.widths, classes, **{"stem_stride": 2, "stem_pool": True} | options
        )
    if recipe.network == "cnn":
        return CNN(shape, recipe.widths, classes, recipe.batch_norm)
    if recipe.network == "vit":
        return ViT(shape, width=recipe.widths[0], classes=classes, **options)
    return MLP(shape, recipe.widths, classes, recipe.activation, recipe.batch_norm)


def classifier_of(model: nn.Module) -> nn.Linear:
    """The last linear layer."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def simplex_etf(classes: int, dim: int, generator: torch.Generator) -> Tensor:
    """(K, d) unit rows with pairwise cosines -1/(K-1): √(K/(K-1)) (I - 11ᵀ/K) Pᵀ, PᵀP = I.

    d >= K. With d = K, P = I: features after a ReLU are not negative, and one unit a class reaches
    this frame, while most rotations of it are out of their reach.
    """
    centred = torch.eye(classes, dtype=torch.float64) - 1.0 / classes
    basis = torch.eye(classes, dtype=torch.float64)
    if dim > classes:
        drawn = torch.randn(dim, classes, dtype=torch.float64, generator=generator)
        basis = torch.linalg.qr(drawn).Q  # (d, K)
    return math.sqrt(classes / (classes - 1)) * centred @ basis.T


class ClassMeansClassifier:
    """A classifier whose rows follow the class means of the features (Jiang et al. 2023, CMF).

    The rows are the centred means, averaged exponentially over batches, each scaled to norm 1; no
    gradient reaches them, and the bias is 0. Unlike in the paper, features are not projected onto a
    sphere, so that the network stays an ordinary one with a linear layer.
    """

    def __init__(self, layer: nn.Linear, momentum: float = 0.9) -> None:
        self.layer = layer
        self.momentum = momentum
        self.means = torch.zeros_like(layer.weight)  # (K, d)
        self.seen = torch.zeros(len(layer.weight), dtype=torch.bool, device=layer.weight.device)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Average in a batch of features (B, d), labels (B,)."""
        for k in labels.unique():
            mean = features[labels == k].mean(0)
            keep = self.momentum if self.seen[k] else 0.0
            self.means[k] = keep * self.means[k] + (1 - keep) * mean
            self.seen[k] = True
        rows = self.means - self.means[self.seen].mean(0)
        rows[~self.seen] = 0.0
        self.layer.weight.copy_(nn.functional.normalize(rows, dim=1))

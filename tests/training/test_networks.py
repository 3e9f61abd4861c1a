"""Classifiers that are not learned, and networks that describe themselves."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.models import build
from core.models.resnet import CifarResNet
from core.training.networks import ClassMeansClassifier, simplex_etf


@given(st.integers(2, 30), st.integers(0, 40), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_simplex_etf_has_the_widest_equal_angles(classes: int, more: int, seed: int) -> None:
    rows = simplex_etf(classes, classes + more, torch.Generator().manual_seed(seed))
    gram = rows @ rows.T
    wanted = torch.full_like(gram, -1 / (classes - 1)).fill_diagonal_(1.0)
    assert torch.allclose(gram, wanted, atol=1e-10)
    assert torch.allclose(rows.sum(0), torch.zeros(1, dtype=rows.dtype), atol=1e-10)


def test_class_means_are_averaged_over_batches() -> None:
    """Against the recursion written out for two classes."""
    layer = nn.Linear(3, 2)
    follower = ClassMeansClassifier(layer, momentum=0.75)
    a = torch.tensor([[1.0, 0, 0], [3.0, 0, 0], [0, 2.0, 0]])
    follower.update(a, torch.tensor([0, 0, 1]))
    assert torch.equal(follower.means, torch.tensor([[2.0, 0, 0], [0, 2.0, 0]]))
    follower.update(torch.tensor([[6.0, 0, 0]]), torch.tensor([0]))
    assert torch.equal(follower.means[0], torch.tensor([0.75 * 2 + 0.25 * 6, 0, 0]))
    centred = follower.means - follower.means.mean(0)
    assert torch.allclose(layer.weight, centred / centred.norm(dim=1, keepdim=True))


def test_a_small_resnet_comes_back_from_its_metadata() -> None:
    torch.manual_seed(0)
    network = CifarResNet((3, 32, 32), (4, 8, 6), 5, stem_stride=2).eval()
    built = build(network.state_dict(), network.metadata())
    x = torch.randn(2, 3, 32, 32)
    assert built.architecture == "resnet"
    assert built.classes == 5
    assert torch.allclose(built.module(x), network(x), atol=1e-5)

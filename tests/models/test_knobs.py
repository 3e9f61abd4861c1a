"""What can be turned in a trained network."""

from __future__ import annotations

import torch

from core.models.cnn import CNN
from core.models.csc import CSC2d
from core.models.knobs import knob_of
from core.models.resnet import CifarResNet
from core.models.sdnet import SDNet
from core.models.top_k import TopK
from core.models.vit import ViT


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def sdnet(which: str = "first") -> SDNet:
    torch.manual_seed(0)
    return SDNet((3, 8, 8), (4, 6), 3, which=which, lam=0.25).eval()


def vit(**options: object) -> ViT:
    torch.manual_seed(0)
    return ViT((3, 8, 8), 4, 8, 2, 2, classes=3, **options).eval()


def test_networks_without_anything_to_turn_have_no_knob() -> None:
    assert knob_of(CifarResNet((3, 8, 8), (4, 6), 3)) is None
    assert knob_of(CNN((3, 8, 8), (4,), 3, True)) is None
    assert knob_of(vit()) is None
    assert knob_of(torch.nn.Identity()) is None


def test_the_knob_of_sdnet_is_lambda_of_all_its_layers() -> None:
    for which, count in (("first", 1), ("all", 5)):
        network = sdnet(which)
        knob = knob_of(network)
        assert knob is not None
        assert (knob.name, knob.trained, knob.most) == ("lam", 0.25, float("inf"))
        assert len(knob.layers) == count
        knob.set(0.5)
        assert {m.lam for m in network.modules() if isinstance(m, CSC2d)} == {0.5}
        knob.set(knob.trained)
        with torch.inference_mode():
            assert torch.equal(network(images()), sdnet(which)(images()))


def test_lambda_of_every_sample_is_that_of_one_after_the_other() -> None:
    network, x = sdnet(), images()
    knob = knob_of(network)
    assert knob is not None
    values = torch.tensor([0.05, 0.4, 1.5])
    with torch.inference_mode():
        knob.set(values)
        together = network(x)
        for i, value in enumerate(values.tolist()):
            knob.set(value)
            torch.testing.assert_close(network(x[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-5)


def test_the_knob_of_a_top_k_transformer_is_k() -> None:
    network = vit(top_k=4)
    knob = knob_of(network)
    assert knob is not None
    assert (knob.name, knob.trained, knob.most, len(knob.layers)) == ("top_k", 4, 32, 2)
    knob.set(7.0)
    assert {m.k for m in network.modules() if isinstance(m, TopK)} == {7}
    knob.set(knob.most)
    with torch.inference_mode():
        assert torch.equal(network(images()), vit()(images()))  # nothing is left out


def test_a_knob_does_not_change_what_was_trained() -> None:
    knob = knob_of(sdnet())
    assert knob is not None
    knob.set(torch.tensor([1.0, 2.0, 3.0]))
    assert knob.trained == 0.25

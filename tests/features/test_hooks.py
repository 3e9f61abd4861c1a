"""Hooks see what a naive capture with clones sees, and leave nothing behind."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from core.features.hooks import TappedModel
from core.features.taps import select, trace


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 3)
    ).eval()


def _hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_in_place_relu_does_not_reach_back() -> None:
    model, x = _model(), torch.randn(5, 3, 4, 4)
    taps = select(trace(model, x[:2]), "all")
    seen: dict[str, Tensor] = {}
    with TappedModel(model, taps) as tapped:
        output = tapped(x, lambda i, t: seen.__setitem__(taps[i].name, t.clone()))
    with torch.no_grad():
        norm = model[1](model[0](x))
        torch.testing.assert_close(seen["0"], model[0](x))
        torch.testing.assert_close(seen["1"], norm)
        torch.testing.assert_close(seen["2"], norm.clamp_min(0))
        torch.testing.assert_close(output, model(x))
    assert seen["1"].min() < 0
    assert _hooks(model) == 0


def test_hooks_are_gone_after_an_error() -> None:
    model = _model()
    taps = select(trace(model, torch.randn(2, 3, 4, 4)), "all")

    def fail(i: int, x: Tensor) -> None:
        raise RuntimeError("sink failed")

    def run() -> None:
        with TappedModel(model, taps) as tapped:
            assert _hooks(model) > 0
            tapped(torch.randn(2, 3, 4, 4), fail)

    with pytest.raises(RuntimeError, match="sink failed"):
        run()
    assert _hooks(model) == 0
    with TappedModel(model, taps):  # the lock is free again
        pass


def test_threads_on_one_module_see_only_their_own_activations() -> None:
    model = _model()
    taps = select(trace(model, torch.randn(2, 3, 4, 4)), "all")
    foreign: dict[float, int] = defaultdict(int)

    def work(value: float) -> None:
        x = torch.full((2, 3, 4, 4), value)
        for _ in range(10):
            with TappedModel(model, taps) as tapped:
                tapped(x, lambda i, t: count(i, t, value))

    def count(i: int, t: Tensor, value: float) -> None:
        if taps[i].name == "input":
            foreign[value] += int((t != value).any())

    threads = [threading.Thread(target=work, args=(float(v),)) for v in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(foreign) == {1.0: 0, 2.0: 0}


def test_a_reading_pass_ends_with_the_last_tap() -> None:
    ran: list[str] = []

    class Noisy(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.append(self.name)
            return x * self.weight

    model = nn.Sequential(Noisy("a"), Noisy("b"), Noisy("c"), nn.Flatten(), nn.Linear(12, 3)).eval()
    x = torch.randn(2, 3, 2, 2)
    taps = select(trace(model, x), "0,1")[:2]
    assert [t.path for t in taps] == ["0", "1"]
    ran.clear()
    seen: list[int] = []
    with TappedModel(model, taps) as run:
        run.read(x, lambda i, _: seen.append(i))
        assert (seen, ran) == ([0, 1], ["a", "b"])
        ran.clear()
        assert run(x, lambda i, _: None).shape == (2, 3)
        assert ran == ["a", "b", "c"]

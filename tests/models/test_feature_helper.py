"""The helper that people copy beside their own network."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

HELPER = Path(__file__).parents[2] / "docs" / "save_features.py"


@pytest.fixture(scope="module")
def helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("save_features", HELPER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout(0.5), nn.ReLU())
        self.out = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.body(x))


def test_the_file_reproduces_the_logits(helper: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Student().train()
    images, labels = torch.randn(10, 3, 2, 2), torch.arange(10) % 3
    batches = [(images[:6], labels[:6]), (images[6:], labels[6:])]
    helper.save_features(model, batches, tmp_path / "f.npz", class_names=["cat", "dog", "eel"])

    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert model.training
    assert not model.out._forward_pre_hooks
    assert arrays["features"].shape == (10, 5)
    assert arrays["features"].dtype == np.float32
    np.testing.assert_array_equal(arrays["labels"], labels.numpy())
    assert list(arrays["class_names"]) == ["cat", "dog", "eel"]
    with torch.no_grad():
        logits = model.eval()(images).numpy()
    np.testing.assert_allclose(
        arrays["features"] @ arrays["weight"].T + arrays["bias"], logits, atol=1e-6
    )


def test_the_hook_is_gone_after_an_error(helper: ModuleType, tmp_path: Path) -> None:
    model = Student()
    with pytest.raises(RuntimeError):
        helper.save_features(model, [(torch.zeros(2, 3, 9, 9), [0, 1])], tmp_path / "f.npz")
    assert not model.out._forward_pre_hooks


def test_without_bias_and_names(helper: ModuleType, tmp_path: Path) -> None:
    model = nn.Linear(4, 2, bias=False)
    helper.save_features(model, [(torch.ones(3, 4), [0, 1, 1])], tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as file:
        assert set(file) == {"features", "labels", "weight"}

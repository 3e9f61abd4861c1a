"""The operator's own model code."""

import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from core.errors import UserError
from core.models.building import build
from core.models.identification import identify
from core.models.operator_models import constructors, load_constructor

CODE = """
    from __future__ import annotations
    import torch
    from torch import nn
    import neighbour

    class Net(nn.Module):
        def __init__(self, width: int = 6) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3)
            self.out = nn.Linear(width, neighbour.CLASSES)
        def forward(self, x):
            return self.out(self.stem(x).relu().mean((2, 3)))

    class Named(nn.Module):
        input_shape = (3, 20, 20)
        mean, std = (0.1, 0.2, 0.3), (0.9, 0.8, 0.7)
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 5, 20)
            self.out = nn.Linear(5, 2)
        def forward(self, x):
            return self.out(self.stem(x).flatten(1))

    class NeedsWidth(nn.Module):
        def __init__(self, width):
            super().__init__()

    def wide() -> Net:
        return Net(9)

    def train():
        raise SystemExit("never called")

    def broken() -> nn.Module:
        return 1 / 0

    def number():
        return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("CLASSES = 4\n")
    file = tmp_path / "nets.py"
    file.write_text(textwrap.dedent(CODE))
    return file


def test_a_function_or_class_makes_the_network(file: Path) -> None:
    wide = load_constructor(f"{file}:wide")
    original = wide().eval()
    model = build(original.state_dict(), {}, constructor=wide, sample_shape=(1, 12, 12))
    assert (model.architecture, model.match, model.classes) == ("Net", "given", 4)
    assert model.preprocessing.shape == (3, 12, 12)
    assert model.parameters == sum(p.numel() for p in original.parameters())
    x = torch.rand(2, 3, 12, 12)
    torch.testing.assert_close(model.module(x), original(x))
    assert load_constructor(f"{file}:Net")().stem.out_channels == 6


def test_a_network_that_accepts_no_images_is_warned_about() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.out(x + y)

    model = build(Pair().state_dict(), {}, constructor=Pair)
    assert any("give it an attribute input_shape" in warning for warning in model.warnings)


def test_a_network_brings_its_preprocessing(file: Path) -> None:
    named = load_constructor(f"{file}:Named")
    model = build(named().state_dict(), {}, constructor=named)
    assert model.preprocessing.shape == (3, 20, 20)
    assert model.preprocessing.std == (0.9, 0.8, 0.7)


def test_foreign_names_load_by_shapes_into_given_code(file: Path) -> None:
    wide = load_constructor(f"{file}:wide")
    original = wide()
    tensors = {f"x.{key}": value for key, value in original.state_dict().items()}
    model = build(tensors, {}, constructor=wide)
    assert torch.equal(model.module.stem.weight, original.stem.weight)


def test_given_code_that_does_not_fit(file: Path) -> None:
    wrong = nn.Linear(3, 2).state_dict()
    with pytest.raises(UserError, match=r"does not fit the given model: it lacks stem\.weight"):
        build(wrong, {}, constructor=load_constructor(f"{file}:wide"))
    narrow = load_constructor(f"{file}:Net")().state_dict()
    with pytest.raises(UserError, match=r"stem\.weight is 6×3×3×3 instead of 9×3×3×3"):
        build(narrow, {}, constructor=load_constructor(f"{file}:wide"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{file}", "FILE.py:FUNCTION"),
        ("{file}:", "FILE.py:FUNCTION"),
        ("{file}:nothing", "has no function nothing: it has Net, Named, wide, broken"),
        ("{file}:NeedsWidth", "needs arguments"),
        ("{folder}/none.py:f", "does not exist"),
        ("{folder}/note.txt:f", "is not Python"),
        ("{folder}/bad.py:f", "fails to run: SyntaxError"),
    ],
)
def test_mistakes_are_named(file: Path, text: str, message: str) -> None:
    (file.parent / "note.txt").write_text("x = 1")
    (file.parent / "bad.py").write_text("x =")
    with pytest.raises(UserError, match=message):
        load_constructor(text.format(file=file, folder=file.parent))


def test_failures_inside_the_code_are_the_users(file: Path) -> None:
    with pytest.raises(UserError, match="broken fails: ZeroDivisionError"):
        load_constructor(f"{file}:broken")()
    with pytest.raises(UserError, match="number returns a int"):
        load_constructor(f"{file}:number")()


def test_a_folder_of_models(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "bad.py").write_text("import not_installed_anywhere")
    names = [f"nets.py:{name}" for name in ("Net", "Named", "wide", "broken")]
    assert list(constructors(file.parent)) == names
    tensors = load_constructor(f"{file}:wide")().state_dict()
    assert identify(tensors, {}).architecture is None
    monkeypatch.setenv("FEATURESCOPE_MODELS", str(file.parent))
    found = identify(tensors, {})
    assert (found.architecture, found.match, found.classes) == ("nets.py:wide", "names", 4)
    model = build(tensors, {})
    assert (model.architecture, model.match) == ("nets.py:wide", "names")
    assert torch.equal(model.module.stem.weight, tensors["stem.weight"])
    monkeypatch.setenv("FEATURESCOPE_MODELS", str(file.parent / "none"))
    with pytest.raises(UserError, match="does not exist"):
        identify(tensors, {})

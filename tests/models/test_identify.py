"""Names and shapes of tensors → architecture, on the meta device."""

import random
import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models as torchvision_models

from core.models import registry
from core.models.identification import Identification, identify, variants
from core.models.meta import on_meta
from core.models.signature import table

TEN = (
    "resnet50",
    "vgg11",
    "densenet121",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "efficientnet_b0",
    "vit_b_16",
    "convnext_tiny",
    "regnet_y_400mf",
)


@cache
def meta_tensors(name: str, classes: int = 10, channels: int = 3) -> dict[str, Tensor]:
    source = table().signatures[name].source
    return on_meta(partial(registry.create, name, source, classes, channels)).state_dict()


def published(folder: Path, name: str) -> dict[str, Tensor]:
    file = torch.load(folder / "real_checkpoints" / name, weights_only=True, map_location="meta")
    tensors = file.get("state_dict", file)
    return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}


def found(tensors: Mapping[str, Tensor], **metadata: str) -> Identification:
    return identify(tensors, metadata)


# --- published files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "architecture", "parameters"),
    [
        ("resnet20-12fca82f.th", "resnet20_cifar", 269_722),
        ("resnet56-4bfd9763.th", "resnet56_cifar", 853_018),
    ],
)
def test_published_cifar_resnets(
    test_data: Path, file: str, architecture: str, parameters: int
) -> None:
    result = found(published(test_data, file))
    assert result.architecture == architecture
    assert result.match == "names"
    assert result.classes == 10
    assert result.input_shape == (3, 32, 32)
    assert result.parameters == parameters
    assert result.warnings == ()
    assert "mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)" in (
        result.candidates[0].preprocessing
    )
    names = [candidate.architecture for candidate in variants(result)]
    assert names[:2] == [architecture, f"{architecture}@cifar-norm"]


def test_foreign_names_match_by_shapes(test_data: Path) -> None:
    result = found(published(test_data, "efficientnet-lite0-57934424.pth"))
    assert result.architecture == "tf_efficientnet_lite0"
    assert result.match == "shapes"
    assert (result.classes, result.input_shape) == (1000, (3, 224, 224))
    assert result.parameters == 4_652_008
    assert any("matched by their shapes" in warning for warning in result.warnings)
    assert "mean (0.5, 0.5, 0.5)" in result.candidates[0].preprocessing
    assert "efficientnet_lite0" in [c.architecture for c in result.candidates]


def test_without_timm_the_warning_says_to_install_it(
    test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "has_timm", lambda: False)
    result = found(published(test_data, "efficientnet-lite0-57934424.pth"))
    assert result.architecture == "tf_efficientnet_lite0"
    assert any("pip install timm" in warning for warning in result.warnings)


# --- the registry --------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [10, 1000])
@pytest.mark.parametrize("name", TEN)
def test_ten_torchvision_models_with_any_number_of_classes(name: str, classes: int) -> None:
    result = found(meta_tensors(name, classes))
    assert (result.architecture, result.match, result.classes) == (name, "names", classes)
    module = on_meta(partial(registry.create, name, "torchvision", classes))
    assert result.parameters == sum(parameter.numel() for parameter in module.parameters())


def test_torchvision_is_covered_and_distinct() -> None:
    names = torchvision_models.list_models(module=torchvision_models)
    signatures = [table().signatures[name] for name in names]
    assert len({signature.names for signature in signatures}) == len(names) >= 80


@pytest.mark.parametrize("name", [name for name in registry.OWN if "101" not in name])
def test_own_cifar_resnets(name: str) -> None:
    result = found(meta_tensors(name, 100))
    stem = re.sub("_(pool|stride2)$", "", name)
    assert (result.architecture, result.match, result.classes) == (stem, "names", 100)
    assert name in [candidate.architecture for candidate in result.candidates]


def test_torchvision_resnet_with_another_stem() -> None:
    module = torchvision_models.resnet18(num_classes=10)
    module.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    module.maxpool = nn.Identity()
    result = found(dict(sorted(module.state_dict().items())))  # as safetensors stores it
    assert result.architecture == "resnet18_cifar"
    assert {"resnet18_cifar_pool", "resnet18_cifar_stride2", "resnet18_cifar@cifar-norm"} <= {
        candidate.architecture for candidate in variants(result)
    }


@pytest.mark.parametrize("name", ["resnet18", "resnet20_cifar", "vit_tiny_patch16_224"])
def test_grey_images(name: str) -> None:
    if table().signatures[name].source == "timm":
        pytest.importorskip("timm")
    result = found(meta_tensors(name, 10, 1))
    assert result.architecture == name
    assert result.input_shape is not None
    assert result.input_shape[0] == 1


def test_counts_of_batches_may_be_missing_or_extra() -> None:
    tensors = meta_tensors("resnet18")
    without = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert len(without) < len(tensors)
    assert found(without) == found(tensors)
    extra = {**meta_tensors("resnet20_cifar"), "bn1.num_batches_tracked": torch.tensor(3)}
    assert found(extra).architecture == "resnet20_cifar"


@pytest.mark.parametrize(
    "name", ["convnext_atto", "swin_tiny_patch4_window7_224", "timm/vgg11", "mixer_s32_224"]
)
def test_timm_models(name: str) -> None:
    pytest.importorskip("timm")
    result = found(meta_tensors(name, 7))
    assert (result.match, result.classes) == ("names", 7)
    assert name in [c.architecture for c in result.candidates]
    module = on_meta(partial(registry.create, name, "timm", 7))
    assert result.parameters == sum(parameter.numel() for parameter in module.parameters())


def test_the_name_in_the_metadata_decides_between_equals() -> None:
    tensors = meta_tensors("vit_base_patch16_224")
    assert found(tensors).architecture != "deit_base_patch16_224"
    assert found(tensors, arch="deit_base_patch16_224").architecture == "deit_base_patch16_224"


# --- properties ----------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(
    name=st.sampled_from(["resnet20_cifar", "densenet121", "googlenet", "vgg11"]),
    seed=st.integers(0, 1000),
    classes=st.integers(2, 50),
)
def test_renamed_tensors_match_by_shapes(name: str, seed: int, classes: int) -> None:
    rng = random.Random(seed)
    tensors = meta_tensors(name, classes)
    renamed = {f"{rng.random()}.{i}": tensor for i, tensor in enumerate(tensors.values())}
    result = found(renamed)
    names = [candidate.architecture for candidate in result.candidates]
    assert result.match == "shapes"
    assert name in names
    assert result.classes == classes


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rename=st.booleans())
def test_permuted_tensors_never_crash(seed: int, rename: bool) -> None:
    tensors = meta_tensors("resnet20_cifar")
    items = list(tensors.items())
    random.Random(seed).shuffle(items)
    if not rename:
        assert found(dict(items)).architecture == "resnet20_cifar"
        return
    result = found({f"t{i}.w": tensor for i, (_, tensor) in enumerate(items)})
    assert result.architecture is None
    assert "resnet20_cifar" in [candidate.architecture for candidate in result.candidates]
    assert variants(result) == ()
    assert any("another order" in warning for warning in result.warnings)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.lists(st.integers(0, 5), max_size=5).map(lambda s: torch.empty(s, device="meta")),
        max_size=6,
    ),
    st.dictionaries(
        st.sampled_from(["architecture", "arch", "widths", "activation", "input_shape", "mean"]),
        st.one_of(st.text(max_size=6), st.integers(), st.just("mlp")),
    ),
)
def test_any_tensors_and_metadata_are_answered(
    tensors: dict[str, Tensor], metadata: dict[str, object]
) -> None:
    result = identify(tensors, metadata)
    assert result.match in ("names", "shapes", "none")
    assert result.parameters >= 0


# --- networks nobody knows -----------------------------------------------------------------------


def test_an_unknown_network_gets_the_remedies() -> None:
    tensors = {"a.weight": torch.empty(8, 3, 5, 5), "b.weight": torch.empty(4, 77)}
    result = found(tensors)
    assert result.architecture is None
    assert result.match == "none"
    assert result.classes == 4
    text = " ".join(result.warnings)
    for remedy in ("chain of linear layers", "--model FILE.py:FUNCTION", "save_features.py"):
        assert remedy in text


def test_metadata_of_other_programs_is_harmless() -> None:
    tensors = meta_tensors("resnet20_cifar")
    for metadata in ({"mean": "nan,1,1", "std": "1,1,1"}, {"mean": "?", "std": "1,0,1"}):
        assert identify(tensors, metadata) == identify(tensors, {})
    chain = {f"{'9' * 6000}.weight": torch.empty(3, 4, device="meta")}
    assert identify(chain, {"input_shape": "9" * 6000}).architecture == "mlp"

"""Tensors → a network that computes what the one they come from computes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models as torchvision_models
from torchvision.transforms.functional import center_crop

from core.checkpoints import open_checkpoint
from core.errors import UserError
from core.models.building import Model, build
from core.models.cnn import CNN
from core.models.identification import identify, variants
from core.models.mlp import MLP
from core.models.vit import ViT


def loaded(folder: Path, name: str) -> dict[str, Tensor]:
    file = torch.load(folder / "real_checkpoints" / name, weights_only=True, map_location="cpu")
    tensors = file.get("state_dict", file)
    return {key.removeprefix("module."): tensor.float() for key, tensor in tensors.items()}


def images(shape: tuple[int, ...], count: int = 3) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def assert_same(model: Model, original: nn.Module) -> None:
    x = images(model.preprocessing.shape)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), original.eval()(x))


def photograph(image: np.ndarray, model: Model) -> Tensor:
    """(H, W, 3) uint8 → (3, height, width), resized, cropped and normalised for ``model``."""
    p = model.preprocessing
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255  # (1, 3, H, W)
    scale = p.crop_from / min(x.shape[2:])
    x = functional.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)
    x = center_crop(x[0].clamp(0, 1), [p.height, p.width])
    return (x - torch.tensor(p.mean)[:, None, None]) / torch.tensor(p.std)[:, None, None]


def shaken(module: nn.Module) -> nn.Module:
    """Running statistics that are not 0 and 1, so that batch norms matter."""
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return module


# --- published -----------------------------------------------------------------------------------


def test_resnet20_has_its_published_weights(test_data: Path) -> None:
    tensors = loaded(test_data, "resnet20-12fca82f.th")
    model = build(tensors, {})
    assert (model.architecture, model.match, model.classes) == ("resnet20_cifar", "names", 10)
    assert model.parameters == 269_722 == sum(p.numel() for p in model.module.parameters())
    assert not model.module.training
    assert model.preprocessing.shape == (3, 32, 32)
    own = model.module.state_dict()
    assert all(torch.equal(own[key], tensor) for key, tensor in tensors.items())


def test_option_a_pads_both_sides(test_data: Path) -> None:
    model = build(loaded(test_data, "resnet20-12fca82f.th"), {})
    x = images((16, 8, 8))
    out = model.module.get_submodule("layer2.0.shortcut")(x)
    torch.testing.assert_close(out[:, 8:24], x[:, :, ::2, ::2])
    assert out.shape == (3, 32, 4, 4)
    assert out[:, :8].abs().sum() == out[:, 24:].abs().sum() == 0


def test_efficientnet_loads_by_shapes(test_data: Path) -> None:
    pytest.importorskip("timm")
    tensors = loaded(test_data, "efficientnet-lite0-57934424.pth")
    model = build(tensors, {})
    assert (model.architecture, model.match) == ("tf_efficientnet_lite0", "shapes")
    own = model.module.state_dict()
    assert torch.equal(own["classifier.weight"], tensors["_fc.weight"])
    assert torch.equal(own["bn2.running_var"], tensors["_bn1.running_var"])
    photographs = torch.stack([photograph(image, model) for image in load_sample_images().images])
    with torch.inference_mode():
        probabilities = model.module(photographs).softmax(1)  # (2, 1000)
    palace, daisy = 698, 985  # of ImageNet's classes
    assert probabilities.argmax(1).tolist() == [palace, daisy]


def test_variants_of_a_name(test_data: Path) -> None:
    tensors = loaded(test_data, "resnet20-12fca82f.th")
    for candidate in variants(identify(tensors, {})):
        model = build(tensors, {}, candidate.architecture)
        assert model.architecture == candidate.architecture
        assert model.preprocessing.describe() == candidate.preprocessing
    model = build(tensors, {}, "resnet20_cifar@48,half-norm")
    assert model.preprocessing.shape == (3, 48, 48)
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)


def test_metadata_tells_the_normalisation(test_data: Path) -> None:
    metadata = {"mean": "0.1,0.2,0.3", "std": "0.4,0.5,0.6"}
    model = build(loaded(test_data, "resnet20-12fca82f.th"), metadata)
    assert (model.preprocessing.mean, model.preprocessing.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert len(model.candidates) == 1  # nothing is left to guess


# --- the registry --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "googlenet"])
def test_torchvision_models_compute_the_same(name: str) -> None:
    arguments = {"init_weights": False} if name == "googlenet" else {}
    original = shaken(torchvision_models.get_model(name, num_classes=7, **arguments))
    model = build(original.state_dict(), {})
    assert (model.architecture, model.classes) == (name, 7)
    assert_same(model, original)


def test_a_grey_stem() -> None:
    original = shaken(torchvision_models.resnet18(num_classes=10))
    original.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    model = build(original.state_dict(), {})
    assert model.preprocessing.shape == (1, 224, 224)
    assert len(model.preprocessing.mean) == 1
    assert_same(model, original)


def test_a_small_stem_in_torchvisions_names() -> None:
    original = shaken(torchvision_models.resnet18(num_classes=10))
    original.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    original.maxpool = nn.Identity()
    model = build(original.state_dict(), {})
    assert (model.architecture, model.match) == ("resnet18_cifar", "names")
    assert_same(model, original)


def test_an_architecture_that_is_asked_for_must_fit(test_data: Path) -> None:
    tensors = loaded(test_data, "resnet20-12fca82f.th")
    with pytest.raises(UserError, match=r"does not fit resnet32_cifar: it lacks layer1\.3"):
        build(tensors, {}, "resnet32_cifar")
    with pytest.raises(UserError, match="did you mean resnet20_cifar"):
        build(tensors, {}, "resnet20_cifa")
    with pytest.raises(UserError, match="'blur' after @ is not known"):
        build(tensors, {}, "resnet20_cifar@blur")
    assert build(tensors, {}, "resnet20_cifar").match == "names"


def test_wrong_roles_are_not_loaded_by_shape(test_data: Path) -> None:
    tensors = loaded(test_data, "resnet20-12fca82f.th")
    swapped = {}
    for name, tensor in tensors.items():  # running variance where the mean should be
        name = name.replace("running_mean", "x").replace("running_var", "running_mean")
        swapped["net_" + name.replace(".x", ".running_var")] = tensor
    with pytest.raises(UserError, match=r"cannot be its .*--model"):
        build(swapped, {})


def test_unknown_networks_name_the_remedies() -> None:
    tensors = {"a.weight": torch.zeros(8, 3, 5, 5), "b.weight": torch.zeros(4, 77)}
    with pytest.raises(UserError, match=r"chain of linear.*--model FILE.py:FUNCTION.*save_feat"):
        build(tensors, {})


# --- own models, from their metadata -------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu"])
def test_mlp_round_trip(activation: str, batch_norm: bool) -> None:
    original = shaken(MLP((1, 8, 8), (20, 20, 12), 10, activation, batch_norm))
    model = build(original.state_dict(), original.metadata())
    assert (model.architecture, model.match, model.classes) == ("mlp", "names", 10)
    assert model.preprocessing.shape == (1, 8, 8)
    assert (model.preprocessing.mean, model.preprocessing.std) == ((0.0,), (1.0,))
    assert isinstance(model.module, MLP)
    assert model.module.metadata() == original.metadata()
    assert_same(model, original)


@pytest.mark.parametrize(
    "original",
    [
        CNN((3, 16, 16), (8, 16), 5),
        CNN((1, 8, 8), (4, 4, 4, 4), 3, batch_norm=False),
        ViT((3, 16, 16), 4, 24, 2, 3, classes=5),
        ViT((1, 8, 8), 4, 16, 1, 4, classes=3, pool="mean"),
    ],
)
def test_own_images_networks_round_trip(original: CNN | ViT) -> None:
    model = build(shaken(original).state_dict(), original.metadata())
    assert model.architecture == original.metadata()["architecture"]
    assert model.preprocessing.shape == original.input_shape
    assert model.classes == original.classes
    assert_same(model, original)


def test_metadata_that_asks_for_absurd_sizes() -> None:
    original = ViT((3, 16, 16), 4, 24, 1, 3, classes=5)
    huge = str(1 << 24)
    for key, value in (("input_shape", f"3,{huge},{huge}"), ("width", huge), ("depth", "999999")):
        changed = {**original.metadata(), "patch": "1", key: value}
        assert identify(original.state_dict(), changed).architecture is None
    pooled = CNN((3, 16, 16), (8,), 5)
    changed = {**pooled.metadata(), "input_shape": "3,9999,9999"}
    assert identify(pooled.state_dict(), changed).architecture is None


def test_metadata_that_lies_is_not_believed() -> None:
    original = MLP((1, 8, 8), (20,), 10)
    for key, value in (("widths", "9999999,16777216"), ("depth", "x"), ("input_shape", "8")):
        model = build(original.state_dict(), {**original.metadata(), key: value})
        assert model.parameters == 64 * 20 + 20 + 200 + 10


# --- plain chains --------------------------------------------------------------------------------


def test_a_chain_with_names_of_its_own() -> None:
    original = shaken(
        nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(64, 30, bias=False), nn.BatchNorm1d(30), nn.Tanh()),
            *(nn.Linear(30, 30), nn.Tanh(), nn.Dropout()),
            nn.Linear(30, 4),
        )
    )
    tensors = {f"body.{key}": tensor for key, tensor in original.state_dict().items()}
    plain = build(tensors, {})
    assert (plain.architecture, plain.match, plain.classes) == ("mlp", "shapes", 4)
    assert any("ReLU is assumed" in warning for warning in plain.warnings)
    assert_same(build(tensors, {}, "mlp_tanh"), original)
    told = build(tensors, {"activation": "tanh"})
    assert told.architecture == "mlp_tanh"
    assert told.warnings == ()
    assert_same(told, original)


def test_a_chain_counts_as_people_do() -> None:
    original = nn.Sequential(nn.Flatten())
    for i in range(12):
        original.add_module(f"fc{i}", nn.Linear(16, 16 if i < 11 else 3))
        original.add_module(f"act{i}", nn.ReLU() if i < 11 else nn.Identity())
    tensors = dict(sorted(original.state_dict().items()))  # fc0, fc1, fc10, fc11, fc2, …
    assert_same(build(tensors, {}), original)


@pytest.mark.parametrize(
    ("size", "sample", "shape"),
    [
        (64, None, (1, 8, 8)),
        (784, None, (1, 28, 28)),
        (3072, None, (3, 32, 32)),
        (1024, None, (1, 32, 32)),
        (10, None, (1, 1, 10)),
        (192, (3, 8, 8), (3, 8, 8)),
        (192, (1, 8, 24), (1, 8, 24)),
        (192, (3, 9, 9), (3, 8, 8)),
    ],
)
def test_the_input_of_a_chain(
    size: int, sample: tuple[int, ...] | None, shape: tuple[int, ...]
) -> None:
    assert math.prod(shape) == size
    tensors = nn.Sequential(nn.Linear(size, 5), nn.ReLU(), nn.Linear(5, 2)).state_dict()
    assert build(tensors, {}, sample_shape=sample).preprocessing.shape == shape


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)),
        nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4)),
    ],
)
def test_what_is_no_chain(module: nn.Module) -> None:
    assert identify(module.state_dict(), {}).architecture is None


def test_a_very_deep_network_describes_itself_in_its_file(tmp_path: Path) -> None:
    original = shaken(MLP((1, 4, 4), (8,) * 200, 3, batch_norm=True))
    save_file(original.state_dict(), tmp_path / "deep.safetensors", original.metadata())
    checkpoint = open_checkpoint(tmp_path / "deep.safetensors")
    model = build(checkpoint.tensors, checkpoint.metadata)
    assert (model.architecture, model.match) == ("mlp", "names")
    assert_same(model, original)

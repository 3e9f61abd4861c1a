"""The shipped table of signatures, against the code that makes it."""

from functools import partial

import pytest

from core.models import norms, registry
from core.models.make_signatures import CLASSES, preprocessing_of, sign
from core.models.meta import on_meta
from core.models.signature import FILE, Signature, table


def signed(name: str, source: str) -> Signature:
    module = on_meta(partial(registry.create, name, source, CLASSES))
    return sign(name, source, module, preprocessing_of(name, source, module))


@pytest.mark.parametrize("name", registry.OWN)
def test_every_own_network_is_in_the_table(name: str) -> None:
    assert table().signatures[name] == signed(name, "own")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "vit_b_16_384", "inception_v3"])
def test_torchvision_is_up_to_date(name: str) -> None:
    assert table().signatures[name] == signed(name, "torchvision")


@pytest.mark.parametrize(
    "name", ["timm/resnet18", "tf_efficientnet_lite0", "vit_small_r26_s32_224"]
)
def test_timm_is_up_to_date(name: str) -> None:
    pytest.importorskip("timm")
    assert table().signatures[name] == signed(name, "timm")


def test_published_preprocessing() -> None:
    found = table().signatures["resnet50"].preprocessing
    assert (found.shape, found.crop_from) == ((3, 224, 224), 256)
    assert (found.mean, found.std) == norms.IMAGENET
    # torchvision turns ImageNet's normalisation into this one inside the network
    assert table().signatures["googlenet"].preprocessing.mean == (0.5, 0.5, 0.5)


def test_the_table_is_small_and_wide() -> None:
    assert FILE.stat().st_size < 100_000
    assert len(table().signatures) > 1400


def test_names_are_never_ambiguous_between_libraries() -> None:
    for signature in table().signatures.values():
        assert signature.name.startswith("timm/") <= (signature.source == "timm")

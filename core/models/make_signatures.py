"""Make ``signatures.json.gz``: every architecture's digests, from its tensors on the meta device.

    python -m core.models.make_signatures [NAME …]

With names, only these are made again and the others stay as they are. All take minutes, because
timm has more than a thousand models. Needs torchvision and timm.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
import warnings
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.models import registry
from core.models.meta import on_meta
from core.models.norms import IMAGENET
from core.models.signature import (
    FILE,
    Signature,
    digest,
    modulo_classes,
    named_shapes,
    ordered,
    table,
    term,
)

CLASSES = 7919  # a prime that is no layer's width: it marks the classifier's tensors


def sign(name: str, source: str, module: nn.Module, preprocessing: Preprocessing) -> Signature:
    """The signature of a network made with ``CLASSES`` classes."""
    shapes = named_shapes(module.state_dict())
    classifier = tuple(key for key, shape in shapes.items() if shape[:1] == (CLASSES,))
    if not classifier:
        raise ValueError("no classifier")
    general = {
        key: modulo_classes(shape) if key in classifier else shape for key, shape in shapes.items()
    }
    places = ordered(shapes)
    parameters = {key for key, _ in module.named_parameters(remove_duplicate=False)}
    return Signature(
        name,
        source,
        classifier,
        tuple(places.index(key) - len(places) for key in classifier),
        names=digest(term(key, shape) for key, shape in general.items()),
        order=_order(general, places),
        bag=digest(term("", general[key]) for key in places if key not in classifier),
        buffers=sum(
            torch.Size(shape).numel() for key, shape in shapes.items() if key not in parameters
        ),
        flexible=_runs(module, 32),
        preprocessing=preprocessing,
    )


def _order(general: dict[str, tuple[int, ...]], places: list[str]) -> int | None:
    if len(places) != len(general):
        return None
    return digest(term(i, general[key]) for i, key in enumerate(places))


def _runs(module: nn.Module, size: int) -> bool:
    try:
        module.eval()(torch.empty(2, 3, size, size, device="meta"))
    except Exception:
        return False
    return True


def architectures() -> Iterator[tuple[str, str]]:
    """(name, source) of all; a name of timm that torchvision has too is written ``timm/name``."""
    import timm
    from torchvision import models

    taken = [*registry.OWN, *models.list_models(module=models), *registry.TORCHVISION_VARIANTS]
    yield from ((name, "own") for name in registry.OWN)
    yield from ((name, "torchvision") for name in taken[len(registry.OWN) :])
    for name in timm.list_models():
        yield (f"timm/{name}" if name in taken else name, "timm")


def preprocessing_of(name: str, source: str, module: nn.Module) -> Preprocessing:
    """The published preprocessing, from the libraries' own records; nothing is downloaded."""
    if source == "own":
        return Preprocessing(32, 32, 3, *IMAGENET)
    if source == "torchvision":
        return _torchvision_preprocessing(name)
    config: dict = module.pretrained_cfg  # type: ignore[assignment]
    channels, height, width = config["input_size"]
    crop = None
    if config.get("crop_mode", "center") == "center" and height == width:
        crop = math.floor(height / config.get("crop_pct", 0.875))
    return Preprocessing(
        height,
        width,
        channels,
        tuple(config["mean"]),
        tuple(config["std"]),
        crop if crop != height else None,
        config["interpolation"],
    )


def _torchvision_preprocessing(name: str) -> Preprocessing:
    from torchvision import models

    base, arguments = registry.TORCHVISION_VARIANTS.get(name, (name, {}))
    transforms = [weights.transforms() for weights in models.get_model_weights(base)]
    if size := arguments.get("image_size"):
        chosen = next(t for t in transforms if t.crop_size == [size])
    else:  # the first published weights of the size that the model has by default
        chosen = min(transforms, key=lambda t: t.crop_size)
    (size,), (crop,) = chosen.crop_size, chosen.resize_size
    mean, std = chosen.mean, chosen.std
    if base in ("googlenet", "inception_v3"):  # what their `transform_input` makes of it
        mean = std = (0.5, 0.5, 0.5)
    interpolation = chosen.interpolation.value
    return Preprocessing(size, size, 3, tuple(mean), tuple(std), crop, interpolation)


def main(names: list[str]) -> None:
    """Build, sign and write all, or those named; failures are listed on standard error."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept = table().signatures if names else {}
    signatures = []
    for name, source in architectures():
        if name in kept and name not in names:
            signatures.append(kept[name])
            continue
        try:
            module = on_meta(partial(registry.create, name, source, CLASSES))
            signatures.append(sign(name, source, module, preprocessing_of(name, source, module)))
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}"[:200], file=sys.stderr, flush=True)
    write(signatures)
    print(f"{len(signatures)} signatures, {FILE.stat().st_size} bytes")


def write(signatures: list[Signature]) -> None:
    """Write the file; the same signatures give the same bytes."""
    classifiers = list(dict.fromkeys(s.classifier for s in signatures))
    preprocessings = list(dict.fromkeys(s.preprocessing for s in signatures))
    data = {
        "classifiers": classifiers,
        "preprocessings": [
            (p.height, p.width, p.channels, p.mean, p.std, p.crop_from, p.interpolation)
            for p in preprocessings
        ],
        "models": [
            (
                s.name,
                s.source,
                classifiers.index(s.classifier),
                s.places,
                s.names,
                s.order,
                s.bag,
                s.buffers,
                s.flexible,
                preprocessings.index(s.preprocessing),
            )
            for s in signatures
        ],
    }
    text = json.dumps(data, separators=(",", ":"))
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Make the bundled CIFAR-10 samples, bytes of the images unchanged.

python -m scripts.make_cifar_sample cifar10_test.zip cifar10_train.zip

200 images of every class of both splits for analyses: of the test split the first ones, of the
training split ones drawn with a seed. And 500 of every class of the training split, drawn with
another seed, that networks are trained on here.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np

from core.data.opening import CIFAR10_SAMPLE, CIFAR10_SUBSET, CIFAR10_TRAIN_SAMPLE

PER_CLASS = 200
TRAINED_ON = 500


def make(source: Path, target: Path, seed: int | None = None, count: int = PER_CLASS) -> int:
    """Copy ``count`` images of every class folder, the first ones or, with a seed, drawn ones;
    returns how many."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as sample:
        by_class: dict[str, list[str]] = {}
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            by_class.setdefault(name.split("/")[0], []).append(name)
        rng = None if seed is None else np.random.default_rng(seed)
        for names in by_class.values():
            chosen = names if rng is None else rng.choice(names, count, replace=False).tolist()
            for name in sorted(chosen[:count]):
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                sample.writestr(entry, archive.read(name))
    return count * len(by_class)


if __name__ == "__main__":
    test, train = map(Path, sys.argv[1:])
    print(make(test, CIFAR10_SAMPLE), "images of the test split")
    print(make(train, CIFAR10_TRAIN_SAMPLE, seed=0), "images of the training split")
    print(make(train, CIFAR10_SUBSET, seed=1, count=TRAINED_ON), "images to train on")

"""Make the bundled CIFAR-10 sample: the first 200 test images of every class, bytes unchanged.

python scripts/make_cifar_sample.py cifar10_test.zip
"""

from __future__ import annotations

import sys
import zipfile
from collections import Counter
from pathlib import Path

from core.data.opening import CIFAR10_SAMPLE

PER_CLASS = 200


def make(source: Path, target: Path = CIFAR10_SAMPLE) -> int:
    """Copy the first ``PER_CLASS`` images of every class folder; returns how many."""
    taken: Counter[str] = Counter()
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as sample:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            label = name.split("/")[0]
            if taken[label] < PER_CLASS:
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                sample.writestr(entry, archive.read(name))
                taken[label] += 1
    return sum(taken.values())


if __name__ == "__main__":
    print(make(Path(sys.argv[1])), "images")

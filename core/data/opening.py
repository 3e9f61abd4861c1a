"""One way to open any data set: by a name that comes with the app, or by a path."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from core.data import digits
from core.data.archives import open_folder, open_zip
from core.data.arrays import open_npz
from core.data.corruptions import corrupt, split_spec
from core.data.dataset import Dataset
from core.data.variants import split_variant, vary
from core.errors import UserError

CIFAR10_SAMPLE = Path(__file__).parent / "bundled" / "cifar10_test_sample.zip"
CIFAR10_TRAIN_SAMPLE = CIFAR10_SAMPLE.with_name("cifar10_train_sample.zip")
CIFAR10_SUBSET = CIFAR10_SAMPLE.with_name("cifar10_train_subset.zip")
BUNDLED = {
    **digits.NAMES,
    "cifar10": "CIFAR-10 test sample",
    "cifar10-train": "CIFAR-10 training sample",
    "cifar10-subset": "CIFAR-10 training subset of 5,000",
}
_SAMPLES = {
    "cifar10": CIFAR10_SAMPLE,
    "cifar10-train": CIFAR10_TRAIN_SAMPLE,
    "cifar10-subset": CIFAR10_SUBSET,
}


def open_dataset(spec: str | Path, name: str = "") -> Dataset:
    """A name of ``BUNDLED``, or the path of a zip file or folder of class folders, or of an
    ``.npz`` with X and y; any of them followed by ``@`` and a corruption (``cifar10@contrast-5``)
    or a variant (``digits-train@random_labels-50``). UserError if it is none of these."""
    data, variant = split_variant(str(spec))
    if variant is not None:
        return vary(open_dataset(data, name), *variant)
    data, corruption = split_spec(str(spec))
    if corruption is not None:
        return corrupt(open_dataset(data, name), *corruption)
    if not data:  # the path of nothing would be the folder that the program runs in
        raise UserError(f"no data set is named in “{spec}”; give one of {', '.join(BUNDLED)}")
    if data in digits.NAMES:
        return digits.open_digits(data)
    if data in _SAMPLES:
        return replace(open_zip(_SAMPLES[data], data), name=BUNDLED[data])
    path = Path(spec)
    name = name or path.name
    if path.is_dir():
        return open_folder(path, name)
    if not path.is_file():
        raise UserError(
            f"there is no data set {spec}; give {', '.join(BUNDLED)}, a zip file or folder of "
            "class folders, or an .npz file with X and y"
        )
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{name} is neither a zip file of class folders nor an .npz file with X and y"
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    is_npz = bool(members) and all(m.endswith(".npy") for m in members)
    return open_npz(path, name) if is_npz else open_zip(path, name)

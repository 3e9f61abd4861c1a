"""scikit-learn's digits: 1,797 grey images of 8×8 pixels, embedded in the library."""

from __future__ import annotations

import hashlib

import numpy as np

from core.data.dataset import Dataset

CLASS_NAMES = tuple(str(k) for k in range(10))
TEST_SHARE = 0.2
SPLIT_SEED = 0
NAMES = {
    "digits": "digits, all",
    "digits-train": "digits, training split",
    "digits-test": "digits, test split",
}


def open_digits(spec: str = "digits") -> Dataset:
    """``digits``, or the 80 % ``digits-train`` / 20 % ``digits-test`` of one stratified split.

    Images are (8, 8, 1) float32 in [0, 1] (the library's 0 … 16, divided by 16).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = (bunch.images / 16.0).astype(np.float32)[:, :, :, None]  # (1797, 8, 8, 1)
    labels = bunch.target.astype(np.int64)
    ids = np.arange(len(labels))
    if spec != "digits":
        train, test = train_test_split(
            ids, test_size=TEST_SHARE, stratify=labels, random_state=SPLIT_SEED
        )
        ids = np.sort(train if spec == "digits-train" else test)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes() + ids.tobytes()).hexdigest()
    return Dataset(NAMES[spec], digest, labels[ids], CLASS_NAMES, images.__getitem__, ids)

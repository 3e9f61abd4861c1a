"""Variants of data sets: what changes, what stays, and that a name always means the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.opening import open_dataset
from core.data.variants import VARIANTS, split_variant
from core.errors import UserError


@given(st.integers(1, 100))
@settings(max_examples=15, deadline=None)
def test_random_labels_keep_the_classes_sizes(percent: int) -> None:
    plain = open_dataset("digits-train")
    varied = open_dataset(f"digits-train@random_labels-{percent}")
    assert np.array_equal(np.bincount(varied.labels), np.bincount(plain.labels))
    changed = float((varied.labels != plain.labels).mean())
    # one in ten gets its own label again
    assert changed == pytest.approx(0.9 * percent / 100, abs=0.03)
    assert np.array_equal(varied.image(5), plain.image(5))


def test_random_labels_say_nothing_of_the_image() -> None:
    plain = open_dataset("digits-train")
    varied = open_dataset("digits-train@random_labels-100")
    table = np.histogram2d(plain.labels, varied.labels, bins=10)[0]
    expected = table.sum(1)[:, None] * table.sum(0) / table.sum()
    chi2 = ((table - expected) ** 2 / expected).sum()
    assert chi2 < 81 + 4 * np.sqrt(2 * 81)  # mean and deviations for 81 degrees of freedom


def test_random_pixels_are_uniform_and_stay_what_they_are() -> None:
    varied = open_dataset("digits-train@random_pixels-1")
    pixels = np.stack([varied.image(i) for i in range(300)])
    assert pixels.mean() == pytest.approx(0.5, abs=0.01)
    assert pixels.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    assert np.array_equal(varied.image(7), open_dataset("digits-train@random_pixels-1").image(7))
    assert not np.array_equal(varied.image(7), varied.image(8))
    assert not np.array_equal(
        varied.image(7), open_dataset("digits-train@random_pixels-2").image(7)
    )
    colour = open_dataset("cifar10-subset@random_pixels-1").image(0)
    assert colour.dtype == np.uint8
    assert colour.shape == (32, 32, 3)


def test_step_imbalance_thins_the_second_half_of_the_classes() -> None:
    plain = np.bincount(open_dataset("digits-train").labels)
    varied = np.bincount(open_dataset("digits-train@imbalanced-20").labels)
    assert np.array_equal(varied[:5], plain[:5])
    assert np.array_equal(varied[5:], np.round(plain[5:] / 20))
    few = np.bincount(open_dataset("digits-train@imbalanced-1000").labels)
    assert (few[5:] == 2).all()


def test_halves_make_the_whole() -> None:
    halves = [open_dataset(f"digits-train@half-{n}") for n in (1, 2)]
    ids = np.concatenate([half.ids for half in halves])
    assert np.array_equal(np.sort(ids), open_dataset("digits-train").ids)
    sizes = [np.bincount(half.labels) for half in halves]
    assert np.abs(sizes[0] - sizes[1]).max() <= 2


def test_names_and_digests_differ() -> None:
    specs = [f"digits-train@{name}-{v.numbers[0]}" for name, v in VARIANTS.items()]
    made = [open_dataset(spec) for spec in ("digits-train", *specs)]
    assert len({d.name for d in made}) == len(made)
    assert len({d.sha256 for d in made}) == len(made)


def test_variants_and_corruptions_follow_each_other() -> None:
    both = open_dataset("digits-test@half-1@gaussian_noise-5")
    assert len(both) == len(open_dataset("digits-test@half-1"))
    assert not np.array_equal(both.image(0), open_dataset("digits-test@half-1").image(0))


def test_what_is_no_variant() -> None:
    assert split_variant("digits@gaussian_noise-3") == ("digits@gaussian_noise-3", None)
    assert split_variant("digits") == ("digits", None)
    with pytest.raises(UserError, match="from 1 to 100"):
        open_dataset("digits@random_labels-200")
    with pytest.raises(UserError, match="there is no data set"):
        open_dataset("nowhere@half-1")

"""Profiles of data sets, what is said of a pair of them, and the pictures of corruptions."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import synthetic_analysis

from core import library, store
from core.data.corruptions import FAMILIES, SEVERITIES, spec_of
from core.data.opening import open_dataset
from core.errors import Cancelled
from core.metrics.collapse import ncc_accuracy, neural_collapse
from core.metrics.moments import class_moments
from core.metrics.separation import separation
from core.request import AnalysisRequest
from core.results import Settings
from core.shift import (
    Profile,
    bundled,
    compare,
    in_words,
    profile_of,
    requests_for,
    splits_of,
    verdict,
)
from core.shift.comparison import jackknife_error
from core.shift.compute import groups, jackknife, measure
from core.shift.examples import ExamplesRequest, examples
from core.shift.profile import GROUPS, Profiles, bundled_path

NAN = float("nan")


def profile(nc1: list[float], ncc: list[float] | None = None, **more: object) -> Profile:
    values = np.array(nc1)
    made = Profile(
        data="x",
        name="x",
        images=100,
        classes=10,
        accuracy=0.5,
        layers=tuple(f"layer{i}" for i in range(len(nc1))),
        separation=10 * values,
        nc1=values,
        ncc_accuracy=np.array(ncc or [0.5] * len(nc1)),
        penultimate=None,
    )
    return replace(made, **more)


def test_a_profile_holds_the_numbers_of_its_analysis(tmp_path: Path) -> None:
    analysis = synthetic_analysis()
    broken = replace(analysis.layers[2], nc1=None)
    analysis = replace(analysis, layers=(*analysis.layers[:2], broken, *analysis.layers[3:]))
    made = profile_of(analysis, "cifar10")
    assert made.layers == tuple(layer.name for layer in analysis.layers)
    assert np.isnan(made.nc1[2])
    assert made.nc1[3] == analysis.layers[3].nc1
    assert made.penultimate == analysis.penultimate.collapse
    store.save(tmp_path / "p.npz", made)
    back = store.load(Profile, tmp_path / "p.npz")
    np.testing.assert_allclose(back.separation, made.separation, rtol=1e-6)
    assert (back.data, back.accuracy, back.layers) == ("cifar10", made.accuracy, made.layers)


def test_the_ratio_is_that_at_the_median_layer() -> None:
    found = compare(profile([8, 4, 2, 1]), profile([8.8, 5.2, 1.9, 2]), "nc1")
    assert found.median.value == pytest.approx((1.1 * 1.3) ** 0.5)
    assert found.less_collapsed.tolist() == [True, True, False, True]
    assert found.clear is None
    assert in_words(found, "train", "test") == (
        "NC1 is 1.20 times as high on test as on train at the median layer, and is higher (less "
        "collapsed) at 3 of 4 layers; not at layer2."
    )
    assert verdict(found) == "Less collapsed at most depths."


def test_of_an_accuracy_it_is_the_difference_and_lower_is_less() -> None:
    one, other = profile([1, 1, 1], [0.9, 0.8, 0.7]), profile([1, 1, 1], [0.85, 0.78, 0.69])
    found = compare(one, other, "ncc_accuracy")
    assert found.median.value == pytest.approx(-2.0)
    assert verdict(found) == "Less collapsed at every depth."
    assert in_words(found, "a_b", "c*d") == (
        "Nearest-mean accuracy changes by −2.0 points from a\\_b to c\\*d at the median layer, and "
        "is lower (less collapsed) at all 3 layers."
    )
    back = compare(other, one, "ncc_accuracy")
    assert verdict(back) == "Not less collapsed at most depths."
    assert "changes by 2.0 points" in in_words(back, "a", "b")
    assert "at 0 of 3 layers." in in_words(back, "a", "b")


def test_many_exceptions_are_counted() -> None:
    words = in_words(compare(profile([2.0] * 9), profile([3.0] * 4 + [1.0] * 5), "nc1"), "a", "b")
    assert "4 of 9 layers; not at 5, from layer4 to layer8." in words


def test_layers_that_are_not_known_on_both_are_left_out() -> None:
    one, other = profile([1, NAN, 3, 0]), profile([2, 2, NAN, 2])
    assert compare(one, other, "nc1").layers == ("layer0",)
    apart = replace(other, layers=("a", "b", "c", "d"))
    nothing = compare(one, apart, "separation")
    assert nothing.median.value is None
    assert verdict(nothing) == "Not less collapsed at most depths."
    assert "is not known on b and a" in in_words(nothing, "a", "b")


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(0.01, 1e4), min_size=1, max_size=12), factor=st.floats(1.001, 50.0)
)
def test_a_constant_factor_is_found_again(values: list[float], factor: float) -> None:
    found = compare(profile(values), profile([factor * v for v in values]), "separation")
    assert found.median.value == pytest.approx(factor, rel=1e-9)
    assert found.less_collapsed.all()


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnalysisRequest:
    """The last checkpoint of the bundled MLP, with an empty cache."""
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path))
    run = library.find("digits-mlp")
    assert run is not None
    found = library.load(run.id, None, "digits-test").checkpoint.architecture
    made = Settings(device="cpu", batch_size=32, architecture=found or "")
    return AnalysisRequest(str(run.checkpoint_path(None)), "digits-test", settings=made)


def test_profiles_are_measured_once(
    behind: AnalysisRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = requests_for(behind, [("digits-test", ""), ("digits-test@contrast-4", "")])
    reports: list[tuple[int, int, str]] = []
    clean, shifted = measure(requests, progress=lambda *report: reports.append(report))
    assert (clean.data, shifted.data) == ("digits-test", "digits-test@contrast-4")
    assert shifted.name == "digits, test split, Contrast 4"
    assert verdict(compare(clean, shifted, "nc1")).startswith("Less")
    whole = profile_of(library.load("digits-mlp", None, "digits-test"), "digits-test")
    np.testing.assert_allclose(clean.nc1, whole.nc1, rtol=1e-4)
    done = [report[0] / report[1] for report in reports]
    assert done == sorted(done)
    assert any("data set 2 of 2" in report[2] for report in reports)
    assert len(list((tmp_path / "profiles").iterdir())) == 2
    monkeypatch.setattr("core.shift.compute.extract", None)
    again = measure(requests)
    np.testing.assert_array_equal(again[1].nc1, shifted.nc1)


def test_measuring_can_be_cancelled(behind: AnalysisRequest, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        measure(requests_for(behind, [("digits-test", "")]), cancelled=lambda: True)
    assert not (tmp_path / "profiles").exists()


@pytest.mark.parametrize("run_id", ["resnet20-cifar10", "digits-mlp"])
def test_bundled_profiles_are_complete_and_of_this_checkpoint(run_id: str) -> None:
    run = library.find(run_id)
    assert run is not None
    base = splits_of(run)[1][0].id
    found = bundled(run, None)
    corrupted = {spec_of(base, name, s) for name in FAMILIES for s in SEVERITIES}
    assert set(found) == corrupted | {entry.id for entry in run.data}
    path = bundled_path(run, None)
    assert path.stat().st_size < 400_000
    stored = store.load(Profiles, path)
    assert stored.checkpoint_sha256 == library.file_sha256(run.checkpoint_path(None))
    layers = tuple(layer.name for layer in library.load(run_id, None, base).layers)
    assert all(profile.layers == layers for profile in found.values())


def test_a_bundled_profile_is_made_again(behind: AnalysisRequest) -> None:
    run = library.find("digits-mlp")
    assert run is not None
    (made,) = measure(requests_for(behind, [("digits-test@pixelate-3", "")]))
    kept = bundled(run, None)["digits-test@pixelate-3"]
    assert made.accuracy == kept.accuracy
    np.testing.assert_allclose(made.nc1, kept.nc1, rtol=1e-3)
    np.testing.assert_allclose(made.deviations, kept.deviations, atol=1e-3)


def test_the_claim_on_the_bundled_network() -> None:
    """Test against training split: less collapsed, clearly so in the last layers alone."""
    run = library.find("resnet20-cifar10")
    assert run is not None
    profiles = bundled(run, None)
    training, test = profiles["cifar10-train"], profiles["cifar10"]
    found = compare(training, test, "nc1")
    assert found.less_collapsed.sum() >= 11
    assert 1.1 < (found.median.value or 0) < 1.5
    assert found.clear is not None
    assert found.clear[-3:].all()
    assert not found.clear[: len(found.layers) // 2].any()
    assert verdict(found) == "Less collapsed, but not surely at every depth."
    whole = profile_of(library.load(run.id, None, "cifar10"), "cifar10")
    np.testing.assert_allclose(test.nc1, whole.nc1, rtol=1e-3)


def cloud(seed: int, samples: int = 600, classes: int = 5, dim: int = 12) -> tuple:
    """Gaussian classes of unequal spread about fixed means: features (N, d) and labels (N,)."""
    means = np.random.default_rng(99).normal(size=(classes, dim))
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    spread = 1 + labels[:, None] / classes
    return means[labels] + spread * rng.normal(size=(samples, dim)), labels


def test_the_error_is_that_over_fresh_samples() -> None:
    """The jackknife's standard error of one sample against the spread over 60 fresh ones."""
    values, errors = [], []
    for seed in range(60):
        features, labels = cloud(seed)
        moments = class_moments(features, labels, 5)
        values.append(
            [
                np.log(neural_collapse(moments).nc1),
                np.log(separation(moments)),
                ncc_accuracy(features, labels, moments.means),
            ]
        )
        if seed < 15:
            part = groups(labels, np.random.default_rng(0))
            errors.append(jackknife_error(jackknife(features, labels, 5, part).T))
    wanted = np.std(values, axis=0)
    found = np.mean(errors, axis=0)
    np.testing.assert_allclose(found[:2], wanted[:2], rtol=0.25)
    assert (
        0.7 * wanted[2] < found[2] < 2 * wanted[2]
    )  # a share jumps: the error is on the safe side


def test_groups_are_even_and_the_same_for_the_same_labels() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 7])
    part = groups(labels, np.random.default_rng(0))
    np.testing.assert_array_equal(part, groups(labels, np.random.default_rng(0)))
    for k in range(3):
        sizes = np.bincount(part[labels == k], minlength=GROUPS)
        assert np.ptp(sizes) <= 1


def deviating(made: Profile, size: float, seed: int) -> Profile:
    """With jackknife deviations that give a standard error of about ``size`` at every layer."""
    rng = np.random.default_rng(seed)
    draws = size / GROUPS**0.5 * rng.normal(size=(3, GROUPS, len(made.layers)))
    return replace(made, deviations=draws - draws.mean(axis=1, keepdims=True))


def test_what_lies_within_the_sampling_error_is_not_claimed() -> None:
    one, other = profile([8, 4, 2, 1]), profile([12, 4.1, 1.9, 1.5])
    found = compare(deviating(one, 0.1, 0), deviating(other, 0.1, 1), "nc1")
    assert found.clear.tolist() == [True, False, False, True]
    assert found.median.low < found.median.value < found.median.high
    assert verdict(found) == "Less collapsed, but not surely at every depth."
    assert in_words(found, "a", "b").endswith(
        "Beyond the sampling error it is less collapsed at 2 of them and more at none."
    )
    large = compare(deviating(one, 2, 0), deviating(other, 2, 1), "nc1")
    assert verdict(large) == "No difference beyond the sampling error."
    assert "at none of them and more at none" in in_words(large, "a", "b")
    small = compare(deviating(other, 0.001, 0), deviating(one, 0.001, 1), "separation")
    assert verdict(small) == "Less collapsed at some layers, more at others."
    assert "less collapsed at 1 of them and more at 3" in in_words(small, "a", "b")
    lower = profile([4, 2, 1, 0.5])
    much = compare(deviating(one, 0.01, 0), deviating(lower, 0.01, 1), "nc1")
    assert verdict(much) == "More collapsed."
    more = compare(deviating(lower, 0.01, 0), deviating(one, 0.01, 1), "nc1")
    assert verdict(more) == "Less collapsed at every depth."


def test_the_same_images_are_compared_image_by_image() -> None:
    """What base and corruption share of the error cancels."""
    base = replace(deviating(profile([8, 4, 2, 1]), 1.0, 0), data="cifar10")
    shifted = replace(base, nc1=1.2 * base.nc1, data="cifar10@contrast-1")
    assert compare(base, shifted, "nc1").clear.all()
    apart = compare(base, replace(shifted, data="mine.zip"), "nc1")
    assert not apart.clear.any()
    assert apart.deviations.shape == (2 * GROUPS, 4)


def test_examples_are_the_corrupted_images() -> None:
    made = examples(ExamplesRequest("cifar10", "contrast"))
    assert len(set(made.class_names)) == 3
    sheet = np.asarray(Image.open(io.BytesIO(made.png)))
    assert sheet.shape == (3 * 102 - 6, 6 * 102 - 6, 4)  # every pixel 3×3
    data, shifted = open_dataset("cifar10"), open_dataset("cifar10@contrast-5")
    first = sheet[1:96:3, 1:96:3, :3]
    position = next(i for i in range(2000) if (data.image(i) == first).all())
    assert data.class_names[data.labels[position]] == made.class_names[0]
    np.testing.assert_array_equal(sheet[1:96:3, -95::3, :3], shifted.image(position))
    assert (sheet[:, 96:102, 3] == 0).all()  # nothing between the tiles
    assert examples(ExamplesRequest("cifar10", "contrast")) == made


def test_examples_of_any_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "wide.npz"
    np.savez(file, X=rng.random((4, 20, 300)).astype(np.float32), y=[0, 0, 1, 1])
    made = examples(ExamplesRequest(str(file), "pixelate", count=4))
    assert sorted(made.class_names) == ["0", "0", "1", "1"]
    assert Image.open(io.BytesIO(made.png)).size == (6 * 136 - 8, 4 * 136 - 8)

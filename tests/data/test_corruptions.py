"""Corruptions against the published parameters, closed forms, and naive versions of our own."""

from __future__ import annotations

import colorsys
import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from core.data.corruptions import (
    FAMILIES,
    LARGE_FROM,
    SEVERITIES,
    corrupt,
    corrupted,
    disk,
    label,
    spec_of,
    split_spec,
    trail,
)
from core.data.opening import open_dataset
from core.errors import UserError
from core.library import data_key
from core.request import AnalysisRequest

# make_cifar_c.py and make_imagenet_c.py of github.com/hendrycks/robustness, read there by hand
PUBLISHED = {
    "gaussian_noise": ([0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38]),
    "shot_noise": ([500, 250, 100, 75, 50], [60, 25, 12, 5, 3]),
    "impulse_noise": ([0.01, 0.02, 0.03, 0.05, 0.07], [0.03, 0.06, 0.09, 0.17, 0.27]),
    "defocus_blur": (
        [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
    ),
    "motion_blur": (
        [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
        [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
    ),
    "contrast": ([0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05]),
    "brightness": ([0.05, 0.1, 0.15, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4, 0.5]),
    "jpeg_compression": ([80, 65, 58, 50, 40], [25, 18, 15, 10, 7]),
    "pixelate": ([0.95, 0.9, 0.85, 0.75, 0.65], [0.6, 0.5, 0.4, 0.3, 0.25]),
}
NAMES = tuple(FAMILIES)


def noise_image(height: int = 32, width: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth structure with some texture, as photographs have. uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((5, 5, channels))
    zoom = (height / 5, width / 5, 1)
    smooth = ndimage.zoom(coarse, zoom, order=1)[:height, :width]
    values = 0.8 * smooth + 0.2 * rng.random((height, width, channels))
    return np.rint(255 * values).astype(np.uint8)


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    data = open_dataset("cifar10")
    return [data.image(i) for i in range(0, 2000, 50)]


def test_the_parameters_are_the_published_ones() -> None:
    assert {n: (list(f.small), list(f.large)) for n, f in FAMILIES.items()} == PUBLISHED


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_the_published_variance(size: int, severity: int) -> None:
    c = PUBLISHED["gaussian_noise"][size == 224][severity - 1]
    grey = np.full((224, 224, 3), 0.5)
    if size == 32:
        grey = grey[:LARGE_FROM - 1]  # fmt: skip
    inner = corrupted(grey, "gaussian_noise", severity, 0, 1) - 0.5
    # clipped at ±0.5: the variance of a doubly truncated and piled-up normal
    a = 0.5 / c
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    beyond = math.erfc(a / math.sqrt(2))  # both tails
    variance = c * c * (1 - beyond - 2 * a * density) + 0.25 * beyond
    assert inner.var() == pytest.approx(variance, rel=0.02)
    assert abs(inner.mean()) < 5 * math.sqrt(variance / inner.size)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_is_poisson(severity: int) -> None:
    photons = PUBLISHED["shot_noise"][0][severity - 1]
    grey = np.full((80, 400, 3), 0.3)
    counts = corrupted(grey, "shot_noise", severity, 0, 1) * photons
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    assert counts.mean() == pytest.approx(0.3 * photons, rel=0.01)
    assert counts.var() == pytest.approx(counts.mean(), rel=0.02)  # as of every Poisson variable


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_hits_its_share_half_white_half_black(severity: int) -> None:
    share = PUBLISHED["impulse_noise"][1][severity - 1]
    made = corrupted(np.full((200, 200, 3), 0.4), "impulse_noise", severity, 0, 1)
    error = 5 * math.sqrt(share / made.size)
    assert (made == 1).mean() == pytest.approx(share / 2, abs=error)
    assert (made == 0).mean() == pytest.approx(share / 2, abs=error)
    assert set(np.unique(made)) == {0.0, 0.4, 1.0}


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_shrinks_to_the_mean_of_each_channel(severity: int) -> None:
    x = noise_image() / 255.0
    c = PUBLISHED["contrast"][0][severity - 1]
    made = corrupted(x, "contrast", severity, 0, 1)
    np.testing.assert_allclose(made.mean((0, 1)), x.mean((0, 1)), atol=1e-12)
    np.testing.assert_allclose(made.std((0, 1)), c * x.std((0, 1)), atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_is_added_to_the_value_of_hsv(severity: int) -> None:
    x = noise_image(9, 7) / 255.0
    x[0, 0] = 0.0  # black has no hue
    c = PUBLISHED["brightness"][0][severity - 1]
    made = corrupted(x, "brightness", severity, 0, 1)
    for i, j in np.ndindex(x.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*x[i, j])
        np.testing.assert_allclose(made[i, j], colorsys.hsv_to_rgb(h, s, min(1, v + c)), atol=1e-12)


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_averages_boxes_and_repeats_them(size: int, severity: int) -> None:
    x = noise_image(size, size)
    c = PUBLISHED["pixelate"][size == 224][severity - 1]
    small = int(size * c)
    step = size / small
    centres, pixels = (np.arange(small)[:, None] + 0.5) * step, np.arange(size) + 0.5
    # a box averages the pixels whose centres it holds; nearest: the box that a centre lies in
    box = (np.abs((pixels - centres) / step - 1e-9) <= 0.5).astype(float)  # (small, size)
    box /= box.sum(1, keepdims=True)
    nearest = (pixels / step - 1e-9).astype(int)
    values = np.moveaxis(x / 255.0, 2, 0)  # (3, size, size)
    wanted = (box @ values @ box.T)[:, nearest][:, :, nearest]
    made = corrupted(x, "pixelate", severity, 0, 1)
    assert np.abs(made / 255.0 - np.moveaxis(wanted, 0, 2)).max() <= 0.51 / 255


def test_pixelate_is_exact_where_boxes_hold_whole_pixels() -> None:
    x = noise_image(224, 224)
    made = corrupted(x, "pixelate", 5, 0, 1)  # a quarter: boxes of 4×4
    boxes = x.reshape(56, 4, 56, 4, 3).mean((1, 3))
    assert np.abs(made - np.kron(boxes, np.ones((4, 4, 1)))).max() <= 0.51


@pytest.mark.parametrize("quality", PUBLISHED["jpeg_compression"][0])
def test_jpeg_is_that_of_pillow(quality: int) -> None:
    severity = PUBLISHED["jpeg_compression"][0].index(quality) + 1
    x = noise_image()
    buffer = io.BytesIO()
    Image.fromarray(x).save(buffer, "JPEG", quality=quality)
    wanted = np.asarray(Image.open(buffer))
    np.testing.assert_array_equal(corrupted(x, "jpeg_compression", severity, 0, 1), wanted)


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_blur_is_a_correlation_with_a_smoothed_disk(size: int, severity: int) -> None:
    radius, sigma = PUBLISHED["defocus_blur"][size == 224][severity - 1]
    kernel = disk(radius, sigma)
    # mirrored at its border, a disk that touches it gets heavier: so is the published one
    assert 1 - 1e-12 < kernel.sum() < (1.014 if radius in (8, 10) else 1 + 1e-12)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-15)
    reach, taps = (8, 1) if radius <= 8 else (10, 2)
    grid = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius
    edge = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * sigma**2))
    sharp = ndimage.correlate1d(grid / grid.sum(), edge / edge.sum(), axis=0, mode="mirror")
    smooth = ndimage.correlate1d(sharp, edge / edge.sum(), axis=1, mode="mirror")
    np.testing.assert_allclose(kernel, smooth, atol=1e-15)
    x = noise_image(size, size) / 255.0
    wanted = ndimage.correlate(x, smooth[:, :, None], mode="mirror")
    np.testing.assert_allclose(
        corrupted(x, "defocus_blur", severity, 0, 1), np.clip(wanted, 0, 1), atol=1e-9
    )


def naive_trail(x: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """ImageMagick's MotionBlurImage, pixel by pixel."""
    width = 2 * math.ceil(radius) + 1
    weights = [math.exp(-i * i / (2 * sigma**2)) for i in range(width)]
    py, px = width * math.sin(math.radians(degrees)), width * math.cos(math.radians(degrees))
    result = np.zeros_like(x)
    for row, column in np.ndindex(x.shape[:2]):
        for i, weight in enumerate(weights):
            v = row + math.ceil(i * py / math.hypot(px, py) - 0.5)
            u = column + math.ceil(i * px / math.hypot(px, py) - 0.5)
            v, u = min(max(v, 0), x.shape[0] - 1), min(max(u, 0), x.shape[1] - 1)
            result[row, column] += weight / sum(weights) * x[v, u]
    return result


@pytest.mark.parametrize(("radius", "sigma"), PUBLISHED["motion_blur"][0])
@pytest.mark.parametrize("degrees", [-45.0, -10.0, 0.0, 33.3])
def test_motion_blur_is_half_a_gaussian_along_a_ray(
    radius: float, sigma: float, degrees: float
) -> None:
    x = noise_image(11, 13) / 255.0
    np.testing.assert_allclose(
        trail(x, radius, sigma, degrees), naive_trail(x, radius, sigma, degrees), atol=1e-12
    )


def test_motion_blur_of_a_point_is_its_weights() -> None:
    x = np.zeros((1, 41, 1))
    x[0, 20] = 1.0
    made = trail(x, 6, 2.0, 0.0)[0, ::-1, 0][20:33]  # the point smears to its left
    weights = np.exp(-(np.arange(13) ** 2) / 8)
    np.testing.assert_allclose(made, weights / weights.sum(), atol=1e-12)


def test_motion_blur_draws_angles_within_45_degrees() -> None:
    x = np.zeros((41, 41, 1))
    x[20, 20] = 1.0
    rows, columns = set(), set()
    for image_id in range(40):
        where = np.argwhere(corrupted(x, "motion_blur", 5, 0, image_id)[:, :, 0] > 0)
        rows |= set((where[:, 0] - 20).tolist())
        columns |= set((where[:, 1] - 20).tolist())
    assert max(columns) == 0
    assert min(columns) < -15
    assert min(rows) < -5
    assert max(rows) > 5


@pytest.mark.parametrize("name", NAMES)
def test_the_distance_to_the_clean_image_grows(name: str, photographs: list[np.ndarray]) -> None:
    distance = [
        np.mean([np.abs(corrupted(x, name, s, 0, i) / 255.0 - x / 255.0).mean()
                 for i, x in enumerate(photographs)])
        for s in SEVERITIES
    ]  # fmt: skip
    assert distance[0] > 0
    # motion blur 3 and 4 differ by the length of a tail that weighs 0.1 %
    assert all(b > 0.995 * a for a, b in itertools.pairwise(distance))
    assert distance[4] > 1.5 * distance[0]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    severity=st.sampled_from(SEVERITIES),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    whole=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_image_keeps_shape_type_and_range(
    name: str, severity: int, height: int, width: int, channels: int, whole: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    image = x if whole else (x / 255.0).astype(np.float32)
    kept = image.copy()
    made = corrupted(image, name, severity, seed, 5)
    assert made.shape == image.shape
    assert made.dtype == image.dtype
    assert made.min() >= 0
    assert made.max() <= (255 if whole else 1)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(made, corrupted(image, name, severity, seed, 5))


@pytest.mark.parametrize("name", [n for n in NAMES if not n.endswith("noise")])
def test_a_colour_image_of_greys_is_corrupted_as_a_grey_one(name: str) -> None:
    grey = noise_image(channels=1)
    colour = np.repeat(grey, 3, axis=2)
    one, three = (corrupted(x, name, 3, 0, 1).astype(int) for x in (grey, colour))
    assert np.abs(three - one).max() <= 1


def test_an_image_does_not_depend_on_its_batch() -> None:
    data = corrupt(open_dataset("cifar10"), "gaussian_noise", 4)
    some = data.select(np.array([1500, 3, 77]))
    np.testing.assert_array_equal(some.image(0), data.image(1500))
    np.testing.assert_array_equal(some.image(2), data.image(77))
    other_seed = corrupt(open_dataset("cifar10"), "gaussian_noise", 4, seed=1)
    assert (other_seed.image(3) != data.image(3)).any()


def test_severities_share_their_random_numbers() -> None:
    grey = np.full((32, 32, 3), 0.5)
    low, high = (corrupted(grey, "gaussian_noise", s, 0, 9) - 0.5 for s in (1, 3))
    inner = np.abs(high) < 0.49
    np.testing.assert_allclose(high[inner], 2 * low[inner], atol=1e-12)


def test_corrupted_data_is_named_and_has_a_digest_of_its_own() -> None:
    clean = open_dataset("digits-test")
    sets = [clean, *(open_dataset(f"digits-test@contrast-{s}") for s in (1, 5))]
    sets += [corrupt(clean, "contrast", 5, seed=1), open_dataset("digits-test@brightness-5")]
    assert len({d.sha256 for d in sets}) == 5
    assert sets[2].name == "digits, test split, Contrast 5"
    assert sets[2].image(0).dtype == np.float32
    np.testing.assert_array_equal(sets[2].labels, clean.labels)
    assert sets[2].image(0).std() == pytest.approx(0.15 * clean.image(0).std(), rel=1e-5)
    assert label("jpeg_compression", 2) == "JPEG compression 2"


def test_the_training_sample_is_balanced_and_of_the_training_split(test_data: Path) -> None:
    import zipfile

    from core.data.opening import CIFAR10_TRAIN_SAMPLE

    data = open_dataset("cifar10-train")
    assert np.bincount(data.labels).tolist() == [200] * 10
    with (
        zipfile.ZipFile(test_data / "data" / "cifar10_train.zip") as whole,
        zipfile.ZipFile(CIFAR10_TRAIN_SAMPLE) as sample,
    ):
        for name in sample.namelist()[::100]:
            assert sample.read(name) == whole.read(name)


def npz(path: Path, seed: int = 0) -> Path:
    images = np.stack([noise_image(seed=seed + i) for i in range(4)])
    np.savez(path, X=images, y=[0, 0, 1, 1])
    return path


def test_files_are_corrupted_and_an_existing_path_wins(tmp_path: Path) -> None:
    file = npz(tmp_path / "mine.npz")
    made = open_dataset(f"{file}@jpeg_compression-2", "mine.npz")
    assert made.name == "mine.npz, JPEG compression 2"
    clean = open_dataset(file)
    np.testing.assert_array_equal(
        made.image(1), corrupted(clean.image(1), "jpeg_compression", 2, 0, 1)
    )
    odd = npz(tmp_path / "mine.npz@contrast-5", seed=50)
    assert open_dataset(odd).sha256 == open_dataset(str(odd)).sha256 != clean.sha256


@pytest.mark.parametrize(
    "wanted", ["gaussian_noise-6", "gaussian_noise-0", "fog-3", "contrast", "-3", "contrast-x", ""]
)
def test_unknown_corruptions_list_the_known_ones(wanted: str) -> None:
    with pytest.raises(UserError) as error:
        open_dataset(f"cifar10@{wanted}")
    assert all(name in str(error.value) for name in NAMES)
    assert "1 to 5" in str(error.value)
    with pytest.raises(UserError):
        corrupt(open_dataset("digits"), "fog", 3)


def test_specs_round_trip() -> None:
    for name in NAMES:
        for severity in SEVERITIES:
            assert split_spec(spec_of("cifar10", name, severity)) == ("cifar10", (name, severity))
    assert split_spec("cifar10") == ("cifar10", None)


def test_a_cache_knows_corrupted_files_by_content(tmp_path: Path) -> None:
    one, two, three = npz(tmp_path / "a.npz"), npz(tmp_path / "b.npz"), npz(tmp_path / "c.npz", 9)
    keys = [data_key(AnalysisRequest("x", f"{f}@contrast-5")) for f in (one, two, three)]
    assert keys[0] == keys[1] != keys[2]
    assert data_key(AnalysisRequest("x", str(one))) != keys[0]
    assert data_key(AnalysisRequest("x", "cifar10@contrast-5")) == "cifar10@contrast-5"

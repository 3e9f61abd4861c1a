"""Data sets of every kind, good and bad."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.data.dataset import stratified
from core.data.digits import open_digits
from core.data.images import decode
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.data.preprocessing import Preprocessing
from core.errors import UserError

CIFAR = Preprocessing(32, 32, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def picture(size: tuple[int, int] = (8, 6), mode: str = "RGB", fmt: str = "PNG") -> bytes:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, format=fmt)
    return buffer.getvalue()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def two_classes(prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{c}/{i}.png": picture() for c in ("cat", "dog") for i in range(3)}


def test_the_bundled_sample_is_2000_images_of_10_classes_in_order() -> None:
    data = open_dataset("cifar10")
    assert len(data) == 2000
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(data.labels).tolist() == [200] * 10
    assert data.image(0).shape == (32, 32, 3)


def test_the_bundled_sample_is_the_head_of_the_test_set(test_data: Path) -> None:
    with zipfile.ZipFile(test_data / "data" / "cifar10_test.zip") as whole:
        from core.data.opening import CIFAR10_SAMPLE

        with zipfile.ZipFile(CIFAR10_SAMPLE) as sample:
            for name in sample.namelist()[::50]:
                assert sample.read(name) == whole.read(name)


def test_digits_splits_are_disjoint_and_stratified() -> None:
    train, test = open_digits("digits-train"), open_digits("digits-test")
    assert not set(train.ids) & set(test.ids)
    assert len(train) + len(test) == 1797
    shares = np.bincount(test.labels) / np.bincount(open_digits().labels)
    assert np.abs(shares - 0.2).max() < 0.02
    assert train.image(0).max() <= 1.0


def test_preprocessing_equals_torchvision() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    data = open_dataset("cifar10")
    theirs = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(CIFAR.mean, CIFAR.std)]
    )
    ours = load_batch(data, np.arange(5), CIFAR)
    for i in range(5):
        expected = theirs(Image.fromarray(data.image(i))).numpy()
        assert np.abs(ours[i] - expected).max() < 1e-5


def test_resize_and_crop_equal_torchvision() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    image = decode(picture((90, 50)), "x.png")
    size = Preprocessing(32, 32, 3, (0.0,) * 3, (1.0,) * 3, crop_from=40)
    theirs = transforms.Compose(
        [transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor()]
    )(Image.fromarray(image)).numpy()
    from core.data.loading import fit

    assert np.abs(fit(image, size).transpose(2, 0, 1) / 255 - theirs).max() < 1e-6


@pytest.mark.parametrize("prefix", ["", "pictures/", "a/b/"])
def test_zip_and_folder_agree(tmp_path: Path, prefix: str) -> None:
    path = archive(tmp_path / "x.zip", two_classes(prefix))
    with zipfile.ZipFile(path) as file:
        file.extractall(tmp_path / "folder")
    zipped, folder = open_dataset(path), open_dataset(tmp_path / "folder")
    assert zipped.class_names == folder.class_names == ("cat", "dog")
    assert np.array_equal(zipped.labels, folder.labels)
    assert np.array_equal(zipped.image(4), folder.image(4))


@pytest.mark.parametrize(
    ("mode", "fmt", "channels"),
    [
        ("L", "PNG", 1),
        ("P", "PNG", 3),
        ("CMYK", "JPEG", 3),
        ("RGBA", "PNG", 3),
        ("1", "PNG", 1),
        ("I;16", "PNG", 1),
        ("P", "GIF", 3),
    ],
)
def test_every_image_mode_becomes_what_a_network_takes(mode: str, fmt: str, channels: int) -> None:
    data = picture(mode="L" if mode == "I;16" else mode, fmt=fmt)
    if mode == "I;16":
        buffer = io.BytesIO()
        Image.fromarray((np.arange(48, dtype=np.uint16) * 1365).reshape(6, 8)).save(buffer, "PNG")
        data = buffer.getvalue()
    image = decode(data, "x")
    assert image.shape == (6, 8, channels)
    assert image.dtype == np.uint8
    assert image.max() > 200


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode(buffer.getvalue(), "x")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("layout", [(5, 6, 7), (5, 6, 7, 3), (5, 3, 6, 7), (5, 20)])
def test_npz_layouts(tmp_path: Path, layout: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(layout).astype(np.float32)
    np.savez(tmp_path / "x.npz", X=x, y=np.array([0, 1, 0, 1, 1]))
    data = open_dataset(tmp_path / "x.npz")
    assert len(data) == 5
    shape = {3: (6, 7, 1), 4: (6, 7, 3), 2: (1, 20, 1)}[len(layout)]
    assert data.image(0).shape == shape


def test_npz_counts_to_255_are_scaled_and_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=np.full((4, 2, 2), 255.0), y=[0, 1, 0, 1])
    data = open_dataset(tmp_path / "x.npz")
    assert data.image(0).max() == 1.0
    assert "divided by 255" in data.warnings[0]


BAD_ZIPS = {
    "no images": ({"readme.txt": b"hello"}, "no images"),
    "one class": ({"cat/1.png": picture()}, "need 2 or more classes, got 1"),
    "loose image": ({**two_classes(), "1.png": picture()}, "in no class folder"),
    "leaves the archive": ({**two_classes(), "../evil/1.png": picture()}, "leaves the archive"),
    "absolute path": ({**two_classes(), "/etc/1.png": picture()}, "leaves the archive"),
    "all broken": ({"cat/1.png": b"x", "dog/1.png": b"y"}, "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_bad_zips_get_one_sentence(tmp_path: Path, case: str) -> None:
    files, message = BAD_ZIPS[case]
    with pytest.raises(UserError, match=message):
        open_dataset(archive(tmp_path / "x.zip", files))


def test_a_few_broken_images_are_skipped_and_listed(tmp_path: Path) -> None:
    files = {f"{c}/{i:02}.png": picture() for c in ("cat", "dog") for i in range(20)}
    files["cat/07.png"] = picture()[:40]
    data = open_dataset(archive(tmp_path / "x.zip", files))
    assert len(data) == 39
    assert "cat/07.png" in data.warnings[0]
    assert np.bincount(data.labels).tolist() == [19, 20]


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    buffer = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(buffer, "PNG", optimize=True)
    with pytest.raises(UserError, match=r"pixels|cannot be read"):
        decode(buffer.getvalue(), "bomb.png")


BAD_NPZ = {
    "objects": ({"X": np.array([{}, {}], dtype=object), "y": [0, 1]}, "Python objects"),
    "no y": ({"X": np.zeros((3, 2, 2))}, "arrays X"),
    "wrong length": ({"X": np.zeros((3, 2, 2)), "y": [0, 1]}, "y has shape"),
    "one class": ({"X": np.zeros((3, 2, 2)), "y": [4, 4, 4]}, "got 1"),
    "NaN": ({"X": np.full((2, 2, 2), np.nan), "y": [0, 1]}, "NaN or infinity"),
    "negative label": ({"X": np.zeros((2, 2, 2)), "y": [0, -1]}, "class numbers"),
    "half label": ({"X": np.zeros((2, 2, 2)), "y": [0, 0.5]}, "class numbers"),
    "five axes": ({"X": np.zeros((2, 2, 2, 2, 2)), "y": [0, 1]}, "it must be"),
    "empty": ({"X": np.zeros((0, 2, 2)), "y": []}, "no images"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz_gets_one_sentence(tmp_path: Path, case: str) -> None:
    arrays, message = BAD_NPZ[case]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message):
        open_dataset(tmp_path / "x.npz")


def test_a_lying_header_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 1000)}
    )
    path = archive(tmp_path / "x.npz", {"X.npy": header.getvalue() + b"\0" * 100})
    with pytest.raises(UserError, match="claims"):
        open_dataset(path)


@pytest.mark.parametrize("content", [b"", b"plain text", b"PK\x03\x04broken"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UserError):
        open_dataset(tmp_path / "x.zip")


def test_a_name_that_is_nothing_lists_what_there_is() -> None:
    with pytest.raises(UserError, match="digits, digits-train"):
        open_dataset("no-such-data")


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    share=st.floats(0.1, 1.0),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_a_stratified_draw_keeps_the_shares(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = max(len(sizes), int(share * len(labels)))
    chosen = stratified(labels, count, seed)
    assert len(chosen) == count
    assert np.array_equal(chosen, np.unique(chosen))
    drawn = np.bincount(labels[chosen], minlength=len(sizes))
    assert (drawn >= 1).all()
    expected = np.array(sizes) * count / len(labels)
    assert np.abs(drawn - expected).max() <= len(sizes)
    assert np.array_equal(chosen, stratified(labels, count, seed))


@pytest.mark.parametrize("spec", ["", "@gaussian_noise-1", "@half-1"])
def test_the_folder_of_the_program_is_no_data_set(spec: str) -> None:
    with pytest.raises(UserError, match="no data set is named"):
        open_dataset(spec)

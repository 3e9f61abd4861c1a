"""What is said of a landscape, and where a bundled one is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from landscape_runs import network, request, write

from core import store
from core.landscape import Landscape, LandscapeRequest, Path, kept
from core.landscape.reading import compared, in_words
from core.landscape.request import bundled_folder, default_size, kept_at


def landscape(kind: str, loss: np.ndarray, x: np.ndarray, path: Path | None = None) -> Landscape:
    return Landscape(
        kind, x, np.arange(len(loss)), loss, np.zeros_like(loss), 0.0123, 0.95, 10, 20, "d", 10, 5,
        0.1, "cpu", "none", path,
    )  # fmt: skip


X = np.linspace(-1, 1, 5)
BOWL = landscape("plane", X[:, None] ** 2 + X**2, X)


def test_a_plane_in_words() -> None:
    text = in_words(BOWL, 0.3)
    assert text == (
        "The loss of the network is 0.0123 (accuracy 95.0 %); within ±1 it rises to 2. "
        "20 % of the plane lies below 0.3."
    )


def test_a_level_below_the_network_is_no_finding() -> None:
    text = in_words(replace(BOWL, loss=1200 + BOWL.loss, centre_loss=1200.0), 0.1)
    assert "The network itself lies above the level 0.1: choose a higher one." in text
    assert "it rises to 1,202" in text
    assert "0 %" not in text.replace("95.0 %", "")


def test_gaps_are_named_and_the_highest_is_not() -> None:
    loss = BOWL.loss.copy()
    loss[0, 0] = np.nan
    text = in_words(replace(BOWL, loss=loss), 0.3)
    assert "rises to" not in text
    assert "1 point has a loss that is no finite number and is left blank" in text


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (np.sin(np.linspace(-0.25, 1.25, 13) * np.pi) + 1, "rises 1 above the straight line"),
        (np.linspace(0, 2, 13), "no barrier"),
        (np.full(13, np.nan), "There is no barrier to give"),
    ],
)
def test_a_line_between_checkpoints_in_words(loss: np.ndarray, words: str) -> None:
    text = in_words(landscape("between", loss[None], np.linspace(-0.25, 1.25, 13)), 0.1)
    assert words in text


def test_a_path_in_words_stands_beside_a_random_walk() -> None:
    path = Path(
        np.arange(4), np.array([[-3.0, 1], [-2, 0], [-1, 0], [0, 0]]), np.ones(4), np.ones(4),
        np.ones(4), np.array([0.5, 0.1, 0.2, 0]), np.array([0.8, 0.15, 0.05]),
    )  # fmt: skip
    text = in_words(landscape("path", BOWL.loss, X, path), 0.1)
    assert "hold 80.0 % and 15.0 % of the path's variance" in text
    assert "a random walk seen at the same epochs would have" in text
    assert "up to 0.5 away from the plane" in text


def test_two_networks_are_compared_by_their_share_below() -> None:
    steep = replace(BOWL, loss=10 * BOWL.loss)
    names = ("flat", "steep")
    assert compared(BOWL, steep, names, 0.3) == (
        "flat has more of its surroundings below 0.3 than steep: 20 % against 4 %."
    )
    assert compared(steep, BOWL, names[::-1], 0.3).startswith("flat has more")
    assert compared(BOWL, BOWL, names, 0.3).startswith("About as much of both")
    path = replace(BOWL, kind="path")
    assert compared(path, path, names, 0.3) == ""


def test_a_bundled_landscape_is_found_before_the_cache(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    asked = LandscapeRequest(request(write(network(), tmp_path / "run" / "net.safetensors")))
    assert kept_at(asked).is_relative_to(tmp_path / "cache")
    store.save(bundled_folder(asked) / kept_at(asked).name, BOWL)
    assert kept_at(asked).parent == tmp_path / "run" / "landscapes"
    found = kept(asked)
    assert found is not None
    np.testing.assert_allclose(found.loss, BOWL.loss, rtol=1e-6)
    assert kept(replace(asked, seed=1)) is None


def test_the_first_view_is_cheap() -> None:
    assert default_size("digits-train", "plane") == (25, 512)
    assert default_size("cifar10", "plane") == (13, 128)
    assert default_size("cifar10", "between") == (25, 128)
    assert default_size(None, "path") == (13, 128)

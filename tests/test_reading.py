"""The sentences follow the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import synthetic_analysis

from core import library
from core.reading import sentences
from core.results import Analysis, ClassGeometry, NeuralCollapse


def with_means(means: np.ndarray, nc1: float) -> Analysis:
    """An analysis whose penultimate class means are these (K, r)."""
    classes = len(means)
    analysis = synthetic_analysis(classes=classes, layers=3, samples=30)
    geometry = ClassGeometry(np.full(classes, 5), means - means.mean(0), np.ones(classes))
    assert analysis.penultimate is not None
    last = replace(analysis.penultimate, geometry=geometry, collapse=NeuralCollapse(nc1=nc1))
    return replace(analysis, penultimate=last, layers=(), separation_law=None)


@pytest.mark.parametrize(
    ("noise", "nc1", "start"),
    [
        (0.0, 0.001, "**Collapsed to a simplex.**"),
        (0.0, 0.9, "**Equiangular, not yet tight.**"),
        (1.0, 0.001, "**Tight classes, uneven angles.**"),
        (1.0, 0.9, "**Not yet a simplex.**"),
    ],
)
def test_the_first_sentence_is_about_the_simplex(noise: float, nc1: float, start: str) -> None:
    means = np.eye(5) + noise * np.random.default_rng(0).standard_normal((5, 5))
    first = sentences(with_means(means, nc1))[0]
    assert first.startswith(start)
    assert "104.5°" in first  # arccos(-1/4)


def test_the_closest_pair_is_named_and_escaped() -> None:
    means = np.eye(4)
    means[1] = 0.9 * means[0] + 0.1 * means[1]
    analysis = with_means(means, 0.5)
    assert analysis.data is not None
    data = replace(analysis.data, class_names=("<b>cat</b>", "do*g", "x", "y"))
    second = sentences(replace(analysis, data=data))[1]
    assert r"\<b\>cat" in second
    assert r"do\*g" in second


def test_components_are_said_once_the_classes_have_come_apart() -> None:
    late = " ".join(sentences(library.load("digits-mlp", 600, "digits-train")))
    early = " ".join(sentences(library.load("digits-mlp", 0, "digits-train")))
    assert "10 components" in late
    assert "components" not in early


def test_nothing_is_said_where_nothing_is_known() -> None:
    analysis = synthetic_analysis(classes=3, layers=2, samples=30)
    bare = replace(analysis, penultimate=None, layers=(), separation_law=None, data=None)
    assert sentences(bare) == ()


def test_it_stays_short() -> None:
    analysed = [run for run in library.runs() if (run.folder / "analyses").is_dir()]
    assert len(analysed) >= 4
    for run in analysed:
        text = " ".join(sentences(library.load(run.id)))
        assert 5 < len(text.split()) <= 60

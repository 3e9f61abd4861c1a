"""The six headline numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import synthetic_analysis

from core.headline import headlines, mean_angle_error
from core.results import ClassGeometry, NeuralCollapse


def simplex(classes: int) -> ClassGeometry:
    means = np.eye(classes) - 1 / classes
    return ClassGeometry(np.full(classes, 5), means, np.zeros(classes))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_simplex_has_no_angle_error(classes: int) -> None:
    assert mean_angle_error(simplex(classes)) == pytest.approx(0, abs=1e-4)


def test_orthogonal_pairs_in_the_plane() -> None:
    # four means at right angles: angles 90 (4 times) and 180 (twice), target arccos(-1/3) = 109.47
    means = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    geometry = ClassGeometry(np.full(4, 5), means, np.zeros(4))
    assert mean_angle_error(geometry) == pytest.approx((4 * 19.471 + 2 * 70.529) / 6, abs=1e-3)


def test_the_error_does_not_depend_on_scale() -> None:
    geometry = simplex(5)
    wide = replace(geometry, mean_coordinates=7 * geometry.mean_coordinates)
    assert mean_angle_error(wide) == pytest.approx(mean_angle_error(geometry) or 0)


def test_one_class_has_no_angles() -> None:
    assert mean_angle_error(simplex(1)) is None


def test_every_number_stands_beside_its_collapsed_value() -> None:
    analysis = synthetic_analysis()
    assert analysis.penultimate is not None
    shown = headlines(
        analysis.layers[-1], analysis.penultimate.collapse, analysis.penultimate.geometry
    )
    assert len(shown) == 6
    assert all(item.beside and item.value != "n/a" for item in shown)
    assert shown[-1].beside == "reference 9"


def test_what_is_undefined_says_why() -> None:
    layer = replace(synthetic_analysis().layers[0], dimension=None)
    collapse = NeuralCollapse(reasons={"nc1": "there is one class"})
    shown = headlines(layer, collapse, None)
    assert [item.value for item in shown] == ["n/a"] * 6
    assert "there is one class" in shown[0].meaning

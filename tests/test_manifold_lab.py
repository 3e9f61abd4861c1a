"""The lab's numbers: estimates beside the truth, the sweep, the sentence, and its lecture cases."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from core.data.manifolds import MANIFOLDS, ManifoldSpec, check, sample
from core.errors import Cancelled, UserError
from core.manifold_lab import (
    PRESETS,
    SWEPT,
    LabResult,
    ambients,
    dimensions,
    is_close,
    measure,
    points_csv,
    preset_of,
    reading,
    surprise,
    sweep,
    swept,
)
from core.metrics.intrinsic_dimension import intrinsic_dimension

SMALL = ManifoldSpec("sphere", 3, 10, 250)


@pytest.fixture(scope="module")
def lectures() -> dict[str, LabResult]:
    return {preset.id: measure(preset.spec) for preset in PRESETS}


def test_a_sample_is_measured_as_any_other_points_are() -> None:
    result = measure(SMALL)
    points = sample(SMALL).points
    again = intrinsic_dimension(points, seed=0)
    assert result.estimates.twonn == again.twonn
    assert result.estimates.pca_95 == again.pca_95
    assert result.clean is None
    assert result.span == 4
    distance = np.linalg.norm(points - points.mean(0), axis=1)
    assert (np.linalg.norm(result.components, axis=1) <= distance + 1e-5).all()
    variance = result.components.var(0)
    assert (np.diff(variance) <= 0).all()
    assert np.allclose(
        variance, np.linalg.svd(points - points.mean(0))[1][:3] ** 2 / 250, rtol=1e-4
    )


def test_noise_has_the_same_points_without_it_beside() -> None:
    result = measure(replace(SMALL, noise=0.1))
    assert result.clean is not None
    assert result.clean.twonn.value == measure(SMALL).estimates.twonn.value
    assert result.clean.twonn.value < result.estimates.twonn.value


def test_every_choice_that_the_lab_offers_can_be_sampled() -> None:
    for manifold in MANIFOLDS.values():
        for dim in dimensions(manifold):
            spaces = ambients(manifold, dim)
            assert len(set(spaces)) == len(spaces)
            for ambient in spaces:
                check(ManifoldSpec(manifold.id, dim, ambient))
    for _ in range(50):
        check(surprise())


@pytest.mark.parametrize(
    "manifold", [m for m in MANIFOLDS.values() if m.highest <= 2], ids=lambda m: m.id
)
def test_curves_and_surfaces_are_read_right(manifold) -> None:
    spec = ManifoldSpec(manifold.id, manifold.lowest, max(manifold.least(2), 20), 1500)
    assert is_close(measure(spec).estimates.twonn.value, spec.dim)


def test_high_dimensions_read_low_and_noise_lifts_low_ones() -> None:
    found = sweep(ManifoldSpec("cube", 1, 100, 500, 0.05))
    assert found.dims == SWEPT
    values = [e.value for e in found.twonn]
    clean = [e.value for e in found.clean]
    assert clean[0] == pytest.approx(1, abs=0.2)
    assert clean[-1] < 0.7 * found.dims[-1]
    assert values[0] > 3 * clean[0]
    assert values[-1] == pytest.approx(clean[-1], rel=0.1)
    assert all(e.low < e.value < e.high for e in (*found.twonn, *found.mle))


def test_the_sweep_has_a_manifold_of_many_dimensions() -> None:
    assert swept(ManifoldSpec("torus", 4, 20)) == ManifoldSpec("torus", 1, 20)
    assert swept(ManifoldSpec("swiss-roll", 2, 3, seed=4)) == ManifoldSpec("cube", 1, 3, seed=4)
    assert sweep(ManifoldSpec("waves", 1, 3, 250)).dims[-1] == 20
    assert sweep(ManifoldSpec("waves", 1, 3, 250)).clean is None


def test_work_reports_itself_and_stops_when_asked() -> None:
    said = []
    measure(replace(SMALL, noise=0.1), progress=lambda *step: said.append(step))
    assert [step[:2] for step in said] == [(0, 2), (1, 2)]
    with pytest.raises(Cancelled):
        sweep(SMALL, cancelled=lambda: True)
    with pytest.raises(Cancelled):
        measure(SMALL, cancelled=lambda: True)
    with pytest.raises(UserError, match="needs 4"):
        measure(replace(SMALL, ambient=3))


def test_the_lecture_cases_show_what_they_say(lectures: dict[str, LabResult]) -> None:
    def twonn(name: str) -> float:
        return lectures[name].estimates.twonn.value

    assert is_close(twonn("roll"), 2)
    assert lectures["roll"].estimates.pca_95 == 3
    assert is_close(twonn("curve"), 1)
    assert lectures["curve"].estimates.pca_95 > 90
    assert twonn("noise") > 3 * lectures["noise"].clean.twonn.value
    curve = lectures["noise"].estimates.decimation
    assert curve.twonn[curve.sizes.argmin()] < 0.5 * curve.twonn[curve.sizes.argmax()]
    assert 36 < twonn("cube") < 44
    assert 9 < twonn("sphere") < 10.3
    assert twonn("torus") > 11
    assert is_close(twonn("waves"), 5)
    assert lectures["waves"].estimates.pca_95 > 15


def test_the_sentence_gives_the_numbers_and_the_cause(lectures: dict[str, LabResult]) -> None:
    sentences = {name: reading(result) for name, result in lectures.items()}
    for name, text in sentences.items():
        assert text.startswith(f"TwoNN reads {lectures[name].estimates.twonn.value:.1f}")
        assert text.endswith(".")
    assert "PCA needs 3 components" in sentences["roll"]
    assert "noise fills all 50 ambient dimensions" in sentences["noise"]
    assert "% too low" in sentences["cube"]
    assert "near the edge" in sentences["cube"]
    assert "bends between neighbours" in sentences["torus"]
    assert "PCA" not in sentences["cube"]  # flat: PCA is right


def test_an_estimate_that_is_missing_is_said() -> None:
    result = measure(SMALL)
    missing = replace(result.estimates.twonn, value=None, reason="all points are equal")
    none = replace(result, estimates=replace(result.estimates, twonn=missing))
    assert reading(none) == "TwoNN has no answer here: all points are equal."


def test_presets_are_found_by_their_choices() -> None:
    for preset in PRESETS:
        assert preset_of(preset.spec) is preset
        manifold = MANIFOLDS[preset.spec.manifold]
        assert preset.spec.dim in dimensions(manifold)
        assert preset.spec.ambient in ambients(manifold, preset.spec.dim)
    assert preset_of(SMALL) is None


def test_the_points_as_csv_are_the_points() -> None:
    rows = list(csv.reader(io.StringIO(points_csv(SMALL))))
    assert rows[0] == ["height", *(f"x{i}" for i in range(1, 11))]
    values = np.array(rows[1:], dtype=float)
    assert np.allclose(values[:, 1:], sample(SMALL).points, atol=1e-6)

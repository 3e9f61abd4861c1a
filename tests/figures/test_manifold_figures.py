"""Figures of the manifold lab: the rules of the house, and what each must show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from core.data.manifolds import ManifoldSpec
from core.figures import manifolds
from core.figures.export import figure_csv
from core.figures.theme import Style
from core.manifold_lab import LabResult, Sweep, measure, sweep
from core.results import Estimate
from tests.figures.test_every_figure import STYLES, check

CARD = Style()
NOTHING = Estimate(None, reason="too few points")


@pytest.fixture(scope="module")
def noisy() -> LabResult:
    return measure(ManifoldSpec("moebius", 2, 50, 500, 0.05))


@pytest.fixture(scope="module")
def curve() -> LabResult:
    return measure(ManifoldSpec("curve", 1, 100, 500))


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return sweep(ManifoldSpec("waves", 1, 10, 250, 0.05))


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_rules(noisy: LabResult, curve: LabResult, swept: Sweep, style: Style) -> None:
    for name, fig in {
        "cloud": manifolds.cloud(noisy, style),
        "components": manifolds.cloud(curve, style, "components"),
        "estimates": manifolds.estimates(noisy, style),
        "estimates, log": manifolds.estimates(curve, style),
        "bias": manifolds.bias(swept, style, 2),
    }.items():
        check(name, fig, style)
        assert len(figure_csv(fig).splitlines()) > 5, name


def test_the_cloud_shows_the_points_and_an_angle_comes_round(
    noisy: LabResult, curve: LabResult
) -> None:
    fig = manifolds.cloud(noisy, CARD)
    assert np.array_equal(np.stack([fig.data[0][a] for a in "xyz"], 1), noisy.own)
    scale = fig.data[0].marker.colorscale
    assert scale[0][1] == scale[-1][1]
    line = manifolds.cloud(measure(ManifoldSpec("cube", 1, 1, 250)), CARD)
    assert not np.any(line.data[0].y)  # one dimension is drawn as a line in space


def test_the_truth_is_the_line_to_meet(noisy: LabResult, curve: LabResult) -> None:
    fig = manifolds.estimates(noisy, CARD)
    assert [t.name for t in fig.data] == ["without noise", "with noise"]
    assert fig.layout.shapes[0].x0 == 2
    assert "truth 2" in fig.layout.annotations[0].text
    values = dict(zip(fig.data[1].y, fig.data[1].x, strict=True))
    assert values[0] == noisy.estimates.twonn.value
    assert values[3] == noisy.estimates.pca_95
    error = fig.data[1].error_x
    assert values[0] + error.array[0] == pytest.approx(noisy.estimates.twonn.high)
    assert values[0] - error.arrayminus[0] == pytest.approx(noisy.estimates.twonn.low)
    wide = manifolds.estimates(curve, CARD)
    assert wide.layout.xaxis.type == "log"
    assert wide.layout.shapes[0].x0 == 1
    assert wide.layout.annotations[0].x == 0  # the exponent of 1


def test_the_sweep_stands_beside_an_estimator_without_bias(swept: Sweep) -> None:
    fig = manifolds.bias(swept, CARD, 2)
    by_name = {trace.name: trace for trace in fig.data}
    assert list(by_name["truth"].x) == list(by_name["truth"].y) == [1, 20]
    assert list(by_name["TwoNN"].y) == [e.value for e in swept.twonn]
    assert "TwoNN without noise" in by_name
    assert len(fig.layout.shapes) == 1
    assert not manifolds.bias(swept, CARD, 17).layout.shapes


def test_what_is_missing_is_said(noisy: LabResult, swept: Sweep) -> None:
    def said(fig: go.Figure) -> bool:
        return not fig.data and fig.layout.annotations[0].text.endswith(".")

    nothing = tuple(NOTHING for _ in swept.dims)
    assert said(manifolds.bias(replace(swept, twonn=nothing, mle=nothing, clean=None), CARD))
    bare = replace(
        noisy.estimates,
        **dict.fromkeys(("twonn", "mle"), NOTHING),
        **dict.fromkeys(("pca_90", "pca_95", "pca_99", "participation_ratio")),
    )
    assert said(manifolds.estimates(replace(noisy, estimates=bare, clean=None), CARD))

"""Figures of the loss landscape: the rules of the house, and what each must show."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from core.figures import landscape as figures
from core.figures.export import figure_csv, with_title
from core.figures.landscape import FLOOR, ROOF, Scale, Shown, scale_of
from core.figures.theme import Style
from core.landscape.results import Landscape, Path, chance
from tests.figures.test_every_figure import HOSTILE, STYLES, check

LARGE = Style("light", "large")


def landscape(kind: str = "plane", points: int = 9, **more: object) -> Landscape:
    x = np.linspace(-1, 1, points)
    rows = points if kind in ("plane", "path") else 3 if kind == "line" else 1
    y = np.linspace(-2, 1, rows)
    loss = 0.01 + np.abs(x) ** 2 * 4 + y[:, None] ** 2
    path = None
    if kind == "path":
        path = Path(
            np.array([0, 1, 7]),
            np.array([[-0.8, -1.0], [-0.5, 0.2], [0.0, 0.0]]),
            np.array([2.3, 0.4, 0.01]),
            np.array([0.1, 0.9, 1.0]),
            np.array([2.0, 0.3, 0.01]),
            np.array([0.4, 0.2, 0.0]),
            np.array([0.9, 0.1]),
        )
    made = Landscape(
        kind, x, y, loss, 1 / (1 + loss), 0.01, 0.99, 100, 200, "digits", 10, 50, 1.0, "cpu",
        "kept", path,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def every(shown: list[Shown], style: Style, log: bool) -> dict[str, go.Figure]:
    kind = shown[0].landscape.kind
    if kind in ("line", "between"):
        ends = (shown[0].name, "epoch 9")
        return {
            "loss": figures.lines(shown, style, "loss", log, ends),
            "accuracy": figures.lines(shown, style, "accuracy", log, ends),
        }
    scale = scale_of([s.landscape for s in shown], log)
    found = {
        "contour": figures.contour(shown[0], style, scale, 0.5),
        "surface": figures.surface(shown[-1], style, scale),
    }
    if kind == "path":
        found["variance"] = figures.variance(shown, style)
        found["losses"] = figures.path_losses(shown, style)
    return found


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
@pytest.mark.parametrize("kind", ["plane", "line", "between", "path"])
def test_rules(kind: str, style: Style) -> None:
    whole = landscape(kind)
    holes = whole.loss.copy()
    holes[0, ::2] = np.nan
    broken = replace(whole, loss=holes)
    nothing = replace(whole, loss=np.full_like(whole.loss, np.nan))
    for log in (True, False):
        for shown in (
            [Shown(HOSTILE[0], whole)],
            [Shown(HOSTILE[3], whole), Shown(HOSTILE[1], broken)],
            [Shown(HOSTILE[2], broken)],
            [Shown("no finite loss", nothing)],
        ):
            for name, fig in every(shown, style, log).items():
                check(f"{kind} {name}", fig, style)
                with_title(fig, "A title")
                text = fig.to_json()
                assert "<a href" not in text
                assert "<b>x" not in text


def test_two_networks_share_one_scale() -> None:
    low = landscape()
    high = replace(low, loss=100 * low.loss)
    scale = scale_of([low, high], True)
    assert scale is not None
    one, two = (figures.contour(Shown("n", la), LARGE, scale) for la in (low, high))
    assert (one.data[0].zmin, one.data[0].zmax) == (two.data[0].zmin, two.data[0].zmax)
    assert one.data[0].zmin == pytest.approx(np.log10(low.loss.min()))
    assert two.data[0].zmax == pytest.approx(np.log10(high.loss.max()))
    surface = figures.surface(Shown("n", low), LARGE, scale)
    assert (surface.data[0].cmin, surface.data[0].cmax) == (one.data[0].zmin, one.data[0].zmax)


def test_scales_have_a_floor_and_a_roof() -> None:
    zero = replace(landscape(), loss=np.array([[0.0, 1e9]]))
    assert scale_of([zero], True) == Scale(FLOOR, 1e9, True)
    assert scale_of([zero], False) == Scale(0.0, ROOF, False)
    assert scale_of([replace(zero, loss=np.full((1, 2), np.nan))], True) is None
    np.testing.assert_allclose(Scale(FLOOR, 1.0, True).height(np.array([0.0, 9.0])), [-6, 0])
    flat = scale_of([replace(zero, loss=np.full((2, 2), 0.5))], True)
    assert flat is not None
    assert flat.high > flat.low


@pytest.mark.parametrize(
    ("scale", "labels"),
    [
        (Scale(0.004, 3.0, True), ["0.01", "0.1", "1"]),
        (Scale(0.4, 2.5, True), ["0.5", "1", "2"]),
        (Scale(1.01, 1.02, True), None),
    ],
)
def test_ticks_of_a_log_scale(scale: Scale, labels: list[str] | None) -> None:
    ticks = scale.ticks()
    low, high = scale.ends
    assert all(low - 1e-9 <= v <= high + 1e-9 for v in ticks["tickvals"])
    assert ticks["ticktext"] == labels if labels else ticks["ticktext"]


def test_the_contour_has_the_losses_the_level_and_the_network() -> None:
    shown = landscape()
    fig = figures.contour(Shown("net", shown), LARGE, None, 0.5)
    field, level, star = fig.data
    np.testing.assert_allclose(10 ** np.asarray(field.z), shown.loss, rtol=1e-6)
    assert "loss 0.5" in level.name
    assert level.contours.start == pytest.approx(np.log10(0.5))
    assert (star.x, star.y) == ((0.0,), (0.0,))
    assert "accuracy 99.0 %" in star.text[0]
    assert len(figures.contour(Shown("net", shown), LARGE, None, 1e6).data) == 2


def test_the_path_runs_over_the_contour_and_names_its_epochs() -> None:
    fig = figures.contour(Shown("net", landscape("path")), LARGE)
    path = next(trace for trace in fig.data if trace.name == "path")
    assert list(path.x) == [-0.8, -0.5, 0.0]
    assert path.text[1].startswith("<b>epoch 1</b>")
    assert "distance to the plane 0.2" in path.text[1]
    assert "90.0 % of variance" in fig.layout.xaxis.title.text
    surface = figures.surface(Shown("net", landscape("path")), LARGE)
    along = next(trace for trace in surface.data if trace.name == "path")
    assert along.z[0] == pytest.approx(np.log10(2.0), abs=0.05)


def test_gaps_stay_gaps() -> None:
    whole = landscape()
    holes = whole.loss.copy()
    holes[2, 3] = np.nan
    shown = Shown("net", replace(whole, loss=holes))
    for fig in (figures.contour(shown, LARGE), figures.surface(shown, LARGE)):
        assert np.isnan(np.asarray(fig.data[0].z)[2, 3])
        assert fig.data[0].connectgaps is False
        assert "not finite" in fig.data[0].text[2][3]
    lines = figures.lines([Shown("net", replace(landscape("line"), loss=holes[:3]))], LARGE)
    assert list(lines.data[2].y).count(None) == 1


def test_lines_name_their_directions_and_chance() -> None:
    fig = figures.lines([Shown("net", landscape("line"))], LARGE)
    assert [t.name for t in fig.data] == ["direction 1", "direction 2", "direction 3"]
    note = next(a for a in fig.layout.annotations if "chance" in a.text)
    assert note.text == "ln 10 = 2.30, chance"
    assert note.y == pytest.approx(np.log10(chance(10)))
    two = figures.lines([Shown("a", landscape("line")), Shown("b", landscape("line"))], LARGE)
    assert [t.name for t in two.data if t.showlegend] == ["a", "b"]


def test_ends_of_a_line_between_checkpoints_are_named() -> None:
    fig = figures.lines([Shown("net", landscape("between"))], LARGE, ends=("epoch 0", "epoch 9"))
    assert {"epoch 0", "epoch 9"} <= {a.text for a in fig.layout.annotations}
    accuracy = figures.lines([Shown("net", landscape("between"))], LARGE, "accuracy")
    assert max(v for v in accuracy.data[0].y if v is not None) <= 100


@pytest.mark.parametrize("draw", [figures.contour, figures.surface])
def test_a_plane_as_csv_has_a_line_a_point(draw) -> None:
    shown = landscape()
    rows = list(csv.DictReader(io.StringIO(figure_csv(draw(Shown("net", shown), LARGE)))))
    field = [row for row in rows if "log10 of the loss" in row["series"]]
    assert len(field) == shown.loss.size
    for row, (i, j) in zip(field, np.ndindex(*shown.loss.shape), strict=True):
        assert float(row["x"]) == pytest.approx(shown.x[j])
        assert float(row["y"]) == pytest.approx(shown.y[i])
        assert float(row["customdata"]) == pytest.approx(shown.loss[i, j], rel=1e-5)
        assert float(row["z"]) == pytest.approx(np.log10(shown.loss[i, j]), rel=1e-5)


def test_the_level_is_not_exported_twice() -> None:
    fig = figures.contour(Shown("net", landscape()), LARGE, None, 0.5)
    assert figure_csv(fig).count("\n") == 1 + 81 + 1


def test_shares_of_variance_stand_beside_a_random_walk() -> None:
    fig = figures.variance([Shown("net", landscape("path"))], LARGE)
    bars, walk = fig.data
    assert list(bars.y) == pytest.approx([90, 10])
    assert len(walk.y) == 2
    assert walk.y[0] > walk.y[1]

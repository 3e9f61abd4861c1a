"""Each figure against what it must show."""

import csv
import io
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.figures import (
    dimension,
    dimension_classes,
    labels,
    layers,
    means,
    persistence,
    projections,
    scatter,
    series,
    topology,
)
from core.figures.export import figure_csv
from core.figures.theme import Style
from core.metrics.persistence import betti_at, threshold
from core.results import ClassGeometry, Sample, Topology
from tests.synthetic import synthetic_analysis

CARD, LARGE = Style("light", "card"), Style("light", "large")


@pytest.fixture(scope="module")
def analysis():
    return synthetic_analysis()


def etf_cosines(classes: int) -> np.ndarray:
    return np.where(np.eye(classes, dtype=bool), 1.0, -1 / (classes - 1))


def names(classes: int) -> list[str]:
    return [f"class {k}" for k in range(classes)]


def theory(fig: go.Figure) -> list:
    return [s for s in fig.layout.shapes if s.line.dash == "5px,3px"]


# --- class means -------------------------------------------------------------------------------


def test_a_collapsed_network_looks_neutral():
    heat = means.cosine_matrix(etf_cosines(10), names(10), LARGE).data[0]
    assert (heat.zmin, heat.zmax) == pytest.approx((-1 / 9 - 0.25, -1 / 9 + 0.25))
    off = ~np.eye(10, dtype=bool)
    assert np.allclose(heat.z[off], (heat.zmin + heat.zmax) / 2, atol=1e-6)
    assert np.isnan(np.diag(heat.z)).all()
    assert "<b>−1/9</b>" in heat.colorbar.ticktext


def test_the_half_range_is_rounded_up_to_a_tenth():
    cosines = etf_cosines(5)
    cosines[0, 1] = cosines[1, 0] = -0.25 + 0.61
    heat = means.cosine_matrix(cosines, names(5), LARGE).data[0]
    assert heat.zmax - heat.zmin == pytest.approx(1.4)
    fixed = means.cosine_matrix(cosines, names(5), LARGE, half_range=0.3).data[0]
    assert fixed.zmax - fixed.zmin == pytest.approx(0.6)


def test_the_order_permutes_rows_columns_and_names():
    cosines = synthetic_cosines(4)
    order = [2, 0, 3, 1]
    fig = means.cosine_matrix(cosines, list("abcd"), LARGE, order=order)
    assert fig.data[0].z[0, 1] == pytest.approx(cosines[2, 0], abs=1e-6)
    assert list(fig.layout.xaxis.ticktext) == ["c", "a", "d", "b"]
    assert fig.data[0].text[0][1] == "c, a"


def synthetic_cosines(classes: int) -> np.ndarray:
    vectors = np.random.default_rng(1).normal(size=(classes, classes))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


@pytest.mark.parametrize(("classes", "style", "written"), [(10, LARGE, True), (13, LARGE, False)])
def test_numbers_stand_in_cells_of_small_matrices_only(classes, style, written):
    fig = means.cosine_matrix(synthetic_cosines(classes), names(classes), style)
    assert (len(fig.data) == 2) is written
    assert len(means.cosine_matrix(synthetic_cosines(10), names(10), CARD).data) == 1


def test_a_matrix_of_many_classes_has_no_ticks_and_names_in_the_hover():
    fig = means.cosine_matrix(synthetic_cosines(30), names(30), LARGE)
    assert fig.layout.xaxis.showticklabels is False
    assert "%{y}, %{x}" in fig.data[0].hovertemplate
    assert len(fig.layout.xaxis.ticktext) == 30


def test_angles_are_counted_in_bins_of_five_degrees_beside_the_etf():
    cosines = synthetic_cosines(10)
    fig = means.pair_angles(cosines, names(10), LARGE)
    angles = np.degrees(np.arccos(cosines[np.triu_indices(10, 1)]))
    bars, rug = fig.data
    for centre, count in zip(bars.x, bars.y, strict=True):
        assert count == np.sum((angles >= centre - 2.5) & (angles < centre + 2.5))
    assert bars.y.sum() == 45
    assert np.allclose(np.sort(rug.x), np.sort(angles))
    assert rug.text[0] == "class 0, class 1"
    assert theory(fig)[0].x0 == pytest.approx(np.degrees(np.arccos(-1 / 9)))
    assert fig.layout.annotations[0].text == "simplex ETF 96.4°"


def test_two_classes_are_opposite():
    fig = means.pair_angles(etf_cosines(2), names(2), CARD)
    assert theory(fig)[0].x0 == pytest.approx(180)
    assert fig.data[1].x[0] == pytest.approx(180)
    assert list(fig.data[0].x) == [177.5]  # 180° belongs to the last bin
    ticks = means.cosine_matrix(etf_cosines(2), names(2), CARD).data[0].colorbar
    assert list(ticks.ticktext) == ["<b>−1</b>", "−0.75"]


def test_norms_are_relative_to_their_mean():
    fig = means.norms(np.array([1.0, 3.0]), np.array([2.0, 2.0]), names(2), CARD)
    assert list(fig.data[0].x) == [0.5, 1.5]
    assert list(fig.data[1].x) == [1, 1]
    assert theory(fig)[0].x0 == 1
    assert fig.layout.showlegend


def test_spread_is_the_root_of_the_within_trace():
    fig = means.spread(np.array([4.0, 9.0]), np.array([1.0, 1.0]), names(2), LARGE)
    assert list(fig.data[1].x) == [2, 3]


def test_collapsed_alignment_looks_neutral_and_shows_the_cosines():
    fig = means.alignment_matrix(etf_cosines(4), names(4), LARGE)
    assert np.allclose(fig.data[0].z, 0, atol=1e-6)
    assert fig.data[1].text[0] == "1.00"


# --- projections -------------------------------------------------------------------------------


def test_the_plane_keeps_distances_between_the_three_means(analysis):
    layer = analysis.layers[1]
    chosen = (3, 5, 8)
    fig = projections.three_means_plane(
        layer, analysis.sample, analysis.data.class_names, chosen, LARGE
    )
    marks = next(t for t in fig.data if t.name == "class means")
    flat = np.column_stack([marks.x, marks.y])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        whole = (
            layer.geometry.mean_coordinates[chosen[a]] - layer.geometry.mean_coordinates[chosen[b]]
        )
        assert np.linalg.norm(flat[a] - flat[b]) == pytest.approx(np.linalg.norm(whole), rel=1e-5)


def test_samples_kept_in_fewer_directions_than_the_means_are_still_drawn():
    whole = synthetic_analysis(classes=30, layers=2)
    layer = whole.layers[-1]
    fewer = replace(layer.projection, means_span=layer.projection.means_span[:, :9])
    layer = replace(layer, projection=fewer)
    names = [str(k) for k in range(30)]
    spatial = means.means_3d(layer, whole.sample, names, LARGE)
    assert len(spatial.data) > 30
    plane = projections.three_means_plane(layer, whole.sample, names, (0, 1, 2), LARGE)
    assert "not kept" in plane.layout.annotations[0].text.replace("<br>", " ")


def test_the_plane_of_a_simplex_is_the_dashed_triangle():
    corners = np.eye(3) - 1 / 3  # simplex ETF of three classes in their plane
    basis = np.linalg.svd(corners)[2][:2].T
    layer = replace(
        synthetic_analysis(3).layers[0],
        geometry=ClassGeometry(np.ones(3), corners @ basis, np.zeros(3)),
    )
    layer = replace(layer, projection=replace(layer.projection, means_span=corners @ basis))
    sample = Sample(ids=np.arange(3), labels=np.arange(3))
    fig = projections.three_means_plane(layer, sample, names(3), (0, 1, 2), CARD)
    triangle = np.column_stack([fig.data[0].x, fig.data[0].y])
    marks = next(t for t in fig.data if t.name == "class means")
    assert np.allclose(triangle[:3], np.column_stack([marks.x, marks.y]), atol=1e-6)
    sides = np.linalg.norm(np.diff(triangle, axis=0), axis=1)
    assert np.allclose(sides, np.sqrt(2))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_a_plane_basis_is_orthonormal_and_spans_the_corners(seed, rank):
    corners = np.random.default_rng(seed).normal(size=(3, rank))
    basis = projections.plane_basis(corners)
    assert np.allclose(basis.T @ basis, np.eye(2))
    centred = corners - corners.mean(0)
    assert np.allclose(centred @ basis @ basis.T, centred)


def test_three_means_on_a_line_have_no_plane():
    assert projections.plane_basis(np.outer([0.0, 1.0, 3.0], [1.0, 2.0, 2.0])) is None
    assert projections.plane_basis(np.zeros((3, 4))) is None


def test_points_carry_their_ids_and_are_at_most_800():
    a = synthetic_analysis(samples=1900, layers=1)
    fig = projections.pca(a.layers[0], a.sample, a.data.class_names, CARD)
    points = [t for t in fig.data if t.name != "class means"]
    assert sum(len(t.x) for t in points) == 800
    ids = np.concatenate([t.customdata for t in points])
    assert len(set(ids.tolist())) == 800
    first = points[0]
    row = int(np.flatnonzero(a.sample.ids == first.customdata[0])[0])
    assert first.x[0] == pytest.approx(a.layers[0].projection.pca[row, 0])
    assert first.x.dtype == np.float32
    assert {t.type for t in fig.data} == {"scatter"}  # SVG, not WebGL


def test_thinning_keeps_every_class():
    kept = scatter.thin(np.arange(5000) % 50, 100)
    assert len(kept) == 100
    assert set(kept % 50) == set(range(50))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_labels_do_not_overlap(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform([60, 60], [540, 340], (10, 2))
    sizes = np.column_stack([rng.uniform(20, 70, 10), np.full(10, 14)])
    centres = points + labels.place(points, sizes, (600, 400), 11)
    for i in range(10):
        for j in range(i):
            gap = np.abs(centres[i] - centres[j]) - (sizes[i] + sizes[j]) / 2
            assert gap.max() > 0
    assert (centres - sizes / 2 >= -1).all()
    assert (centres + sizes / 2 <= [601, 401]).all()


def test_the_first_view_of_a_scene_is_centred():
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    pixels = labels.screen(np.zeros((1, 3)), corners, (600, 400))
    assert pixels[0] == pytest.approx([300, 200])
    above = labels.screen(np.array([[0, 0, 1.0]]), corners, (600, 400))
    assert above[0, 0] == pytest.approx(300)
    assert above[0, 1] < 200


# --- by layer ----------------------------------------------------------------------------------


def test_bands_contain_their_line(analysis):
    fig = dimension.dimension_by_layer(analysis, LARGE, ("twonn", "mle"))
    band = fig.data[0]
    count = len(analysis.layers)
    values = np.array(fig.data[1].y, float)
    high, low = np.array(band.y[:count], float), np.array(band.y[count:], float)[::-1]
    assert (low <= values).all()
    assert (values <= high).all()


def test_the_dimension_is_drawn_beside_the_span_of_collapsed_means(analysis):
    fig = dimension.dimension_by_layer(analysis, LARGE)
    assert theory(fig)[0].y0 == 9
    assert [a.text for a in fig.layout.annotations] == ["K − 1 = 9"]
    assert list(fig.data[-1].customdata) == list(range(6))
    one_class = dimension.dimension_by_layer(analysis, LARGE, scope=2)
    assert not theory(one_class)
    assert one_class.data[-1].y[0] == analysis.layers[0].dimension.classes[2].twonn.value


def test_small_multiples_share_their_axes(analysis):
    fig = dimension_classes.dimension_by_class(analysis, LARGE)
    ranges = {tuple(fig.layout[f"yaxis{i or ''}"].range) for i in (0, *range(2, 11))}
    assert len(ranges) == 1


def test_the_law_is_the_fitted_line(analysis):
    law = analysis.separation_law
    fig = layers.separation_by_layer(analysis, LARGE)
    line = next(t for t in fig.data if t.name == "fitted law")
    assert np.allclose(line.y, np.exp(law.intercept) * law.rho ** np.array([0, 5]))
    assert fig.layout.yaxis.type == "log"
    assert fig.layout.annotations[0].text == f"ρ = {law.rho:.2f}, R² = {law.r2:.2f}"
    nc1 = layers.separation_by_layer(analysis, LARGE, "nc1")
    other = next(t for t in nc1.data if t.name == "fitted law")
    assert np.allclose(np.array(other.y) * 10, line.y)


def test_no_law_for_nc1_of_unbalanced_classes(analysis):
    uneven = replace(
        analysis,
        layers=tuple(
            replace(layer, separation=layer.separation * (1 + i))
            for i, layer in enumerate(analysis.layers)
        ),
    )
    fig = layers.separation_by_layer(uneven, LARGE, "nc1")
    assert "fitted law" not in [t.name for t in fig.data]


def with_stem(analysis, off: float = 1.0):
    """Input, a stem, blocks that follow the law (the third ``off`` times), output."""
    kinds = ["Input", "ReLU", *["BasicBlock"] * (len(analysis.layers) - 3), "Output"]
    return replace(
        analysis,
        layers=tuple(
            replace(a, kind=kind, separation=100.0 * 0.5**i * (off if i == 4 else 1 + i % 2 / 50))
            for i, (a, kind) in enumerate(zip(analysis.layers, kinds, strict=True))
        ),
    )


def test_the_law_over_blocks_leaves_out_input_stem_and_output():
    fig = layers.separation_by_layer(with_stem(synthetic_analysis(layers=6)), LARGE, over="blocks")
    assert list(fig.data[0].marker.symbol) == ["circle-open"] * 2 + ["circle"] * 3 + ["circle-open"]
    line = next(t for t in fig.data if t.name == "fitted law")
    assert list(line.x) == [2, 4]


def test_residuals_mark_the_layer_that_breaks_the_law():
    off = with_stem(synthetic_analysis(layers=12), off=8.0)
    bars = layers.residuals(off, LARGE, "blocks").data[0]
    accent = LARGE.palette.accent
    assert list(bars.x) == list(range(2, 11))
    assert [c == accent for c in bars.marker.color].index(True) == 2
    assert len(theory(layers.residuals(off, LARGE, "blocks"))) == 2
    colors = layers.residuals(with_stem(off), LARGE, "blocks").data[0].marker.color
    assert accent not in colors


def test_epochs_are_one_line_each_in_their_order(analysis):
    later = replace(analysis, layers=tuple(replace(a, nc1=2.0) for a in analysis.layers))
    fig = layers.by_epoch({100: later, 0: analysis}, LARGE, "nc1")
    assert [t.name for t in fig.data] == ["epoch 0", "epoch 100"]
    assert list(fig.data[1].y) == [2.0] * 6
    assert fig.layout.yaxis.type == "log"


def test_accuracy_is_drawn_beside_chance(analysis):
    fig = layers.accuracy_by_layer(analysis, LARGE)
    assert theory(fig)[0].y0 == 10
    assert {t.name for t in fig.data} >= {"nearest class mean", "linear probe"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8))
def test_labels_at_line_ends_are_spread_out_in_order(positions):
    given_ = np.array(positions)
    moved = series.spread_out(given_, 10.0)
    assert (np.diff(np.sort(moved)) >= 10 - 1e-9).all()
    order = np.argsort(given_, kind="stable")
    assert (np.diff(moved[order]) > 0).all()


# --- topology ----------------------------------------------------------------------------------


def test_the_heat_map_shows_the_betti_numbers(analysis):
    heat = topology.betti_by_layer(analysis, LARGE).data[0]
    assert heat.z[3, 5] == analysis.layers[5].topology.classes[3].betti[1]
    assert heat.text[3][5] == "cat, avgpool"
    assert heat.zmin == 0


def circle() -> Topology:
    return Topology(
        betti=(1, 1),
        scale=1.0,
        rule="confidence",
        confidence=0.1,
        diagrams=(np.array([[0.0, 0.3], [0.0, np.inf]]), np.array([[0.5, 1.7], [0.4, 0.45]])),
        landmarks=60,
        points=60,
        cover_radius=0.2,
    )


def test_the_curve_shows_the_numbers_at_the_marked_scale():
    shape = circle()
    fig = persistence.betti_curve(shape, LARGE, 0.9)
    texts = [a.text for a in fig.layout.annotations]
    assert texts == ["scale 0.900", "β₀ = 1", "β₁ = 1"]
    assert betti_at(shape, 0.9) == (1, 1)
    assert fig.layout.shapes[0].x0 == 0.9
    loops = next(t for t in fig.data if t.name == "loops β₁")
    assert loops.y[np.searchsorted(loops.x, 0.9)] == 1
    assert loops.y[-1] == 0


def test_noise_is_pale_in_the_diagram_and_the_band_has_its_width():
    fig = persistence.diagram(circle(), LARGE)
    drawn = {t.name: t for t in fig.data}
    assert list(drawn["loops"].y) == pytest.approx([1.7])
    assert list(drawn["loops, noise"].y) == pytest.approx([0.45])
    assert drawn["components"].text[0] == "∞"
    band = drawn["confidence band"]
    assert band.y[-1] - band.x[-1] == pytest.approx(threshold(circle(), 1))
    assert fig.layout.yaxis.ticktext[-1] == "∞"


def test_a_barcode_has_a_bar_a_hole():
    fig = persistence.barcode(circle(), LARGE)
    bars = {t.name: [v for v in t.x if v is not None] for t in fig.data}
    assert bars["loops, significant"] == [0.5, 1.7]
    assert bars["loops, noise"] == [0.4, 0.45]
    assert len(bars["components, significant"]) == 2


def test_why_there_is_no_diagram():
    empty = replace(circle(), diagrams=(np.zeros((0, 2)),), reason="12 points are too few.")
    fig = persistence.barcode(empty, CARD)
    assert "too few" in fig.layout.annotations[0].text


# --- export ------------------------------------------------------------------------------------


def test_csv_names_classes_and_defuses_formulas():
    formula = ["=cmd()", "+x", "@y"]
    fig = means.cosine_matrix(etf_cosines(3), formula, LARGE)
    rows = list(csv.DictReader(io.StringIO(figure_csv(fig))))
    assert len(rows) == 6
    assert {row["x"] for row in rows} == {"'=cmd()", "'+x", "'@y"}
    assert float(rows[0]["z"]) == pytest.approx(-0.5)
    dots = means.norms(np.array([1.0, 2.0, 3.0]), None, formula, LARGE)
    rows = list(csv.DictReader(io.StringIO(figure_csv(dots))))
    assert [row["text"] for row in rows] == ["'=cmd()", "'+x", "'@y"]
    assert float(rows[0]["x"]) == 0.5


def test_csv_of_a_line_names_its_layers(analysis):
    rows = list(csv.DictReader(io.StringIO(figure_csv(layers.separation_by_layer(analysis, CARD)))))
    assert rows[0]["x"] == "conv1"
    assert float(rows[0]["y"]) == pytest.approx(analysis.layers[0].separation, rel=1e-5)


def test_negative_numbers_stay_numbers():
    fig = go.Figure([{"type": "scatter", "name": "a", "x": [-1.5], "y": [2], "text": ["-1"]}])
    assert figure_csv(fig).splitlines()[1] == "a,-1.5,2,,'-1,"

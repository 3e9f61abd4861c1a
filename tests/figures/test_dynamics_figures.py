"""The film of a training and its heat maps: what every frame shows, in numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from core.figures.dynamics import MAPS, ZERO_ERROR, Split, epoch_axis, layer_by_epoch, place
from core.figures.dynamics_panels import PANELS
from core.figures.dynamics_player import MAX_FRAMES, MAX_SHOWN, player
from core.figures.export import figure_csv
from core.figures.theme import PALETTES, Style
from tests.synthetic_dynamics import synthetic_dynamics

EPOCHS = (0, 1, 3, 10, 30, 100)
STYLES = [Style(m, s) for m in ("light", "dark") for s in ("card", "large", "presentation")]
LARGE = Style("light", "large")
HOSTILE = ("<b>x</b>", "<a href='https://x.org'>y</a>", "$x$", "%{x} & b")


def pair(**options):
    train = synthetic_dynamics(data="digits-train", **options)
    return [Split("train", train), Split("test", synthetic_dynamics(seed=1, **options))]


def check(fig, style):
    """JSON without NaN that Plotly knows, in the colours of the house."""
    text = fig.to_json()
    parsed = json.loads(text, parse_constant=pytest.fail)
    go.Figure(fig.to_dict())  # raises where Plotly does not know a property or its value
    assert parsed["layout"]["template"]["layout"]["font"]["color"] == style.palette.ink
    for color in ("#636efa", "#E5ECF6", "#2a3f5f", "#000001"):
        assert color.lower() not in text.lower()
    shown = [t for t in parsed["data"] if t.get("showlegend", True) and t["type"] == "scatter"]
    assert not parsed["layout"].get("showlegend") or len(shown) <= 3
    for trace in parsed["data"]:
        assert trace["name"]
        if trace.get("hoverinfo") != "skip":
            assert trace["hovertemplate"].endswith("<extra></extra>")
    return text


def trace_of(fig, name):
    return next(t for t in fig.data if t.name == name)


def in_frame(fig, frame, name, axis=None):
    """What that trace is in that frame."""
    for position, update in zip(fig.frames[frame].traces, fig.frames[frame].data, strict=True):
        still = fig.data[position]
        if still.name == name and axis in (None, still.xaxis):
            return update
    raise KeyError(name)


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_the_film_keeps_to_the_rules(style):
    fig = player(pair(), style, terminal=10)
    assert len(check(fig, style)) < 300_000
    assert len(fig.frames) == len(EPOCHS)
    for quantity in MAPS:
        check(layer_by_epoch(pair()[0].dynamics, style, quantity, "act2", 10), style)


@pytest.mark.parametrize("classes", [1, 2, 3, 15, 21, 100])
def test_any_number_of_classes(classes):
    options = {"classes": classes} if classes > 3 else {"classes": max(classes, 4)}
    splits = pair(**options)
    if classes < 4:  # fewer than the three directions that the synthetic clouds have
        splits = [Split(s.label, few(s.dynamics, classes)) for s in splits]
    fig = player(splits, LARGE, terminal=3)
    assert len(check(fig, LARGE)) < 2_000_000
    names = {t.name for t in fig.data}
    assert ("cosine" in names) == (2 <= classes <= 20)
    assert ("angle" in names) == (classes >= 2)


def few(dynamics, classes):
    keep = dynamics.labels < classes
    return replace(
        dynamics,
        class_names=dynamics.class_names[:classes],
        counts=dynamics.counts[:classes],
        labels=dynamics.labels[keep],
        points=dynamics.points[:, keep],
        point_means=dynamics.point_means[:, :classes],
        mean_coordinates=dynamics.mean_coordinates[:, :classes, : max(classes - 1, 1)],
    )


def test_many_checkpoints_make_25_frames_with_the_first_and_the_last():
    epochs = tuple(range(0, 320, 4))
    fig = player(pair(epochs=epochs), LARGE)
    names = [int(frame.name) for frame in fig.frames]
    assert len(names) == MAX_FRAMES
    assert (names[0], names[-1]) == (0, 316)
    assert set(names) <= set(epochs)
    curve = next(t for t in fig.data if t.name == "train")
    assert len(curve.x) == len(epochs)  # nothing is left out of the curves
    assert len(check(fig, LARGE)) < 600_000
    assert len(trace_of(fig, "samples").x) <= MAX_SHOWN


def test_slider_and_frames_are_one_thing():
    fig = player(pair(), LARGE, epoch=10)
    slider = fig.layout.sliders[0]
    assert [s.label for s in slider.steps] == [f.name for f in fig.frames]
    assert [list(s.args[0]) for s in slider.steps] == [[f.name] for f in fig.frames]
    assert slider.active == EPOCHS.index(10)
    assert player(pair(), LARGE).layout.sliders[0].active == len(EPOCHS) - 1
    play, pause = fig.layout.updatemenus[0].buttons
    assert play.args[0] is None
    assert list(pause.args[0]) == [None]
    assert play.args[1]["frame"]["redraw"] is False


def test_the_figure_starts_as_its_frame():
    fig = player(pair(), LARGE, epoch=3)
    at = fig.layout.sliders[0].active
    for position, update in zip(fig.frames[at].traces, fig.frames[at].data, strict=True):
        for key, value in update.to_plotly_json().items():
            if key not in ("type", "marker"):
                assert list(fig.data[position][key]) == list(value), key


def test_cursors_stand_on_the_values_of_their_epoch():
    train, test = pair()
    fig = player([train, test], LARGE)
    for number, panel in enumerate(PANELS):
        for frame, epoch in enumerate(EPOCHS):
            cursor = in_frame(fig, frame, "cursor", f"x{number + 4}")
            assert cursor.x[0] == pytest.approx(np.log10(1 + epoch), abs=1e-4)
            wanted = [panel.factor * s.dynamics.of(panel.key)[frame] for s in (train, test)]
            np.testing.assert_allclose(list(cursor.y[1:3]), wanted, rtol=1e-4)


def test_values_are_written_in_the_colours_of_their_curves():
    fig = player(pair(), Style("dark", "large"))
    said = in_frame(fig, 0, "value", "x4").text[0]
    palette = PALETTES["dark"]
    assert said.index(palette.accent) < said.index(palette.classes[1])
    assert "10.0 %" in said  # accuracy of chance at epoch 0


def test_points_end_in_their_principal_axes_and_move_as_little_as_turning_allows():
    train, test = pair()
    dynamics = test.dynamics
    fig = player([train, test], LARGE, geometry=1)
    clouds = np.concatenate([dynamics.points, dynamics.point_means], axis=1).astype(float)
    turned = [clouds[-1]]
    for cloud in clouds[-2::-1]:  # back through training, by another library's Procrustes
        turned.insert(0, cloud @ orthogonal_procrustes(cloud, turned[0])[0])
    for frame in range(len(EPOCHS)):
        shown, centres = in_frame(fig, frame, "samples"), in_frame(fig, frame, "class means")
        x, y = [*shown.x, *centres.x], [*shown.y, *centres.y]
        found, wanted = np.column_stack([x, y]), turned[frame][:, :2]
        unit = (found * wanted).sum() / (wanted**2).sum()  # the spread within the plane is 1
        np.testing.assert_allclose(found, unit * wanted, atol=4e-3)
    last = clouds[-1][:120, 0] / np.sqrt(0.5 + 0.3)
    np.testing.assert_allclose(list(in_frame(fig, 5, "samples").x), last, atol=1e-3)


def test_the_share_of_variance_is_that_of_the_plane():
    dynamics = pair()[0].dynamics
    fig = player([Split("train", dynamics)], LARGE)
    said = [in_frame(fig, i, "share of variance").text[0] for i in range(len(EPOCHS))]
    assert said[-1] == "80 % of the variance"  # 0.5 + 0.3, both axes being principal ones
    plane = replace(dynamics, explained=np.tile([0.5, 0.5, 0.5], (len(EPOCHS), 1)))
    fig = player([Split("train", plane)], LARGE)
    assert in_frame(fig, 0, "share of variance").text[0].startswith("100 %")  # however it is turned


def test_angles_and_cosines_of_a_simplex_and_by_plain_code():
    splits = pair()
    simplex = np.eye(10) - 0.1
    base = np.linalg.svd(simplex)[2][:9]
    coordinates = splits[0].dynamics.mean_coordinates.copy()
    coordinates[-1] = 3.0 * simplex @ base.T
    film = [Split("train", replace(splits[0].dynamics, mean_coordinates=coordinates)), splits[1]]
    fig = player(film, LARGE)
    last = len(EPOCHS) - 1
    np.testing.assert_allclose(list(in_frame(fig, last, "angle").y), 96.379, atol=0.06)
    np.testing.assert_allclose(list(in_frame(fig, last, "cosine").marker.color), -1 / 9, atol=5e-4)
    vectors = coordinates[1]
    by_hand = [
        np.degrees(np.arccos(a @ b / np.sqrt((a @ a) * (b @ b))))
        for a, b in combinations(vectors, 2)
    ]
    np.testing.assert_allclose(list(in_frame(fig, 1, "angle").y), by_hand, atol=0.06)
    assert any(a.text == "96.4°" for a in fig.layout.annotations)


def test_colours_of_cosines_are_the_same_in_all_frames():
    fig = player(pair(), LARGE)
    squares = trace_of(fig, "cosine")
    assert (squares.marker.cmin + squares.marker.cmax) / 2 == pytest.approx(-1 / 9, abs=1e-3)
    every = np.concatenate([in_frame(fig, i, "cosine").marker.color for i in range(len(EPOCHS))])
    assert squares.marker.cmin <= every.min()
    assert squares.marker.cmax >= every.max()


def test_zero_error_is_marked_in_every_panel_and_only_if_it_was_reached():
    fig = player(pair(), LARGE, terminal=10)
    lines = [s for s in fig.layout.shapes if s.type == "line" and s.x0 == s.x1]
    assert len(lines) == len(PANELS)
    assert {s.xref for s in lines} == {f"x{i + 4}" for i in range(len(PANELS))}
    assert all(s.x0 == pytest.approx(np.log10(11), abs=1e-4) for s in lines)
    assert sum(a.text == ZERO_ERROR for a in fig.layout.annotations) == len(PANELS)
    without = player(pair(), LARGE)
    assert not [a for a in without.layout.annotations if a.text == ZERO_ERROR]


def test_the_label_of_zero_error_avoids_the_curves():
    fig = player(pair(), LARGE, terminal=10)
    accuracy = next(a for a in fig.layout.annotations if a.text == ZERO_ERROR)
    assert accuracy.y == 0  # accuracy is high there
    nc1 = [a for a in fig.layout.annotations if a.text == ZERO_ERROR][1]
    assert (nc1.y, nc1.xanchor) == (1, "left")  # and NC1 falls


@given(st.lists(st.integers(0, 100_000), min_size=2, max_size=30, unique=True))
def test_the_axis_of_epochs_shows_all_of_them_in_order(epochs):
    epochs = np.sort(np.array(epochs))
    axis = epoch_axis(epochs)
    at = place(epochs)
    assert (np.diff(at) > 0).all()
    assert axis["range"][0] < at[0]
    assert at[-1] < axis["range"][1]
    assert len(axis["tickvals"]) >= 2
    for value, text in zip(axis["tickvals"], axis["ticktext"], strict=True):
        assert 10**value - 1 == pytest.approx(int(text.replace(",", "")), rel=1e-3, abs=1e-3)
    assert place(0) == 0


def test_what_was_not_measured_says_why():
    train, _test = pair()
    collapse = {k: np.full(len(EPOCHS), np.nan) for k in train.dynamics.collapse}
    bare = replace(
        train.dynamics,
        collapse=collapse,
        accuracy=collapse["nc1"],
        reasons={"nc3": "the network has no classifier"},
        layer_values={k: np.full((5, len(EPOCHS)), np.nan) for k in train.dynamics.layer_values},
        points=np.full_like(train.dynamics.points, np.nan),
        point_means=np.full_like(train.dynamics.point_means, np.nan),
        mean_coordinates=np.full_like(train.dynamics.mean_coordinates, np.nan),
    )
    fig = player([Split("train", bare)], LARGE, terminal=10)
    check(fig, LARGE)
    texts = [a.text.replace("<br>", " ") for a in fig.layout.annotations]
    assert "the network has no classifier" in texts
    assert texts.count("not measured") == len(PANELS) - 1
    for quantity in MAPS:
        empty = layer_by_epoch(bare, LARGE, quantity)
        assert not empty.data
        assert empty.layout.annotations[0].text.endswith(".")


def test_gaps_zeros_and_a_test_set_with_fewer_checkpoints():
    train, _test = pair()
    nc1 = train.dynamics.collapse["nc1"].copy()
    nc1[2], nc1[3] = np.nan, 0.0
    train = Split("train", replace(train.dynamics, collapse=train.dynamics.collapse | {"nc1": nc1}))
    short = Split("test", synthetic_dynamics(epochs=EPOCHS[:3], seed=1))
    fig = player([train, short], LARGE, terminal=100)
    check(fig, LARGE)
    curve = next(t for t in fig.data if t.name == "train" and t.xaxis == "x5")
    assert [v is None for v in curve.y] == [False, False, True, True, False, False]
    assert list(in_frame(fig, 4, "cursor", "x4").y)[2] is None


def test_one_checkpoint_alone_is_no_film():
    fig = player(pair(epochs=(7,)), LARGE)
    assert not fig.data
    assert fig.layout.annotations[0].text.replace("<br>", " ").endswith("does not move.")


@pytest.mark.parametrize("style", [Style(), Style("dark", "large")])
def test_names_from_outside_never_become_markup(style):
    dynamics = synthetic_dynamics(classes=4, class_names=HOSTILE)
    layers = tuple(replace(a, name=f"<i>$y$ {a.name}") for a in dynamics.layers)
    dynamics = replace(dynamics, layers=layers, penultimate=layers[-1].name)
    splits = [Split("<u>train</u>", dynamics), Split("test", dynamics)]
    figures = [player(splits, style, terminal=3)]
    figures += [layer_by_epoch(dynamics, style, q, layers[1].name, 3) for q in MAPS]
    for fig in figures:
        text = check(fig, style).replace("\\u003c", "<").replace("\\u003e", ">")
        for markup in ("<a ", "<b>x", "$x$", "<i>", "$y$", "<u>", '"%{x} &'):
            assert markup not in text, markup


# --- layer × epoch -----------------------------------------------------------------------------


def test_maps_hold_the_values_of_all_layers():
    dynamics = pair()[0].dynamics
    values = dynamics.layer_values
    nc1 = layer_by_epoch(dynamics, LARGE, "nc1").data[0]
    np.testing.assert_allclose(np.asarray(nc1.z, float), np.log10(values["nc1"]), atol=1e-4)
    zeros = layer_by_epoch(dynamics, LARGE, "nonzero_fraction").data[0]
    np.testing.assert_allclose(
        np.asarray(zeros.z, float), 100 * values["nonzero_fraction"][1:], atol=1e-3
    )  # the first layer is no activation
    assert zeros.zmin == 0
    assert nc1.text[4][2].startswith("<b>act4</b><br>epoch 3<br>NC1 ")


def test_maps_mark_the_chosen_layer_and_the_start_of_the_terminal_phase():
    dynamics = pair()[0].dynamics
    fig = layer_by_epoch(dynamics, LARGE, "nc1", selected="act3", terminal=7)
    frame = next(s for s in fig.layout.shapes if s.type == "rect")
    assert (frame.y0, frame.y1) == (2.5, 3.5)
    assert fig.layout.yaxis.ticktext[3] == "<b>act3</b>"
    line = next(s for s in fig.layout.shapes if s.type == "line")
    assert line.x0 == 2.5  # between the checkpoints of epochs 3 and 10
    assert any(a.text == "zero error at epoch 7" for a in fig.layout.annotations)
    exact = layer_by_epoch(dynamics, LARGE, "nc1", terminal=10)
    assert next(s for s in exact.layout.shapes if s.type == "line").x0 == 2.5
    assert not layer_by_epoch(dynamics, LARGE, "twonn").layout.shapes


def test_many_layers_and_checkpoints_are_labelled_as_space_allows():
    dynamics = synthetic_dynamics(epochs=tuple(range(60)), layers=80)
    fig = layer_by_epoch(dynamics, Style(), "nc1", selected="act41")
    assert len(fig.layout.yaxis.tickvals) <= 24
    assert "<b>act41</b>" in fig.layout.yaxis.ticktext
    assert len(fig.layout.xaxis.tickvals) <= 14
    assert fig.layout.xaxis.ticktext[-1] == "59"
    assert fig.layout.height < 700


def test_figures_export_as_csv():
    rows = figure_csv(player(pair(), LARGE)).splitlines()
    assert rows[0].startswith("series,x,y,z")
    assert sum(row.startswith("train,") for row in rows) == len(PANELS) * len(EPOCHS)
    rows = figure_csv(layer_by_epoch(pair()[0].dynamics, LARGE, "twonn")).splitlines()
    assert rows[1].split(",")[:3] == ["TwoNN dimension", "0", "in"]

"""What every figure must keep to, whatever the analysis holds."""

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import pytest

from core.figures import (
    dimension,
    dimension_classes,
    dimension_curves,
    language,
    layers,
    loops,
    means,
    persistence,
    projections,
    shift,
    sparsity,
    topology,
    topology_lines,
    transfer,
    weights,
)
from core.figures.export import figure_csv, with_title
from core.figures.theme import Style
from core.metrics.geometry import alignment, cosines, norms
from core.results import Analysis, MLPSparsity
from core.shift import profile_of
from core.shift.profile import GROUPS
from core.topology_grid import grid_of_analysis
from tests.synthetic import synthetic_analysis

STYLES = [Style(m, s) for m in ("light", "dark") for s in ("card", "large", "presentation")]
HOSTILE = ("<b>x</b>", "<a href='https://x.org'>y</a>", "$x$", '=HYPERLINK("x")', "a & b")


@lru_cache
def analysis(classes: int, names: tuple[str, ...] | None = None) -> Analysis:
    return synthetic_analysis(
        classes, layers=6 if classes < 50 else 2, samples=300, class_names=names
    )


def every_figure(a: Analysis, style: Style) -> dict[str, go.Figure]:
    names = a.data.class_names
    layer = a.layers[-1]
    g = layer.geometry
    topology_of = None if layer.topology is None else layer.topology.all
    dimension_of = None if layer.dimension is None else layer.dimension.all
    figures = {
        "means_3d": means.means_3d(layer, a.sample, names, style),
        "pca": projections.pca(layer, a.sample, names, style, picked=(0, 1)),
        "pca_3d": projections.pca(layer, a.sample, names, style, dimensions=3),
        "plane": projections.three_means_plane(layer, a.sample, names, (0, 1, 2), style),
        "dimension": dimension.dimension_by_layer(a, style),
        "estimators": dimension.dimension_by_layer(
            a, style, tuple(dimension.ESTIMATORS), scope=1, selected=a.layers[0].name
        ),
        "dimension_by_class": dimension_classes.dimension_by_class(a, style),
        "pca_spectrum": dimension.pca_spectrum(dimension_of, style),
        "decimation": dimension.decimation(dimension_of, style),
        "dimension_over_epochs": dimension.dimension_over_epochs(
            {"epoch 0": a, "epoch 9": a}, style, selected=a.layers[0].name, axis="depth"
        ),
        "mle_over_k": dimension_curves.mle_over_k(dimension_of, style),
        "ratio_fit": dimension_curves.ratio_fit(dimension_of, style),
        "dimension_bias": dimension_curves.bias(dimension_of, style),
        "betti_by_layer": topology.betti_by_layer(a, style),
        "betti_by_layer, peak": topology.betti_by_layer(a, style, at="peak"),
        "betti_grid": topology.betti_grid(
            grid_of_analysis(a), names, style, selected=(a.layers[0].name, 1)
        ),
        "entropy": topology_lines.entropy_by_layer(
            grid_of_analysis(a), names, style, 1, (a.layers[0].name, 1)
        ),
        "diagram": persistence.diagram(topology_of, style, loop=0),
        "barcode": persistence.barcode(topology_of, style, loop=0),
        "betti_curve": persistence.betti_curve(topology_of, style, 0.5),
        "loop": loops.cycle_view(topology_of, style, 0),
        "separation": layers.separation_by_layer(a, style),
        "nc1": layers.separation_by_layer(a, style, "nc1", selected=a.layers[0].name),
        "separation of blocks": layers.separation_by_layer(a, style, over="blocks"),
        "residuals": layers.residuals(a, style),
        "separation by epoch": layers.by_epoch(dict.fromkeys((0, 1, 2, 30, 400), a), style),
        **sparsity_figures(a, style),
        **shift_figures(a, style),
        **language_figures(a, style),
        "accuracy": layers.accuracy_by_layer(a, style),
        "two phases": transfer.two_phases([transfer.Network(n, a) for n in names[:2]], style),
        "two phases, class mean": transfer.two_phases(
            [transfer.Network(names[0], a)], style, "mean"
        ),
        "weight_spectra": weights.weight_spectra(a.weights, style),
        "weight_zeros": weights.weight_zeros(a.weights, style),
    }
    if g is not None:
        figures |= {
            "cosines": means.cosine_matrix(cosines(g), names, style),
            "angles": means.pair_angles(cosines(g), names, style),
            "norms": means.norms(norms(g), norms(g, "classifier"), names, style),
            "spread": means.spread(g.within_trace, norms(g), names, style),
            "alignment": means.alignment_matrix(alignment(g), names, style),
        }
    return figures


def shift_figures(a: Analysis, style: Style) -> dict[str, go.Figure]:
    profile = profile_of(a, "cifar10")
    deviations = np.random.default_rng(0).normal(0, 0.05, (3, GROUPS, len(profile.layers)))
    profile = replace(profile, deviations=deviations)
    shown = [shift.Shown(name, profile) for name in a.data.class_names[:4]]
    quiet = replace(profile, accuracy=None, penultimate=None)
    last = profile if a.layers and a.layers[-1].nc1 is not None else quiet
    shown = shown if last is profile else [replace(s, profile=quiet) for s in shown]
    return {
        "shift": shift.by_layer(shown, style, "nc1"),
        "shift of accuracy": shift.by_layer(shown[:2], style, "ncc_accuracy"),
        "shift, penultimate": shift.penultimate(shown, style),
        "severity": shift.severity([last, None, last, None, last, quiet], style),
    }


def language_figures(a: Analysis, style: Style) -> dict[str, go.Figure]:
    """As if every layer were a block of a text transformer."""
    found = [layer.sparsity and layer.sparsity.nonzero_fraction for layer in a.layers]
    share, low, high = (
        np.array([getattr(f, key) if f else np.nan for f in found], dtype=np.float64)
        for key in ("value", "low", "high")
    )
    mlp = MLPSparsity(
        stack=a.data.class_names[0],
        activation=a.data.class_names[-1],
        blocks=tuple(layer.name for layer in a.layers),
        units=np.full(len(share), 64),
        share=share,
        low=low,
        high=high,
        by_position=share[:, None] * np.linspace(0.5, 1, 60),
        tokens=np.arange(60, 0, -1),
        approximate=len(a.layers) < 6,
        thresholds=np.full(len(share), 0.01),
    )
    return {
        "MLPs": language.by_depth((mlp, replace(mlp, stack="decoder")), style),
        "MLPs by position": language.by_position(mlp, style),
    }


def sparsity_figures(a: Analysis, style: Style) -> dict[str, go.Figure]:
    names, rows = a.data.class_names, sparsity.rows_of(a)
    placed = [replace(r, block=r.name, position=i % 5) for i, r in enumerate(rows * 2)]
    of = rows[-1].sparsity if rows else None
    overlap = None if of is None else of.class_overlap
    networks = [sparsity.Network(f"{n} {i}", 10 * i, rows) for i, n in enumerate(names[:5])]
    return {
        "zeros": sparsity.nonzero(rows, style, selected=a.layers[0].name),
        "zeros by position": sparsity.nonzero(placed, style, by_position=True),
        "dead units": sparsity.dead_units(rows, style),
        "units": sparsity.share_histogram(of and of.unit_histogram, style, "units"),
        "samples": sparsity.share_histogram(of and of.sample_histogram, style, "samples"),
        "zeros by class": sparsity.by_class(rows, names, style),
        "overlap": sparsity.class_overlap(overlap, names, style),
        "epochs": sparsity.over_epochs(dict.fromkeys((0, 3, 10, 600), rows), style),
        "networks": sparsity.side_by_side(networks, style),
    }


def check(name: str, fig: go.Figure, style: Style) -> str:
    """The rules of the house, on the JSON that the browser gets."""
    text = fig.to_json()
    parsed = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in {name}"))
    for color in ("#636efa", "#E5ECF6", "#2a3f5f", "#000001", "#000010"):
        assert color.lower() not in text.lower(), (name, color)
    assert parsed["layout"]["template"]["layout"]["font"]["color"] == style.palette.ink
    assert parsed["layout"]["height"] >= 258
    assert "title" not in parsed["layout"], name
    go.Figure(fig.to_dict())  # raises where Plotly does not know a property or its value
    shown = [t for t in parsed["data"] if t.get("showlegend") is not False]
    if parsed["layout"].get("showlegend"):
        assert len(shown) <= 3, name
    for trace in parsed["data"]:
        assert trace.get("name"), name
        if trace.get("hoverinfo") != "skip":
            assert trace["hovertemplate"].endswith("<extra></extra>"), name
    return text


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_every_figure_keeps_to_the_rules(style):
    for name, fig in every_figure(analysis(10), style).items():
        check(name, fig, style)
        assert fig.data, name


@pytest.mark.parametrize("classes", [2, 3, 15, 100, 1000])
def test_any_number_of_classes(classes):
    style = Style("light", "card" if classes > 15 else "large")
    for name, fig in every_figure(analysis(classes), style).items():
        check(name, fig, style)


@pytest.mark.parametrize("style", [Style("light", "card"), Style("dark", "large")])
def test_names_from_outside_never_become_markup(style):
    hostile = analysis(len(HOSTILE), HOSTILE)
    renamed = replace(
        hostile,
        layers=tuple(
            replace(layer, name=f"<i>{i}</i>$y${layer.name}")
            for i, layer in enumerate(hostile.layers)
        ),
        weights=tuple(replace(w, name=f"<u>{w.name}</u>") for w in hostile.weights),
    )
    for name, fig in every_figure(renamed, style).items():
        text = check(name, fig, style).replace("\\u003c", "<").replace("\\u003e", ">")
        for markup in ("<a ", "<b>x", "$x$", "<i>", "$y$", "<u>"):
            assert markup not in text, (name, markup)


def stripped(a: Analysis) -> Analysis:
    """The same analysis with nothing measured but the layers' names."""
    return replace(
        a,
        layers=tuple(
            replace(
                layer,
                nc1=None,
                separation=None,
                ncc_accuracy=None,
                probe_accuracy=None,
                geometry=None,
                projection=None,
                sparsity=None,
                dimension=None,
                topology=None,
            )
            for layer in a.layers
        ),
        separation_law=None,
        sample=None,
        weights=(),
    )


def test_what_is_missing_is_said_in_a_sentence():
    style = Style()
    for name, fig in every_figure(stripped(analysis(10)), style).items():
        assert not fig.data, name
        assert fig.layout.annotations[0].text.endswith("."), name


def test_an_analysis_of_weights_alone_draws_its_weights():
    bare = replace(analysis(10), layers=(), data=None, penultimate=None, separation_law=None)
    style = Style()
    assert dimension.dimension_by_layer(bare, style).layout.annotations
    assert dimension_classes.dimension_by_class(bare, style).layout.annotations
    assert topology.betti_by_layer(bare, style).layout.annotations
    assert topology.betti_grid(grid_of_analysis(bare), (), style).layout.annotations
    assert layers.separation_by_layer(bare, style).layout.annotations
    assert layers.residuals(bare, style).layout.annotations
    assert layers.accuracy_by_layer(bare, style).layout.annotations
    assert weights.weight_spectra(bare.weights, style).data


def test_every_figure_exports():
    for name, fig in every_figure(analysis(10), Style("dark", "large")).items():
        titled = with_title(fig, f"What {name} shows, in a title that is long enough to wrap " * 2)
        assert titled.layout.title.text.startswith("What")
        assert "<br>" in titled.layout.title.text
        assert titled.layout.height > fig.layout.height
        assert fig.layout.title.text is None
        assert titled.layout.paper_bgcolor == "#14171A"
        rows = figure_csv(fig).splitlines()
        assert rows[0].startswith("series,x,y,z")
        assert len(rows) > 1, name


def test_undefined_values_leave_gaps_and_blanks():
    a = analysis(10)
    broken = replace(
        a,
        layers=tuple(
            replace(
                layer,
                separation=None if i == 2 else layer.separation,
                dimension=None if i == 3 else layer.dimension,
                topology=None if i == 1 else layer.topology,
                sparsity=None if i == 0 else layer.sparsity,
                probe_accuracy=None if i == 4 else layer.probe_accuracy,
            )
            for i, layer in enumerate(a.layers)
        ),
    )
    style = Style("light", "large")
    for name, fig in every_figure(broken, style).items():
        check(name, fig, style)
    curve = dimension.dimension_by_layer(broken, style).data[-1]
    assert curve.y[3] is None
    heat = topology.betti_by_layer(broken, style).data[0]
    assert np.isnan(heat.z[:, 1]).all()

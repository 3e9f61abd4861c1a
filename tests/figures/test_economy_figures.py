"""Figures of classifier economy: the rules of the house, and that they show the counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from core.economy import Economy, Network, curve, economy, find_network, networks
from core.figures import economy as figures
from core.figures.export import figure_csv
from core.figures.theme import Style
from tests.figures.test_every_figure import HOSTILE, STYLES, check

LARGE = Style("light", "large")
CASES = (  # network, classes: saves, costs, no ETF, no narrowing, no bias, not linear, tiny
    *(("resnet18", 10), ("resnet50", 1000), ("resnet18", 1000), ("vit_b_16", 100)),
    *(("maxvit_t", 100), ("squeezenet1_0", 1000), ("resnet20_cifar", 10), ("vgg16", 2)),
    *(("googlenet", 100_000), ("resnet20_cifar", 65)),
)


def known(name: str, classes: int) -> tuple[Network, Economy]:
    network = find_network(name)
    assert network is not None
    return network, economy(network, classes)


def bars(fig: go.Figure) -> np.ndarray:
    """(5, 3) at most: parameters of every part and its pale end, by row."""
    return np.array([[v or 0.0 for v in trace.x] for trace in fig.data])


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_rules(name: str, classes: int, style: Style) -> None:
    network, found = known(name, classes)
    pairs = [(n, economy(n, classes)) for n in networks()]
    for what, fig in {
        "three ways": figures.three_ways(network, found, style),
        "over classes": figures.over_classes(network, curve(network), found, style),
        "across": figures.across(pairs, style, name, ("resnet50",)),
    }.items():
        check(what, fig, style)
        assert fig.data, what
        assert figure_csv(fig)


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_bars_are_the_counts(name: str, classes: int) -> None:
    network, found = known(name, classes)
    fig = figures.three_ways(network, found, LARGE)
    size, _ = figures.unit_of(found.learned)
    solid = bars(fig)[:3].sum(0) * size
    whole = bars(fig).sum(0) * size
    for row, count in enumerate((found.learned, found.fixed, found.narrowed)):
        assert solid[row] == pytest.approx(count or 0)
        if count is not None:  # the pale ends reach to where the learned network's bar ends
            assert whole[row] == pytest.approx(max(count, found.learned))
    text = fig.layout.annotations[2].text
    assert ("not possible" in text) == (found.narrowed is None)


def test_bars_name_what_is_saved_and_what_it_costs() -> None:
    network, found = known("resnet18", 10)
    notes = [a.text for a in figures.three_ways(network, found, LARGE).layout.annotations]
    assert notes[0] == "<b>learned</b>: 11.2 M trained"
    assert notes[1].endswith("−0.05 %")
    assert notes[2].endswith("−20.7 %")
    network, found = known("resnet18", 511)
    costly = replace(found, narrowed=found.learned + found.learned // 100)
    notes = [a.text for a in figures.three_ways(network, costly, LARGE).layout.annotations]
    assert notes[2].endswith("+1.0 %")


def test_curve_ends_where_the_regimes_end() -> None:
    network, found = known("resnet18", 100)
    drawn = curve(network)
    fig = figures.over_classes(network, drawn, found, LARGE)
    lines = {t.name: t for t in fig.data}
    last = {
        name: max(k for k, v in zip(t.x, t.y, strict=True) if v is not None)
        for name, t in lines.items()
    }
    assert last["fixed ETF"] == 513
    assert last["ETF, d = K"] == 511
    assert last["W, but no ETF fits"] == 100_000
    assert min(drawn.classes[np.isnan(drawn.fixed)]) == 514
    assert list(lines["chosen"].y) == [
        100 * found.share_saved("fixed"),
        100 * found.share_saved("narrowed"),
    ]
    assert fig.layout.annotations[-1].text == "K = d + 1 = 513"
    assert fig.layout.annotations[-1].x == pytest.approx(np.log10(513))


def test_without_a_linear_classifier_there_is_no_limit_and_no_saving() -> None:
    network, found = known("squeezenet1_0", 1000)
    fig = figures.over_classes(network, curve(network), found, LARGE)
    assert [t.name for t in fig.data] == ["weights of the classifier", "chosen"]
    assert not fig.layout.annotations


def test_open_symbols_where_no_etf_fits() -> None:
    pairs = [(n, economy(n, 1000)) for n in networks()]
    fig = figures.across(pairs, LARGE, "resnet18", ("resnet50",))
    fits, lacks, chosen = fig.data
    assert len(fits.x) + len(lacks.x) == len(pairs)
    assert (fits.marker.symbol, lacks.marker.symbol) == ("circle", "circle-open")
    assert chosen.marker.symbol == "circle-open"
    assert sorted(a.text for a in fig.layout.annotations) == ["resnet18", "resnet50"]
    shares = dict(zip([t.split("<br>")[0] for t in fits.text], fits.y, strict=True))
    assert shares["<b>resnet50</b>"] == pytest.approx(100 * 2_049_000 / 25_557_032)


@pytest.mark.parametrize("title", HOSTILE)
def test_titles_from_outside_are_escaped(title: str) -> None:
    network = replace(find_network("resnet18"), name="opened", title=title)
    fig = figures.across([(network, economy(network, 10))], LARGE, "opened")
    text = fig.to_json()
    for raw in ("<b>x</b>", "<a href", "$x$", '=HYPERLINK("x")'):
        assert raw not in text.replace("\\u003c", "<").replace('\\"', '"')
    check("across", fig, LARGE)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0801, "8.0 %"), (0.00046, "0.05 %"), (-0.02, "−2.0 %"), (None, "n/a")]
)
def test_percent(share: float | None, text: str) -> None:
    assert figures.percent(share) == text


@pytest.mark.parametrize(
    ("count", "text"), [(25_557_032, "25.6 M"), (8_867_442, "8.87 M"), (269_722, "269.7 k")]
)
def test_short_count(count: int, text: str) -> None:
    assert figures.short_count(count) == text

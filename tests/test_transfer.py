"""Foreign classes and the two phases: which analyses are meant, what is said, what is shaded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic import synthetic_analysis

from core.figures.theme import Style
from core.figures.transfer import Network, two_phases
from core.results import Analysis, Estimate
from core.transfer import classes_differ, phases_in_words, phases_of, probes_in_words

STYLE = Style("light", "large")


def with_values(nc1: list[float | None], outputs: int = 10) -> Analysis:
    """An analysis of as many layers with these NC1, and a probe right on 10 % more each."""
    made = synthetic_analysis(layers=len(nc1))
    layers = [
        replace(
            layer,
            nc1=value,
            kind="Output" if i == len(nc1) - 1 else "BasicBlock",
            dim=outputs,
            probe_accuracy=Estimate(0.1 * (i + 1), 0.1 * i, 0.1 * (i + 2)),
        )
        for i, (layer, value) in enumerate(zip(made.layers, nc1, strict=True))
    ]
    return replace(made, layers=tuple(layers))


TWO = [3.0, 100.0, 10.0, 1.0, 1.5]


@pytest.mark.parametrize(("outputs", "differ"), [(10, False), (1000, True), (2, True)])
def test_other_classes_are_known_by_their_number(outputs: int, differ: bool) -> None:
    assert classes_differ(with_values(TWO, outputs)) is differ


def test_what_has_no_output_or_no_data_is_no_transfer() -> None:
    made = with_values(TWO, 1000)
    assert not classes_differ(replace(made, data=None))
    assert not classes_differ(replace(made, layers=()))
    assert not classes_differ(replace(made, layers=made.layers[:-1]))


def test_two_phases_are_told_in_words() -> None:
    text = phases_in_words(with_values(TWO))
    assert "falls from 100 at" in text
    assert "100 times, and rises again by 50 % to 1.50 at" in text
    assert text.endswith("two phases.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([9.0, 3.0, 1.0], "does not rise again: one phase."),
        ([9.0, 3.0, 1.0, 1.05], "the 5.0 % that it rises after that are below the 10 %"),
        ([1.0, 2.0, 3.0], "NC1 does not fall over the layers."),
        ([None, None, None], "NC1 does not fall over the layers."),
    ],
)
def test_less_than_two_phases(values: list[float | None], said: str) -> None:
    assert said in phases_in_words(with_values(values))


def test_probes_are_told_with_their_interval() -> None:
    made = with_values(TWO)
    assert probes_in_words(made).endswith("50.0 % (95 %: 40.0 to 60.0).")
    best = replace(made.layers[1], probe_accuracy=Estimate(0.9, 0.8, 0.95))
    layers = (made.layers[0], best, *made.layers[2:])
    text = probes_in_words(replace(made, layers=layers))
    assert "90.0 % (95 %: 80.0 to 95.0); at the end, 50.0 %" in text
    bare = replace(made, layers=tuple(replace(a, probe_accuracy=None) for a in made.layers))
    assert probes_in_words(bare) == ""


def test_both_phases_are_shaded_where_they_are() -> None:
    made = with_values(TWO)
    found, depth = phases_of(made), [layer.depth for layer in made.layers]
    assert found is not None
    fig = two_phases([Network("one", made)], STYLE)
    spans = [(s.x0, s.x1) for s in fig.layout.shapes if s.type == "rect"]
    assert spans == [(depth[1], depth[3]), (depth[3], depth[4])]
    assert "falling, ÷ 100" in [a.text for a in fig.layout.annotations]
    assert "rising, + 50 %" in [a.text for a in fig.layout.annotations]
    one = two_phases([Network("one", with_values([9.0, 3.0, 1.0, 1.05]))], STYLE)
    assert len([s for s in one.layout.shapes if s.type == "rect"]) == 1


def test_networks_share_the_depth_and_the_legend() -> None:
    fig = two_phases(
        [Network("one", with_values(TWO)), Network("two", with_values(TWO[1:]))], STYLE
    )
    lines = [t for t in fig.data if t.mode == "lines+markers"]
    assert [(t.name, t.yaxis) for t in lines] == [
        ("one", "y"), ("two", "y"), ("one", "y2"), ("two", "y2")
    ]  # fmt: skip
    assert {t.xaxis for t in lines} == {"x"}
    assert all(t.x[0] == 0 and t.x[-1] == 1 for t in lines)
    assert [t.name for t in fig.data if t.showlegend is not False] == ["one", "two"]
    assert list(lines[2].y) == pytest.approx([10, 20, 30, 40, 50])

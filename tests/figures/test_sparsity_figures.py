"""What the figures of zeros show, in numbers and words."""

from dataclasses import replace

import numpy as np
import pytest

from core.figures import sparsity
from core.figures.theme import Style
from core.results import Activation, Estimate
from tests.synthetic import synthetic_analysis

STYLE = Style("light", "large")


def rows(shares, positions=None):
    found = synthetic_analysis().layers[0].sparsity
    return tuple(
        Activation(f"r{i}", f"r{i}#1", "ReLU", (4,), "b", p, i / len(shares),
                   replace(found, nonzero_fraction=Estimate(s)))
        for i, (s, p) in enumerate(zip(shares, positions or [0] * len(shares), strict=True))
    )  # fmt: skip


def test_lines_by_position_hold_every_layer_once():
    fig = sparsity.nonzero(rows([0.6, 0.4, 0.7, 0.3, 0.8], [0, 1, 2, 1, 2]), STYLE, None, True)
    lines = [t for t in fig.data if "lines" in t.mode]
    assert [t.name for t in lines] == ["outside blocks", "1st in its block", "2nd in its block"]
    assert [list(t.x) for t in lines] == [[0], [1, 3], [2, 4]]
    np.testing.assert_allclose(lines[2].y, [70, 80])


def test_larger_is_sparser_in_words():
    def network(name, parameters, share):
        return sparsity.Network(name, parameters, rows([share, share]))

    small, large = network("small", 10, 0.5), network("large", 20, 0.3)
    said = sparsity.sparser([large, small])
    assert said.index("small (10 parameters) 50.0 %") < said.index("large (20 parameters) 30.0 %")
    assert said.endswith("Larger is sparser here.")
    assert "not sparser" in sparsity.sparser([small, network("large", 20, 0.7)])
    assert "not always" in sparsity.sparser([small, large, network("huge", 30, 0.4)])
    twice = [small, small, large, network("other", 20, 0.4)]
    assert sparsity.sparser(twice).endswith("Larger is sparser here.")
    assert sparsity.sparser([small]).endswith("50.0 %.")


def test_networks_are_compared_by_what_all_of_them_hold():
    old = synthetic_analysis()
    outputs = tuple(
        replace(la, sparsity=replace(la.sparsity, is_activation=False)) for la in old.layers
    )
    old = replace(old, layers=outputs)
    inner = rows([0.1, 0.2])
    new = replace(old, activations=(*inner, *sparsity.rows_of(old)))
    assert sparsity.compared([new], "inside") == [inner]
    assert sparsity.compared([new], "all") == [new.activations]
    mixed = sparsity.compared([new, old], "inside")
    assert [r.name for r in mixed[0]] == [r.name for r in mixed[1]]


def test_the_pair_that_shares_most_and_no_pair():
    overlap = np.array([[1, 0.2, np.nan], [0.2, 1, 0.7], [np.nan, 0.7, 1]])
    assert sparsity.most_shared(overlap) == (1, 2, pytest.approx(0.7))
    assert sparsity.most_shared(np.full((3, 3), np.nan)) is None
    assert sparsity.most_shared(None) is None

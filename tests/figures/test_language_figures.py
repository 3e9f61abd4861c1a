"""Figures of a text transformer's MLPs against the numbers they are drawn from."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.figures import language
from core.figures.theme import Style
from core.results import MLPSparsity

LARGE = Style("light", "large")


def made(
    stack: str = "encoder", blocks: int = 3, positions: int = 6, approximate: bool = False
) -> MLPSparsity:
    """Shares 0.1, 0.2, … by block; every position 0.01 above the one before; fewer tokens later."""
    share = 0.1 * np.arange(1, blocks + 1)
    return MLPSparsity(
        stack=stack,
        activation="gelu" if approximate else "relu",
        blocks=tuple(f"{stack}.block.{i}" for i in range(blocks)),
        units=np.full(blocks, 64),
        share=share,
        low=share - 0.02,
        high=share + 0.03,
        by_position=share[:, None] + 0.01 * np.arange(positions),
        tokens=np.array([60, 60, 50, 30, 20, 7, 1])[:positions],
        approximate=approximate,
        thresholds=np.full(blocks, 0.025 if approximate else 0.0),
    )


def lines(fig) -> dict[str, object]:
    return {t.name: t for t in fig.data if t.mode == "lines+markers"}


# --- by depth ------------------------------------------------------------------------------------


def test_a_line_a_stack_with_its_band_in_per_cent() -> None:
    fig = language.by_depth((made(), made("decoder", blocks=2)), LARGE)
    found = lines(fig)
    assert list(found) == ["encoder", "decoder"]
    np.testing.assert_allclose(found["encoder"].y, [10, 20, 30])
    assert list(found["encoder"].x) == [1, 2, 3]
    assert list(found["decoder"].x) == [1, 2]
    bands = [t for t in fig.data if t.mode == "none"]
    assert len(bands) == 2
    np.testing.assert_allclose(bands[0].y, [13, 23, 33, 28, 18, 8])
    assert found["encoder"].marker.color != found["decoder"].marker.color
    assert found["encoder"].line.dash != found["decoder"].line.dash


def test_hovers_tell_block_interval_units_and_what_is_approximate() -> None:
    exact = lines(language.by_depth((made(),), LARGE))["encoder"].text[0]
    assert exact.startswith("<b>encoder, block 1</b>")
    assert "10.0 %" in exact
    assert "8.0 to 13.0 %" in exact
    assert "64 hidden units, relu" in exact
    assert "approximate" not in exact
    found = lines(language.by_depth((made(approximate=True),), LARGE))["encoder"]
    assert "approximate: |a| &gt; 0.025" in found.text[0]
    assert found.marker.symbol == "circle-open"


def test_half_is_drawn_where_zeros_are_exact_alone() -> None:
    """A GELU's threshold has nothing to do with half of the inputs being negative."""
    half = [s for s in language.by_depth((made(),), LARGE).layout.shapes if s.y0 == s.y1 == 50]
    assert len(half) == 1
    assert half[0].line.dash is not None
    both = (made(), made("decoder", approximate=True))
    assert not [s for s in language.by_depth(both, LARGE).layout.shapes if s.y0 == 50]


def test_a_block_that_is_not_finite_is_a_gap() -> None:
    broken = made()
    broken.share[1] = broken.low[1] = broken.high[1] = np.nan
    assert lines(language.by_depth((broken,), LARGE))["encoder"].y[1] is None
    broken.share[:] = np.nan
    empty = language.by_depth((broken,), LARGE)
    assert not empty.data
    assert "No MLP" in empty.layout.annotations[0].text


def test_without_an_interval_there_is_no_band() -> None:
    """One text has none."""
    one = made()
    one.low[:] = one.high[:] = np.nan
    fig = language.by_depth((one,), LARGE)
    assert [t.mode for t in fig.data] == ["lines+markers"]
    assert "95 %" not in fig.data[0].text[0]


def test_a_hostile_name_is_escaped() -> None:
    hostile = replace(made(), activation="<b>x</b>%{y}", stack="<i>s</i>")
    text = language.by_depth((hostile, made()), LARGE).to_json()
    assert "<b>x" not in text
    assert "%{y}" not in text
    assert "<i>s" not in text
    assert "<i>s" not in language.by_position(hostile, LARGE).to_json()


# --- by position ---------------------------------------------------------------------------------


def test_the_heat_map_is_blocks_by_positions_with_token_counts() -> None:
    mlp = made(positions=7)
    trace = language.by_position(mlp, LARGE).data[0]
    np.testing.assert_allclose(trace.z, 100 * mlp.by_position, rtol=1e-6)
    assert list(trace.x) == [1, 2, 3, 4, 5, 6, 7]
    assert list(trace.y) == [1, 2, 3]
    assert trace.text[0][0] == "60 tokens there"
    assert trace.text[2][5] == "7 tokens there, which is few"
    assert trace.text[0][6].startswith("1 token there")
    axis = language.by_position(mlp, LARGE).layout.yaxis
    assert axis.range[0] > axis.range[1]  # the first block on top


@given(st.integers(1, 40), st.integers(1, 300))
def test_ticks_are_whole_numbers_that_fit(blocks: int, positions: int) -> None:
    for style in (Style("light", "card"), LARGE, Style("dark", "presentation")):
        for count in (blocks, positions):
            ticks = language._whole_ticks(count, 1, style)["tickvals"]
            assert ticks[0] == 1
            assert ticks == sorted(set(ticks))
            assert all(1 <= t <= count for t in ticks)
            assert len(ticks) * 2 * style.measures.ticks <= style.measures.width


def test_a_position_without_numbers_is_a_gap_and_none_at_all_a_message() -> None:
    mlp = made()
    mlp.by_position[0] = np.nan
    assert np.isnan(language.by_position(mlp, LARGE).data[0].z[0]).all()
    mlp.by_position[:] = np.nan
    assert not language.by_position(mlp, LARGE).data


# --- table and words -----------------------------------------------------------------------------


def test_the_table_has_every_block_and_reads_back_as_csv() -> None:
    found = language.rows((made(), made("decoder", approximate=True)))
    assert [(r.stack, r.block) for r in found] == [
        *(("encoder", b) for b in (1, 2, 3)),
        *(("decoder", b) for b in (1, 2, 3)),
    ]
    assert {r.counted for r in found} == {"a ≠ 0", "|a| > 0.025"}
    back = list(csv.DictReader(io.StringIO(language.as_csv(found))))
    assert [float(r["share"]) for r in back] == pytest.approx([10, 20, 30, 10, 20, 30])
    assert back[4]["module"] == "decoder.block.1"
    one = made()
    one.low[0] = np.nan
    assert next(csv.DictReader(io.StringIO(language.as_csv(language.rows((one,))))))["low"] == ""


def test_words_name_mean_sparsest_and_densest() -> None:
    text = language.in_words((made(), made("decoder", blocks=1)))
    assert "Encoder: 20.0 % over 3 blocks, from 10.0 % (block 1) to 30.0 % (block 3)." in text
    assert "Decoder: 10.0 % over 1 block." in text
    assert "approximate" not in text
    assert "approximate: gelu" in language.in_words((made(approximate=True),))
    none = made()
    none.share[:] = np.nan
    assert language.in_words((none,)) == "No MLP of this network was counted."


def test_words_by_position_leave_out_where_tokens_are_few() -> None:
    """First token: mean over blocks 20 %; the others by hand, weighted by their tokens."""
    mlp = made(positions=7)
    others = 20 + (60 * 1 + 50 * 2 + 30 * 3 + 20 * 4) / 160
    text = language.position_in_words(mlp)
    assert "At the first token 20.0 % are not zero" in text
    assert f"at the others {others:.1f} %" in text
    assert "2 positions have fewer than 20 tokens" in text
    few = replace(mlp, tokens=np.full(7, 3))
    assert language.position_in_words(few).startswith("Too few tokens")
    short = replace(mlp, by_position=mlp.by_position[:, :1], tokens=mlp.tokens[:1])
    assert language.position_in_words(short).startswith("Too few tokens")

"""Names from outside stay text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import in_badge, plain


@pytest.mark.parametrize(
    "name",
    ["<b>x</b>", "[a](http://b)", "$x$", "*bold*", ":red[x]", ":material/home:", "&amp;", "# head"],
)
def test_markup_is_escaped(name: str) -> None:
    shown = plain(name)
    for mark in "<>[]$*#":
        assert f"\\{mark}" in shown or mark not in name
    assert not shown.startswith((":", "&"))


def test_line_breaks_become_spaces_and_words_stay() -> None:
    assert plain("a cat\nand  a dog") == "a cat and a dog"


@given(st.text(alphabet="ab[]\\:*` ", max_size=12))
def test_a_badge_escapes_brackets_only_once(text: str) -> None:
    drawn = in_badge(text).replace("[", "\\[").replace("]", "\\]")  # as st.badge does
    assert drawn == plain(text)

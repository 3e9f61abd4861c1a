"""Names from outside as text, and numbers as people read them."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|$~:&])")
_SHORTCODE = re.compile(r":(?=[\w/+-]+:)")


def plain(text: str) -> str:
    """``text`` so that Markdown shows it as it is: names of files and classes are not markup."""
    # Streamlit looks for :icon: after Markdown has taken the backslashes away
    return _SPECIAL.sub(r"\\\1", _SHORTCODE.sub(":\u2060", " ".join(text.split())))


def in_badge(text: str) -> str:
    """``plain`` for ``st.badge``, which escapes square brackets itself."""
    return re.sub(r"\\([\[\]])", r"\1", plain(text))

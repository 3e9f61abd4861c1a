"""Names from outside as text, and numbers as people read them."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|$~:])")


def plain(text: str) -> str:
    """``text`` so that Markdown shows it as it is: names of files and classes are not markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))

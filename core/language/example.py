"""Sentences that come with the app, so that a text transformer can be tried at once."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "data" / "bundled" / "sentences.txt"
"""60 sentences of three topics, written for this app: ``label<TAB>sentence`` a line."""

NAME = "Example sentences"
SAYS = "60 sentences: kitchen, night sky, football"
FORMAT = """\
kitchen\tChop the onions finely before you heat the oil.
football\tThe striker scored twice in the second half.
"""
"""What a file of labelled sentences looks like."""
FORMAT_IDS = """\
1996 4937 2938 2006 1996 13523
2026 3899 7459 2000 2448
"""
"""What a file of token ids looks like, a text a line."""

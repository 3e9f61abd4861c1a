"""What a finding says first: whether the paper's claim is shown by the runs on the page."""

from __future__ import annotations

ICONS = {
    "shown here": ":material/check_circle:",
    "shown in part": ":material/contrast:",
    "not shown here": ":material/cancel:",
    "cannot be told": ":material/help:",
    "not measured": ":material/help:",
}


def verdict_line(verdict: str) -> str:
    """Icon and verdict, as Markdown."""
    return f"{ICONS[verdict]} **{verdict.capitalize()}.**"

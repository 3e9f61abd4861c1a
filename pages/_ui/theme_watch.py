"""Reruns the page when the reader switches between light and dark, so that figures follow."""

from __future__ import annotations

import streamlit as st

_JS = """
export default function ({ parentElement, setTriggerValue }) {
  const host = parentElement.host ?? parentElement;
  const background = () =>
    getComputedStyle(host).getPropertyValue("--st-background-color").trim();
  let seen = background();
  const timer = setInterval(() => {
    const now = background();
    if (now && now !== seen) {
      seen = now;
      setTriggerValue("theme", now);
    }
  }, 700);
  return () => clearInterval(timer);
}
"""
_watch = st.components.v2.component("featurescope_theme_watch", js=_JS)


def mode() -> str:
    """ "light" or "dark", as the reader sees the page now."""
    return "dark" if st.context.theme.type == "dark" else "light"


def watch() -> None:
    """Draw the component; it has no height."""
    _watch(key="_theme", on_theme_change=lambda: None)

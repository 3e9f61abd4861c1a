"""How long pages take to be complete in a browser, on a warm server and on one just started.

"Complete": the script has ended and every figure is drawn. The first page is compared with that
of a Streamlit script of one Plotly chart, in the same browser, in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from scripts.server import REPO, chromium, complete, launch, serve

PAGES = ("", "class_means", "projections", "layers", "intrinsic_dimension", "topology")
REPEATS = 3
ONE_CHART = """
import plotly.graph_objects as go
import streamlit as st
st.title("One chart")
st.plotly_chart(go.Figure(go.Scatter(y=[1, 3, 2])))
"""


def _load(browser: Any, url: str) -> float:
    """Seconds until a page is complete in a new browser context (empty cache)."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(url)
    complete(page)
    seconds = time.perf_counter() - start
    context.close()
    return seconds


def _switch(browser: Any, url: str) -> dict[str, float]:
    """Seconds from a click in the navigation to a complete page, in a session that is open."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(url)
    complete(page)
    seconds = {}
    for name in ("Class means", "Projections", "Layers", "Topology", "Overview"):
        start = time.perf_counter()
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_function("document.title && !document.querySelector('[data-stale=true]')")
        complete(page)
        seconds[name] = time.perf_counter() - start
    context.close()
    return seconds


def run() -> dict[str, float | str]:
    """Seconds per page on a warm server, and the ratio of first pages on fresh servers."""
    path = chromium()
    if path is None:
        return {"skipped": "there is no Chromium"}
    found: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder, browser = Path(temporary), launch(playwright, path)
        plain = folder / "one_chart.py"
        plain.write_text(ONE_CHART)
        first: dict[str, list[float]] = {"app": [], "one chart": []}
        for _ in range(REPEATS):
            for name, script in (("one chart", plain), ("app", REPO / "app.py")):
                with serve(folder / "log", script=script) as url:
                    first[name].append(_load(browser, url))
        for name, seconds in first.items():
            found[f"first page of a fresh server, {name} (s)"] = statistics.median(seconds)
        ratio = statistics.median(first["app"]) / statistics.median(first["one chart"])
        found["ratio of first pages (at most 2)"] = ratio
        with serve(folder / "log") as url:
            for name in PAGES:
                _load(browser, f"{url}/{name}")
                times = [_load(browser, f"{url}/{name}") for _ in range(REPEATS)]
                label = name or "overview"
                found[f"warm, {label}, with loading the app (s)"] = statistics.median(times)
            for name, waited in _switch(browser, url).items():
                found[f"warm, click on {name} (s)"] = waited
        browser.close()
    return found

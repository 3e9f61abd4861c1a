"""Topology with other options in a browser: cells appear, a click on a bar shows its loop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from scripts.server import complete

pytestmark = pytest.mark.browser


def test_cells_appear_and_a_bar_lights_up(open_page: Callable[..., Any]) -> None:
    page = open_page("topology?run=digits-mlp&landmarks=100")
    page.locator(".st-key-choice_distance input").click()
    page.get_by_role("option", name="hops in the neighbour graph").click()
    page.wait_for_url(re.compile("distance=hops"))
    page.locator(".st-key-card_betti_1 .main-svg, .st-key-compute button").first.wait_for()
    compute = page.locator(".st-key-compute button")
    if compute.count():  # the forecast is beyond a few seconds on a busy machine
        compute.click()
    page.locator(".st-key-card_barcode .main-svg").first.wait_for()
    page.locator(".st-key-card_bottleneck .main-svg").first.wait_for()
    complete(page)
    cells = page.locator(".st-key-card_betti_1 .nsewdrag").first
    cells.scroll_into_view_if_needed()
    box = cells.bounding_box()
    cells.click(position={"x": 0.5 * box["width"] / 7, "y": 3.5 * box["height"] / 10})
    page.wait_for_url(re.compile("layer=input.*class=3"))
    complete(page)
    page.goto(page.url + "&loop=1")
    complete(page)
    rings = page.locator(".st-key-card_barcode .scatterlayer .trace .points path")
    rings.last.scroll_into_view_if_needed()
    ring = rings.last.bounding_box()
    page.mouse.click(ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2)
    page.wait_for_url(re.compile(r"loop=[2-9]"))
    page.locator(".st-key-loop_strip img").first.wait_for()

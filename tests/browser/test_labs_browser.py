"""The classroom labs in a real browser: choices change the figures, the link follows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from scripts.server import complete

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Any]
SENTENCE = '.st-key-card_sentence [data-testid="stMarkdown"]'


def test_manifold_lab_follows_its_choices(open_page: OpenPage) -> None:
    page = open_page("manifold_lab?manifold=moebius&ambient=20")
    page.wait_for_selector(".st-key-chart_bias .main-svg")
    assert page.locator(".st-key-chart_cloud canvas").count() > 0
    before = page.inner_text(SENTENCE)
    assert "where the truth is 2" in before
    page.locator(".st-key-choice_manifold").click()
    page.get_by_role("option", name="helix").click()
    page.wait_for_function(
        f"document.querySelector('{SENTENCE}')?.innerText.includes('where the truth is 1')"
    )
    page.wait_for_url(re.compile("manifold=helix"))
    complete(page)
    assert "truth 1" in page.inner_text(".st-key-chart_estimates")
    page.get_by_role("button", name="Noise lifts the dimension").click()
    page.wait_for_url(re.compile("manifold=moebius.*noise=0.05"))
    page.wait_for_function(
        f"document.querySelector('{SENTENCE}')?.innerText.includes('noise fills all 50')"
    )
    page.wait_for_selector(".st-key-chart_bias .main-svg")


def test_topology_lab_trains_when_asked(open_page: OpenPage) -> None:
    page = open_page("topology_lab?problem=d1-small&depth=2&epochs=25")
    assert page.locator(".st-key-chart_row").count() == 0
    page.get_by_role("button", name="Train this network").click()
    page.wait_for_selector(".st-key-chart_row .main-svg")
    assert "output" in page.inner_text(".st-key-chart_row")
    page.locator(".st-key-choice_class").get_by_text("B", exact=True).click()
    page.wait_for_url(re.compile("class=1"))
    page.wait_for_function("document.body.innerText.includes('Class B, layer by layer')")
    complete(page)
    assert "β 1, 3" in page.inner_text(".st-key-chart_row")


def test_topology_lab_shows_what_is_bundled_and_turns_it(open_page: OpenPage) -> None:
    page = open_page("topology_lab?problem=d3-small", 420)
    page.wait_for_selector(".st-key-chart_at_layer canvas")
    assert page.locator(".st-key-chart_problem canvas").count() > 0
    page.locator(".st-key-choice_problem").click()
    page.get_by_role("option", name="two pairs of linked rings").click()
    page.wait_for_url(re.compile("problem=d2-small"))
    page.wait_for_function("document.body.innerText.includes('β 2, 2')")
    complete(page)
    page.locator(".st-key-choice_problem").click()
    page.get_by_role("option", name="D-I: nine disks").click()
    page.wait_for_function("document.body.innerText.includes('β 9, 0')")  # with its own sizes
    complete(page)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 420

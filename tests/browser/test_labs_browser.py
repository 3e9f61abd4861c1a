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

"""The pages of layers that are sparse by design, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from text_models import save_t5, zipped

from core.language import example
from scripts.server import complete

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Any]


def test_sparse_coding_follows_lambda(open_page: OpenPage) -> None:
    page = open_page("sparse_coding?lam=0.2")
    assert page.locator('[data-testid="stPlotlyChart"] .main-svg').count() >= 4
    page.locator(".st-key-choice_lam").get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("lam=0.[3-9]|lam=0.2[1-9]"))
    complete(page)


def test_robustness_of_bundled_runs_and_a_lambda_of_the_readers(open_page: OpenPage) -> None:
    page = open_page("robustness?compare=digits-sdnet")
    page.locator(".st-key-card_robustness_finding").wait_for()
    page.locator(".st-key-card_robustness_seen .main-svg").first.wait_for(timeout=120_000)
    page.locator(".st-key-choice_setting").get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("setting="))
    page.locator(".st-key-card_robustness_seen .main-svg").first.wait_for(timeout=120_000)
    page.get_by_text("Attacks", exact=True).first.click()
    page.wait_for_url(re.compile("look=attacks"))
    page.locator(".st-key-card_robustness_attacks").wait_for()
    page.get_by_text("Calibration", exact=True).first.click()
    page.wait_for_url(re.compile("look=calibration"))
    complete(page)


def test_an_uploaded_checkpoint_on_the_robustness_page(open_page: OpenPage) -> None:
    page = open_page("open_your_own?run=full")
    checkpoint = Path("checkpoints") / "digits-mlp" / "epoch_00600.safetensors"
    page.locator('input[type="file"]').nth(0).set_input_files(checkpoint)
    page.get_by_text("names match").wait_for(timeout=90_000)
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_url(re.compile(r"run=analysis-[0-9a-f]{20}"), timeout=200_000)
    complete(page)
    page.get_by_role("link", name="Robustness").click()
    page.wait_for_url(re.compile("robustness"))
    table = page.locator(".st-key-card_robustness_severity")
    table.get_by_text("Gaussian noise").first.wait_for(timeout=200_000)


def test_a_text_transformer_from_a_zip_and_sentences_of_the_app(
    open_page: OpenPage, tmp_path: Path
) -> None:
    save_t5(tmp_path / "t5")
    path = zipped(tmp_path / "t5", tmp_path / "tiny_t5.zip", "tiny_t5/")
    page = open_page("open_your_own?run=full")
    page.locator('input[type="file"]').nth(0).set_input_files(path)
    page.locator(".st-key-choice_texts").wait_for(timeout=120_000)
    page.locator(".st-key-choice_texts").get_by_text(example.NAME, exact=True).click()
    page.wait_for_url(re.compile("texts=example"))
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_url(re.compile(r"run=analysis-[0-9a-f]{20}"), timeout=200_000)
    complete(page)
    page.get_by_role("link", name="Sparsity", exact=True).click()
    page.locator(".st-key-card_mlps .main-svg").first.wait_for()
    assert "encoder" in page.inner_text(".st-key-card_mlps")


def test_size_and_sparsity_by_depth(open_page: OpenPage) -> None:
    page = open_page("size_and_sparsity")
    assert page.locator('[data-testid="stPlotlyChart"] .main-svg').count() >= 3
    page.get_by_text("depth", exact=True).first.click()
    page.wait_for_url(re.compile("=depth"))
    complete(page)

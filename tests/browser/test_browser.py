"""What only a browser shows: cold links, history, themes, phones, clicks, uploads."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import pictures
from scripts.server import complete

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Any]
PAGES = tuple("" if page == "overview" else page for page in pictures.PAGES)


def test_overview_draws_five_figures(open_page: OpenPage) -> None:
    page = open_page("?run=full")
    assert page.locator('[data-testid="stPlotlyChart"] .main-svg').count() >= 5
    assert page.locator('[data-testid="stMetric"]').count() == 6


def test_a_deep_link_opens_on_a_server_just_started(
    open_page: OpenPage, start_server: Callable[[], Any]
) -> None:
    link = "class_means?run=epochs&epoch=10&data=digits-train&layer=layer1.0&order=similarity"
    page = open_page(link, on=start_server())
    assert page.inner_text("h1") == "Class means"
    assert "epoch 10" in page.inner_text('[data-testid="stMain"]')
    assert "layer1.0" in page.inner_text('[data-testid="stMain"]')
    assert page.locator('[data-testid="stSidebarNavLink"]').count() == len(PAGES)
    assert all(part in page.url for part in link.split("?")[1].split("&"))


def test_choices_are_kept_in_the_url_and_between_pages(open_page: OpenPage) -> None:
    page = open_page("class_means?run=epochs&epoch=0")
    page.get_by_text("by similarity", exact=True).click()
    page.wait_for_url(re.compile("order=similarity"))
    page.get_by_role("link", name="Layers").click()
    page.wait_for_url(re.compile(r"layers\?run=epochs&epoch=0"))
    complete(page)
    assert "epoch 0" in page.inner_text('[data-testid="stMain"]')
    page.get_by_role("link", name="Class means").click()
    page.wait_for_url(re.compile("class_means.*order=similarity"))


def test_a_wrong_link_falls_back_with_one_line(open_page: OpenPage) -> None:
    page = open_page("?run=nowhere")
    assert "nowhere" in page.inner_text('[data-testid="stAlert"]')


def test_figures_follow_the_theme(open_page: OpenPage) -> None:
    page = open_page("?run=full")
    colour = "document.querySelector('.st-key-card_angles .xtitle').style.fill"
    before = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== {before!r}")


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_never_scrolls_sideways(open_page: OpenPage, path: str) -> None:
    page = open_page(f"{path}?run=full", width=420, scheme="dark")
    sizes = page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]');"
        " return [m.scrollWidth, m.clientWidth]; })()"
    )
    assert sizes[0] <= sizes[1]


def test_a_click_on_a_point_shows_its_image(open_page: OpenPage) -> None:
    page = open_page("projections?run=full")
    point = page.locator(".st-key-card_pca_2d .scatterlayer .trace .points path").first
    box = point.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".st-key-card_picked img")


def test_a_file_that_is_no_checkpoint_gets_one_red_box(open_page: OpenPage, tmp_path: Path) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("These are notes, not weights.")
    page = open_page("open_your_own?run=full")
    page.locator('input[type="file"]').first.set_input_files(bad)
    page.wait_for_selector('[data-testid="stAlert"]', timeout=90_000)
    assert page.locator('[data-testid="stAlert"]').count() == 1
    assert "notes.txt" in page.inner_text('[data-testid="stAlert"]')


@pytest.fixture
def class_folders(test_data: Path, tmp_path: Path) -> Path:
    """A zip of class folders: the first 40 images of every class of CIFAR-10."""
    path = tmp_path / "my_images.zip"
    with (
        zipfile.ZipFile(test_data / "data" / "cifar10_test.zip") as source,
        zipfile.ZipFile(path, "w") as small,
    ):
        for name in source.namelist():
            if re.fullmatch(r".*/00[0-3]\d\.jpg", name):
                small.writestr(name, source.read(name))
    return path


def test_a_checkpoint_and_a_zip_lead_to_their_overview(
    open_page: OpenPage, test_data: Path, class_folders: Path
) -> None:
    page = open_page("open_your_own?run=full")
    inputs = page.locator('input[type="file"]')
    inputs.nth(0).set_input_files(test_data / "real_checkpoints" / "resnet56-4bfd9763.th")
    inputs.nth(1).set_input_files(class_folders)
    page.get_by_text("names match").wait_for(timeout=90_000)
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_url(re.compile(r"job="))
    page.reload()  # the job is found again by its id in the URL
    page.wait_for_url(re.compile(r"run=analysis-[0-9a-f]{20}"), timeout=400_000)
    page.locator("h1", has_text="resnet56-4bfd9763.th").wait_for()
    complete(page)
    assert page.locator('[data-testid="stPlotlyChart"] .main-svg').count() >= 5


def test_the_next_analysis_is_followed_after_one_that_failed(
    open_page: OpenPage, tmp_path: Path
) -> None:
    bad = tmp_path / "broken.zip"
    bad.write_bytes(b"PK\x03\x04 and nothing that belongs to it")
    page = open_page("open_your_own?run=full")
    checkpoint = Path("checkpoints") / "digits-mlp" / "epoch_00600.safetensors"
    page.locator('input[type="file"]').nth(0).set_input_files(checkpoint)
    page.locator('input[type="file"]').nth(1).set_input_files(bad)
    page.get_by_text("names match").wait_for(timeout=90_000)
    page.get_by_role("button", name="Analyse").click()
    page.locator('[data-testid="stAlert"]', has_text="broken.zip").wait_for(timeout=90_000)
    page.get_by_text("Weights only", exact=True).click()
    page.locator('[data-testid="stAlert"]').wait_for(state="detached")
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_url(re.compile(r"run=analysis-[0-9a-f]{20}"), timeout=90_000)

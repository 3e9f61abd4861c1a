"""Take the pictures of README: the Overview, light and dark (``make pictures``).

python -m scripts.pictures            docs/pictures/overview_light.png and overview_dark.png
python -m scripts.pictures FOLDER     every page, both modes, wide and as on a phone
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from scripts.server import REPO, chromium, complete, launch, serve

PAGES = (
    *("overview", "class_means", "projections", "layers"),
    *("intrinsic_dimension", "topology", "sparsity", "robustness", "open_your_own"),
    *("training_dynamics", "compare_runs", "distribution_shift", "transfer"),
    *("sparse_coding", "manifold_lab", "topology_lab"),
    *("classifier_economy", "train", "loss_landscape", "size_and_sparsity"),
)
SETTLE_MS = 800  # fonts, and figures that resize once more


def take(browser: Any, url: str, page_name: str, mode: str, width: int, file: Path) -> None:
    """One page as a whole: the main area scrolls, so the window is made as high as it is."""
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=mode)
    page = context.new_page()
    page.goto(f"{url}/{'' if page_name == 'overview' else page_name}")
    complete(page)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)
    context.close()


def main(arguments: list[str]) -> int:
    """Start the app, take the pictures; the exit status."""
    path = chromium()
    if path is None:
        print("error: there is no Chromium; install it, or name it in FEATURESCOPE_CHROMIUM")
        return 2
    folder = Path(arguments[0]) if arguments else REPO / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    pages, widths = (PAGES, (1440, 420)) if arguments else (PAGES[:1], (1440,))
    with (
        tempfile.TemporaryDirectory() as temporary,
        serve(Path(temporary) / "log") as url,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright, path)
        for name in pages:
            for mode in ("light", "dark"):
                for width in widths:
                    suffix = "" if width == widths[0] else "_phone"
                    file = folder / f"{name}_{mode}{suffix}.png"
                    take(browser, url, name, mode, width, file)
                    print(file)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A real server and a real browser. Every test fails on a traceback, on the page or in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from runs import write_runs

from scripts.server import complete, launch, serve


@dataclass(frozen=True)
class Server:
    url: str
    log: Path


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    with sync_playwright() as api:
        launched = launch(api, chromium)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    """A function that starts a server of its own on synthetic runs; all end with the tests."""
    runs = tmp_path_factory.mktemp("runs")
    write_runs(runs)
    with ExitStack() as servers:

        def start() -> Server:
            folder = tmp_path_factory.mktemp("server")
            settings = {"FEATURESCOPE_RUNS": str(runs), "FEATURESCOPE_CACHE": str(folder / "cache")}
            log = folder / "log"
            return Server(servers.enter_context(serve(log, settings)), log)

        yield start


@pytest.fixture(scope="session")
def server(start_server: Callable[[], Server]) -> Server:
    return start_server()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """open_page(path, width=1440, scheme="light", on=server): a loaded page, checked at the end."""
    contexts: list[Any] = []
    pages: list[Any] = []
    logs = {server.log}

    def open_it(
        path: str = "", width: int = 1440, scheme: str = "light", on: Server = server
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        logs.add(on.log)
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(60_000)
        page.goto(f"{on.url}/{path}")
        complete(page)
        return page

    yield open_it
    for page in pages:
        assert page.locator('[data-testid="stException"]').count() == 0
    for context in contexts:
        context.close()
    for log in logs:
        assert "Traceback" not in log.read_text()

"""A real server and a real browser. Every test fails on a traceback, on the page or in the log."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from runs import write_runs
from waiting import settled

REPO = Path(__file__).resolve().parent.parent.parent


@dataclass
class Server:
    url: str
    log: Path
    process: subprocess.Popen[bytes]


def chromium() -> str | None:
    """Where the system's Chromium is."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("FEATURESCOPE_CHROMIUM") or next((path for path in found if path), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    if path is None:
        if "browser" in os.environ.get("FEATURESCOPE_REQUIRE", ""):
            pytest.fail("the browser tests are required, but there is no Chromium")
        pytest.skip("there is no Chromium; install it to run the browser tests")
    with playwright.sync_playwright() as api:
        launched = api.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--use-gl=swiftshader", "--enable-webgl"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    """A function that starts a server of its own on synthetic runs; all end with the tests."""
    started: list[Server] = []
    runs = tmp_path_factory.mktemp("runs")
    write_runs(runs)

    def start() -> Server:
        folder = tmp_path_factory.mktemp("server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {
            "FEATURESCOPE_RUNS": str(runs),
            "FEATURESCOPE_CACHE": str(folder / "cache"),
        }
        log = folder / "log"
        command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=REPO,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(f"http://127.0.0.1:{port}", log, process)
        started.append(server)
        _wait(server)
        return server

    yield start
    for server in started:
        os.killpg(server.process.pid, signal.SIGTERM)
        server.process.wait(10)


def _wait(server: Server) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start: {server.log.read_text()}")


@pytest.fixture(scope="session")
def server(start_server: Callable[[], Server]) -> Server:
    return start_server()


@pytest.fixture
def open_page(browser, server: Server) -> Iterator[Callable[..., object]]:  # type: ignore[no-untyped-def]
    """open_page(path, width=1440, scheme="light", on=server): a loaded page, checked at the end."""
    contexts, logs = [], {server.log}
    pages = []

    def open_it(path: str = "", width: int = 1440, scheme: str = "light", on: Server = server):  # type: ignore[no-untyped-def]
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        logs.add(on.log)
        page = context.new_page()
        page.set_default_timeout(30_000)
        pages.append(page)
        page.goto(f"{on.url}/{path}")
        settled(page)
        return page

    yield open_it
    for page in pages:
        assert page.locator('[data-testid="stException"]').count() == 0
    for context in contexts:
        context.close()
    for log in logs:
        assert "Traceback" not in log.read_text()

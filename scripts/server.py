"""The app on a free port, and the system's Chromium: for pictures, benchmarks and tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent


@contextmanager
def serve(
    log: Path, environment: Mapping[str, str] | None = None, script: Path = REPO / "app.py"
) -> Iterator[str]:
    """Start a server of its own, yield its address when it answers, and end it. Output to ``log``.

    RuntimeError with the log where it does not start within 60 seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--server.port={port}", "--server.headless=true"]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=REPO,
            env=os.environ | dict(environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, log)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait(url: str, log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text()}")


def chromium() -> str | None:
    """Where the system's Chromium is; FEATURESCOPE_CHROMIUM names another one."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("FEATURESCOPE_CHROMIUM") or next((path for path in found if path), None)


def launch(playwright: Any, path: str) -> Any:
    """A headless browser that draws 3-D figures, too."""
    arguments = ["--no-sandbox", "--use-gl=swiftshader", "--enable-webgl"]
    return playwright.chromium.launch(executable_path=path, args=arguments)


def complete(page: Any) -> None:
    """Wait until a page has its title and every figure on it is drawn."""
    page.wait_for_selector('[data-testid="stMain"] h1')
    page.wait_for_function(
        """() => {
          const app = document.querySelector('[data-testid="stApp"]');
          const charts = [...document.querySelectorAll('[data-testid="stPlotlyChart"]')];
          return app.dataset.testScriptState !== 'running'
            && !document.querySelector('[data-testid="stSkeleton"]')
            && charts.every(chart => chart.querySelector('.main-svg'));
        }"""
    )

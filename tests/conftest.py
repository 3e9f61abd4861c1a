"""Fixtures that every test may use.

Where the environment variable FEATURESCOPE_REQUIRE names what a test would be skipped for
("browser,data"), its absence is a failure instead.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.server import chromium as find_chromium

REPO = Path(__file__).resolve().parent.parent
REQUIRED = os.environ.get("FEATURESCOPE_REQUIRE", "").split(",")


def missing(kind: str, reason: str) -> None:
    """Skip the test, or fail it where ``kind`` is required."""
    if kind in REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder named by FEATURESCOPE_TEST_DATA: files too large for the repository."""
    folder = os.environ.get("FEATURESCOPE_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        missing("data", "FEATURESCOPE_TEST_DATA names no folder: files from outside the repository")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's Chromium or Chrome."""
    found = find_chromium()
    if found is None:
        missing("browser", "no Chromium found: install the package chromium")
    return str(found)

"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder named by FEATURESCOPE_TEST_DATA: files too large for the repository."""
    folder = os.environ.get("FEATURESCOPE_TEST_DATA")
    if not folder:
        pytest.skip("FEATURESCOPE_TEST_DATA is not set: files from outside the repository")
    return Path(folder).resolve()

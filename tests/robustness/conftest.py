"""Networks and images that the tests of robustness share."""

from __future__ import annotations

from pathlib import Path

import pytest
from robust_networks import make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what ``robust_networks`` makes."""
    return make(tmp_path_factory.mktemp("robust"))

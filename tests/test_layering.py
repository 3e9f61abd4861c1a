"""The rules of the house: which part may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "torchvision", "sklearn", "scipy", "ripser", "timm"}


def imports(file: Path) -> set[str]:
    """Top-level names of every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def test_core_never_imports_streamlit(repo: Path) -> None:
    offenders = [f for f in (repo / "core").rglob("*.py") if "streamlit" in imports(f)]
    assert not offenders


def test_pages_compute_nothing(repo: Path) -> None:
    forbidden = HEAVY | {"numpy"}
    files = [*(repo / "pages").rglob("*.py"), repo / "app.py"]
    offenders = {f.name: imports(f) & forbidden for f in files if imports(f) & forbidden}
    assert not offenders


def test_figures_need_numpy_and_plotly_alone(repo: Path) -> None:
    offenders = [
        f.name
        for f in (repo / "core" / "figures").glob("*.py")
        if imports(f) & (HEAVY | {"pandas", "streamlit"})
    ]
    assert not offenders


@pytest.mark.parametrize(
    "module", ["core", "core.library", "core.store", "core.jobs", "core.report", "core.reading"]
)
def test_what_a_page_needs_imports_nothing_slow(repo: Path, module: str) -> None:
    code = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

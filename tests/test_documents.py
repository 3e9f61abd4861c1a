"""What the documents promise is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "THIRD_PARTY.md", "docs", "benchmarks")


def documents(repo: Path) -> list[Path]:
    return [
        f for d in DOCUMENTS for f in ([repo / d] if d[-3:] == ".md" else (repo / d).glob("*.md"))
    ]


def test_every_link_to_a_file_leads_somewhere(repo: Path) -> None:
    missing = []
    for document in documents(repo):
        text = document.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
        for link in (a or b for a, b in links):
            if "://" not in link and not (document.parent / link).exists():
                missing.append((document.name, link))
    assert not missing


def test_every_dependency_earns_its_line(repo: Path) -> None:
    readme = (repo / "README.md").read_text(encoding="utf-8")
    for name in sorted(path.name for path in repo.glob("requirements*.txt")):
        for line in (repo / name).read_text(encoding="utf-8").splitlines():
            if "==" in line:
                assert re.search(rf"^\| .*\b{line.split('==')[0]}\b", readme, re.MULTILINE)


@pytest.mark.parametrize(
    "variable",
    re.findall(
        r"`(FEATURESCOPE_\w+)`",
        (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8"),
    ),
)
def test_every_environment_variable_is_read_somewhere(repo: Path, variable: str) -> None:
    files = [
        *(repo / "core").rglob("*.py"),
        *(repo / "scripts").rglob("*.py"),
        *(repo / "tests").rglob("*.py"),
    ]
    assert any(variable in f.read_text(encoding="utf-8") for f in files)

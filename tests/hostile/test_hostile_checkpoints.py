"""Every broken or malicious file ends with one clear sentence, within limits, and runs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus import CORPUS, build
from fuzz import write_cases

from core import jobs
from core.jobs import Limits

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")
OPENS = {"overlap.pt", "hidden_methods.pt"}  # odd, but what they claim is small and harmless


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary") / "code-ran"


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, canary: Path
) -> dict[str, tuple[str, float]]:
    """All files opened in one worker, which may not take 500 MiB above torch at any time."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = [str(build(name, folder, canary)) for name in CORPUS]
    limits = Limits(memory_bytes=500 << 20, wall_seconds=120)
    status = jobs.submit("job_functions:open_each", paths, limits=limits).wait()
    assert status.state == "done", f"{status.error} at {status.what}"
    result: dict[str, tuple[str, float]] = status.result
    return result


@pytest.mark.parametrize("name", CORPUS)
def test_ends_with_one_sentence(name: str, outcomes: dict[str, tuple[str, float]]) -> None:
    outcome, seconds = outcomes[name]
    kind, _, sentence = outcome.partition(": ")
    assert kind == ("opened" if name in OPENS else "refused"), outcome
    assert seconds < 20
    if kind == "refused":
        assert sentence.startswith(name), sentence
        assert ";" in sentence, "it says what to do"
        assert "\n" not in sentence
        assert len(sentence) < 400


@pytest.mark.usefixtures("outcomes")
def test_no_code_ran(canary: Path) -> None:
    assert not canary.exists()


def test_mutations_of_valid_files(tmp_path: Path) -> None:
    paths = write_cases(tmp_path, 400, seed=20)
    status = jobs.submit("job_functions:open_each", paths).wait()
    assert status.state == "done", f"{status.error} at {status.what}"
    outcomes = [outcome for outcome, _ in status.result.values()]
    assert [o for o in outcomes if o.startswith("bug")] == []
    assert any(o.startswith("opened") for o in outcomes)
    assert any(o.startswith("refused") for o in outcomes)

"""The topology lab as a page: bundled networks at once, others when asked for, links."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.two_class_problems import PROBLEMS

CHARTS = 6  # with a bundled network and the table
WAIT_SECONDS = 60


def open_lab(repo: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.syspath_prepend(str(repo))
    app = AppTest.from_file(str(repo / "app.py"), default_timeout=60).run()
    for key, value in query.items():  # now: the Overview would take them out of the URL
        app.query_params[key] = value
    app.switch_page("pages/topology_lab.py").run()
    assert not app.exception, app.exception
    return app


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_has_a_network_at_once(
    repo: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    app = open_lab(repo, monkeypatch, problem=problem)
    small = problem.endswith("-small")
    assert charts(app) == CHARTS - small  # the table is of the whole problems
    assert any("trained beforehand" in c.value for c in app.caption)
    assert not any("too few" in c.value for c in app.caption)


def test_another_network_is_trained_when_asked_for(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"problem": "d1-small", "depth": "2", "epochs": "10"}
    app = open_lab(repo, monkeypatch, **query)
    assert charts(app) == 1
    app.button(key="train").click().run()
    end = time.monotonic() + WAIT_SECONDS
    while charts(app) != CHARTS - 1 and time.monotonic() < end:
        assert not app.exception, app.exception
        assert not app.error, app.error
        time.sleep(0.2)
        app.run()
    assert charts(app) == CHARTS - 1
    assert any("training points" in c.value for c in app.caption)


def test_the_comparison_says_what_was_measured(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_lab(repo, monkeypatch)
    words = [m.value for m in app.markdown if "sign test p" in m.value]
    assert len(words) == 1
    assert "10 of 10 ReLU" in words[0]

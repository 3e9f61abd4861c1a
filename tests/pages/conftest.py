"""Pages as AppTest sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import jobs

Show = Callable[..., AppTest]


@pytest.fixture(autouse=True, scope="module")
def _nothing_kept_from_other_files() -> None:
    """Analyses are kept by the run's id, and files of tests use the same ids for other runs."""
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def worker_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder that the workers of a file's tests share with its pages. They are forked from
    a server process that keeps the environment that it was started with."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURESCOPE_CACHE", str(folder))
        forkserver._forkserver._stop()
        jobs.warm()
        yield folder
    forkserver._forkserver._stop()


@pytest.fixture
def show_page(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Show]:
    """show_page(page, runs) makes show(**query): that page with the runs of a folder and these
    choices in its link, after a run without an exception."""

    def of(page: str, runs: Path) -> Show:
        monkeypatch.setenv("FEATURESCOPE_RUNS", str(runs))
        monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path))
        monkeypatch.syspath_prepend(str(repo))

        def show(**query: str) -> AppTest:
            app = AppTest.from_file(str(repo / "app.py"), default_timeout=60)
            for _ in range(2):  # Overview takes what only this page knows out of the URL
                for key, value in query.items():
                    app.query_params[key] = value
                app.run()
                app.switch_page(f"pages/{page}.py")
            app.run()
            assert not app.exception, app.exception
            return app

        return show

    return of

"""The page Training dynamics in a real browser: the film plays by itself, and a run that another
process is still training is followed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dynamics_runs import write_dynamics
from runs import write_runs

from core.checkpoints.runs import open_run
from scripts.server import REPO, complete, serve

pytestmark = pytest.mark.browser
OpenFilm = Callable[..., Any]
PATIENCE_MS = 180_000
FILM = "document.querySelector('.st-key-card_player .js-plotly-plot')"
BUTTONS = ".st-key-card_player .updatemenu-button"
NOW = f"""() => {{
  const film = {FILM};
  const last = name => film.data.filter(t => t.name === name).at(-1);
  return {{
    epoch: film.layout.sliders[0].steps[film.layout.sliders[0].active].label,
    points: JSON.stringify(last('samples').x),
    cosines: JSON.stringify(last('cosine').marker.color),
    symbol: last('cosine').marker.symbol,
    cursor: last('cursor').x[0],
  }};
}}"""
TRAINING = """
import sys, time
import torch
from core.data.opening import open_dataset
from core.models.mlp import MLP
from core.training.writer import RunWriter

torch.set_num_threads(1)
torch.manual_seed(0)
model = MLP((1, 8, 8), (16, 16), 10)
run = RunWriter(sys.argv[1], title="Mine", data=["digits-train", "digits-test"],
                settings={"epochs": 3})
for epoch in range(4):
    run.save(model, epoch=epoch, train_accuracy=0.1 * epoch)
    print(epoch, flush=True)
    sys.stdin.readline()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
run.finish()
print("finished", flush=True)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a run of three checkpoints whose dynamics are there already."""
    root = tmp_path_factory.mktemp("film")
    write_runs(root / "runs")
    write_dynamics(open_run(root / "runs" / "epochs"))
    settings = {
        "FEATURESCOPE_RUNS": str(root / "runs"),
        "FEATURESCOPE_CACHE": str(root / "cache"),
    }
    with serve(root / "log", settings) as address:
        yield f"{address}/training_dynamics?run=epochs"
    assert "Traceback" not in (root / "log").read_text()


@pytest.fixture
def film(browser: Any, url: str) -> Iterator[Callable[..., Any]]:
    """film(query, width=1440): the page with its film drawn."""
    pages = []

    def of(query: str = "", width: int = 1440) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url + query)
        complete(page)
        page.wait_for_function(f"{FILM}?._transitionData?._frames?.length === 3")
        page.wait_for_timeout(1000)
        return page

    yield of
    for page in pages:
        assert page.locator('[data-testid="stException"]').count() == 0
        page.close()


def test_the_film_plays_without_asking_the_server(film: OpenFilm) -> None:
    page = film("&epoch=0")
    before = page.evaluate(NOW)
    assert before["epoch"] == "0"
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request.url))
    chart = page.evaluate(f"{FILM}.dataset.mine = 'yes'")  # a redrawn chart would not have it
    page.locator(BUTTONS).first.click()
    page.wait_for_function(f"{FILM}.layout.sliders[0].active === 2")
    page.wait_for_timeout(1000)
    played = page.evaluate(NOW)
    assert played["points"] != before["points"]
    assert played["symbol"] == "square"
    assert played["cursor"] > before["cursor"]
    assert not asked
    assert page.evaluate(f"{FILM}.dataset.mine") == chart
    assert "epoch=0" in page.url  # the link keeps what the reader chose


def test_pause_holds_the_film(film: OpenFilm) -> None:
    page = film("&epoch=0")
    play, pause = page.locator(BUTTONS).first, page.locator(BUTTONS).nth(1)
    play.click()
    pause.click()
    page.wait_for_timeout(1500)  # what had begun to move has arrived
    paused = page.evaluate(NOW)
    page.wait_for_timeout(2500)
    assert page.evaluate(NOW) == paused


def test_choices_and_keys_reach_the_film(film: OpenFilm) -> None:
    page = film()
    train = page.evaluate(NOW)
    assert train["epoch"] == "100"
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"{FILM}?.layout?.sliders?.[0].active === 1")
    page.wait_for_url("**epoch=10**")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{FILM}?.layout?.sliders?.[0].active === 2")
    page.get_by_role("radio", name="test", exact=True).click()
    page.wait_for_url("**split=test**")
    page.wait_for_function(
        f"JSON.stringify({FILM}.data.find(t => t.name === 'samples').x) !== '{train['points']}'"
    )
    assert page.evaluate(NOW)["epoch"] == "100"


def test_the_phone_scrolls_the_film_and_not_the_page(film: OpenFilm) -> None:
    page = film(width=420)
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.evaluate(f"{main}.scrollWidth <= {main}.clientWidth")
    assert page.evaluate(f"{FILM}.clientWidth") > 800


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains a run, an epoch for every line that it is sent."""
    command = [sys.executable, "-c", TRAINING, str(tmp_path / "runs" / "mine")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=REPO, env=os.environ.copy(), **pipes)
    yield process
    process.kill()
    process.wait()


def go_on(process: subprocess.Popen[str], until: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == until


def test_a_run_that_is_still_training_is_followed(
    browser: Any, training: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert training.stdout is not None
    assert training.stdout.readline().strip() == "0"
    go_on(training, "1")
    settings = {
        "FEATURESCOPE_RUNS": str(tmp_path / "runs"),
        "FEATURESCOPE_CACHE": str(tmp_path / "cache"),
    }
    log = tmp_path / "log"
    with serve(log, settings) as url:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}/training_dynamics?run=mine")
        steps = f"{FILM}?.layout?.sliders?.[0].steps.map(s => s.label).join()"
        page.wait_for_function(f"{steps} === '0,1'")
        said = page.locator(".st-key-dynamics_follow")
        assert "training: epoch 1 of 3" in said.inner_text()
        go_on(training, "2")  # and nobody touches the browser
        page.wait_for_function(f"{steps} === '0,1,2'")
        assert page.evaluate(f"{FILM}.layout.sliders[0].active") == 2
        go_on(training, "3")
        page.wait_for_function(f"{steps} === '0,1,2,3'")
        go_on(training, "finished")
        said.wait_for(state="detached")
        assert page.locator('[data-testid="stException"]').count() == 0
        page.close()
    assert "Traceback" not in log.read_text()

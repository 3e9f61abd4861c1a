"""A person's own runs in a real browser: what another process writes appears without a click."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.models.mlp import MLP
from scripts.server import REPO, complete, serve

pytestmark = pytest.mark.browser
PATIENCE_MS = 240_000  # a worker that has to import torch on a busy machine
SECONDS = 10.0  # from a checkpoint on disk to its place on the page, once its worker has measured
STEPS = (
    "document.querySelector('.st-key-card_player .js-plotly-plot')"
    "?.layout?.sliders?.[0].steps.map(s => s.label).join()"
)
# somebody's own loop: it knows nothing of the app but RunWriter's two lines
TRAINING = """
import sys
import torch
from sklearn.datasets import load_digits
from torch import nn
from core.training.writer import RunWriter

torch.set_num_threads(1)
torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
y = torch.tensor(digits.target)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
run = RunWriter(sys.argv[1], title="My own loop", data=["digits"], settings={"epochs": 12})
for epoch in range(13):
    if epoch:
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    accuracy = (model(x).argmax(1) == y).float().mean()
    if epoch in (0, 3, 12):
        run.save(model, epoch=epoch, train_accuracy=accuracy)
        print(epoch, flush=True)
        sys.stdin.readline()
run.finish()
print("finished", flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder of runs that it looks into."""
    runs = tmp_path / "runs"
    runs.mkdir()
    settings = {"FEATURESCOPE_RUNS": str(runs), "FEATURESCOPE_CACHE": str(tmp_path / "cache")}
    log = tmp_path / "log"
    with serve(log, settings) as url:
        yield url, runs
    assert "Traceback" not in log.read_text()


def opened(browser: Any, address: str) -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector('[data-testid="stMain"] h1')
    return page


def next_checkpoint(process: subprocess.Popen[str], expected: str, send: bool = True) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    if send:
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.stdout.readline().strip() == expected


def test_a_training_in_another_process_is_followed(browser: Any, place: tuple[str, Path]) -> None:
    url, runs = place
    page = opened(browser, f"{url}/training_dynamics")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", TRAINING, str(runs / "mine")]
    process = subprocess.Popen(command, cwd=REPO, env=os.environ.copy(), **pipes)
    try:
        next_checkpoint(process, "0", send=False)
        box = page.locator(".st-key-choice_run")
        found = False
        for _ in range(30):  # the run that began after the page was opened is offered by itself
            box.locator("input").click()
            found = page.get_by_role("option", name="My own loop").count() > 0
            if found:
                break
            page.keyboard.press("Escape")
            page.wait_for_timeout(1000)
        assert found
        page.get_by_role("option", name="My own loop").click()
        page.wait_for_url("**run=mine**")
        next_checkpoint(process, "3")
        page.wait_for_function(f"{STEPS} === '0,3'")
        next_checkpoint(process, "12")
        written = time.monotonic()
        page.wait_for_function(f"{STEPS} === '0,3,12'")
        took = time.monotonic() - written
        assert took < SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        next_checkpoint(process, "finished")
        page.locator(".st-key-dynamics_follow").wait_for(state="detached")
    finally:
        process.kill()
        process.wait()
    assert page.locator('[data-testid="stException"]').count() == 0
    page.close()


def test_a_folder_of_plain_files_opens(browser: Any, place: tuple[str, Path]) -> None:
    url, runs = place
    torch.manual_seed(0)
    model = MLP((1, 8, 8), (16, 16), 10)
    (runs / "plain files").mkdir()
    for epoch in (1, 2, 10):
        torch.save(model.state_dict(), runs / "plain files" / f"epoch_{epoch}.pt")
    time.sleep(2)
    page = opened(browser, f"{url}/training_dynamics?run=plain+files")
    page.wait_for_function(f"{STEPS} === '1,2,10'")
    assert page.locator(".st-key-choice_data").inner_text().startswith("Data")
    page.goto(f"{url}/layers?run=plain+files&epoch=2")
    page.wait_for_selector(".st-key-chart_separation .main-svg")
    complete(page)
    assert "digits, all" in page.inner_text('[data-testid="stMain"]')
    assert page.locator('[data-testid="stException"]').count() == 0
    page.close()


def test_a_training_is_started_from_the_page_train(browser: Any, place: tuple[str, Path]) -> None:
    url, _ = place
    page = opened(browser, f"{url}/train?recipe=digits-ce&train_epochs=5")
    complete(page)
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".st-key-chart_errors .main-svg")
    page.wait_for_url("**training=digits-ce-e5-s0**")
    page.get_by_text("Trained already on this server.").wait_for()
    page.get_by_role("link", name="Watch it on Training dynamics").click()
    page.wait_for_url("**training_dynamics?run=digits-ce-e5-s0**")
    page.wait_for_function(f"({STEPS} ?? '').endsWith('5')")
    assert page.locator('[data-testid="stException"]').count() == 0
    page.close()

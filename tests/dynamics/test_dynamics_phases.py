"""When the terminal phase of training starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.dynamics.phases import STAYS, settled_epoch, terminal_epoch


def test_the_first_epoch_without_an_error() -> None:
    assert terminal_epoch({"train_accuracy": [0.1, 0.9, 1.0, 1.0]}) == 2


def test_an_error_that_comes_back_has_not_settled() -> None:
    history = {"train_accuracy": [0.1, 1.0, 0.998, 1.0, 0.9995, 1.0]}
    assert (terminal_epoch(history), settled_epoch(history)) == (1, 3)


def test_never() -> None:
    for history in ({"train_accuracy": [0.1, 0.9, 0.9999]}, {}, {"train_accuracy": []}):
        assert terminal_epoch(history) is None
        assert settled_epoch(history) is None
    assert settled_epoch({"train_accuracy": [1.0, 0.99]}) is None


def test_the_history_may_name_its_epochs() -> None:
    history = {"epoch": [0, 5, 10], "train_accuracy": [0.5, 1.0, 1.0]}
    assert terminal_epoch(history) == 5


def test_without_history_the_checkpoints_tell() -> None:
    accuracy = np.array([0.1, np.nan, 1.0, 1.0], dtype=np.float32)
    assert terminal_epoch({}, np.array([0, 3, 9, 27]), accuracy) == 9
    assert terminal_epoch({"train_accuracy": [0.1, 1.0]}, [0, 9], [0.1, 0.2]) == 1


@given(st.lists(st.sampled_from([0.5, 0.998, 0.9995, 1.0]), min_size=1, max_size=12))
def test_they_are_what_the_rules_say(accuracy: list[float]) -> None:
    right = [e for e, value in enumerate(accuracy) if value == 1.0]
    stays = [e for e in right if all(later >= STAYS for later in accuracy[e:])]
    history = {"train_accuracy": accuracy}
    assert terminal_epoch(history) == (right[0] if right else None)
    assert settled_epoch(history) == (stays[0] if stays else None)


def test_what_pages_import_is_light(repo: Path) -> None:
    modules = "core.dynamics.phases, core.dynamics.alignment, core.dynamics.kept"
    heavy = "{'torch', 'scipy', 'sklearn', 'streamlit'}"
    code = f"import sys, {modules}, core.dynamics.request; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"

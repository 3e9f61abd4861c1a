"""When the terminal phase of training starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.dynamics.phases import STAYS, terminal_epoch


def test_the_first_epoch_without_an_error() -> None:
    assert terminal_epoch({"train_accuracy": [0.1, 0.9, 1.0, 1.0]}) == 2


def test_a_lucky_epoch_does_not_count() -> None:
    assert terminal_epoch({"train_accuracy": [0.1, 1.0, 0.998, 1.0, 0.9995, 1.0]}) == 3


def test_never() -> None:
    assert terminal_epoch({"train_accuracy": [0.1, 0.9, 0.9999]}) is None
    assert terminal_epoch({"train_accuracy": [1.0, 0.99]}) is None
    assert terminal_epoch({}) is None
    assert terminal_epoch({"train_accuracy": []}) is None


def test_the_history_may_name_its_epochs() -> None:
    history = {"epoch": [0, 5, 10], "train_accuracy": [0.5, 1.0, 1.0]}
    assert terminal_epoch(history) == 5


def test_without_history_the_checkpoints_tell() -> None:
    accuracy = np.array([0.1, np.nan, 1.0, 1.0], dtype=np.float32)
    assert terminal_epoch({}, np.array([0, 3, 9, 27]), accuracy) == 9
    assert terminal_epoch({"train_accuracy": [0.1, 1.0]}, [0, 9], [0.1, 0.2]) == 1


@given(st.lists(st.sampled_from([0.5, 0.998, 0.9995, 1.0]), min_size=1, max_size=12))
def test_it_is_what_the_rule_says(accuracy: list[float]) -> None:
    expected = next(
        (
            e
            for e, value in enumerate(accuracy)
            if value == 1.0 and all(later >= STAYS for later in accuracy[e:])
        ),
        None,
    )
    assert terminal_epoch({"train_accuracy": accuracy}) == expected


def test_what_pages_import_is_light(repo: Path) -> None:
    modules = "core.dynamics.phases, core.dynamics.alignment, core.dynamics.kept"
    heavy = "{'torch', 'scipy', 'sklearn', 'streamlit'}"
    code = f"import sys, {modules}, core.dynamics.request; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"

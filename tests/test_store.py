"""What is stored comes back."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import synthetic_analysis

from core import store
from core.errors import UserError
from core.results import Analysis, Estimate, Topology


def same(a: object, b: object) -> bool:
    """Equal dataclasses, arrays to float32."""
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)
        )
    if isinstance(a, np.ndarray):
        return np.allclose(a, np.asarray(b), rtol=1e-6, equal_nan=True)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def test_an_analysis_comes_back_whole(tmp_path: Path) -> None:
    analysis = synthetic_analysis(classes=4, layers=3, samples=60)
    store.save(tmp_path / "a.npz", analysis)
    assert same(analysis, store.load(Analysis, tmp_path / "a.npz"))


def test_the_same_analysis_gives_the_same_bytes() -> None:
    analysis = synthetic_analysis(classes=3, layers=2, samples=30)
    assert store.dumps(analysis) == store.dumps(analysis)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=6), st.integers(-9, 9))
@settings(max_examples=25, deadline=None)
def test_arrays_of_any_length_and_none_survive(values: list[float], count: int) -> None:
    diagram = np.array(values, dtype=np.float32).reshape(-1, 1)
    topology = Topology(
        (count, None), None, "fixed", None, (diagram, diagram[:0]), count, count, 0.5, reason="x"
    )
    back = store.loads(Topology, store.dumps(topology))
    assert same(topology, back)
    assert back.diagrams[1].shape == (0, 1)


def test_infinity_survives() -> None:
    assert store.loads(Estimate, store.dumps(Estimate(float("inf")))).value == float("inf")


@pytest.mark.parametrize("data", [b"", b"PK", b"not an analysis", store.dumps(Estimate(1.0))[:-9]])
def test_other_bytes_are_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(UserError, match="analyse it again"):
        store.loads(Analysis, data)


def test_a_changed_value_is_seen(tmp_path: Path) -> None:
    analysis = synthetic_analysis(classes=3, layers=2, samples=30)
    assert not same(analysis, replace(analysis, accuracy=0.123))

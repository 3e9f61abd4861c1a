"""Counts of non-zeros: closed forms, naive counts, and the same result however batches fall."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.language.counting import Largest, NonZeros, tokens_by_position

LENGTHS = np.array([3, 1, 4, 2, 4])
LABELS = np.array([0, 1, 0, 1, 1])
UNITS = 6


def activations(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(5, 4, 6) with half zeros, and the mask; what the mask hides is not zero."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.relu(torch.randn(5, 4, UNITS, generator=generator))
    mask = torch.arange(4)[None] < torch.from_numpy(LENGTHS)[:, None]
    a[~mask] = 100.0
    return a, mask


def counted(
    a: torch.Tensor, mask: torch.Tensor, order: list[int], size: int, threshold: float = 0.0
) -> NonZeros:
    counts = NonZeros(LENGTHS, LABELS, 2, UNITS, threshold)
    for start in range(0, len(order), size):
        rows = np.array(order[start : start + size])
        width = int(LENGTHS[rows].max())
        counts.update(rows, a[rows][:, :width], mask[rows][:, :width])
    return counts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.permutations(range(5)), st.integers(1, 5))
def test_batches_of_any_size_and_order_count_the_same(
    seed: int, order: list[int], size: int
) -> None:
    a, mask = activations(seed)
    one, two = counted(a, mask, list(range(5)), 5), counted(a, mask, order, size)
    assert one.share() == two.share()
    for name in ("by_text", "by_position", "by_unit"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    first = one.sparsity(is_activation=True, exact_zeros=True)
    second = two.sparsity(is_activation=True, exact_zeros=True)
    assert np.array_equal(first.class_units, second.class_units)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 0.7]))
def test_against_counting_one_by_one(seed: int, threshold: float) -> None:
    a, mask = activations(seed)
    counts = counted(a, mask, list(range(5)), 2, threshold)
    tokens = [(i, t) for i in range(5) for t in range(LENGTHS[i])]
    active = {(i, t): [float(v) > threshold for v in a[i, t]] for i, t in tokens}
    share = sum(map(sum, active.values())) / (len(tokens) * UNITS)
    assert counts.share()[0] == pytest.approx(share, abs=1e-12)
    for t, found in enumerate(counts.position_shares()):
        own = [active[i, u] for i, u in tokens if u == t]
        assert found == pytest.approx(np.mean(own), abs=1e-12)
    sparsity = counts.sparsity(is_activation=True, exact_zeros=threshold == 0)
    by_text = [np.mean([active[i, t] for t in range(LENGTHS[i])]) for i in range(5)]
    assert sparsity.nonzero_fraction.value == pytest.approx(np.mean(by_text))
    for k in (0, 1):
        own = np.array([active[i, t] for i, t in tokens if LABELS[i] == k])
        mean = np.mean([by_text[i] for i in range(5) if LABELS[i] == k])
        assert sparsity.class_nonzero_fraction[k] == pytest.approx(mean)
        assert sparsity.class_units is not None
        assert sparsity.class_units[k] == (own.mean(0) >= 0.5).sum()
    everything = np.array([active[i, t] for i, t in tokens])
    assert sparsity.dead_fraction == pytest.approx((~everything.any(0)).mean())
    assert sparsity.approximate == (threshold > 0)
    assert sparsity.unit_histogram is not None
    assert sparsity.unit_histogram.sum() == UNITS


def test_positions_recombine_to_the_whole() -> None:
    counts = counted(*activations(3), order=[4, 0, 2, 1, 3], size=2)
    tokens = tokens_by_position(LENGTHS)
    assert tokens.tolist() == [5, 4, 3, 2]
    whole = (counts.position_shares() * tokens).sum() / tokens.sum()
    assert whole == pytest.approx(counts.share()[0], abs=1e-12)


def test_nothing_and_everything() -> None:
    mask = activations(0)[1]
    zero = counted(torch.zeros(5, 4, UNITS), mask, list(range(5)), 5)
    full = counted(torch.ones(5, 4, UNITS), mask, list(range(5)), 5)
    assert zero.share() == (0.0, 0.0, 0.0)
    assert full.share() == (1.0, 1.0, 1.0)
    assert zero.sparsity(is_activation=True, exact_zeros=True).dead_fraction == 1


def test_the_interval_of_equally_long_texts_is_that_of_a_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.relu(torch.randn(50, 3, UNITS, generator=generator))
    counts = NonZeros(np.full(50, 3), np.zeros(50, dtype=int), 1, UNITS, 0.0)
    counts.update(np.arange(50), a, torch.ones(50, 3, dtype=torch.bool))
    share, low, high = counts.share()
    own = (a > 0).float().mean((1, 2)).double().numpy()
    half = 1.96 * own.std(ddof=1) / np.sqrt(50)
    assert (share, low, high) == pytest.approx((own.mean(), own.mean() - half, own.mean() + half))


def test_the_interval_covers_the_share_of_the_population() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        lengths = rng.integers(1, 9, 60)
        counts = NonZeros(lengths, np.zeros(60, dtype=int), 1, 10, 0.0)
        # longer texts are sparser: the mean of texts' shares would be off
        counts.by_text = rng.binomial(10 * lengths, 0.6 - 0.04 * lengths)
        truth = (np.arange(1, 9) * (0.6 - 0.04 * np.arange(1, 9))).sum() / np.arange(1, 9).sum()
        _, low, high = counts.share()
        hits += low <= truth <= high
    assert hits / 300 > 0.9


def test_one_text_has_no_interval() -> None:
    counts = NonZeros(np.array([2]), np.array([0]), 1, 3, 0.0)
    counts.update(np.array([0]), torch.ones(1, 2, 3), torch.ones(1, 2, dtype=torch.bool))
    assert counts.share()[0] == 1
    assert np.isnan(counts.share()[1])


def test_the_largest_activation_is_one_of_a_token() -> None:
    a, mask = activations(1)
    largest = Largest()
    for i in range(5):
        largest.update(np.array([i]), a[i : i + 1], mask[i : i + 1])
    assert largest.value == float(a[mask].max()) < 100
    assert largest.threshold == pytest.approx(largest.value / 1000)
    largest.update(np.array([0]), torch.full((1, 1, 1), float("nan")), mask[:1, :1])
    assert not largest.finite


def test_values_that_are_not_finite_are_noticed_only_in_tokens() -> None:
    a, mask = activations(2)
    a[~mask] = float("nan")
    assert counted(a, mask, list(range(5)), 5).finite
    a[0, 0, 0] = float("inf")
    assert not counted(a, mask, list(range(5)), 5).finite

"""How far two persistence diagrams are from each other, and how spread out one is."""

from __future__ import annotations

import numpy as np


def bottleneck(first: np.ndarray, second: np.ndarray) -> float:
    """Bottleneck distance of two diagrams (bars, 2), exact to rounding.

    The smallest d such that bars can be matched one to one, or to the diagonal, each moved by at
    most d in birth and in death (Cohen-Steiner, Edelsbrunner and Harer 2007). Bars that never die
    match each other in the order of their births; infinite where their numbers differ.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    endless = [np.sort(d[~np.isfinite(d[:, 1]), 0]) for d in (first, second)]
    if len(endless[0]) != len(endless[1]):
        return float("inf")
    least = float(np.abs(endless[0] - endless[1]).max(initial=0.0))
    first, second = (d[np.isfinite(d[:, 1])] for d in (first, second))
    n, m = len(first), len(second)
    if not n + m:
        return least
    apart = np.abs(first[:, None] - second).max(axis=2, initial=0.0)  # (n, m)
    halves = (first[:, 1] - first[:, 0]) / 2, (second[:, 1] - second[:, 0]) / 2
    candidates = np.unique(np.concatenate([apart.ravel(), *halves]))
    candidates = np.concatenate([[least], candidates[candidates > least]])
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if _can_match(apart, *halves, float(candidates[middle])):
            high = middle
        else:
            low = middle + 1
    return float(candidates[low])


def _can_match(apart: np.ndarray, first: np.ndarray, second: np.ndarray, reach: float) -> bool:
    """Whether all bars longer than 2 ``reach`` can be matched within ``reach``.

    Bars that reach the diagonal need no partner. Both sides' long bars can be matched if each side
    can by itself (Mendelsohn and Dulmage 1958).
    """
    close = apart <= reach
    return _covers(close[first > reach]) and _covers(close.T[second > reach])


def _covers(close: np.ndarray) -> bool:
    """Whether every row has a column of its own."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not len(close):
        return True
    if not close.any(1).all():
        return False
    matched = maximum_bipartite_matching(csr_array(close), perm_type="column")
    return bool((matched >= 0).all())


def entropy(diagram: np.ndarray) -> float | None:
    """Persistence entropy of a diagram (bars, 2) in nats, over the bars that die.

    -sum p log p with p a bar's share of the total length (Atienza, Gonzalez-Diaz and Rucco 2019):
    0 for one bar, log n for n equal ones. None where no bar dies.
    """
    lengths = diagram[:, 1] - diagram[:, 0]
    lengths = lengths[np.isfinite(lengths) & (lengths > 0)]
    if not len(lengths):
        return None
    share = lengths / lengths.sum()
    return float(max(0.0, -(share * np.log(share)).sum()))

"""PCA axes turned from epoch to epoch, so that points move instead of jumping. Needs numpy alone.

Principal axes are known up to sign, and change places where two variances cross. Both are undone by
the rotation or reflection that brings each epoch nearest to the one before (orthogonal Procrustes,
Schönemann 1966): distances and angles within an epoch stay what they are.
"""

from __future__ import annotations

import numpy as np

from core.dynamics.results import Dynamics


def aligned(dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """Points (E, S, 3) and class means (E, K, 3) in axes that follow from epoch to epoch, float32.

    Points and means of an epoch are turned together, by the orthogonal matrix with the least sum of
    squared moves since the last epoch that has points. Rows that are NaN stay so.
    """
    shown = len(dynamics.labels)
    clouds = np.concatenate([dynamics.points, dynamics.point_means], axis=1).astype(np.float64)
    last: np.ndarray | None = None
    for cloud in clouds:  # (S + K, 3), turned in place
        if not np.isfinite(cloud).any():
            continue
        if last is not None:
            both = np.isfinite(cloud).all(axis=1) & np.isfinite(last).all(axis=1)
            cloud[:] = cloud @ rotation(cloud[both], last[both])
        last = cloud
    turned = clouds.astype(np.float32)
    return turned[:, :shown], turned[:, shown:]


def rotation(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The orthogonal (d, d) matrix Q, reflections included, with the least ||points Q - target||_F;
    both (n, d)."""
    left, _, right = np.linalg.svd(points.T @ target)
    return np.asarray(left @ right)

"""What the weights alone tell, without a model or data: norms, spectra, zeros, the classifier."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from core.results import ClassGeometry, WeightSummary

MAX_SIDE = 2048  # of the smaller side: its Gram matrix takes about three seconds on one core
MAX_CLASSES = 2048  # rows of a classifier whose K x K Gram matrix is kept
SPECTRUM = 128  # singular values kept


def weight_summaries(
    tensors: Mapping[str, torch.Tensor], limit: int = 200
) -> tuple[WeightSummary, ...]:
    """Norms, zeros and singular values of the weight matrices, in the order of ``tensors``.

    A tensor (out, …) of two or more dimensions is read as the matrix (out, rest). Of more than
    ``limit`` matrices the largest are summarised. What cannot be computed (NaN or infinite
    weights, a matrix with both sides above ``MAX_SIDE``) is NaN, with an empty spectrum.
    """
    matrices = {k: t for k, t in tensors.items() if _is_matrix(t)}
    largest = sorted(matrices, key=lambda k: -matrices[k].numel())[:limit]
    kept = set(largest)
    return tuple(_summary(k, t) for k, t in matrices.items() if k in kept)


def _is_matrix(tensor: torch.Tensor) -> bool:
    return tensor.dim() >= 2 and tensor.numel() > 0 and tensor.is_floating_point()


def _summary(name: str, tensor: torch.Tensor) -> WeightSummary:
    matrix = tensor.detach().flatten(1)  # (out, rest)
    singular = singular_values(matrix)
    norm = float(torch.linalg.vector_norm(matrix, dtype=torch.float64))
    spectral = float(singular[0]) if len(singular) else float("nan")
    return WeightSummary(
        name=name,
        shape=tuple(tensor.shape),
        norm=norm,
        spectral_norm=spectral,
        stable_rank=(norm / spectral) ** 2 if spectral > 0 else float("nan"),
        zero_fraction=1.0 - np.count_nonzero(matrix.numpy()) / matrix.numel(),
        spectrum=singular[:SPECTRUM],
    )


def singular_values(matrix: torch.Tensor) -> np.ndarray:
    """All singular values of a (p, q) matrix, descending, (min(p, q),); empty if not finite.

    From the eigenvalues of the Gram matrix of the smaller side in float64: values below some 1e-8
    of the largest are rounding error.
    """
    if min(matrix.shape) > MAX_SIDE or not torch.isfinite(matrix).all():
        return np.empty(0)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    gram = torch.zeros(matrix.shape[0], matrix.shape[0], dtype=torch.float64)  # (p, p)
    for block in matrix.split(65_536, dim=1):  # (p, <= 65536): a float64 copy of a part at a time
        wide = block.double()
        gram += wide @ wide.T
    values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().flip(0)
    return np.asarray(values.numpy())


def find_classifier(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[str, np.ndarray, np.ndarray | None] | None:
    """The name, weight (K, d) and bias (K,) of what is probably the classifier, or None.

    The last two-dimensional weight that has a bias of matching length beside it; without any such
    pair, the last two-dimensional weight. For networks that no registry knows.
    """
    matrices = [k for k, t in tensors.items() if _is_matrix(t) and t.dim() == 2 and len(t) >= 2]
    for name in reversed(matrices):
        bias = tensors.get(_sibling(name))
        if bias is not None and bias.shape == tensors[name].shape[:1]:
            return name, tensors[name].detach().numpy(), bias.detach().numpy()
    if not matrices:
        return None
    return matrices[-1], tensors[matrices[-1]].detach().numpy(), None


def _sibling(name: str) -> str:
    """The name of the bias beside a weight: "fc.weight" → "fc.bias"."""
    stem, _, last = name.rpartition("weight")
    return f"{stem}bias{last}" if "weight" in name else f"{name}.bias"


def classifier_geometry(weight: np.ndarray) -> ClassGeometry | None:
    """The rows of a classifier alone, weight (K, d): norms and cosines, to hold against the ETF.

    There are no samples, so ``counts`` and ``within_trace`` are zero and ``mean_coordinates`` is
    (K, 0). ``classifier_coordinates`` are the rows in their principal directions, (K, min(K, d)),
    largest first; ``classifier_gram`` is W W^T. None for fewer than 2 or more than
    ``MAX_CLASSES`` rows and for rows that are not finite.
    """
    rows = np.asarray(weight, dtype=np.float64)  # (K, d)
    classes = len(rows)
    if not 2 <= classes <= MAX_CLASSES or not np.isfinite(rows).all():
        return None
    gram = rows @ rows.T  # (K, K)
    values, vectors = np.linalg.eigh(gram)
    coordinates = vectors * np.sqrt(np.maximum(values, 0.0))  # (K, K), smallest first
    return ClassGeometry(
        counts=np.zeros(classes, dtype=np.int64),
        mean_coordinates=np.zeros((classes, 0)),
        within_trace=np.zeros(classes),
        classifier_coordinates=coordinates[:, ::-1][:, : min(rows.shape)],
        classifier_gram=gram,
    )

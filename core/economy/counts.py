"""Parameters by number of classes, with a learned classifier, a fixed one, and features of d = K.

A network of K classes with d features has body + K (d + 1) parameters: its classifier is a matrix
W (K, d) and a bias (K,). Three ways to train it:

- learned: everything.
- fixed: W is a simplex ETF and stays; the body and the bias are learned. Saves d K. A simplex ETF
  of K vectors needs K - 1 dimensions: d >= K - 1.
- narrowed: W is fixed, and the last block puts out d = K features instead of more. Its layer of n
  inputs per output keeps n K of n d weights; where its shortcut was the identity it becomes a
  1×1 projection, which costs. Defined where K < d.

The bias is learned in all three: so it is in the code of Zhu et al. 2021, and with it the counts
are theirs to the last parameter (ResNet-18 of torchvision, K = 10: 11,181,642 and 8,867,442).
The table ``counts.json`` was counted on built networks (``python -m scripts.classifier_counts``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

PATH = Path(__file__).with_name("counts.json")
MOST_CLASSES = 100_000
Way = Literal["fixed", "narrowed"]


@dataclass(frozen=True, slots=True)
class Network:
    """Counts of one architecture, from which those for any number of classes follow.

    ``narrow_base`` + ``narrow_slope`` · K are the parameters of the body whose last block puts out
    K features; None where that cannot be done (``not_narrowed`` says why).
    """

    name: str
    title: str
    group: str  # "torchvision", "CIFAR", "lecture" or "opened"
    classes: int  # that it has by default
    dim: int  # d: features before the classifier
    bias: bool  # the classifier has a bias
    body: int  # parameters before the classifier, auxiliary heads' last layers left out
    auxiliary: int = 0  # parameters per class of auxiliary heads, used in training alone
    narrow_base: int | None = None
    narrow_slope: int | None = None
    rule: str = ""  # what is narrowed, in words
    not_narrowed: str = ""
    not_fixed: str = ""  # why fixing the classifier is not what the theory speaks of

    def total(self, classes: int) -> int:
        """Parameters with a learned classifier of so many classes."""
        return self.body + classes * (self.dim + self.bias + self.auxiliary)

    @property
    def pays_below(self) -> int | None:
        """The number of classes from which on d = K saves nothing; None where not defined."""
        if self.narrow_base is None or self.narrow_slope is None:
            return None
        saved = self.body - self.narrow_base  # at K = 0
        return min(self.dim, -(-saved // self.narrow_slope))


@dataclass(frozen=True, slots=True)
class Economy:
    """What one network of K classes trains in three ways. Counts of parameters.

    ``fixed`` and ``narrowed`` are None where undefined; the reasons say why. ``narrowed`` may be
    larger than ``fixed``: a projection as shortcut can cost more than the narrow layer saves.
    """

    classes: int
    dim: int
    learned: int
    weights: int  # d K, of the classifier
    bias: int  # K, or 0
    fixed: int | None
    narrowed: int | None
    fixed_reason: str = ""
    narrowed_reason: str = ""

    @property
    def classifier(self) -> int:
        return self.weights + self.bias

    @property
    def classifier_share(self) -> float:
        """Of all parameters, 0 to 1, bias included."""
        return self.classifier / self.learned

    def share_saved(self, way: Way) -> float | None:
        """Share of the parameters of ``learned`` that this way need not train; None: undefined."""
        trained = self.fixed if way == "fixed" else self.narrowed
        return None if trained is None else 1 - trained / self.learned

    @property
    def saved_by_narrowing(self) -> int | None:
        """Parameters that d = K saves beyond fixing the classifier; negative where it costs."""
        if self.fixed is None or self.narrowed is None:
            return None
        return self.fixed - self.narrowed


def economy(network: Network, classes: int) -> Economy:
    """The counts of ``network`` with so many classes (2 to ``MOST_CLASSES``; else ValueError)."""
    if not 2 <= classes <= MOST_CLASSES:
        raise ValueError(f"need 2 to {MOST_CLASSES} classes, got {classes}")
    learned, weights = network.total(classes), classes * network.dim
    fixed_reason = network.not_fixed
    if not fixed_reason and classes > network.dim + 1:
        fixed_reason = (
            f"a simplex ETF of {classes:,} classes needs {classes - 1:,} dimensions: "
            f"the features have {network.dim:,}"
        )
    narrowed, narrowed_reason = None, fixed_reason or network.not_narrowed
    if not narrowed_reason and classes >= network.dim:
        narrowed_reason = (
            f"the features have {network.dim:,} dimensions, which is not more than "
            f"{classes:,} classes: there is nothing to narrow"
        )
    if not narrowed_reason:
        assert network.narrow_base is not None
        assert network.narrow_slope is not None
        body = network.narrow_base + network.narrow_slope * classes
        narrowed = body + classes * (network.auxiliary + network.bias)
    return Economy(
        classes,
        network.dim,
        learned,
        weights,
        classes * network.bias,
        None if fixed_reason else learned - weights,
        narrowed,
        fixed_reason,
        narrowed_reason,
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares of all parameters, 0 to 1, against K. NaN where undefined."""

    classes: np.ndarray  # (m,) ascending, log-spaced
    weights: np.ndarray  # (m,) of the classifier's weights, fixed or not
    fixed: np.ndarray  # (m,) saved by a fixed simplex ETF
    narrowed: np.ndarray  # (m,) saved by it and d = K


def curve(network: Network, points: int = 80) -> Curve:
    """The shares for 2 to ``MOST_CLASSES`` classes, the ends of both regimes included."""
    ends = [network.dim - 1, network.dim, network.dim + 1, network.dim + 2]
    spaced = np.rint(np.geomspace(2, MOST_CLASSES, points)).astype(int)
    inside = [k for k in ends if 2 <= k <= MOST_CLASSES]
    classes = np.unique([*spaced.tolist(), *inside])
    found = [economy(network, int(k)) for k in classes]
    return Curve(
        classes,
        np.array([e.weights / e.learned for e in found]),
        np.array([e.share_saved("fixed") for e in found], dtype=np.float64),
        np.array([e.share_saved("narrowed") for e in found], dtype=np.float64),
    )


# --- the table ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def networks() -> tuple[Network, ...]:
    """Every network of the table: torchvision's classifiers, the CIFAR ResNets, ShuffleNet v1."""
    document = json.loads(PATH.read_text(encoding="utf-8"))
    return tuple(Network(**{**row, "title": row["name"]}) for row in document["networks"])


def find_network(name: str) -> Network | None:
    """The network of the table with this name (as ``core.models`` gives it), or None.

    Names of the CIFAR ResNets with ``_pool`` and ``_stride2`` have the same tensors as those
    without.
    """
    plain = name.removesuffix("_pool").removesuffix("_stride2")
    return next((n for n in networks() if n.name == plain), None)


# --- the lecture's figures ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure of the lecture, and the network that it is about."""

    network: str
    data: str
    classes: int
    way: Literal["weights", "narrowed"]  # all of W fixed, or an ETF and d = K
    percent: str  # as the lecture has it
    learned: int | None = None  # parameters, where the lecture gives them
    trained: int | None = None
    note: str = ""


LECTURE = (
    Claim("resnet50", "ImageNet", 1000, "weights", "8"),
    Claim("densenet169", "ImageNet", 1000, "weights", "12"),
    Claim(
        "shufflenet_v1_g3",
        "ImageNet",
        1000,
        "weights",
        "53",
        note="The first ShuffleNet: width 1, three groups, a bias in every convolution. None of "
        "torchvision's (all ShuffleNet v2: 75, 45, 29 and 28 %) has this share. Its 960 features "
        "hold no simplex ETF of 1,000 classes, so W would be fixed in another form.",
    ),
    Claim(
        "resnet18",
        "CIFAR-10",
        10,
        "narrowed",
        "21",
        11_181_642,
        8_867_442,
        note="With the 7×7 stem of ImageNet: only so the counts agree. The 10 biases are trained.",
    ),
    Claim("resnet50", "CIFAR-10", 10, "narrowed", "4.45"),
)
"""Zhu et al. 2021; those of ImageNet go back to Hoffer, Hubara and Soudry 2018
(arXiv:1801.04540), who fix W, though not as a simplex ETF. ShuffleNet: of torchvision's variants
74.9, 44.9, 29.2 and 27.7 % (x0_5 to x2_0) is in W, so none is meant; ShuffleNet v1
(arXiv:1707.01083) with three groups and a bias in every convolution has 960,000 of 1,826,554 in W,
52.56 %. Without these biases, and with bottlenecks a quarter of a unit's whole output, it has
51.45 %."""


def checked(claim: Claim) -> tuple[Economy, float]:
    """Our counts for a figure of the lecture, and the share saved, 0 to 1."""
    network = find_network(claim.network)
    assert network is not None
    found = economy(network, claim.classes)
    if claim.way == "weights":
        return found, found.weights / found.learned
    share = found.share_saved("narrowed")
    assert share is not None
    return found, share

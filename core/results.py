"""What ``core`` hands to figures and pages: frozen dataclasses of plain numbers and numpy arrays.

Nothing here computes, and nothing here imports torch, scikit-learn or ripser: a page that shows a
finished analysis needs numpy alone. ``core.store`` writes and reads these classes.

Symbols follow docs/metrics.md: K classes, N samples, d features, S samples kept for pictures,
r = min(K-1, d) directions spanned by the centred class means.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Generic, TypeVar

import numpy as np

SCHEMA = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its 95 % interval where it has one, and what to know about it.

    ``value`` is None where the quantity is undefined; ``reason`` then says why.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scoped(Generic[T]):
    """The same quantity for all samples together and for every class, in class order."""

    all: T
    classes: tuple[T, ...] = ()


# --- neural collapse ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NeuralCollapse:
    """Every key of the neural collapse table; None where undefined (``reasons`` says why)."""

    nc1: float | None = None
    nc1_quotient: float | None = None
    cdnv: float | None = None
    nc2_means: float | None = None
    nc2_classifier: float | None = None
    nc3: float | None = None
    nc3_alignment: float | None = None
    nc4: float | None = None
    cosine_mean: float | None = None
    cosine_std: float | None = None
    cosine_max: float | None = None
    equiangularity: float | None = None
    equinorm_means: float | None = None
    equinorm_classifier: float | None = None
    etf_target: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def values(self) -> dict[str, float | None]:
        """The keys of the table and their values, without the reasons."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "reasons"}


@dataclass(frozen=True, slots=True)
class ClassGeometry:
    """Class means (and classifier rows) of one layer, in r directions that lose nothing.

    The coordinates are those of an orthonormal basis of span{mu_k - mu_G}; cosines, norms and
    distances between means, and the plane through any three means, are exact in them.
    """

    counts: np.ndarray  # (K,) samples per class
    mean_coordinates: np.ndarray  # (K, r) mu_k - mu_G
    within_trace: np.ndarray  # (K,) sigma_k^2: mean squared distance of class k to its mean
    classifier_coordinates: np.ndarray | None = None  # (K, r) rows of W, projected
    classifier_gram: np.ndarray | None = None  # (K, K) W W^T, of the whole rows


@dataclass(frozen=True, slots=True)
class SeparationLaw:
    """log D_l = log D_0 + l log rho, by least squares over the layers (He and Su 2022)."""

    rho: float | None
    r2: float | None
    intercept: float | None  # log D_0
    minimum_layer: str | None  # where a second, rising phase starts; None if D falls to the end
    reason: str | None = None
    correlation: float | None = None  # of log D_l with l: -1 where the law is exact
    residuals: np.ndarray | None = None  # (L,) log D_l minus the fitted line; NaN where left out
    breaks: str | None = None  # the layer farthest off the line, where it stands out


# --- sparsity, dimension, topology -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Share of activations that are not zero in the output of one layer."""

    nonzero_fraction: Estimate
    dead_fraction: float | None  # share of units zero on every sample
    class_nonzero_fraction: np.ndarray  # (K,)
    approximate: bool  # True: |a| > threshold instead of a != 0
    threshold: float  # 0.0 when exact
    is_activation: bool  # the output of an activation function
    relu_like: bool  # an activation function that returns exact zeros
    unit_histogram: np.ndarray | None = None  # (20,) units by share of samples they are active on
    sample_histogram: np.ndarray | None = None  # (20,) samples by share of units active on them
    class_units: np.ndarray | None = None  # (K,) size of the active set of every class
    class_overlap: np.ndarray | None = None  # (K, K) |A & B| / |A | B| of active sets


@dataclass(frozen=True, slots=True)
class Activation:
    """The output of one activation function, or of a block that ends in one."""

    name: str  # unique: "layer1.0.relu1", or that of the LayerAnalysis that it is
    module: str  # module path and call number
    kind: str  # class of the module
    shape: tuple[int, ...]  # of one sample's output
    block: str  # the block that it lies in; "" outside blocks
    position: int  # 1 for the first activation of its block, 0 outside blocks
    depth: float  # 0 input … 1 output
    sparsity: Sparsity


@dataclass(frozen=True, slots=True)
class Decimation:
    """Estimate against number of points (mean over random subsets)."""

    sizes: np.ndarray  # (m,)
    twonn: np.ndarray  # (m,)
    mle: np.ndarray  # (m,)


@dataclass(frozen=True, slots=True)
class NeighbourCurve:
    """The maximum likelihood estimate against its number of neighbours k."""

    neighbours: np.ndarray  # (m,) k
    values: np.ndarray  # (m,)
    low: np.ndarray  # (m,) 95 % interval
    high: np.ndarray  # (m,)


@dataclass(frozen=True, slots=True)
class RatioPlot:
    """What TwoNN fits: -log(1 - F(mu)) against log mu, a line through the origin of slope d."""

    log_ratio: np.ndarray  # (m,) log mu of some of the points, ascending
    log_survival: np.ndarray  # (m,) -log(1 - F(mu)) there
    limit: float  # log mu of the last point that the fit uses


@dataclass(frozen=True, slots=True)
class IntrinsicDimension:
    """Estimators of the dimension of one point cloud."""

    twonn: Estimate
    mle: Estimate
    pca_90: int | None
    pca_95: int | None
    pca_99: int | None
    participation_ratio: float | None
    points: int
    duplicates: int
    ambient: int  # dimension of the features before any projection
    projected: int | None  # dimension after a seeded random projection, None if none was needed
    spectrum: np.ndarray  # (<= 256,) share of variance per principal component, descending
    decimation: Decimation | None = None
    warnings: tuple[str, ...] = ()
    mle_curve: NeighbourCurve | None = None
    ratio_plot: RatioPlot | None = None


DISTANCES = ("euclidean", "geodesic", "hops")
"""Distances of topology: Euclidean; length of the shortest path in the graph of k nearest
neighbours; number of its edges (Naitzat, Zhitnikov and Lim 2020)."""


LANDMARKS = {1: 400, 2: 200}
"""Landmarks by highest dimension, unless the options say otherwise: the time for dimension 2 grows
much faster with their number."""


@dataclass(frozen=True, slots=True)
class TopologyOptions:
    """How persistent homology is computed and read. Part of a cache key."""

    max_dim: int = 1  # highest homology dimension, 1 or 2
    landmarks: int | None = None  # at most; None: LANDMARKS
    distance: str = "euclidean"  # one of DISTANCES
    neighbours: int = 15  # k of the graph, for geodesic and hops
    rule: str = "confidence"  # or "fixed", at ``scale``
    scale: float | None = None
    seed: int = 0
    cycles: int = 6  # the longest loops that get a representative


@dataclass(frozen=True, slots=True)
class Cycle:
    """A closed path of landmarks that represents one bar of dimension 1."""

    birth: float
    death: float
    path: np.ndarray  # (m,) positions among the landmarks, in order round the loop


@dataclass(frozen=True, slots=True)
class Topology:
    """Persistent homology of the landmarks of one point cloud."""

    betti: tuple[int | None, ...]  # at ``scale``; beta_0, beta_1[, beta_2]
    scale: float | None
    rule: str  # "confidence" or "fixed"
    confidence: float | None  # Hausdorff bound c: bars longer than 2c are significant
    diagrams: tuple[np.ndarray, ...]  # per dimension (bars, 2) birth, death; inf = never dies
    landmarks: int
    points: int
    cover_radius: float  # every point lies within this distance of a landmark
    distance: str = "euclidean"
    reason: str | None = None  # why betti is undefined
    warnings: tuple[str, ...] = ()
    spacing: float = 0.0  # median distance of a point to its nearest neighbour
    neighbours: int | None = None  # k of the graph, where the distance is along one
    rows: np.ndarray | None = None  # (n,) landmarks, as rows of the samples (Sample.kept_ids)
    coordinates: np.ndarray | None = None  # (n, <= 3) float16, landmarks' PCA, largest 1
    cycles: tuple[Cycle, ...] = ()  # of the longest bars of dimension 1, longest first
    entropy: tuple[float | None, ...] = ()  # persistence entropy per dimension, in nats
    engine: str = "ripser"


# --- pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Projection:
    """The kept samples of one layer in few coordinates. Rows follow ``Sample.ids``."""

    pca: np.ndarray  # (S, <= 10) principal components of the samples, centred
    explained: np.ndarray  # (<= 10,) share of variance
    pca_means: np.ndarray  # (K, <= 10) class means in the same components
    means_span: np.ndarray  # (S, r) coordinates in the basis of ClassGeometry, minus mu_G


@dataclass(frozen=True, slots=True)
class Sample:
    """The samples kept for pictures: the same ones in every layer (seeded, stratified).

    Tiles of ``thumbnails`` follow ``kept_ids`` (``core.thumbnails.tile`` takes such a row).
    """

    ids: np.ndarray  # (S,) index in the data set
    labels: np.ndarray  # (S,)
    predictions: np.ndarray | None = None  # (S,) None without a classifier
    thumbnails: np.ndarray | None = None  # uint8: bytes of one JPEG, tiles row by row
    tile: int = 0  # side of a tile in pixels
    columns: int = 0  # tiles in a row
    kept_ids: np.ndarray | None = None  # (S',) ids of all samples that metrics saw, S' >= S
    kept_rows: np.ndarray | None = None  # (S,) where ``ids`` stand in ``kept_ids``


# --- a whole analysis --------------------------------------------------------------------------


FAMILIES = ("collapse", "separation", "sparsity", "dimension", "topology", "probes")
"""Metric families by name; probes take long and are left out unless asked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for. Part of the result and of the cache key."""

    architecture: str = "auto"
    layers: str = "auto"  # "auto", "all", or names joined by commas
    features: str = "default"  # "default" (each family its own), "pooled", "flat"
    metrics: tuple[str, ...] = FAMILIES[:-1]
    max_images: int | None = None
    batch_size: int | None = None  # None: found by trying
    device: str = "auto"
    seed: int = 0
    max_dim: int = 1  # highest homology dimension
    landmarks: int | None = None  # points of topology at most; None: 400, or 200 for max_dim 2
    mean: tuple[float, ...] | None = None  # replaces the checkpoint's normalisation
    std: tuple[float, ...] | None = None
    input_size: int | None = None  # replaces the checkpoint's input size


@dataclass(frozen=True, slots=True)
class WeightSummary:
    """What one weight tensor tells by itself."""

    name: str
    shape: tuple[int, ...]
    norm: float
    spectral_norm: float
    stable_rank: float  # ||W||_F^2 / ||W||_2^2
    zero_fraction: float
    spectrum: np.ndarray  # (<= 128,) singular values, descending


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that fits the tensors. ``accuracy`` is set once labelled data ranked it."""

    architecture: str
    preprocessing: str  # in words: "32x32, mean (…), std (…)"
    note: str = ""
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class CheckpointSummary:
    name: str
    format: str
    sha256: str
    architecture: str | None  # None: no registry knows it
    parameters: int
    metadata: dict[str, str | int | float | bool] = field(default_factory=dict)
    match: str = "none"  # "names", "shapes", "given" or "none"
    candidates: tuple[Candidate, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSummary:
    name: str
    images: int
    classes: int
    class_names: tuple[str, ...]
    sha256: str
    preprocessing: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerAnalysis:
    """Everything measured at one layer."""

    name: str  # as a person would call it, unique: "input", "layer1.0", "avgpool"
    module: str  # module path and call number: "layer1.0#1"
    kind: str  # class of the module: "BasicBlock"
    shape: tuple[int, ...]  # of one sample's output
    dim: int  # of the pooled features
    depth: float  # 0 input … 1 output
    nc1: float | None
    separation: float | None
    ncc_accuracy: float | None
    probe_accuracy: Estimate | None
    collapse: NeuralCollapse
    geometry: ClassGeometry | None
    projection: Projection | None
    sparsity: Sparsity | None
    dimension: Scoped[IntrinsicDimension] | None
    topology: Scoped[Topology] | None
    warnings: tuple[str, ...] = ()
    # of the pooled features, where ``dimension`` is that of flattened ones
    dimension_pooled: Scoped[IntrinsicDimension] | None = None
    probe_strength: float | None = None  # inverse L2 penalty that the probe was fitted with


@dataclass(frozen=True, slots=True)
class Penultimate:
    """The input of the last linear layer, with the classifier beside it."""

    layer: str  # name of the LayerAnalysis it is
    dim: int
    collapse: NeuralCollapse  # with the classifier's keys
    geometry: ClassGeometry  # with the classifier's rows


@dataclass(frozen=True, slots=True)
class MLPSparsity:
    """Share of non-zeros among the hidden activations of the MLPs of one stack of a text
    transformer (Li et al. 2023): L blocks in order, P token positions. Padding is never counted."""

    stack: str  # "encoder" or "decoder"
    activation: str  # class of the activation function, as the model's configuration names it
    blocks: tuple[str, ...]  # (L,) module paths
    units: np.ndarray  # (L,) hidden units of every block's MLP
    share: np.ndarray  # (L,) mean over all tokens
    low: np.ndarray  # (L,) 95 % interval, over texts
    high: np.ndarray  # (L,)
    by_position: np.ndarray  # (L, P) mean over the tokens at that position
    tokens: np.ndarray  # (P,) how many there are
    approximate: bool  # True: |a| > threshold instead of a != 0
    thresholds: np.ndarray  # (L,) 0 when exact


@dataclass(frozen=True, slots=True)
class Analysis:
    """One checkpoint on one data set. ``layers`` is empty where only the weights could be read."""

    checkpoint: CheckpointSummary
    data: DataSummary | None
    settings: Settings
    device: str
    seconds: dict[str, float]
    accuracy: float | None
    class_accuracy: np.ndarray | None  # (K,)
    penultimate: Penultimate | None
    layers: tuple[LayerAnalysis, ...]
    separation_law: SeparationLaw | None
    sample: Sample | None
    weights: tuple[WeightSummary, ...] = ()
    classifier: ClassGeometry | None = None  # the classifier's rows alone, from the weights
    warnings: tuple[str, ...] = ()
    schema: int = SCHEMA
    activations: tuple[Activation, ...] = ()  # in call order, those inside blocks too
    mlps: tuple[MLPSparsity, ...] = ()  # of a text transformer, a stack each

    def layer(self, name: str) -> LayerAnalysis:
        """The layer of that name, or KeyError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

"""A complete, plausible Analysis made of random numbers: material for tests of figures and pages.

Class means go from random directions to a simplex ETF and the noise shrinks from layer to layer.
What follows from means and noise (cosines, norms, NC1, separation, projections) is computed from
them; dimensions and diagrams are invented, but agree with each other.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from core.results import (
    Analysis,
    Candidate,
    CheckpointSummary,
    ClassGeometry,
    Cycle,
    DataSummary,
    Decimation,
    Estimate,
    IntrinsicDimension,
    LayerAnalysis,
    NeighbourCurve,
    NeuralCollapse,
    Penultimate,
    Projection,
    RatioPlot,
    Sample,
    Scoped,
    SeparationLaw,
    Settings,
    Sparsity,
    Topology,
    WeightSummary,
)

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def synthetic_analysis(
    classes: int = 10,
    layers: int = 6,
    samples: int = 400,
    noise: float = 0.3,
    seed: int = 0,
    class_names: tuple[str, ...] | None = None,
) -> Analysis:
    """An Analysis with every field filled; ``noise`` is the within-class deviation at the end."""
    rng = np.random.default_rng(seed)
    names = class_names or (
        CIFAR10 if classes == 10 else tuple(f"class {k}" for k in range(classes))
    )
    labels = np.arange(samples) % classes
    predictions = np.where(rng.random(samples) < 0.1, rng.integers(0, classes, samples), labels)
    made = tuple(_layer(i, layers, classes, labels, noise, rng) for i in range(layers))
    last = made[-1]
    assert last.geometry is not None
    return Analysis(
        checkpoint=CheckpointSummary(
            name="resnet20.th",
            format="torch zip",
            sha256="0" * 64,
            architecture="cifar_resnet20",
            parameters=269_722,
            metadata={"epoch": 200, "best_prec1": 92.6},
            match="names",
            candidates=(Candidate("cifar_resnet20", "32×32", accuracy=0.91),),
        ),
        data=DataSummary(
            name="CIFAR-10 sample",
            images=200 * classes,
            classes=classes,
            class_names=names,
            sha256="1" * 64,
            preprocessing="32×32, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)",
        ),
        settings=Settings(seed=seed),
        device="cpu",
        seconds={"features": 3.2, "metrics": 4.1},
        accuracy=0.91,
        class_accuracy=rng.uniform(0.8, 1.0, classes),
        penultimate=Penultimate(last.name, last.dim, last.collapse, last.geometry),
        layers=made,
        separation_law=_law(made),
        sample=Sample(
            ids=np.sort(rng.permutation(200 * classes)[:samples])
            if samples <= 200 * classes
            else np.arange(samples),
            labels=labels,
            predictions=predictions,
            thumbnails=_thumbnails(labels, classes),
            tile=16,
            columns=20,
        ),
        weights=tuple(_weight(name, rng) for name in ("conv1.weight", "layer1.0.conv1.weight")),
        classifier=last.geometry,
        warnings=("made of random numbers",),
    )


def _layer(
    index: int,
    layers: int,
    classes: int,
    labels: np.ndarray,
    noise: float,
    rng: np.random.Generator,
) -> LayerAnalysis:
    depth = index / max(layers - 1, 1)
    name = _layer_name(index, layers)
    d = max(64, classes)
    etf = np.eye(classes, d) - np.where(np.arange(d) < classes, 1 / classes, 0)  # (K, d)
    means = depth * etf + (1.3 - depth) * 0.3 * rng.normal(size=(classes, d)) / np.sqrt(d) * 2
    means -= means.mean(0)
    sigma = noise * 3.0 ** (1 - depth) / np.sqrt(d)
    spread = rng.uniform(0.8, 1.2, classes)  # (K,)
    features = means[labels] + sigma * spread[labels, None] * rng.normal(size=(len(labels), d))
    rank = min(classes - 1, d)
    singular, basis = (a[:rank] for a in np.linalg.svd(means, full_matrices=False)[1:])
    within = sigma**2 * spread**2 * d  # (K,)
    nc1 = float(within.mean() / d * (classes / np.square(singular)).sum() / classes)
    rows = means + 0.2 * (1.2 - depth) * rng.normal(size=means.shape) / np.sqrt(d)
    geometry = ClassGeometry(
        counts=np.full(classes, 200),
        mean_coordinates=means @ basis.T,
        within_trace=within,
        classifier_coordinates=rows @ basis.T,
        classifier_gram=rows @ rows.T,
    )
    centre = features.mean(0)
    components = np.linalg.svd(features - centre, full_matrices=False)[2][:10]
    variance = np.square((features - centre) @ components.T).sum(0)
    return LayerAnalysis(
        name=name,
        module=f"{name}#1",
        kind="BasicBlock",
        shape=(d, 8, 8),
        dim=d,
        depth=depth,
        nc1=nc1,
        separation=classes * nc1,
        ncc_accuracy=0.3 + 0.6 * depth,
        probe_accuracy=Estimate(0.4 + 0.5 * depth, 0.38 + 0.5 * depth, 0.42 + 0.5 * depth),
        collapse=_collapse(geometry, nc1),
        geometry=geometry,
        projection=Projection(
            pca=((features - centre) @ components.T).astype(np.float32),
            explained=variance / np.square(features - centre).sum(),
            pca_means=((means - centre) @ components.T).astype(np.float32),
            means_span=(features @ basis.T).astype(np.float32),
        ),
        sparsity=Sparsity(
            nonzero_fraction=Estimate(0.8 - 0.5 * depth, 0.78 - 0.5 * depth, 0.82 - 0.5 * depth),
            dead_fraction=0.02 * depth,
            class_nonzero_fraction=0.8 - 0.5 * depth + rng.uniform(-0.05, 0.05, classes),
            approximate=False,
            threshold=0.0,
            is_activation=index % 2 == 0,
            relu_like=index % 2 == 0,
            unit_histogram=rng.integers(0, 30, 20),
            sample_histogram=rng.integers(1, 30, 20),
            class_units=rng.integers(10, 90, classes).astype(float),
            class_overlap=_overlap(classes, rng) if classes <= 256 else None,
        ),
        dimension=Scoped(
            _dimension(60 * np.exp(-4 * (depth - 0.3) ** 2) + 5, rng),
            tuple(
                _dimension(40 * np.exp(-4 * (depth - 0.3) ** 2) + rng.uniform(2, 6), rng)
                for _ in range(classes)
            ),
        ),
        topology=Scoped(
            _topology(int(20 * depth), rng),
            tuple(_topology(rng.poisson(1 + 30 * depth**3), rng) for _ in range(classes)),
        ),
    )


def _overlap(classes: int, rng: np.random.Generator) -> np.ndarray:
    shares = rng.random((classes, classes))
    shares = (shares + shares.T) / 2
    np.fill_diagonal(shares, 1.0)
    return shares


def _layer_name(index: int, layers: int) -> str:
    if index == 0:
        return "conv1"
    if index == layers - 1:
        return "avgpool"
    return f"layer{1 + (index - 1) // 3}.{(index - 1) % 3}"


def _collapse(geometry: ClassGeometry, nc1: float) -> NeuralCollapse:
    m = geometry.mean_coordinates
    k = len(m)
    norms = np.linalg.norm(m, axis=1)
    pairs = ((m / norms[:, None]) @ (m / norms[:, None]).T)[~np.eye(k, dtype=bool)]
    etf = (np.eye(k) - 1 / k) / np.sqrt(k - 1)
    gram = m @ m.T
    return NeuralCollapse(
        nc1=nc1,
        nc1_quotient=float(geometry.within_trace.sum() / np.square(norms).sum()),
        cdnv=0.5 * nc1,
        nc2_means=float(np.linalg.norm(gram / np.linalg.norm(gram) - etf)),
        nc2_classifier=0.2,
        nc3=0.4,
        nc3_alignment=0.4,
        nc4=0.06,
        cosine_mean=float(pairs.mean()),
        cosine_std=float(pairs.std()),
        cosine_max=float(pairs.max()),
        equiangularity=float(np.abs(pairs + 1 / (k - 1)).mean()),
        equinorm_means=float(norms.std() / norms.mean()),
        equinorm_classifier=0.1,
        etf_target=-1 / (k - 1),
    )


def _dimension(value: float, rng: np.random.Generator) -> IntrinsicDimension:
    sizes = np.array([50, 100, 200, 400])
    spectrum = np.exp(-np.arange(64) / max(value, 1.0))
    spectrum /= spectrum.sum()
    share = np.cumsum(spectrum)
    return IntrinsicDimension(
        twonn=Estimate(value, 0.94 * value, 1.06 * value),
        mle=Estimate(0.9 * value, 0.87 * value, 0.93 * value),
        pca_90=int(np.argmax(share >= 0.90)) + 1,
        pca_95=int(np.argmax(share >= 0.95)) + 1,
        pca_99=int(np.argmax(share >= 0.99)) + 1,
        participation_ratio=float(1 / np.square(spectrum).sum()),
        points=400,
        duplicates=0,
        ambient=4096,
        projected=None,
        spectrum=spectrum,
        mle_curve=NeighbourCurve(
            np.array([5, 20, 100]), *(value * np.outer([0.9, 0.8, 1.0], [1, 0.9, 0.7]))
        ),
        ratio_plot=RatioPlot(np.linspace(0.1, 3, 50) / value, np.linspace(0.1, 3, 50), 2.3 / value),
        decimation=Decimation(
            sizes,
            value * (0.8 + 0.05 * np.arange(4)) + rng.normal(0, 0.2, 4),
            0.9 * value * (0.8 + 0.05 * np.arange(4)),
        ),
    )


def _topology(loops: int, rng: np.random.Generator) -> Topology:
    """One component and ``loops`` loops longer than 2c alive at the scale; the rest is noise."""
    confidence, scale = 0.1, 1.0
    components = np.column_stack([np.zeros(60), np.append(rng.uniform(0.3, 0.9, 59), np.inf)])
    births = np.concatenate([rng.uniform(0.6, 0.9, loops), rng.uniform(0.5, 0.75, 25)])
    deaths = np.concatenate([rng.uniform(1.2, 1.8, loops), births[loops:] + rng.exponential(0.05)])
    deaths[loops:] = np.minimum(deaths[loops:], births[loops:] + 0.15)
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])  # (60, 3)
    longest = np.argsort(births - deaths)[:6]
    return Topology(
        betti=(1, loops),
        scale=scale,
        rule="confidence",
        confidence=confidence,
        diagrams=(components, np.column_stack([births, deaths])),
        landmarks=60,
        points=200,
        cover_radius=0.45,
        spacing=0.2,
        rows=np.arange(60),
        coordinates=circle.astype(np.float16),
        cycles=tuple(
            Cycle(float(births[i]), float(deaths[i]), np.arange(k, 60, 2 + k))
            for k, i in enumerate(longest)
        ),
        entropy=(3.9, 2.1),
    )


def _law(layers: tuple[LayerAnalysis, ...]) -> SeparationLaw:
    logs = np.log([layer.separation or 1.0 for layer in layers])
    if len(logs) < 2:
        return SeparationLaw(None, None, None, None, "one layer")
    slope, intercept = np.polyfit(np.arange(len(logs)), logs, 1)
    r2 = np.corrcoef(np.arange(len(logs)), logs)[0, 1] ** 2
    return SeparationLaw(float(np.exp(slope)), float(r2), float(intercept), None)


def _weight(name: str, rng: np.random.Generator) -> WeightSummary:
    values = np.sort(rng.exponential(1.0, 32))[::-1]
    norm = float(np.linalg.norm(values))
    return WeightSummary(
        name, (32, 16, 3, 3), norm, values[0], (norm / values[0]) ** 2, 0.05, values
    )


def _thumbnails(labels: np.ndarray, classes: int, tile: int = 16, columns: int = 20) -> np.ndarray:
    rows = -(-len(labels) // columns)
    tint = np.zeros((rows * columns, 3), dtype=np.uint8)
    tint[: len(labels), 0] = 255 * labels // max(classes, 1)
    tint[: len(labels), 1] = 120
    grid = tint.reshape(rows, columns, 3).repeat(tile, axis=0).repeat(tile, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, "JPEG")
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)

"""The dimension of pooled features beside that of flattened ones, and what is said of both."""

from dataclasses import replace

import numpy as np
import pytest

from core.dimension_text import course, reading
from core.measures import Cloud, LayerInput, measure_layer
from core.metrics.intrinsic_dimension import intrinsic_dimension
from core.metrics.moments import class_moments
from core.results import FAMILIES, Settings
from tests.synthetic import synthetic_analysis

DIMENSION = Settings(metrics=("collapse", "dimension"))


def given(shape: tuple[int, ...], width: int = 6) -> tuple[LayerInput, Cloud]:
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pooled = generator.normal(size=(120, width)) + labels[:, None]
    flat = generator.normal(size=(120, 40))
    layer = LayerInput(
        name="conv",
        module="conv#1",
        kind="Conv2d",
        shape=shape,
        depth=0.5,
        moments=class_moments(pooled, labels, 3),
        ncc_accuracy=None,
        sparsity=None,
        sample=pooled,
        sample_labels=labels,
        pictured=np.arange(30),
        class_names=("a", "b", "c"),
    )
    return layer, Cloud(flat, 40, None)


def test_pooled_features_are_measured_beside_flattened_ones() -> None:
    layer, cloud = given((6, 4, 4))
    found = measure_layer(layer, cloud, DIMENSION)
    assert found.dimension.all.ambient == 40
    assert found.dimension_pooled.all.ambient == 6
    assert found.dimension_pooled.all.twonn == intrinsic_dimension(layer.sample).twonn
    assert len(found.dimension_pooled.classes) == 3


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((6,), DIMENSION),
        ((6, 4, 4), replace(DIMENSION, features="flat")),
        ((6, 4, 4), replace(DIMENSION, features="pooled")),
        ((6, 4, 4), replace(DIMENSION, metrics=(FAMILIES[0],))),
    ],
)
def test_it_is_left_out_where_it_would_say_nothing_new(
    shape: tuple[int, ...], settings: Settings
) -> None:
    assert measure_layer(*given(shape), settings).dimension_pooled is None


def test_a_random_projection_is_named() -> None:
    layer, cloud = given((6, 4, 4))
    found = measure_layer(replace(layer, sample=layer.sample[:, :4]), cloud, DIMENSION)
    assert (found.dimension_pooled.all.ambient, found.dimension_pooled.all.projected) == (6, 4)


def test_the_course_over_the_layers_in_words() -> None:
    analysis = synthetic_analysis(layers=6)
    told = course(analysis, "twonn", "all", "flat")
    assert told.startswith("TwoNN starts at ")
    assert f"({analysis.layers[0].name})" in told
    assert " peaks at " in told
    assert told.endswith(f"({analysis.layers[-1].name}).")
    assert course(analysis, "twonn", 99, "flat") == ""
    assert course(analysis, "pca_90", "all", "flat").startswith("PCA 90 % starts at ")


def test_estimates_beyond_the_table_are_said_to_be() -> None:
    assert reading(14.8, 2500, "twonn").startswith(
        "An estimate of 14.8 from 2,500 points is what a cube of dimension 19 ("
    )
    assert "is above the 51 that a cube of dimension 100 reads" in reading(90, 2500, "twonn")
    assert "below what any cube reads" in reading(0.2, 2500, "mle")

"""The forecast of a whole analysis."""

from __future__ import annotations

import pytest
from test_analysis import digits_checkpoint

from core.analysis import analyze
from core.checkpoints import open_checkpoint
from core.data.opening import open_dataset
from core.features.devices import Pace
from core.forecasting import AnalysisForecast, forecast, measuring_seconds
from core.models.building import build
from core.request import AnalysisRequest
from core.results import Settings


def test_more_points_layers_and_dimensions_cost_more() -> None:
    plain = Settings()
    base = measuring_seconds(1000, 1000, 10, plain)
    assert measuring_seconds(4000, 1000, 10, plain) > base
    assert measuring_seconds(1000, 2000, 10, plain) > base
    assert measuring_seconds(1000, 1000, 10, Settings(max_dim=2)) > base
    assert measuring_seconds(1000, 1000, 10, Settings(metrics=("dimension",))) < base
    assert measuring_seconds(1000, 1000, 10, Settings(metrics=("collapse",))) == 0


def test_the_forecast_is_of_the_order_of_the_analysis() -> None:
    checkpoint = open_checkpoint(digits_checkpoint())
    model = build(checkpoint.tensors, checkpoint.metadata)
    said = forecast(model, open_dataset("digits-train"), Settings())
    seen = analyze(AnalysisRequest(str(digits_checkpoint()), "digits-train")).seconds
    took = seen["features"] + seen["layers"]
    assert took / 6 < said.seconds < 6 * took
    assert 1e6 < said.memory_bytes < 2e9


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.2, "about 4 s and 0.5 GB"), (600, "about 10 min and 0.5 GB")]
)
def test_a_forecast_in_words(seconds: float, text: str) -> None:
    assert AnalysisForecast(seconds, 500_000_000, Pace(32, 1, 0.01)).describe() == text

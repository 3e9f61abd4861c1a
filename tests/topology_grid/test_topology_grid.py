"""A grid of cells: the same as measured at once, kept one by one, ended at once when asked."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import Cancelled, UserError
from core.metrics.topology import topologies
from core.progress import never
from core.request import AnalysisRequest
from core.results import Settings, Topology, TopologyOptions
from core.topology_grid import ALL, GridRequest, cells, grid_id, opened
from core.topology_grid.between import BetweenRequest, between_layers
from core.topology_grid.compute import compute as run_job
from core.topology_grid.compute import forecast
from core.topology_grid.crew import Crew, Task
from core.topology_grid.sources import open_source
from core.topology_grid.table import grid_csv

FEW = TopologyOptions(landmarks=40, cycles=2)
CHECKPOINT = "epoch_00600.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(folder))
    return folder


@pytest.fixture
def rings(tmp_path: Path) -> Path:
    """A feature file: class 0 a circle, class 1 two blobs, in five dimensions."""
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, 2 * np.pi, 90)
    circle = np.column_stack([np.cos(turn), np.sin(turn)]) * 3
    blobs = rng.normal(0, 0.1, (60, 2)) + np.where(np.arange(60) % 2, 8, -8)[:, None]
    points = np.concatenate([circle, blobs]) @ rng.normal(size=(2, 5))
    path = tmp_path / "rings.npz"
    np.savez(path, features=points.astype(np.float32), labels=np.repeat([0, 1], [90, 60]))
    return path


@pytest.fixture
def digits(repo: Path) -> GridRequest:
    """A small network on the digits, 200 images of them."""
    checkpoint = str(repo / "checkpoints" / "digits-mlp" / CHECKPOINT)
    settings = Settings(max_images=200)
    return GridRequest(AnalysisRequest(checkpoint, "digits-test", settings=settings), FEW)


def same(one: Topology, other: Topology) -> None:
    assert one.betti == other.betti
    assert (one.landmarks, one.points) == (other.landmarks, other.points)
    assert one.scale == pytest.approx(other.scale, rel=1e-5)
    for mine, theirs in zip(one.diagrams, other.diagrams, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    if one.rows is not None:
        np.testing.assert_array_equal(one.rows, other.rows)


def test_a_feature_file_is_a_grid_of_one_layer(rings: Path) -> None:
    request = GridRequest(AnalysisRequest(str(rings)), FEW)
    messages: list[tuple[int, int, str]] = []
    grid = run_job(request, progress=lambda *message: messages.append(message))
    found = cells(grid)
    assert set(found) == {("features", 0), ("features", 1), ("features", ALL)}
    with np.load(rings) as file:
        expected = topologies(file["features"], file["labels"], 2, FEW)
    same(found["features", ALL], expected.all)
    for k in range(2):
        same(found["features", k], expected.classes[k])
    assert found["features", 0].betti == (1, 1)
    assert found["features", 1].betti == (2, 0)
    assert next(what for *_, what in messages if "Opening" not in what).startswith(
        "Forecast: about"
    )
    assert messages[-1][:2] == (3, 3)


def test_cells_of_a_network_are_those_of_its_clouds(digits: GridRequest) -> None:
    grid = opened(run_job(digits))
    assert grid is not None
    assert grid.is_complete()
    source = open_source(digits, never)
    assert grid.layers == source.layers
    for index, points in source.clouds(range(len(source.layers)), never):
        expected = topologies(points, source.labels, grid.classes, FEW)
        same(grid.cells[source.layers[index], ALL], expected.all)
        same(grid.cells[source.layers[index], 3], expected.classes[3])


def test_a_class_without_samples_has_a_cell_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "gap.npz"
    points = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(path, features=points, labels=np.repeat([0, 2], 20))
    grid = opened(run_job(GridRequest(AnalysisRequest(str(path)), FEW)))
    assert grid is not None
    assert grid.is_complete()
    assert grid.cells["features", 1].reason
    assert grid.cells["features", 2].betti[0] is not None


def test_a_damaged_cell_is_computed_again(rings: Path, cache: Path) -> None:
    request = GridRequest(AnalysisRequest(str(rings)), FEW)
    grid = run_job(request)
    damaged = next(cache.glob("topology/grid-*/*-1.npz"))
    damaged.write_bytes(b"PK and nothing")
    assert ("features", 1) not in cells(grid)
    run_job(request)
    assert ("features", 1) in cells(grid)


def stop_after(count: int) -> tuple[Callable[[int, int, str], None], Callable[[], bool]]:
    reached: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        reached.append(done)

    return progress, lambda: max(reached, default=0) >= count


def test_a_cancelled_grid_goes_on_where_it_stopped(digits: GridRequest, cache: Path) -> None:
    progress, cancelled = stop_after(15)
    with pytest.raises(Cancelled):
        run_job(digits, progress=progress, cancelled=cancelled)
    grid = grid_id(digits)
    kept = cells(grid)
    assert 15 <= len(kept) < len(opened(grid).keys)
    reported: list[int] = []
    run_job(digits, progress=lambda done, total, what: reported.append(total))
    assert max(reported) == len(opened(grid).keys) - len(kept)
    assert opened(grid).is_complete()
    assert all(cells(grid)[key] is kept[key] for key in kept)
    assert not list(cache.glob("**/points-*"))


def test_a_finished_grid_is_not_computed_again(digits: GridRequest) -> None:
    run_job(digits)
    started = time.perf_counter()
    assert run_job(replace(digits, layers=("input",))) == grid_id(digits)
    assert time.perf_counter() - started < 1.5


def test_some_layers_now_and_the_others_later(digits: GridRequest) -> None:
    some = replace(digits, layers=("input",))
    grid = opened(run_job(some))
    assert {layer for layer, _ in grid.cells} == {"input"}
    assert grid_id(some) == grid_id(digits)
    with pytest.raises(UserError, match="no layer nowhere: choose among input"):
        run_job(replace(digits, layers=("nowhere",)))


def test_pooled_features_are_another_grid(digits: GridRequest) -> None:
    pooled = replace(digits, features="pooled")
    assert grid_id(pooled) != grid_id(digits)
    source = open_source(pooled, never)
    for index, points in source.clouds([0, 1], never):
        assert points.shape == (200, source.widths()[index])


def test_the_id_is_of_what_changes_the_cells(digits: GridRequest) -> None:
    asked = digits.analysis
    named = replace(asked, checkpoint_name="mine", settings=replace(asked.settings, batch_size=7))
    assert grid_id(replace(digits, analysis=named)) == grid_id(digits)
    assert grid_id(replace(digits, options=replace(FEW, seed=1))) != grid_id(digits)
    with pytest.raises(UserError, match="not the id of a grid"):
        opened("../../etc")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"features": "deep"}, "features are flat or pooled"),
        ({"options": TopologyOptions(distance="manhattan")}, "the distance is one of"),
        ({"options": TopologyOptions(max_dim=3)}, "the highest dimension is 1 or 2"),
    ],
)
def test_what_has_no_meaning_is_named(
    digits: GridRequest, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        run_job(replace(digits, **change))


def test_too_large_a_cell_is_refused_in_a_sentence(
    rings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.topology_grid.compute.MEMORY_BYTES", 1000)
    with pytest.raises(UserError, match="choose fewer landmarks or a lower dimension"):
        run_job(GridRequest(AnalysisRequest(str(rings)), FEW))


def test_the_forecast_counts_what_is_missing(rings: Path) -> None:
    request = GridRequest(AnalysisRequest(str(rings)), FEW)
    cost = forecast(request)
    assert cost.cells == 3
    assert cost.seconds > 0
    assert cost.describe().startswith("about ")
    run_job(request)
    assert forecast(request).cells == 0


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew(1, 1 << 30)
    yield made
    made.end()


def task(folder: Path, points: np.ndarray, **options: object) -> Task:
    np.save(folder / "points.npy", points)
    chosen = replace(TopologyOptions(), **options)
    return Task("layer, class", folder / "points.npy", None, chosen, folder / "cell.npz")


def test_a_worker_that_dies_is_a_sentence(crew: Crew, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(300, 8))
    crew.add([task(tmp_path, points, max_dim=2, landmarks=300)])
    for process in crew.processes:
        process.kill()
    with pytest.raises(UserError, match="layer, class: the worker was ended"):
        crew.collect(10)


def test_a_worker_says_what_is_wrong_with_the_input(crew: Crew, tmp_path: Path) -> None:
    crew.add([task(tmp_path, np.zeros((9, 2)), rule="guess")])
    with pytest.raises(UserError, match=r"layer, class: .*guess"):
        crew.collect(20)


def test_a_worker_in_the_middle_of_a_cell_ends_at_once(crew: Crew, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(600, 8))
    crew.add([task(tmp_path, points, max_dim=2, landmarks=600)])
    crew.collect(1.0)
    started = time.perf_counter()
    crew.end()
    assert time.perf_counter() - started < 1


def test_the_table_has_a_line_a_cell_and_defuses_formulas(rings: Path) -> None:
    grid = opened(run_job(GridRequest(AnalysisRequest(str(rings)), FEW)))
    rows = list(csv.DictReader(io.StringIO(grid_csv(grid, ("=cmd()", "blobs")))))
    assert [row["class"] for row in rows] == ["'=cmd()", "blobs", "all"]
    assert rows[0]["betti_1"] == "1"
    assert float(rows[1]["entropy_0"]) > 0


def test_one_layer_has_no_steps(rings: Path) -> None:
    grid = run_job(GridRequest(AnalysisRequest(str(rings)), FEW))
    assert between_layers(BetweenRequest(grid))[1] == {0: (), 1: (), ALL: ()}


def test_steps_between_layers_are_free_of_units(digits: GridRequest) -> None:
    steps = between_layers(BetweenRequest(run_job(digits)))
    values = [step for by_scope in steps for column in by_scope.values() for step in column]
    assert all(value is None or 0 <= value <= 1 for value in values)
    assert any(value for value in values)

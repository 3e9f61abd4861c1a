"""The topology lab: a network learns to part two classes; the holes of a class, layer by layer.

After Naitzat, Zhitnikov and Lim, JMLR 2020. ``run`` is what a page asks for; the requests and
results need numpy alone.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from core import store
from core.data.two_class_problems import Problem, TwoClasses, find_problem, generate
from core.errors import UserError
from core.progress import IsCancelled, Progress, check, never, silent

BUNDLED = Path(__file__).parent / "data" / "bundled" / "topology_lab"
TABLE = BUNDLED / "table.json"
ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "tanh": "tanh"}
DEPTHS = tuple(range(1, 13))
WIDTHS = (2, 3, 5, 8, 10, 15, 20, 25, 35, 50)
EPOCHS = (10, 25, 50, 100, 200, 300, 500)
SIZES = (600, 1200, 1800, 2250, 2700)
SEEDS = tuple(range(20))
NEIGHBOURS = 20
GOAL = 0.999  # accuracy on fresh points, beside no error on the training points
KEPT = 300  # points of each class that are drawn
GRID = 81  # side of the picture of decision regions
FRESH = 10_000  # added to the seed of the points that accuracy is checked on


@dataclass(frozen=True, slots=True)
class LabRequest:
    """A problem, a network and its training."""

    problem: str = "d1"
    activation: str = "relu"
    depth: int = 8  # hidden layers
    width: int = 15  # units of each
    epochs: int = 200
    seed: int = 0  # of the points, the initial weights and the order of training
    per_class: int = 1800  # points


@dataclass(frozen=True, slots=True)
class LayerCloud:
    """What one layer makes of the points."""

    name: str  # "input", "1", …, "output"
    betti: tuple[tuple[int, ...], tuple[int, ...]]  # of class A and of class B
    principal: tuple[np.ndarray, np.ndarray]  # (KEPT, <= 3) float16 of each class, largest 1


@dataclass(frozen=True, slots=True)
class LabResult:
    """One trained network and its layers, input first, logits last."""

    request: LabRequest
    loss: np.ndarray  # (epochs,)
    accuracy: np.ndarray  # (epochs,) on the training points
    fresh_accuracy: float  # on as many points that it was not trained on
    layers: tuple[LayerCloud, ...]
    regions: np.ndarray | None  # (GRID, GRID) probability of class B over [-1, 1]^2; rows are y
    seconds: float

    @property
    def reached(self) -> bool:
        """No training point and at most one in a thousand fresh points is on the wrong side."""
        return bool(self.accuracy[-1] == 1.0 and self.fresh_accuracy >= GOAL)

    def totals(self, of: int) -> list[int]:
        """Sum of the Betti numbers of class ``of`` (0 or 1) at every layer."""
        return [sum(layer.betti[of]) for layer in self.layers]


def default_request(problem: str, activation: str = "relu", seed: int = 0) -> LabRequest:
    """The sizes at which the problem is shown first, and that its table was made with."""
    small = problem.endswith("-small")
    return LabRequest(
        problem,
        activation,
        depth=4 if small else 8,
        width=15 if problem.startswith("d1") else 25,
        epochs=200,
        seed=seed,
        per_class=600 if small else 2250 if problem == "d3" else 1800,
    )


def validate(request: LabRequest) -> Problem:
    """The request's problem; UserError names the first value that cannot be used."""
    problem = find_problem(request.problem)
    if request.activation not in ACTIVATIONS:
        raise UserError(
            f"activation {request.activation!r} is not known: use one of {', '.join(ACTIVATIONS)}"
        )
    for name, options in (("depth", DEPTHS), ("width", WIDTHS), ("epochs", EPOCHS)):
        value, low, high = getattr(request, name), min(options), max(options)
        if not low <= value <= high:
            raise UserError(f"{name} must be {low} to {high}, not {value}: choose a number between")
    if request.seed < 0:
        raise UserError(f"the seed must be 0 or more, not {request.seed}: choose another one")
    return problem


def run(
    request: LabRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> LabResult:
    """Train the network of ``request`` and count the holes of both classes at every layer."""
    from core.training import point_clouds

    started = time.perf_counter()
    problem = validate(request)
    data = generate(problem, request.per_class, request.seed)
    fresh = generate(problem, request.per_class, request.seed + FRESH)
    model = point_clouds.network(
        problem.dim, request.width, request.depth, request.activation, request.seed
    )
    trained = point_clouds.train(
        model,
        data.points,
        data.labels,
        request.epochs,
        request.seed,
        point_clouds.LEARNING_RATES[request.activation],
        progress=lambda done, total, what: progress(done, 2 * total, what),
        cancelled=cancelled,
    )
    outputs = point_clouds.layer_outputs(model, data.points)
    return LabResult(
        request,
        trained.loss,
        trained.accuracy,
        point_clouds.accuracy(model, fresh.points, fresh.labels),
        _layers(outputs, data, problem, progress, cancelled),
        _regions(model) if problem.dim == 2 else None,
        time.perf_counter() - started,
    )


def layer_names(depth: int) -> list[str]:
    """Names of the layers of a network of ``depth`` hidden layers."""
    return ["input", *map(str, range(1, depth + 1)), "output"]


def _layers(
    outputs: list[np.ndarray],
    data: TwoClasses,
    problem: Problem,
    progress: Progress,
    cancelled: IsCancelled,
) -> tuple[LayerCloud, ...]:
    from core.metrics.cliques import betti_within_steps

    max_dim = len(problem.betti[0]) - 1
    layers: list[LayerCloud] = []
    for name, output in zip(layer_names(len(outputs) - 2), outputs, strict=True):
        progress(len(outputs) + len(layers), 2 * len(outputs), f"counting holes, layer {name}")
        check(cancelled)
        clouds = [output[data.labels == k] for k in (0, 1)]
        first, second = (betti_within_steps(c, NEIGHBOURS, max_dim) for c in clouds)
        layers.append(LayerCloud(name, (first, second), _principal(*clouds)))
    return tuple(layers)


def _principal(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The principal components of both classes together, at most three; KEPT points of each."""
    both = np.vstack([first, second]).astype(np.float64)  # (n, d)
    both -= both.mean(0)
    if both.shape[1] > 3:
        _, directions = np.linalg.eigh(both.T @ both)
        both = both @ directions[:, :-4:-1]  # (n, 3)
    both = (both / (np.abs(both).max() or 1.0)).astype(np.float16)
    parts = both[: len(first)], both[len(first) :]
    kept = [np.linspace(0, len(part) - 1, KEPT).astype(int) for part in parts]
    return parts[0][kept[0]], parts[1][kept[1]]


def _regions(model: object) -> np.ndarray:
    """The probability of class B on a grid over the square."""
    import torch

    line = torch.linspace(-1, 1, GRID)
    grid = torch.cartesian_prod(line, line).flip(1)  # rows y, columns x
    with torch.no_grad():
        share = model(grid).softmax(1)[:, 1]  # type: ignore[operator]
    return share.reshape(GRID, GRID).numpy().astype(np.float16)


# --- the table of many seeds -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One network of the table."""

    problem: str
    activation: str
    seed: int
    reached: bool  # see LabResult
    fresh_accuracy: float
    betti: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # by layer, of both classes

    def totals(self, of: int) -> np.ndarray:
        """Sum of the Betti numbers of class ``of`` at every layer, (layers,)."""
        return np.array([sum(layer[of]) for layer in self.betti])


def row_of(result: LabResult) -> Row:
    """What the table keeps of a result."""
    asked = result.request
    betti = tuple(layer.betti for layer in result.layers)
    return Row(
        asked.problem, asked.activation, asked.seed, result.reached, result.fresh_accuracy, betti
    )


def write_table(rows: Sequence[Row], path: Path = TABLE) -> None:
    """The rows as JSON, one a line."""
    lines = [
        json.dumps([getattr(row, f.name) for f in fields(Row)], separators=(",", ":"))
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def read_table(path: Path = TABLE) -> tuple[Row, ...]:
    """What ``write_table`` wrote."""
    return tuple(
        Row(
            problem, activation, seed, reached, right, tuple((tuple(a), tuple(b)) for a, b in betti)
        )
        for problem, activation, seed, reached, right, betti in json.loads(
            path.read_text(encoding="utf-8")
        )
    )


def bundled(request: LabRequest) -> LabResult | None:
    """The result that came with Featurescope, for the default sizes of a problem and seed 0."""
    path = bundled_path(request)
    if request != default_request(request.problem, request.activation) or not path.exists():
        return None
    return store.load(LabResult, path)


def bundled_path(request: LabRequest) -> Path:
    """Where the result of a default request lies."""
    return BUNDLED / f"{request.problem}-{request.activation}.npz"


def area(totals: np.ndarray) -> float:
    """Mean over the layers of the total Betti number, as a share of the input's: 1 where nothing
    is lost before the end, small where holes go early."""
    return float(totals.mean() / totals[0])


def half_layer(totals: np.ndarray) -> int:
    """The layer (input 0) from which on the total is at most half of the input's; else their
    number."""
    high = np.flatnonzero(totals > totals[0] / 2)
    return int(high[-1]) + 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One activation against another on the same seeds, by ``area``."""

    pairs: int  # seeds at which both reached the goal
    lower: int  # of them, where the first one's area is the smaller
    ties: int
    area: float  # median of the first
    other_area: float
    half: float  # median layer from which on the total is at most half, of the first
    other_half: float
    p_value: float | None  # of the two-sided sign test without ties; None where all are ties
    reverse: tuple[int, ...]  # layers at which the median total of the other one is the smaller


def compare(
    rows: Sequence[Row], problem: str, of: int, first: str = "relu", other: str = "tanh"
) -> Comparison | None:
    """Do the holes of class ``of`` go earlier with ``first`` than with ``other``? None where no
    seed has both."""
    totals = {
        (row.activation, row.seed): row.totals(of)
        for row in rows
        if row.problem == problem and row.reached
    }
    seeds = [s for a, s in totals if a == first and (other, s) in totals]
    if not seeds:
        return None
    one, two = ([totals[a, s] for s in seeds] for a in (first, other))
    areas, others = np.array([area(t) for t in one]), np.array([area(t) for t in two])
    lower, ties = int((areas < others).sum()), int((areas == others).sum())
    return Comparison(
        len(seeds),
        lower,
        ties,
        float(np.median(areas)),
        float(np.median(others)),
        float(np.median([half_layer(t) for t in one])),
        float(np.median([half_layer(t) for t in two])),
        sign_test(lower, len(seeds) - ties),
        tuple(np.flatnonzero(np.median(two, axis=0) < np.median(one, axis=0)).tolist()),
    )


def sign_test(wins: int, trials: int) -> float | None:
    """Two-sided p value of ``wins`` of ``trials`` under even odds."""
    if trials == 0:
        return None
    tail = sum(math.comb(trials, i) for i in range(min(wins, trials - wins) + 1))
    return min(1.0, 2 * tail / 2**trials)


def verdict(rows: Sequence[Row], problem: str, of: int) -> str:
    """Whether ReLU loses the holes of class ``of`` earlier than tanh, in words, with the numbers.
    Empty where the table has no such networks."""
    found = compare(rows, problem, of)
    if found is None:
        return ""
    if found.p_value is None or found.p_value >= 0.05:
        start = "That ReLU loses holes earlier than tanh was **not seen** here"
    elif found.lower > (found.pairs - found.ties) / 2:
        start = "ReLU loses holes earlier than tanh, **as the paper reports**"
    else:
        start = "Against the paper, **tanh** loses holes earlier than ReLU here"
    leaky = compare(rows, problem, of, "leaky_relu")
    between = "" if leaky is None else f"{100 * leaky.area:.0f} % with leaky ReLU, "
    chance = "" if found.p_value is None else f", sign test p = {found.p_value:.2g}"
    names = layer_names(len(next(r for r in rows if r.problem == problem).betti) - 2)
    unless = ", ".join(names[layer] for layer in found.reverse)
    exception = f"But tanh has fewer at these layers: {unless} (medians). " if unless else ""
    reached = [
        f"{sum(r.reached for r in mine)} of {len(mine)} {ACTIVATIONS[activation]}"
        for activation in ACTIVATIONS
        if (mine := [r for r in rows if r.problem == problem and r.activation == activation])
    ]
    return (
        f"{start}: so it is for {found.lower} of {found.pairs} seeds{chance}. "
        f"Over all layers the total is {100 * found.area:.0f} % of the input's with ReLU, "
        f"{between}{100 * found.other_area:.0f} % with tanh (medians); it is at most half from "
        f"layer {found.half:g} on with ReLU, {found.other_half:g} with tanh. "
        f"{exception}Networks that learned the problem: {', '.join(reached)}."
    )

"""The loss around a network: closed forms, naive code, what must not change, what is refused."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from landscape_runs import EPOCHS, network, request, write
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional

from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.data.preprocessing import Preprocessing
from core.errors import Cancelled, UserError
from core.landscape import Landscape, LandscapeRequest, kept
from core.landscape.compute import compute, trial
from core.landscape.directions import filter_normalised, normalise
from core.landscape.results import (
    barrier,
    chance,
    gaps,
    highest,
    random_walk_shares,
    share_below,
)
from core.landscape.surface import Evaluator
from core.landscape.trajectory import box, principal_plane
from core.landscape.weights import Weights

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def convolutional(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, stride=2, groups=2),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 3 * 3, 4),
    )
    norm = module[1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.normal_(norm.running_mean, 0, 0.3)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.weight, 1, 0.3)
    nn.init.normal_(norm.bias, 0, 0.3)
    return module.eval()


def images(count: int = 30, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3, 8, 8)).astype(np.float32)
    return x, rng.integers(classes, size=count)


# --- naive code: a state dictionary for every point, nothing shared ------------------------------


def naive_direction(module: nn.Module, draws: torch.Generator) -> dict[str, torch.Tensor]:
    """Li et al., section 4, filter by filter."""
    found = {}
    for name, parameter in module.named_parameters():
        noise = torch.zeros_like(parameter)
        if parameter.dim() > 1:
            noise = torch.randn(parameter.shape, generator=draws)
            for j in range(len(noise)):
                noise[j] *= parameter.data[j].norm() / noise[j].norm()
        found[name] = noise
    return found


def naive_loss(
    module: nn.Module, state: dict[str, torch.Tensor], x: np.ndarray, y: np.ndarray, again: bool
) -> tuple[float, float]:
    other = copy.deepcopy(module)
    other.load_state_dict(state, strict=False)
    batch, labels = torch.from_numpy(x), torch.from_numpy(y)
    with torch.no_grad():
        if again:
            torch.optim.swa_utils.update_bn(batch.split(16), other.eval())
        logits = other.eval()(batch)
    loss = functional.cross_entropy(logits.double(), labels).item()
    return loss, (logits.argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("again", [False, True])
def test_a_plane_is_that_of_naive_code(workers: int, again: bool) -> None:
    module = convolutional()
    x, y = images()
    draws = generator(5)
    one, two = naive_direction(module, draws), naive_direction(module, draws)
    places = np.array([(0, 0), (0.5, 0), (-1, 0.25), (0.3, -0.7), (1, 1)])
    expected = []
    for a, b in places.tolist():
        state = dict(module.state_dict())
        for name in one:
            state[name] = state[name] + a * one[name] + b * two[name]
        expected.append(naive_loss(module, state, x, y, again))

    found = Evaluator(
        copy.deepcopy(module), x, y, device=CPU, workers=workers, batch_size=16, measured=again
    )
    draws = generator(5)
    origin = found.weights.read()
    directions = [filter_normalised(found.weights, origin, draws) for _ in range(2)]
    losses, accuracies = found.at(origin, directions, places)
    np.testing.assert_allclose(losses, [e[0] for e in expected], rtol=2e-5)
    np.testing.assert_allclose(accuracies, [e[1] for e in expected], atol=1e-6)
    assert len(set(np.round(losses, 6))) == len(places)


def test_a_line_of_a_linear_model_in_closed_form() -> None:
    """One input, two classes: filters are single weights, a direction is a sign for each."""
    module = nn.Linear(1, 2, bias=True)
    weight, bias = torch.tensor([[1.5], [-0.5]]), torch.tensor([0.2, -0.1])
    module.load_state_dict({"weight": weight, "bias": bias})
    x, y = np.array([[2.0]], dtype=np.float32), np.array([0])
    found = Evaluator(module, x, y, device=CPU, batch_size=1)
    origin = found.weights.read()
    direction = filter_normalised(found.weights, origin, generator(3))
    signs = torch.sign(torch.randn(2, 1, generator=generator(3)))
    steps = np.linspace(-1, 1, 7)
    losses, _ = found.at(origin, [direction], steps[:, None])
    for step, loss in zip(steps, losses, strict=True):
        z = 2.0 * (weight + step * signs * weight.abs())[:, 0] + bias
        assert loss == pytest.approx(math.log1p(math.exp(float(z[1] - z[0]))), rel=1e-5)


# --- directions ----------------------------------------------------------------------------------


def test_every_filter_of_a_direction_is_as_long_as_the_networks() -> None:
    weights = Weights(convolutional().to(memory_format=torch.channels_last))
    origin = weights.read()
    direction = weights.named(filter_normalised(weights, origin, generator()))
    own = weights.named(origin)
    for name in ("0.weight", "3.weight", "7.weight"):
        got, wanted = direction[name].flatten(1).norm(dim=1), own[name].flatten(1).norm(dim=1)
        torch.testing.assert_close(got, wanted)
        assert not torch.allclose(direction[name], own[name])
    still = [n for n in direction if n not in ("0.weight", "3.weight", "7.weight")]
    assert {"0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"} <= set(still)
    assert all(not direction[name].any() for name in still)


def test_transposed_convolutions_count_filters_along_the_second_axis() -> None:
    weights = Weights(nn.ConvTranspose2d(3, 5, 2))
    direction = weights.named(filter_normalised(weights, weights.read(), generator()))["weight"]
    own = weights.named(weights.vector)["weight"]
    norms = direction.transpose(0, 1).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, own.transpose(0, 1).flatten(1).norm(dim=1))


def test_what_was_not_trained_does_not_move() -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    module[1].weight.requires_grad_(False)
    weights = Weights(module)
    direction = weights.named(filter_normalised(weights, weights.read(), generator()))
    assert not direction["1.weight"].any()
    assert direction["0.weight"].any()
    assert weights.moving == 20


def test_a_filter_of_zeros_does_not_move() -> None:
    like = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    got = normalise(torch.tensor([[1.0, 2.0], [0.0, 2.0]]), like)
    assert got.tolist() == [[0.0, 0.0], [0.0, 5.0]]
    assert normalise(torch.zeros(1, 2), torch.ones(1, 2)).tolist() == [[0.0, 0.0]]


def test_the_seed_decides_the_direction_alone() -> None:
    weights = Weights(convolutional())
    origin = weights.read()
    draws = [filter_normalised(weights, origin, generator(s)) for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_network_without_filters_is_refused() -> None:
    weights = Weights(nn.BatchNorm1d(3))
    with pytest.raises(UserError, match="no filters"):
        filter_normalised(weights, weights.read(), generator())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.05, 20), min_size=8, max_size=8))
def test_scaling_filters_before_batch_normalisation_changes_nothing(scales: list[float]) -> None:
    """Li et al., section 4: the network is the same, and so must its slice be."""
    x, y = images()
    module = convolutional()
    module[1].eps = 0.0
    scaled = copy.deepcopy(module)
    c = torch.tensor(scales)
    with torch.no_grad():
        scaled[0].weight *= c[:, None, None, None]
        scaled[0].bias *= c
        scaled[1].running_mean *= c
        scaled[1].running_var *= c**2
    places = np.array([(0.0, 0.0), (0.8, -0.3), (-1.0, 1.0)])
    losses = []
    for one in (module, scaled):
        found = Evaluator(one, x, y, device=CPU, batch_size=30)
        origin, draws = found.weights.read(), generator(7)
        directions = [filter_normalised(found.weights, origin, draws) for _ in range(2)]
        losses.append(found.at(origin, directions, places)[0])
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)


def test_without_normalisation_scaling_would_change_the_slice() -> None:
    """The property above can fail: with plain Gaussian directions it does."""
    x, y = images()
    module = convolutional()
    scaled = copy.deepcopy(module)
    with torch.no_grad():
        scaled[0].weight *= 0.05
        scaled[0].bias *= 0.05
        scaled[1].running_mean *= 0.05
        scaled[1].running_var *= 0.05**2
    losses = []
    for one in (module, scaled):
        found = Evaluator(one, x, y, device=CPU, batch_size=30)
        noise = {"0.weight": torch.randn(8, 3, 3, 3, generator=generator(1))}
        direction = found.weights.flat(noise)
        losses.append(found.at(found.weights.read(), [direction], np.array([[0.3]]))[0][0])
    assert abs(losses[0] - losses[1]) > 0.05


# --- one vector for all tensors ------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_module_reads_the_vector(layout: torch.memory_format) -> None:
    module = convolutional().to(memory_format=layout)
    x = torch.from_numpy(images()[0]).contiguous(memory_format=layout)
    before = module(x).detach()
    state = {k: v.clone() for k, v in module.state_dict().items()}
    weights = Weights(module)
    torch.testing.assert_close(module(x), before)
    named = weights.named(weights.vector)
    for name, tensor in state.items():
        if tensor.is_floating_point():
            assert torch.equal(named[name], tensor)
    weights.vector.mul_(2)
    assert torch.equal(module[0].weight, 2 * state["0.weight"])
    assert torch.equal(module[1].running_var, 2 * state["1.running_var"])
    module.load_state_dict(state)
    assert torch.equal(weights.named(weights.read())["7.bias"], state["7.bias"])


def test_tied_tensors_stay_tied() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    weights = Weights(module)
    weights.vector.fill_(0.5)
    assert module[1].weight is module[0].weight
    assert weights.moving == 9
    assert torch.equal(module[1].weight, torch.full((3, 3), 0.5))


def test_losses_that_are_not_finite_are_gaps() -> None:
    module = nn.Linear(2, 2)
    found = Evaluator(module, np.ones((4, 2), np.float32), np.array([0, 1, 0, 1]), device=CPU)
    origin = found.weights.read()
    losses, _ = found.at(origin, [torch.ones_like(origin)], np.array([[0.0], [1e38], [np.nan]]))
    assert np.isfinite(losses[0])
    assert np.isnan(losses[2])


def test_a_cancelled_evaluation_raises() -> None:
    x, y = images()
    found = Evaluator(convolutional(), x, y, device=CPU, workers=2)
    origin = found.weights.read()
    seen: list[int] = []
    with pytest.raises(Cancelled):
        found.at(
            origin,
            [origin],
            np.zeros((50, 1)),
            part=5,
            done=lambda points, losses: seen.append(points),
            cancelled=lambda: bool(seen),
        )
    assert seen
    assert seen[-1] < 50


# --- the path of a run ---------------------------------------------------------------------------


def test_a_straight_path_lies_in_one_direction() -> None:
    start, end = torch.randn(2, 500, generator=generator())
    vectors = torch.stack([start + t * (end - start) for t in (0.0, 0.1, 0.5, 0.7, 1.0)])
    plane = principal_plane(vectors)
    assert plane.shares[0] == pytest.approx(1)
    assert plane.shares[1:] == pytest.approx(np.zeros(3), abs=1e-9)
    assert len(plane.directions) == 1
    length = float((end - start).norm())
    expected = -length * np.array([1.0, 0.9, 0.5, 0.3, 0.0])
    np.testing.assert_allclose(plane.coordinates[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(plane.distance, 0, atol=1e-4 * length)


def test_a_path_in_a_plane_is_found_again() -> None:
    a, b = torch.linalg.qr(torch.randn(300, 2, generator=generator()))[0].T
    places = torch.tensor([[-4.0, 1.0], [-2.0, 2.0], [-1.0, 0.5], [0.0, 0.0]])
    plane = principal_plane(places @ torch.stack([a, b]))
    between = torch.cdist(places, places).numpy()
    found = torch.cdist(*[torch.from_numpy(plane.coordinates)] * 2).numpy()
    np.testing.assert_allclose(found, between, rtol=1e-5, atol=1e-5)
    assert plane.shares[:2].sum() == pytest.approx(1)
    np.testing.assert_allclose(plane.coordinates[-1], 0, atol=1e-12)
    torch.testing.assert_close(plane.directions @ plane.directions.T, torch.eye(2))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 9))
def test_the_directions_are_those_of_scikit_learn(seed: int, count: int) -> None:
    vectors = torch.randn(count, 200, generator=generator(seed)).cumsum(0)
    plane = principal_plane(vectors)
    other = PCA(2).fit(vectors.double().numpy())
    np.testing.assert_allclose(plane.shares[:2], other.explained_variance_ratio_, rtol=1e-6)
    overlap = np.abs(plane.directions.double().numpy() @ other.components_.T)
    np.testing.assert_allclose(overlap, np.eye(2), atol=1e-4)
    moved = (vectors - vectors[-1]).double().numpy()
    np.testing.assert_allclose(plane.coordinates, moved @ plane.directions.double().numpy().T,
                               rtol=1e-4, atol=1e-4)  # fmt: skip
    rest = moved - plane.coordinates @ plane.directions.double().numpy()
    np.testing.assert_allclose(plane.distance, np.linalg.norm(rest, axis=1), rtol=1e-3, atol=1e-3)
    assert (plane.coordinates[0] <= 0).all()


def test_buffers_do_not_take_part_in_the_plane() -> None:
    vectors = torch.randn(4, 50, generator=generator())
    used = torch.arange(50) < 40
    vectors[:, 40:] *= 1000
    plane = principal_plane(vectors, used)
    assert not plane.directions[:, 40:].any()
    np.testing.assert_allclose(plane.shares, principal_plane(vectors[:, :40]).shares)


def test_the_box_holds_the_path_with_room() -> None:
    coordinates = np.array([[-10.0, 0.001], [-5.0, 0.0], [0.0, 0.0]])
    x, y = box(coordinates, 5)
    assert (x[0], x[-1]) == pytest.approx((-12.5, 2.5))
    assert y[-1] - y[0] == pytest.approx(1.5)  # a tenth of the longer side, and the room
    assert y[0] < coordinates[:, 1].min()
    assert y[-1] > coordinates[:, 1].max()


def test_shares_of_a_random_walk() -> None:
    even = random_walk_shares(np.arange(400))
    k = np.arange(1, 4)
    np.testing.assert_allclose(even[:3], 6 / (np.pi * k) ** 2, rtol=0.01)
    epochs = np.array([0, 1, 2, 4, 8, 16, 32])
    steps = np.random.default_rng(0).normal(size=(33, 20_000))
    steps[0] = 0
    walk = steps.cumsum(0)[epochs]
    measured = PCA().fit(walk).explained_variance_ratio_[:6]
    np.testing.assert_allclose(random_walk_shares(epochs), measured, rtol=0.05)
    assert np.isnan(random_walk_shares(np.zeros(3))).all()


# --- whole landscapes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Four checkpoints of one network that moves from one state to another along a bent path."""
    folder = tmp_path_factory.mktemp("checkpoints")
    one, two, bend = (network(seed).state_dict() for seed in (0, 1, 2))
    found = {}
    for epoch, t in zip(EPOCHS, (0.0, 0.3, 0.7, 1.0), strict=True):
        module = network()
        module.load_state_dict(
            {
                k: (1 - t) * v + t * two[k] + t * (1 - t) * (bend[k] if "weight" in k else 0 * v)
                if v.is_floating_point()
                else v
                for k, v in one.items()
            }
        )
        found[epoch] = write(module, folder / f"epoch_{epoch}.safetensors")
    return found


def own_loss(file: Path, data: str, count: int, seed: int = 0) -> tuple[float, float]:
    """Loss and accuracy of a checkpoint over the same draw, in plain code."""
    from safetensors.torch import load_file

    module = network()
    module.load_state_dict(load_file(file), strict=False)
    dataset = open_dataset(data)
    dataset = dataset.select(dataset.stratified(count, seed))
    plain = Preprocessing(8, 8, 1, (0.0,), (1.0,))
    x = torch.from_numpy(load_batch(dataset, np.arange(len(dataset)), plain))
    logits = module.eval()(x).detach().double()
    y = torch.from_numpy(dataset.labels)
    return float(functional.cross_entropy(logits, y)), float((logits.argmax(1) == y).float().mean())


@pytest.mark.parametrize("statistics", ["kept", "measured"])
@pytest.mark.parametrize("kind", ["plane", "line"])
def test_the_centre_is_the_network(files: dict[int, Path], kind: str, statistics: str) -> None:
    asked = LandscapeRequest(
        request(files[10]), kind, resolution=5, images=100, seed=3, statistics=statistics
    )
    found = compute(asked)
    loss, accuracy = own_loss(files[10], "digits-test", 100, 3)
    assert found.centre_loss == pytest.approx(loss, rel=1e-5)
    assert found.centre_accuracy == pytest.approx(accuracy)
    assert found.x.tolist() == [-1, -0.5, 0, 0.5, 1]
    rows, centre = (range(3), 2) if kind == "line" else ((2,), 2)
    for row in rows:
        if statistics == "kept":
            assert found.loss[row, centre] == pytest.approx(loss, rel=1e-5)
        else:
            assert found.loss[row, centre] != pytest.approx(loss, rel=1e-3)
    assert (found.images, found.all_images, found.classes) == (100, 360, 10)
    assert found.statistics == statistics
    assert len(np.unique(found.loss)) > 5


def test_lines_of_a_seed_are_the_axes_of_its_plane(files: dict[int, Path]) -> None:
    asked = LandscapeRequest(request(files[10]), "plane", resolution=5, images=60)
    plane, lines = compute(asked), compute(replace(asked, kind="line", lines=2))
    np.testing.assert_allclose(lines.loss[0], plane.loss[2], rtol=1e-5)
    np.testing.assert_allclose(lines.loss[1], plane.loss[:, 2], rtol=1e-5)
    other = compute(replace(asked, seed=1))
    assert not np.allclose(other.loss, plane.loss)


def test_a_line_between_checkpoints_has_them_at_its_ends(files: dict[int, Path]) -> None:
    asked = LandscapeRequest(
        request(files[10]), "between", resolution=13, images=80, other=str(files[0])
    )
    found = compute(asked)
    assert found.x[[2, 10]] == pytest.approx([0, 1])
    for column, epoch in ((2, 0), (10, 10)):
        loss, accuracy = own_loss(files[epoch], "digits-test", 80)
        assert found.loss[0, column] == pytest.approx(loss, rel=1e-4)
        assert found.accuracy[0, column] == pytest.approx(accuracy, abs=1e-6)
    chord = np.interp(found.x[2:11], [0, 1], found.loss[0][[2, 10]])
    assert barrier(found).value == pytest.approx(
        max(0, (found.loss[0][2:11] - chord).max()), rel=1e-5
    )
    assert np.isfinite(found.loss).all()  # variances do not go below zero beyond the ends


def test_half_way_all_tensors_are_the_mean(files: dict[int, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    one, two = load_file(files[0]), load_file(files[10])
    module = network()
    module.load_state_dict({k: (one[k] + two[k]) / 2 for k in one}, strict=False)
    middle = write(module, tmp_path / "middle.safetensors")
    asked = LandscapeRequest(
        request(files[10]), "between", resolution=13, images=80, other=str(files[0])
    )
    assert compute(asked).loss[0, 6] == pytest.approx(
        own_loss(middle, "digits-test", 80)[0], rel=1e-4
    )


def path_request(files: dict[int, Path], **more: object) -> LandscapeRequest:
    path = tuple((epoch, str(file)) for epoch, file in files.items())
    return LandscapeRequest(
        request(files[10]),
        "path",
        resolution=5,
        images=60,
        path=path,
        **more,  # type: ignore[arg-type]
    )


def test_the_path_of_a_run(files: dict[int, Path]) -> None:
    found = compute(path_request(files))
    path = found.path
    assert path is not None
    assert path.epochs.tolist() == list(EPOCHS)
    assert path.coordinates[-1] == pytest.approx([0, 0], abs=1e-5)
    for i, epoch in enumerate(EPOCHS):
        loss, accuracy = own_loss(files[epoch], "digits-test", 60)
        assert path.loss[i] == pytest.approx(loss, rel=1e-4)
        assert path.accuracy[i] == pytest.approx(accuracy, abs=1e-6)
    assert path.plane_loss[-1] == pytest.approx(path.loss[-1], rel=1e-5)
    assert found.centre_loss == pytest.approx(path.loss[-1], rel=1e-5)
    assert path.shares[:2].sum() == pytest.approx(1, abs=1e-3)  # a parabola lies in a plane
    assert path.distance == pytest.approx(np.zeros(4), abs=0.02)
    assert (found.x[0] < path.coordinates[:, 0]).all()
    assert (found.y[-1] > path.coordinates[:, 1]).all()
    assert highest(found).value == pytest.approx(found.loss.max())
    assert share_below(found, 1.0).value is None


def test_a_straight_run_gets_a_second_direction_and_says_so(tmp_path: Path) -> None:
    one, two = (network(seed).state_dict() for seed in (0, 1))
    files = {}
    for epoch, t in ((0, 0.0), (1, 0.5), (10, 1.0)):
        module = network()
        module.load_state_dict({k: (1 - t) * v + t * two[k] for k, v in one.items()}, strict=False)
        files[epoch] = write(module, tmp_path / f"{epoch}.safetensors")
    found = compute(path_request(files))
    assert found.path is not None
    assert found.path.shares[0] == pytest.approx(1, abs=1e-6)
    assert any("straight line" in text for text in found.warnings)
    assert found.path.coordinates[:, 1] == pytest.approx(np.zeros(3))


def test_results_are_kept_and_found_again(
    files: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = LandscapeRequest(request(files[10]), "line", resolution=3, images=20, lines=1)
    assert kept(asked) is None
    said: list[tuple[int, int, str]] = []
    first = compute(asked, progress=lambda *what: said.append(what))
    assert any(what.startswith("point 3 of 3, loss") for _, _, what in said)
    monkeypatch.setattr("core.landscape.compute._Run", None)
    again = compute(asked)
    np.testing.assert_array_equal(first.loss, again.loss)
    found = kept(asked)
    assert found is not None
    assert found.centre_loss == first.centre_loss
    for change in ({"seed": 1}, {"images": 21}, {"span": 0.5}, {"statistics": "measured"}):
        assert kept(replace(asked, **change)) is None


def test_rows_are_reported_and_a_cancelled_plane_is_not_kept(files: dict[int, Path]) -> None:
    asked = LandscapeRequest(request(files[10]), "plane", resolution=7, images=20)
    said: list[str] = []
    with pytest.raises(Cancelled):
        compute(
            asked,
            progress=lambda done, total, what: said.append(what),
            cancelled=lambda: any(what.startswith("row 2 of 7") for what in said),
        )
    assert kept(asked) is None
    assert any(what.startswith("row 1 of 7, loss ") for what in said)


def test_a_trial_forecasts_the_time(files: dict[int, Path]) -> None:
    found = trial(LandscapeRequest(request(files[10]), images=200))
    assert found.images == 360
    assert found.statistics
    assert found.parameters == 64 * 12 + 12 * 12 + 12 * 10
    assert 0 < found.seconds_per_image < 1
    assert found.seconds(100, 5000) == pytest.approx(
        found.opening + 100 * 360 * found.seconds_per_image
    )


# --- what is refused -----------------------------------------------------------------------------


def test_checkpoints_of_other_networks_are_refused(files: dict[int, Path], tmp_path: Path) -> None:
    wide = write(network(width=13), tmp_path / "wide.safetensors")
    tanh = write(network(activation="tanh"), tmp_path / "tanh.safetensors")
    for other, word in ((wide, "widths"), (tanh, "activation tanh instead of relu")):
        asked = LandscapeRequest(request(files[10]), "between", images=20, other=str(other))
        with pytest.raises(UserError, match=f"another network than .*{word}.*one architecture"):
            compute(asked)
    mixed = {0: files[0], 1: wide, 10: files[10]}
    with pytest.raises(UserError, match="one architecture"):
        compute(path_request(mixed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "cube"}, "no landscape 'cube'"),
        ({"resolution": 2}, "3 points"),
        ({"span": 0.0}, "the span is 0.0"),
        ({"kind": "between"}, "needs a second one"),
        (
            {"kind": "path", "path": ((0, "a"), (1, "b"))},
            "3 checkpoints or more, and this one has 2",
        ),
        ({"statistics": "guessed"}, "guessed"),
    ],
)
def test_requests_that_make_no_sense(
    files: dict[int, Path], change: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        compute(replace(LandscapeRequest(request(files[10])), **change))


def test_data_with_more_classes_than_outputs_are_refused(tmp_path: Path) -> None:
    from core.models.mlp import MLP

    file = write(MLP((1, 8, 8), (5,), 3), tmp_path / "three.safetensors")
    with pytest.raises(UserError, match="3 outputs and the data 10 classes"):
        compute(LandscapeRequest(request(file), images=50))


def test_a_run_that_did_not_move_has_no_path(tmp_path: Path) -> None:
    files = {e: write(network(), tmp_path / f"{e}.safetensors") for e in (0, 1, 10)}
    with pytest.raises(UserError, match="same weights"):
        compute(path_request(files))


# --- the numbers beneath -------------------------------------------------------------------------


def made(loss: np.ndarray, kind: str = "plane", x: np.ndarray | None = None) -> Landscape:
    rows, columns = loss.shape
    x = np.linspace(-1, 1, columns) if x is None else x
    return Landscape(
        kind, x, np.arange(rows), loss, np.zeros_like(loss), 0.1, 1.0, 10, 10, "d", 10, 5, 0.1,
        "cpu", "none",
    )  # fmt: skip


def test_numbers_of_a_bowl() -> None:
    x = np.linspace(-1, 1, 201)
    bowl = made(x[:, None] ** 2 + x**2)
    assert highest(bowl).value == pytest.approx(2)
    assert share_below(bowl, 0.25).value == pytest.approx(np.pi * 0.25 / 4, abs=0.01)
    assert barrier(bowl).value is None
    assert gaps(bowl) == 0
    assert chance(10) == pytest.approx(2.302585)


def test_gaps_count_as_above_and_hide_the_highest() -> None:
    loss = np.array([[0.1, np.nan], [0.2, 5.0]])
    assert share_below(made(loss), 1.0).value == pytest.approx(0.5)
    assert highest(made(loss)).value is None
    assert "not finite" in (highest(made(loss)).reason or "")
    assert gaps(made(loss)) == 1


def test_a_barrier_is_measured_from_the_straight_line() -> None:
    x = np.linspace(-0.25, 1.25, 25)
    hill = made((1 + x + 0.7 * np.sin(np.pi * x))[None], "between", x)
    assert barrier(hill).value == pytest.approx(0.7)
    assert barrier(made((1 + x + x**2)[None], "between", x)).value == pytest.approx(0)
    broken = hill.loss.copy()
    broken[0, 12] = np.nan
    assert barrier(replace(hill, loss=broken)).value is None

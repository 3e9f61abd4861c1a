"""The layer made of convolutional sparse coding: what it computes, by other means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso
from torch import Tensor, nn

from core.models.csc import MARGIN, CSC2d, Dictionary

MANY = 4000  # iterations after which nothing moves any more


def layer(
    channels: int = 2,
    atoms: int = 4,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    **more: object,
) -> CSC2d:
    """A layer in double precision with random atoms, in evaluation mode."""
    torch.manual_seed(0)
    return CSC2d(channels, atoms, kernel, stride, padding, **more).double().eval()


def images(count: int = 2, channels: int = 2, size: int = 6, seed: int = 1) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, size, size, generator=noise, dtype=torch.float64)


def matrix(csc: CSC2d, x: Tensor) -> np.ndarray:
    """A, column by column: what codes with a single 1 stand for. (d, p)"""
    a = csc.dictionary(x)
    shape = (len(a.atoms), *a.code_size())
    units = torch.eye(int(np.prod(shape)), dtype=x.dtype).reshape(-1, *shape)
    with torch.no_grad():
        return a.synthesis(units).flatten(1).T.numpy()


def lasso(a: np.ndarray, x: Tensor, lam: float, positive: bool = False) -> np.ndarray:
    """The same problem by coordinate descent; scikit-learn divides the square by the samples."""
    solver = Lasso(
        alpha=lam / len(a), fit_intercept=False, positive=positive, tol=1e-12, max_iter=200_000
    )
    return np.array([solver.fit(a, row).coef_ for row in x.flatten(1).numpy()])


def objective(a: np.ndarray, x: np.ndarray, z: np.ndarray, lam: float) -> float:
    return float(0.5 * np.sum((x - a @ z) ** 2) + lam * np.sum(np.abs(z)))


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize(
    ("stride", "padding", "size"), [(1, 1, 6), (2, 1, 6), (2, 0, 7), (1, 0, 5)]
)
def test_it_solves_the_lasso(stride: int, padding: int, size: int, nonnegative: bool) -> None:
    csc = layer(stride=stride, padding=padding, lam=0.3, iterations=MANY, nonnegative=nonnegative)
    x = images(size=size)
    with torch.no_grad():
        found = csc(x).flatten(1).numpy()
    a = matrix(csc, x)
    wanted = lasso(a, x, 0.3, nonnegative)
    for row, z, w in zip(x.flatten(1).numpy(), found, wanted, strict=True):
        assert objective(a, row, z, 0.3) <= objective(a, row, w, 0.3) + 1e-7
        # the code may be one of many where atoms depend on each other; the image never is
        np.testing.assert_allclose(a @ z, a @ w, atol=1e-4)
    if np.linalg.matrix_rank(a) == a.shape[1]:
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert not nonnegative or (found >= 0).all()


def test_a_code_that_is_unique_is_that_of_the_lasso_entry_by_entry() -> None:
    csc = layer(channels=3, atoms=4, kernel=3, stride=2, lam=0.2, iterations=MANY)
    x = images(3, channels=3)
    a = matrix(csc, x)
    assert np.linalg.matrix_rank(a) == a.shape[1] < a.shape[0]
    with torch.no_grad():
        np.testing.assert_allclose(csc(x).flatten(1).numpy(), lasso(a, x, 0.2), atol=1e-4)


def test_orthonormal_atoms_are_thresholded_at_once() -> None:
    csc = layer(channels=1, atoms=4, kernel=2, stride=2, padding=0, lam=0.4, iterations=60)
    haar = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
    csc.weight.data = 3.0 * torch.tensor(haar).reshape(4, 1, 2, 2)  # norms do not matter
    x = images(channels=1)
    seen = csc.dictionary(x).analysis(x)
    wanted = seen.sign() * (seen.abs() - 0.4).clamp_min(0)
    assert torch.allclose(csc(x), wanted, atol=1e-8)


# --- the map ----------------------------------------------------------------------------------


def test_its_codes_have_the_shape_of_a_convolutions_output() -> None:
    for kernel, stride, padding, size in ((3, 1, 1, 8), (5, 2, 2, 9), (3, 2, 1, 7), (1, 1, 0, 4)):
        x = torch.randn(2, 3, size, size)
        plain = nn.Conv2d(3, 5, kernel, stride, padding, bias=False)
        csc = CSC2d(3, 5, kernel, stride, padding)
        assert csc(x).shape == plain(x).shape
        assert {n: p.shape for n, p in csc.named_parameters()} == {
            n: p.shape for n, p in plain.named_parameters()
        }


def test_atoms_have_norm_one_whatever_the_weights() -> None:
    csc = layer()
    csc.weight.data *= torch.tensor([1e-3, 1.0, 5.0, 1e3]).reshape(-1, 1, 1, 1)
    norms = torch.linalg.vector_norm(csc.dictionary(images()).atoms.flatten(1), dim=1)
    assert torch.allclose(norms, torch.ones(4, dtype=torch.float64))


maps = st.tuples(
    st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(5, 10), st.integers(5, 10)
)


def some_map(kernel: int, stride: int, padding: int, size: tuple[int, int]) -> Dictionary:
    noise = torch.Generator().manual_seed(kernel + 10 * stride)
    atoms = torch.randn(3, 2, kernel, kernel, generator=noise, dtype=torch.float64)
    return Dictionary(atoms, stride, padding, size)


@settings(max_examples=60, deadline=None)
@given(maps)
def test_synthesis_is_the_transpose_of_analysis(drawn: tuple[int, int, int, int, int]) -> None:
    kernel, stride, padding, height, width = drawn
    assume(padding < kernel)
    a = some_map(kernel, stride, padding, (height, width))
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    z = torch.randn(1, 3, *a.code_size(), dtype=torch.float64)
    one, other = (a.analysis(x) * z).sum(), (x * a.synthesis(z)).sum()
    assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5), st.integers(2, 3), st.integers(0, 2), st.integers(2, 5))
def test_blocks_are_the_same_map(kernel: int, stride: int, padding: int, blocks: int) -> None:
    size = blocks * stride
    assume(padding < kernel <= size + 2 * padding)
    a = some_map(kernel, stride, padding, (size, size))
    same = a.in_blocks()
    assume(same is not None)
    x = torch.randn(2, 2, size, size, dtype=torch.float64)
    z = torch.randn(2, 3, *a.code_size(), dtype=torch.float64)
    unshuffled = nn.functional.pixel_unshuffle(x, stride)
    assert torch.allclose(same.analysis(unshuffled), a.analysis(x), atol=1e-10)
    assert torch.allclose(
        nn.functional.pixel_shuffle(same.synthesis(z), stride), a.synthesis(z), atol=1e-10
    )


def test_the_layers_of_the_bundled_networks_work_in_blocks() -> None:
    assert some_map(5, 2, 2, (32, 32)).in_blocks() is not None
    assert some_map(2, 2, 0, (8, 8)).in_blocks() is not None
    assert some_map(3, 2, 1, (8, 8)).in_blocks() is None  # it would have one code more a side
    assert some_map(3, 1, 1, (8, 8)).in_blocks() is None  # nothing to gain


# --- how it is found --------------------------------------------------------------------------


def trace(csc: CSC2d, x: Tensor) -> np.ndarray:
    """The objective after every iteration, (T, N)."""
    with torch.no_grad():
        return np.array([csc.objective(x, z).numpy() for z in csc.codes(x, keep=True)])


def ista(a: np.ndarray, x: np.ndarray, lam: float, step: float, iterations: int) -> np.ndarray:
    """The objective after every iteration of the plain method."""
    z, values = np.zeros(a.shape[1]), []
    for _ in range(iterations):
        z = z + step * a.T @ (x - a @ z)
        z = np.sign(z) * np.maximum(np.abs(z) - step * lam, 0)
        values.append(objective(a, x, z, lam))
    return np.array(values)


def test_the_objective_is_the_one_that_is_written_down() -> None:
    csc, x = layer(lam=0.3), images()
    z = csc(x).detach()
    wanted = [
        objective(matrix(csc, x), row, code, 0.3)
        for row, code in zip(x.flatten(1).numpy(), z.flatten(1).numpy(), strict=True)
    ]
    np.testing.assert_allclose(csc.objective(x, z).detach().numpy(), wanted, rtol=1e-12)


def test_the_objective_does_not_rise_once_it_has_converged() -> None:
    values = trace(layer(lam=0.3, iterations=1500), images())
    assert (np.diff(values[-300:], axis=0) <= 1e-9).all()
    assert (values[-1] <= values.min(0) + 1e-9).all()
    assert (values[0] > values[-1] + 1e-3).all()


def test_fista_is_where_ista_is_after_far_fewer_iterations() -> None:
    csc, x = layer(lam=0.02, iterations=400), images(1)
    a = matrix(csc, x)
    step = 1 / (MARGIN * np.linalg.norm(a, 2) ** 2)
    slow = ista(a, x.flatten().numpy(), 0.02, step, 400)
    fast = trace(csc, x)[:, 0]
    assert fast[0] == pytest.approx(slow[0], rel=1e-3)  # the first step is the same
    reached = int(np.flatnonzero(fast <= slow[-1])[0]) + 1
    assert reached < 400 / 4


def test_the_support_shrinks_as_lambda_grows_to_nothing() -> None:
    csc, x = layer(iterations=800), images(1)
    most = float(csc.dictionary(x).analysis(x).detach().abs().max())
    counts = []
    for lam in [*np.geomspace(0.01, 0.999, 12) * most, most * (1 + 1e-9), 2 * most]:
        csc.lam = float(lam)
        counts.append(int(torch.count_nonzero(csc(x))))
    assert counts[-2:] == [0, 0]
    assert counts[-3] == 1  # just below λ_max the entry that meets it is alone
    assert max(np.diff(counts)) <= 2  # an entry may come back, the trend is down
    assert counts[0] > 2 * counts[9] > 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", [True, False])
def test_the_step_is_at_most_what_fista_allows(seed: int, mode: bool) -> None:
    torch.manual_seed(seed)
    csc = CSC2d(3, 6, 3, 1, 1).double().train(mode)
    x = images(1, channels=3, size=7, seed=seed)
    exact = np.linalg.norm(matrix(csc, x), 2) ** 2
    used = csc._largest(x, csc.dictionary(x))
    assert 0.999 * exact <= used <= MARGIN * exact * (1 + 1e-9)


# --- gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("nonnegative", [False, True])
def test_gradient_of_the_image(nonnegative: bool) -> None:
    csc = layer(stride=2, lam=0.1, iterations=5, nonnegative=nonnegative)
    x = images(1).requires_grad_()
    assert torch.autograd.gradcheck(csc, (x,), eps=1e-6, atol=1e-5)


def test_gradient_of_the_atoms_at_convergence() -> None:
    csc = layer(channels=2, atoms=2, kernel=2, padding=0, lam=0.1, iterations=300)
    x = images(1, size=4)
    direction = torch.randn(csc(x).shape, generator=torch.Generator().manual_seed(3)).double()

    def loss(weight: Tensor) -> Tensor:
        return (torch.func.functional_call(csc, {"weight": weight}, (x,)) * direction).sum()

    weight = csc.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (weight,), eps=1e-6, atol=1e-5)


# --- what can be turned -----------------------------------------------------------------------


def test_lambda_and_iterations_are_turned_after_training() -> None:
    trained, x = layer(lam=0.1, iterations=4), images()
    before = trained(x)
    trained.lam, trained.iterations = 0.6, 25
    fresh = layer(lam=0.6, iterations=25)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(trained(x), fresh(x))
    assert not torch.equal(trained(x), before)
    assert len(trained.codes(x, keep=True)) == 25
    assert torch.equal(trained.codes(x, keep=True)[-1], trained(x))


@pytest.mark.parametrize("nonnegative", [False, True])
def test_lambda_by_sample_is_one_after_the_other(nonnegative: bool) -> None:
    csc, x = layer(nonnegative=nonnegative, iterations=20), images(3)
    alone = []
    lams = (0.05, 0.3, 2.0)
    for i, lam in enumerate(lams):
        csc.lam = lam
        alone.append((csc(x[i : i + 1]), csc.objective(x[i : i + 1], csc(x[i : i + 1]))))
    csc.lam = torch.tensor(lams)
    together = csc(x)
    # float32 λ
    assert torch.allclose(together, torch.cat([z for z, _ in alone]), atol=1e-6)
    wanted = torch.cat([v for _, v in alone])
    assert torch.allclose(csc.objective(x, together), wanted, atol=1e-5)


def test_the_error_is_what_the_code_leaves_over() -> None:
    csc, x = layer(lam=0.3), images()
    a, z = matrix(csc, x), csc(x).detach()
    left = x.flatten(1).numpy() - z.flatten(1).numpy() @ a.T
    np.testing.assert_allclose(
        csc.error(x, z).detach().numpy(), np.sqrt((left**2).mean(1)), rtol=1e-10
    )
    csc.lam = 1e6
    rms = x.square().flatten(1).mean(1).sqrt()
    assert torch.allclose(csc.error(x, csc(x)), rms)


# --- in training ------------------------------------------------------------------------------


def step(csc: CSC2d, x: Tensor, seed: int) -> None:
    """One step of training."""
    csc.zero_grad()
    csc(x + seed).square().mean().backward()
    with torch.no_grad():
        csc.weight -= 0.1 * csc.weight.grad


def test_an_epoch_does_not_depend_on_the_one_before() -> None:
    went_on, x = layer(), images()
    went_on.train()
    for seed in range(3):
        step(went_on, x, seed)
    went_on.train()  # the next epoch begins
    stopped = layer()
    stopped.load_state_dict(went_on.state_dict())
    stopped.train()
    for seed in range(3):
        step(went_on, x, seed)
        step(stopped, x, seed)
    assert torch.equal(went_on.weight, stopped.weight)


def test_training_and_evaluation_give_nearly_the_same_code() -> None:
    csc, x = layer(lam=0.1, iterations=4), images()
    evaluated = csc(x)
    csc.train()
    assert torch.allclose(csc(x), evaluated, atol=0.02 * float(evaluated.detach().abs().max()))
    csc.eval()
    assert torch.equal(csc(x), evaluated)  # whatever training had done to the power method


def test_evaluation_sees_weights_that_have_changed() -> None:
    csc, x = layer(), images()
    before = csc(x)
    csc.weight.data.copy_(torch.randn(csc.weight.shape, generator=torch.Generator().manual_seed(7)))
    fresh = layer()
    fresh.load_state_dict(csc.state_dict())
    assert torch.equal(csc(x), fresh(x))
    assert not torch.allclose(csc(x), before)


# --- stability --------------------------------------------------------------------------------


def spikes_and_waves() -> Tensor:
    """128 atoms of 8×8 pixels: single pixels, and Walsh functions. Coherence 1/8."""
    h = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    line = torch.kron(h, torch.kron(h, h))
    waves = torch.einsum("ia,jb->ijab", line, line).reshape(64, 1, 8, 8) / 8
    return torch.cat([torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8), waves])


def test_the_stability_theorem() -> None:
    """Papyan, Sulam and Elad 2017, theorem 19: with fewer than ⅓(1 + 1/μ) = 3 non-zeros wherever
    one looks and λ = 4‖e‖ (the largest in any patch), no false atom and an error of at most
    7.5‖e‖."""
    csc = CSC2d(1, 128, 8, 8, 0, iterations=600).double().eval()
    csc.weight.data = spikes_and_waves()
    rng = np.random.default_rng(0)
    truth = torch.zeros(1, 128, 2, 2, dtype=torch.float64)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for atom in rng.choice(128, 2, replace=False):
            truth[0, atom, i, j] = rng.choice([-1, 1]) * rng.uniform(1, 2)
    a = csc.dictionary(torch.zeros(1, 1, 16, 16, dtype=torch.float64))
    clean = a.synthesis(truth)
    noise = torch.tensor(rng.standard_normal((1, 1, 16, 16)))
    noise /= max(float(noise[..., i : i + 8, j : j + 8].norm()) for i in (0, 8) for j in (0, 8))
    errors = []
    sizes = (0.01, 0.02, 0.04, 0.08)
    for size in sizes:
        csc.lam = 4 * size
        z = csc(clean + size * noise).detach()
        assert not torch.count_nonzero(z[truth == 0])
        assert torch.count_nonzero(z) == 8  # all of them are larger than 7.5‖e‖
        errors.append(float((z - truth).abs().max()))
        assert errors[-1] <= 7.5 * size
    np.testing.assert_allclose(np.array(errors) / sizes, errors[0] / sizes[0], rtol=0.02)
    csc.lam = 0.05 * sizes[-1]  # far too small: the noise gets atoms of its own
    assert torch.count_nonzero(csc(clean + sizes[-1] * noise)[truth == 0])

"""Sparse coding without torch: closed forms, scikit-learn, naive code, what must always hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy.fft import dctn
from scipy.signal import correlate
from sklearn.linear_model import Lasso

from core.errors import UserError
from core.theory.dictionaries import (
    MARGIN,
    Atoms,
    Convolution,
    Matrix,
    coherence,
    cosines,
    explicit,
    from_blocks,
    gaussian,
    learned,
    spikes_and_waves,
    squared_norm,
    to_blocks,
    unit,
)
from core.theory.sparse_coding import (
    analysis_code,
    decoded,
    duality_gap,
    largest_lambda,
    path,
    soft,
    solve,
    stability,
    value,
)

RNG = np.random.default_rng(0)
SHAPE = Atoms("", np.zeros((6, 3, 5, 5)), 2, 2)


def signals(a: Convolution | Matrix, count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *a.signal_shape))


def matrices(max_rows: int = 8, max_columns: int = 12) -> st.SearchStrategy[Matrix]:
    """Random matrices with columns of norm 1."""

    def made(seed: int, rows: int, columns: int) -> Matrix:
        values = np.random.default_rng(seed).standard_normal((rows, columns))
        return Matrix(values / np.linalg.norm(values, axis=0))

    return st.builds(
        made, st.integers(0, 999), st.integers(2, max_rows), st.integers(2, max_columns)
    )


# --- the map ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(2, 5), st.integers(1, 3)
)
def test_the_map_is_a_strided_correlation_with_padding(
    kernel: int, stride: int, padding: int, blocks: int, channels: int
) -> None:
    size = blocks * stride
    assume(padding < kernel <= size + 2 * padding)
    rng = np.random.default_rng(kernel)
    values = rng.standard_normal((3, channels, kernel, kernel))
    a = Convolution(Atoms("", values, stride, padding), (size, size))
    image = rng.standard_normal((1, channels, size, size))
    wide = np.pad(image[0], ((0, 0), (padding, padding), (padding, padding)))
    wanted = [correlate(wide, w, "valid")[0, ::stride, ::stride] for w in values]
    seen = a.analysis(to_blocks(image, stride))
    np.testing.assert_allclose(seen[0].transpose(2, 0, 1), wanted, atol=1e-10)
    z = rng.standard_normal((1, *a.code_shape))
    one = np.sum(seen * z)
    other = np.sum(to_blocks(image, stride) * a.synthesis(z))
    assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


def test_blocks_come_back() -> None:
    image = RNG.standard_normal((2, 3, 6, 8))
    np.testing.assert_array_equal(from_blocks(to_blocks(image, 2), 2), image)
    # the pixels of one block are the channels of one place
    np.testing.assert_array_equal(
        np.sort(to_blocks(image, 2)[0, 1, 2]), np.sort(image[0, :, 2:4, 4:6].ravel())
    )


def test_it_is_the_map_of_the_layer() -> None:
    torch = pytest.importorskip("torch")
    from core.models.csc import CSC2d

    layer = CSC2d(3, 6, 5, 2, 2, lam=0.3, iterations=30).double().eval()
    atoms = Atoms("", unit(layer.weight.detach().numpy()), 2, 2)
    a = Convolution(atoms, (8, 8))
    image = RNG.standard_normal((2, 3, 8, 8))
    step = 1 / layer._largest(torch.tensor(image), layer.dictionary(torch.tensor(image)))
    x = to_blocks(image, 2)
    # the layer's momentum starts after its first step
    first = solve(a, x, 0.3, 1, step=step).codes
    found = solve(a, x, 0.3, 29, step=step, start=first)
    wanted = layer(torch.tensor(image)).detach().numpy()
    np.testing.assert_allclose(found.codes.transpose(0, 3, 1, 2), wanted, atol=1e-8)


def test_the_explicit_matrix_and_its_norm() -> None:
    a = Convolution(gaussian(SHAPE), (8, 8))
    columns = explicit(a)
    x = signals(a, 1)
    np.testing.assert_allclose(columns.T @ x.ravel(), a.analysis(x).ravel(), atol=1e-10)
    exact = np.linalg.norm(columns, 2) ** 2
    assert exact / MARGIN < squared_norm(a) <= exact * (1 + 1e-9)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="stride of 2"):
        Convolution(gaussian(SHAPE), (7, 8))
    with pytest.raises(UserError, match="padding 3"):
        Convolution(Atoms("", np.ones((1, 1, 2, 2)), 1, 3), (4, 4))


# --- dictionaries -----------------------------------------------------------------------------


@pytest.mark.parametrize("like", [SHAPE, Atoms("", np.zeros((16, 1, 3, 3)), 1, 1)])
def test_atoms_have_norm_one_and_the_shape_of_the_networks(like: Atoms) -> None:
    for atoms in (cosines(like), gaussian(like)):
        assert atoms.values.shape == like.values.shape
        np.testing.assert_allclose(np.linalg.norm(atoms.values.reshape(len(atoms), -1), axis=1), 1)
        assert (atoms.stride, atoms.padding) == (like.stride, like.padding)
    np.testing.assert_array_equal(gaussian(like, 3).values, gaussian(like, 3).values)
    assert not np.array_equal(gaussian(like, 3).values, gaussian(like, 4).values)


def test_cosines_are_waves_the_lowest_first() -> None:
    grey = cosines(Atoms("", np.zeros((16, 1, 3, 3)), 1, 1)).values
    np.testing.assert_allclose(grey[0], 1 / 3)
    np.testing.assert_allclose(grey[1:].sum((1, 2, 3)), 0, atol=1e-12)  # all but one have no mean
    assert len(grey) > 9  # overcomplete
    tinted = cosines(Atoms("", np.zeros((24, 3, 5, 5)), 2, 2)).values
    assert all(np.ptp(v, axis=0).max() < 1e-12 for v in tinted[:18])  # grey
    np.testing.assert_allclose(tinted[18:].sum(1), 0, atol=1e-12)  # differences of colours
    # an orthonormal cosine transform has energy where the atom's frequency is
    energy = np.abs(dctn(tinted[1, 0], norm="ortho"))
    assert energy[0, 1] == energy.max() or energy[1, 0] == energy.max()


def test_coherence_is_the_largest_product_anywhere() -> None:
    for like in (SHAPE, Atoms("", np.zeros((4, 1, 3, 3)), 1, 1)):
        atoms = gaussian(like, 1)
        # without padding, so that every atom is whole
        side = 6 * atoms.values.shape[-1] // atoms.stride * atoms.stride
        columns = explicit(Convolution(Atoms("", atoms.values, atoms.stride, 0), (side, side)))
        gram = np.abs(columns.T @ columns) - np.eye(columns.shape[1])
        assert coherence(atoms) == pytest.approx(gram.max(), rel=1e-10)


def test_spikes_and_waves_are_two_orthonormal_bases() -> None:
    a = spikes_and_waves(64).columns
    np.testing.assert_allclose(a[:, :64].T @ a[:, :64], np.eye(64))
    np.testing.assert_allclose(a[:, 64:].T @ a[:, 64:], np.eye(64), atol=1e-12)
    np.testing.assert_allclose(np.abs(a[:, :64].T @ a[:, 64:]), 1 / 8)


def test_atoms_are_read_from_a_checkpoint(tmp_path: Path) -> None:
    weight = RNG.standard_normal((4, 3, 5, 5)).astype(np.float32)
    told = {"architecture": "sdnet", "stem_stride": "2", "mean": "0.5,0.4,0.3", "std": "1,2,4"}
    file = tmp_path / "epoch_00001.safetensors"
    save_file({"conv1.weight": weight}, file, told)
    atoms = learned(file)
    np.testing.assert_allclose(atoms.values, unit(weight.astype(np.float64)))
    assert (atoms.stride, atoms.padding) == (2, 2)
    assert (atoms.mean, atoms.std) == ((0.5, 0.4, 0.3), (1, 2, 4))


def test_a_file_without_atoms_is_named(tmp_path: Path) -> None:
    weight = {"conv1.weight": np.ones((2, 1, 3, 3), np.float32)}
    cases = {
        "plain": (weight, {"architecture": "resnet"}),
        "other": ({"w": np.ones(3, np.float32)}, {"architecture": "sdnet"}),
        "numbers": (weight, {"architecture": "sdnet", "mean": "zero"}),
        "channels": (weight, {"architecture": "sdnet", "mean": "0,0,0"}),
        "stride": (weight, {"architecture": "sdnet", "stem_stride": "9"}),
        "spread": (weight, {"architecture": "sdnet", "std": "0"}),
        "oblong": ({"conv1.weight": np.ones((2, 1, 3, 4), np.float32)}, {"architecture": "sdnet"}),
        "huge": ({"conv1.weight": np.ones((9000, 1, 3, 3), np.float32)}, {"architecture": "sdnet"}),
        "nan": ({"conv1.weight": np.full((2, 1, 3, 3), np.nan)}, {"architecture": "sdnet"}),
    }
    for name, (tensors, told) in cases.items():
        save_file(tensors, tmp_path / name, told)
        with pytest.raises(UserError, match=name):
            learned(tmp_path / name)
    (tmp_path / "text").write_text("no tensors")
    for name in ("text", "missing"):
        with pytest.raises(UserError, match=name):
            learned(tmp_path / name)


# --- the code ---------------------------------------------------------------------------------


def lasso(a: np.ndarray, x: np.ndarray, lam: float, positive: bool = False) -> np.ndarray:
    solver = Lasso(
        alpha=lam / len(a), fit_intercept=False, positive=positive, tol=1e-12, max_iter=200_000
    )
    return solver.fit(a, x).coef_


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_it_is_the_lasso(shape: tuple[int, int], positive: bool) -> None:
    a = np.random.default_rng(2).standard_normal(shape)
    a /= np.linalg.norm(a, axis=0)
    x = np.random.default_rng(3).standard_normal((3, shape[0]))
    lams = np.array([0.1, 0.3, 0.8])
    found = solve(Matrix(a), x, lams, 3000, nonnegative=positive)
    for row, z, lam in zip(x, found.codes, lams, strict=True):
        np.testing.assert_allclose(z, lasso(a, row, lam, positive), atol=1e-4)
    assert (duality_gap(Matrix(a), x, found.codes, lams, positive) < 1e-8).all()


def test_orthonormal_atoms_are_thresholded() -> None:
    a = np.linalg.qr(RNG.standard_normal((9, 9)))[0]
    x = RNG.standard_normal((2, 9))
    for positive in (False, True):
        found = solve(Matrix(a), x, 0.4, 200, nonnegative=positive)
        wanted = x @ a
        wanted = (
            np.maximum(wanted - 0.4, 0)
            if positive
            else np.sign(wanted) * np.maximum(np.abs(wanted) - 0.4, 0)
        )
        np.testing.assert_allclose(found.codes, wanted, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(0, 3))
def test_the_threshold_is_the_proximal_map(entries: list[float], threshold: float) -> None:
    """soft(v) minimises ½(z − v)² + threshold·|z|: no grid point is better."""
    v = np.array(entries)
    z = soft(v, threshold)
    grid = np.linspace(-6, 6, 601)[:, None]
    cost = 0.5 * (grid - v) ** 2 + threshold * np.abs(grid)
    assert (0.5 * (z - v) ** 2 + threshold * np.abs(z) <= cost.min(0) + 1e-9).all()
    positive = soft(v, threshold, nonnegative=True)
    assert (positive >= 0).all()
    np.testing.assert_allclose(positive, np.maximum(z, 0))


@settings(max_examples=30, deadline=None)
@given(matrices(), st.integers(0, 99), st.booleans())
def test_the_code_is_empty_from_the_largest_lambda_on(a: Matrix, seed: int, positive: bool) -> None:
    x = signals(a, 1, seed)
    most = largest_lambda(a, x, positive)
    seen = (x @ a.columns)[0]
    assert most[0] == pytest.approx(max(seen.max(), 0) if positive else np.abs(seen).max())
    assert not solve(a, x, most * (1 + 1e-9), 50, nonnegative=positive).codes.any()
    assume(most[0] > 0.1)
    assert solve(a, x, 0.9 * most, 50, nonnegative=positive).codes.any()


@settings(max_examples=12, deadline=None)
@given(matrices(), st.integers(0, 99), st.floats(0.02, 1))
def test_the_gap_bounds_the_distance_to_the_optimum(a: Matrix, seed: int, lam: float) -> None:
    x = signals(a, 1, seed)
    rough = solve(a, x, lam, 5)
    best = solve(a, x, lam, 1500, restart=True)
    off = rough.objective[-1, 0] - best.objective[-1, 0]
    assert -1e-9 <= off <= duality_gap(a, x, rough.codes, lam)[0] + 1e-9


@settings(max_examples=8, deadline=None)
@given(matrices(), st.integers(0, 99))
def test_a_larger_lambda_gives_a_smaller_norm_and_a_larger_misfit(a: Matrix, seed: int) -> None:
    x = np.repeat(signals(a, 1, seed), 6, axis=0)
    lams = np.geomspace(0.02, 2, 6)
    found = solve(a, x, lams, 1500, restart=True)
    assert (np.diff(np.abs(found.codes).sum(1)) <= 1e-6).all()
    assert (np.diff(np.square(x - found.images).sum(1)) >= -1e-6).all()


def naive(
    a: np.ndarray, x: np.ndarray, lam: float, step: float, count: int, fast: bool
) -> list[tuple[np.ndarray, float]]:
    """Codes and objectives by the formulas of Beck and Teboulle, 4.1 to 4.3, one after another."""
    z = y = np.zeros(a.shape[1])
    t, made = 1.0, []
    for _ in range(count):
        v = y - step * a.T @ (a @ y - x)
        new = np.sign(v) * np.maximum(np.abs(v) - step * lam, 0)
        after = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y = new + (t - 1) / after * (new - z) if fast else new
        z, t = new, after
        made.append((z, 0.5 * np.sum((x - a @ z) ** 2) + lam * np.abs(z).sum()))
    return made


def test_both_methods_follow_their_formulas() -> None:
    a = Convolution(gaussian(SHAPE), (8, 8))
    x = np.repeat(signals(a, 1), 2, axis=0)
    step = 1 / (MARGIN * squared_norm(a))
    found = solve(a, x, 0.05, 30, accelerated=np.array([True, False]), keep=3)
    for row, fast in enumerate((True, False)):
        wanted = naive(explicit(a), x[0].ravel(), 0.05, step, 30, fast)
        np.testing.assert_allclose(found.codes[row].ravel(), wanted[-1][0], atol=1e-10)
        np.testing.assert_allclose(found.objective[:, row], [v for _, v in wanted], rtol=1e-10)
        shares = [np.count_nonzero(z) / z.size for z, _ in wanted]
        np.testing.assert_allclose(found.nonzero[:, row], shares)
        for (code, image), (z, _) in zip(found.kept, wanted, strict=False):
            np.testing.assert_allclose(code[row].ravel(), z, atol=1e-12)
            np.testing.assert_allclose(image[row].ravel(), explicit(a) @ z, atol=1e-10)


def test_both_methods_keep_what_their_theorems_promise() -> None:
    a = Convolution(gaussian(Atoms("", np.zeros((24, 3, 5, 5)), 2, 2)), (8, 8))
    x = np.repeat(signals(a, 1), 2, axis=0)
    length = MARGIN * squared_norm(a)
    best = solve(a, x[:1], 0.05, 5000, restart=True)
    assert duality_gap(a, x[:1], best.codes, 0.05)[0] < 1e-6
    found = solve(a, x, 0.05, 300, accelerated=np.array([True, False]))
    gaps = found.objective - best.objective[-1, 0]
    steps = np.arange(1, 301)
    distance = np.square(best.codes).sum()
    assert (gaps[:, 0] <= 2 * length * distance / (steps + 1) ** 2).all()
    assert (gaps[:, 1] <= length * distance / (2 * steps)).all()
    assert (np.diff(gaps[:, 1]) <= 1e-12).all()  # ISTA never rises
    assert int(np.flatnonzero(gaps[:, 0] <= gaps[-1, 1])[0]) < 100


def test_a_path_ends_where_a_long_search_from_zero_does() -> None:
    a = Convolution(gaussian(SHAPE), (8, 8))
    x = signals(a, 3)
    lams = np.array([0.2, 2.0, 0.5, 1.0])
    step = 1 / (MARGIN * squared_norm(a))
    codes, images = path(a, x, lams, step, [200, 150, 200, 200])
    for i, lam in enumerate(lams):
        best = solve(a, x, float(lam), 3000, restart=True)
        reached = value(x, images[i], codes[i], lam)
        np.testing.assert_allclose(reached, best.objective[-1], rtol=1e-4)
        np.testing.assert_allclose(images[i], a.synthesis(codes[i]), atol=1e-10)


# --- the analysis model -----------------------------------------------------------------------


def test_the_analysis_code_is_read_back_by_the_pseudo_inverse() -> None:
    a = Convolution(gaussian(SHAPE), (6, 6))
    x = signals(a, 2)
    columns = explicit(a)
    z = analysis_code(a, x, np.array([0.1, 0.5]))
    for row, lam in enumerate((0.1, 0.5)):
        seen = columns.T @ x[row].ravel()
        code = np.sign(seen) * np.maximum(np.abs(seen) - lam, 0)
        np.testing.assert_allclose(z[row].ravel(), code, atol=1e-12)
        image = np.linalg.lstsq(columns.T, code, rcond=None)[0]
        image *= image @ x[row].ravel() / (image @ image)
        np.testing.assert_allclose(decoded(a, z, x, 400)[row].ravel(), image, atol=1e-5)


def test_without_a_threshold_nothing_is_lost() -> None:
    a = Matrix(np.linalg.qr(RNG.standard_normal((12, 8)))[0].T)  # 8 rows, 12 atoms, a tight frame
    x = signals(a)
    np.testing.assert_allclose(decoded(a, analysis_code(a, x, 0.0), x), x, atol=1e-10)
    assert not decoded(a, np.zeros((2, 12)), x).any()


# --- stability --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_theorem_holds_where_it_says_so(seed: int) -> None:
    noise = np.array([0.01, 0.03, 0.1])
    found = stability(spikes_and_waves(), 1 / 16, noise, draws=3, seed=seed)
    assert found.nonzeros < found.allowed == pytest.approx(17 / 3)
    assert found.inside.all()
    assert (found.error <= found.constant * noise[:, None]).all()
    assert found.constant <= 7.5
    assert (found.found == 1).all()  # 7.5‖e‖ < 1, the smallest entry
    slopes = found.error / noise[:, None]
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[:1], slopes.shape), rtol=0.02)


def test_the_constant_is_the_theorems_at_the_most_non_zeros() -> None:
    found = stability(spikes_and_waves(64), 1 / 8, np.array([0.1]), nonzeros=3, draws=1)
    assert found.constant == pytest.approx(5 / (1 - 2 / 8))
    assert found.allowed == pytest.approx(3.0)  # fewer than 3: the constant there is below 7.5
    assert found.size == (64, 128)


def test_outside_the_theorem_the_support_breaks_out_and_entries_drown() -> None:
    crowded = stability(spikes_and_waves(), 1 / 16, np.array([0.1]), nonzeros=5, factor=0.1)
    assert not crowded.inside.all()
    loud = stability(spikes_and_waves(), 1 / 16, np.array([2.0]))
    assert not loud.found.any()
    same = stability(spikes_and_waves(), 1 / 16, np.array([0.1]), nonzeros=5, factor=0.1)
    np.testing.assert_array_equal(same.error, crowded.error)


def test_numpy_is_all_that_it_needs(repo: Path) -> None:
    code = (
        "import sys, core.theory.sparse_coding, core.theory.dictionaries, core.sparse_lab; "
        "print(sorted({'torch', 'scipy', 'sklearn', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("[]", "['PIL']")

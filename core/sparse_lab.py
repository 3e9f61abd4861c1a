"""What the page Sparse coding asks for: one patch in one dictionary, and what λ and noise do.

Quick enough to follow a slider, so the page calls it directly. Pages import this module: numpy
alone; Pillow and scikit-learn are imported when images are first read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from core import library
from core.data.opening import open_dataset
from core.errors import UserError
from core.figures.theme import number, significant
from core.theory.dictionaries import (
    MARGIN,
    Atoms,
    Convolution,
    coherence,
    cosines,
    from_blocks,
    gaussian,
    learned,
    spikes_and_waves,
    squared_norm,
    to_blocks,
)
from core.theory.sparse_coding import (
    Stability,
    analysis_code,
    decoded,
    duality_gap,
    largest_lambda,
    path,
    solve,
    stability,
    value,
)

LAMBDAS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
NOISES = (0.0, 0.1, 0.2, 0.4, 0.8)
ITERATIONS = 100  # of FISTA and ISTA in the figure
POLISH = 60  # more iterations, for the optimum …
MOST_POLISH = 3  # … and again, until it is known to
CLOSE = 0.005  # of itself
MIN_TILE = 96  # pixels of a picture's longer side, at least
LAYERS = 20  # that can be looked at one by one
SEED = 0
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # λ/‖e‖ of the stability experiment
NOISE_NORMS = tuple(float(v) for v in np.round(np.geomspace(0.01, 0.4, 8), 4))
DICTIONARIES = {"learned": "learned by SDNet", "cosines": "cosines (DCT)", "random": "random"}
_CROP = 16  # pixels a side of a CIFAR-10 patch, from the centre
_RUNS = {"cifar10": "cifar-sdnet", "digits-test": "digits-sdnet"}
# the shape of the bundled networks' first layers, for when they are not there
_SHAPES = {
    "cifar10": Atoms(
        "", np.zeros((24, 3, 5, 5)), 2, 2, (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    ),
    "digits-test": Atoms("", np.zeros((16, 1, 3, 3)), 1, 1),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a patch is cut from: image ``index`` of a bundled data set."""

    title: str
    data: str
    index: int


PATCHES = {
    "dog": Source("dog", "cifar10", 1001),
    "car": Source("car", "cifar10", 204),
    "bird": Source("bird", "cifar10", 403),
    "cat": Source("cat", "cifar10", 603),
    "ship": Source("ship", "cifar10", 1604),
    "truck": Source("truck", "cifar10", 1802),
    "digit-3": Source("digit 3", "digits-test", 3),
    "digit-8": Source("digit 8", "digits-test", 8),
}


@dataclass(frozen=True, slots=True)
class LabRequest:
    """Everything that the page lets one choose. ``checkpoint`` is a learned dictionary's file and
    ``changed`` when it was written; both are empty for other dictionaries."""

    patch: str
    dictionary: str
    lam: float = 0.2
    noise: float = 0.2  # standard deviation, in units of the network's input x
    nonnegative: bool = False
    checkpoint: str = ""
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Sweep:
    """The code of one patch for every λ of LAMBDAS and every noise of NOISES (rows)."""

    error: np.ndarray  # (m, L) root mean square of A z − x without noise
    nonzero: np.ndarray  # (m, L) share
    lam_max: np.ndarray  # (m,)

    @property
    def best(self) -> tuple[int, ...]:
        """Position in LAMBDAS of the least error, for every noise."""
        return tuple(int(i) for i in self.error.argmin(1))


@dataclass(frozen=True, slots=True)
class Models:
    """Synthesis and analysis side by side at one noise, for every λ of LAMBDAS."""

    synthesis_nonzero: np.ndarray  # (L,) share
    synthesis_error: np.ndarray  # (L,) root mean square to the patch without noise
    analysis_nonzero: np.ndarray
    analysis_error: np.ndarray


@dataclass(frozen=True, slots=True)
class Layer:
    """What the network has after one layer of FISTA."""

    code: np.ndarray  # (p, H', W')
    picture: np.ndarray  # (H, W, C) of A z, pixels in [0, 1]
    objective: float
    nonzero: float  # share


@dataclass(frozen=True, slots=True)
class LabResult:
    """One patch, coded. Pictures are (H, W, C) with pixels in [0, 1]; errors are root mean squares
    in units of x."""

    request: LabRequest
    atoms: Atoms
    clean: np.ndarray
    noisy: np.ndarray
    reconstruction: np.ndarray
    residual: np.ndarray  # grey is zero
    analysis_picture: np.ndarray
    code: np.ndarray  # (p, H', W')
    analysis: np.ndarray  # (p, H', W')
    lam_max: float
    error: float  # of A z to the patch without noise
    analysis_error: float
    misfit: float  # of A z to the noisy patch
    objective: np.ndarray  # (T, 2), FISTA and ISTA
    nonzero: np.ndarray  # (T, 2), share
    optimum: float  # the least objective found
    optimum_gap: float  # it is at most this far above the true one
    lipschitz: float  # L, one over the step
    layers: tuple[Layer, ...]

    @property
    def share(self) -> float:
        """Share of the code that is not zero."""
        return np.count_nonzero(self.code) / self.code.size

    @property
    def analysis_share(self) -> float:
        return np.count_nonzero(self.analysis) / self.analysis.size

    @property
    def catch_up(self) -> int | None:
        """The iteration at which FISTA is as low as ISTA at its last; None where it never is."""
        reached = np.flatnonzero(self.objective[:, 0] <= self.objective[-1, 1] * (1 + 1e-12))
        return int(reached[0]) + 1 if len(reached) else None


# --- patches and dictionaries -----------------------------------------------------------------


def dictionary_file(patch: str) -> tuple[str, int]:
    """The checkpoint whose atoms fit a patch, and when it was written; UserError where there is
    none."""
    name = _RUNS[_source(patch).data]
    run = library.find(name)
    file = run.checkpoint_path(None) if run is not None and run.checkpoints else None
    if file is None or not file.is_file():
        raise UserError(
            f"the run {name} is not on this server, so there are no learned atoms for this patch: "
            f"train it with make runs RUNS={name}, or choose another dictionary"
        )
    return str(file), file.stat().st_mtime_ns


def _source(patch: str) -> Source:
    if patch not in PATCHES:
        raise UserError(f"there is no patch {patch}: choose one of {', '.join(PATCHES)}")
    return PATCHES[patch]


@lru_cache(maxsize=32)
def pixels(patch: str) -> np.ndarray:
    """The patch (H, W, C), pixels in [0, 1]: the centre of a CIFAR-10 image, a digit as a whole."""
    source = _source(patch)
    image = open_dataset(source.data).image(source.index)
    image = image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)
    top, left = (max(0, (side - _CROP) // 2) for side in image.shape[:2])
    return image[top : top + _CROP, left : left + _CROP]


@lru_cache(maxsize=32)
def atoms_of(patch: str, dictionary: str, checkpoint: str = "", changed: int = 0) -> Atoms:
    """The atoms of a dictionary, in the number and shape of the network's that fits the patch.

    UserError for another name, or atoms that do not fit.
    """
    like = _SHAPES[_source(patch).data]
    if dictionary == "learned":
        from pathlib import Path

        made = learned(Path(checkpoint), DICTIONARIES["learned"])
        if made.values.shape[1] != like.values.shape[1]:
            raise UserError(
                f"these atoms have {made.values.shape[1]} channels and the patch "
                f"{like.values.shape[1]}: choose another patch"
            )
        return made
    if dictionary == "cosines":
        return cosines(like)
    if dictionary == "random":
        return gaussian(like, SEED)
    raise UserError(f"there is no dictionary {dictionary}: choose {', '.join(DICTIONARIES)}")


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """One patch in one dictionary, ready to be coded."""

    atoms: Atoms
    a: Convolution
    single: Convolution  # the same in float32
    step: float
    clean: np.ndarray  # (1, *signal_shape)
    noise: np.ndarray  # the same shape, standard deviation 1

    def picture(self, signal: np.ndarray) -> np.ndarray:
        """A signal (*signal_shape) as pixels (H, W, C), clipped to [0, 1]."""
        image = from_blocks(signal[None], self.a.stride)[0].transpose(1, 2, 0)
        return np.clip(image * self.atoms.std + self.atoms.mean, 0.0, 1.0)


@lru_cache(maxsize=16)
def _setting(patch: str, dictionary: str, checkpoint: str, changed: int) -> _Setting:
    atoms = atoms_of(patch, dictionary, checkpoint, changed)
    shown = pixels(patch)
    image = ((shown - atoms.mean) / atoms.std).transpose(2, 0, 1)[None]
    a = Convolution(atoms, image.shape[2:])
    return _Setting(
        atoms,
        a,
        Convolution(atoms, image.shape[2:], np.float32),
        1.0 / (MARGIN * squared_norm(a)),
        to_blocks(image, atoms.stride),
        to_blocks(np.random.default_rng(SEED).standard_normal(image.shape), atoms.stride),
    )


def key_of(request: LabRequest) -> tuple[str, str, str, int]:
    """The patch and the dictionary of a request: the arguments of ``atoms_of``."""
    return request.patch, request.dictionary, request.checkpoint, request.changed


# --- what is shown ----------------------------------------------------------------------------


def sweep(request: LabRequest) -> Sweep:
    """The error of denoising against λ at every noise; ``lam`` and ``noise`` do not matter."""
    return _swept(*key_of(request), request.nonnegative)[0]


@lru_cache(maxsize=32)
def _swept(
    patch: str, dictionary: str, checkpoint: str, changed: int, nonnegative: bool
) -> tuple[Sweep, np.ndarray]:
    """With the codes (L, m, *code_shape), which the optimum is found from."""
    s = _setting(patch, dictionary, checkpoint, changed)
    levels = np.array(NOISES).reshape(-1, 1, 1, 1)
    x = (s.clean + levels * s.noise).astype(np.float32)
    # a small λ needs many: within 10 % of the exact error, noise or not, where it matters
    iterations = [int(np.clip(14 / lam**0.4, 10, 60)) for lam in LAMBDAS]
    codes, images = path(s.single, x, np.array(LAMBDAS), s.step, iterations, nonnegative)
    off = (images - s.clean[None]).reshape(len(LAMBDAS), len(NOISES), -1)
    counts = np.count_nonzero(codes.reshape(len(LAMBDAS), len(NOISES), -1), axis=2)
    return Sweep(
        error=np.sqrt(np.square(off).mean(2)).T,
        nonzero=counts.T / codes[0, 0].size,
        lam_max=largest_lambda(s.a, x.astype(np.float64), nonnegative),
    ), codes


def models(request: LabRequest) -> Models:
    """Synthesis and analysis at the request's noise, for every λ; ``lam`` does not matter."""
    return _models(replace(request, lam=0.0))


@lru_cache(maxsize=64)
def _models(request: LabRequest) -> Models:
    s = _setting(*key_of(request))
    found = sweep(request)
    row = NOISES.index(request.noise)
    x = (s.clean + request.noise * s.noise).astype(np.float32)
    z = analysis_code(s.single, x, np.array(LAMBDAS, dtype=np.float32), request.nonnegative)
    many = np.broadcast_to(x, (len(LAMBDAS), *x.shape[1:]))
    off = decoded(s.single, z, many, 15) - s.clean.astype(np.float32)
    return Models(
        synthesis_nonzero=found.nonzero[row],
        synthesis_error=found.error[row],
        analysis_nonzero=np.count_nonzero(z.reshape(len(z), -1), axis=1) / z[0].size,
        analysis_error=np.sqrt(np.square(off).reshape(len(z), -1).mean(1)),
    )


@lru_cache(maxsize=64)
def lab(request: LabRequest) -> LabResult:
    """Code the patch. UserError for choices that there are not."""
    s = _setting(*key_of(request))
    x = s.clean + request.noise * s.noise
    lam, positive = request.lam, request.nonnegative
    traced = solve(
        s.a,
        np.repeat(x, 2, axis=0),
        lam,
        ITERATIONS,
        step=s.step,
        nonnegative=positive,
        accelerated=np.array([True, False]),
        keep=LAYERS,
    )
    best, optimum, bound = _optimum(request, s, x, traced.codes[:1], traced.objective.min())
    image = s.a.synthesis(best)
    z = analysis_code(s.a, x, lam, positive)
    read = decoded(s.a, z, x)
    layers = tuple(
        Layer(
            code[0].transpose(2, 0, 1),
            s.picture(shown[0]),
            float(traced.objective[i, 0]),
            float(traced.nonzero[i, 0]),
        )
        for i, (code, shown) in enumerate(traced.kept)
    )
    residual = from_blocks(x - image, s.a.stride)[0].transpose(1, 2, 0)
    return LabResult(
        request=request,
        atoms=s.atoms,
        clean=s.picture(s.clean[0]),
        noisy=s.picture(x[0]),
        reconstruction=s.picture(image[0]),
        residual=np.clip(0.5 + residual * np.array(s.atoms.std), 0.0, 1.0),
        analysis_picture=s.picture(read[0]),
        code=best[0].transpose(2, 0, 1),
        analysis=z[0].transpose(2, 0, 1),
        lam_max=float(largest_lambda(s.a, x, positive)[0]),
        error=_rms(image - s.clean),
        analysis_error=_rms(read - s.clean),
        misfit=_rms(image - x),
        objective=traced.objective,
        nonzero=traced.nonzero,
        optimum=optimum,
        optimum_gap=bound,
        lipschitz=1.0 / s.step,
        layers=layers,
    )


def _optimum(
    request: LabRequest, s: _Setting, x: np.ndarray, start: np.ndarray, reached: float
) -> tuple[np.ndarray, float, float]:
    """The best code found (1, *code_shape), its objective, and how far above the true optimum that
    is at most. From the better of two starts: where FISTA stopped, and the sweep over λ."""
    lam, positive = request.lam, request.nonnegative
    if lam in LAMBDAS and request.noise in NOISES:
        codes = _swept(*key_of(request), positive)[1]
        other = codes[LAMBDAS.index(lam), NOISES.index(request.noise)][None].astype(np.float64)
        if float(value(x, s.a.synthesis(other), other, lam)[0]) < reached:
            start = other
    z = start
    for _ in range(MOST_POLISH):
        found = solve(s.a, x, lam, POLISH, step=s.step, start=z, nonnegative=positive, restart=True)
        z = found.codes
        bound = max(float(duality_gap(s.a, x, z, lam, positive)[0]), 0.0)
        optimum = min(float(found.objective[-1, 0]), float(reached))
        if bound <= CLOSE * optimum:
            break
    return z, optimum, bound


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def sheet(tiles: Sequence[np.ndarray], columns: int, gap: float = 0.08) -> bytes:
    """A PNG of pictures (H, W, C) of one size, pixels in [0, 1], row by row; what lies between is
    transparent and takes ``gap`` of a tile's side. Enlarged by a whole factor, so that browsers do
    not smooth pixels."""
    from PIL import Image

    height, width = tiles[0].shape[:2]
    factor = max(1, -(-MIN_TILE // max(height, width)))
    size = (height * factor, width * factor)
    between = round(gap * max(size))
    rows = -(-len(tiles) // columns)
    made = np.zeros(
        (rows * (size[0] + between) - between, columns * (size[1] + between) - between, 4), np.uint8
    )
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (size[0] + between), (i % columns) * (size[1] + between)
        large = np.rint(255 * tile).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
        made[top : top + size[0], left : left + size[1], :3] = large
        made[top : top + size[0], left : left + size[1], 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(made).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


@lru_cache(maxsize=32)
def atom_rows(
    patch: str, dictionary: str, checkpoint: str, changed: int, columns: int, gap: float
) -> tuple[bytes, ...]:
    """The atoms of a dictionary as rows of pictures, each a PNG."""
    tiles = atom_pictures(atoms_of(patch, dictionary, checkpoint, changed))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return tuple(sheet(row, len(row), gap) for row in rows)


def atom_pictures(atoms: Atoms) -> tuple[np.ndarray, ...]:
    """Every atom as a picture (k, k, C): grey is zero, its largest entry is full."""
    most = np.abs(atoms.values).max(axis=(1, 2, 3), keepdims=True)
    shown = 0.5 + 0.5 * atoms.values / np.maximum(most, 1e-12)
    return tuple(shown.transpose(0, 2, 3, 1))


# --- stability ----------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def stable(factor: float, request: LabRequest | None = None) -> Stability:
    """The stability experiment with λ = factor·‖e‖: in spikes and waves, where the theorem holds,
    or in the dictionary of ``request``, of which only dictionary and patch's size matter."""
    norms = np.array(NOISE_NORMS)
    if request is None:
        spikes = spikes_and_waves()
        mu = 1.0 / float(np.sqrt(spikes.signal_shape[0]))
        return stability(spikes, mu, norms, draws=3, factor=factor, iterations=60, seed=SEED)
    s = _setting(*key_of(request))
    return stability(
        s.a, coherence(s.atoms), norms, draws=3, factor=factor, iterations=60, seed=SEED
    )


# --- in words -----------------------------------------------------------------------------------


def percent(share: float) -> str:
    return number(100.0 * share, 1, " %")


def code_sentence(result: LabResult) -> str:
    """How sparse, and how good."""
    if not result.code.any():
        return (
            f"λ is at least λ_max = {significant(result.lam_max)}: the code is exactly zero, and "
            "nothing is left of the patch."
        )
    said = (
        f"{percent(result.share)} of the code's {result.code.size:,} entries are not zero; the "
        f"reconstruction is off the patch by {number(result.error)} (root mean square)"
    )
    noise = result.request.noise
    if not noise:
        return f"{said}."
    than = "less" if result.error < noise else "no less"
    return f"{said}, {than} than the noise, {number(noise, 1)}."


def speed_sentence(result: LabResult) -> str:
    """When FISTA is where ISTA ends."""
    at = result.catch_up
    if at is None:
        return f"FISTA does not get where ISTA is after {ITERATIONS} iterations."
    if result.optimum <= 0:
        return "The objective is zero from the first iteration on."
    share = significant(100 * result.optimum_gap / result.optimum, 2)
    return (
        f"FISTA is after {at} iteration{'s' if at > 1 else ''} where ISTA is after {ITERATIONS}. "
        f"The optimum F* that was found is at most {share} % above the true one (duality gap)."
    )


def best_sentence(found: Sweep, request: LabRequest) -> str:
    """The best λ at the chosen noise, and how it moves."""
    best = [LAMBDAS[i] for i in found.best]
    here = best[NOISES.index(request.noise)]
    listed = ", ".join(f"{lam:g} at σ = {s:g}" for lam, s in zip(best, NOISES, strict=True))
    steps = np.diff(best)
    if (steps >= 0).all() and steps.any():
        moves = "it rises with the noise"
    elif not steps.any():
        moves = "it stays where it is"
    else:
        moves = "it does not follow the noise step by step"
    edge = " (the smallest one tried)" if here == LAMBDAS[0] else ""
    return f"Best λ here: {here:g}{edge}. Of those tried: {listed}; {moves}."


def models_sentence(result: LabResult) -> str:
    """Synthesis and analysis at the same λ."""
    return (
        f"At λ = {result.request.lam:g} synthesis needs {percent(result.share)} non-zeros for an "
        f"error of {number(result.error)}; analysis has {percent(result.analysis_share)} and an "
        f"error of {number(result.analysis_error)}."
    )


def stability_sentence(found: Stability) -> str:
    """What the theorem says, and what the experiment shows."""
    holds = found.nonzeros < found.allowed and found.factor >= 4.0
    draws = found.inside.size
    inside = int(found.inside.sum())
    said = (
        f"The support stays inside the true one in {inside} of {draws} draws; the error is at most "
        f"{number(float((found.error / found.noise[:, None]).max()), 2)}·‖e‖."
    )
    if holds:
        return f"The theorem covers this case. {said}"
    if found.nonzeros >= found.allowed:
        why = (
            f"it wants fewer than ⅓(1 + 1/μ) = {number(found.allowed, 2)} non-zeros, and there are "
            f"{found.nonzeros}"
        )
    else:
        why = f"it wants λ = 4·‖e‖, and here λ is {found.factor:g}·‖e‖"
    return f"The theorem says nothing here: {why}. {said}"

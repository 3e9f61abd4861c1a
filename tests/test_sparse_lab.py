"""What the page Sparse coding asks for: numbers that agree with each other, and honest words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.sparse_lab import (
    LAMBDAS,
    LAYERS,
    NOISES,
    PATCHES,
    LabRequest,
    atoms_of,
    best_sentence,
    code_sentence,
    lab,
    models,
    models_sentence,
    pixels,
    speed_sentence,
    stability_sentence,
    stable,
    sweep,
)
from core.theory.dictionaries import Convolution, to_blocks

DIGIT = LabRequest("digit-3", "cosines")
DOG = LabRequest("dog", "random")


@pytest.mark.parametrize("patch", PATCHES)
def test_every_patch_is_there(patch: str) -> None:
    shown = pixels(patch)
    assert shown.shape == ((8, 8, 1) if patch.startswith("digit") else (16, 16, 3))
    assert 0 <= shown.min() < 0.3
    assert 0.7 < shown.max() <= 1


@pytest.mark.parametrize("request_", [DIGIT, DOG], ids=["digit", "dog"])
def test_the_result_agrees_with_the_map(request_: LabRequest) -> None:
    result = lab(request_)
    atoms = atoms_of(request_.patch, request_.dictionary)
    a = Convolution(atoms, result.clean.shape[:2])
    clean = ((pixels(request_.patch) - atoms.mean) / atoms.std).transpose(2, 0, 1)[None]
    image = a.synthesis(result.code.transpose(1, 2, 0)[None])
    off = image - to_blocks(clean, atoms.stride)
    assert result.error == pytest.approx(float(np.sqrt(np.square(off).mean())))
    np.testing.assert_allclose(pixels(request_.patch), result.clean, atol=1e-12)


def test_the_optimum_is_below_all_iterates_and_known_closely() -> None:
    for lam in (0.05, 0.2, 1.0):
        result = lab(replace(DOG, lam=lam))
        assert (result.objective >= result.optimum * (1 - 1e-12)).all()
        assert result.optimum_gap < 0.05 * result.optimum
        assert result.catch_up is not None
        assert result.catch_up < len(result.objective)
    assert len(result.layers) == LAYERS
    assert result.layers[4].objective == result.objective[4, 0]


@pytest.mark.parametrize("positive", [False, True])
def test_the_code_is_empty_from_the_largest_lambda_on(positive: bool) -> None:
    most = lab(replace(DIGIT, nonnegative=positive)).lam_max
    below = lab(replace(DIGIT, lam=0.99 * most, nonnegative=positive))
    above = lab(replace(DIGIT, lam=1.01 * most, nonnegative=positive))
    assert below.code.any()
    assert not above.code.any()
    assert "exactly zero" in code_sentence(above)
    assert not positive or (below.code >= 0).all()


def test_a_code_that_explains_everything_is_off_by_the_noise() -> None:
    for noise in NOISES[2:]:
        result = lab(replace(DOG, noise=noise, lam=LAMBDAS[0]))
        assert result.misfit < 0.1
        assert result.error == pytest.approx(noise, rel=0.1)


@pytest.mark.parametrize("request_", [DIGIT, DOG], ids=["digit", "dog"])
def test_the_sweep_is_what_single_codes_give(request_: LabRequest) -> None:
    found = sweep(request_)
    assert found.error.shape == (len(NOISES), len(LAMBDAS))
    for noise, lam in ((0.2, 0.1), (0.4, 0.5), (0.8, 2.0)):
        one = lab(replace(request_, noise=noise, lam=lam))
        row, column = NOISES.index(noise), LAMBDAS.index(lam)
        assert found.error[row, column] == pytest.approx(one.error, rel=0.03)
        assert found.nonzero[row, column] == pytest.approx(one.share, abs=0.05)
    best = found.best
    assert best[0] == 0  # without noise every λ only loses
    assert list(best) == sorted(best)
    assert best[-1] > best[1]


def test_both_models_are_those_of_single_codes() -> None:
    found = models(DIGIT)
    for lam in (0.1, 0.5):
        one, i = lab(replace(DIGIT, lam=lam)), LAMBDAS.index(lam)
        assert found.analysis_nonzero[i] == pytest.approx(one.analysis_share, abs=0.01)
        assert found.analysis_error[i] == pytest.approx(one.analysis_error, rel=0.02)
    # what the page's third point says
    assert (found.synthesis_nonzero <= found.analysis_nonzero + 1e-9).all()


def test_words_follow_the_numbers() -> None:
    result = lab(DIGIT)
    said = code_sentence(result)
    assert f"{100 * result.share:.1f} %" in said
    assert ("less than the noise" in said) == (result.error < 0.2)
    assert "noise" not in code_sentence(lab(replace(DIGIT, noise=0.0)))
    assert f"after {result.catch_up} iteration" in speed_sentence(result)
    assert "rises with the noise" in best_sentence(sweep(DIGIT), DIGIT)
    flat = replace(sweep(DIGIT), error=np.tile(sweep(DIGIT).error[:1], (len(NOISES), 1)))
    assert "stays where it is" in best_sentence(flat, DIGIT)
    turned = replace(sweep(DIGIT), error=sweep(DIGIT).error[::-1])
    assert "does not follow" in best_sentence(turned, DIGIT)
    assert f"{100 * result.analysis_share:.1f} %" in models_sentence(result)


def test_the_theorem_speaks_only_where_it_holds() -> None:
    assert stability_sentence(stable(4.0)).startswith("The theorem covers")
    assert "λ = 4·‖e‖, and here λ is 0.25" in stability_sentence(stable(0.25))
    assert "fewer than" in stability_sentence(stable(4.0, DIGIT))
    assert stable(4.0).inside.all()


def test_what_there_is_not_is_named() -> None:
    for wrong, word in (
        (replace(DIGIT, patch="klein"), "klein"),
        (replace(DIGIT, dictionary="wavelets"), "wavelets"),
        (replace(DIGIT, dictionary="learned", checkpoint="/nowhere/x.safetensors"), "x.safe"),
    ):
        with pytest.raises(UserError, match=word):
            lab(wrong)

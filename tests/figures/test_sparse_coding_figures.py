"""Figures of the page Sparse coding: the rules of the house, and what each must show."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from core.figures import sparse_coding as figures
from core.figures.export import figure_csv
from core.figures.theme import Style
from core.sparse_lab import (
    LAMBDAS,
    NOISES,
    LabRequest,
    LabResult,
    lab,
    models,
    sheet,
    stable,
    sweep,
)
from tests.figures.test_every_figure import STYLES, check

CARD = Style()
REQUEST = LabRequest("digit-3", "cosines", lam=0.2, noise=0.2)


def every_figure(request: LabRequest, style: Style) -> dict[str, go.Figure]:
    result = lab(request)
    return {
        "pictures": figures.pictures(result, style),
        "atoms": figures.atoms(result, style),
        "code maps": figures.code_maps(result, style),
        "sorted entries": figures.sorted_entries(result, style),
        "both models": figures.both_models(models(request), request.lam, style),
        "convergence": figures.convergence(result, style, 8),
        "denoising": figures.denoising(sweep(request), request, style),
        "unrolled": figures.unrolled(result, 8, style),
        "unrolled, first": figures.unrolled(result, 1, style),
        "stability": figures.stability(stable(4.0), style),
        "stability, elsewhere": figures.stability(stable(0.25, request), style),
    }


@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.mode}-{s.size}")
def test_rules(style: Style) -> None:
    for name, fig in every_figure(REQUEST, style).items():
        check(name, fig, style)
        assert len(figure_csv(fig).splitlines()) > 1, name


def test_an_empty_code_is_drawn_all_the_same() -> None:
    empty = replace(REQUEST, lam=LAMBDAS[-1])
    assert not lab(empty).code.any()
    for name, fig in every_figure(empty, CARD).items():
        check(name, fig, CARD)
    assert not figures.atoms(lab(empty), CARD).layout.shapes
    assert "0.0 %" in figures.code_maps(lab(empty), CARD).layout.annotations[0].text


def picture(fig: go.Figure, index: int = 0) -> np.ndarray:
    """The pixels of a layout image, RGBA."""
    data = fig.layout.images[index].source.partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_pictures_are_the_patch_its_noise_its_code_and_the_rest() -> None:
    result = lab(REQUEST)
    fig = figures.pictures(result, CARD)
    assert [a.text for a in fig.layout.annotations] == ["patch", "x, with noise", "A z", "x − A z"]
    pixels = picture(fig)
    side = pixels.shape[0]
    patch = pixels[:, :side, :3][side // 16 :: side // 8, side // 16 :: side // 8, 0] / 255
    np.testing.assert_allclose(patch, result.clean[:, :, 0], atol=0.01)
    left = side + round(figures.GAP * side)
    noisy = pixels[side // 16 :: side // 8, left + side // 16 :: side // 8, 0][:, :8] / 255
    np.testing.assert_allclose(noisy, result.noisy[:, :, 0], atol=0.01)


def test_a_sheet_has_its_tiles_in_order_with_room_between() -> None:
    tiles = [np.full((2, 2, 1), v) for v in (0.0, 0.5, 1.0)]
    made = np.asarray(Image.open(io.BytesIO(sheet(tiles, 2))))
    step = made.shape[1] - 96
    assert [int(made[10, 10, 0]), int(made[10, step + 10, 0]), int(made[step + 10, 10, 0])] == [
        *(0, 128, 255)
    ]
    assert made[10, 97, 3] == 0
    assert made[10, 10, 3] == 255


def test_bars_below_atoms_are_their_share() -> None:
    result = lab(REQUEST)
    fig = figures.atoms(result, CARD)
    weight = np.abs(result.code).sum((1, 2))
    shares = np.array(fig.data[0].customdata)
    np.testing.assert_allclose(shares, weight / weight.sum())
    widths = [s.x1 - s.x0 for s in fig.layout.shapes]
    np.testing.assert_allclose(widths, shares[shares > 0] / shares.max())


def test_what_is_zero_has_no_cell() -> None:
    result = lab(REQUEST)
    synthesis, analysis = figures.code_maps(result, CARD).data
    z = result.code.reshape(len(result.code), -1)
    assert np.array_equal(np.isfinite(synthesis.z), z != 0)
    np.testing.assert_allclose(synthesis.z[z != 0], z[z != 0], atol=1e-4)
    assert np.isfinite(analysis.z).mean() == pytest.approx(result.analysis_share)
    assert -synthesis.zmin == synthesis.zmax == pytest.approx(np.abs(z).max())


def test_the_gap_is_relative_and_below_what_theory_allows() -> None:
    result = lab(REQUEST)
    fig = figures.convergence(result, CARD, 8)
    by_name = {t.name: np.array(t.y, dtype=float) for t in fig.data}
    wanted = result.objective / result.optimum - 1
    for i, name in enumerate(("FISTA", "ISTA")):
        known = np.isfinite(by_name[name])
        np.testing.assert_allclose(by_name[name][known], wanted[known, i], rtol=1e-9)
        assert (by_name[name][known] <= by_name[f"{name} at most"][known]).all()
    strip = next(s for s in fig.layout.shapes if s.type == "rect")
    assert (strip.x0 + strip.x1) / 2 == 8


def test_diamonds_are_the_least_error_of_every_noise() -> None:
    found = sweep(REQUEST)
    fig = figures.denoising(found, REQUEST, CARD)
    best = fig.data[-1]
    for row in range(len(NOISES)):
        assert best.y[row] == found.error[row].min()
        assert best.x[row] == LAMBDAS[int(found.error[row].argmin())]
    assert fig.layout.shapes[0].x0 == REQUEST.lam
    assert fig.layout.annotations[-1].x == pytest.approx(np.log10(REQUEST.lam))
    strong = [t for t in fig.data[:-1] if t.opacity == 1]
    assert [t.name for t in strong] == ["σ = 0.2"]


def test_the_network_shows_its_first_layers_and_the_chosen_one() -> None:
    result = lab(REQUEST)

    def named(layer: int) -> list[str]:
        fig = figures.unrolled(result, layer, CARD)
        return [a.text for a in fig.layout.annotations if str(a.text).startswith("<b>layer")]

    assert named(1) == ["<b>layer 1</b>"]
    assert named(4) == [f"<b>layer {t}</b>" for t in (1, 2, 3, 4)]
    assert named(20) == [f"<b>layer {t}</b>" for t in (1, 2, 3, 20)]
    fig = figures.unrolled(result, 20, CARD)
    assert list(fig.data[0].customdata) == [result.objective[t - 1, 0] for t in (1, 2, 3, 20)]
    assert any(a.text == "…" for a in fig.layout.annotations)
    assert not any(a.text == "…" for a in figures.unrolled(result, 4, CARD).layout.annotations)


def test_codes_that_are_not_negative_are_rectified() -> None:
    def curves(positive: bool) -> list[str]:
        request = replace(REQUEST, nonnegative=positive)
        shapes = figures.unrolled(lab(request), 2, CARD).layout.shapes
        return [s.path for s in shapes if s.type == "path"]

    assert len(curves(False)) == 2
    assert all("3.2 L" in path for path in curves(False))  # goes below zero
    assert not any("3.2 L" in path for path in curves(True))
    assert not (lab(replace(REQUEST, nonnegative=True)).code < 0).any()


def test_the_theorems_line_is_drawn_only_where_it_holds() -> None:
    fig = figures.stability(stable(4.0), CARD)
    line = next(t for t in fig.data if t.name == "theorem")
    np.testing.assert_allclose(np.array(line.y) / np.array(line.x), 7.5)
    dots = next(t for t in fig.data if t.name == "support inside the true one")
    limit = dict(zip(line.x, line.y, strict=True))
    assert all(y <= limit[x] for x, y in zip(dots.x, dots.y, strict=True))
    small = figures.stability(stable(0.25), CARD)
    assert "theorem" not in [t.name for t in small.data]
    assert "support too large" in [t.name for t in small.data]


def test_learned_atoms_come_from_the_run(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    weight = np.random.default_rng(0).standard_normal((5, 1, 3, 3)).astype(np.float32)
    file = tmp_path / "epoch_00002.safetensors"
    save_file({"conv1.weight": weight}, file, {"architecture": "sdnet"})
    request = replace(REQUEST, dictionary="learned", checkpoint=str(file), changed=1)
    result: LabResult = lab(request)
    assert result.code.shape == (5, 8, 8)
    for name, fig in every_figure(request, CARD).items():
        check(name, fig, CARD)

"""Two checkpoints layer by layer: against features of plain PyTorch, kept on disk, and errors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core import library
from core.checkpoints import open_checkpoint
from core.checkpoints.runs import Run
from core.comparison import layers as compared
from core.comparison.layers import compare
from core.comparison.pair import (
    PairRequest,
    PairSimilarity,
    Side,
    cached_path,
    epochs_with_files,
    in_words,
    most_alike,
    shared_data,
    side_request,
    with_files,
)
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.errors import Cancelled, UserError
from core.models.building import build
from core.models.identification import identify
from tests.metrics.test_similarity import cka_by, hsic_by_formula


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run() -> Run:
    found = library.find("digits-mlp")
    assert found is not None
    return found


def request_for(run: Run, first: int, second: int, images: int = 300) -> PairRequest:
    sides = [side_request(run, epoch, "digits-test") for epoch in (first, second)]
    return PairRequest(*sides, images=images)


def features(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of every linear layer's ReLU, by hooks of one's own."""
    checkpoint = open_checkpoint(path)
    assert identify(checkpoint.tensors, checkpoint.metadata).architecture is not None
    model = build(checkpoint.tensors, checkpoint.metadata)
    found: dict[str, np.ndarray] = {}
    modules = [
        (n, m)
        for n, m in model.module.named_modules()
        if isinstance(m, torch.nn.Linear | torch.nn.ReLU)
    ]
    for name, module in modules:
        module.register_forward_hook(
            lambda m, i, o, name=name: found.__setitem__(name, o.detach().double().numpy())
        )
    batch = load_batch(open_dataset("digits-test"), images, model.preprocessing)
    with torch.no_grad():
        model.module.eval()(torch.from_numpy(batch))
    return found


def test_the_logits_compare_as_by_plain_pytorch(run: Run) -> None:
    pair = compare(request_for(run, 0, 600))
    images = open_dataset("digits-test").stratified(300, 0)
    outputs = [features(run.checkpoint_path(e), images) for e in (0, 600)]
    logits = [list(o.values())[-1] for o in outputs]
    assert pair.images == 300
    assert pair.first.layers[-1] == "logits"
    assert pair.cka[-1, -1] == pytest.approx(cka_by(hsic_by_formula, *logits), rel=1e-4)
    labels = open_dataset("digits-test").labels[images]
    means = [np.stack([x[labels == k].mean(0) for k in range(10)]) for x in logits]
    shapes = [m - m.mean(0) for m in means]
    shapes = [m / np.linalg.norm(m) for m in shapes]
    cosine = np.linalg.svd(shapes[0].T @ shapes[1])[1].sum()
    assert pair.procrustes[-1, -1] == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-3)


def test_a_checkpoint_with_itself_has_a_diagonal_of_ones(run: Run) -> None:
    pair = compare(request_for(run, 600, 600))
    assert np.diag(pair.cka) == pytest.approx(np.ones(len(pair.cka)))
    assert np.nanmax(np.diag(pair.procrustes)) < 1e-4
    assert np.array_equal(most_alike(pair, "cka"), range(len(pair.cka)))
    assert f"{len(pair.cka)} of {len(pair.cka)} layers are most like" in in_words(pair, "cka")
    assert "0° to 0°" in in_words(pair, "procrustes")


def test_swapping_the_two_transposes(run: Run) -> None:
    one, other = compare(request_for(run, 0, 600)), compare(request_for(run, 600, 0))
    assert one.cka == pytest.approx(other.cka.T)
    assert one.procrustes == pytest.approx(other.procrustes.T, abs=1e-6)


def test_a_pair_is_computed_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(run, 0, 600)
    first = compare(request)
    monkeypatch.setattr(compared, "_compare", lambda *a: pytest.fail("computed again"))
    assert np.array_equal(compare(request).cka, first.cka)
    other = replace(request, images=200)
    assert cached_path(other) != cached_path(request)


def test_the_same_weights_elsewhere_are_known_and_damaged_files_made_again(
    run: Run, tmp_path: Path
) -> None:
    request = request_for(run, 0, 600)
    copy = shutil.copy(run.checkpoint_path(0), tmp_path / "copy.safetensors")
    moved = replace(request, first=replace(request.first, checkpoint=str(copy)))
    assert cached_path(moved) == cached_path(request)
    path = cached_path(request)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut off")
    assert compare(request).images == 300


def test_cancelling_and_progress(run: Run) -> None:
    seen: list[int] = []
    compare(request_for(run, 0, 600), progress=lambda done, total, what: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] <= 1000
    with pytest.raises(Cancelled):
        compare(request_for(run, 1, 600), cancelled=lambda: True)


def test_missing_files_and_unknown_data_are_named(run: Run, tmp_path: Path) -> None:
    bare = replace(run, folder=tmp_path)
    sides = [side_request(r, 600, "digits-test") for r in (run, bare)]
    with pytest.raises(UserError, match="there is no file"):
        compare(PairRequest(*sides))
    with pytest.raises(UserError, match="there is no data set"):
        compare(PairRequest(*[side_request(run, 600, "nowhere")] * 2))
    (tmp_path / "epoch_00600.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError):
        compare(PairRequest(*sides))


def test_only_runs_with_files_can_be_chosen(run: Run, tmp_path: Path) -> None:
    bare = replace(run, id="bare", folder=tmp_path)
    assert with_files((run, bare, replace(run, data=()))) == (run,)
    assert epochs_with_files(run)[0] == 0
    assert epochs_with_files(bare) == ()
    other = library.find("resnet20-cifar10")
    assert other is not None
    assert shared_data(run, other) == ()
    assert shared_data(run, bare) == ("digits-train", "digits-test")


def test_networks_of_different_depth_in_words() -> None:
    first, second = Side(("a", "b", "c"), None), Side(("a", "b"), None)
    cka = np.array([[1.0, 0.2], [0.3, 0.8], [0.5, 0.4]])
    pair = PairSimilarity("d", 10, first, second, cka, np.full((3, 2), np.nan))
    assert most_alike(pair, "cka") == (0, 1, 0)
    assert "moves up or stays at 1 of 2 steps" in in_words(pair, "cka")
    assert most_alike(pair, "procrustes") == (None,) * 3
    assert "no spread" in in_words(pair, "procrustes")

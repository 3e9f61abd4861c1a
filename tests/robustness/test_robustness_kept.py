"""Tables on disk, the pictures of a few images, and the script that bundles."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from robust_networks import asked
from safetensors.torch import save_file

from core import library, store
from core.checkpoints.runs import Run, RunCheckpoint, open_run, write_run
from core.errors import UserError
from core.models.resnet import CifarResNet
from core.models.sdnet import SDNet
from core.robustness import corruptions, kept, seen
from core.robustness.request import AttackRequest, CorruptionRequest, SeenRequest
from core.robustness.results import AttackTable, CorruptionTable
from scripts import bundle_robustness


def write(folder: Path, network: CifarResNet | None = None, *, finished: bool = True) -> Run:
    """A run of one checkpoint."""
    run = Run(
        id=folder.name,
        folder=folder,
        title=f"Network {folder.name}",
        group="Tests",
        checkpoints=(RunCheckpoint("epoch_00001.safetensors", 1),),
        data=(),
        finished=finished,
    )
    write_run(run)
    if network is not None:
        file = run.checkpoint_path(None)
        save_file(network.eval().state_dict(), file, metadata=network.metadata())
    return run


# --- kept ----------------------------------------------------------------------------------------


def test_tables_come_back_with_the_settings_as_they_were_given(made: Path, tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    assert kept.corruption_table(run) is None
    request = CorruptionRequest(asked(made, "sdnet"), ("contrast",), (1,), values=(0.3, 0.7))
    table = corruptions.run(request)
    store.save(kept.corruption_path(run.folder), table)
    found = kept.corruption_table(run)
    assert found is not None
    assert found.values.tolist() == [0.1, 0.3, 0.7]
    assert found.trained in found.values.tolist()
    assert found.correct == pytest.approx(table.correct)
    assert found.reliability[0][1].counts.tolist() == table.reliability[0][1].counts.tolist()
    attack = AttackTable(
        *("images", 5, "l2", np.array([0, 0.125]), "top_k", np.array([2.0, 16.0]), 16.0, None),
        *(20, 2, 100, "", np.ones((2, 2)), np.ones((2, 2)), None, np.ones((2, 2)), np.ones((2, 2))),
    )
    store.save(kept.attack_path(run.folder, "l2"), attack)
    again = kept.attack_table(run, "l2")
    assert again is not None
    assert (again.radii.tolist(), again.values.tolist()) == ([0, 0.125], [2, 16])
    assert again.transfer is None
    assert kept.attack_table(run, "linf") is None
    with pytest.raises(UserError, match="linf or l2"):
        kept.attack_table(run, "../..")


def test_a_new_file_is_read_anew_and_a_broken_one_is_none(made: Path, tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    path = kept.corruption_path(run.folder)
    request = CorruptionRequest(asked(made, "plain"), ("contrast",), (1,), max_images=9)
    table = corruptions.run(request)
    store.save(path, table)
    first = kept.corruption_table(run)
    assert first is not None
    assert np.isnan(first.values).all()
    store.save(path, replace(table, data="another name"))
    second = kept.corruption_table(run)
    assert second is not None
    assert second.data == "another name"
    path.write_bytes(b"PK\x03\x04 cut off")
    assert kept.corruption_table(run) is None


def test_runs_are_found_by_their_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_RUNS", str(tmp_path))
    for name in ("robust-x", "robust-x.1", "robust-y"):
        write(tmp_path / name)
    assert [run.id for run in kept.runs_of("robust-x")] == ["robust-x", "robust-x.1"]
    assert kept.runs_of("robust-z") == ()
    assert kept.corruption_table("robust-x") is None
    assert kept.corruption_table("no such run") is None
    assert library.find("robust-y") is not None


def test_what_pages_import_needs_no_torch() -> None:
    code = (
        "import sys; import core.robustness.kept, core.robustness.comparisons, "
        "core.robustness.request, core.metrics.calibration; print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# --- seen ----------------------------------------------------------------------------------------


def test_six_images_as_the_network_sees_them(made: Path) -> None:
    request = SeenRequest(asked(made, "sdnet"), "impulse_noise", 3, 0.3)
    found = seen.run(request)
    assert found.rows == ("Image", "Corrupted", "Reconstruction", "Residual, grey = 0")
    assert len(found.columns) == 6
    assert any("<b>blue</b>" in text for text in found.columns)  # a page escapes it
    with Image.open(io.BytesIO(found.png)) as picture:
        tile = seen.TILE
        assert picture.size == (6 * tile + 5 * seen.GAP, 4 * tile + 3 * seen.GAP)
        pixels = np.asarray(picture.convert("RGB")).astype(float) / 255
    rows = [pixels[i * (tile + seen.GAP) + 6, 6] for i in range(4)]  # one pixel of the first image
    inside = (rows[2] > 0) & (rows[2] < 1)
    # corrupted = reconstruction + residual
    assert (rows[1] - rows[2] - (rows[3] - 0.5))[inside] == pytest.approx(0, abs=0.02)
    table = corruptions.run(
        CorruptionRequest(asked(made, "sdnet"), ("impulse_noise",), (3,), values=(0.3,))
    )
    assert found.correct == pytest.approx(table.correct[0, 1, 1])
    assert found.images == table.images
    at_training = seen.run(replace(request, setting=None))
    assert at_training.setting == 0.1
    assert table.errors is not None
    assert at_training.error == pytest.approx(table.errors[0, 1], rel=1e-5)


def test_a_large_lambda_leaves_nothing(made: Path) -> None:
    found = seen.run(SeenRequest(asked(made, "sdnet"), setting=1e4))
    assert found.rows == ("Image", "Reconstruction", "Residual, grey = 0")
    assert found.nonzero == 0
    little = seen.run(SeenRequest(asked(made, "sdnet"), setting=0.0))
    assert little.nonzero is not None
    assert little.error is not None
    assert found.error is not None
    assert little.nonzero > 0.9
    assert little.error < found.error


def test_top_k_keeps_its_share_and_others_have_none(made: Path) -> None:
    found = seen.run(SeenRequest(asked(made, "vit"), "contrast", 1, 2.0))
    assert found.rows == ("Image", "Corrupted")
    assert found.nonzero is not None
    assert found.nonzero <= 2 / 32
    assert found.error is None
    plain = seen.run(SeenRequest(asked(made, "plain"), max_images=4))
    assert (plain.rows, plain.nonzero, plain.setting) == (("Image",), None, None)
    assert len(plain.columns) == 4


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("plain", {"setting": 0.1}, "neither λ nor k"),
        ("sdnet", {"setting": -1.0}, "numbers from 0"),
        ("sdnet", {"family": "rain", "severity": 1}, "no corruption rain"),
    ],
)
def test_what_cannot_be_seen_is_one_sentence(
    made: Path, name: str, changes: dict, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        seen.run(SeenRequest(asked(made, name), **changes))


# --- the script ----------------------------------------------------------------------------------


def test_the_script_asks_for_every_table_of_every_finished_run(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for recipe, kind in (("digits-plain", CifarResNet), ("digits-sdnet", SDNet)):
        for run_id in (recipe, f"{recipe}.1"):
            write(tmp_path / run_id, kind((1, 8, 8), (4,), 10))
    write(tmp_path / "digits-sdnet.2", SDNet((1, 8, 8), (4,), 10), finished=False)
    work = dict(bundle_robustness.requests("digits-sdnet", tmp_path))
    names = sorted(str(path.relative_to(tmp_path)) for path in work)
    tables = ("attacks-l2", "attacks-linf", "corruptions")
    runs = ("digits-plain", "digits-plain.1", "digits-sdnet", "digits-sdnet.1")
    assert names == sorted(f"{run}/robustness/{table}.npz" for run in runs for table in tables)
    assert "digits-sdnet.2: still training" in capsys.readouterr().out
    plain = work[tmp_path / "digits-plain.1" / "robustness" / "attacks-l2.npz"]
    sparse = work[tmp_path / "digits-sdnet.1" / "robustness" / "attacks-l2.npz"]
    assert isinstance(plain, AttackRequest)
    assert isinstance(sparse, AttackRequest)
    # each is attacked with the images of its counterpart of the same seed
    assert (plain.source, sparse.source) == (sparse.network.checkpoint, plain.network.checkpoint)
    assert plain.values == ()
    assert plain.calibration is None
    assert sparse.calibration == "digits-train@half-2"
    assert plain.steps >= 20
    assert plain.restarts >= 2
    assert plain.radii[-1] == 0.5


def test_a_table_is_made_and_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for run_id, kind in (("digits-plain", CifarResNet), ("digits-sdnet", SDNet)):
        write(tmp_path / run_id, kind((1, 8, 8), (4,), 10))
    for path, request in bundle_robustness.requests("digits-sdnet", tmp_path):
        if "sdnet/" not in str(path):
            continue
        small = replace(request, max_images=10)
        if isinstance(small, CorruptionRequest):
            small = replace(small, severities=(1,), values=(0.3,))
        else:
            small = replace(small, steps=2, more_steps=3, values=(0.3,))
        assert "s of CPU" in bundle_robustness.measure(path, small)
    run = open_run(tmp_path / "digits-sdnet")
    table = kept.corruption_table(run)
    assert isinstance(table, CorruptionTable)
    assert table.adaptive is not None
    for norm in ("linf", "l2"):
        attack = kept.attack_table(run, norm)
        assert attack is not None
        assert attack.source == "Network digits-plain"
        assert attack.tuned in attack.values.tolist()
    assert json.loads((run.folder / "run.json").read_text())["title"] == run.title

"""The command line: keys, exit status, one line for every mistake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_analysis import digits_checkpoint, etf_file

from core.__main__ import main

LAYER_KEYS = {
    "name", "module", "shape", "dim", "nc1", "separation", "ncc_accuracy", "probe_accuracy",
    "nonzero_fraction", "dead_fraction", "intrinsic_dimension", "betti", "warnings",
}  # fmt: skip
COLLAPSE_KEYS = {
    "nc1", "nc1_quotient", "cdnv", "nc2_means", "nc2_classifier", "nc3", "nc3_alignment", "nc4",
    "cosine_mean", "cosine_std", "cosine_max", "equiangularity", "equinorm_means",
    "equinorm_classifier", "etf_target",
}  # fmt: skip
DIMENSION_KEYS = {"twonn", "mle", "pca_90", "pca_95", "pca_99", "participation_ratio"}


def test_analyze_writes_the_promised_keys(tmp_path: Path) -> None:
    out = {kind: tmp_path / f"a.{kind}" for kind in ("json", "csv", "html")}
    arguments = ["analyze", str(digits_checkpoint()), "--data", "digits-test"]
    arguments += ["--metrics", "all", "--points", "60"]
    for kind, path in out.items():
        arguments += [f"--{kind}", str(path)]
    assert main(arguments) == 0
    tree = json.loads(out["json"].read_text())
    assert {"schema", "checkpoint", "data", "settings", "device", "seconds"} <= set(tree)
    assert {"accuracy", "penultimate", "layers", "separation_law"} <= set(tree)
    assert COLLAPSE_KEYS | {"layer", "dim", "intrinsic_dimension", "betti"} <= set(
        tree["penultimate"]
    )
    for layer in tree["layers"]:
        assert set(layer) >= LAYER_KEYS
        assert set(layer["intrinsic_dimension"]) >= DIMENSION_KEYS
        assert {"value", "low", "high"} <= set(layer["intrinsic_dimension"]["twonn"])
        assert set(layer["betti"]) == {"all", *"0123456789"}
        assert len(layer["betti"]["all"]) == 2
    assert {"rho", "r2", "minimum_layer"} <= set(tree["separation_law"])
    rows = out["csv"].read_text().splitlines()
    assert len(rows) == 1 + len(tree["layers"])
    assert "plotly" in out["html"].read_text().lower()


def test_json_to_standard_output_is_nothing_but_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", str(etf_file(tmp_path / "e.npz")), "--json", "-"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["measures"]["nc4"] == 0
    assert set(tree["measures"]["intrinsic_dimension"]) >= DIMENSION_KEYS | {"all", "0", "3"}


def test_identify(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", str(digits_checkpoint()), "--json", "-"]) == 0
    tree = json.loads(capsys.readouterr().out)
    keys = {"architecture", "parameters", "classes", "input_shape", "match"}
    assert keys | {"candidates", "warnings"} == set(tree)
    assert tree["architecture"] == "mlp"
    assert tree["input_shape"] == [1, 8, 8]


def test_runs_and_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    row = next(r for r in rows if r["name"] == "digits-mlp")
    assert row["final"]["train_accuracy"] == 1.0
    assert set(row["final"]) >= COLLAPSE_KEYS
    assert main(["recipes"]) == 0
    assert "digits-mlp" in capsys.readouterr().out


def test_train(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "digits-mlp", "--epochs", "1", "--out", out]) == 0
    assert main(["train", "digits-mlp", "--epochs", "1", "--out", out]) == 2


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    """Ctrl-C keeps the state; the same command takes it up, and the numbers are the same."""
    command = [sys.executable, "-m", "core", "train", "digits-ce", "--epochs", "60", "--out"]
    out = tmp_path / "run"
    process = subprocess.Popen([*command, str(out)], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (out / "run.json").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in said
    run = json.loads((out / "run.json").read_text())
    assert not run["finished"]
    assert (out / "training_state.pt").is_file()
    assert main([*command[3:-1], "--out", str(out)]) == 0
    assert main([*command[3:-1], "--out", str(tmp_path / "whole")]) == 0
    found = [json.loads((p / "run.json").read_text()) for p in (out, tmp_path / "whole")]
    assert found[0]["history"]["epoch"] == list(range(61))
    assert found[0]["history"]["train_loss"] == found[1]["history"]["train_loss"]


MISTAKES = [
    [],
    ["analyse", "x"],
    ["analyze", "no-such-file.pt"],
    ["analyze", "CHECKPOINT", "--data", "no-such-data"],
    ["analyze", "CHECKPOINT", "--metrics", "everything"],
    ["analyze", "CHECKPOINT", "--max-images", "0"],
    ["analyze", "CHECKPOINT", "--layers", "no-such-layer"],
    ["analyze", "CHECKPOINT", "--architecture", "no-such-network"],
    ["analyze", "CHECKPOINT", "--model", "no-such-file.py:make"],
    ["analyze", "CHECKPOINT", "--device", "abacus"],
    ["analyze", "CHECKPOINT", "--data", "digits-test", "--max-images", "20",
     "--metrics", "collapse", "--json", "/no/such/folder/x.json"],
    ["analyze", "TEXT"],
    ["measure", "TEXT"],
    ["measure", "no-such-file.npz"],
    ["identify", "TEXT"],
    ["identify", "FOLDER"],
    ["train", "no-such-recipe", "--out", "x"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line_and_exit_status_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.pt").write_text("hello")
    paths = {"CHECKPOINT": digits_checkpoint(), "TEXT": tmp_path / "text.pt", "FOLDER": tmp_path}
    assert main([str(paths.get(a, a)) for a in arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("error: ")
    assert len([e for e in errors if e.startswith("error")]) == 1
    assert not any("Traceback" in e for e in errors)


def test_one_image_is_too_few_but_no_bug(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=np.zeros((2, 8, 8)), y=[0, 1])
    out = tmp_path / "x.json"
    assert (
        main(["analyze", str(digits_checkpoint()), "--data", str(tmp_path / "x.npz"),
              "--json", str(out)]) == 0
    )  # fmt: skip
    tree = json.loads(out.read_text())
    assert tree["layers"][0]["intrinsic_dimension"]["twonn"]["value"] is None


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m core identify {digits_checkpoint()} --json - | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "{"
    assert done.stderr == ""

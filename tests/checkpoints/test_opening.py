"""Opening: the formats, wrappers and prefixes of real checkpoints."""

from __future__ import annotations

import argparse
import collections
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from core.checkpoints import open_checkpoint
from core.checkpoints.contents import strip_prefixes
from core.errors import UserError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def saved(path: Path, content: Any, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_same(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(tensors) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("suffix", ["pt", "safetensors", "txt"])
def test_state_dict_whatever_its_extension(tmp_path: Path, legacy: bool, suffix: str) -> None:
    state = network().state_dict()
    path = saved(tmp_path / f"weights.{suffix}", state, legacy)
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == ("pytorch legacy" if legacy else "pytorch zip")
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.name == path.name
    assert checkpoint.warnings == ()
    assert_same(checkpoint.tensors, state)


def test_safetensors_with_metadata_under_a_foreign_extension(tmp_path: Path) -> None:
    state = network().state_dict()
    save_file(state, tmp_path / "weights.pt", metadata={"activation": "tanh"})
    checkpoint = open_checkpoint(tmp_path / "weights.pt")
    assert checkpoint.format == "safetensors"
    assert checkpoint.metadata == {"activation": "tanh"}
    assert set(checkpoint.tensors) == set(state)
    torch.testing.assert_close(checkpoint.tensors["0.weight"], state["0.weight"])


@pytest.mark.parametrize(
    "wrapper", ["state_dict", "model", "net", "model_state_dict", "model_state", "ema", "module"]
)
def test_wrapped_with_metadata_beside(tmp_path: Path, wrapper: str) -> None:
    state = network().state_dict()
    optimiser = torch.optim.Adam(network().parameters()).state_dict()
    content = {
        "epoch": 7,
        "accuracy": torch.tensor(0.5),
        "arch": "mlp",
        wrapper: state,
        "optimizer": optimiser,
        "config": {"lr": 0.1, "activation": "tanh"},
        "rng": torch.get_rng_state(),
    }
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert_same(checkpoint.tensors, state)
    assert checkpoint.metadata == {
        "epoch": 7,
        "accuracy": 0.5,
        "arch": "mlp",
        "config.lr": 0.1,
        "config.activation": "tanh",
    }
    assert checkpoint.warnings == ()


def test_nested_wrappers_and_scalars_at_every_level(tmp_path: Path) -> None:
    state = network().state_dict()
    content = {"epoch": 1, "model": {"step": 2, "ema": {"module": state, "decay": 0.9}}}
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert_same(checkpoint.tensors, state)
    assert checkpoint.metadata == {"epoch": 1, "step": 2, "decay": 0.9}


def test_plain_weights_come_before_averaged_ones(tmp_path: Path) -> None:
    state, averaged = network().state_dict(), network().half().state_dict()
    content = {"model_ema": {"module": averaged}, "model": state}
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert_same(checkpoint.tensors, state)
    assert checkpoint.warnings == (
        "the weights under 'model' are shown; the file also holds 'model_ema/module'",
    )


def test_the_larger_of_two_unnamed_networks(tmp_path: Path) -> None:
    content = {"critic": nn.Linear(4, 2).state_dict(), "actor": nn.Linear(9, 9).state_dict()}
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert checkpoint.tensors["weight"].shape == (9, 9)
    assert "'actor'" in checkpoint.warnings[0]


def test_state_dict_with_scalars_in_it(tmp_path: Path) -> None:
    content = {"epoch": 3, **network().state_dict()}
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert_same(checkpoint.tensors, network().state_dict())
    assert checkpoint.metadata == {"epoch": 3}


@given(st.lists(st.sampled_from(["module.", "_orig_mod.", "model.", "net."]), max_size=5))
@settings(max_examples=30, deadline=None)
def test_prefixes_in_any_order(prefixes: list[str]) -> None:
    prefix = "".join(prefixes)
    state = {"conv1.weight": torch.zeros(1), "fc.bias": torch.ones(1)}
    stripped, found = strip_prefixes({prefix + key: value for key, value in state.items()})
    assert (list(stripped), found) == (list(state), prefix)


def test_a_prefix_that_not_all_names_share_stays() -> None:
    state = {"net.0.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    assert strip_prefixes(state) == (state, "")
    bare = {"net.": torch.zeros(1)}
    assert strip_prefixes(bare) == (bare, "")


def test_lightning(tmp_path: Path) -> None:
    state = {f"model._orig_mod.{k}": v for k, v in network().state_dict().items()}
    content = {
        "epoch": 9,
        "global_step": 70,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [torch.optim.Adam(network().parameters()).state_dict()],
        "lr_schedulers": [],
        "hyper_parameters": {"width": 5},
    }
    checkpoint = open_checkpoint(saved(tmp_path / "epoch=9.ckpt", content))
    assert checkpoint.format == "lightning"
    assert checkpoint.prefix == "model._orig_mod."
    assert checkpoint.metadata["epoch"] == 9
    assert checkpoint.metadata["hyper_parameters.width"] == 5
    assert_same(checkpoint.tensors, network().state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = network().to(dtype).state_dict()
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", state))
    assert checkpoint.tensors["0.weight"].dtype == torch.float32
    assert checkpoint.tensors["1.num_batches_tracked"].dtype == torch.int64
    torch.testing.assert_close(checkpoint.tensors["0.weight"], state["0.weight"].float())
    name = str(dtype).removeprefix("torch.")
    assert checkpoint.warnings == (f"8 tensors are {name}; computed in float32",)


def test_what_training_scripts_save_beside_the_weights(tmp_path: Path) -> None:
    content = {
        "state_dict": network().state_dict(),
        "best": np.float64(0.25),
        "step": np.int32(-3),
        "good": np.bool_(True),
        "args": argparse.Namespace(lr=0.5, out=pathlib.PurePosixPath("/runs/a")),
        "counts": collections.Counter("aab"),
        "curve": np.linspace(0, 1, 50),
        "history": collections.defaultdict(list, {"loss": [1.0]}),
        "when": datetime.datetime(2024, 1, 2),
        "torch": torch.__version__,
        "loss": float("nan"),
    }
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert checkpoint.metadata == {
        "best": 0.25,
        "step": -3,
        "good": True,
        "args.lr": 0.5,
        "args.out": "/runs/a",
        "counts.a": 2,
        "counts.b": 1,
        "torch": str(torch.__version__),
    }


def test_parameters_instead_of_a_state_dict(tmp_path: Path) -> None:
    content = dict(network().named_parameters())
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", content))
    assert list(checkpoint.tensors) == list(content)
    assert not any(tensor.requires_grad for tensor in checkpoint.tensors.values())


def test_tied_and_expanded_weights(tmp_path: Path) -> None:
    weight = torch.randn(30, 20)
    state = {"embed.weight": weight, "head.weight": weight, "scale": torch.ones(1).expand(7)}
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", state))
    torch.testing.assert_close(checkpoint.tensors["head.weight"], weight)
    assert checkpoint.tensors["scale"].shape == (7,)
    assert checkpoint.tensors["scale"].is_contiguous()


def test_layers_with_nan_are_named(tmp_path: Path) -> None:
    state = network().state_dict()
    state["3.weight"][0, 0] = float("nan")
    state["3.bias"][0] = float("inf")
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", state))
    assert checkpoint.warnings == ("2 tensors hold NaN or infinite values: 3.weight, 3.bias",)


def test_published_checkpoints(test_data: Path) -> None:
    folder = test_data / "real_checkpoints"
    resnet = open_checkpoint(folder / "resnet20-12fca82f.th")
    assert (resnet.format, resnet.prefix) == ("pytorch legacy", "module.")
    assert resnet.metadata == {"best_prec1": pytest.approx(91.78)}
    assert resnet.sha256.startswith("12fca82f")
    assert next(iter(resnet.tensors)) == "conv1.weight"
    assert all(t.device.type == "cpu" for t in resnet.tensors.values())
    efficient = open_checkpoint(folder / "efficientnet-lite0-57934424.pth", name="lite0")
    assert (efficient.name, len(efficient.tensors)) == ("lite0", 296)


def test_a_run_folder_needs_no_torch(repo: Path) -> None:
    code = "import core.checkpoints, core.jobs, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repo)


# --- refused, with the line that makes a readable file ------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(path.name)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("legacy", [False, True])
def test_whole_network_is_refused(tmp_path: Path, legacy: bool) -> None:
    message = refusal(saved(tmp_path / "a.pt", network(), legacy))
    assert "a whole pickled network" in message
    assert 'torch.save(model.state_dict(), "weights.pt")' in message


@pytest.mark.filterwarnings("ignore")
def test_programs_are_refused(tmp_path: Path) -> None:
    torch.jit.trace(network().eval(), torch.zeros(2, 4)).save(tmp_path / "a.pt")
    assert "torch.jit.load('FILE').state_dict()" in refusal(tmp_path / "a.pt")
    program = torch.export.export(network().eval(), (torch.zeros(2, 4),))
    torch.export.save(program, tmp_path / "a.pt2")
    assert "torch.export.load('FILE.pt2').state_dict" in refusal(tmp_path / "a.pt2")


def test_onnx_is_refused(tmp_path: Path) -> None:
    # ir_version 8, producer_name "pytorch", a graph
    (tmp_path / "a.pt").write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.0.0\x3a\x10" + bytes(16))
    assert "onnx.load('FILE.onnx').graph.initializer" in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (
            ["model.safetensors.index.json", "model-1-of-2.safetensors"],
            "safetensors.torch.save_file",
        ),
        (
            ["pytorch_model.bin.index.json", "pytorch_model-1.bin"],
            "torch.load(f, weights_only=True)",
        ),
        ([".metadata", "__0_0.distcp"], "dcp_to_torch_save"),
        (["notes.txt"], "is a folder"),
    ],
)
def test_folders_are_refused(tmp_path: Path, files: list[str], line: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    assert line in refusal(tmp_path)


def test_index_of_shards_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "model-1-of-2.safetensors"}}))
    assert "safetensors.torch.load_file(f)" in refusal(index)


def test_one_shard_is_refused(tmp_path: Path) -> None:
    shard = tmp_path / "model-00001-of-00002.safetensors"
    save_file(network().state_dict(), shard)
    assert "one part of a sharded checkpoint" in refusal(shard)
    assert "safetensors.torch.load_file(f)" in refusal(shard)


@pytest.mark.filterwarnings("ignore")
def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    quantised = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8)
    assert "quantised" in refusal(saved(tmp_path / "a.pt", quantised.state_dict()))
    save_file({"fc.weight": torch.zeros(3, 3).to(torch.float8_e4m3fn)}, tmp_path / "b.safetensors")
    assert "quantised" in refusal(tmp_path / "b.safetensors")
    packed = {"fc.qweight": torch.zeros(3, 3, dtype=torch.int32), "fc.scales": torch.zeros(3)}
    save_file(packed, tmp_path / "c.safetensors")
    assert "quantised" in refusal(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.optim.Adam(network().parameters()).state_dict(), "no weights"),
        ({"optimizer": torch.optim.SGD([torch.zeros(2)], 0.1).state_dict()}, "no weights"),
        ({"epoch": 3, "state_dict": {}}, "no weights"),
        (torch.zeros(3), "a single tensor"),
        ([1, 2, 3], "no weights"),
        (3.5, "no weights"),
        ({3: torch.zeros(2, 2)}, "must be text"),
        ({"a": torch.eye(3).to_sparse()}, "sparse"),
        ({"a": torch.zeros(3, 3, device="meta")}, "meta device"),
    ],
    ids=[
        "optimiser",
        "wrapped optimiser",
        "empty",
        "tensor",
        "list",
        "number",
        "keys",
        "sparse",
        "meta",
    ],
)
def test_files_without_usable_weights_are_refused(
    tmp_path: Path, content: object, words: str
) -> None:
    assert words in refusal(saved(tmp_path / "a.pt", content))

"""RunWriter: what a person's own training loop writes, and what the app makes of it."""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core.checkpoints import open_checkpoint
from core.checkpoints.runs import DataEntry, open_run
from core.models.identification import identify
from core.models.mlp import MLP
from core.training.writer import RunWriter


def network() -> nn.Sequential:
    """Names whose order is lost when they are sorted: the norms would come before the layers."""
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            layer_a=nn.Linear(64, 32),
            bn_a=nn.BatchNorm1d(32),
            act_a=nn.ReLU(),
            layer_b=nn.Linear(32, 10),
        )
    )


def test_two_lines_make_a_run(tmp_path: Path) -> None:
    model = network()
    run = RunWriter(tmp_path / "mine", title="Mine", data="digits-train", seed=3)
    for epoch in (0, 1, 5):
        run.save(model, epoch=epoch, train_accuracy=0.1 * epoch, test_loss=1.0)
    found = open_run(tmp_path / "mine")
    assert found == run.run
    assert (found.title, found.seed, found.finished) == ("Mine", 3, False)
    assert found.data == (DataEntry("digits-train", "digits, training split"),)
    assert found.epochs == (0, 1, 5)
    assert found.history == {
        "epoch": [0, 1, 5],
        "train_accuracy": [0.0, 0.1, 0.5],
        "test_loss": [1.0, 1.0, 1.0],
    }
    run.finish(test_accuracy=0.9)
    assert open_run(tmp_path / "mine").finished
    assert open_run(tmp_path / "mine").results == {"test_accuracy": 0.9}
    names = {p.name for p in (tmp_path / "mine").iterdir()}
    assert names == {"run.json", *(f"epoch_{e:05}.safetensors" for e in (0, 1, 5))}


def test_the_order_of_the_layers_survives(tmp_path: Path) -> None:
    model = network()
    RunWriter(tmp_path / "a").save(model, epoch=1)
    checkpoint = open_checkpoint(tmp_path / "a" / "epoch_00001.safetensors")
    kept = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    assert list(checkpoint.tensors) == kept
    assert "tensor_order" not in checkpoint.metadata
    found = identify(checkpoint.tensors, checkpoint.metadata, (1, 8, 8))
    assert (found.architecture, found.classes, found.input_shape) == ("mlp", 10, (1, 8, 8))


def test_a_forged_order_changes_nothing_but_the_order(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(1), "b": torch.ones(2)}, file, {"tensor_order": "x\nb\nb\n\nb"})
    assert list(open_checkpoint(file).tensors) == ["b", "a"]


def test_tied_weights_and_whole_numbers_are_kept(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    model.register_buffer("index", torch.arange(5))
    RunWriter(tmp_path / "a").save(model, epoch=1)
    tensors = open_checkpoint(tmp_path / "a" / "epoch_00001.safetensors").tensors
    assert torch.equal(tensors["a.weight"], tensors["b.weight"])
    assert torch.equal(tensors["index"], torch.arange(5))


def test_half_precision_spares_the_classifier_and_the_vectors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = MLP((1, 8, 8), (16,), 10, batch_norm=True)
    RunWriter(tmp_path / "a", half=True).save(model, epoch=1)
    stored = load_file(tmp_path / "a" / "epoch_00001.safetensors")
    halved = {name for name, tensor in stored.items() if tensor.dtype == torch.float16}
    assert halved == {"linear1.weight"}
    checkpoint = open_checkpoint(tmp_path / "a" / "epoch_00001.safetensors")
    assert checkpoint.metadata["architecture"] == "mlp"
    assert torch.allclose(checkpoint.tensors["linear1.weight"], model.linear1.weight, atol=1e-3)


def test_values_that_come_and_go_keep_their_epoch(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "a")
    run.record(epoch=0, test_accuracy=0.1)
    run.record(epoch=1, train_accuracy=0.5)
    run.record(epoch=2, train_accuracy=0.6, test_accuracy=math.inf)
    run.record(epoch=1, train_accuracy=0.55)
    run.publish()
    text = (tmp_path / "a" / "run.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    history = open_run(tmp_path / "a").history
    assert history["epoch"] == [0, 1, 2]
    assert history["train_accuracy"][1:] == [0.55, 0.6]
    assert math.isnan(history["train_accuracy"][0])
    assert history["test_accuracy"][0] == 0.1
    assert all(math.isnan(v) for v in history["test_accuracy"][1:])


@given(st.lists(st.tuples(st.integers(0, 6), st.sets(st.sampled_from("abc"))), max_size=12))
def test_columns_always_have_equal_lengths(rows: list[tuple[int, set[str]]]) -> None:
    run = RunWriter("nowhere")
    expected: dict[int, dict[str, float]] = {}
    for i, (epoch, keys) in enumerate(rows):
        values = {key: float(i) for key in keys}
        run.record(epoch=epoch, **values)
        expected.setdefault(epoch, {}).update(values)
    history = run.run.history
    assert {len(column) for column in history.values()} <= {len(expected)}
    for i, epoch in enumerate(history.get("epoch", [])):
        for key in set(history) - {"epoch"}:
            value = history[key][i]
            assert value == expected[epoch].get(key, value) or math.isnan(value)
            assert math.isnan(value) == (key not in expected[epoch])


def test_a_run_goes_on_or_begins_anew(tmp_path: Path) -> None:
    model = network()
    first = RunWriter(tmp_path / "a")
    first.save(model, epoch=1, train_loss=2.0)
    again = RunWriter(tmp_path / "a", resume=True)
    again.save(model, epoch=2, train_loss=1.0)
    assert open_run(tmp_path / "a").epochs == (1, 2)
    assert open_run(tmp_path / "a").history["train_loss"] == [2.0, 1.0]
    anew = RunWriter(tmp_path / "a")
    assert open_run(tmp_path / "a").epochs == (1, 2)  # nothing changes before the first save
    anew.save(model, epoch=7)
    assert open_run(tmp_path / "a").epochs == (7,)


def fails_after_one_save(folder: Path) -> None:
    with RunWriter(folder) as run:
        run.save(network(), epoch=1)
        _ = 1 / 0


def test_the_end_of_the_block_is_the_end_of_the_run(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "a") as run:
        run.save(network(), epoch=1)
    assert open_run(tmp_path / "a").finished
    with pytest.raises(ZeroDivisionError):
        fails_after_one_save(tmp_path / "b")
    assert not open_run(tmp_path / "b").finished


def test_paths_of_data_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images.zip").touch()
    monkeypatch.chdir(tmp_path)
    run = RunWriter("r", data=["images.zip", "digits-test", "digits-train@random_labels-50"]).run
    assert run.data == (
        DataEntry(str(tmp_path / "images.zip"), "images.zip"),
        DataEntry("digits-test", "digits, test split"),
        DataEntry("digits-train@random_labels-50", "digits-train@random_labels-50"),
    )


def test_whoever_follows_never_sees_half_a_file(tmp_path: Path) -> None:
    model = nn.Linear(400, 400)
    stop = threading.Event()
    seen: list[int] = []
    wrong: list[Exception] = []

    def follow() -> None:
        while not stop.is_set():
            try:
                run = open_run(tmp_path / "a")
                open_checkpoint(run.checkpoint_path(None))
                seen.append(len(run.checkpoints))
            except Exception as error:
                wrong.append(error)

    writer = RunWriter(tmp_path / "a")
    writer.save(model, epoch=0, train_loss=1.0)
    follower = threading.Thread(target=follow)
    follower.start()
    for epoch in range(60):
        writer.save(model, epoch=epoch % 7, train_loss=1.0)
    stop.set()
    follower.join()
    assert seen
    assert not wrong


def test_the_description_is_json_that_any_reader_takes(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "a", title="Über")
    run.save(network(), epoch=0, train_loss=math.nan)

    def never(text: str) -> None:
        raise AssertionError(text)

    text = (tmp_path / "a" / "run.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=never)["history"]["train_loss"] == [None]

"""Folders of transformers: the same numbers as the library's own loading, and nothing hostile."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from text_models import edit_config, save_bert, save_image_model, save_t5, transformers, zipped

from core import library
from core.analysis import analyze, identification, inspect
from core.checkpoints import hugging_face, open_checkpoint
from core.checkpoints.opening import from_folder
from core.data.opening import open_dataset
from core.errors import UserError
from core.features.taps import select, trace
from core.models.building import build
from core.models.hugging_face import TextModel, text_model
from core.request import AnalysisRequest
from core.results import Settings


def opened(path: Path) -> TextModel:
    with hugging_face.opened(path) as folder:
        return text_model(folder, from_folder(folder, path).tensors)


def refusal(path: Path) -> str:
    """The one sentence with which a folder is refused, wherever that happens."""

    def make() -> None:
        checkpoint = open_checkpoint(path)
        if checkpoint.metadata.is_text:  # type: ignore[attr-defined]
            opened(path)
        else:
            build(checkpoint.tensors, checkpoint.metadata)

    with pytest.raises(UserError) as error:
        make()
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.fixture
def t5(tmp_path: Path) -> Path:
    save_t5(tmp_path / "t5")
    return tmp_path / "t5"


# --- the same network ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["relu", "gated-gelu"])
def test_t5_is_the_library_s_own(tmp_path: Path, kind: str) -> None:
    save_t5(tmp_path, feed_forward_proj=kind, num_decoder_layers=3)
    theirs = transformers().T5Model.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[4, 5, 6, 1], [7, 1, 0, 0]])
    given = {"input_ids": ids, "decoder_input_ids": ids, "attention_mask": (ids != 0).long()}
    model = opened(tmp_path)
    with torch.inference_mode():
        ours = model.module(**given, use_cache=False)
        expected = theirs(**given, use_cache=False)
    for key in ("last_hidden_state", "encoder_last_hidden_state"):
        assert torch.allclose(ours[key], expected[key], atol=1e-6)
    assert [len(s.blocks) for s in model.stacks] == [2, 3]
    assert [len(s.activations) for s in model.stacks] == [2, 3]
    assert model.gated == (kind != "relu")


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_encoders_are_the_library_s_own(tmp_path: Path, kind: str) -> None:
    save_bert(tmp_path, kind)
    theirs = getattr(transformers(), f"{kind}Model").from_pretrained(tmp_path).eval()
    ids = torch.tensor([[4, 5, 6, 1], [7, 1, 9, 9]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    model = opened(tmp_path)
    with torch.inference_mode():
        ours = model.module(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.allclose(ours[mask.bool()], expected[mask.bool()], atol=1e-6)
    assert len(model.stacks[0].blocks) == len(model.stacks[0].activations) == 3
    assert any("without its head" in note for note in model.warnings)
    assert model.longest == (40 if kind == "Bert" else 38)


@pytest.mark.parametrize("kind", ["ViT", "ConvNext", "ResNet"])
def test_image_classifiers_are_the_library_s_own(tmp_path: Path, kind: str) -> None:
    network = save_image_model(tmp_path, kind)
    checkpoint = open_checkpoint(tmp_path)
    model = build(checkpoint.tensors, checkpoint.metadata)
    shape = (5, *model.preprocessing.shape)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = model.module(images)
        assert torch.allclose(logits, network(images).logits, atol=1e-5)
    assert model.classes == 10
    assert model.parameters == sum(p.numel() for p in network.parameters())
    taps = select(trace(model.module, images[:2]))
    stages = ["stages.0.0", "stages.1.0", "stages.1.1"]
    expected = {
        "ViT": ["layers.0", "layers.1", "layers.2"],
        "ConvNext": stages,
        "ResNet": ["stages.0.0", "stages.0.1", "stages.1.0"],
    }
    kinds = {tap.name: tap.kind for tap in taps}
    assert all("Layer" in kinds[name] for name in expected[kind]), kinds
    assert sum("Layer" in kind and kind != "LayerNorm" for kind in kinds.values()) == 3


def test_images_go_through_the_ordinary_analysis(tmp_path: Path) -> None:
    network = save_image_model(tmp_path, "ViT")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"size": 8, "image_mean": [0.25], "image_std": [0.5], "do_normalize": True})
    )
    wanted = Settings(metrics=("collapse", "sparsity"), max_images=120)
    analysis = analyze(AnalysisRequest(str(tmp_path), "digits-test", settings=wanted))
    data = open_dataset("digits-test")
    data = data.select(data.stratified(120, 0))
    images = np.stack([data.image(i) for i in range(len(data))])[:, None, :, :, 0]
    images = images / 255 if images.dtype == np.uint8 else images
    with torch.inference_mode():
        logits = network(torch.from_numpy((images - 0.25) / 0.5).float()).logits
    expected = (logits.argmax(1).numpy() == data.labels).mean()
    assert analysis.accuracy == pytest.approx(expected, abs=1e-6)
    assert analysis.checkpoint.format == "Hugging Face folder"
    assert analysis.checkpoint.architecture == "vit"
    assert len(analysis.activations) == 3
    assert all(a.sparsity.approximate for a in analysis.activations)


def test_resnet_takes_size_and_crop_from_its_preprocessor(tmp_path: Path) -> None:
    save_image_model(tmp_path, "ConvNext")
    told = {"size": {"shortest_edge": 64}, "crop_pct": 0.875, "image_mean": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps(told | {"image_std": [0.25] * 3, "resample": 3})
    )
    checkpoint = open_checkpoint(tmp_path)
    found = build(checkpoint.tensors, checkpoint.metadata).preprocessing
    assert (found.height, found.crop_from, found.interpolation) == (64, 73, "bicubic")
    assert found.mean == (0.5, 0.5, 0.5)
    assert found.std == (0.25, 0.25, 0.25)


def test_parameters_are_counted_once(t5: Path, tmp_path: Path) -> None:
    network = save_t5(tmp_path / "again")
    expected = sum(p.numel() for p in network.parameters())
    assert opened(tmp_path / "again").parameters == expected
    found = identification(tmp_path / "again")
    assert (found.architecture, found.match, found.parameters) == ("t5", "names", expected)
    # an old file writes the tied tensor under each of its names
    tensors = load_file(t5 / "model.safetensors")
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors["shared.weight"].clone()
    save_file(tensors, t5 / "model.safetensors")
    assert opened(t5).parameters == expected
    # or under another name alone
    kept = {k: v for k, v in tensors.items() if k not in ("shared.weight", "lm_head.weight")}
    save_file(kept, t5 / "model.safetensors")
    assert opened(t5).parameters == expected


def test_zip_and_folder_are_the_same(t5: Path, tmp_path: Path) -> None:
    file = zipped(t5, tmp_path / "t5.zip", "some/folder/")
    one, two = open_checkpoint(t5), open_checkpoint(file)
    assert one.sha256 == two.sha256
    assert one.tensors.keys() == two.tensors.keys()
    assert all(torch.equal(one.tensors[k], two.tensors[k]) for k in one.tensors)
    summary = inspect(AnalysisRequest(str(file)))
    assert (summary.architecture, summary.format) == ("t5", "Hugging Face folder")
    assert library.file_sha256(t5) == one.sha256
    (t5 / "README.md").write_text("not read")
    assert open_checkpoint(t5).sha256 == one.sha256
    edit_config(t5, d_kv=7)
    assert hugging_face.digest(t5) != one.sha256


def test_shards_make_one_network(tmp_path: Path) -> None:
    network = save_t5(tmp_path / "whole")
    network.save_pretrained(tmp_path / "parts", max_shard_size="6KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    one, two = (open_checkpoint(tmp_path / n).tensors for n in ("whole", "parts"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)
    next((tmp_path / "parts").glob("*.safetensors")).unlink()
    assert "lacks 1 of" in refusal(tmp_path / "parts")


def test_a_text_transformer_takes_the_tensors_without_a_copy(t5: Path) -> None:
    with hugging_face.opened(t5) as folder:
        tensors = from_folder(folder, t5).tensors
        module = text_model(folder, tensors).module
    assert not any(t.is_meta for t in (*module.parameters(), *module.buffers()))
    places = {t.data_ptr() for t in tensors.values()}
    assert {p.data_ptr() for p in module.parameters()} <= places


def test_half_precision_is_computed_in_float32(tmp_path: Path) -> None:
    network = save_t5(tmp_path)
    network.half().save_pretrained(tmp_path)
    assert next(opened(tmp_path).module.parameters()).dtype == torch.float32
    assert any("float16" in note for note in open_checkpoint(tmp_path).warnings)


# --- nothing hostile -----------------------------------------------------------------------------


def test_code_in_the_folder_never_runs(t5: Path, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    code = f"open({str(trap)!r}, 'w')\n"
    (t5 / "configuration_evil.py").write_text(code)
    (t5 / "modeling_evil.py").write_text(code)
    edit_config(
        t5,
        auto_map={"AutoConfig": "configuration_evil.C", "AutoModel": "modeling_evil.M"},
        trust_remote_code=True,
        attn_implementation="evil/kernels",
        _attn_implementation="evil/kernels",
    )
    model = opened(t5)
    assert not trap.exists()
    assert any("auto_map" in note for note in model.warnings)
    assert model.module.config._attn_implementation == "eager"


def test_nothing_comes_from_the_network(t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    assert opened(t5).architecture == "t5"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "llama"}, "t5, bert, roberta (text), vit, convnext, resnet (images)"),
        ({"model_type": None}, "names no model_type"),
        ({"model_type": ["t5"]}, "folders of these are opened"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"num_layers": 1_000_000}, "blocks, and the files hold"),
        ({"num_layers": 10**30}, "which no network has"),
        ({"num_layers": "many"}, "num_layers"),
        ({"num_layers": -3}, "num_layers"),
        ({"d_model": 10**7}, "does not fit its config.json"),
        ({"vocab_size": 10**7}, "does not fit its config.json"),
        ({"vocab_size": float("nan")}, "which no network has"),
        ({"num_heads": 0}, "config.json"),
        ({"num_heads": [2] * 99}, "which no network has"),
        ({"d_ff": {"a": 1}}, "which no network has"),
        ({"d_ff": 25}, "instead of"),
        ({"feed_forward_proj": "os.system"}, "describes no network"),
        ({"relative_attention_num_buckets": 3}, "instead of"),
        ({"position_embedding_type": "relative_key"}, "position embeddings"),
    ],
)
def test_settings_that_make_no_network(t5: Path, changes: dict[str, Any], words: str) -> None:
    edit_config(t5, **changes)
    started = time.perf_counter()
    assert words in refusal(t5)
    assert time.perf_counter() - started < 30


def corrupted(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None  # type: ignore[return-value]


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    without_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def onnx_only(folder: Path) -> None:
    without_weights(folder)
    (folder / "model.onnx").write_bytes(b"\x08\x01")


def two_files(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")


def index_outside(folder: Path) -> None:
    without_weights(folder)
    table = {"weight_map": {"a": "../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(table))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])


def absurd_header(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 39, 4], "data_offsets": [0, 4]}})
    content = len(header).to_bytes(8, "little") + header.encode() + b"\0" * 4
    (folder / "model.safetensors").write_bytes(content)


def lacking(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.block.0.layer.0.SelfAttention.q.weight"]
    save_file(tensors, folder / "model.safetensors")


def foreign(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"evil.weight": torch.ones(2)}, folder / "model.safetensors")


def encoder_alone(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if not k.startswith("decoder.")}
    save_file(kept, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (corrupted("config.json", b"{"), "no JSON"),
        (corrupted("config.json", b"[1]"), "no table of settings"),
        (corrupted("config.json", b'{"a":' * 50_000), "no JSON"),
        (corrupted("config.json", b'{"a":' * 40 + b"1" + b"}" * 40), "nested deeper"),
        (corrupted("config.json", b" " * (2 << 20)), "which no network needs"),
        (corrupted("config.json", b"\xff\xfe{"), "no JSON"),
        (corrupted("tokenizer.json", b" " * (65 << 20)), "tokenizer.json has 65 MiB"),
        (corrupted("preprocessor_config.json", b"nonsense"), "no JSON"),
        (corrupted("model.safetensors", b"\x80\x04nonsense"), "no safetensors file"),
        (corrupted("model.safetensors", b"version https://git-lfs"), "git lfs pull"),
        (corrupted("model.safetensors", b""), "no safetensors file"),
        (without_weights, "no weights"),
        (pickled, "pickle"),
        (onnx_only, "model.onnx"),
        (two_files, "2 parts of a network without"),
        (index_outside, "outside the folder"),
        (cut, "damaged or cut off"),
        (absurd_header, "more than model.safetensors holds"),
        (lacking, "it lacks encoder.block.0.layer.0.SelfAttention.q.weight"),
        (foreign, "evil.weight is not part of it"),
        (encoder_alone, "an encoder of T5 alone"),
    ],
)
def test_damaged_and_hostile_folders(t5: Path, change: Callable[[Path], None], words: str) -> None:
    change(t5)
    assert words in refusal(t5)


def test_weights_that_are_not_finite_give_a_warning(t5: Path) -> None:
    tensors = load_file(t5 / "model.safetensors")
    tensors["encoder.block.0.layer.1.DenseReluDense.wi.weight"][0, 0] = float("nan")
    save_file(tensors, t5 / "model.safetensors")
    assert any("NaN" in note for note in open_checkpoint(t5).warnings)


def test_an_image_network_needs_its_head(tmp_path: Path) -> None:
    save_image_model(tmp_path, "ResNet")
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if not k.startswith("classifier")}
    save_file(kept, tmp_path / "model.safetensors")
    assert "has no classifier" in refusal(tmp_path)


def hostile_zip(t5: Path, target: Path, kind: str) -> Path:
    zipped(t5, target)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        if kind == "slip":
            archive.writestr("../outside.safetensors", b"x")
        elif kind == "absolute":
            archive.writestr("/tmp/outside.safetensors", b"x")
        elif kind == "link":
            info = zipfile.ZipInfo("a.safetensors")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, b"/etc/passwd")
        elif kind == "bomb":
            archive.writestr("zeros.safetensors", bytes(8 << 20))
        elif kind == "twice":
            archive.writestr("CONFIG.json", b"{}")
            archive.writestr("config.JSON", b"{}")
            archive.writestr("tokenizer.json", b"{}")
    return target


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("slip", "leaves the archive"),
        ("absolute", "leaves the archive"),
        ("link", "symbolic link"),
        ("bomb", "no ordinary file of weights"),
        ("twice", "twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_zips(
    t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    file = hostile_zip(t5, tmp_path / "hostile.zip", kind)
    assert words in refusal(file)
    assert not list(private.iterdir())
    assert not (tmp_path / "outside.safetensors").exists()


def test_what_was_unpacked_is_deleted(
    t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    with hugging_face.opened(zipped(t5, tmp_path / "a.zip")) as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert folder.path.parent == private
    assert not list(private.iterdir())


def test_a_zip_of_something_else_is_told_as_before(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("x.txt", "x")
    assert not hugging_face.is_hugging_face(tmp_path / "a.zip")
    with pytest.raises(UserError, match="something else"):
        open_checkpoint(tmp_path / "a.zip")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(["config.json", "model.safetensors"]), st.data())
def test_damage_anywhere_is_one_sentence(t5: Path, name: str, data: st.DataObject) -> None:
    original = (t5 / name).read_bytes()
    place = data.draw(st.integers(0, min(len(original), 1500) - 1))
    byte = data.draw(st.integers(0, 255))
    said = ""
    try:
        (t5 / name).write_bytes(original[:place] + bytes([byte]) + original[place + 1 :])
        opened(t5)
    except UserError as error:
        said = str(error)
    finally:
        (t5 / name).write_bytes(original)
    assert "\n" not in said


def test_without_transformers_one_sentence_says_how_to_install_it(
    t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install -r requirements-transformers.txt" in refusal(t5)
    assert identification(t5).architecture == "t5"  # needs no library


def test_transformers_is_not_imported_before_it_is_needed(repo: Path) -> None:
    code = (
        "import sys, core.language.analysis, core.models.building, core.analysis;"
        "print(sorted({'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

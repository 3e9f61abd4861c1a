"""Files of texts: sentences, labels, token ids; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from text_models import transformers, write_tokenizer

from core.errors import UserError
from core.language import texts as reading
from core.language.request import TextRequest
from core.language.texts import UNLABELLED, Texts, open_texts
from core.language.tokens import tokenise
from core.request import AnalysisRequest
from core.results import Settings


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "lines.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_sentences_alone(tmp_path: Path) -> None:
    texts = open_texts(written(tmp_path, "\ufeffA cat.\r\n\n  A dög.  \n"), "mine")
    assert texts.sentences == ("A cat.", "A dög.")
    assert texts.labels is None
    assert texts.class_names == (UNLABELLED,)
    assert texts.lines.tolist() == [0, 2]
    assert texts.name == "mine"


def test_labels_before_the_first_tab_in_natural_order(tmp_path: Path) -> None:
    texts = open_texts(written(tmp_path, "c10\ta\tb\nc9\tx\nc10\ty\nc9\t7 8\n"))
    assert texts.class_names == ("c9", "c10")
    assert texts.labels is not None
    assert texts.labels.tolist() == [1, 0, 1, 0]
    assert texts.sentences == ("a\tb", "x", "y", "7 8")


def test_lines_of_whole_numbers_are_token_ids(tmp_path: Path) -> None:
    texts = open_texts(written(tmp_path, "b\t5 6, 7\na\t8\n"))
    assert texts.sentences is None
    assert texts.ids is not None
    assert [row.tolist() for row in texts.ids] == [[5, 6, 7], [8]]
    assert texts.class_names == ("a", "b")


def test_a_draw_keeps_the_shares_of_classes(tmp_path: Path) -> None:
    lines = [f"{'a' if i % 4 else 'b'}\tsentence {i}" for i in range(80)]
    texts = open_texts(written(tmp_path, "\n".join(lines))).drawn(20, 3)
    assert texts.labels is not None
    assert np.bincount(texts.labels).tolist() == [15, 5]
    assert texts.sentences is not None
    assert [int(s.split()[1]) for s in texts.sentences] == texts.lines.tolist()
    assert len(texts.drawn(None, 0)) == len(texts.drawn(99, 0)) == 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (" \n\t\n", "is empty"),
        (b"good\nbad \xff\n", "line 2 holds the byte 0xff"),
        (b"a\0b", "zero bytes"),
        ("a\tx\nb\ty\nno tab\n", "line 3 holds no tab"),
        ("a\tx\nb\t \n", "line 2 holds a label and no sentence"),
        ("x" * 20_001, "20,001 characters"),
        ("1 2 3\n4 9999999999999\n", "too large"),
        ("\n".join(f"label{i}\tx" for i in range(1001)), "1,001 different labels"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        open_texts(written(tmp_path, content))
    assert "\n" not in str(error.value)


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "x\n" * 50)
    monkeypatch.setattr(reading, "MAX_LINES", 49)
    with pytest.raises(UserError, match="50 lines"):
        open_texts(path)
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="MiB"):
        open_texts(path)
    with pytest.raises(UserError, match="no file of texts"):
        open_texts(tmp_path / "nothing.txt")


def npz(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "ids.npz", **arrays)
    return tmp_path / "ids.npz"


def test_arrays_of_ids_without_what_the_mask_hides(tmp_path: Path) -> None:
    ids = np.array([[5, 6, 0], [0, 0, 0], [0, 7, 8]])
    mask = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]])
    path = npz(tmp_path, ids=ids, mask=mask, labels=np.array([1, 0, 0]))
    texts = open_texts(path)
    assert texts.ids is not None
    assert texts.labels is not None
    assert [row.tolist() for row in texts.ids] == [[5, 6], [7, 8]]
    assert texts.lines.tolist() == [0, 2]
    assert texts.labels.tolist() == [1, 0]
    assert texts.warnings == ("1 rows without a token were left out",)
    plain = open_texts(npz(tmp_path, ids=ids))
    assert any("no mask" in note for note in plain.warnings)
    named = npz(tmp_path, ids=ids, labels=np.array([1, 0, 2]), class_names=np.array(list("xyz")))
    assert open_texts(named).class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": np.ones((2, 3))}, "needs the array ids"),
        ({"ids": np.ones((2, 3))}, "needs the array ids"),
        ({"ids": np.ones(3, dtype=int)}, "needs the array ids"),
        ({"ids": np.ones((2, 3), dtype=int), "mask": np.ones((2, 2), dtype=int)}, "mask must be"),
        ({"ids": np.ones((2, 3), dtype=int), "mask": np.full((2, 3), 2)}, "mask must be"),
        ({"ids": np.full((2, 3), -1)}, "from 0"),
        ({"ids": np.ones((2, 3), dtype=int), "mask": np.zeros((2, 3), dtype=int)}, "no token"),
        ({"ids": np.ones((2, 3), dtype=int), "labels": np.ones(3, dtype=int)}, "labels has shape"),
        ({"ids": np.array([[{}]], dtype=object)}, "Python objects"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_texts(npz(tmp_path, **arrays))


def of_ids(*rows: list[int]) -> Texts:
    ids = tuple(np.array(row) for row in rows)
    return Texts("t", "0", None, ids, None, (UNLABELLED,), np.arange(len(rows)))


def of_words(*lines: str) -> Texts:
    return Texts("t", "0", lines, None, None, (UNLABELLED,), np.arange(len(lines)))


def test_sentences_become_tokens_by_the_folder_s_tokenizer(tmp_path: Path) -> None:
    transformers()
    write_tokenizer(tmp_path)  # it pads to 30, which must not count
    texts, tokens = tokenise(
        of_words("the cat sleeps", "the dog runs today", "unheard"),
        *(tmp_path / "tokenizer.json", 32, 4, "m"),
    )
    assert [row.tolist() for row in tokens.ids] == [[3, 4, 7, 1], [3, 5, 8, 1], [2, 1]]
    assert tokens.warnings == ("1 of 3 texts are longer than 4 tokens and were cut",)
    assert len(texts) == 3


def test_no_text_is_longer_than_asked_for(tmp_path: Path) -> None:
    transformers()
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    tree = json.loads(path.read_text())
    tree["post_processor"]["single"] *= 2  # three special tokens and more
    path.write_text(json.dumps(tree))
    for most in (1, 2, 3):
        _, tokens = tokenise(of_words("the cat sleeps", "dog"), path, 32, most, "m")
        assert tokens.lengths.max() <= most


def test_token_ids_are_cut_and_checked(tmp_path: Path) -> None:
    _, tokens = tokenise(of_ids([1, 2, 3, 4], [5]), None, 32, 3, "m")
    assert [row.tolist() for row in tokens.ids] == [[1, 2, 3], [5]]
    with pytest.raises(UserError, match="token id 32, and the vocabulary of m has 32"):
        tokenise(of_ids([1, 32]), None, 32, 3, "m")
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        tokenise(of_words("x"), None, 32, 3, "m")


@pytest.mark.parametrize("content", ["{}", "nonsense", '{"model": {"type": "Evil"}}', "[" * 5000])
def test_a_broken_tokenizer_is_one_sentence(tmp_path: Path, content: str) -> None:
    transformers()
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json of m cannot be used") as error:
        tokenise(of_words("x"), tmp_path / "tokenizer.json", 32, 3, "m")
    assert "\n" not in str(error.value)


def test_what_there_is_of_images_alone_is_refused() -> None:
    asked = AnalysisRequest("m", "t.txt", settings=Settings(max_images=5, seed=3))
    request = TextRequest.of(asked, 16)
    assert (request.max_texts, request.seed, request.max_tokens) == (5, 3, 16)
    with pytest.raises(UserError, match=r"\.txt"):
        TextRequest.of(AnalysisRequest("m"))
    with pytest.raises(UserError, match="layers cannot be chosen"):
        TextRequest.of(AnalysisRequest("m", "t.txt", settings=Settings(layers="all")))

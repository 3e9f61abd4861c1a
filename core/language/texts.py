"""A file of texts: one sentence a line, ``label<TAB>sentence``, token ids; or an ``.npz`` of ids.

What a line is, is told from the whole file: labels where every line holds a tab, token ids where
every line holds whole numbers alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.checkpoints.formats import printable
from core.checkpoints.plain_folders import natural
from core.data.arrays import read_npz
from core.data.dataset import stratified
from core.errors import UserError
from core.feature_files import is_feature_file

MAX_BYTES = 64 << 20
MAX_LINES = 100_000
MAX_CHARACTERS = 20_000  # of one line
MAX_IDS = 50_000_000  # of an .npz
MAX_CLASSES = 1000
UNLABELLED = "all texts"

_IDS = re.compile(r"\d+(?:[\s,]+\d+)*")


@dataclass(frozen=True, slots=True)
class Texts:
    """N texts, as sentences or as token ids (one of the two is None)."""

    name: str
    sha256: str
    sentences: tuple[str, ...] | None
    ids: tuple[np.ndarray, ...] | None  # per text (T,) int64
    labels: np.ndarray | None  # (N,) 0 … K-1; None: no labels
    class_names: tuple[str, ...]
    lines: np.ndarray  # (N,) number of the line, or row of the array, from 0
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def select(self, rows: np.ndarray) -> Texts:
        """The texts at these positions, in this order."""
        return replace(
            self,
            sentences=None if self.sentences is None else tuple(self.sentences[i] for i in rows),
            ids=None if self.ids is None else tuple(self.ids[i] for i in rows),
            labels=None if self.labels is None else self.labels[rows],
            lines=self.lines[rows],
        )

    def drawn(self, count: int | None, seed: int) -> Texts:
        """At most ``count`` texts, the same share of every class."""
        if count is None or count >= len(self):
            return self
        labels = np.zeros(len(self), dtype=np.int64) if self.labels is None else self.labels
        return self.select(stratified(labels, count, seed))


def open_texts(path: str | Path, name: str = "") -> Texts:
    """Read a file of texts. UserError, in one sentence, for whatever cannot be one."""
    path = Path(path)
    name = printable(name or path.name)
    if not path.is_file():
        raise UserError(f"there is no file of texts {name}; give a .txt file, one sentence a line")
    if is_feature_file(path):
        return _open_npz(path, name)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{name} has {size >> 20} MiB, and texts of up to {MAX_BYTES >> 20} MiB are read; "
            "take fewer lines"
        )
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{name} is not UTF-8 text: line {line} holds the byte 0x{data[error.start]:02x}; "
            "save it as UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"{name} is no text: it holds zero bytes; give one sentence a line")
    return _from_lines(text.split("\n"), name, hashlib.sha256(data).hexdigest())


def _from_lines(lines: list[str], name: str, sha256: str) -> Texts:
    stripped = [(i, line.strip("\r ")) for i, line in enumerate(lines) if line.strip()]
    if not stripped:
        raise UserError(f"{name} is empty; give one sentence a line")
    if len(stripped) > MAX_LINES:
        raise UserError(
            f"{name} holds {len(stripped):,} lines, and up to {MAX_LINES:,} are read; take fewer"
        )
    longest = max(stripped, key=lambda pair: len(pair[1]))
    if len(longest[1]) > MAX_CHARACTERS:
        raise UserError(
            f"{name}: line {longest[0] + 1} has {len(longest[1]):,} characters, and up to "
            f"{MAX_CHARACTERS:,} are read; split it into sentences"
        )
    numbers = np.array([i for i, _ in stripped])
    rest = [line for _, line in stripped]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = (UNLABELLED,)
    notes: tuple[str, ...] = ()
    tabs = ["\t" in line for line in rest]
    if any(tabs):
        if not all(tabs):
            raise UserError(
                f"{name}: line {numbers[tabs.index(False)] + 1} holds no tab and others do; write "
                "label<TAB>sentence in every line, or sentences alone"
            )
        words, rest = zip(*(line.split("\t", 1) for line in rest), strict=True)  # type: ignore[assignment]
        rest = [line.strip() for line in rest]
        labels, class_names = _classes([word.strip() for word in words], name)
        bare = [int(n) + 1 for n, line in zip(numbers, rest, strict=True) if not line]
        if bare:
            raise UserError(f"{name}: line {bare[0]} holds a label and no sentence; add one")
        if len(class_names) > len(rest) // 2:
            notes = (f"{len(class_names)} labels for {len(rest)} texts: classes are very small",)
    if all(_IDS.fullmatch(line) for line in rest):
        ids = tuple(_whole_numbers(line, name) for line in rest)
        return Texts(name, sha256, None, ids, labels, class_names, numbers, notes)
    return Texts(name, sha256, tuple(rest), None, labels, class_names, numbers, notes)


def _whole_numbers(line: str, name: str) -> np.ndarray:
    parts = re.split(r"[\s,]+", line)
    if max(map(len, parts)) > 12:
        raise UserError(
            f"{name} holds the token id {printable(max(parts, key=len), 24)}, too large"
        )
    return np.array([int(part) for part in parts], dtype=np.int64)


def _classes(words: list[str], name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    names = sorted(set(words), key=natural)
    if len(names) > MAX_CLASSES:
        raise UserError(
            f"{name} holds {len(names):,} different labels, and up to {MAX_CLASSES:,} are read; "
            "the label stands before the first tab"
        )
    place = {word: k for k, word in enumerate(names)}
    shown = tuple(printable(word) or "(no name)" for word in names)
    return np.array([place[word] for word in words], dtype=np.int64), shown


def _open_npz(path: Path, name: str) -> Texts:
    """``ids`` (N, T), optionally ``mask`` (N, T), ``labels`` (N,) and ``class_names``."""
    arrays = read_npz(path, name)
    ids = arrays.get("ids")
    if ids is None or ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size:
        found = ", ".join(f"{k} {v.shape}" for k, v in arrays.items()) or "nothing"
        raise UserError(
            f"{name} needs the array ids (N, T) of whole numbers, found: {printable(found, 120)}"
        )
    if ids.size > MAX_IDS or len(ids) > MAX_LINES:
        raise UserError(
            f"{name} holds {len(ids):,} texts of {ids.shape[1]:,} tokens; up to {MAX_LINES:,} "
            f"texts and {MAX_IDS:,} tokens are read"
        )
    mask = arrays.get("mask", np.ones(ids.shape, dtype=bool))
    if mask.shape != ids.shape or not np.isin(mask, (0, 1)).all():
        raise UserError(f"{name}: mask must be 0 or 1 and have the shape {ids.shape} of ids")
    mask = mask.astype(bool)
    if (ids[mask] < 0).any() or (ids[mask] >= 1 << 40).any():
        raise UserError(f"{name}: ids must be whole numbers from 0; mask the padding")
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        raise UserError(f"{name}: the mask leaves no token")
    notes: tuple[str, ...] = ()
    if len(rows) < len(ids):
        notes += (f"{len(ids) - len(rows)} rows without a token were left out",)
    if "mask" not in arrays:
        notes += ("no mask: every token id counts, padding too if there is any",)
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = (UNLABELLED,)
    if "labels" in arrays:
        labels, class_names = _npz_labels(arrays, len(ids), name)
        labels = labels[rows]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    chosen = tuple(ids[i][mask[i]].astype(np.int64) for i in rows)
    return Texts(name, digest, None, chosen, labels, class_names, rows, notes)


def _npz_labels(
    arrays: dict[str, np.ndarray], count: int, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    values = arrays["labels"]
    if values.shape != (count,) or values.dtype.kind not in "iuU":
        raise UserError(
            f"{name}: labels has shape {values.shape} of {values.dtype}; it must hold one whole "
            "number or word for each text"
        )
    labels, names = _classes([str(v) for v in values], name)
    told = arrays.get("class_names", np.empty(0))
    counted = told.ndim == 1 and values.dtype.kind in "iu"
    if counted and values.min() >= 0 and values.max() < len(told) <= MAX_CLASSES:
        return values.astype(np.int64), tuple(printable(str(t)) for t in told)
    return labels, names

"""A folder as Hugging Face transformers writes it: ``config.json`` and ``*.safetensors``.

Given as a folder or as a zip. Only JSON and safetensors are read: no Python code, no pickle, and
nothing from the network. Imports neither torch nor transformers until tensors are read.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.checkpoints.formats import printable, safetensors_header
from core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "Hugging Face folder"
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
PREPROCESSOR = "preprocessor_config.json"
TOKENIZER = "tokenizer.json"

TEXT_TYPES = ("t5", "bert", "roberta")
IMAGE_TYPES = ("vit", "convnext", "resnet")
"""``model_type`` of what can be opened; ``core.models.hugging_face`` knows how."""

MAX_CONFIG = 1 << 20  # bytes of config.json and preprocessor_config.json
MAX_INDEX = 16 << 20
MAX_TOKENIZER = 64 << 20
MAX_DEPTH = 16  # of nested JSON
MAX_TENSORS = 20_000
MAX_SHARDS = 200
MAX_UNPACKED = 16 << 30  # bytes of a zip's files together

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_OTHERS = (".msgpack", ".h5", ".onnx", ".gguf", ".tflite", ".ot")
_REMEDY = "save it again with: model.save_pretrained('FOLDER', safe_serialization=True)"


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds, checked but not loaded."""

    path: Path
    name: str
    config: dict[str, Any]
    preprocessor: dict[str, Any] | None
    tokenizer: Path | None
    files: tuple[Path, ...]  # safetensors
    shapes: dict[str, tuple[int, ...]]  # of every tensor
    sha256: str  # over names and contents of all files above
    warnings: tuple[str, ...] = ()

    @property
    def model_type(self) -> str:
        return str(self.config["model_type"])

    @property
    def is_text(self) -> bool:
        return self.model_type in TEXT_TYPES


class Description(dict):  # type: ignore[type-arg]
    """A checkpoint's metadata, with the whole configuration beside the scalars that are shown."""

    def __init__(self, folder: Folder) -> None:
        scalars = {
            printable(key): printable(value) if isinstance(value, str) else value
            for key, value in folder.config.items()
            if isinstance(value, str | int | float | bool)
        }
        super().__init__(list(scalars.items())[:100])
        self.config = folder.config
        self.preprocessor = folder.preprocessor
        self.name = folder.name
        self.model_type, self.is_text = folder.model_type, folder.is_text


def is_hugging_face(path: str | Path) -> bool:
    """True for a folder with ``config.json``, and for a zip with one beside weights."""
    path = Path(path)
    if path.is_dir():
        return (path / CONFIG).is_file()
    return path.is_file() and _root_in(path) is not None


def is_text_model(path: str | Path) -> bool:
    """True where ``config.json`` names a text transformer. Nothing is unpacked, and nothing but
    that name is looked at."""
    path = Path(path)
    if not is_hugging_face(path):
        return False
    try:
        if path.is_dir():
            with (path / CONFIG).open("rb") as file:
                data = file.read(MAX_CONFIG + 1)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(_config_in(path)) as entry:
                data = entry.read(MAX_CONFIG + 1)
        tree = json.loads(data) if len(data) <= MAX_CONFIG else None
    except (OSError, ValueError, RecursionError, RuntimeError, zipfile.BadZipFile):
        return False
    return isinstance(tree, dict) and tree.get("model_type") in TEXT_TYPES


def _config_in(path: Path) -> str:
    return ((_root_in(path) or PurePosixPath()) / CONFIG).as_posix()


def digest(path: str | Path) -> str:
    """The digest of a folder or zip: of what is read of it, under whatever name it is given."""
    with opened(Path(path)) as folder:
        return folder.sha256


@contextmanager
def opened(path: Path, name: str = "") -> Iterator[Folder]:
    """The folder at ``path``, or what a zip holds, unpacked into a private folder that is deleted
    at the end. UserError in one sentence for everything that is refused."""
    name = printable(name or path.name)
    if path.is_dir():
        yield _read(path, name)
        return
    root = _root_in(path) if path.is_file() else None
    if root is None:
        raise UserError(f"{name} holds no {CONFIG} beside *.safetensors; {_REMEDY}")
    with tempfile.TemporaryDirectory(prefix="featurescope-") as private:
        _unpack(path, root, Path(private), name)
        yield _read(Path(private), name)


def read_tensors(folder: Folder) -> dict[str, Tensor]:
    """Every tensor of the folder in memory of its own, in the order of the files."""
    from safetensors import safe_open

    tensors: dict[str, Tensor] = {}
    for file in folder.files:
        try:
            with safe_open(file, framework="pt", device="cpu") as opened_file:
                for key in opened_file.keys():  # noqa: SIM118
                    tensors[key] = opened_file.get_tensor(key).clone()
        except Exception as error:  # the library raises its own kinds for damaged files
            raise UserError(
                f"{folder.name}: {file.name} is damaged or cut off "
                f"({printable(str(error), 120)}); copy or download it again"
            ) from error
    return {key: tensors[key] for key in folder.shapes}


# --- a zip -------------------------------------------------------------------------------------


def _root_in(path: Path) -> PurePosixPath | None:
    """The folder inside a zip whose ``config.json`` lies beside weights; None without any."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(n) for n in archive.namelist()[:200_000]]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    weights = {n.parent for n in names if n.suffix in (".safetensors", *_PICKLES)}
    roots = [n.parent for n in names if n.name == CONFIG and n.parent in weights]
    return min(roots, key=lambda root: len(root.parts), default=None)


def _unpack(path: Path, root: PurePosixPath, target: Path, name: str) -> None:
    """Only files that are read, and only once the whole directory has been checked."""
    from core.data.archives import check_directory  # reads images: not for every page

    with zipfile.ZipFile(path) as archive:
        entries = [e for e in archive.infolist() if not e.is_dir()]
        check_directory(
            entries, name, largest=MAX_UNPACKED, total=MAX_UNPACKED, what="file of weights"
        )
        chosen = {}
        for entry in entries:
            place = PurePosixPath(entry.filename)
            if place.parent != root or not _is_wanted(place.name):
                continue
            if place.name.casefold() in chosen:
                raise UserError(f"{name} holds {printable(place.name)} twice; zip the folder anew")
            chosen[place.name.casefold()] = entry
        for entry in chosen.values():
            _unpack_one(archive, entry, target / PurePosixPath(entry.filename).name, name)


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, name: str) -> None:
    left = entry.file_size
    try:
        with archive.open(entry) as source, target.open("xb") as sink:
            while block := source.read(1 << 20):
                left -= len(block)
                if left < 0:
                    raise zipfile.BadZipFile("longer than its directory says")
                sink.write(block)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{name}: {printable(entry.filename)} is damaged ({printable(str(error))}); "
            "zip the folder anew"
        ) from error


def _is_wanted(name: str) -> bool:
    known = (CONFIG, INDEX, PREPROCESSOR, TOKENIZER)
    return name in known or name.endswith((".safetensors", *_PICKLES, *_OTHERS))


# --- a folder ----------------------------------------------------------------------------------


def _read(path: Path, name: str) -> Folder:
    config = _json(path / CONFIG, name, MAX_CONFIG)
    notes = _check_config(config, name)
    preprocessor = None
    if (path / PREPROCESSOR).is_file():
        preprocessor = _json(path / PREPROCESSOR, name, MAX_CONFIG)
    tokenizer = path / TOKENIZER if (path / TOKENIZER).is_file() else None
    if tokenizer is not None and tokenizer.stat().st_size > MAX_TOKENIZER:
        raise UserError(
            f"{name}: {TOKENIZER} has {tokenizer.stat().st_size >> 20} MiB, and tokenizers of up "
            f"to {MAX_TOKENIZER >> 20} MiB are read; leave it out and give token ids"
        )
    files = _weights(path, name)
    shapes = _shapes(files, name)
    read = [path / CONFIG, *files]
    read += [path / PREPROCESSOR] if preprocessor is not None else []
    read += [tokenizer] if tokenizer is not None else []
    return Folder(path, name, config, preprocessor, tokenizer, files, shapes, _digest(read), notes)


def _check_config(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    kind = config.get("model_type")
    if kind not in (*TEXT_TYPES, *IMAGE_TYPES):
        shown = f"is a {printable(str(kind), 40)}" if kind else "names no model_type"
        raise UserError(
            f"{name} {shown}, and folders of these are opened: {', '.join(TEXT_TYPES)} (text), "
            f"{', '.join(IMAGE_TYPES)} (images)"
        )
    if "quantization_config" in config:
        raise UserError(f"{name} is quantised; save the float network instead")
    if "auto_map" in config:
        return (f"{CONFIG} names Python code of its own (auto_map), which is never run",)
    return ()


def _json(path: Path, name: str, limit: int) -> dict[str, Any]:
    size = path.stat().st_size
    if size > limit:
        raise UserError(
            f"{name}: {path.name} has {size / 2**20:.1f} MiB, which no network needs "
            f"(at most {limit >> 20})"
        )
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{name}: {path.name} is no JSON that can be read; copy or download it again"
        ) from error
    if not isinstance(tree, dict):
        raise UserError(f"{name}: {path.name} holds no table of settings; download it again")
    if _depth(tree) > MAX_DEPTH:
        raise UserError(f"{name}: {path.name} is nested deeper than {MAX_DEPTH}; download it again")
    return tree


def _depth(tree: object) -> int:
    level, deepest = [tree], 0
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        inside = [v.values() if isinstance(v, dict) else v for v in level]
        level = [c for values in inside for c in values if isinstance(c, dict | list)]  # type: ignore[attr-defined]
    return deepest


def _weights(path: Path, name: str) -> tuple[Path, ...]:
    """The safetensors files, whole."""
    if (path / INDEX).is_file():
        table = _json(path / INDEX, name, MAX_INDEX).get("weight_map")
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise UserError(f"{name}: {INDEX} lists no files; copy or download it again")
        shards = sorted(set(table.values()))
        if len(shards) > MAX_SHARDS or any(Path(s).name != s or s in ("", "..") for s in shards):
            raise UserError(f"{name}: {INDEX} names files outside the folder; download it again")
        lacking = [s for s in shards if not (path / s).is_file()]
        if lacking:
            raise UserError(
                f"{name} lacks {len(lacking)} of {len(shards)} files that {INDEX} names, the "
                f"first is {printable(lacking[0])}; copy or download the whole folder"
            )
        return tuple(_safetensors(path / s, name) for s in shards)
    found = sorted(path.glob("*.safetensors"))
    if (path / "model.safetensors") in found:
        return (_safetensors(path / "model.safetensors", name),)
    if len(found) == 1:
        return (_safetensors(found[0], name),)
    if found:
        raise UserError(
            f"{name} holds {len(found)} parts of a network without {INDEX}; copy or download the "
            "whole folder"
        )
    others = sorted(p.name for p in path.iterdir() if p.suffix in _PICKLES)
    if others:
        raise UserError(
            f"{name} holds its weights in {printable(others[0])}, a Python pickle, which is not "
            f"opened because it can run code; {_REMEDY}"
        )
    others = sorted(p.name for p in path.iterdir() if p.suffix in _OTHERS)
    shown = f" but in {printable(others[0])}" if others else ""
    raise UserError(f"{name} holds no weights in *.safetensors{shown}; {_REMEDY}")


def _safetensors(path: Path, name: str) -> Path:
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[8:9] != b"{":
        pointer = " (it is a Git LFS pointer: git lfs pull)" if head[:7] == b"version" else ""
        raise UserError(
            f"{name}: {printable(path.name)} is no safetensors file{pointer}; "
            "copy or download it again"
        )
    return path


def _shapes(files: tuple[Path, ...], name: str) -> dict[str, tuple[int, ...]]:
    """Shapes as the headers tell them; their claims are compared with the files' sizes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        header = safetensors_header(file, f"{name}: {file.name}")
        room = file.stat().st_size
        for key, entry in header.items():
            if key == "__metadata__":
                continue
            shape = entry.get("shape") if isinstance(entry, dict) else None
            sound = isinstance(shape, list) and all(
                isinstance(side, int) and 0 <= side < 1 << 40 for side in shape
            )
            if not sound or key in shapes:
                raise UserError(
                    f"{name}: {file.name} describes the tensor {printable(key)} wrongly or twice; "
                    "copy or download it again"
                )
            count = 1
            for side in shape:  # type: ignore[union-attr]
                count *= side
            if count > room:
                raise UserError(
                    f"{name}: the tensor {printable(key)} claims {count:,} numbers, more than "
                    f"{file.name} holds; copy or download it again"
                )
            shapes[key] = tuple(shape)  # type: ignore[arg-type]
        if len(shapes) > MAX_TENSORS:
            raise UserError(
                f"{name} holds {len(shapes):,} tensors; networks of up to {MAX_TENSORS:,} are read"
            )
    if not shapes:
        raise UserError(f"{name} holds no tensors; {_REMEDY}")
    return shapes


def _digest(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda p: p.name):
        with file.open("rb") as stream:
            part = hashlib.file_digest(stream, "sha256").digest()
        whole.update(file.name.encode() + b"\0" + part)
    return whole.hexdigest()

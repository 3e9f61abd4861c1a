"""Open a checkpoint without executing anything of it: safe tensors and plain metadata.

Only ``torch.load(weights_only=True)`` after a check of the pickle's opcodes, and safetensors.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.checkpoints import hugging_face
from core.checkpoints.contents import LONGEST_TEXT, Contents, Scalar, find_contents, strip_prefixes
from core.checkpoints.formats import (
    SAFETENSORS,
    SAVE,
    ZIP,
    printable,
    recognise,
    safetensors_header,
)
from core.checkpoints.pickles import STAND_INS, check_pickle
from core.checkpoints.runs import TENSOR_ORDER
from core.errors import UserError

MAX_TENSORS = 20_000
MAX_STRUCTURE = 64 << 20  # bytes of the pickle that describes the tensors


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of a network and what the file says beside them."""

    name: str
    path: Path
    format: str  # "pytorch zip", "pytorch legacy", "safetensors", "lightning" or
    # "Hugging Face folder"
    sha256: str
    tensors: dict[str, torch.Tensor]  # on the CPU, in the file's order, without prefixes
    metadata: dict[str, Scalar]
    warnings: tuple[str, ...] = ()
    prefix: str = ""  # what was stripped from the front of every name


def open_checkpoint(path: str | Path, name: str | None = None) -> Checkpoint:
    """Read the file at ``path``; ``name`` is what the user knows it by (default: the file's name).
    A folder of Hugging Face transformers is read as well, or a zip of one.

    float16 and bfloat16 become float32. Raises UserError for whatever cannot be read safely.
    """
    path = Path(path)
    name = printable(name or path.name)
    try:
        return _open(path, name)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from error


def _open(path: Path, name: str) -> Checkpoint:
    if hugging_face.is_hugging_face(path):
        with hugging_face.opened(path, name) as folder:
            return from_folder(folder, path)
    kind = recognise(path, name)
    notes: list[str] = []
    if kind == SAFETENSORS:
        contents = _read_safetensors(path, name)
    else:
        root = _read_pickled(path, name, kind)
        if isinstance(root, dict) and "pytorch-lightning_version" in root:
            kind = "lightning"
        contents = find_contents(root, name)
        if contents.others:
            notes.append(_choice(contents))
    size = path.stat().st_size
    tensors, prefix = strip_prefixes(_checked(contents.tensors, name, size))
    tensors, more = _computable(tensors)
    return Checkpoint(
        name=name,
        path=path,
        format=kind,
        sha256=_sha256(path),
        tensors=tensors,
        metadata=contents.metadata,
        warnings=(*notes, *more),
        prefix=prefix,
    )


def from_folder(folder: hugging_face.Folder, path: Path) -> Checkpoint:
    """The checkpoint of a folder of Hugging Face transformers; names keep their prefixes."""
    size = sum(file.stat().st_size for file in folder.files)
    checked = _checked(hugging_face.read_tensors(folder), folder.name, size)
    tensors, notes = _computable(checked)
    return Checkpoint(
        name=folder.name,
        path=path,
        format=hugging_face.FORMAT,
        sha256=folder.sha256,
        tensors=tensors,
        metadata=hugging_face.Description(folder),
        warnings=(*folder.warnings, *notes),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _choice(contents: Contents) -> str:
    def shown(path: tuple[str, ...]) -> str:
        return f"'{printable('/'.join(path))}'" if path else "the top level"

    others = ", ".join(shown(path) for path in contents.others[:4])
    more = f" and {len(contents.others) - 4} more" if len(contents.others) > 4 else ""
    return f"the weights under {shown(contents.path)} are shown; the file also holds {others}{more}"


def _unreadable(name: str, error: Exception) -> UserError:
    if isinstance(error, MemoryError) or "alloc_cpu" in str(error):
        return UserError(
            f"{name} claims more memory than this machine has; write it again with: {SAVE}"
        )
    reason = str(error).strip().split("\n")[0].split(". ")[0]
    shown = f"{type(error).__name__}: {printable(reason, 120)}" if reason else type(error).__name__
    return UserError(
        f"{name} is damaged or cut off and cannot be read ({shown}); copy or download it again, or "
        f"write it again with: {SAVE}"
    )


def _read_safetensors(path: Path, name: str) -> Contents:
    from safetensors import safe_open

    header = safetensors_header(path, name)
    _check_count(len(header), name)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            texts = file.metadata() or {}
    except Exception as error:
        raise _unreadable(name, error) from error
    # safetensors sorts names; a plain network's layers follow each other in the order of its dict
    told = dict.fromkeys(texts.pop(TENSOR_ORDER, "").split("\n"))
    order = [key for key in (told | header) if key in tensors]
    metadata: dict[str, Scalar] = {
        printable(key): printable(value, LONGEST_TEXT) for key, value in list(texts.items())[:100]
    }
    if not tensors:
        raise UserError(f"{name} holds no tensors; write the weights with: {SAVE}")
    return Contents({key: tensors[key] for key in order}, (), (), metadata)


def _read_pickled(path: Path, name: str, kind: str) -> object:
    """What ``torch.load(weights_only=True)`` makes of a file whose pickles have been checked."""
    try:
        _check_zip(path, name) if kind == ZIP else _check_legacy(path, name)
        stand_ins: list[Any] = [(function, known) for known, function in STAND_INS.items()]
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # on hostile bytes torch raises anything: IndexError, EOFError, …
        raise _unreadable(name, error) from error


def _check_zip(path: Path, name: str) -> None:
    """Sizes and checksums of all records, then the pickle, before torch sees the file."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        _check_count(len(records), name)
        if len({r.filename.casefold() for r in records}) < len(records):
            raise UserError(f"{name} names a record twice; write it again with: {SAVE}")
        compressed = [r for r in records if r.compress_type != zipfile.ZIP_STORED]
        if compressed or sum(r.file_size for r in records) > size:
            raise UserError(
                f"{name} holds compressed or overlapping records, which torch.save never writes; "
                f"write it again with: {SAVE}"
            )
        damaged = archive.testzip()
        if damaged is not None:
            raise UserError(
                f"{name} is damaged: the checksum of {printable(damaged)} is wrong; copy or "
                "download it again"
            )
        for record in records:
            if not record.filename.casefold().endswith("data.pkl"):
                continue
            if record.file_size > MAX_STRUCTURE:
                raise UserError(
                    f"{name} describes its tensors in {record.file_size >> 20} MiB, which no "
                    f"network needs; write the weights alone: {SAVE}"
                )
            check_pickle(io.BytesIO(archive.read(record)), name)


def _check_legacy(path: Path, name: str) -> None:
    """Its pickles in a row: number, version, system, the object, the storages' keys."""
    with path.open("rb") as file:
        for _ in range(5):
            check_pickle(file, name)


def _check_count(count: int, name: str) -> None:
    if count > MAX_TENSORS:
        raise UserError(
            f"{name} holds {count:,} entries; networks of up to {MAX_TENSORS:,} tensors are read"
        )


def _checked(tensors: Mapping[Any, torch.Tensor], name: str, size: int) -> dict[str, torch.Tensor]:
    """The tensors, dense and plain, once their claims have been compared with the file's size."""
    _check_count(len(tensors), name)
    plain: dict[str, torch.Tensor] = {}
    views: set[tuple[object, ...]] = set()
    claimed = 0
    for key, tensor in tensors.items():
        if not isinstance(key, str):
            raise UserError(
                f"{name} names a tensor by {type(key).__name__}, and names must be text; write the "
                f"state dict of a network: {SAVE}"
            )
        shown = f"{name}: the tensor {printable(key)}"
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
            raise UserError(f"{shown} is sparse, nested or without values; write it dense: {SAVE}")
        if tensor.is_quantized or _looks_quantised(key, tensor):
            raise UserError(f"{shown} is quantised; save the float network instead: {SAVE}")
        claim = tensor.numel() * tensor.element_size()
        view = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        claimed += 0 if view in views else claim  # tied weights count once
        views.add(view)
        if claim > size or claimed > 2 * size:
            raise UserError(
                f"{shown} claims {tensor.numel():,} numbers, more than the file holds; write it "
                f"again with: {SAVE}"
            )
        plain[key] = tensor
    return plain


_QUANTISED = {
    getattr(torch, known)
    for known in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    if hasattr(torch, known)
}
_QUANTISED_NAMES = (".qweight", ".qzeros", ".absmax", ".weight_scale", ".weight_packed", ".SCB")


def _looks_quantised(key: str, tensor: torch.Tensor) -> bool:
    small = tensor.dtype in (torch.int8, torch.uint8) and tensor.dim() >= 2
    return (
        tensor.dtype in _QUANTISED
        or key.endswith(_QUANTISED_NAMES)
        or (small and key.endswith("weight"))
    )


def _computable(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Half precision in float32, and what to know about the numbers."""
    notes: list[str] = []
    half = [k for k, t in tensors.items() if t.dtype in (torch.float16, torch.bfloat16)]
    if half:
        kinds = sorted({str(tensors[k].dtype).removeprefix("torch.") for k in half})
        notes.append(f"{len(half)} tensors are {' and '.join(kinds)}; computed in float32")
    converted: dict[tuple[object, ...], torch.Tensor] = {}
    result: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if place not in converted:
            dtype = torch.float32 if key in half else tensor.dtype
            converted[place] = tensor.to(dtype).contiguous()
        result[key] = converted[place]
    broken = [k for k, t in result.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        names = ", ".join(printable(k) for k in broken[:3])
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        notes.append(f"{len(broken)} tensors hold NaN or infinite values: {names}{more}")
    return result, notes

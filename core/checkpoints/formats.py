"""Which format a file is in, from its bytes and never from its name.

Every format that is not read is refused here with the line of code that makes a readable file.
Nothing in this module imports torch or unpickles anything.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
from pathlib import Path, PurePosixPath

from core.errors import UserError

ZIP = "pytorch zip"
LEGACY = "pytorch legacy"
SAFETENSORS = "safetensors"

SAVE = 'torch.save(model.state_dict(), "weights.pt")'

# torch.save of PyTorch < 1.6 starts with this pickled number
LEGACY_NUMBER = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}

# (offset, bytes, what the file is, what to do)
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        b"version https://git-lfs.github.com",
        "a Git LFS pointer, not the weights themselves",
        "fetch the file with: git lfs pull",
    ),
    (
        0,
        b"\x93NUMPY",
        "a single NumPy array",
        "save a feature file: np.savez('features.npz', features=X, labels=y)",
    ),
    (
        0,
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file (Keras)",
        'save the weights from PyTorch: torch.save(model.state_dict(), "weights.pt")',
    ),
    (
        0,
        b"GGUF",
        "a GGUF file of quantised weights",
        f"save the float weights instead: {SAVE}",
    ),
    (
        4,
        b"TFL3",
        "a TensorFlow Lite model",
        "save the weights from PyTorch: " + SAVE,
    ),
    (0, b"\x89PNG", "an image", "drop it as part of a data set: a zip of class folders"),
    (0, b"\xff\xd8\xff", "an image", "drop it as part of a data set: a zip of class folders"),
    (0, b"GIF8", "an image", "drop it as part of a data set: a zip of class folders"),
    (0, b"%PDF", "a PDF document", f"choose a checkpoint written with: {SAVE}"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip FILE"),
    (0, b"BZh", "compressed with bzip2", "unpack it first: bunzip2 FILE"),
    (0, b"\xfd7zXZ\x00", "compressed with xz", "unpack it first: unxz FILE"),
    (0, b"(\xb5/\xfd", "compressed with zstd", "unpack it first: unzstd FILE"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and choose the checkpoint inside"),
    (0, b"Rar!", "a RAR archive", "unpack it and choose the checkpoint inside"),
    (257, b"ustar", "a tar archive", "unpack it and choose the checkpoint inside: tar -xf FILE"),
)


def printable(text: str, limit: int = 80) -> str:
    """``text`` in one line of printable characters, cut to ``limit``: safe to show."""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def recognise(path: Path, name: str) -> str:
    """``ZIP``, ``LEGACY`` or ``SAFETENSORS``; UserError for every other file, saying what it is.

    ``name`` is what the user knows the file by.
    """
    if path.is_dir():
        raise UserError(_folder(path, name))
    if not path.is_file():
        raise UserError(f"{name} does not exist or is not a file; give the path of a checkpoint")
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{name} is empty; copy or download it again")
    if re.search(r"-\d+-of-\d+\.", name):
        raise UserError(f"{name} is one part of a sharded checkpoint; {_shards(path.parent, name)}")
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(path, name)
    if head[:1] == b"\x80" and LEGACY_NUMBER in head[2:40]:
        return LEGACY
    if _is_safetensors(head, size):
        return SAFETENSORS
    for offset, signature, what, remedy in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            raise UserError(f"{name} is {what}; {remedy}")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise UserError(
            f"{name} is a Python pickle that torch.save did not write, and opening it could run "
            f"code; write the weights with: {SAVE}"
        )
    if _is_onnx(head):
        raise UserError(
            f"{name} is an ONNX model; write its weights with: safetensors.numpy.save_file({{"
            "t.name: onnx.numpy_helper.to_array(t) for t in "
            "onnx.load('FILE.onnx').graph.initializer}, 'weights.safetensors')"
        )
    raise UserError(f"{name} is {_text_or_binary(path, head)}; choose a file written with: {SAVE}")


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 10 or head[8:9] != b"{":
        return False
    length = int(struct.unpack("<Q", head[:8])[0])
    return length < 1 << 32 and (length <= size - 8 or head[9:10] in b'"}')


def _is_onnx(head: bytes) -> bool:
    # ModelProto: field 1 (ir_version, a small varint), then one of the fields 2-8
    return (
        len(head) > 8 and head[0] == 0x08 and head[1] < 0x20 and head[2] in b"\x12\x1a\x22\x3a\x42"
    )


def _text_or_binary(path: Path, head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a saved web page, not the file that the page links to"
    if start.startswith(b"{") and b"weight_map" in head:
        return "the index of a sharded checkpoint: " + _shards(path.parent, path.name)
    printing = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    if printing >= 0.95 * len(head):
        return "a text file, not a checkpoint"
    return "in no format that is known here, or damaged at its start"


def _folder(path: Path, name: str) -> str:
    names = sorted(entry.name for entry in path.iterdir())[:10_000]
    if ".metadata" in names or any(n.endswith(".distcp") for n in names):
        return (
            f"{name} is the folder of a distributed checkpoint; join it with: "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save('FOLDER', 'weights.pt')"
        )
    if "saved_model.pb" in names:
        return f"{name} is a TensorFlow SavedModel; save the weights from PyTorch: {SAVE}"
    if any(n.endswith(".index.json") for n in names):
        return f"{name} is the folder of a sharded checkpoint: {_shards(path, name)}"
    return f"{name} is a folder, not a checkpoint; choose one file written with: {SAVE}"


def _shards(folder: Path, name: str) -> str:
    if "safetensors" in name or any(folder.glob("*.safetensors")):
        return (
            "join its parts with: safetensors.torch.save_file({k: v for f in "
            "glob.glob('FOLDER/*.safetensors') for k, v in safetensors.torch.load_file(f).items()},"
            " 'weights.safetensors')"
        )
    return (
        "join its parts with: torch.save({k: v for f in glob.glob('FOLDER/*.bin') for k, v in "
        "torch.load(f, weights_only=True).items()}, 'weights.pt')"
    )


def _zip(path: Path, name: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise UserError(
            f"{name} is cut off or damaged: the archive's list of contents cannot be read "
            f"({printable(str(error))}); copy or download it again"
        ) from error
    base = {PurePosixPath(n).name for n in names}
    paths = [n.partition("/")[2] for n in names]  # without the archive's own folder
    if "constants.pkl" in base or any(p.startswith("code/") for p in paths):
        raise UserError(
            f"{name} is a TorchScript program; write its weights with: "
            "torch.save(torch.jit.load('FILE').state_dict(), 'weights.pt')"
        )
    if "archive_format" in base or "serialized_exported_program.json" in base:
        raise UserError(
            f"{name} is an exported program (.pt2); write its weights with: "
            "torch.save(torch.export.load('FILE.pt2').state_dict, 'weights.pt')"
        )
    if "data.pkl" in paths or "data.pkl" in names:
        return ZIP
    if names and all(n.endswith(".npy") for n in names):
        raise UserError(
            f"{name} is a NumPy archive (.npz), which is a feature file or a data set and not a "
            "checkpoint; open it as features (python -m core measure FILE.npz) or as data"
        )
    images = sum(PurePosixPath(n).suffix.lower() in _IMAGES for n in names)
    if images and images >= sum(not n.endswith("/") for n in names) // 2:
        raise UserError(
            f"{name} is a zip of images, which is a data set and not a checkpoint; "
            "give it as data beside a checkpoint"
        )
    inner = [n for n in names if n.endswith((".pt", ".pth", ".ckpt", ".safetensors", ".bin"))]
    if inner:
        raise UserError(
            f"{name} is a zip archive around {printable(inner[0])}; unpack it and choose that file"
        )
    raise UserError(f"{name} is a zip archive of something else; choose a file made with: {SAVE}")


def safetensors_header(path: Path, name: str, limit: int = 16 << 20) -> dict[str, object]:
    """The JSON header of a safetensors file: tensor name to description.

    Raises UserError if it is damaged or longer than ``limit`` bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int(struct.unpack("<Q", file.read(8))[0])
        if length > size - 8:
            raise UserError(f"{name} is cut off within its header; copy or download it again")
        if length > limit:
            raise UserError(
                f"{name} has a header of {length >> 20} MiB, which no network needs; "
                "write it again with safetensors.torch.save_file"
            )
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{name} has a damaged safetensors header; copy or download it again"
            ) from error
    if not isinstance(header, dict):
        raise UserError(f"{name} has a safetensors header that lists no tensors; write it again")
    return header

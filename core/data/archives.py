"""A zip file or a folder of class folders: ``airplane/0001.jpg``, as ImageFolder reads it."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from core.data.dataset import Dataset, ImageReader
from core.data.images import SUFFIXES, decode
from core.errors import UserError

MAX_ENTRIES = 200_000
MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 16 * 2**30
MAX_RATIO = 200  # uncompressed : compressed, for entries above 1 MB
KEEP_DECODED_BYTES = 512 * 2**20
MAX_BROKEN_SHARE = 0.05

Read = Callable[[str], bytes]


def open_zip(path: Path, name: str) -> Dataset:
    """The images of a zip archive; nothing is unpacked to disk."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UserError(f"{name} is not a readable zip file ({error}); zip it again") from error
    entries = [e for e in archive.infolist() if not e.is_dir()]
    check_directory(entries, name)
    lock = threading.Lock()

    def read(entry: str) -> bytes:
        with lock:
            return archive.read(entry)

    return _dataset(name, _digest(path), [e.filename for e in entries], read)


def open_folder(path: Path, name: str) -> Dataset:
    """The images below a folder with one folder per class."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
    if len(files) > MAX_ENTRIES:
        raise UserError(f"{name} holds {len(files):,} files, more than {MAX_ENTRIES:,}; take fewer")
    names = [p.relative_to(path).as_posix() for p in files]
    digest = hashlib.sha256()
    for file, relative in zip(files, names, strict=True):
        digest.update(f"{relative}\0{file.stat().st_size}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return _dataset(name, digest.hexdigest(), names, lambda entry: (path / entry).read_bytes())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_directory(
    entries: list[zipfile.ZipInfo],
    name: str,
    *,
    largest: int = MAX_FILE_BYTES,
    total: int = MAX_TOTAL_BYTES,
    what: str = "image",
) -> None:
    """What the archive's directory claims, before a byte is inflated: number of files, their sizes
    (``largest`` bytes each, ``total`` together), paths, links, passwords. UserError."""
    if len(entries) > MAX_ENTRIES:
        raise UserError(
            f"{name} holds {len(entries):,} files, more than {MAX_ENTRIES:,}; take fewer"
        )
    claimed = sum(e.file_size for e in entries)
    if claimed > total:
        raise UserError(
            f"{name} unpacks to {claimed / 2**30:.0f} GiB, more than {total >> 30}; take fewer "
            "files"
        )
    for entry in entries:
        where = PurePosixPath(entry.filename.replace("\\", "/"))
        if where.is_absolute() or ".." in where.parts or ":" in (*where.parts, "")[0]:
            raise UserError(
                f"{name} holds the path {entry.filename!r}, which leaves the archive; "
                "zip the folders themselves"
            )
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            raise UserError(
                f"{name} holds the symbolic link {entry.filename!r}; zip the files themselves"
            )
        if entry.flag_bits & 1:
            raise UserError(f"{name} is encrypted; zip it without a password")
        large = entry.file_size > largest
        if large or (entry.file_size > 2**20 * max(1, MAX_RATIO * entry.compress_size / 2**20)):
            raise UserError(
                f"{name}: {entry.filename!r} unpacks to {entry.file_size / 2**20:.0f} MiB "
                f"from {entry.compress_size:,} bytes; that is no ordinary {what}"
            )


def _dataset(name: str, digest: str, files: list[str], read: Read) -> Dataset:
    by_class = _classes(files, name)
    class_names = tuple(by_class)
    paths = [path for names in by_class.values() for path in names]
    labels = np.repeat(np.arange(len(class_names)), [len(v) for v in by_class.values()])
    decoded, broken = _decode_all(paths, read)
    if broken:
        share = len(broken) / len(paths)
        if share > MAX_BROKEN_SHARE:
            raise UserError(
                f"{len(broken)} of {len(paths)} images in {name} cannot be read, the first is "
                f"{paths[broken[0]]}; repair or remove them"
            )
        keep = np.setdiff1d(np.arange(len(paths)), broken)
    else:
        keep = np.arange(len(paths))
    warnings = tuple(
        [f"{len(broken)} unreadable images were skipped: {', '.join(paths[i] for i in broken[:5])}"]
        if broken
        else []
    )
    reader: ImageReader = (
        decoded.__getitem__ if decoded is not None else lambda i: decode(read(paths[i]), paths[i])
    )
    return Dataset(name, digest, labels[keep].astype(np.int64), class_names, reader, keep, warnings)


def _classes(files: list[str], name: str) -> dict[str, list[str]]:
    """Image paths by class folder, classes and paths sorted; a common parent folder is ignored."""
    images = sorted(
        f
        for f in files
        if f.lower().endswith(SUFFIXES)
        and not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(f).parts)
    )
    if not images:
        raise UserError(
            f"{name} holds no images; put PNG or JPEG files into one folder per class "
            "(cat/1.png, dog/1.png, …)"
        )
    parts = [PurePosixPath(f).parts for f in images]
    depth = 0
    while all(len(p) > depth + 2 for p in parts) and len({p[depth] for p in parts}) == 1:
        depth += 1
    if any(len(p) < depth + 2 for p in parts):
        loose = next(f for f, p in zip(images, parts, strict=True) if len(p) < depth + 2)
        raise UserError(
            f"{name}: {loose} lies in no class folder; put every image into a folder named "
            "after its class"
        )
    classes: dict[str, list[str]] = {}
    for file, part in sorted(zip(images, parts, strict=True), key=lambda x: (x[1][depth], x[0])):
        classes.setdefault(part[depth], []).append(file)
    if len(classes) < 2:
        only = next(iter(classes))
        raise UserError(f"{name}: need 2 or more classes, got 1 ({only}/): add a folder per class")
    return classes


def _decode_all(paths: list[str], read: Read) -> tuple[list[np.ndarray] | None, list[int]]:
    """Every image decoded (None once they outgrow the memory kept for it), and the broken ones."""
    kept: list[np.ndarray] | None = []
    used, broken = 0, []
    for i, path in enumerate(paths):
        try:
            image = decode(read(path), path)
        except (UserError, zipfile.BadZipFile, OSError, EOFError, ValueError):
            image = np.zeros((1, 1, 1), dtype=np.uint8)
            broken.append(i)
        if kept is not None:
            used += image.nbytes
            kept.append(image)
            if used > KEEP_DECODED_BYTES:
                kept = None
    return kept, broken

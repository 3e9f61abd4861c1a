"""Files that are broken or malicious, made from scratch: one function a file.

``build(name, folder, canary)`` writes the file ``name`` and returns its path. A file that runs code
when it is unpickled would create ``canary``.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes

Maker = Callable[[Path, Path], None]
CORPUS: dict[str, Maker] = {}


def build(name: str, folder: Path, canary: Path) -> Path:
    """Write the file ``name`` of the corpus into ``folder``."""
    path = folder / name
    CORPUS[name](path, canary)
    return path


def _file(name: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        CORPUS[name] = maker
        return maker

    return register


def _bytes(name: str, content: Callable[[], bytes]) -> None:
    def write(path: Path, _: Path) -> None:
        path.write_bytes(content())

    CORPUS[name] = write


# --- building blocks ----------------------------------------------------------------------------


def state() -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.arange(600.0).reshape(20, 30), "fc.bias": torch.zeros(20)}


def saved(content: Any, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


class Runs:
    """Unpickles into a call."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.args


def archive(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in records.items():
            file.writestr(name, content)
    return buffer.getvalue()


def with_pickle(opcodes: bytes, data: bytes = bytes(64), **more: bytes) -> bytes:
    """A torch.save archive around hand-made opcodes."""
    records = {"a/data.pkl": opcodes, "a/byteorder": b"little", "a/data/0": data, "a/version": b"3"}
    return archive(records | more)


def glob(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]


def tensor(size: list[int], stride: list[int], numel: int = 16, offset: int = 0) -> bytes:
    """Opcodes of _rebuild_tensor_v2 on storage 0, with any claim about size and stride."""

    def integers(values: list[int]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    storage = (
        b"(" + text("storage") + glob("torch", "FloatStorage") + text("0") + text("cpu")
        + integer(numel) + b"tQ"
    )  # fmt: skip
    hooks = glob("collections", "OrderedDict") + b")R"
    return (
        glob("torch._utils", "_rebuild_tensor_v2")
        + b"(" + storage + integer(offset) + integers(size) + integers(stride) + b"\x89" + hooks
        + b"tR"
    )  # fmt: skip


def mapping(*items: tuple[bytes, bytes]) -> bytes:
    return b"\x80\x02}(" + b"".join(key + value for key, value in items) + b"u."


def weight(value: bytes) -> bytes:
    return mapping((text("fc.weight"), value))


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def described(**fields: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | fields
    return safetensors(json.dumps({"a": entry}).encode(), bytes(16))


# --- code that must not run ---------------------------------------------------------------------


@_file("system.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(saved({"w": state(), "x": Runs(os.system, f"touch {canary}")}))


@_file("system_legacy.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(saved({"w": state(), "x": Runs(os.system, f"touch {canary}")}, legacy=True))


@_file("plain_pickle.pkl")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Runs(os.system, f"touch {canary}"), protocol=2))


@_file("plain_pickle_protocol_5.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Runs(os.system, f"touch {canary}"), protocol=5))


@_file("text_pickle.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(canary).encode())


@_file("eval.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(saved({"x": Runs(eval, f"open({str(canary)!r}, 'w')")}))


@_file("second_pickle.pt")
def _(path: Path, canary: Path) -> None:
    # the pickle that torch would find without regard to case
    bad = pickle.dumps(Runs(os.system, f"touch {canary}"), protocol=2)
    good = weight(tensor([4, 4], [4, 1]))
    path.write_bytes(with_pickle(bad, **{"a/DATA.PKL": good}))


@_file("stack_global.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(with_pickle(pickle.dumps(Runs(os.system, f"touch {canary}"), protocol=4)))


@_file("sys_modules.pt")
def _(path: Path, canary: Path) -> None:
    path.write_bytes(with_pickle(b"\x80\x02" + glob("sys", "modules") + b"."))


@_file("object_array.npz")
def _(path: Path, canary: Path) -> None:
    hostile = np.array([Runs(os.system, f"touch {canary}")], dtype=object)
    np.savez(path, features=hostile)


@_file("object_array.npy")
def _(path: Path, canary: Path) -> None:
    np.save(path, np.array([Runs(os.system, f"touch {canary}")], dtype=object), allow_pickle=True)


# --- files that are something else --------------------------------------------------------------

_bytes("empty.pt", lambda: b"")
_bytes("one_byte.pt", lambda: b"\x80")
_bytes("zeros.pt", lambda: bytes(10_000))
_bytes("noise.pt", lambda: np.random.default_rng(0).bytes(10_000))
_bytes("page.pth", lambda: b"<!DOCTYPE html><html><body>Sign in</body></html>")
_bytes("page_with_bom.pth", lambda: b"\xef\xbb\xbf\n<html><body>404</body></html>")
_bytes("words.pt", lambda: b"accuracy 0.93\n" * 50)
_bytes(
    "lfs.safetensors",
    lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
)
_bytes("picture.pt", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100))
_bytes("keras.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(100))
_bytes("model.gguf", lambda: b"GGUF\x03\x00\x00\x00" + bytes(100))
_bytes("model.tflite", lambda: b"\x1c\x00\x00\x00TFL3" + bytes(100))
_bytes("weights.pt.gz", lambda: b"\x1f\x8b\x08\x00" + bytes(100))
_bytes("weights.tar", lambda: bytes(257) + b"ustar\x0000" + bytes(600))
_bytes("empty_zip.pt", lambda: archive({}))
_bytes("documents.zip", lambda: archive({"word/document.xml": b"<w/>"}))
_bytes("images.zip", lambda: archive({"cat/1.png": b"x", "dog/1.png": b"y"}))
_bytes("zip_in_zip.zip", lambda: archive({"model.pt": saved(state())}))
_bytes("dictionary.pkl", lambda: pickle.dumps({"w": [1.0, 2.0]}, protocol=4))
_bytes("arrays.pkl", lambda: pickle.dumps({"w": np.zeros((3, 3))}, protocol=2))

# --- cut off and damaged ------------------------------------------------------------------------

for _share in (10, 50, 90, 99):
    _bytes(f"cut_{_share}.pt", lambda s=_share: (d := saved(state()))[: len(d) * s // 100])
    _bytes(
        f"cut_legacy_{_share}.pt",
        lambda s=_share: (d := saved(state(), legacy=True))[: len(d) * s // 100],
    )
    _bytes(
        f"cut_{_share}.safetensors",
        lambda s=_share: (d := safetensors_bytes(state()))[: len(d) * s // 100],
    )


@_file("flipped_weight.pt")
def _(path: Path, _: Path) -> None:
    data = bytearray(saved(state()))
    data[data.index(np.arange(600, dtype=np.float32).tobytes()) + 1000] ^= 0x40
    path.write_bytes(bytes(data))


_bytes("no_storage.pt", lambda: archive({"a/data.pkl": weight(tensor([4, 4], [4, 1]))}))
_bytes("short_storage.pt", lambda: with_pickle(weight(tensor([4, 4], [4, 1])), data=bytes(8)))
_bytes(
    "byte_order.pt", lambda: with_pickle(weight(tensor([4, 4], [4, 1])), **{"a/byteorder": b"?"})
)
_bytes("empty_pickle.pt", lambda: with_pickle(b""))
_bytes("no_stop.pt", lambda: with_pickle(b"\x80\x02}"))
_bytes("empty_stack.pt", lambda: with_pickle(b"\x80\x02."))
_bytes("missing_memo.pt", lambda: with_pickle(b"\x80\x02h\x07."))
_bytes("long_text.pt", lambda: with_pickle(b"\x80\x02X\xff\xff\xff\xff" + b"a."))
_bytes(
    "wrong_arguments.pt",
    lambda: with_pickle(weight(glob("torch._utils", "_rebuild_tensor") + b")R")),
)
_bytes("bad_utf8.pt", lambda: with_pickle(b"\x80\x02}(X\x02\x00\x00\x00\xff\xfeK\x01u."))

# --- claims that would hurt later ---------------------------------------------------------------

_bytes("stride_0.pt", lambda: with_pickle(weight(tensor([10**6, 10**6], [0, 0]))))
_bytes("overlap.pt", lambda: with_pickle(weight(tensor([3, 3, 3], [1, 1, 1]))))
_bytes("outside.pt", lambda: with_pickle(weight(tensor([400, 400], [400, 1]))))
_bytes("negative_stride.pt", lambda: with_pickle(weight(tensor([4, 4], [-4, 1]))))
_bytes("negative_size.pt", lambda: with_pickle(weight(tensor([-4, 4], [4, 1]))))
_bytes("negative_offset.pt", lambda: with_pickle(weight(tensor([4, 4], [4, 1], offset=-9))))
_bytes("overflow.pt", lambda: with_pickle(weight(tensor([2**62, 4], [4, 1]))))
_bytes("large_storage.pt", lambda: with_pickle(weight(tensor([4, 4], [4, 1], numel=10**12))))


@_file("many_views.pt")
def _(path: Path, _: Path) -> None:
    views = [(text(f"{i}.weight"), tensor([500, 90], [i % 90, 1], 50_000)) for i in range(3000)]
    path.write_bytes(with_pickle(mapping(*views), data=bytes(200_000)))


@_file("legacy_storage.pt")
def _(path: Path, _: Path) -> None:
    data = saved({"w": torch.zeros(77)}, legacy=True)
    path.write_bytes(data.replace(integer(77), integer(2**40)))


_bytes("deflated.pt", lambda: archive(
    {"a/data.pkl": weight(tensor([4096, 4096], [4096, 1], numel=1 << 24)),
     "a/data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED))  # fmt: skip


@_file("overlapping_records.pt")
def _(path: Path, _: Path) -> None:
    data = bytearray(with_pickle(weight(tensor([4, 4], [4, 1])), data=bytes(5000)))
    entry = data.rindex(b"a/version") - 46  # of the directory: it now reaches over a/data/0, too
    data[entry + 20 : entry + 28] = struct.pack("<II", 5000, 5000)
    path.write_bytes(bytes(data))


@_file("repeated_record.pt")
def _(path: Path, _: Path) -> None:
    buffer = io.BytesIO(with_pickle(weight(tensor([4, 4], [4, 1]))))
    with zipfile.ZipFile(buffer, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("a/data/0", bytes(64))
    path.write_bytes(buffer.getvalue())


@_file("encrypted.pt")
def _(path: Path, _: Path) -> None:
    data = bytearray(with_pickle(weight(tensor([4, 4], [4, 1]))))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + flags] |= 1
            place = data.find(signature, place + 4)
    path.write_bytes(bytes(data))


_bytes("many_records.pt", lambda: with_pickle(
    weight(tensor([4, 4], [4, 1])), **{f"a/data/{i}": b"" for i in range(1, 21_000)}))  # fmt: skip
_bytes("many_keys.pt", lambda: with_pickle(
    mapping(*((text(f"{i}.weight"), tensor([2, 2], [2, 1])) for i in range(21_000)))))  # fmt: skip
_bytes("many_numbers.pt", lambda: with_pickle(
    b"\x80\x02}" + text("a") + b"](" + b"K\x01" * 2_100_000 + b"es."))  # fmt: skip
_bytes("many_lists.pt", lambda: with_pickle(b"\x80\x02](" + b"]" * 210_000 + b"e."))
_bytes("deep_list.pt", lambda: with_pickle(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."))
_bytes("deep_tuple.pt", lambda: with_pickle(b"\x80\x02)" + b"\x85" * 100_000 + b"."))
_bytes("deep_key.pt", lambda: with_pickle(b"\x80\x02})" + b"\x85" * 500 + b"K\x01s."))
_bytes("list_in_itself.pt", lambda: with_pickle(b"\x80\x02]q\x00h\x00a."))
_bytes("dictionary_in_itself.pt", lambda: with_pickle(b"\x80\x02}q\x00" + text("a") + b"h\x00s."))
# 60 lists, each of the one before twice: 2^60 ways through
_lists = b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
_bytes("doubling.pt", lambda: with_pickle(b"\x80\x02]q\x00" + _lists + b"."))
# the same as a key (its hash would take for ever) and as a function (its name would)
_tuples = b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
_bytes("doubling_key.pt", lambda: with_pickle(b"\x80\x02" + _tuples + b"}h\x3cK\x01s."))
_bytes("doubling_call.pt", lambda: with_pickle(b"\x80\x02]q\x00" + _lists + b")R."))
_bytes("key_number.pt", lambda: with_pickle(mapping((b"K\x01", tensor([4, 4], [4, 1])))))
_bytes("key_tuple.pt", lambda: with_pickle(mapping((text("a") + b"\x85", tensor([4, 4], [4, 1])))))
_bytes("key_none.pt", lambda: with_pickle(mapping((b"N", tensor([4, 4], [4, 1])))))
_bytes("key_large_number.pt", lambda: with_pickle(
    mapping((b"\x8a\xff" + b"\x7f" * 255, tensor([4, 4], [4, 1])))))  # fmt: skip
_bytes("bytearray.pt", lambda: with_pickle(
    weight(glob("builtins", "bytearray") + integer(10**11) + b"\x85R")))  # fmt: skip
_bytes("tensor_call.pt", lambda: with_pickle(
    weight(glob("torch", "Tensor") + integer(10**5) + integer(10**4) + b"\x86R")))  # fmt: skip
_bytes("storage_call.pt", lambda: with_pickle(
    weight(glob("torch.storage", "UntypedStorage") + integer(10**11) + b"\x85R")))  # fmt: skip
_bytes("hidden_methods.pt", lambda: with_pickle(weight(
    glob("torch._utils", "_rebuild_parameter_with_state") + b"(" + tensor([4, 4], [0, 0])
    + b"\x89}}" + text("dim") + b"K\x05s" + text("numel") + b"K\x05stR")))  # fmt: skip
_bytes(
    "hidden_items.pt",
    lambda: with_pickle(
        b"\x80\x02" + glob("collections", "OrderedDict") + b")R}" + text("items") + b"K\x01sb."
    ),
)
_bytes("namespace_without_state.pt", lambda: with_pickle(
    mapping((text("args"), glob("argparse", "Namespace") + b")\x81"))))  # fmt: skip
_bytes("number_of_no_type.pt", lambda: with_pickle(mapping((text("epoch"),
    glob("numpy._core.multiarray", "scalar") + b"K\x01K\x02\x86R"))))  # fmt: skip
_bytes("sparse.pt", lambda: saved({"w": torch.sparse_coo_tensor(
    torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (30_000, 70_000))}))  # fmt: skip
_bytes("sparse_legacy.pt", lambda: saved({"w": torch.eye(3).to_sparse()}, legacy=True))
_bytes("compressed_sparse.pt", lambda: saved({"w": torch.eye(3).to_sparse_csr()}))
_bytes("meta.pt", lambda: saved({"w": torch.zeros(10**6, 10**6, device="meta")}))
_bytes("optimiser.pt", lambda: saved(torch.optim.Adam([torch.zeros(3, 3)]).state_dict()))
_bytes("protocol_4.pt", lambda: with_pickle(pickle.dumps({"a": 1}, protocol=4)))

# --- safetensors that lie -----------------------------------------------------------------------

_bytes("header_of_4_GiB.safetensors", lambda: struct.pack("<Q", 0xFFFFFFF0) + b'{"a":' + bytes(50))
_bytes("long_header.safetensors", lambda: safetensors(b"{" + b" " * (20 << 20) + b"}"))
_bytes("no_json.safetensors", lambda: safetensors(b'{"a": ]}'))
_bytes("no_tensors.safetensors", lambda: safetensors(b"{}"))
_bytes("deep_json.safetensors", lambda: safetensors(b'{"a":' + b"[" * 100_000))
_bytes("many.safetensors", lambda: safetensors_bytes(
    {str(i): torch.zeros(1) for i in range(21_000)}))  # fmt: skip
_bytes("no_offsets.safetensors", lambda: safetensors(b'{"a":{"dtype":"F32","shape":[2]}}'))
_bytes("shape.safetensors", lambda: described(shape=[10**9, 10**9]))
_bytes("overflow.safetensors", lambda: described(shape=[2**32, 2**32]))
_bytes("negative.safetensors", lambda: described(shape=[-2, -2]))
_bytes("outside.safetensors", lambda: described(data_offsets=[0, 10**12]))
_bytes("backwards.safetensors", lambda: described(data_offsets=[16, 0]))
_bytes("unknown_type.safetensors", lambda: described(dtype="F99"))
_bytes("number.safetensors", lambda: safetensors(b'{"a":3}', bytes(16)))

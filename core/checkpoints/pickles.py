"""What a pickle would do, read from its opcodes without running any of them.

torch's weights-only unpickler allows more than a state dict needs (sparse, meta and quantised
tensors, ``bytearray(10**10)``). Here every name that the pickle mentions is checked first, and a
few harmless classes that training scripts put beside the weights get inert stand-ins.
"""

from __future__ import annotations

import pickletools
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from core.checkpoints.formats import SAVE, printable
from core.errors import UserError

MAX_OPCODES = 2_000_000
MAX_SIZE = 10_000_000  # objects in a container, if shared ones are counted wherever they stand

_CONSTANTS = {"GLOBAL", "NONE", "NEWFALSE", "NEWTRUE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT"}
_CONSTANTS |= {"EMPTY_SET", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "LONG1"}
_CONSTANTS |= {"SHORT_BINSTRING"}
# how many objects an opcode takes from the stack (None: all since the mark), and whether they go
# into the one below them or make a new one
_INTO_TOP = {"APPEND": 1, "SETITEM": 2, "BUILD": 1, "APPENDS": None, "SETITEMS": None}
_INTO_NEW = {"TUPLE": None, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_INTO_NEW |= {"REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}

_ALLOWED = re.compile(
    r"""collections\.(OrderedDict|Counter)
    | torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)
    | torch\._tensor\._rebuild_from_type_v2
    | torch\.nn\.parameter\.Parameter | torch\.(Tensor|Size|device)
    | torch(\.cuda)?\.(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|Complex\w+)Storage
    | torch\.storage\.(UntypedStorage|TypedStorage)
    | torch\.(u?int(8|16|32|64)|float(16|32|64|8_\w+)|bfloat16|complex(32|64|128)|bool)
    | _codecs\.encode | (builtins|__builtin__)\.(set|complex)""",
    re.VERBOSE,
)


class NumpyDtype:
    """Stands for ``numpy.dtype`` in a pickled NumPy number."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


_NUMBERS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H"}
_NUMBERS |= {"i4": "i", "u4": "I", "i8": "q", "u8": "Q"}


def numpy_number(dtype: NumpyDtype, data: bytes) -> float | int | bool:
    """Stands for ``numpy.core.multiarray.scalar``: the Python number."""
    number: float | int | bool = struct.unpack(dtype.order + _NUMBERS[dtype.code], data)[0]
    return number


class Namespace:
    """Stands for ``argparse.Namespace``, the arguments of a training script."""

    values: dict[str, Any]

    def __new__(cls) -> Namespace:
        namespace = super().__new__(cls)
        namespace.values = {}  # a pickle calls __new__ alone
        return namespace

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.values = dict(state)


class Ignored:
    """Stands for what is neither weights nor a number: arrays, dates."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def ignored_array(*_: object) -> Ignored:
    """Stands for ``numpy.core.multiarray._reconstruct``."""
    return Ignored()


def plain_dict(*_: object) -> dict[Any, Any]:
    """Stands for ``collections.defaultdict``."""
    return {}


class Version(str):
    """Stands for ``torch.torch_version.TorchVersion``."""

    __slots__ = ()

    def __new__(cls, text: object = "") -> Version:
        return super().__new__(cls, text if isinstance(text, str) else "")


def path_text(*parts: str) -> str:
    """Stands for ``pathlib.Path``: the path as text."""
    return "/".join(parts).replace("//", "/")


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")

STAND_INS: dict[str, Callable[..., Any]] = {
    **{f"pathlib.{kind}": path_text for kind in _PATHS},
    "numpy.dtype": NumpyDtype,
    "numpy.core.multiarray.scalar": numpy_number,
    "numpy._core.multiarray.scalar": numpy_number,
    "numpy.core.multiarray._reconstruct": ignored_array,
    "numpy._core.multiarray._reconstruct": ignored_array,
    "numpy.ndarray": Ignored,
    "datetime.datetime": Ignored,
    "collections.defaultdict": plain_dict,
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, int, float)},
    "torch.torch_version.TorchVersion": Version,
    "argparse.Namespace": Namespace,
    "lightning_fabric.utilities.data.AttributeDict": OrderedDict,
    "lightning.fabric.utilities.data.AttributeDict": OrderedDict,
    "pytorch_lightning.utilities.parsing.AttributeDict": OrderedDict,
}


class _Item:
    """One object on the stack of the pickle machine: whether it is a global, and its size as if
    nothing within it were shared."""

    __slots__ = ("is_global", "size")

    def __init__(self, size: int = 1, is_global: bool = False) -> None:
        self.size = size
        self.is_global = is_global


class _Machine:
    """Follows the sizes of what a pickle would build, without building it."""

    def __init__(self) -> None:
        self.stack: list[_Item] = []
        self.marked: list[list[_Item]] = []
        self.memo: dict[int, _Item] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _CONSTANTS:
            self.stack.append(_Item(is_global=opcode == "GLOBAL"))
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif opcode == "MARK":
            self.marked.append(self.stack)
            self.stack = []
        elif opcode in _INTO_TOP:
            taken = self.take(_INTO_TOP[opcode])
            self.stack[-1].size = self.sized(1 + self.stack[-1].size, taken)
        elif opcode in _INTO_NEW:
            taken = self.take(_INTO_NEW[opcode])
            if opcode in ("REDUCE", "NEWOBJ") and not taken[0].is_global:
                raise ValueError("a call of something that is no class")
            self.stack.append(_Item(self.sized(1, taken)))

    def take(self, count: int | None) -> list[_Item]:
        """The topmost items; None: those since the last mark."""
        if count is None:
            taken, self.stack = self.stack, self.marked.pop()
        else:
            taken = self.stack[-count:]
            if len(taken) < count:
                raise ValueError("the stack is empty")
            del self.stack[-count:]
        return taken

    def sized(self, own: int, taken: list[_Item]) -> int:
        size = own + sum(item.size for item in taken)
        if size > MAX_SIZE:
            raise ValueError("containers within containers without end")
        return size


def check_pickle(file: IO[bytes], name: str) -> None:
    """Read one pickle from ``file`` up to its end, and raise UserError unless it holds plain
    containers, numbers, text and dense tensors alone; ValueError, IndexError, KeyError or
    UnicodeDecodeError if it is damaged."""
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > MAX_OPCODES:
            raise UserError(
                f"{name} describes more than {MAX_OPCODES:,} objects, which no network needs; "
                f"write the weights alone: {SAVE}"
            )
        if opcode.name == "PROTO" and argument not in (2, 3):
            raise UserError(
                f"{name} was saved with pickle protocol {argument}; save it with the default one: "
                f"{SAVE}"
            )
        if opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            _check_global(str(argument).replace(" ", "."), name)
        machine.step(opcode.name, argument)


def _check_global(what: str, name: str) -> None:
    if _ALLOWED.fullmatch(what) or what.replace("__builtin__.", "builtins.") in STAND_INS:
        return
    shown = printable(what)
    if what.startswith(("torch.nn.modules.", "torch.nn.parallel.", "torch.fx.")):
        raise UserError(
            f"{name} holds a whole pickled network (it mentions {shown}), which could run code "
            f"when opened, so it is not; write its weights where the model is known: {SAVE}"
        )
    if re.search(r"qtensor|quantized|torchao|torch\.(per_(tensor|channel)_|qu?int|QU?Int)", what):
        raise UserError(
            f"{name} holds quantised weights; save the float network before it is converted: {SAVE}"
        )
    if "sparse" in what or what == "torch.serialization._get_layout":
        raise UserError(
            f"{name} holds sparse tensors; make them dense: torch.save({{k: v.to_dense() if "
            "v.is_sparse else v for k, v in model.state_dict().items()}, 'weights.pt')"
        )
    if "_rebuild_meta_tensor" in what:
        raise UserError(
            f"{name} holds tensors of the meta device, which have shapes but no values; save it "
            f"after the weights are loaded: {SAVE}"
        )
    if what.startswith("torch.distributed."):
        raise UserError(
            f"{name} holds the part of one process of a distributed training; gather the whole "
            "with torch.distributed.checkpoint.state_dict: torch.save(get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True)), 'weights.pt')"
        )
    raise UserError(
        f"{name} holds a pickled object ({shown}) that could run code when opened, so it is not; "
        f"write the weights alone: {SAVE}"
    )

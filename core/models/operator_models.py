"""The operator's own model code: ``FILE.py:FUNCTION``, or a folder of such files.

It is executed. Only what the person who starts the program names comes here, never an upload.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import sys
import typing
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from torch import nn

from core.errors import UserError

Constructor = Callable[[], nn.Module]

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "FEATURESCOPE_MODELS"


def load_constructor(text: str) -> Constructor:
    """The function (or class) without required arguments that ``FILE.py:FUNCTION`` names.

    Raises UserError where the text, the file, the function or its signature is wrong.
    """
    file, separator, name = text.rpartition(":")
    if not separator or not name.isidentifier():
        raise UserError(f"{text!r} does not name a model: write it as FILE.py:FUNCTION")
    module = _load(Path(file))
    function = getattr(module, name, None)
    if not callable(function):
        available = ", ".join(constructors_in(module)) or "no function that returns a model"
        raise UserError(f"{file} has no function {name}: it has {available}")
    if not _callable_without_arguments(function):
        raise UserError(
            f"{text} needs arguments: give every argument a default, or write a function "
            "without arguments that returns the model"
        )
    return _checked(function, text)


def constructors(folder: str | Path) -> dict[str, Constructor]:
    """``FILE.py:FUNCTION`` → constructor, for every model in the folder's Python files.

    Models are the subclasses of nn.Module, and the functions annotated to return one, that are
    defined in a file, are not private and need no arguments. Other functions are never called.
    A file that fails to run is left out, with a line in the log: one broken file must not keep
    everybody from opening anything. UserError where the folder is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"the folder of models {folder} does not exist: check {FOLDER_VARIABLE}")
    found = {}
    for file in sorted(folder.glob("*.py")):
        try:
            models = constructors_in(_load(file))
        except UserError as error:
            logger.warning("%s", error)
            continue
        for name, function in models.items():
            found[f"{file.name}:{name}"] = _checked(function, f"{file.name}:{name}")
    return found


def operator_constructors() -> dict[str, Constructor]:
    """The models of the folder named in the environment; none where it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return constructors(folder) if folder else {}


def constructors_in(module: ModuleType) -> dict[str, Callable]:
    """The functions and classes of ``module`` that make a network without arguments."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and _makes_module(value)
        and _callable_without_arguments(value)
    }


def _load(file: Path) -> ModuleType:
    if not file.is_file():
        raise UserError(f"the model file {file} does not exist")
    name = "operator_model_" + sha256(str(file.resolve()).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"the model file {file} is not Python: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up
    sys.path.insert(0, str(file.resolve().parent))  # so that it can import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{file} fails to run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def _makes_module(value: object) -> bool:
    if not inspect.isclass(value):
        if not inspect.isfunction(value):
            return False
        try:
            value = typing.get_type_hints(value).get("return")
        except Exception:
            return False
    return inspect.isclass(value) and issubclass(value, nn.Module)


def _callable_without_arguments(function: Callable) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _checked(function: Callable, text: str) -> Constructor:
    def construct() -> nn.Module:
        try:
            module = function()
        except Exception as error:
            raise UserError(f"{text} fails: {type(error).__name__}: {error}") from error
        if not isinstance(module, nn.Module):
            raise UserError(f"{text} returns a {type(module).__name__}: it must return a nn.Module")
        return module

    return construct

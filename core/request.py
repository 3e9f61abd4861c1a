"""What a page or the command line asks of ``core.analysis``. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.results import Settings


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """One checkpoint, one data set, and the settings of the analysis."""

    checkpoint: str  # path of the file on this machine
    data: str | None = None  # "digits", "cifar10", or a path (zip, folder, npz); None: weights only
    checkpoint_name: str = ""  # shown instead of the path (the name the user knows the file by)
    data_name: str = ""
    model: str | None = None  # "FILE.py:FUNCTION", only ever given by the person who starts the app
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class FitRequest:
    """A checkpoint file that says nothing of its data; size and time tell whether it changed."""

    checkpoint: str  # path of the file on this machine
    size: int
    changed: int  # nanoseconds since 1970

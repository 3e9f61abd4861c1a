"""Measure a whole run, each checkpoint once; what pages submit as a job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import nn

from core import store
from core.checkpoints import Checkpoint, open_checkpoint
from core.checkpoints.runs import data_spec
from core.data.dataset import Dataset
from core.data.opening import open_dataset
from core.dynamics.kept import cached_path, found
from core.dynamics.measuring import Measurer
from core.dynamics.request import CheckpointFile, DynamicsRequest
from core.dynamics.results import Dynamics, join, joinable
from core.errors import UserError
from core.fitting import find_model, with_preprocessing
from core.models.building import Model
from core.progress import IsCancelled, Progress, check, never, silent
from core.ranking import choose_variant
from core.request import AnalysisRequest
from core.results import Settings

STEPS = 100  # of one checkpoint's progress


def run(
    request: DynamicsRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Dynamics:
    """The dynamics of a run. Only checkpoints that nobody measured before are measured, and each is
    kept as soon as it is, so that a cancelled run or a later checkpoint costs nothing twice.

    A file that cannot be read (damaged, or still being written) is left out, with a warning.
    UserError where no checkpoint can be read, the network is unknown, or a checkpoint is of another
    network than the others.
    """
    parts = found(request)
    todo = [f for f in request.files if f.file not in parts and f.size >= 0]
    if todo or (parts and not joinable(list(parts.values()))):
        return _measure(request, progress, cancelled)
    if not parts:
        raise UserError(
            f"{request.run} has no checkpoint that could be measured: its files are not in "
            f"{request.folder}"
        )
    return join(list(parts.values()))


def _measure(request: DynamicsRequest, progress: Progress, cancelled: IsCancelled) -> Dynamics:
    progress(0, STEPS, "Opening the data")
    spec = data_spec(Path(request.folder), request.data)
    dataset = open_dataset(spec, request.data_name)
    check(cancelled)
    progress(0, STEPS, "Opening the checkpoints")
    files = _Files(request)
    measurer = _measurer(request, files, dataset, cancelled)
    parts = {name: part for name, part in found(request).items() if measurer.fits(part)}
    todo = [f for f in request.files if f.file not in parts and f.size >= 0]
    for i, file in enumerate(todo):
        check(cancelled)
        checkpoint = files.open(file)
        if checkpoint is None:
            continue
        what = f"Epoch {file.epoch}, checkpoint {i + 1} of {len(todo)}"

        def report(done: int, total: int, i: int = i, what: str = what) -> None:
            progress(i * STEPS + STEPS * done // max(total, 1), len(todo) * STEPS, what)

        report(0, 1)
        part = measurer.measure(
            checkpoint, file.epoch, file.file, report=report, cancelled=cancelled
        )
        store.save(cached_path(checkpoint.sha256, request), part)
        parts[file.file] = part
    progress(len(todo) * STEPS, len(todo) * STEPS, "Finished")
    if not parts:
        raise UserError(f"{request.run}: {next(iter(files.warnings.values()))}")
    whole = join(list(parts.values()))
    return replace(whole, warnings=(*whole.warnings, *files.warnings.values()))


class _Files:
    """Opens the checkpoints of a request and remembers what is wrong with some of them."""

    def __init__(self, request: DynamicsRequest) -> None:
        self._folder = Path(request.folder)
        self.warnings: dict[str, str] = {}

    def open(self, file: CheckpointFile) -> Checkpoint | None:
        """The checkpoint, or None and a warning where it cannot be read."""
        if file.size < 0:
            return None
        try:
            return open_checkpoint(self._folder / file.file, file.file)
        except UserError as error:
            self.warnings[file.file] = f"left out: {error}"
            return None


@dataclass(frozen=True, slots=True)
class _Network:
    model: Model
    settings: Settings


def _measurer(
    request: DynamicsRequest, files: _Files, dataset: Dataset, cancelled: IsCancelled
) -> Measurer:
    """Everything that the checkpoints share.

    The last one, trained the longest, tells which network it is where the tensors alone cannot;
    the first one, whose features have not collapsed, shows how its layers follow from each other.
    """
    last = next((c for f in reversed(request.files) if (c := files.open(f))), None)
    if last is None:
        reasons = list(files.warnings.values()) or [f"its files are not in {request.folder}"]
        raise UserError(f"{request.run} has no checkpoint that can be read: {reasons[0]}")
    network = _identify(request, last, dataset, cancelled)
    first = next((c for f in request.files if (c := files.open(f))), last)
    return Measurer(
        network.model,
        last,
        first,
        dataset,
        request.data,
        partial(_rebuild, request, network, dataset),
        seed=request.seed,
        device=request.device,
    )


def _analysis_request(
    request: DynamicsRequest, checkpoint: Checkpoint, settings: Settings
) -> AnalysisRequest:
    return AnalysisRequest(
        checkpoint=str(checkpoint.path),
        data=request.data,
        checkpoint_name=checkpoint.name,
        data_name=request.data_name,
        settings=settings,
    )


def _identify(
    request: DynamicsRequest, checkpoint: Checkpoint, dataset: Dataset, cancelled: IsCancelled
) -> _Network:
    settings = Settings(seed=request.seed)
    model, reason = find_model(
        checkpoint, _analysis_request(request, checkpoint, settings), dataset
    )
    if model is None:
        raise UserError(reason)
    model, _ = choose_variant(
        model, checkpoint, dataset, settings, partial(with_preprocessing, settings), cancelled
    )
    return _Network(model, replace(settings, architecture=model.architecture))


def _rebuild(
    request: DynamicsRequest, network: _Network, dataset: Dataset, checkpoint: Checkpoint
) -> nn.Module:
    asked = _analysis_request(request, checkpoint, network.settings)
    model, reason = find_model(checkpoint, asked, dataset)
    if model is None:
        raise UserError(reason)
    return model.module

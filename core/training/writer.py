"""Write a run folder while a network trains: checkpoints and ``run.json``.

    run = RunWriter("runs/mine", title="My network", data=["digits-train", "digits-test"])
    …
    run.save(model, epoch=epoch, train_accuracy=accuracy)

The dashboard opens the folder, and follows it while it grows (docs/run_folders.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from core.checkpoints.runs import TENSOR_ORDER, DataEntry, Run, RunCheckpoint, open_run, write_run
from core.data.opening import BUNDLED

Data = str | Path | DataEntry


class RunWriter:
    """Adds checkpoints to a run, one ``save`` per checkpoint; ``run.json`` is always complete, and
    no file is ever seen half written.

    - ``folder``: made if it is not there; a run that it holds already is replaced by the first
      ``save``, or goes on where ``resume`` is given.
    - ``data``: names or paths for ``open_dataset``, the training data first. Without any, the
      dashboard offers bundled data that fit.
    - ``half``: matrices and convolutions but for the classifier's are stored in float16.
    - ``details``: further fields of ``core.checkpoints.runs.Run``: seed, settings, source, …

    As a context manager it calls ``finish`` at the end of the block, unless that raised. In
    distributed training, only one process writes.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        title: str = "",
        data: Data | Sequence[Data] = (),
        half: bool = False,
        resume: bool = False,
        **details: Any,
    ) -> None:
        folder = Path(folder)
        several = [data] if isinstance(data, str | Path | DataEntry) else data
        given = {"group": "Trained here", "checkpoints": (), "finished": False, **details}
        self.run = Run(
            id=folder.name,
            folder=folder,
            title=title or folder.name,
            data=tuple(_entry(d) for d in several),
            **given,
        )
        if resume and (folder / "run.json").is_file():
            before = open_run(folder)
            self.run = replace(
                self.run, checkpoints=before.checkpoints, history=_copy(before.history)
            )
        self._half = half

    def save(self, model: nn.Module, *, epoch: int, **scores: float) -> None:
        """Write the weights of ``model`` as the checkpoint of ``epoch``, and the scores of that
        epoch (train_accuracy, test_accuracy, train_loss, test_loss, or your own) into the history.

        A model with a method ``metadata()`` (the app's own networks) describes itself with it.
        """
        describe = getattr(model, "metadata", None)
        self.write(model, epoch, describe() if callable(describe) else {})
        if scores:
            self.record(epoch=epoch, **scores)
        write_run(self.run)

    def write(self, model: nn.Module, epoch: int, metadata: Mapping[str, str]) -> None:
        """Write the weights with ``metadata`` beside them; ``run.json`` follows with the next
        ``publish``."""
        file = f"epoch_{epoch:05d}.safetensors"
        self.run.folder.mkdir(parents=True, exist_ok=True)
        tensors = self._tensors(model)
        texts = {**metadata, "epoch": str(epoch), TENSOR_ORDER: "\n".join(tensors)}
        temporary = self.run.folder / f".{file}"
        save_file(tensors, temporary, texts)
        temporary.chmod(0o644)
        temporary.replace(self.run.folder / file)
        others = [c for c in self.run.checkpoints if c.epoch != epoch]
        self.run = replace(self.run, checkpoints=(*others, RunCheckpoint(file, epoch)))

    def record(self, *, epoch: int, **values: float) -> None:
        """Add one epoch's values (losses, accuracies, seconds) to the history, in the place of
        what is there of that epoch. Columns without a value get NaN."""
        history = _copy(self.run.history)
        length = len(history.get("epoch", []))
        at = history["epoch"].index(epoch) if epoch in history.get("epoch", []) else length
        for key, value in {"epoch": epoch, **values}.items():
            column = history.setdefault(key, [math.nan] * length)
            column[at:] = [round(float(value), 6), *column[at + 1 :]]
        for column in history.values():
            column += [math.nan] * (max(length, at + 1) - len(column))
        history["epoch"] = [int(e) for e in history["epoch"]]
        self.run = replace(self.run, history=history)

    def publish(self, **changes: Any) -> None:
        """Write ``run.json``, with some of its fields changed."""
        self.run = replace(self.run, **changes)
        write_run(self.run)

    def finish(self, **results: float) -> None:
        """Say that the training has ended, with results of the finished network."""
        self.publish(finished=True, results={**self.run.results, **results})

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()

    def _tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """The state dict on the CPU, in its order; tied weights once for each of their names."""
        linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
        exact = f"{linear[-1]}.weight" if linear else ""
        tensors: dict[str, Tensor] = {}
        stored: set[int] = set()
        for name, value in model.state_dict().items():
            if not isinstance(value, Tensor) or name.endswith("num_batches_tracked"):
                continue
            value = value.detach().cpu().contiguous()
            if self._half and value.is_floating_point() and value.ndim > 1 and name != exact:
                value = value.half()
            storage = value.untyped_storage().data_ptr()
            tensors[name] = value.clone() if storage in stored else value
            stored.add(storage)
        return tensors


def _entry(data: Data) -> DataEntry:
    if isinstance(data, DataEntry):
        return data
    name = str(data)
    if name in BUNDLED:
        return DataEntry(name, BUNDLED[name])
    path = Path(data)
    # absolute: the dashboard may be started in another folder
    return DataEntry(str(path.resolve()), path.name) if path.exists() else DataEntry(name, name)


def _copy(history: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {key: [*column] for key, column in history.items()}

"""Landscapes from checkpoints and images; what pages submit as jobs."""

from __future__ import annotations

import time
from pathlib import Path as FilePath

import numpy as np
import torch
from torch import Tensor

from core import store
from core.checkpoints import Checkpoint, open_checkpoint
from core.data.dataset import Dataset
from core.data.loading import load_batch
from core.errors import UserError
from core.features import devices
from core.fitting import open_network
from core.landscape.directions import filter_normalised
from core.landscape.request import BEYOND, LandscapeRequest, kept_at, validate
from core.landscape.results import Landscape, Path, Trial
from core.landscape.surface import Evaluator
from core.landscape.trajectory import Plane, box, principal_plane
from core.models.building import Model
from core.models.load import load
from core.progress import IsCancelled, Progress, check, never, silent

IMAGE_BYTES = 1 << 30
"""Preprocessed images kept in memory, at most; fewer of them are drawn otherwise."""

PATH_BYTES = 1 << 30
"""All checkpoints of a path in float32, at most; some are left out otherwise."""

_PIECE = 8  # points of a line that one worker takes at a time


def compute(
    request: LandscapeRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Landscape:
    """The landscape of a request; kept on disk and never computed twice.

    UserError where a checkpoint is of another architecture, or the network and the data do not
    fit.
    """
    validate(request)
    file = kept_at(request)
    if not file.is_file():
        store.save(file, _Run(request, progress, cancelled).landscape())
    return store.load(Landscape, file)


def trial(
    request: LandscapeRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Trial:
    """How fast the network of a request runs on this machine, as busy as it is now."""
    progress(0, 1, "Trying a few images")
    run = _Run(request, progress, cancelled)
    opening = time.perf_counter() - run.started
    return Trial(
        seconds_per_image=run.evaluator.pace(),
        opening=opening,
        images=run.all_images,
        parameters=run.weights.moving,
        statistics=run.weights.has_statistics,
    )


class _Run:
    """The network and its images, opened once, and what is computed with them."""

    def __init__(
        self,
        request: LandscapeRequest,
        progress: Progress,
        cancelled: IsCancelled,
    ) -> None:
        self.request, self.progress, self.cancelled = request, progress, cancelled
        self.started = time.perf_counter()
        self.notes: list[str] = []
        progress(0, 1, "Opening the checkpoint")
        network = request.network
        self.checkpoint, model, dataset = open_network(network)
        check(cancelled)
        progress(0, 1, "Reading the images")
        self.dataset, self.all_images = self._draw(dataset, model), len(dataset)
        self.model = model
        self.evaluator = Evaluator(
            model.module,
            load_batch(self.dataset, np.arange(len(self.dataset)), model.preprocessing),
            self.dataset.labels,
            device=devices.choose_device(network.settings.device),
            workers=torch.get_num_threads(),
            measured=self.request.statistics == "measured",
        )
        self.weights = self.evaluator.weights
        self.origin = self.weights.read()  # (P,)

    def _draw(self, dataset: Dataset, model: Model) -> Dataset:
        """The images that the loss is a mean over."""
        wanted = self.request.images
        bytes_each = 4 * int(np.prod(model.preprocessing.shape))
        count = min(wanted, max(1, IMAGE_BYTES // bytes_each))
        if count < min(wanted, len(dataset)):
            self.notes.append(f"only {count:,} images are used: more do not fit the memory")
        return dataset.select(dataset.stratified(count, self.request.seed))

    def landscape(self) -> Landscape:
        """Every kind of landscape, by its own method."""
        request = self.request
        loss, accuracy = self.evaluator.at(self.origin)
        path: Path | None = None
        if request.kind == "line":
            x, y, values = self._lines()
        elif request.kind == "plane":
            x, y, values = self._plane()
        elif request.kind == "between":
            x, y, values = self._between()
        else:
            x, y, values, path = self._path()
        return Landscape(
            kind=request.kind,
            x=x,
            y=y,
            loss=values[0],
            accuracy=values[1],
            centre_loss=float(loss[0]),
            centre_accuracy=float(accuracy[0]),
            images=len(self.dataset),
            all_images=self.all_images,
            data_name=self.dataset.name,
            classes=self.dataset.classes,
            parameters=self.weights.moving
            if request.kind in ("line", "plane")
            else self.model.parameters,
            seconds=time.perf_counter() - self.started,
            device=str(devices.choose_device(request.network.settings.device)),
            statistics="none" if not self.weights.has_statistics else request.statistics,
            path=path,
            warnings=tuple(self.notes),
        )

    def _random(self, number: int) -> Tensor:
        """Direction ``number`` of the seed: the same draw for every network of one shape."""
        generator = torch.Generator().manual_seed(1_000_003 * self.request.seed + number)
        return filter_normalised(self.weights, self.origin, generator)

    def _steps(self) -> np.ndarray:
        return np.linspace(-self.request.span, self.request.span, self.request.resolution)

    def _grid(
        self, directions: tuple[Tensor, Tensor], x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Losses and accuracies (len(y), len(x)) on a grid around the origin, row by row."""
        coordinates = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        values = self._evaluate(self.origin, directions, coordinates, len(x), "row")
        return values[0].reshape(len(y), len(x)), values[1].reshape(len(y), len(x))

    def _evaluate(
        self,
        origin: Tensor,
        directions: tuple[Tensor, ...],
        coordinates: np.ndarray,
        part: int,
        what: str,
        before: int = 0,
        total: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        total = len(coordinates) if total is None else total
        lowest, highest = np.inf, -np.inf

        def done(points: int, losses: np.ndarray) -> None:
            nonlocal lowest, highest
            finite = losses[np.isfinite(losses)]
            lowest, highest = min(lowest, *finite, np.inf), max(highest, *finite, -np.inf)
            at, of = (
                (before + points, total) if what == "point" else (points // part, total // part)
            )
            seen = f", loss {lowest:.2g} to {highest:.2g}" if highest >= lowest else ""
            self.progress(before + points, total, f"{what} {at:,} of {of:,}{seen}")

        self.progress(before, total, f"{what} 0 of {total if what == 'point' else total // part:,}")
        return self.evaluator.at(
            origin, directions, coordinates, part=part, done=done, cancelled=self.cancelled
        )

    def _plane(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        steps = self._steps()
        return steps, steps, self._grid((self._random(0), self._random(1)), steps, steps)

    def _lines(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        steps, lines = self._steps(), self.request.lines
        rows = [
            self._evaluate(
                self.origin,
                (self._random(number),),
                steps[:, None],
                _PIECE,
                "point",
                number * len(steps),
                lines * len(steps),
            )
            for number in range(lines)
        ]
        loss, accuracy = (np.stack(values) for values in zip(*rows, strict=True))
        return steps, np.arange(1, lines + 1), (loss, accuracy)

    def _between(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """From the other checkpoint at 0 to this one at 1, and a quarter beyond both. Buffers go
        along from 0 to 1 and then stay: a variance drawn beyond its end could become negative."""
        start = self._vector(self.request.other)
        change = self.origin - start
        parameters = self.weights.parameters()
        steps = np.linspace(-BEYOND, 1 + BEYOND, self.request.resolution)
        loss, accuracy = self._evaluate(
            start,
            (change * parameters, change * ~parameters),
            np.column_stack([steps, np.clip(steps, 0, 1)]),
            _PIECE,
            "point",
        )
        return steps, np.zeros(1), (loss[None], accuracy[None])

    def _path(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], Path]:
        chosen = self._thinned()
        vectors = torch.stack([self._opened(i, file, chosen) for i, (_, file) in enumerate(chosen)])
        own_loss, own_accuracy = self._own(vectors)
        plane = principal_plane(vectors, self.weights.parameters().cpu())
        if not len(plane.directions):
            raise UserError(
                "all checkpoints of this run have the same weights, so it has no path: choose "
                "another run"
            )
        # the grid is seen from the last checkpoint
        self.origin = vectors[-1].to(self.origin.device)
        plane_directions, coordinates = self._two(plane)
        x, y = box(coordinates, self.request.resolution)
        values = self._grid(plane_directions, x, y)
        plane_loss, _ = self.evaluator.at(
            self.origin, plane_directions, coordinates, cancelled=self.cancelled
        )
        path = Path(
            epochs=np.array([epoch for epoch, _ in chosen], dtype=np.int64),
            coordinates=coordinates,
            loss=own_loss,
            accuracy=own_accuracy,
            plane_loss=plane_loss,
            distance=plane.distance,
            shares=plane.shares,
        )
        return x, y, values, path

    def _own(self, vectors: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy (E,) of the checkpoints themselves."""
        found = []
        for i, vector in enumerate(vectors):
            check(self.cancelled)
            self.progress(i, len(vectors), f"loss of checkpoint {i + 1} of {len(vectors)}")
            found.append(self.evaluator.at(vector.to(self.origin.device)))
        loss, accuracy = (np.concatenate(values) for values in zip(*found, strict=True))
        return loss, accuracy

    def _two(self, plane: Plane) -> tuple[tuple[Tensor, Tensor], np.ndarray]:
        """Both directions on the device, and the path's coordinates (E, 2). A straight path gets a
        random second direction at a right angle."""
        directions = [d.to(self.origin.device) for d in plane.directions]
        coordinates = plane.coordinates
        if len(directions) == 1:
            self.notes.append(
                "the path is a straight line: the second direction is a random one at a right angle"
            )
            drawn = self._random(0)
            drawn = drawn - (drawn @ directions[0]) * directions[0]
            directions.append(drawn / torch.linalg.vector_norm(drawn))
            coordinates = np.column_stack([coordinates, np.zeros(len(coordinates))])
        return (directions[0], directions[1]), coordinates

    def _thinned(self) -> list[tuple[int, str]]:
        """The checkpoints of the path that fit the memory, always the first and the last."""
        path = sorted(self.request.path)
        most = max(3, PATH_BYTES // max(4 * len(self.origin), 1))
        if len(path) <= most:
            return path
        rows = np.unique(np.linspace(0, len(path) - 1, most).round().astype(int))
        self.notes.append(
            f"{len(rows)} of {len(path)} checkpoints are used: more do not fit the memory"
        )
        return [path[row] for row in rows]

    def _opened(self, i: int, file: str, chosen: list[tuple[int, str]]) -> Tensor:
        check(self.cancelled)
        self.progress(i, len(chosen), f"opening checkpoint {i + 1} of {len(chosen)}")
        return self._vector(file).cpu()

    def _vector(self, file: str) -> Tensor:
        """(P,) another checkpoint as a vector; UserError where it is of another network."""
        other = open_checkpoint(FilePath(file))
        differs = _differs(self.checkpoint, other)
        if differs:
            raise UserError(
                f"{other.name} is another network than {self.checkpoint.name} ({differs}): a line "
                "or a path needs checkpoints of one architecture"
            )
        try:
            load(self.weights.module, other.tensors, self.checkpoint.name)
        except UserError as error:
            raise UserError(
                f"{other.name} is another network than {self.checkpoint.name}: a line or a path "
                f"needs checkpoints of one architecture ({error})"
            ) from error
        return self.weights.read()


_DESCRIBING = ("architecture", "widths", "activation", "batch_norm", "input_shape", "classes")


def _differs(one: Checkpoint, other: Checkpoint) -> str:
    """What two checkpoints say of themselves that is not the same; tensors of one shape may
    belong to networks of different activations."""
    for key in _DESCRIBING:
        a, b = one.metadata.get(key), other.metadata.get(key)
        if a is not None and b is not None and str(a) != str(b):
            return f"{key} {b} instead of {a}"
    return ""

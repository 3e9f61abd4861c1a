"""analyze(): one text transformer on one file of texts, from the folder to an ``Analysis``.

``run`` is what pages submit to ``core.jobs``; the result is kept in the cache, where
``core.library`` finds it as it finds the analysis of any upload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from core import library, store
from core.checkpoints import Checkpoint, hugging_face
from core.checkpoints.opening import from_folder
from core.data.dataset import stratified
from core.errors import UserError
from core.features.devices import choose_device
from core.features.extract import SAMPLE
from core.language.counting import Largest, NonZeros, tokens_by_position
from core.language.passes import Place, Reader, TokenMeans, run_pass
from core.language.request import TextRequest
from core.language.texts import Texts, open_texts
from core.language.tokens import Tokens, tokenise
from core.measures import Cloud, LayerInput, measure_layer
from core.metrics import collapse
from core.metrics.moments import ClassMoments, class_moments
from core.metrics.separation import separation_law
from core.metrics.sparsity import EXACT_ZERO_ACTIVATIONS
from core.metrics.weights import weight_summaries
from core.models.hugging_face import Stack, TextModel, text_model
from core.progress import IsCancelled, Progress, check, never, silent
from core.request import AnalysisRequest
from core.results import (
    Activation,
    Analysis,
    CheckpointSummary,
    DataSummary,
    LayerAnalysis,
    MLPSparsity,
    Penultimate,
    Sample,
    SeparationLaw,
    Sparsity,
)
from core.stages import Stages
from core.thumbnails import PICTURED

MAX_FEATURE_BYTES = 1 << 30  # token means of all layers
MAX_TOKENS = 4096


def run(
    request: TextRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> str:
    """Analyse and keep the result in the cache; the id under which ``core.library`` finds it."""
    key = text_analysis_id(request)
    path = library.analysis_path(key)
    if not path.is_file():
        store.save(path, analyze(request, progress=progress, cancelled=cancelled))
    return key


def text_analysis_id(request: TextRequest) -> str:
    """The id of the analysis that ``run`` makes: a digest of files, settings and shown names."""
    like = AnalysisRequest(
        request.model,
        request.text,
        checkpoint_name=request.model_name,
        data_name=request.text_name,
        model=f"text transformer, {request.max_tokens} tokens",
        settings=request.settings(),
    )
    return library.analysis_id(
        library.file_sha256(Path(request.model)), library.file_sha256(Path(request.text)), like
    )


def analyze(
    request: TextRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> Analysis:
    """Open, tokenise, read and measure. UserError where the input is at fault."""
    if not 1 <= request.max_tokens <= MAX_TOKENS:
        raise UserError(f"max_tokens is {request.max_tokens}; give 1 to {MAX_TOKENS}")
    stages = Stages(progress, cancelled)
    with stages.stage("open"):
        stages.say("Opening the network")
        texts = open_texts(request.text, request.text_name)
        path = Path(request.model)
        if not hugging_face.is_hugging_face(path):
            name = request.model_name or path.name
            raise UserError(f"{name} is no Hugging Face folder: config.json is not there")
        with hugging_face.opened(path, request.model_name) as folder:
            if not folder.is_text:
                raise UserError(
                    f"{folder.name} is a {folder.model_type}, which reads images: give a data set "
                    "of images"
                )
            checkpoint = from_folder(folder, path)
            model = text_model(folder, checkpoint.tensors)
            most = min(request.max_tokens, model.longest or request.max_tokens)
            drawn = texts.drawn(request.max_texts, request.seed)
            drawn, tokens = tokenise(drawn, folder.tokenizer, model.vocabulary, most, folder.name)
    return _analyze(request, checkpoint, model, drawn, tokens, most, stages)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer before it is measured."""

    name: str
    place: Place
    kind: str
    stack: str


def _analyze(
    request: TextRequest,
    checkpoint: Checkpoint,
    model: TextModel,
    texts: Texts,
    tokens: Tokens,
    most: int,
    stages: Stages,
) -> Analysis:
    settings = request.settings()
    labels = np.zeros(len(texts), dtype=np.int64) if texts.labels is None else texts.labels
    with stages.stage("features"):
        reading = _Reading(request, model, tokens, labels, len(texts.class_names), stages)
        layers, features = reading.layers()
        notes = reading.notes
    with stages.stage("layers"):
        sampled = stratified(labels, SAMPLE, settings.seed)
        pictured = stratified(labels[sampled], PICTURED, settings.seed)
        measured, moments = [], []
        for i, (layer, values) in enumerate(zip(layers, features, strict=True)):
            check(stages.cancelled)
            stages.report("layers")(i, len(layers), f"Measuring {layer.name}")
            found, of_layer = _measure(
                layer,
                values,
                reading.zeros_of(layer),
                i / max(1, len(layers) - 1),
                labels,
                texts,
                sampled,
                pictured,
                request,
            )
            measured.append(found)
            moments.append(of_layer)
    with stages.stage("finish"):
        weights = weight_summaries(checkpoint.tensors)
    stages.progress(1000, 1000, "Finished")
    ids = texts.lines[sampled]
    return Analysis(
        checkpoint=CheckpointSummary(
            name=checkpoint.name,
            format=checkpoint.format,
            sha256=checkpoint.sha256,
            architecture=model.architecture,
            parameters=model.parameters,
            metadata=dict(checkpoint.metadata),
            match="names",
            warnings=tuple(dict.fromkeys((*checkpoint.warnings, *model.warnings))),
        ),
        data=DataSummary(
            name=texts.name,
            images=len(texts),
            classes=len(texts.class_names),
            class_names=texts.class_names,
            sha256=texts.sha256,
            preprocessing=f"{tokens.lengths.sum():,} tokens, at most {most} a text; features are "
            "means over tokens",
            warnings=texts.warnings,
        ),
        settings=settings,
        device=reading.device.type,
        seconds=stages.seconds,
        accuracy=None,
        class_accuracy=None,
        penultimate=_last(measured, moments),
        layers=tuple(measured),
        separation_law=_law(measured, layers),
        sample=Sample(
            ids=ids[pictured], labels=labels[sampled][pictured], kept_ids=ids, kept_rows=pictured
        ),
        weights=weights,
        warnings=(*checkpoint.warnings, *texts.warnings, *tokens.warnings, *notes),
        activations=reading.activations(),
        mlps=reading.mlps(),
    )


class _Reading:
    """The passes over the texts, and what came out of them."""

    def __init__(
        self,
        request: TextRequest,
        model: TextModel,
        tokens: Tokens,
        labels: np.ndarray,
        classes: int,
        stages: Stages,
    ) -> None:
        self._model, self._tokens = model, tokens
        self.device = choose_device(request.device)
        self.notes: list[str] = []
        self._layers = _places(model)
        self._means = {layer.place: TokenMeans(len(tokens.ids)) for layer in self._layers}
        self._counts: dict[str, NonZeros] = {}
        paths = [p for s in model.stacks for p in s.activations]
        kind = type(model.module.get_submodule(paths[0])).__name__ if paths else ""
        self._exact = kind in EXACT_ZERO_ACTIVATIONS
        self._kind = kind
        wanted = "sparsity" in request.metrics
        lengths = tokens.lengths
        self._check_memory()

        def counter(threshold: float) -> NonZeros:
            return NonZeros(lengths, labels, classes, model.units, threshold)

        self._outputs: dict[Place, NonZeros] = {}
        if wanted:
            self._outputs = {
                place: NonZeros(lengths, labels, classes, model.width, 0.0) for place in self._means
            }
        first: dict[Place, Reader] = {
            place: partial(_both, means.update, self._outputs.get(place))
            for place, means in self._means.items()
        }
        largest = {p: Largest() for p in paths} if wanted and not self._exact else {}
        if wanted and self._exact:
            self._counts = {p: counter(0.0) for p in paths}
        first |= {Place(p): c.update for p, c in self._counts.items()}
        first |= {Place(p): m.update for p, m in largest.items()}
        passes = 2 if largest else 1
        report = stages.report("features")
        whole = passes * len(tokens.ids)

        def go(readers: dict[Place, Reader], before: int) -> None:
            run_pass(
                model,
                tokens,
                readers,
                self.device,
                batch_size=request.batch_size,
                progress=lambda done, _, what: report(before + done, whole, what),
                cancelled=stages.cancelled,
                what="Reading" if before == 0 else "Counting",
            )

        go(first, 0)
        if largest:
            self._counts = {p: counter(m.threshold) for p, m in largest.items()}
            go({Place(p): c.update for p, c in self._counts.items()}, len(tokens.ids))
        broken = [p for p, c in self._counts.items() if not c.finite]
        if broken:
            self.notes.append(f"NaN or infinite activations, not counted: {_listed(broken)}")

    def _check_memory(self) -> None:
        need = 4 * len(self._tokens.ids) * len(self._layers) * self._model.width
        if need > MAX_FEATURE_BYTES:
            few = MAX_FEATURE_BYTES * len(self._tokens.ids) // need
            raise UserError(
                f"{len(self._tokens.ids):,} texts need {need / 2**30:.1f} GiB for their features; "
                f"take at most {few:,} texts"
            )

    def layers(self) -> tuple[list[_Layer], list[np.ndarray]]:
        """Layers in order and their features (N, d), without those that are not finite."""
        finite = {
            layer.place: bool(np.isfinite(self._means[layer.place].values).all())
            for layer in self._layers
        }
        kept = [layer for layer in self._layers if finite[layer.place]]
        broken = [layer.name for layer in self._layers if not finite[layer.place]]
        if not kept:
            raise UserError(
                "all layers give NaN or infinite features: the network's weights are not finite or "
                "too large"
            )
        if broken:
            self.notes.append(
                f"NaN or infinite features, left out: {_listed(broken)}; the network's weights are "
                "not finite or too large"
            )
        return kept, [self._means[layer.place].values for layer in kept]

    def zeros_of(self, layer: _Layer) -> Sparsity | None:
        """The exact zeros in what a layer returns, as of an image network's blocks."""
        counts = self._outputs.get(layer.place)
        return counts.sparsity(is_activation=False, exact_zeros=False) if counts else None

    def activations(self) -> tuple[Activation, ...]:
        """The MLPs' activations, in call order."""
        blocks = [(b, p) for s in self._model.stacks for b, p in zip(s.blocks, s.activations)]  # noqa: B905
        depths = {layer.place.path: i for i, layer in enumerate(self._layers)}
        names = {layer.place.path: layer.name for layer in self._layers}
        last = max(1, len(self._layers) - 1)
        return tuple(
            Activation(
                name=f"{names[block]}.mlp",
                module=f"{path}#1",
                kind=self._kind,
                shape=(self._counts[path].units,),
                block=block,
                position=1,
                depth=(depths[block] - 0.5) / last,
                sparsity=self._counts[path].sparsity(is_activation=True, exact_zeros=self._exact),
            )
            for block, path in blocks
            if path in self._counts and self._counts[path].finite
        )

    def mlps(self) -> tuple[MLPSparsity, ...]:
        """One of every stack."""
        return tuple(self._of_stack(s) for s in self._model.stacks) if self._counts else ()

    def _of_stack(self, stack: Stack) -> MLPSparsity:
        counts = [self._counts[p] for p in stack.activations]
        gone = (np.nan, np.nan, np.nan)
        shares = np.array([c.share() if c.finite else gone for c in counts])  # (L, 3)
        positions = np.array([c.position_shares() * (1 if c.finite else np.nan) for c in counts])
        gate = ", the gate of a gated MLP" if self._model.gated else ""
        return MLPSparsity(
            stack=stack.name,
            activation=self._model.activation + gate,
            blocks=stack.blocks,
            units=np.array([c.units for c in counts]),
            share=shares[:, 0],
            low=shares[:, 1],
            high=shares[:, 2],
            by_position=positions,
            tokens=tokens_by_position(self._tokens.lengths),
            approximate=not self._exact,
            thresholds=np.array([c.threshold for c in counts]),
        )


def _both(
    first: Reader, second: NonZeros | None, rows: np.ndarray, x: Tensor, mask: Tensor
) -> None:
    first(rows, x, mask)
    if second is not None:
        second.update(rows, x, mask)


def _places(model: TextModel) -> list[_Layer]:
    """Embedding, every block and the norm at the end, of every stack."""
    found = []
    both = len(model.stacks) > 1
    for stack in model.stacks:
        front = f"{stack.name}.embedding" if both else "embedding"
        found.append(_Layer(front, Place(stack.blocks[0], "input"), "Embedding", stack.name))
        for i, path in enumerate(stack.blocks):
            kind = type(model.module.get_submodule(path)).__name__
            found.append(_Layer(f"{stack.name}.{i}", Place(path), kind, stack.name))
        if stack.norm:
            kind = type(model.module.get_submodule(stack.norm)).__name__
            found.append(_Layer(f"{stack.name}.norm", Place(stack.norm), kind, stack.name))
    return found


def _measure(
    layer: _Layer,
    values: np.ndarray,
    zeros: Sparsity | None,
    depth: float,
    labels: np.ndarray,
    texts: Texts,
    sampled: np.ndarray,
    pictured: np.ndarray,
    request: TextRequest,
) -> tuple[LayerAnalysis, ClassMoments]:
    moments = class_moments(values, labels, len(texts.class_names))
    several = len(texts.class_names) > 1
    given = LayerInput(
        name=layer.name,
        module=f"{layer.place.path}#1" + (" input" if layer.place.site == "input" else ""),
        kind=layer.kind,
        shape=(values.shape[1],),
        depth=depth,
        moments=moments,
        ncc_accuracy=collapse.ncc_accuracy(values, labels, moments.means) if several else None,
        sparsity=zeros,
        sample=values[sampled],
        sample_labels=labels[sampled],
        pictured=pictured,
        class_names=texts.class_names,
    )
    cloud = Cloud(values[sampled], values.shape[1], None)
    return measure_layer(given, cloud, request.settings()), moments


def _last(layers: Sequence[LayerAnalysis], moments: Sequence[ClassMoments]) -> Penultimate | None:
    """The last layer: what a head would read. There is no classifier beside it."""
    return Penultimate(
        layer=layers[-1].name,
        dim=layers[-1].dim,
        collapse=collapse.neural_collapse(moments[-1]),
        geometry=collapse.class_geometry(moments[-1]),
    )


def _law(measured: Sequence[LayerAnalysis], layers: Sequence[_Layer]) -> SeparationLaw | None:
    """Of the first stack alone: a decoder starts anew from its own embedding."""
    if all(layer.separation is None for layer in measured):
        return None
    values = [
        found.separation if layer.stack == layers[0].stack else None
        for found, layer in zip(measured, layers, strict=True)
    ]
    law = separation_law([layer.name for layer in layers], values)
    if layers[0].stack == layers[-1].stack:
        return law
    return replace(law, reason=f"of the {layers[0].stack} alone: the decoder starts anew")


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

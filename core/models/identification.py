"""Which network a checkpoint is, from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from core.checkpoints.hugging_face import Description
from core.models import hugging_face, norms, registry
from core.models.recognise import Fit, count_parameters, recognise
from core.models.signature import find_bag, named_shapes, table
from core.results import Candidate

MOST_CANDIDATES = 12

REMEDIES = (
    "(1) a plain chain of linear layers opens as it is, which this is not; "
    "(2) give the model's code with --model FILE.py:FUNCTION, or start the app with the folder "
    "of your model files in FEATURESCOPE_MODELS; "
    "(3) write a feature file beside your model with docs/save_features.py and open that"
)


TEXT_NEEDED = "a text transformer reads lines of text: give a .txt file as data"


@dataclass(frozen=True, slots=True)
class Identification:
    """What the tensors tell. ``architecture`` is None where no registry knows them."""

    architecture: str | None
    match: str  # "names", "shapes" or "none"
    classes: int | None
    input_shape: tuple[int, int, int] | None  # (C, H, W)
    parameters: int
    candidates: tuple[Candidate, ...]  # the chosen one first
    warnings: tuple[str, ...]


def identify(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    sample_shape: Sequence[int] | None = None,
) -> Identification:
    """Name the network that has these tensors. Builds nothing and never fails for being unknown.

    ``sample_shape`` (C, H, W) of the data at hand helps where tensors do not tell the input.
    """
    if isinstance(metadata, Description) and metadata.is_text:
        return _text(tensors, metadata)
    fits = recognise(tensors, metadata, sample_shape)
    if not fits:
        return _unknown(tensors)
    best = fits[0]
    return Identification(
        best.name,
        best.match,
        best.classes,
        best.preprocessing.shape,
        best.parameters,
        candidates(fits),
        (*best.warnings, *_doubts(fits)),
    )


def _text(tensors: Mapping[str, Tensor], description: Description) -> Identification:
    """A text transformer: it has no input of images and, read without its head, no classes."""
    return Identification(
        architecture=description.model_type,
        match="names",
        classes=None,
        input_shape=None,
        parameters=hugging_face.parameters(named_shapes(tensors), description.config),
        candidates=(),
        warnings=(TEXT_NEEDED,),
    )


def variants(identification: Identification) -> tuple[Candidate, ...]:
    """What labelled data can rank: every candidate that ``build`` accepts as ``architecture``."""
    return identification.candidates if identification.match != "none" else ()


def candidates(fits: Sequence[Fit]) -> tuple[Candidate, ...]:
    """The networks with equal tensors, then the first one with other preprocessing."""
    found = [
        Candidate(fit.name, fit.preprocessing.describe(), "" if i == 0 else "same tensors")
        for i, fit in enumerate(fits[:MOST_CANDIDATES])
    ]
    best = fits[0]
    for options in _preprocessings(best):
        words = norms.apply(best.preprocessing, options).describe()
        name = f"{best.name}@{','.join(options)}"
        found.append(Candidate(name, words, "other preprocessing"))
    return tuple(found)


def _preprocessings(fit: Fit) -> Iterator[tuple[str, ...]]:
    names = () if fit.normalised else norms.suitable(fit.preprocessing, fit.classes)
    yield from ((name,) for name in names)
    if fit.flexible and fit.classes != 1000 and fit.preprocessing.height > 64:
        yield ("32",)
        yield from (("32", name) for name in names)


def _doubts(fits: Sequence[Fit]) -> Iterator[str]:
    if len(fits) > 1:
        others = ", ".join(fit.name for fit in fits[1:4]) + (", …" if len(fits) > 4 else "")
        yield (
            f"{len(fits)} architectures have exactly these tensors: "
            f"{fits[0].name} is assumed ({others})"
        )
    signature = table().signatures.get(fits[0].name)
    if signature and signature.source == "timm" and not registry.has_timm():
        yield f"{fits[0].name} is a model of timm: install timm (pip install timm) to open it"


def _unknown(tensors: Mapping[str, Tensor]) -> Identification:
    shapes = named_shapes(tensors)
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    warnings = [f"no known architecture has these {len(shapes)} tensors: {REMEDIES}"]
    similar: tuple[Candidate, ...] = ()
    if match := find_bag(shapes, table().by_bag):
        note = "same shapes in another order: not loaded"
        similar = tuple(
            Candidate(s.name, s.preprocessing.describe(), note)
            for s in match.signatures[:MOST_CANDIDATES]
        )
        names = ", ".join(candidate.architecture for candidate in similar[:3])
        warnings.append(
            f"the shapes are those of {names}, but in another order and under other names: "
            "which tensor is which cannot be told"
        )
    return Identification(
        architecture=None,
        match="none",
        classes=matrices[-1][0] if matrices else None,
        input_shape=None,
        parameters=count_parameters(tensors),
        candidates=similar,
        warnings=tuple(warnings),
    )

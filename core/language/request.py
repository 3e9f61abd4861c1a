"""What a page or the command line asks of ``core.language.analysis``. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoints.hugging_face import FORMAT, TEXT_TYPES
from core.errors import UserError
from core.request import AnalysisRequest
from core.results import Analysis, Settings

MAX_TOKENS = 128
"""Tokens of one text that are read, unless the request says otherwise."""


def of_texts(analysis: Analysis) -> bool:
    """True for the analysis of a text transformer: its samples are texts, without images."""
    checkpoint = analysis.checkpoint
    return checkpoint.format == FORMAT and checkpoint.architecture in TEXT_TYPES


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One text transformer, one file of texts, and how they are read."""

    model: str  # path of a Hugging Face folder, or of a zip of one
    text: str  # path of a UTF-8 text file, or of an .npz of token ids
    model_name: str = ""  # shown instead of the path
    text_name: str = ""
    max_texts: int | None = None  # a stratified draw of so many; None: all
    max_tokens: int = MAX_TOKENS  # longer texts are cut
    batch_size: int | None = None  # None: by the length of the texts
    device: str = "auto"
    seed: int = 0
    metrics: tuple[str, ...] = Settings().metrics  # families, as in Settings
    max_dim: int = 1
    landmarks: int | None = None

    @classmethod
    def of(cls, request: AnalysisRequest, max_tokens: int = MAX_TOKENS) -> TextRequest:
        """What an ``AnalysisRequest`` asks of a text transformer. UserError for what there is of
        images alone, and without data."""
        settings = request.settings
        if request.data is None:
            raise UserError("a text transformer reads lines of text: give a .txt file as data")
        for what, value, usual in (
            ("the architecture", settings.architecture, "auto"),
            ("a constructor", request.model, None),
            ("layers", settings.layers, "auto"),
            ("flattened features", settings.features == "flat", False),
        ):
            if value != usual:
                raise UserError(f"of a text transformer {what} cannot be chosen; leave it out")
        return cls(
            model=request.checkpoint,
            text=request.data,
            model_name=request.checkpoint_name,
            text_name=request.data_name,
            max_texts=settings.max_images,
            max_tokens=max_tokens,
            batch_size=settings.batch_size,
            device=settings.device,
            seed=settings.seed,
            metrics=settings.metrics,
            max_dim=settings.max_dim,
            landmarks=settings.landmarks,
        )

    def settings(self) -> Settings:
        """The settings of the analysis that comes out."""
        return Settings(
            features="pooled",
            metrics=self.metrics,
            max_images=self.max_texts,
            batch_size=self.batch_size,
            device=self.device,
            seed=self.seed,
            max_dim=self.max_dim,
            landmarks=self.landmarks,
        )

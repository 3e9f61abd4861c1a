"""What the sidebar chose: one checkpoint on one data set, and one of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import streamlit as st

from core.language.request import of_texts
from core.results import Analysis, ClassGeometry, LayerAnalysis, NeuralCollapse
from pages._ui.choices import choose


@dataclass(frozen=True, slots=True)
class View:
    """One analysis and the layer to look at; ``layer`` is None where only weights were read."""

    title: str
    epoch: int | None
    analysis: Analysis
    layer: LayerAnalysis | None
    run: str = ""  # id of the run, or of the analysis of an upload
    data: str | None = None  # id of the run's data set

    @property
    def class_names(self) -> tuple[str, ...]:
        if self.analysis.data is not None:
            return self.analysis.data.class_names
        rows = self.analysis.classifier
        return tuple(f"row {k}" for k in range(0 if rows is None else len(rows.counts)))

    @property
    def of_features(self) -> bool:
        """True where the file brought features, so that there are no images."""
        return self.analysis.checkpoint.format == "feature file"

    @property
    def of_texts(self) -> bool:
        """True where the samples are texts."""
        return of_texts(self.analysis)

    @property
    def is_penultimate(self) -> bool:
        """True where the chosen layer is the input of the classifier."""
        penultimate = self.analysis.penultimate
        return (
            penultimate is not None
            and self.layer is not None
            and penultimate.layer == self.layer.name
        )

    @property
    def geometry(self) -> ClassGeometry | None:
        """Class means of the chosen layer, with the classifier's rows where they belong to it."""
        if self.layer is None:
            return self.analysis.classifier
        if self.is_penultimate and self.analysis.penultimate is not None:
            return self.analysis.penultimate.geometry
        return self.layer.geometry

    @property
    def collapse(self) -> NeuralCollapse:
        if self.layer is None:
            return NeuralCollapse()
        if self.is_penultimate and self.analysis.penultimate is not None:
            return self.analysis.penultimate.collapse
        return self.layer.collapse

    @property
    def line(self) -> str:
        """One line: parameters, data, layer, epoch."""
        parts = []
        if self.analysis.checkpoint.parameters:
            parts.append(f"{self.analysis.checkpoint.parameters:,} parameters")
        if (data := self.analysis.data) is not None:
            what = "samples" if self.of_features else "texts" if self.of_texts else "images"
            parts.append(f"{data.name}, {data.images:,} {what}, {_per_class(self)}")
        if self.layer is not None:
            parts.append(f"features: {self.layer.name}, {self.layer.dim:,} dimensions")
        if self.epoch is not None:
            parts.append(f"epoch {self.epoch}")
        return " · ".join(parts)


def _per_class(view: View) -> str:
    geometry = view.geometry
    if geometry is None or len(geometry.counts) == 0:
        return f"{len(view.class_names)} classes"
    if len(geometry.counts) == 1:
        return "one class"
    low, high = int(geometry.counts.min()), int(geometry.counts.max())
    return f"{low} per class" if low == high else f"{low} to {high} per class"


def choose_points(view: View, classes: int) -> Literal["all"] | int:
    """The samples to look at: all of them, or one of the first ``classes`` classes."""
    return choose(
        "class",
        ["all", *range(classes)],
        "all",
        partial(
            st.selectbox,
            "Points",
            format_func=lambda k: "all classes" if k == "all" else view.class_names[k],
            width=240,
        ),
    )

"""Run folders with synthetic analyses, for tests of pages: FEATURESCOPE_RUNS names their parent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthetic import synthetic_analysis

from core import store
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, write_run
from core.results import Analysis

EPOCHS = (0, 10, 100)


def write_runs(root: Path) -> None:
    """``full`` (everything measured), ``epochs`` (three checkpoints, two data sets), ``weights``
    (weights alone), ``bare`` (no optional family), ``many`` (100 classes),
    ``hostile`` (names that are markup)."""
    whole = synthetic_analysis()
    write_one(root, "full", whole)
    write_one(root, "weights", weights_only(whole))
    write_one(root, "bare", bare(whole))
    write_one(root, "many", synthetic_analysis(classes=100, layers=3))
    write_one(root, "two", synthetic_analysis(classes=2, layers=1))
    write_one(root, "hostile", synthetic_analysis(classes=3, layers=2, class_names=HOSTILE))
    run = Run(
        id="epochs",
        folder=root / "epochs",
        title="MLP, digits",
        group="Trained here",
        checkpoints=tuple(RunCheckpoint(f"epoch_{e:05}.safetensors", e) for e in EPOCHS),
        data=(DataEntry("digits-test", "Digits, test"), DataEntry("digits-train", "Digits, train")),
    )
    write_run(run)
    for epoch in EPOCHS:
        for data in run.data:
            made = synthetic_analysis(layers=4, noise=1 / (1 + epoch), seed=epoch)
            store.save(run.analysis_path(epoch, data.id), made)


HOSTILE = ("<script>alert(1)</script>", "a_b*c*", "$x$ :red[y] [z](https://example.org)")


def write_one(root: Path, run_id: str, analysis: Analysis) -> None:
    """A run of one checkpoint with this analysis."""
    run = Run(
        id=run_id,
        folder=root / run_id,
        title=f"Network {run_id}",
        group="Tests",
        checkpoints=(RunCheckpoint("network.th"),),
        data=(DataEntry("cifar10", "CIFAR-10 sample"),),
    )
    write_run(run)
    store.save(run.analysis_path(None, "cifar10"), analysis)


def weights_only(analysis: Analysis) -> Analysis:
    """What remains where no registry knows the network."""
    return replace(
        analysis,
        checkpoint=replace(analysis.checkpoint, architecture=None, match="none"),
        data=None,
        accuracy=None,
        class_accuracy=None,
        penultimate=None,
        layers=(),
        separation_law=None,
        sample=None,
    )


def bare(analysis: Analysis) -> Analysis:
    """Every optional family missing."""
    return replace(
        analysis,
        penultimate=None,
        accuracy=None,
        class_accuracy=None,
        separation_law=None,
        sample=None,
        layers=tuple(
            replace(
                layer,
                geometry=None,
                projection=None,
                sparsity=None,
                dimension=None,
                topology=None,
            )
            for layer in analysis.layers
        ),
    )

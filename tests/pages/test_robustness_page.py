"""The Robustness page: every comparison and look, what it says, and what it computes live."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from robustness_tables import KEPT, attack_table, corruption_table
from runs import write_runs
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis

from core import library, store
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, write_run
from core.models.sdnet import SDNet
from core.robustness.comparisons import COMPARISONS, run_ids
from core.robustness.kept import attack_path, corruption_path
from core.robustness.request import NORMS
from core.training.writer import RunWriter

Show = Callable[..., AppTest]
WAIT_SECONDS = 240


def write_comparison(root: Path, key: str, seeds: int = 3, attacked: bool = True) -> None:
    """The runs of a comparison with their tables, without checkpoint files."""
    one = COMPARISONS[key]
    for recipes, sparse in ((one.plain, False), (one.sparse, True)):
        for recipe, noise in zip(recipes, one.noise, strict=True):
            for seed, run_id in enumerate(run_ids(recipe, seeds)):
                options = {}
                if sparse:
                    options = {"knob": one.knob, "lift": 0.04 - noise / 200}
                    if one.knob == "lam":
                        options["adaptive"] = 0.15
                    else:
                        options |= {"values": KEPT, "trained": 16, "rises": False}
                run = Run(
                    id=run_id,
                    folder=root / run_id,
                    title=f"{recipe}, seed {seed}",
                    group="CIFAR-10",
                    checkpoints=(RunCheckpoint("epoch_00050.safetensors", 50),),
                    data=(DataEntry("cifar10", "CIFAR-10 sample"),),
                    recipe=recipe,
                    seed=seed,
                )
                write_run(run)
                if run_id == "cifar-vit":  # the sidebar lists what was analysed
                    store.save(run.analysis_path(50, "cifar10"), synthetic_analysis(layers=2))
                table = corruption_table(seed + 10 * sparse, **options)
                store.save(corruption_path(run.folder), table)
                for norm in NORMS if attacked else ():
                    knob = {"knob": one.knob} if sparse else {}
                    made = attack_table(norm, seed, masked=sparse and norm == "l2", **knob)
                    store.save(attack_path(run.folder, norm), made)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundled")
    write_comparison(root, "cifar-sdnet")
    write_comparison(root, "digits-sdnet", seeds=1)
    write_comparison(root, "cifar-vit", attacked=False)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Analyses of every kind, and a small SDNet with its file."""
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    torch.manual_seed(0)
    network = SDNet((1, 8, 8), (4, 8), 10, lam=0.1, iterations=2)
    writer = RunWriter(root / "small", title="Small *SDNet*", data=["digits-test"])
    writer.save(network, epoch=1)
    analysis = synthetic_analysis(classes=10, layers=2)
    analysis = replace(
        analysis,
        checkpoint=replace(analysis.checkpoint, architecture=None),
        settings=replace(analysis.settings, architecture="auto"),
    )
    store.save(root / "small" / "analyses" / "epoch_00001--digits-test.npz", analysis)
    return root


@pytest.fixture
def show(
    show_page: Callable[..., Show],
    folder: Path,
    bundled: Path,
    worker_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Show:
    shown = show_page("robustness", folder)
    monkeypatch.setattr(library, "BUNDLED_RUNS", bundled)
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(worker_cache))
    return shown


def said(app: AppTest) -> str:
    return "\n".join(e.value for e in (*app.markdown, *app.caption, *app.warning))


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def cards(app: AppTest) -> list[str]:
    return [header.value for header in app.header]


# --- comparisons -------------------------------------------------------------------------------


def test_severity_and_lambda_of_sdnet(show: Show) -> None:
    app = show(compare="cifar-sdnet")
    assert cards(app) == [
        *("What these runs show", "Severity × λ", "Accuracy by severity", "Accuracy against λ"),
        *("λ from the error", "λ that was chosen", "Accuracy at every λ"),
    ]
    assert charts(app) == 4
    text = said(app)
    assert "SDNet-8 with adaptive λ is **more accurate at severities 1 to" in text
    assert "The best λ rises with the noise" in text
    assert "Dai et al., NeurIPS 2022" in text
    assert "over 3 seeds, 300 images" in text
    table = app.table[0].value
    assert list(table.columns) == ["severity", "ResNet-8", "SDNet-8", "adaptive λ"]
    assert len(table) == 6
    assert "nothing to run live" in text  # these runs have no checkpoint file


def test_one_family_is_chosen_by_the_link(show: Show) -> None:
    app = show(compare="cifar-sdnet", family="shot_noise")
    assert app.selectbox(key="choice_family").value == "shot_noise"
    assert "Under shot noise," in said(app)


def test_one_seed_cannot_tell(show: Show) -> None:
    text = said(show(compare="digits-sdnet"))
    assert "Cannot be told" in text
    assert "no error over seeds" in text


def test_attacks_say_what_survives_and_warn_of_masking(show: Show) -> None:
    app = show(compare="cifar-sdnet", look="attacks", norm="l2")
    text = said(app)
    assert "What survives every attack** (L2, 0.5)" in text
    assert "Signs of masked gradients" in text
    assert "PGD alone overstates SDNet-8" in text
    assert "None of these networks was trained against attacks" in text
    assert cards(app)[1:] == ["Attacks", "Accuracy by radius", "Attacks against λ"]
    assert len(app.table[0].value) == 6  # three networks in two norms
    clean = show(compare="cifar-sdnet", look="attacks", norm="linf")
    assert "No sign of masked gradients" in said(clean)


def test_calibration_has_diagrams_and_errors(show: Show) -> None:
    app = show(compare="cifar-sdnet", look="calibration", severity="5")
    assert cards(app)[1:] == ["Clean images", "Severity 5", "Calibration error"]
    assert charts(app) == 3
    assert "At severity 5 the expected calibration error is" in said(app)


def test_top_k_with_label_noise(show: Show) -> None:
    app = show(compare="cifar-vit", labels="40", severity="2")
    assert cards(app)[1:] == [
        *("Top-k and noise", "Wrong training labels", "By severity, 40 % random"),
        "Accuracy against k",
    ]
    table = app.table[0].value
    assert list(table["random labels"]) == ["0 %", "0 %", "40 %", "40 %", "80 %", "80 %"]
    assert set(table["network"]) == {"ViT", "top-16 ViT"}
    assert "Corruptions at severity 2." in said(app)
    assert "Li et al., ICLR 2023" in said(app)


def test_looks_without_tables_are_not_offered(show: Show) -> None:
    app = show(compare="cifar-vit", look="attacks")
    options = app.segmented_control(key="choice_look").options
    assert options == ["Corruptions", "Calibration"]
    assert any("attacks" in info.value for info in app.info)


def test_a_comparison_that_was_not_measured_says_so(show: Show) -> None:
    app = show(compare="digits-vit")
    assert "were not measured on this server" in said(app)
    assert charts(app) == 0


def test_the_default_follows_the_sidebar(show: Show) -> None:
    assert show(run="cifar-vit").selectbox(key="choice_compare").value == "cifar-vit"
    assert show(run="full").selectbox(key="choice_compare").value == "this"


# --- the checkpoint of the sidebar -------------------------------------------------------------


def until(app: AppTest, done: Callable[[AppTest], bool]) -> AppTest:
    end = time.monotonic() + WAIT_SECONDS
    while not done(app) and time.monotonic() < end:
        assert not app.error, app.error
        time.sleep(0.3)
        app.run()
        assert not app.exception, app.exception
    assert done(app), said(app)
    return app


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("full", "not on the server any more"),
        ("weights", "Only the weights"),
        ("bare", "not trained on the classes"),
    ],
)
def test_what_cannot_be_measured_says_why(show: Show, run: str, words: str) -> None:
    app = show(compare="this", run=run)
    assert words in said(app)
    assert charts(app) == 0


@pytest.mark.parametrize("run", ["many", "two", "hostile", "epochs"])
@pytest.mark.parametrize("look", ["corruptions", "attacks", "calibration"])
def test_analyses_without_files_never_break_it(show: Show, run: str, look: str) -> None:
    assert "not on the server" in said(show(compare="this", run=run, look=look))


def test_a_network_is_measured_while_one_waits(show: Show) -> None:
    app = show(compare="this", run="small")
    until(app, lambda a: charts(a) >= 2)
    text = said(app)
    assert "Most harmful is" in text
    assert len(app.table[0].value) == 3
    assert "of digits" in text
    app = show(compare="this", run="small", settings="True")
    until(app, lambda a: charts(a) == 3)
    assert "Accuracy against λ" in cards(app)
    assert app.select_slider(key="choice_setting").value == 0.1
    before = said(app)
    app = show(compare="this", run="small", settings="True", setting="0.3", seen_severity="5")
    until(app, lambda a: charts(a) == 3 and not any(b.label == "Cancel" for b in a.button))
    assert app.select_slider(key="choice_setting").value == 0.3
    assert said(app) != before  # another share of non-zeros
    assert "of the code are not zero" in said(app)


def test_its_calibration_needs_no_second_run(show: Show) -> None:
    app = show(compare="this", run="small", look="calibration")
    until(app, lambda a: charts(a) == 3)
    assert "ECE" in said(app)


def test_attacks_wait_for_the_reader(show: Show) -> None:
    app = show(compare="this", run="small", look="attacks", norm="l2")
    assert charts(app) == 0
    assert "Projected gradient descent" in said(app)
    app = show(compare="this", run="small", look="attacks", norm="l2", attack="True")
    until(app, lambda a: charts(a) == 1)
    assert "survive every attack" in said(app)
    assert "Nothing was transferred" in said(app)

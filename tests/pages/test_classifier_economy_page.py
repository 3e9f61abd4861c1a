"""The page Classifier economy: its numbers, its limits in words, links, the opened network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs import HOSTILE, write_one, write_runs
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis

from core.economy import LECTURE

Show = Callable[..., AppTest]
PAGE = "classifier_economy"
CHARTS = 3


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root)
    analysis = synthetic_analysis(classes=10, layers=2)
    whole = replace(analysis.checkpoint, architecture="resnet20_cifar", parameters=269_722)
    weight = replace(analysis.weights[0], name="linear.weight", shape=(10, 64))
    penultimate = replace(analysis.penultimate, dim=64)
    write_one(
        root,
        "known",
        replace(analysis, checkpoint=whole, weights=(weight,), penultimate=penultimate),
    )
    return root


@pytest.fixture
def show(show_page: Callable[..., Show], runs: Path) -> Show:
    return show_page(PAGE, runs)


def metrics(app: AppTest) -> dict[str, tuple[str, str]]:
    return {m.label: (m.value, m.delta) for m in app.metric}


def words(app: AppTest) -> str:
    return " ".join(m.value for m in app.markdown).replace("\\", "")


def test_first_view_is_the_lectures_network(show: Show) -> None:
    app = show()
    assert metrics(app) == {
        "Parameters": ("25.6 M", "total"),
        "In the classifier": ("8.0 %", "d = 2,048"),
        "Fixed ETF saves": ("8.0 %", "bias is trained"),
        "With d = K": ("2.1 %", "costs 1.51 M"),
    }
    assert len(app.get("plotly_chart")) == CHARTS
    assert "pays below 411 classes" in words(app)


def test_the_lectures_table_has_ours_beside_it(show: Show) -> None:
    app = show()
    table = app.table[0].value.map(lambda text: text.replace("\N{NO-BREAK SPACE}", " "))
    assert len(table) == len(LECTURE)
    assert table["lecture"].tolist() == ["8 %", "12 %", "53 %", "21 %", "4.45 %"]
    assert table["here"].tolist() == ["8.0 %", "11.8 %", "52.6 %", "20.7 %", "4.45 %"]
    assert table["parameters"][3] == "11,181,642"
    assert table["trained"][3] == "8,867,442"
    said = " ".join(c.value for c in app.caption)
    assert "three groups" in said
    assert "None of torchvision" in said


def test_a_link_asks_for_a_network_and_a_number_of_classes(show: Show) -> None:
    app = show(network="resnet18", classes="10")
    assert metrics(app)["With d = K"] == ("20.7 %", "saves 2.31 M")
    assert app.number_input[0].value == 10
    assert dict(app.query_params) == {"network": "resnet18", "classes": "10"}


@pytest.mark.parametrize(
    ("network", "classes", "text"),
    [
        ("resnet18", "1000", "needs 999 dimensions"),
        ("squeezenet1_0", "10", "theory speaks of a linear classifier"),
        ("vit_b_16", "10", "narrowing every block"),
        ("densenet121", "10", "side by side"),
        ("resnet18", "513", "nothing to narrow"),
        ("googlenet", "10", "auxiliary heads"),
    ],
)
def test_what_is_not_possible_says_why(show: Show, network: str, classes: str, text: str) -> None:
    app = show(network=network, classes=classes)
    assert metrics(app)["With d = K"] == ("n/a", "not possible")
    assert text in words(app)
    assert len(app.get("plotly_chart")) == CHARTS


@pytest.mark.parametrize(("network", "classes"), [("vgg16", 1000), ("resnet20_cifar", 10)])
def test_a_network_starts_with_its_own_classes(show: Show, network: str, classes: int) -> None:
    app = show(network=network)
    assert app.number_input[0].value == classes
    assert "classes" not in app.query_params


def test_quick_numbers_of_classes(show: Show) -> None:
    app = show()
    app.button(key="quick_10").click().run()
    assert not app.exception
    assert app.number_input[0].value == 10
    assert metrics(app)["With d = K"][0] == "4.5 %"
    assert app.query_params["classes"] == "10"


def test_a_network_that_the_link_names_wrongly(
    repo: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESCOPE_RUNS", str(runs))
    monkeypatch.syspath_prepend(str(repo))
    app = AppTest.from_file(str(repo / "app.py"), default_timeout=60).run()
    app.query_params["network"] = "<b>x</b>"
    app.query_params["classes"] = "1"
    app.switch_page(f"pages/{PAGE}.py").run()
    assert not app.exception
    assert metrics(app)["Parameters"][0] == "25.6 M"
    said = " ".join(i.value for i in app.info)
    assert "network" in said
    assert "classes" in said
    assert "<b>" not in said


def test_guess_first_hides_the_answer(show: Show) -> None:
    app = show(guess="True")
    assert not app.metric
    assert not app.get("plotly_chart")
    app.button(key=_answer(app)).click().run()
    assert not app.exception
    assert "You guessed 10 %; it is 8.0 %." in words(app)
    app.button(key="quick_10").click().run()
    assert "You guessed" not in words(app)


def _answer(app: AppTest) -> str:
    return next(b.key for b in app.button if b.label == "Show the answer")


def test_the_opened_network_by_its_tensors(show: Show) -> None:
    app = show(run="known", network="opened")
    assert metrics(app)["Parameters"][0] == "269.7 k"
    assert metrics(app)["With d = K"] == ("11.6 %", "saves 30.6 k")
    rows = app.dataframe[0].value
    assert "Network known" in rows["network"].tolist()


@pytest.mark.parametrize("run", ["full", "weights", "bare", "many", "two", "hostile", "epochs"])
def test_any_opened_network(show: Show, run: str) -> None:
    app = show(run=run, network="opened")
    assert not app.error
    text = words(app) + " ".join(c.value for c in app.caption)
    assert not any(name in text for name in HOSTILE)


def test_pale_where_the_checkpoint_has_no_classifier(
    show_page: Callable[..., Show], tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    analysis = synthetic_analysis(classes=3, layers=2)
    write_one(root, "features", replace(analysis, weights=()))
    app = show_page(PAGE, root)(run="features")
    assert any("no matrix of its weights" in c.value for c in app.caption)
    assert "opened" not in app.selectbox(key="choice_network").options

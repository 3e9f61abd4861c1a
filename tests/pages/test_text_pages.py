"""Text transformers: from a zip and a text file to every page of Explore."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import streamlit
from runs import write_one
from streamlit.testing.v1 import AppTest
from synthetic import synthetic_analysis
from text_models import save_bert, save_image_model, save_t5, sentences, zipped

from core import library
from core.language.analysis import analyze
from core.language.example import EXAMPLE
from core.language.request import TextRequest
from core.language.texts import open_texts
from core.results import Analysis, MLPSparsity
from pages._ui.source import TEXTS

Show = Callable[..., AppTest]
EXPLORE = ("overview", "class_means", "projections", "layers", "intrinsic_dimension")
EXPLORE += ("topology", "sparsity")
IMAGES_ONLY = ("distribution_shift", "loss_landscape")
WAIT_SECONDS = 90


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Zips of a T5 (ReLU), a BERT (GELU) and an image network, and a file of 40 labelled texts."""
    root = tmp_path_factory.mktemp("models")
    for name, save in (("t5", save_t5), ("bert", save_bert)):
        (root / name).mkdir()
        save(root / name)
        zipped(root / name, root / f"{name}.zip", inside=f"{name}/")
    (root / "vit").mkdir()
    save_image_model(root / "vit", "ViT")
    zipped(root / "vit", root / "vit.zip")
    (root / "texts.txt").write_text("\n".join(sentences()))
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def analyses(made: dict[str, Path]) -> dict[str, Analysis]:
    texts = str(made["texts.txt"])
    found = {
        name: analyze(TextRequest(str(made[f"{name}.zip"]), texts, name, "Two topics"))
        for name in ("t5", "bert")
    }
    one = made["texts.txt"].with_name("one.txt")
    one.write_text("\n".join(line.split("\t")[1] for line in sentences(12)))
    found["unlabelled"] = analyze(TextRequest(str(made["t5"]), str(one), "t5", "One topic"))
    found["uncounted"] = analyze(
        TextRequest(str(made["t5"]), texts, "t5", "Texts", metrics=("collapse",))
    )
    return found


@pytest.fixture(scope="module")
def folder(analyses: dict[str, Analysis], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for name, analysis in analyses.items():
        write_one(root, name, analysis)
    write_one(root, "pictures", synthetic_analysis())
    return root


def said(app: AppTest) -> str:
    shown = (*app.caption, *app.markdown, *app.title, *app.header, *app.subheader)
    return "\n".join(element.value for element in shown).replace("\\", "")


# --- Explore -------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["t5", "bert", "unlabelled", "uncounted"])
@pytest.mark.parametrize("page", EXPLORE)
def test_every_page_of_explore_speaks_of_texts(
    show_page: Callable[..., Show], folder: Path, page: str, run: str
) -> None:
    app = show_page(page, folder)(run=run)
    assert app.title
    words = said(app).lower()
    assert "texts" in words
    # names of other networks, beside which this one is shown, may hold "ImageNet"
    assert not re.search(r"\bimages?\b", words.replace(TEXTS.lower(), ""))


@pytest.mark.parametrize("page", IMAGES_ONLY)
def test_pages_of_images_say_why_they_are_empty(
    show_page: Callable[..., Show], folder: Path, page: str
) -> None:
    app = show_page(page, folder)(run="t5")
    assert TEXTS in said(app)
    assert not app.get("plotly_chart")


def test_a_point_is_a_line_of_the_file(show_page: Callable[..., Show], folder: Path) -> None:
    app = show_page("projections", folder)(run="t5")
    chart = app.get("plotly_chart")[0].proto.spec
    assert "sample %{customdata}" in chart
    assert "image %{customdata}" not in chart
    images = show_page("projections", folder)(run="pictures")
    assert "image %{customdata}" in images.get("plotly_chart")[0].proto.spec


def test_the_sparsity_page_shows_blocks_positions_and_the_table(
    show_page: Callable[..., Show], folder: Path, analyses: dict[str, Analysis]
) -> None:
    app = show_page("sparsity", folder)(run="t5")
    headings = [header.value for header in app.header]
    assert headings[:4] == [
        *("Non-zeros by block", "Encoder, by position", "Decoder, by position"),
        "Block by block",
    ]
    assert "Share of non-zeros by layer" not in headings
    encoder = analyses["t5"].mlps[0]
    assert f"Encoder: {100 * encoder.share.mean():.1f} % over 2 blocks" in said(app)
    table = app.dataframe[0].value
    shares = np.concatenate([m.share for m in analyses["t5"].mlps])
    np.testing.assert_allclose(table["non-zero"], 100 * shares, rtol=1e-5)
    assert set(table["counted"]) == {"a ≠ 0"}
    assert "Layers" not in [group.label for group in app.get("button_group")]
    names = app.selectbox(key="choice_activation").options
    assert names[0] == "encoder.0.mlp"


def test_a_gelu_is_marked_as_approximate(show_page: Callable[..., Show], folder: Path) -> None:
    app = show_page("sparsity", folder)(run="bert")
    assert "All of this is approximate: gelu" in said(app)
    assert "Decoder, by position" not in [header.value for header in app.header]
    assert all(app.dataframe[0].value["counted"].str.startswith("|a| > "))


def test_without_counts_the_page_says_so(show_page: Callable[..., Show], folder: Path) -> None:
    app = show_page("sparsity", folder)(run="uncounted")
    assert "was made without sparsity" in said(app)


def test_an_image_network_keeps_its_page(show_page: Callable[..., Show], folder: Path) -> None:
    app = show_page("sparsity", folder)(run="pictures")
    headings = [header.value for header in app.header]
    assert headings[0] == "Share of non-zeros by layer"
    assert "Block by block" not in headings


def test_a_hostile_stack_name_is_no_markup(
    show_page: Callable[..., Show], analyses: dict[str, Analysis], tmp_path: Path
) -> None:
    first: MLPSparsity = analyses["t5"].mlps[0]
    mlps = (replace(first, stack="<b>s</b> *x*", activation="<script>"),)
    write_one(tmp_path / "runs", "hostile", replace(analyses["t5"], mlps=mlps))
    app = show_page("sparsity", tmp_path / "runs")(run="hostile")
    assert any("\\*x\\*" in header.value for header in app.header)
    assert "<script>" not in app.get("plotly_chart")[0].proto.spec


# --- Open your own -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dropped:
    """What ``st.file_uploader`` returns. AppTest's own uploads and clicks are lost when this page
    comes back through app.py, as it does in every run there."""

    name: str
    content: bytes

    @property
    def file_id(self) -> str:
        return sha256(self.content).hexdigest()

    def getbuffer(self) -> bytes:
        return self.content


Open = Callable[..., AppTest]


@pytest.fixture
def open_own(
    show_page: Callable[..., Show],
    folder: Path,
    worker_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Open:
    """open_own(checkpoint_file=…, text_file=…): the page with these files dropped, and looked
    into; (name, content) each. ``open_own.asked`` are the keys of the uploaders that it drew;
    ``open_own.press`` is the label of the button that is pressed next."""
    shown = show_page("open_your_own", folder)
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(worker_cache))

    def with_files(query: dict[str, str] | None = None, **files: tuple[str, bytes]) -> AppTest:
        def uploader(label: str, *, key: str, **more: object) -> Dropped | None:
            with_files.asked.add(key)
            return Dropped(*files[key]) if key in files else None

        drawn = streamlit.button

        def press(label: str, **more: object) -> bool:
            clicked = bool(drawn(label, **more))
            if label == with_files.press and not more.get("disabled"):
                with_files.press, clicked = None, True
            return clicked

        with_files.asked, with_files.press = set(), None
        monkeypatch.setattr(streamlit, "file_uploader", uploader)
        monkeypatch.setattr(streamlit, "button", press)
        app = shown(**query or {})
        until(app, lambda: "Looking into the file" not in said(app))
        with_files.asked = set()
        app.run()
        assert not app.error, app.error
        return app

    return with_files


def file(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def until(app: AppTest, done: Callable[[], bool]) -> None:
    """Run the page again and again until ``done``."""
    end = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < end, said(app)
        time.sleep(0.3)
        app.run()
        assert not app.exception, app.exception


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def test_a_zip_and_a_text_file_lead_to_their_analysis(
    open_own: Open, made: dict[str, Path]
) -> None:
    app = open_own(
        checkpoint_file=file(made["t5.zip"]),
        text_file=("my texts.txt", made["texts.txt"].read_bytes()),
    )
    words = said(app)
    assert "t5, names match" in words
    assert "2 blocks · 12 features · 24 hidden units of an MLP · activation relu" in words
    assert not app.text_input  # mean, deviation and size of images
    open_own.press = "Analyse"
    app.run()
    until(app, lambda: "run" in app.query_params)
    run = app.query_params["run"]
    found = library.load(run[0] if isinstance(run, list) else run)
    assert found.checkpoint.name == "t5.zip"
    assert found.data is not None
    assert (found.data.name, found.data.images) == ("my texts.txt", 40)
    assert found.data.class_names == ("animals", "money")
    assert [m.stack for m in found.mlps] == ["encoder", "decoder"]
    assert "40 texts" in said(app)


def test_without_texts_the_page_explains_and_waits(open_own: Open, made: dict[str, Path]) -> None:
    app = open_own(checkpoint_file=file(made["bert.zip"]))
    assert open_own.asked == {"checkpoint_file", "text_file"}
    assert button(app, "Analyse").disabled
    assert any("football\t" in code.value for code in app.code)
    app = open_own({"texts": "example"}, checkpoint_file=file(made["bert.zip"]))
    assert "60 sentences" in said(app)
    assert not button(app, "Analyse").disabled


def test_a_file_that_is_no_text_gets_one_sentence(open_own: Open, made: dict[str, Path]) -> None:
    app = open_own(
        checkpoint_file=file(made["t5.zip"]), text_file=("bad.txt", b"\xff\xfe\x00nonsense")
    )
    open_own.press = "Analyse"
    app.run()
    until(app, lambda: bool(app.error))
    assert len(app.error) == 1
    assert "bad.txt" in app.error[0].value
    assert "UTF-8" in app.error[0].value


def test_weights_alone_need_no_texts(open_own: Open, made: dict[str, Path]) -> None:
    app = open_own({"texts": "weights"}, checkpoint_file=file(made["bert.zip"]))
    open_own.press = "Analyse"
    app.run()
    until(app, lambda: "run" in app.query_params)
    assert "Open it again with lines of text" in said(app)


def test_a_folder_of_an_image_network_takes_images(open_own: Open, made: dict[str, Path]) -> None:
    app = open_own(checkpoint_file=file(made["vit.zip"]))
    assert "vit, names match" in said(app)
    assert open_own.asked == {"checkpoint_file", "data_file"}


def test_the_example_has_twenty_sentences_of_each_topic() -> None:
    texts = open_texts(EXAMPLE)
    assert texts.class_names == ("football", "kitchen", "night sky")
    assert texts.labels is not None
    assert np.bincount(texts.labels).tolist() == [20, 20, 20]
    assert len(set(texts.sentences or ())) == 60

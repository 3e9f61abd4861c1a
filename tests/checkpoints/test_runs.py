"""Run folders: described, plain, broken, growing, and many."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import library
from core.checkpoints import scanning
from core.checkpoints.plain_folders import list_folder, numbered
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, data_spec, open_run, write_run
from core.checkpoints.scanning import look_again, runs_below
from core.errors import UserError

OLD = time.time() - 3600


def put(folder: Path, *names: str, when: float = OLD) -> None:
    """Empty files that were written long ago, unless ``when`` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
        os.utime(folder / name, (when, when))


def described(folder: Path, title: str = "Mine", **more: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = [{"file": "epoch_00001.safetensors", "epoch": 1}]
    tree = {"title": title, "checkpoints": checkpoints, "data": ["digits-test"], **more}
    (folder / "run.json").write_text(json.dumps(tree))


def epochs(*names: str) -> list[int | None]:
    return [c.epoch for c in numbered(names)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("epoch_10.pt", "epoch_9.pt", "epoch_0.pt", "notes.txt"), [0, 9, 10]),
        (("epoch10.th", "epoch2.th"), [2, 10]),
        (("model-epoch=03-val_loss=0.12.ckpt", "model-epoch=12-val_loss=0.05.ckpt"), [3, 12]),
        (("epoch=3-step=400.ckpt", "epoch=4-step=500.ckpt", "last.ckpt"), [3, 4]),
        (("resnet20_EP5.pth", "resnet20_EP50.pth"), [5, 50]),
        (("step_1000.safetensors", "step_20.safetensors"), [20, 1000]),
        (("ckpt_12.pt",), [12]),
        (("checkpoint-12.pth", "checkpoint-3.pth", "best.pth"), [3, 12]),
        (("12.pt", "3.pt"), [3, 12]),
        (("mynet_1.pt", "mynet_20.pt"), [1, 20]),
        (("Epoch 1.PT", "Epoch 2.PT"), [1, 2]),
        # published networks side by side are no run
        (("resnet20-12fca82f.th", "resnet56-4bfd9763.th"), []),
        (("resnet18.pth", "resnet34.pth"), []),
        (("network.pt",), []),
        (("lr1e3.pt",), []),
        (("deepoch3x.pt",), []),
        (("epoch_1.txt", "epoch_2.json"), []),
        ((), []),
    ],
)
def test_names_tell_epochs(names: tuple[str, ...], expected: list[int]) -> None:
    assert epochs(*names) == expected


@given(st.sets(st.integers(0, 10**9 - 1), min_size=1, max_size=30), st.integers(0, 6))
def test_any_numbers_come_in_their_order(numbers: set[int], width: int) -> None:
    names = [f"epoch_{n:0{width}d}.pt" for n in numbers]
    assert epochs(*names) == sorted(numbers)
    assert [c.file for c in numbered(names)] == sorted(names, key=lambda n: int(n[6:-3]))


def test_one_epoch_has_one_file() -> None:
    names = ("epoch=3-step=400.ckpt", "epoch=3-step=1200.ckpt", "epoch=3-step=1200-v1.ckpt")
    assert [c.file for c in numbered(names)] == ["epoch=3-step=1200-v1.ckpt"]


def test_a_plain_folder_is_a_run(tmp_path: Path) -> None:
    put(tmp_path / "mine", "epoch_1.pt", "epoch_10.pt", "epoch_2.pt", "log.txt", ".epoch_11.pt")
    (run,) = runs_below(tmp_path).runs
    assert (run.id, run.title, run.data, run.finished) == ("mine", "mine", (), True)
    assert run.epochs == (1, 2, 10)
    assert run.checkpoint_path(2) == tmp_path / "mine" / "epoch_2.pt"


def test_a_folder_may_be_a_run_itself(tmp_path: Path) -> None:
    put(tmp_path, "epoch_1.pt")
    assert [r.id for r in runs_below(tmp_path).runs] == [tmp_path.name]
    described(tmp_path / "b")
    (tmp_path / "epoch_1.pt").unlink()
    assert [r.title for r in runs_below(tmp_path).runs] == ["Mine"]


def test_deeper_folders_are_found_and_named_by_their_path(tmp_path: Path) -> None:
    put(tmp_path / "version_10" / "checkpoints", "epoch=1-step=5.ckpt")
    put(tmp_path / "version_9" / "checkpoints", "epoch=1-step=5.ckpt")
    put(tmp_path / ".hidden", "epoch_1.pt")
    put(tmp_path / "a" / "b" / "c" / "d", "epoch_1.pt")  # deeper than DEPTH
    found = runs_below(tmp_path).runs
    assert [r.title for r in found] == ["version_9", "version_10"]
    assert [r.id for r in found] == ["version_9.checkpoints", "version_10.checkpoints"]


def test_a_description_without_checkpoints_takes_the_files(tmp_path: Path) -> None:
    put(tmp_path / "a", "epoch_1.pt", "epoch_2.pt")
    (tmp_path / "a" / "run.json").write_text('{"title": "A", "data": ["digits"]}')
    (run,) = runs_below(tmp_path).runs
    assert (run.title, run.epochs, run.first_data) == ("A", (1, 2), "digits")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"title": "x", "checkpoints": 3}',
        '{"title": "x", "checkpoints": [{"file": "../../etc/passwd"}]}',
        '{"title": "x", "checkpoints": [{"file": "/etc/passwd", "epoch": 1}]}',
        '{"title": "x", "checkpoints": [{"file": "a.pt", "epoch": "1"}]}',
        '{"title": "x", "checkpoints": [{"file": "a.pt", "epoch": true}]}',
        '{"title": "x", "checkpoints": [{"file": 3}]}',
        '{"title": "x", "history": 3}',
        '{"title": "x", "history": {"a": 3}}',
        "[" * 10_000,
    ],
)
def test_a_broken_run_is_left_out_and_named(tmp_path: Path, text: str) -> None:
    described(tmp_path / "good")
    put(tmp_path / "bad", "epoch_1.pt")
    (tmp_path / "bad" / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        open_run(tmp_path / "bad")
    found = runs_below(tmp_path)
    assert [r.id for r in found.runs] == ["good"]
    assert len(found.problems) == 1
    assert "bad" in found.problems[0]


def test_a_growing_run_is_seen(tmp_path: Path) -> None:
    put(tmp_path / "plain", "epoch_1.pt")
    described(tmp_path / "told")
    before = {r.id: r for r in runs_below(tmp_path).runs}
    put(tmp_path / "plain", "epoch_2.pt")
    two = [{"file": f"epoch_0000{e}.safetensors", "epoch": e} for e in (2, 1)]
    described(tmp_path / "told", checkpoints=two)
    put(tmp_path / "new", "epoch_7.pt")
    after = {r.id: r for r in runs_below(tmp_path).runs}
    assert before["plain"].epochs == (1,)
    assert after["plain"].epochs == after["told"].epochs == (1, 2)
    assert after["new"].epochs == (7,)
    assert look_again(before["told"]) == after["told"]
    assert look_again(before["plain"]) == after["plain"]


def test_half_written_files_wait(tmp_path: Path) -> None:
    put(tmp_path / "a", "epoch_1.pt")
    put(tmp_path / "a", "epoch_2.pt", when=time.time())
    listing = list_folder(tmp_path / "a")
    assert ([c.epoch for c in listing.checkpoints], listing.settled) == ([1], False)
    assert [r.epochs for r in runs_below(tmp_path).runs] == [(1,)]
    put(tmp_path / "a", "epoch_2.pt", when=time.time() - 2)  # the folder itself did not change
    (run,) = runs_below(tmp_path).runs
    assert run.epochs == (1, 2)
    assert not run.finished  # a file came within the last minutes


def test_what_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(100):
        described(tmp_path / f"told{i}", history={"train_loss": list(range(500))})
        put(tmp_path / f"plain{i}", *(f"epoch_{e}.pt" for e in range(20)))
        os.utime(tmp_path / f"plain{i}", (OLD, OLD))
    os.utime(tmp_path, (OLD, OLD))
    first = runs_below(tmp_path)

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(scanning, "open_run", never)
    monkeypatch.setattr(scanning, "list_folder", never)
    started = time.perf_counter()
    assert runs_below(tmp_path) == first
    assert time.perf_counter() - started < 0.25  # 200 runs; some 10 ms


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "runs"


def test_several_folders_are_joined_and_ids_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a" / "x", "epoch_1.pt")
    put(tmp_path / "b" / "x", "epoch_2.pt")
    put(tmp_path / "b" / library.DEFAULT_RUN, "epoch_3.pt")
    put(tmp_path / "b" / ("analysis-" + "0" * 20), "epoch_3.pt")
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEATURESCOPE_RUNS", os.pathsep.join([f"{tmp_path}/a", f"{tmp_path}/b"]))
    ids = [run.id for run in library.runs()]
    assert len(set(ids)) == len(ids)
    assert library.DEFAULT_RUN in ids
    assert not any(map(library.is_analysis_id, ids))
    found = [library.find(i) for i in ids if i.startswith("x")]
    assert [run.epochs for run in found if run] == [(1,), (2,)]
    assert library.find(library.DEFAULT_RUN).folder.parent == library.BUNDLED_RUNS
    labels = library.titles()
    assert sum(label.startswith("x (") for label in labels.values()) == 2


def test_runs_without_anything_to_open_are_not_offered(own: Path) -> None:
    described(own / "measured", checkpoints=[{"file": "epoch_00001.safetensors", "epoch": 1}])
    described(own / "begun", checkpoints=[])
    described(own / "whole")
    put(own / "whole", "epoch_00001.safetensors")
    assert {"measured", "begun", "whole"} <= {run.id for run in library.runs()}
    assert "whole" in library.titles()
    assert not {"measured", "begun"} & set(library.titles())
    with pytest.raises(UserError, match="not in its folder"):
        library.load("measured", 1, "digits-test")
    with pytest.raises(UserError, match="no checkpoint yet"):
        library.load("begun", None, "digits-test")


def test_only_the_data_of_the_run_is_opened(own: Path) -> None:
    put(own / "told", "epoch_00001.safetensors", "images.zip")
    described(own / "told", data=["digits-test", {"id": "images.zip", "title": "My images"}])
    run = library.find("told")
    request = library.request_for(run, 1, "images.zip")
    assert (request.data, request.data_name) == (str(own / "told" / "images.zip"), "My images")
    assert data_spec(run.folder, "images.zip@contrast-5").endswith("told/images.zip@contrast-5")
    assert library.request_for(run, 1, "digits-test").data == "digits-test"
    for wrong in ("/etc/passwd", "digits", "weights", "../x"):
        with pytest.raises(UserError, match="not been analysed"):
            library.request_for(run, 1, wrong)
    put(own / "plain", "epoch_1.pt")
    plain = library.find("plain")
    assert library.request_for(plain, 1, "digits").data == "digits"
    assert library.request_for(plain, 1, "weights").settings.architecture == "weights"
    for wrong in ("/etc/passwd", str(own / "told" / "images.zip"), None):
        with pytest.raises(UserError, match="not been analysed"):
            library.request_for(plain, 1, wrong)


def test_an_analysis_on_a_path_has_a_file_name_of_its_own(tmp_path: Path) -> None:
    run = Run("a", tmp_path, "A", "Runs", (RunCheckpoint("a.pt", 1),), ())
    inside = tmp_path / "analyses"
    for data in ("/home/me/images.zip", "../../x", "a/b"):
        assert run.analysis_path(1, data).parent == inside
    assert run.analysis_path(1, "digits-test") == inside / "a--digits-test.npz"
    assert run.analysis_path(1, "a/b") != run.analysis_path(1, "a/c")


def test_a_written_run_comes_back(tmp_path: Path) -> None:
    run = Run(
        *("r", tmp_path / "r", "R", "Runs", (RunCheckpoint("a.pt", 1), RunCheckpoint("b.pt", 5))),
        data=(DataEntry("digits", "Digits"),),
        history={"epoch": [1, 5], "train_accuracy": [0.5, 1.0]},
        finished=False,
    )
    write_run(run)
    assert runs_below(tmp_path).runs == (run,)

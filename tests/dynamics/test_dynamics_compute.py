"""A whole run: each checkpoint once, kept at once, whatever else happens."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core import jobs, library, store
from core.checkpoints.runs import DataEntry, Run, RunCheckpoint, write_run
from core.dynamics import compute, kept
from core.dynamics.measuring import Measurer
from core.dynamics.request import request_of
from core.dynamics.results import Dynamics, join, take
from core.errors import Cancelled, UserError
from core.models.mlp import MLP

ON_DIGITS = "digits-test"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dynamics"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were measured, in order."""
    seen: list[str] = []
    before = Measurer.measure

    def measure(
        self: Measurer, checkpoint: object, epoch: int, file: str, **rest: object
    ) -> object:
        seen.append(file)
        return before(self, checkpoint, epoch, file, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Measurer, "measure", measure)
    return seen


def add(folder: Path, epoch: int) -> None:
    """A checkpoint of that epoch."""
    torch.manual_seed(epoch)
    module = MLP((1, 8, 8), (12, 12), 10)
    folder.mkdir(exist_ok=True)
    save_file(module.state_dict(), folder / f"epoch_{epoch:05d}.safetensors", module.metadata())


def a_run(folder: Path, epochs: tuple[int, ...]) -> Run:
    files = tuple(RunCheckpoint(f"epoch_{e:05d}.safetensors", e) for e in epochs)
    return Run("own", folder, "Own", "Own", files, (DataEntry(ON_DIGITS, "digits"),))


def make(folder: Path, *epochs: int) -> Run:
    for epoch in epochs:
        add(folder, epoch)
    return a_run(folder, epochs)


def measure(run: Run, **rest: object) -> Dynamics:
    return compute.run(request_of(run, ON_DIGITS, device="cpu"), **rest)  # type: ignore[arg-type]


def test_a_second_time_nothing_is_measured(tmp_path: Path, measured: list[str]) -> None:
    run = make(tmp_path / "run", 0, 10)
    first = measure(run)
    assert list(first.epochs) == [0, 10]
    assert first.seconds["checkpoints"] == 2
    assert 0 < first.seconds["forward"] <= first.seconds["all"]
    assert len(measured) == 2
    again = measure(run)
    assert len(measured) == 2
    np.testing.assert_allclose(again.of("nc1"), first.of("nc1"), rtol=1e-6)
    np.testing.assert_array_equal(again.points, first.points)


def test_a_checkpoint_that_comes_later_is_measured_alone(
    tmp_path: Path, measured: list[str]
) -> None:
    run = make(tmp_path / "run", 0, 10)
    before = request_of(run, ON_DIGITS)
    measure(run)
    add(tmp_path / "run", 5)
    run = a_run(tmp_path / "run", (0, 5, 10))
    assert request_of(run, ON_DIGITS) != before
    assert [c.epoch for c in kept.missing(run, ON_DIGITS)] == [5]
    assert list(measure(run).epochs) == [0, 5, 10]
    assert measured[2:] == ["epoch_00005.safetensors"]
    assert kept.missing(run, ON_DIGITS) == ()


def test_a_request_is_hashable_and_knows_its_files(tmp_path: Path) -> None:
    run = make(tmp_path / "run", 0)
    before = request_of(run, ON_DIGITS)
    assert before == request_of(run, ON_DIGITS)
    assert hash(before) == hash(request_of(run, ON_DIGITS))
    torch.manual_seed(99)
    wider = MLP((1, 8, 8), (13, 12), 10)
    save_file(wider.state_dict(), tmp_path / "run" / "epoch_00000.safetensors", wider.metadata())
    assert request_of(run, ON_DIGITS) != before


def test_cancelling_keeps_what_was_measured(tmp_path: Path, measured: list[str]) -> None:
    run = make(tmp_path / "run", 0, 1, 2)
    steps: list[tuple[int, int, str]] = []

    def cancelled() -> bool:
        return any("checkpoint 3 of 3" in what for _, _, what in steps)

    with pytest.raises(Cancelled):
        measure(run, progress=lambda *step: steps.append(step), cancelled=cancelled)
    found = kept.kept(run, ON_DIGITS)
    assert found is not None
    assert list(found.epochs) == [0, 1]
    assert [c.epoch for c in kept.missing(run, ON_DIGITS)] == [2]
    assert list(measure(run).epochs) == [0, 1, 2]
    assert measured.count("epoch_00000.safetensors") == 1
    assert measured.count("epoch_00002.safetensors") == 2


def test_progress_only_grows_and_ends(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    measure(make(tmp_path / "run", 0, 1), progress=lambda *step: steps.append(step))
    shares = [done / total for done, total, _ in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 6


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_damaged_file_is_left_out(tmp_path: Path, which: int) -> None:
    run = make(tmp_path / "run", 0, 1, 2)
    broken = tmp_path / "run" / f"epoch_0000{which}.safetensors"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    found = measure(run)
    assert list(found.epochs) == [e for e in (0, 1, 2) if e != which]
    (warning,) = found.warnings
    assert "left out" in warning
    assert broken.name in warning
    broken.write_bytes(whole)  # now it is finished
    found = measure(run)
    assert list(found.epochs) == [0, 1, 2]
    assert not found.warnings


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    run = make(tmp_path / "run", 0)
    (tmp_path / "run" / "epoch_00000.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="epoch_00000"):
        measure(run)
    (tmp_path / "run" / "epoch_00000.safetensors").unlink()
    with pytest.raises(UserError, match="not in"):
        measure(run)
    assert kept.kept(run, ON_DIGITS) is None
    assert kept.missing(run, ON_DIGITS) == ()


def test_a_file_that_goes_away_meanwhile(tmp_path: Path) -> None:
    run = make(tmp_path / "run", 0, 1)
    request = request_of(run, ON_DIGITS, device="cpu")
    (tmp_path / "run" / "epoch_00001.safetensors").unlink()
    found = compute.run(request)
    assert list(found.epochs) == [0]
    assert any("epoch_00001" in w for w in found.warnings)


def test_plain_state_dicts_are_identified(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for epoch in (1, 2):
        torch.manual_seed(epoch)
        torch.save(MLP((1, 8, 8), (12, 12), 10).state_dict(), folder / f"epoch_{epoch}.pt")
    files = tuple(RunCheckpoint(f"epoch_{e}.pt", e) for e in (1, 2))
    run = Run("plain", folder, "Plain", "Own", files, (DataEntry(ON_DIGITS, "digits"),))
    found = measure(run)
    add(tmp_path / "run", 1)
    add(tmp_path / "run", 2)
    expected = measure(a_run(tmp_path / "run", (1, 2)))
    for key in ("nc1", "nc3", "accuracy"):
        np.testing.assert_allclose(found.of(key), expected.of(key), rtol=1e-5)


# --- what is kept ----------------------------------------------------------------------------


def test_a_bundled_run_needs_no_cache(tmp_path: Path, measured: list[str]) -> None:
    run = make(tmp_path / "run", 0, 10)
    whole = measure(run)
    store.save(kept.bundled_path(run, ON_DIGITS), whole)
    shutil.rmtree(tmp_path / "cache")
    found = kept.kept(run, ON_DIGITS)
    assert found is not None
    assert found.files == whole.files
    assert kept.missing(run, ON_DIGITS) == ()
    measure(run)
    assert len(measured) == 2
    # a further checkpoint joins it
    add(tmp_path / "run", 20)
    assert list(measure(a_run(tmp_path / "run", (0, 10, 20))).epochs) == [0, 10, 20]
    assert measured[2:] == ["epoch_00020.safetensors"]


def test_a_bundled_run_may_come_without_its_checkpoints(tmp_path: Path) -> None:
    run = make(tmp_path / "run", 0, 10)
    store.save(kept.bundled_path(run, ON_DIGITS), measure(run))
    shutil.rmtree(tmp_path / "cache")
    for file in (tmp_path / "run").glob("*.safetensors"):
        file.unlink()
    found = kept.kept(run, ON_DIGITS)
    assert found is not None
    assert list(found.epochs) == [0, 10]
    assert kept.missing(run, ON_DIGITS) == ()
    assert list(measure(run).epochs) == [0, 10]


def test_a_bundled_measurement_of_other_weights_is_not_trusted(
    tmp_path: Path, measured: list[str]
) -> None:
    run = make(tmp_path / "run", 0, 10)
    store.save(kept.bundled_path(run, ON_DIGITS), measure(run))
    torch.manual_seed(123)
    other = MLP((1, 8, 8), (12, 12), 10)
    save_file(other.state_dict(), tmp_path / "run" / "epoch_00010.safetensors", other.metadata())
    assert [c.epoch for c in kept.missing(run, ON_DIGITS)] == [10]
    found = measure(run)
    assert measured[2:] == ["epoch_00010.safetensors"]
    assert found.sha256[1] == library.file_sha256(tmp_path / "run" / "epoch_00010.safetensors")


def test_a_damaged_cache_is_measured_again(
    tmp_path: Path, cache: Path, measured: list[str]
) -> None:
    run = make(tmp_path / "run", 0, 10)
    measure(run)
    for file in cache.iterdir():
        file.write_bytes(b"nothing")
    assert kept.kept(run, ON_DIGITS) is None
    measure(run)
    assert len(measured) == 4


def test_the_same_weights_in_another_run(tmp_path: Path, measured: list[str]) -> None:
    measure(make(tmp_path / "run", 0))
    (tmp_path / "other").mkdir()
    shutil.copy(
        tmp_path / "run" / "epoch_00000.safetensors", tmp_path / "other" / "start.safetensors"
    )
    files = (RunCheckpoint("start.safetensors", 7),)
    run = Run("other", tmp_path / "other", "Other", "Own", files, (DataEntry(ON_DIGITS, "digits"),))
    found = kept.kept(run, ON_DIGITS)
    assert found is not None
    assert list(found.epochs) == [7]
    assert found.files == ("start.safetensors",)
    assert len(measured) == 1


def test_data_and_seed_are_part_of_the_key(tmp_path: Path) -> None:
    run = make(tmp_path / "run", 0)
    requests = [
        request_of(run, ON_DIGITS),
        request_of(run, "digits-train"),
        request_of(run, "digits-train@random_labels-50"),
        request_of(run, ON_DIGITS, seed=1),
    ]
    assert len({kept.cached_path("0" * 64, r) for r in requests}) == 4


def test_a_data_file_is_known_by_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    one.write_bytes(b"a")
    two.write_bytes(b"a")
    assert library.data_digest(str(one)) == library.data_digest(str(two))
    assert library.data_digest(f"{one}@blur-3") == library.data_digest(f"{two}@blur-3")
    assert library.data_digest(f"{one}@blur-3") != library.data_digest(f"{one}@blur-2")
    two.write_bytes(b"bb")
    assert library.data_digest(str(one)) != library.data_digest(str(two))


@pytest.mark.parametrize(
    "data", ["digits-train", "digits-train@random_labels-50", "/data/my images/a.zip", "../..", ""]
)
def test_bundled_names_stay_in_the_folder(tmp_path: Path, data: str) -> None:
    path = kept.bundled_path(a_run(tmp_path, (0,)), data)
    assert path.parent == tmp_path / "dynamics"
    assert path.suffix == ".npz"
    others = {kept.bundled_path(a_run(tmp_path, (0,)), d) for d in ("/data/my-images/a.zip", "x")}
    assert path not in others


def test_measurements_that_do_not_fit_together(tmp_path: Path) -> None:
    """A bundled file of another version: those of most checkpoints are shown, all can be made."""
    run = make(tmp_path / "run", 0, 10, 20)
    whole = measure(run)
    old = replace(take(whole, [0]), settings={**whole.settings, "version": 0})
    store.save(kept.bundled_path(run, ON_DIGITS), old)
    found = kept.kept(run, ON_DIGITS)
    assert found is not None
    assert list(found.epochs) == [10, 20]
    assert list(measure(run).epochs) == [0, 10, 20]


def test_take_and_join_undo_each_other(tmp_path: Path) -> None:
    whole = measure(make(tmp_path / "run", 0, 10, 20))
    parts = [take(whole, [i]) for i in (2, 0, 1)]
    joined = join(parts)
    assert joined.files == whole.files
    np.testing.assert_array_equal(joined.epochs, whole.epochs)
    np.testing.assert_array_equal(joined.points, whole.points)
    for key in whole.layer_values:
        np.testing.assert_array_equal(joined.layer_values[key], whole.layer_values[key])
    with pytest.raises(ValueError, match="one network"):
        join([parts[0], replace(parts[1], labels=parts[1].labels[::-1])])


def test_a_job_returns_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pages ask: in a worker process, pickled both ways."""
    run = make(tmp_path / "run", 0)
    write_run(run)
    job = jobs.submit("core.dynamics.compute:run", request_of(run, ON_DIGITS, device="cpu"))
    status = job.wait(120)
    assert status.state == "done", status.error
    assert isinstance(status.result, Dynamics)
    assert list(status.result.epochs) == [0]

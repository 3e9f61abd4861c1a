"""Tables of corruptions: against plain code, and the adaptive λ where the best one is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from robust_networks import NAMES, asked, coloured

from core import store
from core.checkpoints import open_checkpoint
from core.data.loading import load_batch
from core.data.opening import open_dataset
from core.errors import Cancelled, UserError
from core.fitting import find_model
from core.metrics.calibration import ece, reliability
from core.models.csc import CSC2d
from core.models.sdnet import SDNet
from core.models.top_k import TopK
from core.robustness.corruptions import run
from core.robustness.opening import PixelNetwork, open_network, pixels, settings_of
from core.robustness.request import CorruptionRequest
from core.robustness.results import CorruptionTable

FAMILIES = ("gaussian_noise", "impulse_noise")


def table(
    made: Path, name: str, data: str = "test.npz", calibration: str | None = None, **changes: object
) -> CorruptionTable:
    request = CorruptionRequest(
        asked(made, name, data),
        FAMILIES,
        (0, 2, 5),
        calibration=None if calibration is None else str(made / calibration),
    )
    return run(replace(request, **changes))


def plainly(made: Path, name: str, data: str, value: float | None) -> torch.Tensor:
    """Logits as the rest of the app computes them."""
    dataset = open_dataset(str(made / data))
    path = made / f"{name}.safetensors"
    model, _ = find_model(open_checkpoint(path), asked(made, name), dataset)
    assert model is not None
    for layer in model.module.modules():
        if value is not None and isinstance(layer, CSC2d):
            layer.lam = value
        if value is not None and isinstance(layer, TopK):
            layer.k = int(value)
    with torch.no_grad():
        everything = np.arange(len(dataset))
        return model.module(torch.from_numpy(load_batch(dataset, everything, model.preprocessing)))


@pytest.mark.parametrize(
    ("name", "values"), [("plain", ()), ("sdnet", (0.5, 0.02)), ("vit", (2.0, 32.0))]
)
def test_every_entry_is_what_plain_code_gives(made: Path, name: str, values: tuple) -> None:
    found = table(made, name, values=values)
    labels = open_dataset(str(made / "test.npz")).labels
    assert found.correct.shape == (2, 3, max(1, len(values) + 1 if values else 1))
    for i, family in enumerate(FAMILIES):
        for j, severity in enumerate((0, 2, 5)):
            data = f"test.npz@{family}-{severity}" if severity else "test.npz"
            for m, value in enumerate(found.values):
                logits = plainly(made, name, data, None if np.isnan(value) else value)
                right = (logits.argmax(1).numpy() == labels).mean()
                assert found.correct[i, j, m] == pytest.approx(right, abs=1e-9)
            logits = plainly(made, name, data, found.trained)
            own = reliability(logits.softmax(1).amax(1).numpy(), logits.argmax(1).numpy() == labels)
            assert ece(found.reliability[i][j]) == pytest.approx(ece(own), abs=1e-5)
    assert found.correct[:, 0].std(axis=0).max() == 0  # clean images are the same for each family
    assert found.correct.max() > 0.6  # and it has learned something to lose


def test_the_setting_of_training_is_among_the_values(made: Path) -> None:
    assert table(made, "sdnet", values=(0.5, 0.1)).values.tolist() == [0.1, 0.5]
    vit = table(made, "vit", values=(1.0, 500.0))
    assert (vit.knob, vit.trained, vit.values.tolist()) == ("top_k", 4.0, [1.0, 4.0, 32.0])
    plain = table(made, "plain", values=(0.5,), calibration="apart.npz")
    assert (plain.knob, plain.trained, plain.adaptive, plain.errors) == ("", None, None, None)
    assert np.isnan(plain.values).tolist() == [True]


def test_reconstruction_errors_by_the_formula(made: Path) -> None:
    found = table(made, "sdnet")
    dataset = open_dataset(str(made / "test.npz@impulse_noise-5"))
    model, _ = find_model(
        open_checkpoint(made / "sdnet.safetensors"), asked(made, "sdnet"), dataset
    )
    assert model is not None
    assert isinstance(model.module, SDNet)
    x = torch.from_numpy(load_batch(dataset, np.arange(len(dataset)), model.preprocessing))
    layer = model.module.conv1
    with torch.no_grad():
        code = layer(x)
        atoms = layer.weight / layer.weight.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        back = torch.nn.functional.conv_transpose2d(code, atoms, padding=1)
    each = (x - back).square().mean(dim=(1, 2, 3)).sqrt()
    assert found.errors is not None
    assert found.errors[1, 2] == pytest.approx(float(each.mean()), rel=1e-5)
    assert found.errors[1, 2] > found.errors[1, 0]


VALUES = (0.02, 0.1, 0.2, 0.3, 0.4)


def test_the_best_lambda_rises_with_the_noise_where_it_must(made: Path) -> None:
    """``Spot``: without noise every λ below 0.48 is right; with noise a small one takes noise for
    a spot. A λ above the noise and below the spot is right always."""
    found = table(made, "Spot", "spots.npz", "spots-apart.npz", values=VALUES)
    assert found.correct[0, 0].tolist() == [1.0] * 6
    assert found.correct[0, 2, 0] < 0.7  # λ = 0.02 among Gaussian noise of 0.1
    assert found.correct[0, 2, 4] > 0.95  # λ = 0.3
    fit = found.adaptive
    assert fit is not None
    assert fit.best[0] == pytest.approx(np.mean(found.values))  # clean: all are as good
    gaussian = [s == "gaussian_noise" for s in fit.families]
    assert (np.diff(fit.best[gaussian]) >= 0).all()
    assert fit.best[gaussian][-1] == pytest.approx(np.mean([0.3, 0.4]), abs=0.06)
    assert fit.slope > 0
    assert (fit.chosen[0, 1:] > fit.chosen[0, :-1]).all()
    trained = found.correct[:, :, found.values.tolist().index(0.05)]
    assert (fit.correct >= trained).all()
    assert fit.correct[0, 2] > trained[0, 2] + 0.1


def test_lambda_of_every_image_by_its_own_error(made: Path) -> None:
    found = table(made, "sdnet", calibration="apart.npz", values=(0.02, 0.3, 0.6))
    fit = found.adaptive
    assert fit is not None
    dataset = open_dataset(str(made / "test.npz@gaussian_noise-5"))
    network, _ = open_network(asked(made, "sdnet"))
    right, chosen = [], []
    for i in range(len(dataset)):
        x = pixels(dataset, [i], network)
        with torch.no_grad():
            given = network.normalised(x)
            assert network.csc is not None
            r = float(network.csc.error(given, network.csc(given)))
            chosen.append(np.clip(fit.intercept + fit.slope * r, 0.02, 0.6))
            with network.setting(chosen[-1]):
                right.append(int(network(x).argmax()) == dataset.labels[i])
    assert fit.chosen[0, 2] == pytest.approx(np.mean(chosen), rel=1e-4)
    assert fit.spread[0, 2] == pytest.approx(np.std(chosen), rel=1e-3)
    assert fit.correct[0, 2] == pytest.approx(np.mean(right), abs=1e-9)


def test_the_fit_sees_no_test_image(made: Path, tmp_path: Path) -> None:
    """Other test images leave the fit as it is; other images for the calibration do not."""
    coloured(tmp_path / "other.npz", 7, 40)
    first = table(made, "sdnet", calibration="apart.npz", values=VALUES).adaptive
    other = str(tmp_path / "other.npz")
    second = table(made, "sdnet", other, calibration="apart.npz", values=VALUES).adaptive
    third = table(made, "sdnet", calibration=other, values=VALUES).adaptive
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.errors.tolist() == second.errors.tolist()
    assert first.best.tolist() == second.best.tolist()
    assert (first.slope, first.intercept) == (second.slope, second.intercept)
    assert first.errors.tolist() != third.errors.tolist()
    assert first.chosen.tolist() != second.chosen.tolist()
    assert (first.images, third.images) == (48, 40)


def test_calibration_on_test_images_is_refused(made: Path) -> None:
    for data, calibration in (
        ("test.npz", "test.npz"),
        ("test.npz@half-1", "test.npz"),
        ("test.npz", "test.npz@half-2"),
    ):
        with pytest.raises(UserError, match="apart from"):
            table(made, "sdnet", data, calibration)
    assert table(made, "sdnet", "test.npz@half-1", "test.npz@half-2").adaptive is not None


def test_the_same_numbers_every_time_and_back_from_a_file(made: Path) -> None:
    first, second = (
        store.dumps(table(made, "sdnet", calibration="apart.npz", values=VALUES)) for _ in range(2)
    )
    again = store.loads(CorruptionTable, first)
    assert again.correct.tolist() == store.loads(CorruptionTable, second).correct.tolist()
    assert again.reliability[1][2].counts.sum() == again.images == 48
    assert again.adaptive is not None
    assert again.adaptive.families[0] == ""
    assert again.families == FAMILIES


def test_fewer_images_are_a_draw_of_every_class(made: Path) -> None:
    found = table(made, "plain", max_images=9)
    assert (found.images, found.classes) == (9, len(NAMES))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"families": ("rain",)}, "no corruption rain"),
        ({"families": ()}, "choose one or more"),
        ({"severities": (0, 9)}, "severity from 1 to 5"),
        ({"values": (-0.1,)}, "numbers from 0"),
        ({"values": (float("nan"),)}, "numbers from 0"),
        ({"max_images": 0}, "no images"),
    ],
)
def test_what_cannot_be_is_one_sentence(made: Path, changes: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        table(made, "sdnet", **changes)


def test_networks_that_do_not_fit_are_refused(made: Path) -> None:
    with pytest.raises(UserError, match="whole numbers from 1"):
        table(made, "vit", values=(2.5,))
    with pytest.raises(UserError, match=r"tells 3 classes apart, and .* has 2"):
        table(made, "plain", "spots.npz")
    with pytest.raises(UserError, match="without a classifier"):
        table(made, "Features", "spots.npz")


def test_it_tells_how_far_it_is_and_can_be_cancelled(made: Path) -> None:
    said: list[tuple[int, int, str]] = []
    request = CorruptionRequest(asked(made, "plain"), FAMILIES, (0, 3))
    run(request, progress=lambda *step: said.append(step))
    assert said[-1][0] == said[-1][1]
    assert "Gaussian noise 3" in [what for _, _, what in said]
    with pytest.raises(Cancelled):
        run(request, cancelled=lambda: len(said) > 0)


def test_a_setting_ends_with_its_block_even_after_an_error(made: Path) -> None:
    network, dataset = open_network(asked(made, "sdnet"))
    before = network(pixels(dataset, [0, 1], network))
    with pytest.raises(RuntimeError), network.setting(0.9):
        raise RuntimeError
    assert torch.equal(network(pixels(dataset, [0, 1], network)), before)
    with network.setting(0.9):
        assert not torch.equal(network(pixels(dataset, [0, 1], network)), before)


def test_pixels_are_what_the_network_was_trained_on(made: Path) -> None:
    """Normalisation first or last: the same numbers."""
    network, dataset = open_network(asked(made, "plain"))
    preprocessing = replace(network.preprocessing, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    moved = PixelNetwork(network.module, preprocessing)
    x = pixels(dataset, np.arange(5), moved)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    theirs = torch.from_numpy(load_batch(dataset, np.arange(5), preprocessing))
    assert torch.allclose(moved.normalised(x), theirs, atol=1e-5)
    assert torch.allclose(moved.in_pixels(moved.normalised(x)), x, atol=1e-6)


def test_settings_without_a_knob_are_undefined() -> None:
    assert np.isnan(settings_of(None, (0.1, 0.2))).tolist() == [True]

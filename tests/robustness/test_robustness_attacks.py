"""Tables of attacks: what they promise, signs of masked gradients where there are some, tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from robust_networks import asked

from core.data.opening import open_dataset
from core.errors import Cancelled, UserError
from core.robustness.attacks import run
from core.robustness.descent import Attack, is_right
from core.robustness.masking import signs
from core.robustness.opening import open_network, pixels
from core.robustness.request import AttackRequest
from core.robustness.results import AttackTable

RADII = (0.0, 0.02, 0.05, 0.1)


def table(
    made: Path, name: str, data: str = "test.npz", norm: str = "linf", **changes: object
) -> AttackTable:
    request = AttackRequest(
        asked(made, name, data), norm, RADII, steps=6, restarts=2, more_steps=12
    )
    return run(replace(request, **changes))


@pytest.fixture(scope="module", params=["linf", "l2"])
def sdnet(made: Path, request: pytest.FixtureRequest) -> AttackTable:
    return table(
        made,
        "sdnet",
        norm=request.param,
        radii=RADII if request.param == "linf" else (0.3, 0.6, 1.5),
        values=(0.02, 0.4),
        calibration=str(made / "apart.npz"),
        source=str(made / "plain.safetensors"),
        source_name="plain",
    )


def test_every_attack_takes_away_and_the_worst_takes_most(sdnet: AttackTable) -> None:
    assert sdnet.radii[0] == 0
    assert sdnet.values.tolist() == [0.02, 0.1, 0.4]
    assert sdnet.transfer is not None
    clean = sdnet.white[0]
    for rows in (sdnet.white, sdnet.longer, sdnet.transfer, sdnet.noise, sdnet.worst):
        assert rows.shape == (4, 3)
        assert (rows[0] == clean).all()
        assert (rows <= clean).all()
        assert (sdnet.worst <= rows).all()
    for rows in (sdnet.white, sdnet.longer, sdnet.worst):
        assert (np.diff(rows, axis=0) <= 0).all()
    assert (sdnet.longer <= sdnet.white).all()
    assert sdnet.unbounded is not None
    assert (sdnet.unbounded <= sdnet.longer[-1]).all()
    # the attack does something, and the gradient does more than chance and another network
    m = sdnet.values.tolist().index(0.1)
    assert sdnet.white[-1, m] < clean[m] - 0.3
    assert sdnet.white[:, m].sum() < sdnet.noise[:, m].sum()
    assert sdnet.white[:, m].sum() < sdnet.transfer[:, m].sum()
    assert sdnet.unbounded[m] == 0
    assert sdnet.source == "plain"
    assert (sdnet.knob, sdnet.trained) == ("lam", 0.1)
    assert sdnet.tuned in sdnet.values


def test_white_is_the_attack_itself(made: Path) -> None:
    """One batch, one radius: whoever survives ``Attack`` counts."""
    found = table(made, "plain", radii=(0.05,))
    network, dataset = open_network(asked(made, "plain"))
    x = pixels(dataset, np.arange(len(dataset)), network)
    labels = torch.from_numpy(dataset.labels)
    assert found.white[0, 0] == pytest.approx(float(is_right(network, x, labels).float().mean()))
    # no attack of the same size is much stronger or weaker: other starts, one image of 48 or two
    _, lowest = Attack("linf", 0.05, 6, 2, seed=99).run(network, x, labels)
    assert found.white[1, 0] == pytest.approx(float((lowest > 0).float().mean()), abs=0.05)
    assert 0 < found.white[1, 0] < found.white[0, 0]
    assert (found.knob, found.tuned, found.transfer, found.source) == ("", None, None, "")


def test_from_itself_an_image_transfers_as_well_as_the_gradient(made: Path) -> None:
    found = table(made, "plain", source=str(made / "plain.safetensors"), restarts=1)
    assert found.transfer is not None
    assert found.transfer.ravel().tolist() == pytest.approx(found.white.ravel().tolist(), abs=0.05)


def test_the_same_numbers_every_time_and_others_by_another_seed(made: Path) -> None:
    first, second, third = (table(made, "vit", steps=3, seed=s).white for s in (0, 0, 1))
    assert first.tolist() == second.tolist()
    assert first[0].tolist() == third[0].tolist()


def test_a_network_in_steps_is_found_out(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradient is zero, so that the attack is blind: noise and another network's images do
    better, and no radius is enough."""
    monkeypatch.setenv("FEATURESCOPE_MODELS", str(made / "models"))
    source = {"source": str(made / "Spot.st"), "source_name": "Spot"}
    masked = table(made, "Steps", "spots.npz", radii=(0.2, 0.3), **source)
    assert masked.unbounded is not None
    assert masked.unbounded[0] > 0.1
    assert any("all grey" in text for text in masked.warnings)
    assert any(text.startswith("Noise breaks") for text in masked.warnings)
    assert any(text.startswith("Images made for Spot break") for text in masked.warnings)
    open_one = table(made, "Smooth", "spots.npz", radii=(0.2, 0.3))
    assert open_one.warnings == ()
    assert open_one.white[-1, 0] < masked.white[-1, 0]


def test_the_knob_is_tuned_to_what_withstands_most(made: Path) -> None:
    """``Spot`` at λ sees no spot in what an attack of radius ε < λ makes of black, and still sees
    one of 0.5 - ε > λ: for ε up to 0.1 the best of these is 0.2, or 0.3, and not that of training.
    Fitted on other images than those it is tested on."""
    found = table(
        made,
        "Spot",
        "spots.npz",
        values=(0.2, 0.45),
        calibration=str(made / "spots-apart.npz"),
        radii=(0.04, 0.1),
    )
    assert found.trained == 0.05
    assert found.tuned == pytest.approx(0.2)
    m = found.values.tolist().index(0.2)
    assert found.worst[-1, m] == 1.0
    assert found.worst[-1, 0] <= 0.5  # λ = 0.05: every black image becomes a spot
    with pytest.raises(UserError, match="apart from"):
        table(made, "Spot", "spots.npz", values=(0.2,), calibration=str(made / "spots.npz"))
    assert table(made, "Spot", "spots.npz", values=(0.2,)).tuned is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"norm": "l1"}, "linf or l2"),
        ({"radii": ()}, "above 0"),
        ({"radii": (0.0,)}, "above 0"),
        ({"radii": (-0.1, 0.1)}, "above 0"),
        ({"radii": (float("inf"),)}, "above 0"),
        ({"steps": 0}, "from 1"),
        ({"restarts": 0}, "from 1"),
    ],
)
def test_what_cannot_be_is_one_sentence(made: Path, changes: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        table(made, "plain", **changes)


def test_a_source_that_sees_other_images_is_refused(made: Path) -> None:
    with pytest.raises(UserError, match="tells 3 classes apart"):
        table(made, "Smooth", "spots.npz", source=str(made / "plain.safetensors"))


def test_it_can_be_cancelled(made: Path) -> None:
    seen: list[str] = []
    request = AttackRequest(asked(made, "plain"), radii=RADII)
    with pytest.raises(Cancelled):
        run(
            request,
            progress=lambda done, total, what: seen.append(what),
            cancelled=lambda: "Attacking" in seen,
        )


# --- the sentences -------------------------------------------------------------------------------


def made_table(**changes: object) -> AttackTable:
    flat = np.array([[0.9, 0.8], [0.5, 0.4], [0.1, 0.2]])
    found = AttackTable(
        data="images",
        images=100,
        norm="linf",
        radii=np.array([0, 4 / 255, 8 / 255]),
        knob="lam",
        values=np.array([0.1, 0.3]),
        trained=0.1,
        tuned=0.3,
        steps=20,
        restarts=2,
        more_steps=100,
        source="another",
        white=flat,
        longer=flat,
        transfer=flat + 0.05,
        noise=flat + 0.1,
        worst=flat,
        unbounded=np.zeros(2),
        unbounded_radius=0.5,
    )
    return replace(found, **changes)


def test_each_sign_has_one_sentence_with_its_numbers() -> None:
    assert signs(made_table()) == ()
    flat = made_table().white
    small, large = flat - 0.015, flat.copy()
    large[2, 1] = 0.05
    for key, begins in (
        ("transfer", "Images made for another break more images than the gradient does"),
        ("noise", "Noise breaks more images than the gradient does"),
        ("longer", "100 steps break many images that 20 leave"),
    ):
        assert signs(made_table(**{key: small})) == ()
        (said,) = signs(made_table(**{key: large}))
        assert said.startswith(begins)
        assert "at radius 8/255 and λ = 0.3" in said
        assert "5.0 % are left right against 20.0 %" in said
    (said,) = signs(made_table(unbounded=np.array([0.1, 0.0])))
    assert "10.0 % of the images stay right at λ = 0.1" in said
    plain = made_table(norm="l2", radii=np.array([0, 0.25, 0.5]), knob="", noise=large)
    assert "at radius 0.5: 5.0 %" in signs(plain)[0]
    assert len(signs(made_table(noise=large, transfer=large, longer=large))) == 3
    assert signs(made_table(transfer=None, unbounded=None)) == ()


def test_data_that_are_there() -> None:
    """The comparisons name data sets that open, and calibrate apart from what they test."""
    from core.robustness.comparisons import COMPARISONS
    from core.robustness.corruptions import check_apart

    for comparison in COMPARISONS.values():
        tested = open_dataset(comparison.test_data)
        if comparison.calibration is not None:
            fitted = open_dataset(comparison.calibration)
            check_apart(comparison.test_data, tested, comparison.calibration, fitted)

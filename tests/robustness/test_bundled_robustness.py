"""The bundled tables are there for every network that the page compares, and come out again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core import library
from core.robustness import corruptions
from core.robustness.comparisons import COMPARISONS, run_ids
from core.robustness.kept import attack_table, corruption_table
from core.robustness.request import FAMILIES, NORMS, SEVERITIES
from core.training.loop import _settings
from core.training.recipes import RECIPES
from scripts.bundle_robustness import requests

SEEDS = 3


@pytest.mark.parametrize("key", COMPARISONS)
def test_every_network_of_a_comparison_is_bundled_and_measured(key: str) -> None:
    one = COMPARISONS[key]
    for recipes, sparse in ((one.plain, False), (one.sparse, True)):
        for recipe, noise in zip(recipes, one.noise, strict=True):
            assert RECIPES[recipe].seeds == SEEDS
            for run_id in run_ids(recipe, SEEDS):
                run = library.find(run_id)
                assert run is not None
                assert run.finished
                assert run.settings == _settings(RECIPES[recipe])
                assert all((run.folder / c.file).is_file() for c in run.checkpoints)
                table = corruption_table(run)
                assert table is not None
                assert (table.families, table.severities) == (FAMILIES, SEVERITIES)
                assert table.knob == (one.knob if sparse else "")
                assert np.all((table.correct >= 0) & (table.correct <= 1))
                assert (table.adaptive is not None) == (sparse and one.calibration is not None)
                if one.knob == "lam":
                    assert all(attack_table(run, norm) is not None for norm in NORMS)
                assert (noise == 0) == ("labels" not in recipe)


def test_a_bundled_table_comes_out_again() -> None:
    folder = library.BUNDLED_RUNS
    made = {
        path.parent.parent.name: r
        for path, r in requests("digits-sdnet", folder)
        if path.name == "corruptions.npz"
    }
    request = made["digits-sdnet.1"]
    kept = corruption_table("digits-sdnet.1")
    assert kept is not None
    small = replace(request, families=FAMILIES[2:], severities=(0, 5), values=(), calibration=None)
    again = corruptions.run(small)
    at = kept.values.tolist().index(kept.trained)
    expected = kept.correct[2:, [0, 5], at]
    assert again.correct[:, :, 0] == pytest.approx(expected, abs=1.5 / kept.images)

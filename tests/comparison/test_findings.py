"""Sentences of findings: every verdict of every family, and numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from compared_runs import COLLAPSED, Made
from scipy.stats import studentized_range

from core.comparison.findings import (
    CLEAR,
    RULES,
    finding,
    grid_in_words,
    largest_difference,
    minority_cosine,
    random_share,
)
from core.comparison.grid import grids_of
from core.training.families import FAMILIES


def said(made: Made, family: str, **more):
    found = finding(family, made.finals, made.measured, **more)
    return found.verdict, found.text


def seeds(made: Made, recipe: str, tests=(0.960, 0.962, 0.964), **changes) -> None:
    for seed, test in enumerate(tests):
        made.add(recipe, seed, test=test, **changes)


def test_every_family_has_a_rule_a_claim_and_a_paper() -> None:
    assert set(RULES) == set(FAMILIES)
    for name, rule in RULES.items():
        assert rule.claim.endswith("."), name
        first = FAMILIES[name].source.split(" ")[0]
        assert first in rule.paper, name


def test_three_standard_errors_are_about_tukeys_limit() -> None:
    for groups in (2, 3, 4, 5):
        limit = studentized_range.ppf(0.95, groups, 2 * groups) / np.sqrt(2)
        assert limit == pytest.approx(CLEAR, abs=0.31)


def test_the_standard_error_is_the_pooled_one() -> None:
    made = Made()
    seeds(made, "digits-ce", (0.95, 0.96, 0.97))
    seeds(made, "digits-adam", (0.97, 0.98, 0.99))
    found = largest_difference(made.finals, "accuracy", "test")
    assert found.value == pytest.approx(2)
    assert found.error == pytest.approx(1 * np.sqrt(2 / 3))
    assert found.clear is False
    assert (found.low.group.id, found.high.group.id) == ("digits-ce", "digits-adam")
    made.runs = made.runs[::3]
    assert largest_difference(made.finals, "accuracy", "test").clear is None
    assert largest_difference(made.finals[:1], "accuracy", "test") is None


def test_optimisers_that_all_collapse() -> None:
    made = Made()
    for recipe in FAMILIES["optimisers"].digits:
        seeds(made, recipe)
    verdict, text = said(made, "optimisers")
    assert verdict == "shown here"
    assert "All 3 optimisers collapse**: NC1 0.0050, NC3 0.080, cosine spread 0.040 at most" in text
    assert "no difference beyond the seeds" in text


def test_an_optimiser_that_does_not_collapse_is_named() -> None:
    made = Made()
    seeds(made, "digits-ce")
    seeds(made, "digits-lbfgs", ends={**COLLAPSED, "nc3": 0.31, "cosine_std": 0.2})
    verdict, text = said(made, "optimisers")
    assert verdict == "shown in part"
    assert "1 of 2 optimisers collapse" in text
    assert "L-BFGS misses NC3 (0.31, threshold 0.15) and cosine spread (0.20" in text
    made.runs = [r for r in made.runs if r.recipe != "digits-ce"]
    seeds(made, "digits-adam", ends={**COLLAPSED, "nc1": 0.5})
    assert said(made, "optimisers")[0] == "not shown here"


def test_one_seed_each_says_that_chance_is_not_known() -> None:
    made = Made()
    made.add("cifar-ce", test=0.60)
    made.add("cifar-adam", test=0.65)
    assert "5.0 points apart, with one seed each, so that chance" in said(made, "optimisers")[1]


def test_losses_that_differ_in_accuracy_are_shown_in_part() -> None:
    made = Made()
    seeds(made, "digits-ce")
    seeds(made, "digits-mse", (0.90, 0.901, 0.902))
    verdict, text = said(made, "losses")
    assert verdict == "shown in part"
    assert (
        "6.1 points apart, more than 3 standard errors over the seeds (0.4): a difference" in text
    )


def grid(corner: dict[str, tuple[float, ...]], start: dict[str, tuple[float, ...]]):
    rows = []
    for width, epochs, cell in ((16, 5, start), (16, 50, start), (64, 5, start), (64, 50, corner)):
        for loss, values in cell.items():
            rows += [
                {"loss": loss, "width": width, "epochs": epochs, "seed": s, "test_accuracy": v}
                for s, v in enumerate(values)
            ]
    return grids_of(rows)


START = {"ce": (0.80, 0.84), "mse": (0.70, 0.74)}


def test_the_grid_s_corners_are_said() -> None:
    text = grid_in_words(grid({"ce": (0.97, 0.97), "mse": (0.96, 0.96)}, START))
    assert "lie 10.0 points apart for the narrowest network trained shortest" in text
    assert "(width 16, 5 epochs) and 1.0 points in the right top corner (width 64, 50" in text
    assert "goes from 77.0 to 96.5 %" in text
    assert "over seeds from 2.83 to 0.00 points: the corner is better and steadier" in text
    assert "steadier, not better" in grid_in_words(
        grid({"ce": (0.6,) * 2, "mse": (0.6,) * 2}, START)
    )
    worse = grid_in_words(grid({"ce": (0.2, 0.9), "mse": (0.2, 0.9)}, START))
    assert "neither better nor steadier" in worse
    made = Made()
    seeds(made, "digits-ce")
    seeds(made, "digits-mse")
    assert "In the grid the losses" in said(made, "losses", grids=grid(START, START))[1]


def test_random_labels_that_are_fitted_and_collapse() -> None:
    made = Made()
    seeds(made, "digits-ce")
    seeds(made, "digits-labels-100", (0.10, 0.11, 0.12), ends={"nc1": 0.004})
    made.add("digits-labels-100-w512", test=0.09, ends={"nc1": 0.002})
    made.add("digits-pixels", test=0.1, ends={"nc1": 0.001})
    verdict, text = said(made, "labels")
    assert verdict == "shown here"
    assert (
        "Both networks fit labels that are all random**; their test accuracy is 9.0 to 11.0 %"
        in text
    )
    assert "NC1 0.0040 at width 128, 0.0020 at width 512, from 0.0070 untrained" in text
    assert "untrained (true labels: 0.0050): 2 of 2 are below 0.02" in text
    assert "On random pixels (MLP 4×128, random pixels) the training accuracy is 100.0 %" in text
    assert [random_share(f) for f in made.finals] == [0, 100, 100, 0]


def test_narrow_networks_that_do_not_fit_are_counted() -> None:
    made = Made()
    made.add("digits-ce")
    made.add("digits-labels-100-w64", train=0.7, ends={"nc1": 5.0})
    made.add("digits-labels-100-w256", train=1.0, ends={"nc1": 0.5})
    verdict, text = said(made, "labels")
    assert verdict == "shown in part"
    assert "1 of 2 networks fit labels that are all random**, from width 256 on" in text
    assert "0 of 2 are below" in text
    made.runs = made.runs[:1]
    made.add("digits-labels-50")
    assert said(made, "labels")[0] == "not measured"


def test_classifiers_are_compared_with_the_wide_learned_one() -> None:
    made = Made()
    seeds(made, "digits-d10", (0.958, 0.960, 0.962))
    seeds(made, "digits-ce")
    seeds(made, "digits-etf", (0.963, 0.964, 0.965))
    verdict, text = said(made, "classifiers")
    assert verdict == "shown here"
    assert (
        "Against the learned classifier (MLP 4×128, cross-entropy, 96.2 % on the test data)" in text
    )
    assert "simplex ETF +0.2 points, within the seeds" in text
    assert "No economy costs accuracy beyond the seeds" in text
    seeds(made, "digits-cmf", (0.90, 0.90, 0.901))
    verdict, text = said(made, "classifiers")
    assert verdict == "shown in part"
    assert "It costs accuracy with MLP 4×128, class-mean features" in text


def tuned(made: Made, recipe: str, shifted: tuple[float, ...]) -> None:
    for seed, value in enumerate(shifted):
        made.add(recipe, seed, test=0.95 + 0.001 * seed, results={"shifted_accuracy": value})


def test_fine_tuning_out_of_distribution() -> None:
    made = Made()
    tuned(made, "digits-tuned-linear", (0.60, 0.61, 0.62))
    tuned(made, "digits-tuned-cmf", (0.70, 0.71, 0.72))
    verdict, text = said(made, "fine-tuning")
    assert verdict == "shown here"
    assert "is right on 61.0 % of the shifted images** (95.1 % of the unshifted ones)" in text
    assert "class means +10.0 points (higher with 3 of 3 seeds)" in text
    tuned(made, "digits-tuned-lp", (0.59, 0.60, 0.64))
    assert said(made, "fine-tuning")[0] == "shown in part"
    made.runs = [r for r in made.runs if r.recipe != "digits-tuned-cmf"]
    verdict, text = said(made, "fine-tuning")
    assert verdict == "not shown here"
    assert "within the seeds (higher with 1 of 3 seeds)" in text
    assert text.endswith("beyond three standard errors over the seeds.")
    made.runs = [r for r in made.runs if r.recipe != "digits-tuned-lp"]
    tuned(made, "digits-tuned-lp", (0.601, 0.615, 0.622))
    verdict, text = said(made, "fine-tuning")
    assert verdict == "shown in part"
    assert text.endswith("though with every seed it is there.")
    made.runs = [r for r in made.runs if r.recipe != "digits-tuned-linear"]
    tuned(made, "digits-tuned-cmf", (0.5,))
    assert said(made, "fine-tuning")[0] == "not measured"


def test_regularisation() -> None:
    made = Made()
    made.add("digits-ce")
    made.add("digits-no-decay", ends={"nc1": 0.05, "cosine_std": 0.2})
    verdict, text = said(made, "regularisation")
    assert verdict == "shown here"
    assert "end at NC1 0.0050, cosine spread 0.040" in text
    assert "no weight decay: NC1 0.050, cosine spread 0.20" in text
    made.add("digits-no-bn", ends={"nc1": 0.001, "cosine_std": 0.2})
    assert said(made, "regularisation")[0] == "shown in part"
    made.runs = made.runs[1:]
    assert said(made, "regularisation")[0] == "not measured"


def rows_with(cosine: float, classes: int = 4) -> list[list[float]]:
    """Classifier rows whose second half has one pair at this cosine."""
    rows = np.eye(classes)
    rows[-1] = cosine * rows[-2] + np.sqrt(1 - cosine**2) * rows[-1]
    return (7 * rows).tolist()


@pytest.mark.parametrize(
    ("cosines", "verdict"),
    [
        ((-0.1, 0.5, 0.95), "shown here"),
        ((-0.1, 0.1, 0.4), "shown in part"),
        ((0.0, 0.3, 0.01), "not shown here"),
    ],
)
def test_minority_collapse(cosines, verdict) -> None:
    made = Made()
    for recipe, cosine in zip(
        ("digits-ce", "digits-imbalanced-5", "digits-imbalanced-20"), cosines, strict=True
    ):
        made.add(recipe, classifier=rows_with(cosine))
    found, text = said(made, "imbalance")
    assert found == verdict
    assert "balanced, 0." in text
    assert "at 1/20" in text


def test_the_minority_cosine_by_hand() -> None:
    made = Made()
    run = made.add("digits-ce", classifier=rows_with(0.25, 4))
    assert minority_cosine(made.measured(run, "digits-train")) == pytest.approx(0.25)
    undefined = made.add("digits-adam", classifier=np.full((4, 3), np.nan).tolist())
    assert minority_cosine(made.measured(undefined, "digits-train")) is None


def test_names_are_escaped_and_other_families_have_no_finding() -> None:
    made = Made()
    made.add("digits-ce", title="*a* [b](c)")
    made.add("digits-adam", ends={"nc1": 9.0}, title=":red[x] $y$")
    text = said(made, "optimisers")[1]
    assert ":red[" not in text
    assert "$y$" not in text
    assert finding("nothing", made.finals, made.measured) is None
    assert finding("losses", made.finals[:1], made.measured) is None


def test_without_measurements_a_family_says_so() -> None:
    made = Made()
    for name, family in FAMILIES.items():
        made.runs = []
        for recipe in family.digits:
            made.add(recipe, history={})
        made.known.clear()
        verdict, text = said(made, name)
        assert verdict == "not measured", name
        assert text.endswith("."), name


def test_with_one_seed_no_difference_is_claimed() -> None:
    made = Made()
    made.add("digits-ce", test=0.6)
    made.add("digits-etf", test=0.5, ends={**COLLAPSED, "nc1": 0.0202})
    verdict, text = said(made, "classifiers")
    assert verdict == "cannot be told"
    assert "It costs accuracy" not in text
    assert "NC1 (0.0202, threshold 0.02)" in text
    made = Made()
    tuned(made, "digits-tuned-linear", (0.60,))
    tuned(made, "digits-tuned-cmf", (0.70,))
    verdict, text = said(made, "fine-tuning")
    assert verdict == "cannot be told"
    assert text.endswith("chance cannot be told from these differences.")
    made = Made()
    made.add("digits-ce")
    made.add("digits-labels-100", ends={"nc1": 0.004})
    assert "The network fits labels that are all random" in said(made, "labels")[1]

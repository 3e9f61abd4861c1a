"""Means over seeds, differences that seeds can show, and the sentences and tables made of them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from robustness_tables import KEPT, attack_table, corruption_table, reliability
from scipy import stats

from core.metrics.calibration import ece
from core.metrics.calibration import reliability as measure_reliability
from core.robustness import findings, summary, table
from core.robustness.request import FAMILIES, SEVERITIES
from core.robustness.summary import MEAN, Side, Spread

SEEDS = range(3)


def side(title: str, *, seeds: int = 3, noise: int = 0, first: int = 0, **options: object) -> Side:
    numbers = range(first, first + seeds)
    tables = tuple(corruption_table(seed, **options) for seed in numbers)
    return Side(title, tuple(f"run.{s}" for s in numbers), noise, tables)


def attacked(title: str, norm: str = "linf", seeds: int = 3, **options: object) -> Side:
    tables = tuple(attack_table(norm, seed, **options) for seed in range(seeds))
    return Side(title, tuple(f"run.{s}" for s in range(seeds)), attacks={norm: tables})


# --- statistics --------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [*range(1, 41), 200])
def test_the_quantiles_of_student_s_t(freedom: int) -> None:
    assert summary.t95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-3)


def test_no_degree_of_freedom_is_an_error() -> None:
    with pytest.raises(ValueError, match="one degree"):
        summary.t95(0)


numbers = arrays(np.float64, st.integers(2, 6), elements=st.floats(0, 100, width=32))


@settings(max_examples=200, deadline=None)
@given(numbers, numbers)
def test_a_difference_counts_where_the_t_test_says_so(a: np.ndarray, b: np.ndarray) -> None:
    found = summary.difference(Spread(a), Spread(b))
    assert found.value == pytest.approx(b.mean() - a.mean())
    if a.std() + b.std() < 1e-3:
        return  # no spread: the t-test is undefined
    p = stats.ttest_ind(a, b).pvalue
    if abs(p - 0.05) > 1e-3:
        assert found.clear == (p < 0.05)


@settings(max_examples=200, deadline=None)
@given(numbers, st.integers(0, 1000))
def test_paired_differences_are_those_of_the_paired_t_test(a: np.ndarray, seed: int) -> None:
    b = a + np.random.default_rng(seed).normal(1, 1, len(a))
    found = summary.difference(Spread(a), Spread(b), paired=True)
    p = stats.ttest_rel(a, b).pvalue
    if abs(p - 0.05) > 1e-3:
        assert found.clear == (p < 0.05)
    assert found.error == pytest.approx(stats.sem(b - a))


def test_one_seed_tells_nothing_of_chance() -> None:
    found = summary.difference(Spread(np.array([1.0])), Spread(np.array([90.0])))
    assert found.value == 89
    assert found.error is None
    assert found.clear is None


def test_a_spread_has_the_standard_error_of_its_mean() -> None:
    values = np.random.default_rng(0).normal(0, 1, (5, 4, 3))
    spread = Spread(values)
    np.testing.assert_allclose(spread.error, stats.sem(values, axis=0))
    np.testing.assert_allclose(spread.at(2, 1).mean, values[:, 2, 1].mean())
    assert np.isnan(Spread(values[:1]).error).all()


@pytest.mark.parametrize("right", [0, 3, 150, 300])
def test_wilson_s_interval(right: int) -> None:
    low, high = findings.wilson(right / 300, 300)
    peer = stats.binomtest(right, 300).proportion_ci(method="wilson")
    assert (low / 100, high / 100) == (
        pytest.approx(peer.low, abs=1e-9),
        pytest.approx(peer.high, abs=1e-9),
    )


# --- tables of several seeds -------------------------------------------------------------------


def test_accuracies_are_those_of_the_tables() -> None:
    one = side("SDNet", knob="lam", adaptive=0.1)
    spread = summary.accuracy(one.corruptions, "shot_noise", 0.2)
    f, m = FAMILIES.index("shot_noise"), 2
    for seed in SEEDS:
        np.testing.assert_allclose(
            spread.values[seed], 100 * one.corruptions[seed].correct[f, :, m]
        )
    mean = summary.accuracy(one.corruptions, MEAN)
    np.testing.assert_allclose(
        mean.values[1], 100 * one.corruptions[1].correct[:, :, 1].mean(axis=0)
    )
    adaptive = summary.adaptive_accuracy(one.corruptions, MEAN)
    assert adaptive is not None
    assert (adaptive.values[:, 1:] > mean.values[:, 1:]).all()
    assert summary.adaptive_accuracy(side("plain").corruptions, MEAN) is None


def test_the_best_setting_is_the_best_mean_and_of_ties_the_nearest_to_training() -> None:
    one = side("SDNet", knob="lam", noise=0.0)
    best = summary.best_settings(one.corruptions, MEAN)
    by_hand = summary.by_setting(one.corruptions, MEAN).mean
    for s in range(len(SEVERITIES)):
        assert by_hand[s, list(one.corruptions[0].values).index(best[s])] == by_hand[s].max()
    flat = replace(one.corruptions[0], correct=np.full_like(one.corruptions[0].correct, 0.5))
    assert (summary.best_settings([flat], MEAN) == 0.1).all()


def test_tables_that_measured_something_else_are_left_out() -> None:
    one, other = corruption_table(0), corruption_table(1, families=FAMILIES[:1])
    assert summary.alike([one, other, corruption_table(2)])[1].images == one.images
    assert len(summary.alike([one, other, corruption_table(2)])) == 2
    assert summary.alike([]) == ()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_pooled_bins_are_those_of_all_images_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rng.uniform(0.1, 1, n), rng.random(n) < 0.6) for n in rng.integers(1, 60, 3)]
    tables = []
    for confidence, right in parts:
        one = measure_reliability(confidence, right)
        bins = tuple(tuple(one for _ in SEVERITIES) for _ in FAMILIES[:1])
        tables.append(replace(corruption_table(0, families=FAMILIES[:1]), reliability=bins))
    whole = measure_reliability(
        np.concatenate([c for c, _ in parts]), np.concatenate([r for _, r in parts])
    )
    pooled = summary.pooled(tables, MEAN, 2)
    np.testing.assert_allclose(pooled.counts, whole.counts)
    np.testing.assert_allclose(pooled.accuracy, whole.accuracy, atol=1e-12)
    np.testing.assert_allclose(pooled.confidence, whole.confidence, atol=1e-12)
    gap = np.concatenate([c - r for c, r in parts]).mean()
    assert summary.overconfidence(whole) == pytest.approx(gap)


def test_clean_images_count_once_however_many_families_there_are() -> None:
    one = corruption_table(0)
    clean = summary.pooled([one], MEAN, 0)
    assert clean.counts.sum() == one.reliability[0][0].counts.sum()
    noisy = summary.pooled([one], MEAN, 3)
    assert noisy.counts.sum() == sum(one.reliability[f][3].counts.sum() for f in range(3))


def test_the_calibration_error_of_a_severity() -> None:
    one = side("ViT")
    spread = summary.calibration(one.corruptions, "gaussian_noise")
    expected = [100 * ece(one.corruptions[2].reliability[0][s]) for s in range(6)]
    np.testing.assert_allclose(spread.values[2], expected)
    assert ece(reliability(0.07)) == pytest.approx(0.07)


# --- findings ----------------------------------------------------------------------------------


def test_a_network_that_is_better_under_noise_is_found_to_be() -> None:
    found = findings.corruption_finding(
        side("ResNet-8"),
        side("SDNet-8", first=20, knob="lam", adaptive=0.2, rises=False),
    )
    assert found is not None
    assert found.verdict == "shown here"
    lead = found.text.partition("\n")[0]
    assert "SDNet-8 with adaptive λ is **more accurate at severities 1 to 5**" in lead
    assert "no difference that 3 seeds can show" in found.text  # on clean images


def test_equal_networks_show_no_difference() -> None:
    found = findings.corruption_finding(side("A"), side("B"))
    assert found is not None
    assert found.verdict == "not shown here"
    assert found.text.count("no difference that 3 seeds can show") == 2


def test_worse_on_clean_images_is_no_full_success() -> None:
    worse = side("B", first=20, lift=-0.1, knob="lam", values=(0.1,), rises=False, adaptive=0.4)
    found = findings.corruption_finding(side("A", noise=0.002), worse)
    assert found is not None
    assert found.verdict == "shown in part"
    assert "**10." in found.text or "**9." in found.text
    assert "less accurate** than A" in found.text


def test_one_seed_each_cannot_be_told() -> None:
    found = findings.corruption_finding(
        side("A", seeds=1), side("B", seeds=1, knob="lam", adaptive=0.2)
    )
    assert found is not None
    assert found.verdict == "cannot be told"
    assert "chance cannot be told" in found.text


def test_sides_that_were_not_measured_have_no_finding() -> None:
    whole, empty = side("A"), Side("B")
    assert findings.corruption_finding(whole, empty) is None
    assert findings.attack_finding(whole, empty, "l2") is None
    assert findings.calibration_finding(empty, whole, MEAN, 3) is None
    assert findings.top_k_finding([whole], [empty], 3) is None


@pytest.mark.parametrize(
    ("rises", "words"), [(True, "rises with the noise"), (False, "at every severity")]
)
def test_whether_the_best_setting_rises(rises: bool, words: str) -> None:
    assert words in findings.best_setting_in_words(side("S", knob="lam", rises=rises))
    assert findings.best_setting_in_words(side("plain")) == ""


def test_a_fit_that_explains_little_says_so() -> None:
    one = side("S", knob="lam", adaptive=0.1)
    assert "r² 0.83" in findings.fit_in_words(one.corruptions)
    weak = [
        replace(t, adaptive=replace(t.adaptive, r2=0.1 + 0.1 * i))
        for i, t in enumerate(one.corruptions)
    ]
    assert "r² 0.10 to 0.30: **the error says little" in findings.fit_in_words(weak)
    none = [replace(t, adaptive=replace(t.adaptive, r2=None)) for t in one.corruptions]
    assert "no r²" in findings.fit_in_words(none)
    assert findings.fit_in_words(side("plain").corruptions) == ""


def test_what_survives_every_attack_is_what_is_said() -> None:
    one, other = attacked("ResNet-8"), attacked("SDNet-8", lift=0.2, knob="lam")
    found = findings.attack_finding(one, other, "linf")
    assert found is not None
    assert found.verdict == "shown here"
    worst = summary.attacked(other.attacks["linf"], "worst", "tuned")
    assert worst is not None
    assert f"{worst.mean[-1]:.1f}" in found.text.partition("\n")[0]


def test_accuracies_below_chance_are_no_robustness() -> None:
    one, other = attacked("ResNet-8"), attacked("SDNet-8", lift=0.03, knob="lam", values=(0.1,))
    found = findings.attack_finding(one, other, "linf")
    assert found is not None
    assert found.verdict == "shown in part"
    assert "none is robust to this attack" in found.text


def test_masked_gradients_are_named_and_count_against_the_claim() -> None:
    masked = attacked("SDNet-8", lift=0.2, knob="lam", masked=True)
    found = findings.attack_finding(attacked("ResNet-8"), masked, "linf")
    assert found is not None
    assert found.verdict == "shown in part"
    assert "PGD alone overstates SDNet-8" in found.text


def sides_by_noise(title: str, lift: float, first: int = 0, **options: object) -> list[Side]:
    return [
        side(title, noise=n, first=first + n, lift=lift - n / 200, **options) for n in (0, 40, 80)
    ]


def test_top_k_is_compared_in_every_cell() -> None:
    plains = sides_by_noise("ViT", 0.0)
    better = sides_by_noise("top-16", 0.08, 100, knob="top_k", values=KEPT, trained=16, rises=False)
    cells = findings.top_k_cells(plains, better, 3)
    assert [(c.noise, c.family) for c in cells[:5]] == [
        *((0, family) for family in ("", *FAMILIES)),
        (40, ""),
    ]
    found = findings.top_k_finding(plains, better, 3)
    assert found is not None
    assert found.verdict == "shown here"
    assert "more accurate in 12 of 12 cells" in found.text
    same = findings.top_k_finding(plains, plains, 3)
    assert same is not None
    assert same.verdict == "not shown here"
    assert "in any of 12 cells" in same.text


def test_calibration_names_the_better_one() -> None:
    one, other = side("ViT"), side("top-16", first=10)
    bins = [
        replace(
            t,
            reliability=tuple(
                tuple(reliability(0.01, seed=9 + i) for _ in SEVERITIES) for _ in FAMILIES
            ),
        )
        for i, t in enumerate(other.corruptions)
    ]
    better = replace(other, corruptions=tuple(bins))
    found = findings.calibration_finding(one, better, MEAN, 3, top_k=True)
    assert found is not None
    assert found.verdict == "shown here"
    assert "top-16 is better calibrated" in found.text.replace("\\", "")
    same = findings.calibration_finding(one, one, MEAN, 3, top_k=True)
    assert same is not None
    assert same.verdict == "not shown here"
    guo = findings.calibration_finding(one, one, MEAN, 3)
    assert guo is not None
    assert guo.verdict == "shown here"  # the synthetic networks claim too much


def test_names_from_outside_are_not_markup() -> None:
    hostile = "**x** [y](https://example.org) $z$"
    one, other = side(hostile), side(hostile, knob="lam", adaptive=0.1)
    texts = [
        findings.corruption_finding(one, other),
        findings.calibration_finding(one, other, MEAN, 3),
        findings.top_k_finding([one], [other], 3),
        findings.attack_finding(attacked(hostile), attacked(hostile, knob="lam"), "linf"),
    ]
    rows = table.severity_rows(one, other, MEAN)
    for text in [*(f.text for f in texts if f is not None), *rows[0]]:
        assert hostile not in text
        assert "[y](" not in text


def test_one_network_is_said_with_an_interval() -> None:
    found = corruption_table(0, fall=0.1)
    text = findings.one_network_in_words(found)
    low, high = findings.wilson(float(found.correct[:, -1, 0].min()), found.images)
    assert f"{low:.1f} to {high:.1f} %" in text
    said = findings.one_attack_in_words(attack_table(), 10)
    assert "survive every attack" in said
    assert "less than the 10.0 % of guessing" in said


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([1], "severity 1"),
        ([1, 2], "severities 1 and 2"),
        ([1, 2, 3, 5], "severities 1 to 3 and 5"),
        ([1, 3, 5], "severities 1, 3 and 5"),
    ],
)
def test_severities_in_words(levels: list[int], words: str) -> None:
    assert findings._spans([f"severity {s}" for s in levels]) == words


def test_radii_in_words() -> None:
    assert findings.radius_name("linf", 8 / 255) == "8/255"
    assert findings.radius_name("linf", float(np.float32(1 / 255))) == "1/255"
    assert findings.radius_name("l2", 0.5) == "0.5"


# --- tables and CSV ----------------------------------------------------------------------------


def test_cells_are_marked_where_seeds_show_a_difference() -> None:
    one = side("A")
    better = side("B", first=20, lift=0.1, knob="lam", values=(0.1,), rises=False)
    rows = table.severity_rows(one, better, MEAN)
    assert [row["severity"] for row in rows] == ["clean", "1", "2", "3", "4", "5"]
    assert all(row["B"].endswith("▲") for row in rows)
    assert all(row["A"][-1].isdigit() for row in rows)
    worse = table.severity_rows(better, one, MEAN)
    assert all(row["A"].endswith("▽") for row in worse)


def test_settings_have_their_best_in_bold() -> None:
    rows = table.setting_rows(side("S", knob="lam", noise=0.0), MEAN)
    assert all(sum(v.startswith("**") for v in row.values()) == 1 for row in rows)
    assert rows[0]["λ = 0.10"].startswith("**")


def test_attacks_have_a_row_a_network_and_norm() -> None:
    one, other = attacked("A"), attacked("B", knob="lam")
    rows = table.attack_rows(one, other, ("linf", "l2"))
    assert [row["network"] for row in rows] == ["A", "B", "tuned λ (0.80)"]
    assert rows[0]["up to"] == "L∞, 8/255"
    mean = np.mean([100 * t.worst[-1, -1] for t in other.attacks["linf"]])
    assert rows[2]["survives all"].startswith(f"{mean:.1f}")
    alone = [replace(t, transfer=None) for t in other.attacks["linf"]]
    none = table.attack_rows(one, replace(other, attacks={"linf": tuple(alone)}), ("linf",))
    assert none[1]["transferred"] == "n/a"
    assert none[0]["transferred"] != "n/a"


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_number_is_in_the_csv() -> None:
    one = side("=SDNet", knob="lam", adaptive=0.1)
    rows = parsed(table.corruptions_csv([one]))
    first = one.corruptions[1]
    assert len(rows) == 3 * (first.correct.size + first.adaptive.correct.size)
    assert all(row["network"] == "'=SDNet" for row in rows)
    wanted = {"run": "run.1", "family": "shot_noise", "severity": "4", "value": "0.4"}
    (row,) = [r for r in rows if wanted.items() <= r.items() and r["setting"] == "other"]
    assert float(row["accuracy"]) == pytest.approx(first.correct[1, 4, 3], abs=1e-6)
    attacks = parsed(table.attacks_csv([attacked("A", knob="lam")]))
    assert len(attacks) == 3 * 5 * 5 * 5  # seeds, radii, settings, attacks
    tuned = {row["value"] for row in attacks if row["setting"] == "tuned"}
    assert tuned == {"0.8"}

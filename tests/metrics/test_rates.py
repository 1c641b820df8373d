"""Intervals against scipy and published values, and their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regraft.metrics.rates import (
    Estimate,
    FewerImages,
    accuracy_estimate,
    bootstrap_estimates,
    rank_correlation,
    reliability_bins,
    remaining_share,
    wilson_interval,
)
from regraft.storage.records import from_json


@pytest.mark.parametrize(
    ("rate", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_matches_published_values(
    rate: float, n: int, low: float, high: float
) -> None:
    assert wilson_interval(rate, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_interval_contains_the_rate_and_stays_in_range(n: int, share: float) -> None:
    rate = round(share * n) / n
    low, high = wilson_interval(rate, n)
    assert 0 <= low <= rate <= high <= 1
    assert high - low > 0


@given(st.integers(2, 500))
def test_wilson_interval_narrows_with_more_images(n: int) -> None:
    first, second = wilson_interval(0.8, n), wilson_interval(0.8, 2 * n)
    assert second[1] - second[0] < first[1] - first[0]


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1)))
def test_reliability_bins_hold_every_row_once(confidence) -> None:
    correct = np.zeros(len(confidence), dtype=bool)
    bins = reliability_bins(confidence, correct)
    assert sum(b.n for b in bins) == len(confidence)
    assert all(b.low - 1e-12 <= b.confidence <= b.high + 1e-12 for b in bins)


def test_bootstrap_interval_of_a_mean_is_close_to_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap_estimates({"mean": lambda w: (w @ values) / w.sum(axis=1)}, 400)["mean"]
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_intervals_from_cross_validation_are_wider() -> None:
    right = np.array([1.0] * 80 + [0.0] * 20)
    plain, folded = accuracy_estimate(right), accuracy_estimate(right, folds=5)
    assert folded.value == plain.value
    assert (folded.low, folded.high) == pytest.approx(wilson_interval(0.8, 80))
    groups = np.arange(100) // 2
    plain, folded = accuracy_estimate(right, groups), accuracy_estimate(right, groups, folds=5)
    assert folded.high - folded.low == pytest.approx(math.sqrt(5 / 4) * (plain.high - plain.low))
    assert Estimate(0.99, 0.9, 1.0, "x").widened(2).high == 1.0
    assert Estimate(2.0, 1.5, 3.0, "x").widened(2) == Estimate(2.0, 1.0, 4.0, "x")


def test_an_interval_reaches_further_without_leaving_its_range() -> None:
    rate = Estimate(0.9, 0.85, 0.94, "x")
    assert rate.reaching(0.02) == Estimate(0.9, 0.85, pytest.approx(0.96), "x")
    assert rate.reaching(0.2).high == 1.0
    assert rate.reaching(0.0) == rate.reaching(math.nan) == rate
    loss = Estimate(1.2, 0.9, 1.6, "x")
    assert loss.reaching(-0.1) == Estimate(1.2, pytest.approx(0.8), 1.6, "x")
    assert loss.reaching(-2.0).low == 0.0
    assert loss.reaching(0.1).high == pytest.approx(1.7)


def test_the_remaining_share_follows_one_over_the_number_of_images() -> None:
    assert remaining_share(60, 80, 100) == pytest.approx(0.6)  # five folds
    assert remaining_share(80, 90, 100) == pytest.approx(0.8)  # ten
    # Of errors a + b / m it tells what is left exactly, whatever a and b are.
    error = {m: 0.05 + 7 / m for m in (300, 430, 500)}
    left = FewerImages(np.zeros((0, 1, 2)), remaining_share(300, 430, 500))
    assert left.change(error[430], error[300]) == pytest.approx(error[500] - error[430])


@given(
    st.integers(2, 10_000).flatmap(
        lambda n: st.tuples(st.integers(1, n), st.integers(1, n), st.just(n + 1))
    )
)
def test_the_remaining_share_is_positive_and_shrinks_with_the_distance(
    sizes: tuple[int, int, int],
) -> None:
    fewest, fewer, every = sizes
    if fewest < fewer:
        share = remaining_share(fewest, fewer, every)
        assert share > 0
        assert remaining_share(fewest, fewer, every + 1) > share
        assert fewest == 1 or remaining_share(fewest - 1, fewer, every) < share


def test_without_spread_a_bootstrap_falls_back_on_wilson() -> None:
    found = bootstrap_estimates({"share": lambda w: w.sum(axis=1) / w.sum(axis=1)}, 20)["share"]
    assert (found.value, found.low, found.high) == (1.0, *wilson_interval(1.0, 20))
    assert found.method == "wilson"


def test_grouped_images_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    correct = np.repeat((rng.random(20) < 0.7).astype(float), 10)
    alone = accuracy_estimate(correct)
    together = accuracy_estimate(correct, groups)
    assert alone.method == "wilson"
    assert together.method == "bootstrap over groups"
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_all_right_with_groups_is_as_uncertain_as_the_number_of_groups() -> None:
    groups = np.repeat(np.arange(10), 5)
    found = accuracy_estimate(np.ones(50), groups)
    assert (found.low, found.high) == wilson_interval(1.0, 10)


def test_wilson_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2_000):
        low, high = wilson_interval(rng.binomial(200, 0.9) / 200, 200)
        hits += low <= 0.9 <= high
    assert 0.935 <= hits / 2_000 <= 0.97


@given(st.floats(0, 1) | st.just(math.nan), st.floats(0, 1), st.floats(0, 1), st.text(max_size=10))
def test_estimates_survive_json(value: float, low: float, high: float, method: str) -> None:
    found = from_json(Estimate(value, low, high, method).to_dict(), Estimate)
    assert found.method == method
    assert found.low == pytest.approx(low, abs=1e-6)
    assert (math.isnan(value) and math.isnan(found.value)) or found.value == pytest.approx(
        value, abs=1e-6
    )


def test_rank_correlation_is_spearmans() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        a, b = random.integers(0, 5, (2, 20)).astype(float)  # with many ties
        expected = scipy.stats.spearmanr(a, b).statistic
        assert rank_correlation(a, b) == pytest.approx(expected, abs=1e-12)
    a = random.normal(size=30)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert math.isnan(rank_correlation(a, np.ones(30)))

"""Rates, ratios and medians with their intervals: known values, and how often they hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.watching.rates import median_stay, poisson_rate, rate_ratio


def test_known_intervals_of_counts() -> None:
    # Garwood's table: 0 events 0 to 3.689, 10 events 4.795 to 18.390.
    assert poisson_rate(0, 1.0).high == pytest.approx(3.689, abs=1e-3)
    assert poisson_rate(10, 1.0).low == pytest.approx(4.795, abs=1e-3)
    assert poisson_rate(10, 2.0).high == pytest.approx(18.390 / 2, abs=1e-3)
    with pytest.raises(ValueError, match="expected more than 0"):
        poisson_rate(3, 0.0)


@given(st.integers(0, 200), st.floats(1e-3, 1e3))
def test_intervals_hold_the_rate(n: int, t: float) -> None:
    found = poisson_rate(n, t)
    assert 0 <= found.low <= found.value <= found.high


def test_known_intervals_of_ratios() -> None:
    # R: poisson.test(c(11, 3), c(2, 1)) gives a ratio of 1.833 [0.4832, 10.2336].
    found = rate_ratio(3, 1.0, 11, 2.0)
    assert found is not None
    assert found.value == pytest.approx(11 / 6)
    from scipy.stats import binomtest

    interval = binomtest(11, 14).proportion_ci(0.95, method="exact")
    assert found.low == pytest.approx(interval.low / (1 - interval.low) / 2)
    assert found.high == pytest.approx(interval.high / (1 - interval.high) / 2)
    assert rate_ratio(0, 1.0, 0, 1.0) is None
    none_before = rate_ratio(0, 1.0, 4, 1.0)
    assert none_before is not None
    assert none_before.value == none_before.high == math.inf
    assert 0 < none_before.low < 1
    none_after = rate_ratio(4, 1.0, 0, 1.0)
    assert none_after is not None
    assert (none_after.value, none_after.low) == (0.0, 0.0)


@given(st.integers(0, 60), st.floats(0.1, 9.0), st.integers(0, 60), st.floats(0.1, 9.0))
def test_a_ratio_turned_round_is_its_inverse(n1: int, t1: float, n2: int, t2: float) -> None:
    found, turned = rate_ratio(n1, t1, n2, t2), rate_ratio(n2, t2, n1, t1)
    if found is None or turned is None:
        assert n1 == n2 == 0
        return
    assert found.low <= found.value <= found.high
    for x, y in ((found.low, turned.high), (found.high, turned.low)):
        assert x == pytest.approx(1 / y if y else math.inf, rel=1e-6)


def test_a_median_of_stays_that_are_all_over() -> None:
    # Without censoring the interval is that of order statistics: of 7, the first and the last.
    found = median_stay([5, 1, 3, 2, 7, 6, 4], [True] * 7)
    assert found is not None
    assert (found.value, found.low, found.high) == (4, 1, 7)
    many = median_stay(list(range(1, 101)), [True] * 100)
    assert many is not None
    # Of 100, the 40th and the 61st hold the median with 95 % (binomial).
    assert (many.value, many.low, many.high) == (50, 40, 61)


def test_stays_that_are_not_over_count_for_longer() -> None:
    lengths = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    plain = median_stay(lengths, [True] * 8)
    cut = median_stay(lengths, [True, False, True, False, True, False, True, False])
    assert plain is not None
    assert cut is not None
    # By hand: 7/8, then 7/8 * 5/6 = 0.729, then * 3/4 = 0.547, then * 1/2 at 7.
    assert (plain.value, cut.value) == (4.0, 7.0)
    assert median_stay([3.0, 4.0], [False, False]) is None
    assert median_stay([], []) is None
    never = median_stay([1.0, 9.0, 9.0], [True, False, False])
    assert never is not None
    assert never.value == math.inf


@given(
    st.lists(st.tuples(st.floats(0.01, 1e6), st.booleans()), min_size=1, max_size=40),
    st.floats(0.1, 10),
)
def test_medians_scale_and_lie_in_their_interval(
    stays: list[tuple[float, bool]], factor: float
) -> None:
    lengths, is_over = [x for x, _ in stays], [over for _, over in stays]
    found = median_stay(lengths, is_over)
    scaled = median_stay([factor * x for x in lengths], is_over)
    if found is None or scaled is None:
        assert not any(is_over)
        return
    assert 0 <= found.low <= found.value <= found.high
    if len(stays) < 6:
        assert (found.low, found.high) == (0.0, math.inf)
    for x, y in zip(
        (found.value, found.low, found.high),
        (scaled.value, scaled.low, scaled.high),
        strict=True,
    ):
        assert y == pytest.approx(factor * x)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [1.0, 4.0])
@pytest.mark.parametrize("weeks", [1, 3, 12])
def test_intervals_of_medians_hold(shape: float, weeks: int) -> None:
    """At least 95 % of the intervals hold the median, less three errors of 400 simulations."""
    random = np.random.default_rng(0)
    true = float(np.median(random.gamma(shape, 1.5 / shape, 400_000)))
    held = told = 0
    for _ in range(400):
        at, end, is_clean = -20.0, 7.0 * weeks, False
        lengths, is_over = [], []
        while at < end:
            length = float(random.gamma(shape, 1.5 / shape))
            if is_clean and at >= 0:
                lengths.append(min(at + length, end) - at)
                is_over.append(at + length < end)
            at, is_clean = at + length, not is_clean
        found = median_stay(lengths, is_over)
        if found is not None:
            told += 1
            held += found.low <= true <= found.high
    assert told > 300
    assert held / told > 0.95 - 3 * math.sqrt(0.95 * 0.05 / told)

"""Whether a difference is significant: one rule, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.metrics.differences import (
    paired_difference,
    standing,
    unpaired_difference,
    weighted_mean,
)
from regraft.metrics.rates import Estimate, wilson_interval


def rate(hits: int, n: int) -> Estimate:
    return Estimate(hits / n, *wilson_interval(hits / n, n), "wilson")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.1, "ahead"),
        (-0.1, -0.001, "behind"),
        (-0.036, 0.015, "level"),
        (0.0, 0.1, "level"),
        (-0.1, 0.0, "level"),
        (0.0, 0.0, "level"),
    ],
)
def test_significant_is_what_zero_is_not_within(low: float, high: float, expected: str) -> None:
    assert standing(Estimate((low + high) / 2, low, high, "")) == expected


def test_a_paired_difference_by_hand() -> None:
    # Four images, two of them apart: (2 + 1 - 4 x 0.5^2) / (4 + 2)^2.
    first, second = np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0, 0.0]])
    found = paired_difference(first, second)
    half = 1.96 * math.sqrt(2 / 36)
    assert (found.value, found.method) == (0.5, "paired, by image")
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    over_folds = paired_difference(first, second, folds=5)
    assert over_folds.high - 0.5 == pytest.approx(min(0.5, half * math.sqrt(5 / 4)))
    assert paired_difference(first, second, folds=1) == found, "one fold is a test set"


def test_candidates_that_never_differ_have_an_interval_still() -> None:
    same = paired_difference(np.ones((3, 4)), np.ones((3, 4)))
    assert same.low < same.value == 0.0 < same.high
    always = paired_difference(np.ones((1, 40)), np.zeros((1, 40)))
    assert (always.value, always.high) == (1.0, 1.0)
    assert 0.9 < always.low < 1.0


def test_repeats_are_averaged_and_count_an_image_once() -> None:
    random = np.random.default_rng(0)
    first, second = (random.random((1, 60)) < 0.7 for _ in range(2))
    once = paired_difference(first.astype(float), second.astype(float))
    thrice = paired_difference(np.tile(first, (3, 1)).astype(float), np.tile(second, (3, 1)) * 1.0)
    assert (once.value, once.low) == pytest.approx((thrice.value, thrice.low))


def test_images_of_one_group_count_as_one_trial() -> None:
    random = np.random.default_rng(1)
    first, second = ((random.random((1, 30)) < p).astype(float) for p in (0.9, 0.5))
    alone = paired_difference(first, second)
    both = [np.repeat(values, 4, axis=1) for values in (first, second)]
    together = paired_difference(*both, groups=np.repeat(np.arange(30), 4))
    assert together.method == "paired, by group"
    assert (together.value, together.low) == pytest.approx((alone.value, alone.low))
    assert paired_difference(*both).low > alone.low, "four times as many photos, if they were that"
    assert paired_difference(first, second, groups=np.arange(30)) == alone


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 60), st.integers(1, 10))
def test_a_difference_changes_sign_when_candidates_change_places(
    seed: int, repeats: int, n: int, groups: int
) -> None:
    random = np.random.default_rng(seed)
    first, second = ((random.random((repeats, n)) < p).astype(float) for p in (0.8, 0.6))
    of = random.integers(groups, size=n)
    one, other = (
        paired_difference(*pair, groups=of, folds=5) for pair in ((first, second), (second, first))
    )
    assert one.value == pytest.approx(-other.value)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert -1 <= one.low <= one.value <= one.high <= 1


def test_an_interval_of_a_difference_holds_what_it_promises() -> None:
    random = np.random.default_rng(0)
    wrongly = held = 0
    for _ in range(2_000):
        both = random.random((2, 1, 200)) < 0.85
        shared = random.random((1, 200)) < 0.6  # as two models of one backbone, mostly alike
        first, second = (np.where(shared, both[0], one).astype(float) for one in both)
        found = paired_difference(first, second)
        held += found.low <= 0 <= found.high
        wrongly += standing(found) != "level"
    assert 0.93 <= held / 2_000 <= 0.97
    assert wrongly == 2_000 - held


def test_an_unpaired_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, (a) 56/70 and 48/80, method 10.
    found = unpaired_difference(rate(56, 70), rate(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-4)
    assert found.value == pytest.approx(0.2)


def test_the_smallest_of_many_needs_a_larger_difference() -> None:
    alone = unpaired_difference(rate(70, 100), rate(820, 1_000))
    of_ten = unpaired_difference(rate(70, 100), rate(820, 1_000), comparisons=10)
    assert standing(alone) == "behind"
    assert standing(of_ten) == "level"
    assert (of_ten.value, of_ten.low < alone.low) == (alone.value, True)


def test_the_mean_of_rates_has_about_the_interval_of_their_pool() -> None:
    parts = [rate(80, 100), rate(150, 200), rate(90, 100)]
    found, pool = weighted_mean(parts, [100, 200, 100]), rate(320, 400)
    assert found.value == pytest.approx(pool.value)
    assert (found.low, found.high) == pytest.approx((pool.low, pool.high), abs=0.01)
    assert weighted_mean(parts[:1], [3]).low == pytest.approx(parts[0].low)

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.metrics.rates import Estimate, ReliabilityBin
from regraft.reporting.charts import (
    Scale,
    amount_scale,
    count_scale,
    dot,
    interval_mark,
    line,
    matrix_shades,
    plain_scale,
    rate_of_learning_scale,
    rate_scale,
    reliability_points,
    row_shares,
    short_number,
    size_scale,
)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_an_axis_of_rates_holds_every_value_between_round_ticks(values: list[float]) -> None:
    scale = rate_scale(values)
    assert scale.low <= min(values) + 1e-9
    assert scale.high == 1.0
    assert 2 <= len(scale.ticks) <= 7
    positions = [tick.at for tick in scale.ticks]
    assert positions == sorted(positions)
    assert positions[0] == 0
    assert positions[-1] == 100
    assert scale.ticks[-1].label == "100"


@pytest.mark.parametrize(
    ("smallest", "labels"),
    [
        (0.5, ["50", "60", "70", "80", "90", "100"]),
        (0.96, ["90", "92", "94", "96", "98", "100"]),
        (0.07, ["0", "20", "40", "60", "80", "100"]),
        (math.nan, ["0", "20", "40", "60", "80", "100"]),
    ],
)
def test_the_axis_zooms_to_where_the_values_are(smallest: float, labels: list[str]) -> None:
    assert [tick.label for tick in rate_scale([smallest]).ticks] == labels


def test_ticks_need_not_be_percentages() -> None:
    labels = [tick.label for tick in rate_scale([0.5], percentage=False).ticks]
    assert labels == ["0.5", "0.6", "0.7", "0.8", "0.9", "1"]


def test_a_plain_axis_has_labelled_ends() -> None:
    scale = plain_scale(0.1, decimals=0, factor=100)
    assert [(tick.at, tick.label) for tick in scale.ticks] == [(0, "0"), (100, "10")]
    assert scale.at(0.05) == 50
    both = plain_scale(0.75, low=-0.25)
    assert [tick.label for tick in both.ticks] == ["\N{MINUS SIGN}0.25", "0.75"]
    assert both.at(0.0) == 25


def test_positions_stay_on_the_axis() -> None:
    scale = Scale(0.5, 1.0)
    assert [scale.at(x) for x in (0.0, 0.5, 0.75, 1.0, 2.0)] == [0, 0, 50, 100, 100]


def test_an_interval_is_drawn_where_it_lies() -> None:
    mark = interval_mark(Estimate(0.75, 0.6, 0.9, "wilson"), Scale(0.5, 1.0))
    assert mark is not None
    assert (mark.low, mark.value, mark.high) == (20, 50, 80)
    assert mark.width == 60


def test_an_estimate_without_a_value_is_not_drawn() -> None:
    assert interval_mark(Estimate(math.nan, math.nan, math.nan, ""), Scale(0, 1)) is None


def test_an_estimate_without_an_interval_is_a_dot() -> None:
    mark = interval_mark(Estimate(0.5, math.nan, math.nan, ""), Scale(0, 1))
    assert mark is not None
    assert mark.low == mark.value == mark.high == 50


def test_repeats_of_one_photo_count_once_in_the_reliability_diagram() -> None:
    bins = [ReliabilityBin(0.9, 1.0, 300, 0.97, 0.9)]
    (once,) = reliability_points(bins)
    (thrice,) = reliability_points(bins, repeats=3)
    assert (once.x, once.y, once.n, thrice.n) == (97, 90, 300, 100)
    assert thrice.high - thrice.low > once.high - once.low


def test_a_matrix_becomes_one_path_a_shade() -> None:
    confusion = np.array([[4.0, 0.0], [1.0, 3.0]])
    shades = {(s.right, s.opacity): s.path for s in matrix_shades(confusion)}
    assert shades == {
        (True, 1.0): "M0 0h1v1h-1z",  # x is the predicted class, y the true one
        (True, 0.75): "M1 1h1v1h-1z",
        (False, 0.25): "M0 1h1v1h-1z",
    }


def test_rows_of_a_matrix_become_shares() -> None:
    shares = row_shares(np.array([[3.0, 1.0], [0.0, 0.0]]))
    assert shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]


@given(st.floats(1e-6, 1e6), st.floats(0, 1e6), st.integers(2, 6))
def test_an_axis_of_amounts_holds_both_ends(high: float, below: float, most: int) -> None:
    scale = amount_scale(high, low=-below, most=most)
    hair = 1e-6 * (high + below)
    assert scale.low <= -below + hair
    assert scale.high >= high - hair
    assert 2 <= len(scale.ticks) <= most + 3
    assert [tick.at for tick in scale.ticks] == sorted({tick.at for tick in scale.ticks})
    assert len({tick.label for tick in scale.ticks}) == len(scale.ticks)


def test_an_axis_of_differences_has_signs_and_a_zero() -> None:
    labels = [tick.label for tick in amount_scale(0.02, low=-0.04, factor=100).ticks]
    assert labels == ["−4", "−2", "0", "+2"]


@given(st.integers(0, 5), st.integers(0, 100_000))
def test_an_axis_of_counts_labels_its_ends(first: int, more: int) -> None:
    scale = count_scale(first + more, first=first)
    assert scale.at(first) == 0
    labels = [tick.label for tick in scale.ticks]
    assert labels[0] == f"{first:,}"
    assert labels[-1] == f"{first + more:,}"
    assert len(labels) <= 9
    assert len(set(labels)) == len(labels)


@given(st.lists(st.integers(2, 10**6), min_size=1, max_size=8))
def test_sizes_stand_at_equal_ratios_and_keep_their_distance(sizes: list[int]) -> None:
    scale = size_scale(sizes)
    positions = [tick.at for tick in scale.ticks]
    assert all(b - a >= 12 for a, b in itertools.pairwise(positions))
    assert positions == sorted(positions)
    if min(sizes) < max(sizes):
        assert positions[-1] == 100
    assert size_scale([10, 100, 1000]).at(100) == 50


def test_learning_rates_have_powers_of_ten() -> None:
    labels = [tick.label for tick in rate_of_learning_scale([1e-6, 0.1]).ticks]
    assert labels == ["1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1"]
    assert [t.label for t in rate_of_learning_scale([2e-4, 5e-4]).ticks] == ["2e-4", "5e-4"]
    assert len(rate_of_learning_scale([1e-3, 1e-3]).ticks) == 2


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (3e-4, "3e-4"), (1.5e-4, "1.5e-4"), (0.02, "0.02"), (3.0, "3")]
)
def test_small_numbers_are_short(value: float, text: str) -> None:
    assert short_number(value) == text


def test_a_line_goes_upwards_as_values_do() -> None:
    assert line([(0, 0), (1, 0.5)], Scale(0, 1), Scale(0, 1), "fold").path == "M0 100L100 50"
    assert line([], Scale(0, 1), Scale(0, 1), "fold").path == ""


def test_a_dot_stands_on_its_interval() -> None:
    found = dot(1, Estimate(0.5, 0.25, 0.75, ""), Scale(0, 2), Scale(0, 1), "fold")
    assert (found.x, found.low, found.y, found.high) == (50, 75, 50, 25)
    bare = dot(1, Estimate(0.5, math.nan, math.nan, ""), Scale(0, 2), Scale(0, 1), "fold")
    assert bare.low == bare.y == bare.high

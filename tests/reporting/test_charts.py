from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.metrics import Estimate, ReliabilityBin
from regraft.reporting.charts import (
    Scale,
    interval_mark,
    matrix_shades,
    plain_scale,
    rate_scale,
    reliability_points,
    row_shares,
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

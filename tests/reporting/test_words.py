from __future__ import annotations

import math

import pytest

from regraft.metrics.rates import Estimate
from regraft.reporting import words


def plain(text: str) -> str:
    return text.replace(words.THIN_SPACE, " ").replace("\N{EN DASH}", "-")


@pytest.mark.parametrize(
    ("share", "text"), [(0.948, "94.8 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (math.nan, "n/a")]
)
def test_shares_become_percentages(share: float, text: str) -> None:
    assert plain(words.percent(share)) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.012, "+1.2"), (-0.004, "\N{MINUS SIGN}0.4"), (0.0, "0.0"), (-0.0001, "0.0")],
)
def test_differences_become_points(difference: float, text: str) -> None:
    assert words.points(difference) == text


@pytest.mark.parametrize(
    ("estimate", "percentage", "text"),
    [
        (Estimate(0.9, 0.8512, 0.95, ""), True, "85.1-95.0 %"),
        (Estimate(0.9, 0.8512, 0.95, ""), False, "0.851-0.950"),
        (Estimate(1.0, 1.0, 1.0, "bootstrap"), True, "no interval"),
        (Estimate(0.0002, 0.0001, 0.0004, ""), True, "below 0.1 %"),
        (Estimate(0.0002, 0.0001, 0.0004, ""), False, "below 0.001"),
        (Estimate(0.0, 0.0, 0.02, ""), True, "0.0-2.0 %"),
        (Estimate(0.9, math.nan, math.nan, ""), True, ""),
    ],
)
def test_intervals(estimate: Estimate, percentage: bool, text: str) -> None:
    assert plain(words.estimate_range(estimate, percentage=percentage)) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.0, "under 0.1 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (4331, "1 h 12 min"),
    ],
)
def test_durations(duration_s: float, text: str) -> None:
    assert plain(words.seconds(duration_s)) == text


@pytest.mark.parametrize(
    ("count", "text"), [(3, "3"), (1234.0, "1,234"), (31.33, "31.3"), (2.99, "3"), (0.33, "0.3")]
)
def test_counts(count: float, text: str) -> None:
    assert words.number(count) == text


def test_nouns_follow_their_number() -> None:
    assert words.counted(1, "photo") == "1 photo"
    assert words.counted(2000, "photo") == "2,000 photos"
    assert words.counted(2, "class", "classes") == "2 classes"


def test_lists_and_sentences() -> None:
    assert words.listed([]) == ""
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.sentence(" one folder per class") == "One folder per class."
    assert words.sentence("Done!") == "Done!"
    assert words.sentence("") == ""

"""What is said of folds by series, by blocks and by chance, and of series that splits part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from regraft.inspection.auditing import ByOrder
from regraft.metrics.rates import Estimate
from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.words import speaking_of


def order(by_order: float, by_chance: float, *, differs: bool = False, **others: Any) -> ByOrder:
    """Folds by series or blocks and folds by chance, of which so much was right."""
    gap = by_chance - by_order
    half = 0.5 * abs(gap) if differs else 2 * abs(gap)
    found = ByOrder(
        kept="series",
        sources=("names",),
        accuracy=Estimate(by_order, 0.0, 1.0, "wilson"),
        by_chance=Estimate(by_chance, 0.0, 1.0, "wilson"),
        difference=Estimate(gap, gap - half, gap + half, "paired"),
    )
    return replace(found, **others)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (order(0.25, 0.97, differs=True), ["by chance would have said 97.0", "by series say 25.0"]),
        (order(0.9, 1.0), ["90.0", "in folds by series", "100.0", "that may be chance"]),
        (
            order(0.8, 0.9, kept="blocks", differs=True),
            ["90.0", "80.0", "blocks of order", "by their names", "expect less"],
        ),
    ],
)
def test_both_accuracies_are_told_where_they_differ(found: ByOrder, words: list[str]) -> None:
    sentence = what_chance_makes(found)
    for part in words:
        assert part in sentence
    assert ("would have" in sentence) == (found.kept == "series" and found.differs)


@pytest.mark.parametrize(
    "found",
    [
        None,
        ByOrder(),
        order(0.9001, 0.8999),  # the same to the digit that is shown
        order(0.9, 0.92, kept="blocks"),
    ],
)
def test_nothing_is_told_where_there_is_nothing_to_tell(found: ByOrder | None) -> None:
    assert what_chance_makes(found) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (ByOrder(cut=("open",), parted=2), ["of “open” are of one series", "expect less"]),
        (ByOrder(parted=1), ["1 series has", "several named groups"]),
        (ByOrder(), []),
        (None, []),
    ],
)
def test_series_on_both_sides_are_told(found: ByOrder | None, words: list[str]) -> None:
    sentence = why_splits_leak(found)
    assert bool(sentence) == bool(words)
    for part in words:
        assert part in sentence


def test_texts_are_no_frames_of_a_film() -> None:
    with speaking_of("text"):
        sentence = what_chance_makes(order(0.9, 0.97, differs=True, sources=("rows",)))
    assert "texts of one series, such as parts of a document," in sentence

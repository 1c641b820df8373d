"""What is said of folds by series, by blocks and by chance, and of series that splits part."""

from __future__ import annotations

from typing import Any

import pytest

from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.words import speaking_of


def order(by_order: float, by_chance: float, **others: Any) -> dict[str, Any]:
    """As `auditing.ByOrder.to_dict` returns it."""
    values = {
        name: {"value": value, "low": 0.0, "high": 1.0, "method": "wilson"}
        for name, value in (("accuracy", by_order), ("by_chance", by_chance))
    }
    return {"kept": "series", "differs": False, "sources": ["names"], **values, **others}


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
def test_both_accuracies_are_told_where_they_differ(
    found: dict[str, Any], words: list[str]
) -> None:
    sentence = what_chance_makes(found)
    for part in words:
        assert part in sentence
    assert ("would have" in sentence) == (found["kept"] == "series" and found["differs"])


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"kept": "", "differs": False, "accuracy": None, "by_chance": None},
        order(0.9001, 0.8999),  # the same to the digit that is shown
        order(0.9, 0.92, kept="blocks"),
    ],
)
def test_nothing_is_told_where_there_is_nothing_to_tell(found: dict[str, Any] | None) -> None:
    assert what_chance_makes(found) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"cut": ["open"], "parted": 2}, ["of “open” are of one series", "expect less"]),
        ({"parted": 1}, ["1 series has", "several named groups"]),
        ({"cut": [], "parted": 0}, []),
        (None, []),
    ],
)
def test_series_on_both_sides_are_told(found: dict[str, Any] | None, words: list[str]) -> None:
    sentence = why_splits_leak(found)
    assert bool(sentence) == bool(words)
    for part in words:
        assert part in sentence


def test_texts_are_no_frames_of_a_film() -> None:
    with speaking_of("text"):
        sentence = what_chance_makes(order(0.9, 0.97, differs=True, sources=["rows"]))
    assert "texts of one series, such as parts of a document," in sentence

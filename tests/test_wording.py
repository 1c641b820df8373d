"""Counts and lists as words of a sentence."""

from __future__ import annotations

import pytest

from regraft.wording import counted, listed


def test_plurals() -> None:
    assert (counted(1), counted(2_000), counted(0)) == ("1 image", "2,000 images", "0 images")
    assert counted(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(
    ("items", "shown", "last", "text"),
    [
        ([], None, "and", ""),
        (["a"], None, "and", "a"),
        (["a"], 1, "and", "a"),
        (["a", "b"], None, "or", "a or b"),
        (["a", "b", "c"], None, "and", "a, b and c"),
        (["a", "b", "c"], 3, "and", "a, b and c"),
        (["a", "b", "c", "d", "e"], 3, "and", "a, b, c and 2 more"),
        (["a"] * 1_001, 1, "and", "a and 1,000 more"),
    ],
)
def test_lists(items: list[str], shown: int | None, last: str, text: str) -> None:
    assert listed(items, shown=shown, last=last) == text

"""What cells mean, over all tables that there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.dataset.values import (
    MISSING,
    are_exclusive,
    indicator_columns,
    is_yes,
    labels_of,
    labels_of_indicators,
    splits_of_indicators,
)
from regraft.errors import DataError
from regraft.tables.reading import Table, TableRow

YES = st.sampled_from(["1", "1.0", "true", "True", "YES", "y"])
NO = st.sampled_from(["0", "0.0", "false", "False", "NO", "n"])


def table_of(header: list[str], rows: list[list[str]]) -> Table:
    return Table("t.csv", header, [TableRow(i + 2, i + 2, row) for i, row in enumerate(rows)])


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12), st.data())
def test_one_column_a_class_is_read_back(classes: list[int], data: st.DataObject) -> None:
    names = [f"class {i}" for i in range(4)]
    rows = [
        [data.draw(YES if column == chosen else NO) for column in range(4)] for chosen in classes
    ]
    table = table_of(names, rows)
    assert indicator_columns(table, []) == [0, 1, 2, 3]
    assert are_exclusive(table, range(4))
    labels, notes = labels_of_indicators(table, range(4), "image")
    assert labels == [names[chosen] if chosen >= 0 else "" for chosen in classes]
    assert ("without a label" in " ".join(notes)) == (-1 in classes)


@given(st.lists(st.lists(st.sampled_from("01"), min_size=2, max_size=2), min_size=1, max_size=9))
def test_several_in_a_row_are_refused_with_their_lines(rows: list[list[str]]) -> None:
    table = table_of(["a", "b"], rows)
    several = [i + 2 for i, row in enumerate(rows) if row == ["1", "1"]]
    assert are_exclusive(table, (0, 1)) == (not several)
    if several:
        with pytest.raises(DataError, match=rf"several 1s in lines? {several[0]}\b.*labels a text"):
            labels_of_indicators(table, (0, 1), "text")
    else:
        assert len(labels_of_indicators(table, (0, 1), "text")[0]) == len(rows)


LABELS = st.sampled_from(["cat", "dog", "", "nan", "None", "N/A", "?"])


@given(st.lists(LABELS, min_size=1, max_size=12))
def test_every_row_keeps_its_label_or_is_told_of(cells: list[str]) -> None:
    labels, notes = labels_of(table_of(["label"], [[cell] for cell in cells]), 0, "image")
    assert [label or cell for label, cell in zip(labels, cells, strict=True)] == cells
    assert all(
        (cell.casefold() in MISSING) == (not label)
        for cell, label in zip(cells, labels, strict=True)
    )
    words = {cell for cell in cells if cell and cell.casefold() in MISSING}
    assert bool(notes) == bool(words)


@given(st.text(max_size=6))
def test_yes_and_no_are_never_the_same(cell: str) -> None:
    assert is_yes(cell) in (True, False, None)
    assert is_yes(cell) == is_yes(cell.casefold())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_a_test_row_is_one_whatever_the_other_column_says(rows: list[tuple[bool, bool]]) -> None:
    table = table_of(["is_val", "is_test"], [[str(val), str(test)] for val, test in rows])
    splits, notes, used = splits_of_indicators(table, {0: "val", 1: "test"}, is_sure=True)
    assert splits == ["test" if test else "val" if val else "train" for val, test in rows]
    assert len(notes) == len(used) == 2
    assert splits_of_indicators(table, {}) == ([""] * len(rows), [], [])

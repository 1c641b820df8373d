from __future__ import annotations

from pathlib import Path

import pytest

from regraft.dataset import Dataset, Row, leave_out_small_classes, require_trainable
from regraft.dataset.checking import COPY_GROUP, check_rows
from regraft.errors import DataError


def statuses(rows: list[Row]) -> str:
    return " ".join(row.status for row in rows)


def test_a_conflict_counts_before_a_leak() -> None:
    rows, notes = check_rows(
        [
            Row("train/1", "aa", "cat", "train"),
            Row("train/2", "aa", "cat", "train"),
            Row("test/1", "aa", "dog", "test"),
            Row("test/2", "bb", "dog", "test"),
            Row("train/3", "cc", "dog", "train"),
            Row("train/4", "dd", "cat", "train"),
        ]
    )
    assert statuses(rows) == "conflict conflict conflict ok ok ok"
    assert rows[0].reason == "the same image is labelled 'dog' in test/1"
    assert notes == ["3 images with two labels left out: train/1, train/2 and test/1."]


def test_a_class_lost_that_way_is_said() -> None:
    rows, notes = check_rows(
        [
            Row("train/1", "aa", "cat", "train", "site {1}"),
            Row("train/2", "bb", "cat", "train", "site {1}"),
            Row("train/3", "cc", "dog", "train"),
            Row("test/1", "dd", "dog", "test", "site {1}"),
        ]
    )
    assert statuses(rows) == "excluded excluded ok ok"
    assert rows[0].reason == "its group 'site {1}' is in the test set (test/1)"
    assert notes == [
        "2 training images left out, of groups in the test set: train/1 and train/2.",
        "No image of class 'cat' can be used.",
    ]


def test_rows_without_group_or_label_are_not_compared() -> None:
    rows = [
        Row("train/1", "aa", "cat", "train"),
        Row("test/1", "bb", "cat", "test"),
        Row("test/2", "aa", "", "test", status="unlabelled"),
        Row("bad", "", "dog", "train", status="unreadable"),
        Row("worse", "", "cat", "train", status="unreadable"),
    ]
    assert check_rows(rows)[0] == rows


def test_small_classes_can_be_left_out_again() -> None:
    rows = [Row(f"{name}/{i}", f"{name}{i}", name, "train") for name in "abc" for i in range(2)]
    data = Dataset.from_rows(Path("/x"), rows)
    assert leave_out_small_classes(data) is data
    marked = data.mark({"a/0": ("unreadable", "truncated")})
    again = leave_out_small_classes(marked)
    assert again.classes == ("b", "c")
    assert again.notes == ("Class 'a' left out: it has only 1 different image, 2 are needed.",)
    assert leave_out_small_classes(again) is again


def test_what_was_found_is_said_in_full() -> None:
    rows = [
        Row("a/1", "1", "a", "train"),
        Row("b/1", "2", "b", "train"),
        Row("b/2", "", "b", "train", status="unreadable", reason="truncated"),
        Row("b/3", "", "b", "train", status="missing", reason="not found"),
    ]
    with pytest.raises(DataError) as caught:
        require_trainable(Dataset.from_rows(Path("/x"), rows))
    assert str(caught.value) == (
        "found 2 classes, 'a' (1 image), 'b' (1 image), in /x; 1 unreadable (b/2: truncated), 1 "
        "missing (b/3: not found), see regraft scan; expected at least 2 classes with at least 2 "
        "images each"
    )
    with pytest.raises(DataError, match=r"found no usable image in /x; 1 unreadable \(b/2: trun"):
        require_trainable(Dataset.from_rows(Path("/x"), rows[2:3]))


def test_a_class_of_one_group_is_noted_and_two_cannot_be_trained() -> None:
    rows = [
        Row(f"{name}/{i}", f"{name}{i}", name, "train", group)
        for name, group in (("a", "p1"), ("b", "p2"), ("c", ""))
        for i in range(3)
    ]
    _, notes = check_rows(rows)
    assert notes == [
        f"All training images of class {name!r} are of the group {group!r}: how well the class is "
        "recognised in other groups cannot be told."
        for name, group in (("a", "p1"), ("b", "p2"))
    ]
    message = "the 3 images of class 'a' and 3 images of class 'b' in /x are of one group each, and"
    with pytest.raises(DataError, match=message):
        require_trainable(Dataset.from_rows(Path("/x"), rows))
    with pytest.raises(DataError, match=r"group each .column 'who'; --group-column '' if it means"):
        require_trainable(Dataset.from_rows(Path("/x"), rows, columns={"group": "who"}))
    rows.append(Row("a/4", "a4", "a", "train"))
    require_trainable(Dataset.from_rows(Path("/x"), rows))


def test_classes_of_copies_are_told_as_such() -> None:
    rows = [
        Row(f"{name}/{i}", f"{name}{i}", name, "train", f"{COPY_GROUP} {name}/0")
        for name in "ab"
        for i in range(3)
    ]
    message = (
        "the 3 images of class 'a' and 3 images of class 'b' in /x are copies or near copies of "
        "one another, so that none is left to check on; expected at least 2 classes with at least "
        "2 images each that are no copies"
    )
    with pytest.raises(DataError) as caught:
        require_trainable(Dataset.from_rows(Path("/x"), rows))
    assert str(caught.value) == message

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.dataset import COLUMNS, STATUSES, Dataset, Row, natural_key
from regraft.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ROWS = st.builds(
    Row,
    path=TEXT,
    sha256=st.text("0123456789abcdef", max_size=8),
    label=TEXT,
    split=st.sampled_from(["train", "test", ""]),
    group=TEXT,
    width=st.integers(0, 10**6),
    height=st.integers(0, 10**6),
    mode=st.sampled_from(["RGB", "I;16", ""]),
    status=st.sampled_from(list(STATUSES)),
    reason=TEXT,
)

SMALL = Dataset.from_rows(
    Path("/photos"),
    [
        Row("cat/1.jpg", "aa", "cat", "train"),
        Row("cat/2.jpg", "bb", "cat", "test"),
        Row("dog/1.jpg", "cc", "dog", "train", group="park"),
        Row("dog/2.jpg", "", "dog", "train", status="unreadable", reason="the file is empty"),
        Row("new.jpg", "dd", status="unlabelled"),
    ],
)


def test_rows_by_use() -> None:
    assert [row.path for row in SMALL.ok] == ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    assert [row.path for row in SMALL.train] == ["cat/1.jpg", "dog/1.jpg"]
    assert [row.path for row in SMALL.test] == ["cat/2.jpg"]
    assert [row.path for row in SMALL.unlabelled] == ["new.jpg"]
    assert SMALL.classes == ("cat", "dog")


def test_labels_are_positions_in_the_classes() -> None:
    labels = SMALL.labels(SMALL.ok)
    assert labels.tolist() == [0, 0, 1]
    assert labels.dtype == np.int64
    with pytest.raises(DataError, match="'' is not one of the 2 classes"):
        SMALL.labels(SMALL.unlabelled)


def test_counts() -> None:
    assert SMALL.counts() == {
        "cat": {"ok": 2},
        "dog": {"ok": 1, "unreadable": 1},
        "": {"unlabelled": 1},
    }
    assert list(SMALL.counts()) == ["cat", "dog", ""]
    assert SMALL.status_counts() == {"ok": 3, "unlabelled": 1, "unreadable": 1}


def test_absolute_follows_the_way_up() -> None:
    assert SMALL.absolute(Row("cat/1.jpg")) == Path("/photos/cat/1.jpg")
    assert SMALL.absolute(Row("../held out/1.jpg")) == Path("/held out/1.jpg")


def test_mark_changes_rows_and_classes_and_leaves_the_original() -> None:
    marked = SMALL.mark({"dog/1.jpg": ("unreadable", "truncated")})
    assert marked.classes == ("cat",)
    assert marked.rows[2].status == "unreadable"
    assert marked.rows[2].reason == "truncated"
    assert marked.rows[2].sha256 == "cc"
    assert SMALL.classes == ("cat", "dog")


def test_mark_refuses_what_it_does_not_know() -> None:
    with pytest.raises(DataError, match=r"'dog/9.jpg' is not a file of the dataset"):
        SMALL.mark({"dog/9.jpg": ("ignored", "")})
    with pytest.raises(DataError, match="unknown status 'bad'; expected one of ok, unlabelled"):
        SMALL.mark({"dog/1.jpg": ("bad", "")})


def test_fingerprint_is_about_content_not_names() -> None:
    def of(*rows: Row) -> str:
        return Dataset.from_rows(Path("/x"), rows).fingerprint()

    one, two = Row("a", "11", "cat", "train"), Row("b", "22", "dog", "train")
    assert of(one, two) == of(two, Row("moved/a", "11", "cat", "train"))
    assert of(one, two) == of(one, two, Row("c", "33", "cat", status="ignored"))
    others = [
        of(one),
        of(one, Row("b", "23", "dog", "train")),
        of(one, Row("b", "22", "cow", "train")),
        of(one, Row("b", "22", "dog", "test")),
        of(one, Row("b", "22", "dog", "train", group="g")),
    ]
    assert len({of(one, two), *others}) == 6


def test_csv_has_the_promised_header() -> None:
    first, second = SMALL.to_csv().splitlines()[:2]
    assert first == "path,sha256,label,split,group,width,height,mode,status,reason"
    assert first == ",".join(COLUMNS)
    assert second == "cat/1.jpg,aa,cat,train,,0,0,,ok,"


@given(st.lists(ROWS, max_size=5))
def test_csv_round_trip(rows: list[Row]) -> None:
    data = Dataset.from_rows(Path("/x"), rows)
    again = Dataset.from_csv(data.to_csv(), Path("/x"))
    assert again == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a dataset table: its first line is '', expected 'path,sha256"),
        ("path,label\n", "its first line is 'path,label'"),
        (",".join(COLUMNS) + "\na,b\n", "line 2 of the dataset table has 2 cells, expected 10"),
        (",".join(COLUMNS) + "\na,,,,,1,1,,lost,\n", "line 2 .* has the status 'lost'"),
        (",".join(COLUMNS) + "\na,,,,,x,1,,ok,\n", "line 2 .* has the size 'x' x '1'"),
        (",".join(COLUMNS) + "\na,,,,,,1,,ok,\n", "line 2 .* has the size '' x '1'"),
    ],
)
def test_from_csv_refuses_other_tables(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.from_csv(text, Path("/x"))


def test_natural_order() -> None:
    names = ["img10.png", "img2.png", "IMG3.png", "a/9.jpg", "a/010.jpg", "a/10.jpg", "7" * 5000]
    assert sorted(names, key=natural_key) == [
        "7" * 5000,
        "a/9.jpg",
        "a/010.jpg",
        "a/10.jpg",
        "img2.png",
        "IMG3.png",
        "img10.png",
    ]

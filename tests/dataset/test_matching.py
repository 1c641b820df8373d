from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.dataset.labels import Entry, LabelTable
from regraft.dataset.matching import file_finder, named_rows, rows_from_table
from regraft.dataset.table import Row
from regraft.dataset.walking import Listing
from regraft.errors import DataError

FILES = (
    "a.jpg",
    "cat/1.jpg",
    "dog/1.jpg",
    "cat/b.v2.png",
    "deep/photos/c.jpg",
    "deep/photos/00007.jpg",
    "deep/photos/000.jpg",
    "Big.JPG",
    "big.png",
    "cafe\u0301.jpg",
    "twin.jpg",
    "twin.png",
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", ["a.jpg"]),
        ("a", ["a.jpg"]),
        ("./a.jpg", ["a.jpg"]),
        ("A.JPG", ["a.jpg"]),
        ("a.png", []),
        ("cat/1.jpg", ["cat/1.jpg"]),
        ("cat/1", ["cat/1.jpg"]),
        ("cat\\1.jpg", ["cat/1.jpg"]),
        ("C:\\photos\\cat\\1.jpg", ["cat/1.jpg"]),
        ("../photos/cat/1.jpg", ["cat/1.jpg"]),
        ("/absolute/cat/1.jpg", ["cat/1.jpg"]),
        ("1.jpg", ["cat/1.jpg", "dog/1.jpg"]),
        ("1", ["cat/1.jpg", "dog/1.jpg"]),
        ("cow/1.jpg", []),
        ("photos/c.jpg", ["deep/photos/c.jpg"]),
        ("c", ["deep/photos/c.jpg"]),
        ("other/c.jpg", []),
        ("elsewhere/a.jpg", ["a.jpg"]),
        ("b.v2", ["cat/b.v2.png"]),
        ("b", []),
        ("7", ["deep/photos/00007.jpg"]),
        ("photos/007", ["deep/photos/00007.jpg"]),
        ("0", ["deep/photos/000.jpg"]),
        ("8", []),
        ("Big", ["Big.JPG"]),
        ("big", ["big.png"]),
        ("BIG", ["Big.JPG", "big.png"]),
        ("caf\u00e9.jpg", ["cafe\u0301.jpg"]),
        ("caf\u00e9", ["cafe\u0301.jpg"]),
        ("twin", ["twin.jpg", "twin.png"]),
        ("twin.png", ["twin.png"]),
        ("", []),
        ("/", []),
    ],
)
def test_a_name_means(name: str, found: list[str]) -> None:
    assert list(file_finder(FILES)(name)) == found


PARTS = st.text("ab01.é \\", min_size=1, max_size=4).filter(lambda part: part.strip("."))
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".jpg")


@given(st.sets(PATHS, min_size=1, max_size=8))
def test_every_file_is_found_by_its_path(paths: set[str]) -> None:
    find = file_finder(sorted(paths))
    assert {path: list(find(path)) for path in paths} == {path: [path] for path in paths}


def table_of(*entries: tuple[str, str] | tuple[str, str, str, str]) -> LabelTable:
    return LabelTable(
        path=Path("/data/labels.csv"),
        entries=tuple(
            Entry(line, entry[0], entry[1], *(entry[2:] or ("", "")))  # type: ignore[call-arg]
            for line, entry in enumerate(entries, start=2)
        ),
        columns={"path": "file", "label": "label"},
        notes=(),
    )


def listing_of(*files: str, left_out: tuple[Row, ...] = ()) -> Listing:
    return Listing(Path("/data"), files, left_out, ())


def test_rows_of_a_table() -> None:
    table = table_of(("a", "cat"), ("b.jpg", ""), ("gone", "dog"), ("1", "dog"))
    table_row = Row("labels.csv", status="ignored", reason="not an image (.csv)")
    listing = listing_of(
        "a.jpg", "b.jpg", "x/1.jpg", "y/1.jpg", "test/c.jpg", left_out=(table_row,)
    )
    draft = rows_from_table(table, listing)
    assert sorted(
        (row.path, row.label, row.split, row.status, row.reason) for row in draft.rows
    ) == [
        ("1", "dog", "", "missing", "could be x/1.jpg or y/1.jpg; named in line 5 of labels.csv"),
        ("a.jpg", "cat", "train", "ok", ""),
        ("b.jpg", "", "train", "unlabelled", "no label in line 3 of labels.csv"),
        ("gone", "dog", "", "missing", "not found; named in line 4 of labels.csv"),
        ("labels.csv", "", "", "ignored", "the label table"),
        ("test/c.jpg", "", "test", "unlabelled", "not named in labels.csv"),
        ("x/1.jpg", "", "", "unlabelled", "not named in labels.csv"),
        ("y/1.jpg", "", "", "unlabelled", "not named in labels.csv"),
    ]
    assert (
        draft.layout == "the label table labels.csv: files in the column 'file', labels in 'label'"
    )
    assert draft.notes == (
        "labels.csv names files that were not found, in line 4.",
        "labels.csv has names that could mean several files in line 5; give the path from the "
        "image folder there.",
    )


def test_repeated_names_are_reported_with_their_lines() -> None:
    table = table_of(("a", "cat"), ("b", "dog"), ("a.jpg", "cat"), ("b", "cow"), ("b", ""))
    draft = named_rows(table, listing_of("a.jpg", "b.jpg"))
    a, b = draft.rows
    assert (a.status, a.label) == ("ok", "cat")
    assert (b.status, b.reason) == (
        "conflict",
        "labelled 'cow' and 'dog' in lines 3, 5 and 6 of labels.csv",
    )
    assert draft.notes == (
        "labels.csv names files twice, with the same label, in lines 2 and 4.",
        "labels.csv names files twice, with different labels, in lines 3, 5 and 6; they are left "
        "out.",
    )


def test_a_file_in_two_splits_is_a_test_image() -> None:
    table = table_of(("a", "cat", "train", "g"), ("a", "cat", "test", "h"))
    draft = named_rows(table, listing_of("a.jpg"))
    assert draft.rows == (Row("a.jpg", label="cat", split="test", group="g"),)
    assert "several splits or groups in lines 2 and 3" in draft.notes[1]


def test_folders_split_where_the_table_does_not() -> None:
    table = table_of(("a", "cat"), ("b", "cat"), ("c", "cat"))
    draft = named_rows(table, listing_of("train/a.jpg", "valid/b.jpg", "Test/c.jpg"))
    assert [row.split for row in draft.rows] == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("table", "files", "message"),
    [
        (table_of(), ["a.jpg"], "labels.csv names no file; expected one line per image"),
        (
            table_of(("x", "cat"), ("y", "dog")),
            ["a.jpg"],
            r"none of the 2 names in labels.csv \(such as 'x'\) leads to one image in /data "
            r"\(such as 'a.jpg'\); give the folder with --image-dir or the column with",
        ),
        (table_of(("x", "cat")), [], r"in /data \(none\)"),
        (
            table_of(("a", "cat")),
            ["x/a.jpg", "y/a.jpg"],
            r"labels.csv \(1 could mean several images\)",
        ),
    ],
)
def test_a_table_that_names_nothing_is_refused(
    table: LabelTable, files: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        rows_from_table(table, listing_of(*files))


def test_a_path_from_the_table_leads_out_of_the_image_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("beside.jpg", "absolute.jpg"):
        (tmp_path / name).write_bytes(b"x")
    table = LabelTable(
        tmp_path / "labels.csv",
        (
            Entry(2, "beside.jpg", "cat", "", ""),
            Entry(3, str(tmp_path / "absolute.jpg"), "dog", "", ""),
        ),
        {"path": "file", "label": "label"},
        (),
    )
    draft = named_rows(table, Listing(tmp_path / "images", (), (), ()))
    assert [row.path for row in draft.rows] == ["../beside.jpg", "../absolute.jpg"]

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regraft.dataset.labels import LabelTable, lines, read_label_table
from regraft.errors import DataError
from regraft.modality.delimited import decode, parse

SUFFIXES = frozenset({".jpg", ".png"})


@pytest.fixture
def read(tmp_path: Path):
    def read(content: str | bytes, **options: object) -> LabelTable:
        path = tmp_path / "labels.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_label_table(path, image_suffixes=SUFFIXES, **options)

    return read


def entries(table: LabelTable) -> list[tuple[str, str]]:
    return [(entry.name, entry.label) for entry in table.entries]


# --- Encoding, delimiter, quotes -------------------------------------------------------------

CELL = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(CELL, st.one_of(st.just(""), CELL), CELL), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quote_all=st.booleans(),
    blank_lines=st.booleans(),
)
def test_what_was_written_is_read(
    cells: list[tuple[str, str, str]],
    delimiter: str,
    line_end: str,
    encoding: str,
    quote_all: bool,
    blank_lines: bool,
) -> None:
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    for record in [("file", "label", "camera"), *cells]:
        writer.writerow(record)
        if blank_lines:
            text.write(line_end)
    decoded, _ = decode(text.getvalue().encode(encoding), name="labels.csv")
    records, found = parse(decoded, name="labels.csv")
    assert found == delimiter
    assert [tuple(record.cells) for record in records[1:]] == cells
    step = 2 if blank_lines else 1
    assert [record.line for record in records] == [1 + step * i for i in range(len(cells) + 1)]


def test_line_numbers_count_lines_inside_quotes() -> None:
    records, _ = parse('file,label\n"a\nb",x\n\nc,y\n', name="t")
    assert [(record.line, record.cells[0]) for record in records] == [
        (1, "file"),
        (2, "a\nb"),
        (5, "c"),
    ]


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("file,label\na.jpg,cat|dog\nb.jpg,dog|cow\n", ","),
        ("file;label\na.jpg;cat, young\nb.jpg;cat, old\n", ";"),
        ("file\tlabel, of the cat\na\tx\n", "\t"),
        ("file,label\n", ","),
        ("file\na.jpg\n", ","),
        ("sep=;\nfile;label,sub\na,1;x\n", ";"),
        ('"file";"label"\n"a";"x,y,z"\n', ";"),
    ],
)
def test_delimiter(content: str, delimiter: str) -> None:
    assert parse(content, name="t")[1] == delimiter


def test_a_first_line_with_sep_is_not_a_record() -> None:
    records, _ = parse("sep=;\r\nfile;label\r\na;b\r\n", name="t")
    assert [(record.line, record.cells) for record in records] == [
        (2, ["file", "label"]),
        (3, ["a", "b"]),
    ]


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("file,label\na,café\n", "utf-8", "utf-8"),
        ("file,label\na,café\n", "utf-8-sig", "utf-8"),
        ("file,label\na,café\n", "utf-16", "utf-16"),
        ("file,label\na,café\n", "utf-16-le", "utf-16-le"),
        ("file,label\na,café\n", "utf-16-be", "utf-16-be"),
        ("file,label\na,café\n", "utf-32", "utf-32"),
        ("file,label\nphoto1,café\nphoto2,crème brûlée\nphoto3,gâteau\n", "cp1252", "cp1252"),
    ],
)
def test_encoding(text: str, encoding: str, found: str) -> None:
    assert decode(text.encode(encoding), name="t") == (text, found)


def test_text_in_another_alphabet_is_guessed() -> None:
    text = "file,label\n" + "".join(
        f"{number}.jpg,{name}\n" for number in range(20) for name in ("кошка", "собака", "лошадь")
    )
    assert decode(text.encode("cp1251"), name="t")[0] == text


def test_the_encoding_is_told_where_it_was_guessed(read) -> None:
    table = read("file;label\na;café\nb;thé\n".encode("cp1252"))
    assert entries(table) == [("a", "café"), ("b", "thé")]
    assert table.notes == ("labels.csv was read as cp1252, separated by semicolons.",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the label table .*labels.csv cannot be read: the file is empty"),
        (b"\n \n", "labels.csv is empty; expected a header line"),
        (b"PK\x03\x04 zip", "labels.csv is a workbook or an archive; save it as CSV first"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", "labels.csv is not a text table"),
        (b'file,label\na,"x\nb,y\n', "labels.csv, line 2: unexpected end of data; a quote"),
        (b"file,label\na,x,y\nb,x\nc,x,y\n", "3 cells in lines 2 and 4, its header has 2"),
    ],
)
def test_what_is_not_a_table(read, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


def test_ragged_lines(read) -> None:
    table = read("file,label\na,cat,,\nb\n,,\n")
    assert entries(table) == [("a", "cat"), ("b", "")]


def test_lines_without_a_name_are_noted(read) -> None:
    table = read("file,label\n,cat\nb,dog\n ,cow\n")
    assert entries(table) == [("b", "dog")]
    assert table.notes == ("labels.csv names no file in lines 2 and 4; skipped.",)


def test_line_lists() -> None:
    assert lines([4]) == "line 4"
    assert lines([4, 9]) == "lines 4 and 9"
    assert lines([4, 9, 12]) == "lines 4, 9 and 12"
    assert lines([4, 9, 12, *range(20, 1_250)]) == "lines 4, 9, 12 and 1,230 more"


# --- Columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("file,label", {"path": "file", "label": "label"}),
        ("id,breed", {"path": "id", "label": "breed"}),
        ("Image_ID,Target", {"path": "Image_ID", "label": "Target"}),
        ("y,file name", {"path": "file name", "label": "y"}),
        ("id,filename,label", {"path": "filename", "label": "label"}),
        ("img_path,class name", {"path": "img_path", "label": "class name"}),
        ("image,what it is", {"path": "image", "label": "what it is"}),
        ("name,category,set", {"path": "name", "label": "category", "split": "set"}),
        (
            "path,label,split,patient_id,camera",
            {"path": "path", "label": "label", "split": "split", "group": "patient_id"},
        ),
        (",file,label", {"path": "file", "label": "label"}),
    ],
)
def test_columns_are_recognised(read, header: str, columns: dict[str, str]) -> None:
    width = header.count(",") + 1
    table = read(f"{header}\n" + ",".join([""] * width) + "\n")
    assert table.columns == columns


def test_a_column_of_file_names_is_recognised_by_its_cells(read) -> None:
    table = read("where,what\nx/a.jpg,cat\nx/b.JPG,dog\n")
    assert table.columns == {"path": "where", "label": "what"}


def test_columns_can_be_named(read) -> None:
    content = "label,file,Species,file2,who\n1,a,cat,b,x\n"
    table = read(content, path_column="file2", label_column="species", group_column="who")
    assert table.columns == {"path": "file2", "label": "Species", "group": "who"}
    assert entries(table) == [("b", "cat")]
    assert table.entries[0].group == "x"
    assert table.notes == ("Images with the same 'who' are never parted by a split.",)


def test_a_column_can_be_turned_off(read) -> None:
    table = read("file,label,group,set\na,cat,1,odd\n", group_column="", split_column="")
    assert table.columns == {"path": "file", "label": "label"}
    assert (table.entries[0].group, table.entries[0].split) == ("", "")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "file,path,label\na,b,c\n",
            {},
            "several columns that could hold the path: 'file', 'path'; .* --path-column",
        ),
        (
            "file,class,target\na,b,c\n",
            {},
            "could hold the label: 'class', 'target'; name the right one with --label-column",
        ),
        (
            "file,label\na,b\n",
            {"label_column": "lable"},
            "no column 'lable' for --label-column; it has 'file', 'label'; did you mean 'label'",
        ),
        ("file,label\na,b\n", {"group_column": "patient"}, "for --group-column; it has 'file'"),
        ("file,x,x\na,b,c\n", {"label_column": "x"}, "has 2 columns called 'x'; rename"),
        (
            "a.jpg,cat\nb.jpg,dog\n",
            {},
            "no header line: its first line is 'a.jpg', 'cat'; add one such as 'file,label'",
        ),
        ("7,cat\n8,dog\n", {}, "no column called 'file' or 'id', only '7', 'cat'; if its first"),
        ("one,two,c\na.jpg,b.jpg,x\n", {}, "several columns with file names .'one', 'two'."),
        ("file,b,c\na,x,y\n", {}, "no column called 'label' or 'class'; it has 'file', 'b', 'c'"),
        ("file\na\n", {}, "no column called 'label' or 'class'; it has 'file'; name the one"),
    ],
)
def test_unclear_columns_are_explained(read, content: str, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content, **options)


def test_a_table_of_test_images_needs_no_labels(read) -> None:
    table = read("id\na\n", needs_label=False, label_column="breed")
    assert entries(table) == [("a", "")]


def test_splits(read) -> None:
    values = ["Train", "training", "val", "valid", "VALIDATION", "dev", "test", "Holdout", "eval"]
    content = "file,label,split\n" + "".join(f"{value},x,{value}\n" for value in [*values, ""])
    table = read(content + "last,x,\n")
    assert [entry.split for entry in table.entries] == [
        *("train", "train", "val", "val", "val", "val", "test", "test", "test"),
        "train",
    ]


def test_an_unknown_split_is_named_with_its_line(read) -> None:
    with pytest.raises(DataError, match=r"has 'fold1' as split in lines 3 and 4 .column 'set'."):
        read("file,label,set\na,x,train\nb,x,fold1\nc,x,fold2\n")


def test_class_names_are_kept_as_they_are_but_composed(read) -> None:
    decomposed = "cafe\u0301"
    table = read(f"file,label\na, two words \nb,{decomposed}\nc,Ünï/☂\n")
    assert [entry.label for entry in table.entries] == ["two words", "café", "Ünï/☂"]


# --- What cannot be learned ------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["cat|dog", "cat", "dog"],
        ["cat;dog", "cow", "dog;cow"],
        ["cat, dog", "cat", "dog"],
        ["['cat', 'dog']", "['cat']", "['dog']"],
    ],
)
def test_several_labels_a_row_are_refused(read, labels: list[str]) -> None:
    content = "file,label\n" + "".join(f'{i}.jpg,"{label}"\n' for i, label in enumerate(labels))
    with pytest.raises(DataError, match=r"labels such as .* in column 'label': several labels"):
        read(content)


def test_a_comma_in_a_class_name_is_not_several_labels(read) -> None:
    labels = ["living room, messy", "kitchen, clean", "bath"]
    content = "file,label\n" + "".join(f'{i}.jpg,"{label}"\n' for i, label in enumerate(labels))
    assert [entry.label for entry in read(content).entries] == labels


def test_a_rare_separator_is_part_of_a_name(read) -> None:
    labels = ["cat", "dog"] * 20 + ["cat|dog"]
    content = "file,label\n" + "".join(f"{i}.jpg,{label}\n" for i, label in enumerate(labels))
    assert len(read(content).entries) == 41


def test_columns_of_zeros_and_ones_are_refused(read) -> None:
    with pytest.raises(DataError, match=r"2 columns of 0 and 1 \('cat', 'dog'\): several labels"):
        read("file,cat,dog\na,1,0\nb,1,1\nc,0,1\n")


@pytest.mark.parametrize(
    "numbers",
    [["0.0", "0.333", "0.667", "1.0"], ["1.5", "-2.25", "1e-3"], [str(i) for i in range(30)]],
)
def test_numbers_are_refused(read, numbers: list[str]) -> None:
    content = "file,label\n" + "".join(f"{i}.jpg,{number}\n" for i, number in enumerate(numbers))
    with pytest.raises(DataError, match=r"numbers as labels in column 'label' .* a quantity"):
        read(content)


@pytest.mark.parametrize(
    "numbers", [["0", "1", "0"], ["1.0", "2.0"], [str(i % 25) for i in range(99)]]
)
def test_class_codes_are_class_names(read, numbers: list[str]) -> None:
    content = "file,label\n" + "".join(f"{i}.jpg,{number}\n" for i, number in enumerate(numbers))
    assert [entry.label for entry in read(content).entries] == numbers

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regraft.dataset.labels import LabelTable, read_label_table
from regraft.errors import DataError

Read: TypeAlias = Callable[..., LabelTable]

SUFFIXES = frozenset({".jpg", ".png"})


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes, *, name: str = "labels.csv", **options: object) -> LabelTable:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_label_table(path, image_suffixes=SUFFIXES, **options)

    return read


def entries(table: LabelTable) -> list[tuple[str, str]]:
    return [(entry.name, entry.label) for entry in table.entries]


# --- The table as such ---


def test_the_encoding_is_told_where_it_was_guessed(read: Read) -> None:
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
        (b"file,label\na,x,y\nb,x\nc,x,y\n", "3 cells in lines 2 and 4, its header has 2"),
    ],
)
def test_what_is_not_a_table(read: Read, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


def test_ragged_lines(read: Read) -> None:
    table = read("file,label\na,cat,,\nb\n,,\n")
    assert entries(table) == [("a", "cat"), ("b", "")]


def test_lines_without_a_name_are_noted(read: Read) -> None:
    table = read("file,label\n,cat\nb,dog\n ,cow\n")
    assert entries(table) == [("b", "dog")]
    assert table.notes == ("labels.csv names no file in lines 2 and 4; skipped.",)


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
def test_columns_are_recognised(read: Read, header: str, columns: dict[str, str]) -> None:
    width = header.count(",") + 1
    table = read(f"{header}\n" + ",".join([""] * width) + "\n")
    assert table.columns == columns


def test_a_column_of_file_names_is_recognised_by_its_cells(read: Read) -> None:
    table = read("where,what\nx/a.jpg,cat\nx/b.JPG,dog\n")
    assert table.columns == {"path": "where", "label": "what"}


def test_columns_can_be_named(read: Read) -> None:
    content = "label,file,Species,file2,who\n1,a,cat,b,x\n"
    table = read(content, path_column="file2", label_column="species", group_column="who")
    assert table.columns == {"path": "file2", "label": "Species", "group": "who"}
    assert entries(table) == [("b", "cat")]
    assert table.entries[0].group == "x"
    assert table.notes == ("Images with the same 'who' are never parted by a split.",)


def test_a_column_can_be_turned_off(read: Read) -> None:
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
        ("7,cat\n8,dog\n", {}, "no column called 'file' or 'id', only '7', 'cat'; if its first"),
        ("one,two,c\na.jpg,b.jpg,x\n", {}, "several columns with file names .'one', 'two'."),
        (
            "file,b,c\na,x,y\n",
            {},
            "no column called 'label' or 'class' beside the files in 'file'; it has 'b', 'c'; name",
        ),
        ("file\na\n", {}, "beside the files in 'file'; it has no other; name the one"),
    ],
)
def test_unclear_columns_are_explained(
    read: Read, content: str, options: dict, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(content, **options)


def test_a_table_of_test_images_needs_no_labels(read: Read) -> None:
    table = read("id\na\n", needs_label=False, label_column="breed")
    assert entries(table) == [("a", "")]


def test_splits(read: Read) -> None:
    values = ["Train", "training", "val", "valid", "VALIDATION", "dev", "test", "Holdout", "eval"]
    content = "file,label,split\n" + "".join(f"{value},x,{value}\n" for value in [*values, ""])
    table = read(content + "last,x,\n")
    assert [entry.split for entry in table.entries] == [
        *("train", "train", "val", "val", "val", "val", "test", "test", "test"),
        "train",
    ]


def test_a_split_may_be_one_word_of_a_cell(read: Read) -> None:
    table = read("file,label,split\na,x,Train set\nb,x,test_data\nc,x,Validation\n")
    assert [entry.split for entry in table.entries] == ["train", "test", "val"]


def test_an_unknown_split_is_named_with_its_line(read: Read) -> None:
    with pytest.raises(DataError, match=r"has 'fold1' as split in lines 3 and 4 .column 'set'."):
        read("file,label,set\na,x,train\nb,x,fold1\nc,x,fold2\n")


def test_class_names_are_kept_as_they_are_but_composed(read: Read) -> None:
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
def test_several_labels_a_row_are_refused(read: Read, labels: list[str]) -> None:
    content = "file,label\n" + "".join(f'{i}.jpg,"{label}"\n' for i, label in enumerate(labels))
    with pytest.raises(DataError, match=r"labels such as .* in column 'label': several labels"):
        read(content)


def test_a_comma_in_a_class_name_is_not_several_labels(read: Read) -> None:
    labels = ["living room, messy", "kitchen, clean", "bath"]
    content = "file,label\n" + "".join(f'{i}.jpg,"{label}"\n' for i, label in enumerate(labels))
    assert [entry.label for entry in read(content).entries] == labels


def test_a_rare_separator_is_part_of_a_name(read: Read) -> None:
    labels = ["cat", "dog"] * 20 + ["cat|dog"]
    content = "file,label\n" + "".join(f"{i}.jpg,{label}\n" for i, label in enumerate(labels))
    assert len(read(content).entries) == 41


def test_several_ones_a_row_are_refused(read: Read) -> None:
    message = r"2 columns of 0 and 1 \('cat', 'dog'\), and several 1s in line 3: several labels"
    with pytest.raises(DataError, match=message):
        read("file,cat,dog\na,1,0\nb,1,1\nc,0,1\n")


@pytest.mark.parametrize(
    "numbers",
    [["0.0", "0.333", "0.667", "1.0"], ["1.5", "-2.25", "1e-3"], [str(i) for i in range(30)]],
)
def test_numbers_are_refused(read: Read, numbers: list[str]) -> None:
    content = "file,label\n" + "".join(f"{i}.jpg,{number}\n" for i, number in enumerate(numbers))
    with pytest.raises(DataError, match=r"numbers as labels in column 'label' .* a quantity"):
        read(content)


@pytest.mark.parametrize(
    "numbers", [["0", "1", "0"], ["1.0", "2.0"], [str(i % 25) for i in range(99)]]
)
def test_class_codes_are_class_names(read: Read, numbers: list[str]) -> None:
    content = "file,label\n" + "".join(f"{i}.jpg,{number}\n" for i, number in enumerate(numbers))
    assert [entry.label for entry in read(content).entries] == numbers


# --- What people's tables are like -----------------------------------------------------------

RAIL = ("the train was late and the carriage was cold", "we waited for hours on the platform")
FOOD = ("the soup was warm and full of taste", "our waiter smiled and brought more bread")
TEXTS = [
    (f"{(RAIL, FOOD)[i % 2][i // 2 % 2]}, table {i}", ("rail", "food")[i % 2]) for i in range(24)
]


def csv_of(header: str, rows: Iterable[Sequence[object]]) -> str:
    """A table with every cell in quotes."""
    lines = [",".join(f'"{cell}"' for cell in row) for row in rows]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize(
    "word", ["nan", "NaN", "NA", "n/a", "N/A", "#N/A", "null", "NULL", "None", "none", "-", "?"]
)
def test_what_stands_for_a_missing_label_is_missing_and_told(read: Read, word: str) -> None:
    table = read(f"file,label\na,cat\nb,{word}\nc,dog\nd,{word}\n")
    assert entries(table) == [("a", "cat"), ("b", ""), ("c", "dog"), ("d", "")]
    assert table.notes == (
        f"labels.csv has no label in lines 3 and 5: {word!r} in 'label' is taken as missing; if it "
        "is a class, give it another name.",
    )


def test_an_empty_label_is_missing_without_a_word(read: Read) -> None:
    table = read("file,label\na,cat\nb,\nc,dog\n")
    assert entries(table) == [("a", "cat"), ("b", ""), ("c", "dog")]
    assert table.notes == ()


def test_ratings_are_classes_and_decimal_commas_are_numbers(read: Read) -> None:
    ratings = "file,label\n" + "".join(f"{i},{1 + i % 5}\n" for i in range(40))
    assert {entry.label for entry in read(ratings).entries} == set("12345")
    with pytest.raises(DataError, match="predicting a quantity is not supported"):
        read("file;label\na;0,5\nb;1,25\nc;2,0\n")


@pytest.mark.parametrize(
    ("header", "yes", "no"),
    [
        ("is_valid", "True", "False"),
        ("is_val", "1", "0"),
        ("Is Validation", "yes", "no"),
        ("validation", "1.0", "0.0"),
    ],
)
def test_a_column_of_yes_and_no_may_be_the_split(
    read: Read, header: str, yes: str, no: str
) -> None:
    content = f"file,label,{header}\n" + "".join(
        f"{i},{'ab'[i % 2]},{yes if i % 4 == 0 else no}\n" for i in range(12)
    )
    table = read(content)
    assert [entry.split for entry in table.entries] == ["val", "train", "train", "train"] * 3
    assert table.columns["label"] == "label"
    assert table.notes == (f"labels.csv: {header!r} is taken as the split, a yes in it is val.",)


def test_a_no_in_a_column_of_training_is_the_test_set(read: Read) -> None:
    table = read("file,label,train\na,x,1\nb,y,0\nc,x,1\n")
    assert [entry.split for entry in table.entries] == ["train", "test", "train"]
    assert table.notes == ("labels.csv: 'train' is taken as the split, a no in it is test.",)


def test_two_columns_of_splits_are_read_together(read: Read) -> None:
    rows = "a,x,0,1\nb,x,1,0\nc,y,0,0\nd,y,1,1\ne,y,0,0\nf,y,0,0\n"
    table = read(f"file,label,is_val,is_test\n{rows}")
    assert [e.split for e in table.entries] == ["test", "val", "train", "test", "train", "train"]


@pytest.mark.parametrize("header", ["valid", "is_valid"])
def test_a_flag_that_says_nothing_of_splits_is_none(read: Read, header: str) -> None:
    """ "valid" alone may mean anything, and most rows are never held out."""
    content = f"file,label,{header}\n" + "".join(
        f"{i},{'ab'[i % 2]},{int(i % 10 > 0)}\n" for i in range(20)
    )
    table = read(content)
    assert {entry.split for entry in table.entries} == {""}
    if header == "is_valid":
        assert "'is_valid' is not taken as a split, since it would hold out 90 %" in table.notes[0]
        named = read(content, split_column="is_valid")
        assert [entry.split for entry in named.entries].count("val") == 18


def test_a_set_that_is_no_split_is_left_alone(read: Read) -> None:
    table = read("file,label,set\na,x,Alpha\nb,y,Beta\n")
    assert {entry.split for entry in table.entries} == {""}
    assert "split" not in table.columns


def test_one_column_a_class(read: Read) -> None:
    rows = "a,1.0,0.0,0.0\nb,0.0,1.0,0.0\nc,0.0,0.0,0.0\nd,1.0,0.0,0.0\n"
    table = read(f"image,BOX,BALL,OTHER\n{rows}")
    assert entries(table) == [("a", "BOX"), ("b", "BALL"), ("c", ""), ("d", "BOX")]
    assert table.notes == (
        "labels.csv: the class is the column with a 1, of 'BOX', 'BALL', 'OTHER'.",
        "labels.csv has no 1 in line 4: without a label.",
    )


def test_a_split_is_no_class(read: Read) -> None:
    table = read("file,is_valid,cat,dog\na,0,1,0\nb,1,0,1\nc,0,0,1\n")
    assert entries(table) == [("a", "cat"), ("b", "dog"), ("c", "dog")]
    assert [entry.split for entry in table.entries] == ["train", "val", "train"]


def test_an_index_and_empty_columns_are_no_labels(read: Read) -> None:
    rows = [[i, text, label, "", ""] for i, (text, label) in enumerate(TEXTS)]
    for index in ("", "Unnamed: 0", "index"):
        table = read(csv_of(f"{index},v2,v1,,", rows), text_column=None)
        assert table.columns == {"text": "v2", "label": "v1"}
    assert [entry.label for entry in table.entries] == [label for _, label in TEXTS]
    assert table.entries[0].name == "labels.csv#cell=2,2"


def test_the_one_column_of_sentences_is_the_texts_and_told(read: Read) -> None:
    rows = [[text, label, 20 + i % 9] for i, (text, label) in enumerate(TEXTS)]
    table = read(csv_of("Review of it,label,Age", rows), text_column=None)
    assert table.columns == {"text": "Review of it", "label": "label"}
    assert table.notes == (
        "labels.csv: 'Review of it' is taken for the texts, since nothing else in it reads like "
        "texts (--text-column names another).",
    )


def test_of_several_columns_of_sentences_the_user_names_one(read: Read) -> None:
    rows = [[text, f"{text} again", label] for text, label in TEXTS]
    with pytest.raises(DataError, match="several columns that read like texts: 'one', 'two'; name"):
        read(csv_of("one,two,label", rows), text_column=None)
    table = read(csv_of("one,two,label", rows), text_column="two")
    assert table.columns["text"] == "two"


def test_what_is_missing_is_said_of_texts(read: Read) -> None:
    rows = [[i % 7, text, 1 + i % 5, i % 2] for i, (text, _) in enumerate(TEXTS)]
    message = (
        r"no column called 'label' or 'class' beside the texts in 'Review Text' \(--text-column "
        "names another\\); it has 'Clothing ID', 'Rating', 'Recommended IND'; name the one to "
        "predict with --label-column"
    )
    with pytest.raises(DataError, match=message):
        read(csv_of("Clothing ID,Review Text,Rating,Recommended IND", rows), text_column=None)
    with pytest.raises(
        DataError, match=r"no column that names files or reads like texts, only 'a'"
    ):
        read("a,b\n1,2\n3,4\n", text_column=None)


def test_a_caption_beside_ids_of_files_makes_no_table_of_texts(read: Read) -> None:
    rows = [[i, text, label] for i, (text, label) in enumerate(TEXTS)]
    content = csv_of("id,description,label", rows)
    table = read(content, text_column=None, leads_to_files=lambda cells: cells[0] == "0")
    assert table.columns == {"path": "id", "label": "label"}
    assert read(content, text_column=None).columns == {"text": "description", "label": "label"}


def test_a_subject_that_goes_with_the_class_is_no_group(read: Read) -> None:
    rows = [[text, f"{label}News", label] for text, label in TEXTS]
    table = read(csv_of("text,subject,label", rows), text_column=None)
    assert {entry.group for entry in table.entries} == {""}
    assert table.notes == (
        "labels.csv: 'subject' is not taken for groups, since no two classes would have two groups "
        "each; if texts with the same 'subject' must stay together, name it with --group-column.",
    )
    named = read(csv_of("text,subject,label", rows), text_column=None, group_column="subject")
    assert {entry.group for entry in named.entries} == {"railNews", "foodNews"}


def test_a_subject_may_be_the_class_or_a_text(read: Read) -> None:
    as_class = read(csv_of("text,subject", TEXTS), text_column=None)
    assert as_class.columns == {"text": "text", "label": "subject"}
    rows = [[f"{text} or so", text, label] for text, label in TEXTS]
    as_text = read(csv_of("subject,body,label", rows), text_column=None)
    assert as_text.columns == {"text": "body", "label": "label"}


def test_a_table_without_a_header_is_read_and_told(read: Read) -> None:
    table = read("a.jpg,cat\nb.jpg,dog\nc.jpg,cat\n")
    assert entries(table) == [("a.jpg", "cat"), ("b.jpg", "dog"), ("c.jpg", "cat")]
    assert [entry.line for entry in table.entries] == [1, 2, 3]
    assert table.columns == {"path": "column 1", "label": "column 2"}
    assert table.notes[0] == (
        "labels.csv has no header line: its first line is 'a.jpg', 'cat', so its columns are "
        "called 'column 1', 'column 2'."
    )
    rows = [[label, text] for text, label in TEXTS]
    texts = read(csv_of("", rows).removeprefix("\n"), text_column=None)
    assert texts.columns == {"text": "column 2", "label": "column 1"}
    assert len(texts.entries) == len(TEXTS)
    assert texts.entries[0].name == "labels.csv#cell=1,2"


def test_numbers_of_files_are_their_names_if_they_lead_to_them(read: Read) -> None:
    content = "7,cat\n8,dog\n9,cat\n"
    with pytest.raises(
        DataError, match=r"called 'file' or 'id', only 'column 1', 'column 2'.*no he"
    ):
        read(content)
    table = read(content, leads_to_files=lambda cells: cells[0] == "7")
    assert entries(table) == [("7", "cat"), ("8", "dog"), ("9", "cat")]
    assert table.notes[1] == (
        "labels.csv: 'column 1' is taken for the files, since its cells are their names "
        "(--path-column names another)."
    )


def test_a_header_of_numbers_is_a_header_and_one_that_is_repeated_no_row(read: Read) -> None:
    rows = [[i, text, i % 2] for i, (text, _) in enumerate(TEXTS)]
    counted = read(csv_of(",0,1", rows), text_column=None)
    assert counted.columns == {"text": "0", "label": "1"}
    assert len(counted.entries) == len(TEXTS)
    twice = read("file,label\na,x\nfile,label\nb,y\n")
    assert entries(twice) == [("a", "x"), ("b", "y")]
    assert twice.notes == ("labels.csv repeats its header in line 3; left out.",)


def test_what_a_model_remembers_counts_where_the_table_has_it(read: Read) -> None:
    rows = [[text, f"{text}!", label, "x"] for text, label in TEXTS]
    content = csv_of("one,two,mine,label", rows)
    before = {"text": "two", "label": "mine"}
    table = read(content, text_column=None, remembered=before)
    assert table.columns == before
    assert read(content, text_column="one", remembered=before).columns["text"] == "one"
    other = read(csv_of("text,label", TEXTS), text_column=None, remembered=before)
    assert other.columns == {"text": "text", "label": "label"}


def test_a_few_rows_that_are_too_wide_are_left_out_and_told(read: Read) -> None:
    rows = [f"{i}.jpg,{'ab'[i % 2]}" for i in range(60)]
    rows[7] += ",more"
    table = read("file,label\n" + "\n".join(rows) + "\n")
    assert len(table.entries) == 59
    assert table.notes == (
        "labels.csv has more cells than its header in line 9; left out (put cells that hold the "
        "delimiter in double quotes).",
    )


def test_json_lines_are_a_table(read: Read) -> None:
    content = "".join(json.dumps({"text": t, "meta": {"label": x}}) + "\n" for t, x in TEXTS)
    table = read(content, name="texts.jsonl", text_column=None, label_column="meta.label")
    assert table.columns == {"text": "text", "label": "meta.label"}
    assert table.entries[1].name == "texts.jsonl#cell=3,1"
    assert table.entries[1].label == "food"


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=9)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=7)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TABLES)
def test_any_table_is_understood_or_refused_in_a_line(read: Read, rows: list[list[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    error = ""
    try:
        table = read(buffer.getvalue(), text_column=None)
    except DataError as refused:
        error = str(refused)
    else:
        assert len(table.entries) <= len(rows)
        assert all(entry.split in ("", "train", "val", "test") for entry in table.entries)
        assert set(table.columns) & {"path", "text"}
    assert len(error.splitlines()) < 2

"""Text tables: encodings, delimiters, quotes that close and quotes that do not."""

from __future__ import annotations

import csv
import io
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.tables.delimited import decode, parse

CELL = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8
)


@settings(deadline=None)
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
    found = parse(decoded)
    records = found.records
    assert (found.delimiter, found.literal, found.doubtful) == (delimiter, (), ())
    assert [tuple(record.cells) for record in records[1:]] == cells
    step = 2 if blank_lines else 1
    assert [record.line for record in records] == [1 + step * i for i in range(len(cells) + 1)]


def test_line_numbers_count_lines_inside_quotes() -> None:
    records = parse('file,label\n"a\nb",x\n\nc,y\n').records
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
    assert parse(content).delimiter == delimiter


def test_a_first_line_with_sep_is_not_a_record() -> None:
    records = parse("sep=;\r\nfile;label\r\na;b\r\n").records
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
        ("file,label\na,café\n", "utf-16-le", "utf-16"),
        ("file,label\na,café\n", "utf-16-be", "utf-16"),
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


# --- Quotes that are part of a text ----------------------------------------------------------

SENTENCES = ["the train was late", "we waited, cold", 'he said "never again"', "no seat"]


def _table(lines: list[str]) -> str:
    return "\n".join(["text\tlabel", *lines]) + "\n"


def test_a_quote_that_swallows_rows_is_part_of_the_text() -> None:
    """A closing quote some rows further down, in a cell of its own, makes one cell of all."""
    lines = [f"{SENTENCES[i % 4]} {i}\t{'ab'[i % 2]}" for i in range(60)]
    lines[20] = f'"{lines[20]}'
    lines[31] = lines[31].replace("\t", '"\t')
    found = parse(_table(lines))
    assert len(found.records) == 61
    assert [record.line for record in found.records] == list(range(1, 62))
    assert found.records[21].cells == [lines[20].split("\t")[0], "a"]
    assert found.literal == (22,)
    assert found.doubtful == ()


@pytest.mark.parametrize(
    ("rows", "literal"),
    [
        (['"never closed,a', "x,b", "y,a"], (2,)),  # to the end of the file
        (["x,a", '"closed" too early,b', "y,a"], (3,)),
        (['"one,a', 'two" more,b', '"three,a', "four,b"], (2, 4)),
        (['"half ""quoted,a', "x,b"], (2,)),
    ],
)
def test_a_quote_that_closes_no_cell_is_part_of_the_text(
    rows: list[str], literal: tuple[int, ...]
) -> None:
    found = parse("\n".join(["text,label", *rows]))
    assert [record.cells for record in found.records[1:]] == [row.split(",") for row in rows]
    assert found.literal == literal


def test_the_other_cells_of_such_a_line_keep_their_quotes_meaning() -> None:
    found = parse('a,b,c\n"x" y,"one, two","he said ""no"""\n')
    assert found.records[1].cells == ['"x" y', "one, two", 'he said "no"']


def test_quotes_behind_backslashes_are_quotes_if_that_makes_sense_of_all() -> None:
    rows = ['"he said \\"hi\\", and left",a', '"over\ntwo lines, \\"yes\\"",b', "C:\\photos,c"]
    found = parse("\n".join(["text,label", *rows]))
    assert [record.cells for record in found.records[1:]] == [
        ['he said "hi", and left', "a"],
        ['over\ntwo lines, "yes"', "b"],
        ["C:\\photos", "c"],
    ]
    assert (found.has_escapes, found.literal) == (True, ())
    plain = parse('text,label\n"C:\\photos\\",a\nx,b\n')
    assert plain.records[1].cells == ["C:\\photos\\", "a"]
    assert not plain.has_escapes


def test_a_text_of_several_lines_is_one_cell() -> None:
    text = (
        'text,label\n"Dear Sir,\nI write, again\nto you, a",a\n"Hello, you\nthanks",b\nx,a\ny,b\n'
    )
    found = parse(text)
    assert len(found.records) == 5
    assert found.records[1].cells == ["Dear Sir,\nI write, again\nto you, a", "a"]
    assert (found.literal, found.doubtful) == ((), ())


def test_a_cell_of_lines_that_could_each_be_rows_is_told_of() -> None:
    found = parse('text,label\n"a, x\nb, y\nc",q\nd,r\n')
    assert len(found.records) == 3
    assert found.doubtful == ((2, 4),)


def test_a_cell_may_be_of_any_length_and_the_limit_of_others_stays() -> None:
    before = csv.field_size_limit()
    long = "word " * 200_000
    found = parse(f'text,label\n"{long}",a\n{long},b\n')
    assert [len(record.cells[0]) for record in found.records[1:]] == [len(long), len(long)]
    assert csv.field_size_limit() == before


def test_tables_may_be_parsed_at_once() -> None:
    text = "text,label\n" + "".join(f"{'x' * 200_000},{i}\n" for i in range(20))
    lengths: list[int] = []
    threads = [
        threading.Thread(target=lambda: lengths.append(len(parse(text).records))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [21] * 4


ANY_LINES = st.lists(st.text('ab",;\t ', max_size=12), max_size=12)


@settings(deadline=None)
@given(ANY_LINES)
def test_no_line_is_lost_whatever_its_quotes(lines: list[str]) -> None:
    """Every character of every line that is not blank is in a cell, but for quotes and blanks."""
    found = parse("\n".join(lines))
    kept = "".join("".join(record.cells) for record in found.records)
    for letter in "ab":
        assert kept.count(letter) == sum(line.count(letter) for line in lines)
    numbers = [record.line for record in found.records]
    assert numbers == sorted(set(numbers))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text("ab ,", min_size=1, max_size=9), st.sampled_from("xy"))),
    st.data(),
)
def test_one_stray_quote_costs_no_row(rows: list[tuple[str, str]], data: st.DataObject) -> None:
    rows = [(f"t{text}".strip(), label) for text, label in rows]
    written = [f"{text}\t{label}" for text, label in rows]
    if written:
        at = data.draw(st.integers(0, len(written) - 1))
        written[at] = f'"{written[at]}'
    found = parse("\n".join(["text\tlabel", *written]) + "\n")
    assert len(found.records) == len(rows) + 1
    assert [record.cells[1] for record in found.records[1:]] == [label for _, label in rows]

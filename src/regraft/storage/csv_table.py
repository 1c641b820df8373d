"""Tables that regraft writes as CSV and reads back, without a cell that a spreadsheet would run.

A leaf module. Spreadsheets take a cell that begins with `=`, `+`, `-`, `@` and the like for a
formula, whoever wrote it: a class called `=cmd|...` would be run on opening `dataset.csv`. Such
texts get an apostrophe in front, which spreadsheets take for "this is text", and lose it again when
regraft reads the table. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

# What a minus and digits make is a number, and no formula.
_FORMULA = r"(?:[=+@\t\r\n＝＋－＠]|-(?![0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z))"
_BEGINS_FORMULA = re.compile(rf"'*{_FORMULA}")
_GUARDED = re.compile(rf"'+{_FORMULA}")
_NEEDS_QUOTES = re.compile(r'[,"\r\n]')


def guarded(text: str) -> str:
    """A cell's text that no spreadsheet takes for a formula; `unguarded` gives it back.

    >>> guarded("=1+1"), guarded("-1"), guarded("-1.jpg"), guarded("a=b"), guarded("'@x")
    ("'=1+1", '-1', "'-1.jpg", 'a=b', "''@x")
    """
    return "'" + text if _BEGINS_FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` was given; any other cell, as of older files, stays as it is.

    >>> unguarded("'=1+1"), unguarded("-1"), unguarded("'s-Hertogenbosch")
    ('=1+1', '-1', "'s-Hertogenbosch")
    """
    return cell[1:] if _GUARDED.match(cell) else cell


def csv_line(cells: Iterable[object]) -> str:
    """One line of CSV, guarded, quoted where needed, ended by a line feed; None is an empty cell.

    The standard library's writer leaves a lone carriage return unquoted before Python 3.13,
    and a file name may hold one.
    """
    return ",".join(_cell(cell) for cell in cells) + "\n"


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Lines of CSV, the header among them."""
    return "".join(csv_line(row) for row in rows)


def read_csv(text: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the line and the cells of each record of `csv_text`, empty lines left out.

    Raises:
        ValueError: the text is no CSV; the message names the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [unguarded(cell) for cell in cells]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def read_records(text: str, *, columns: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Each record below the header, by column; cells that are missing are empty.

    Args:
        text: the table.
        columns: that its header has to begin with.

    Raises:
        ValueError: the text is no CSV, has other columns, or a record more cells than the header.
    """
    lines = read_csv(text)
    _, header = next(lines, (0, []))
    if header[: len(columns)] != list(columns):
        raise ValueError(
            f"its first line is {','.join(header)[:80]!r}, expected {','.join(columns)!r}"
        )
    for number, cells in lines:
        if len(cells) > len(header):
            raise ValueError(f"line {number} has {len(cells)} cells, expected {len(header)}")
        yield dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = guarded(value) if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text

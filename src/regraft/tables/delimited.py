"""Text tables: from bytes to records.

Enters: the bytes of a CSV-like file. Leaves: its text and encoding, then its records, blank
lines left out, each with the line it begins at.

A quote opens a quoted cell only where it also closes one. One that is never closed, that closes in
the middle of a cell, or whose cell swallows lines that are rows of the table is part of the text.
"""

from __future__ import annotations

import csv
import io
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from regraft.errors import DataError, UnreadableInputError
from regraft.tables.encodings import decoded

_DELIMITERS = (",", ";", "\t", "|")
_RECORDS_FOR_VOTE = 200
_LINES_FOR_VOTE = 4_000  # a long text in quotes has many lines


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one line of the table, which begins at line `line` of the file."""

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Parsed:
    """The records of a text table, blank ones left out.

    Attributes:
        records: in the order of the file.
        delimiter: between cells.
        literal: lines that begin with a quote, or have a cell that does, which closes no cell and
            was read as part of the text.
        doubtful: first and last line of each quoted cell whose every line could be a row of the
            table, though nothing says that it is.
        has_escapes: whether quotes within cells are written with a backslash in front.
    """

    records: list[Record]
    delimiter: str
    literal: tuple[int, ...] = ()
    doubtful: tuple[tuple[int, int], ...] = ()
    has_escapes: bool = False


def decode(data: bytes, *, name: str) -> tuple[str, str]:
    """The text of a table and its encoding, see `encodings`.

    Raises:
        DataError: not text.
    """
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{name} is a workbook or an archive; save it as CSV first")
    try:
        text, encoding = decoded(data)
    except UnreadableInputError as error:
        raise DataError(f"{name} {error}") from error
    if "\0" in text:
        raise DataError(f"{name} is not a text table; expected CSV with a header line")
    return text, encoding


def parse(text: str) -> Parsed:
    """The records of a table.

    The delimiter is the one with which the most records have as many cells as the header, and
    more than one. A first line such as `sep=;`, which spreadsheets write, settles it. A quote
    within a cell is doubled, or has a backslash in front if only that makes sense of all quotes.
    """
    parsed = _parse(text)
    if parsed.literal and '\\"' in text:
        escaped = _parse(text.replace('\\"', '""'))
        if not escaped.literal:
            return replace(escaped, has_escapes=True)
    return parsed


def _parse(text: str) -> Parsed:
    lines = list(io.StringIO(text, newline=""))
    declared = re.fullmatch(r"sep=(.)(?:\r\n|\r|\n|)", lines[0], re.IGNORECASE) if lines else None
    delimiter = declared[1] if declared else _vote(lines[:_LINES_FOR_VOTE])
    first = 1 if declared else 0
    spans, literal = _read(lines, delimiter, first=first)
    return _without_swallowed_rows(lines, spans, delimiter, literal)


def _vote(lines: Sequence[str]) -> str:
    """The delimiter that makes the beginning of a table the most regular."""
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        spans, _ = _read(lines, delimiter, most=_RECORDS_FOR_VOTE)
        width = len(spans[0].cells) if spans else 0
        if width < 2:
            continue
        share = sum(len(span.cells) == width for span in spans) / len(spans)
        if (share, width) > best_score:
            best, best_score = delimiter, (share, width)
    return best


@dataclass(frozen=True, slots=True)
class _Span:
    """The cells of one record, and its lines: those from `start` to before `end`, from 0."""

    start: int
    end: int
    cells: list[str]


def _read(
    lines: Sequence[str], delimiter: str, *, first: int = 0, most: int = sys.maxsize
) -> tuple[list[_Span], list[int]]:
    """Records that are not blank, at most `most`, and the lines with a quote that closes no cell.

    Such a line, which the standard library's reader stops at, is read alone, and then it goes on.
    """
    spans: list[_Span] = []
    literal: list[int] = []
    at = first
    with _cells_of_any_length():
        while at < len(lines) and len(spans) < most:
            begun = at
            reader = csv.reader(
                (lines[i] for i in range(begun, len(lines))),
                delimiter=delimiter,
                skipinitialspace=True,
                strict=True,
            )
            try:
                for cells in reader:
                    end = begun + reader.line_num
                    if any(cell and not cell.isspace() for cell in cells):
                        spans.append(_Span(at, end, cells))
                    at = end
                    if len(spans) >= most:
                        break
            except csv.Error:
                spans.append(_Span(at, at + 1, _cells_of_line(lines[at], delimiter)))
                literal.append(at)
                at += 1
    return spans, literal


_limit = threading.Lock()


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift the limit of the standard library's reader, which holds for the whole process."""
    with _limit:
        before = csv.field_size_limit(2**31 - 1)  # the largest that every platform takes
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _cells_of_line(line: str, delimiter: str) -> list[str]:
    """The cells of a line by itself; a quote that does not close within its cell is text."""
    between = re.escape(delimiter)
    cell = re.compile(rf' *"((?:[^"]|"")*)"(?={between}|$)| *([^{between}]*)')
    text = line.rstrip("\r\n")
    cells, at = [], 0
    while True:
        match = cell.match(text, at)
        assert match is not None  # the second way matches anything
        quoted, plain = match.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end() + 1
        if at > len(text):
            return cells


def _without_swallowed_rows(
    lines: Sequence[str], spans: Sequence[_Span], delimiter: str, literal: Sequence[int]
) -> Parsed:
    """The records, with those taken apart again that a quote has made of several rows.

    A quoted cell may have line ends. It is no cell but rows if each of its lines has as many cells
    as the header and, in a column of values that recur, one of these values.
    """
    width = len(spans[0].cells) if spans else 0
    has_long_cells = any(span.end - span.start > 1 for span in spans)
    values = _recurring_values(spans, width) if has_long_cells else {}
    records: list[Record] = []
    opened, doubtful = list(literal), []
    for span in spans:
        rows = _rows_within(lines, span, delimiter, width)
        if rows and any(
            all(row[column] in known for _, row in rows) for column, known in values.items()
        ):
            records += [Record(at + 1, row) for at, row in rows]
            opened.append(span.start)
            continue
        if len(rows) > 2:  # two lines of a text may well have a comma each
            doubtful.append((span.start + 1, span.end))
        records.append(Record(span.start + 1, span.cells))
    return Parsed(records, delimiter, tuple(at + 1 for at in sorted(opened)), tuple(doubtful))


def _rows_within(
    lines: Sequence[str], span: _Span, delimiter: str, width: int
) -> list[tuple[int, list[str]]]:
    """The lines of a record of several lines as rows of their own; empty if they cannot be."""
    if span.end - span.start < 2 or width < 2:
        return []
    rows = []
    for at in range(span.start, span.end):
        if lines[at].strip():
            cells = _cells_of_line(lines[at], delimiter)
            if len(cells) != width:
                return []
            rows.append((at, cells))
    return rows


def _recurring_values(spans: Sequence[_Span], width: int) -> Mapping[int, frozenset[str]]:
    """By column, the values that records of one line have more than once."""
    seen: list[set[str]] = [set() for _ in range(width)]
    twice: list[set[str]] = [set() for _ in range(width)]
    for span in spans[1:]:
        if span.end - span.start == 1 and len(span.cells) == width:
            for column, cell in enumerate(span.cells):
                (twice if cell in seen[column] else seen)[column].add(cell)
    return {column: frozenset(values - {""}) for column, values in enumerate(twice)}

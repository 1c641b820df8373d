"""Text tables: from bytes to records.

Enters: the bytes of a CSV-like file. Leaves: its text and encoding, then its records, blank
lines left out, each with the line it begins at.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass

from regraft.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_RECORDS_FOR_VOTE = 200


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one line of the table, which begins at line `line` of the file."""

    line: int
    cells: list[str]


_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, *, name: str) -> tuple[str, str]:
    """The text of a table and its encoding: by its first bytes, else UTF-8, else a guess.

    Raises:
        DataError: not text.
    """
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{name} is a workbook or an archive; save it as CSV first")
    encoding = next((enc for mark, enc in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        # Latin text in UTF-16 without its mark: most of every other byte are zero.
        halves = data[0::2].count(0), data[1::2].count(0)
        if max(halves) > 0.5 * len(data) / 2 and min(halves) == 0:
            encoding = "utf-16-be" if halves[0] else "utf-16-le"
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if encoding is None and b"\0" not in data:
            encoding = _guess_encoding(data)
            text = data.decode(encoding, "replace")
        else:
            text = "\0"
    if "\0" in text:
        raise DataError(f"{name} is not a text table; expected CSV with a header line")
    return text, (encoding or "utf-8").removesuffix("-sig")


def _guess_encoding(data: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8; Windows Western European if in doubt."""
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    western = {"cp1250", "cp1252", "latin_1", "iso8859_15", "cp437", "cp850", "cp858", "mac_roman"}
    guess = best.encoding if best else "cp1252"
    return "cp1252" if guess in western and _decodes(data, "cp1252") else guess


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def parse(text: str, *, name: str) -> tuple[list[Record], str]:
    """The records of a table that are not blank, and its delimiter.

    The delimiter is the one with which the most records have as many cells as the header, and
    more than one. A first line such as `sep=;`, which spreadsheets write, settles it.

    Raises:
        DataError: a quoted cell is not closed.
    """
    declared = re.match(r"sep=(.)(?:\r\n|\r|\n|$)", text, re.IGNORECASE)
    if declared:
        records, error = _split(text[declared.end() :], declared[1], first_line=2)
        delimiter = declared[1]
    else:
        delimiter = _vote(text)
        records, error = _split(text, delimiter)
    if error is not None:
        raise DataError(f"{name}, {error}; a quote inside a quoted cell must be doubled")
    return records, delimiter


def _vote(text: str) -> str:
    """The delimiter that makes the beginning of `text` the most regular table."""
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        records, error = _split(text, delimiter, limit=_RECORDS_FOR_VOTE)
        width = len(records[0].cells) if records else 0
        if width < 2 or error is not None:
            continue
        share = sum(len(record.cells) == width for record in records) / len(records)
        if (share, width) > best_score:
            best, best_score = delimiter, (share, width)
    return best


def _split(
    text: str, delimiter: str, *, limit: int | None = None, first_line: int = 1
) -> tuple[list[Record], str | None]:
    """Records that are not blank, at most `limit`, and what stopped the reading, if anything."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    records: list[Record] = []
    line = first_line
    try:
        for cells in reader:
            if any(cell and not cell.isspace() for cell in cells):
                records.append(Record(line, cells))
            line = first_line + reader.line_num
            if limit is not None and len(records) >= limit:
                break
    except csv.Error as error:
        return records, f"line {line}: {error}"
    return records, None

"""Tables of every form: delimited text, JSON, lines of fastText, Parquet.

Enters: a file. Leaves: a `Table`, the names of its columns and its rows, each with a number that
stays the same as long as the file does: `cells` finds a cell by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regraft.errors import DataError
from regraft.storage.input_files import read_file
from regraft.tables.delimited import Parsed, Record, decode, parse
from regraft.tables.fasttext_lines import HEADER as FASTTEXT_HEADER
from regraft.tables.fasttext_lines import is_fasttext, parse_fasttext
from regraft.tables.json_rows import SUFFIXES as JSON
from regraft.tables.json_rows import parse_json
from regraft.tables.parquet import SUFFIXES as PARQUET
from regraft.tables.parquet import read_parquet
from regraft.wording import listed

DELIMITED = frozenset({".csv", ".tsv", ".tab", ".txt", ".psv"})
SUFFIXES = DELIMITED | JSON | PARQUET
"""Of files that may be tables, lower-case with their dot."""

_MAX_BYTES = 1 << 30
_MOST_WIDE = 0.05  # of the rows that may have more cells than the header; they are left out


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row.

    Attributes:
        number: from 1, the row with the names of the columns counted, blank lines not.
        line: of the file where it begins, from 1; the row itself where there are no lines.
        cells: as many as the table has columns.
    """

    number: int
    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A rectangular table.

    Attributes:
        name: of the file.
        header: the names of the columns.
        rows: all others.
        names_columns: whether the form itself says what the header is; a delimited text does not,
            its first row may be one like any other.
        files: positions of columns whose cells are the bytes of files.
        notes: what was found out about the file, one sentence each.
        line_word: what a row is called in messages, "line" or "row".
    """

    name: str
    header: list[str]
    rows: list[TableRow]
    names_columns: bool = True
    files: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    line_word: str = "line"

    def column(self, index: int) -> list[str]:
        """The cells of one column, without spaces around them."""
        return [row.cells[index].strip() for row in self.rows]

    def described(self, indices: Sequence[int] | None = None) -> str:
        """The names of some columns, or of all, for a message."""
        names = self.header if indices is None else [self.header[index] for index in indices]
        return ", ".join(repr(name) for name in names)

    def where(self, numbers: Iterable[int]) -> str:
        """ "line 4", "rows 4, 9, 12 and 30 more"."""
        return lines(list(numbers), word=self.line_word)

    def without_header(self) -> Table:
        """The same table, whose first row is one like any other."""
        first = TableRow(1, self.rows[0].line - 1 if self.rows else 1, self.header)
        names = [f"column {number}" for number in range(1, len(self.header) + 1)]
        return replace(self, header=names, rows=[first, *self.rows], names_columns=True)


def lines(numbers: Sequence[int], *, word: str = "line") -> str:
    """ "line 4", "lines 4 and 9", "lines 4, 9, 12 and 30 more"."""
    return f"{word}{'' if len(numbers) == 1 else 's'} {listed(list(map(str, numbers)), shown=3)}"


def read_table(path: Path) -> Table:
    """Read a table, whatever its form.

    Raises:
        DataError: it cannot be read, is empty, or is no table.
        MissingExtraError: its form needs a package that is not installed.
    """
    if path.suffix.lower() in PARQUET:
        parquet = read_parquet(path)
        rows = [TableRow(r.line + 1, r.line, r.cells) for r in parquet.records]
        table = Table(path.name, parquet.header, rows, files=parquet.files, line_word="row")
    else:
        try:
            data = read_file(path, max_bytes=_MAX_BYTES)
        except DataError as error:
            raise DataError(f"the label table {path} cannot be read: {error}") from None
        table = _of_text(_parsed(data, path), path)
    if not table.header:
        raise DataError(f"{path.name} is empty; expected a header line and a line for each input")
    return table


def begins_as_fasttext(path: Path) -> bool:
    """Whether a file that can be read begins as lines of fastText do."""
    try:
        with path.open("rb") as file:
            return is_fasttext(file.read(1_000).decode("utf-8-sig", "replace"))
    except OSError:
        return False


def read_cells(path: Path) -> list[list[str]]:
    """All cells of a table that is text, the names of the columns first.

    Raises:
        OSError: it cannot be read.
        DataError: it is no table.
    """
    form = _parsed(path.read_bytes(), path)
    return [*([form.header] if form.header else []), *(record.cells for record in form.records)]


@dataclass(frozen=True, slots=True)
class _Form:
    """Records as a form of text has them; without a `header` the first of them is one."""

    encoding: str
    records: list[Record]
    header: list[str] | None = None
    broken: tuple[int, ...] = ()
    delimited: Parsed | None = None


def _parsed(data: bytes, path: Path) -> _Form:
    text, encoding = decode(data, name=path.name)
    if path.suffix.lower() in JSON:
        table = parse_json(text, name=path.name)
        return _Form(encoding, table.records, table.header, table.broken)
    if is_fasttext(text):
        return _Form(encoding, parse_fasttext(text), FASTTEXT_HEADER)
    parsed = parse(text)
    return _Form(encoding, parsed.records, delimited=parsed)


def _of_text(form: _Form, path: Path) -> Table:
    name = path.name
    if form.delimited is not None:
        return _of_lines(form.delimited, name, form.encoding)
    rows = [TableRow(number, r.line, r.cells) for number, r in enumerate(form.records, start=2)]
    is_by_line = path.suffix.lower() not in {".json"}
    table = Table(name, form.header or [], rows, line_word="line" if is_by_line else "row")
    if not form.broken:
        return table
    return replace(table, notes=(f"{name} has no object in {table.where(form.broken)}; left out.",))


def _of_lines(parsed: Parsed, name: str, encoding: str) -> Table:
    if not parsed.records:
        return Table(name, [], [])
    header = [cell.strip() for cell in parsed.records[0].cells]
    notes = []
    if encoding not in ("ascii", "utf-8"):
        notes.append(f"{name} was read as {encoding}, separated by {_spoken(parsed.delimiter)}.")
    if parsed.has_escapes:
        notes.append(f"{name} has backslashes before the quotes within its cells.")
    if parsed.literal:
        notes.append(
            f"{name} has a quote in {lines(parsed.literal)} that does not enclose a cell; it was "
            "read as part of the text."
        )
    for first, last in parsed.doubtful[:1]:
        more = f", and {len(parsed.doubtful) - 1:,} more" if len(parsed.doubtful) > 1 else ""
        notes.append(
            f"{name} has one quoted cell of {last - first + 1:,} lines in lines {first} to {last}"
            f"{more}, each of which could be a row: is the quote part of the text?"
        )
    rows, wide = _rectangular(parsed.records, width=len(header), name=name)
    if wide:
        notes.append(
            f"{name} has more cells than its header in {lines([row.line for row in wide])}; left "
            "out (put cells that hold the delimiter in double quotes)."
        )
    return Table(name, header, rows, names_columns=False, notes=tuple(notes))


def _rectangular(
    records: Sequence[Record], *, width: int, name: str
) -> tuple[list[TableRow], list[Record]]:
    """Rows filled up with empty cells to `width`, and the records that have more than that.

    Raises:
        DataError: too many have more.
    """
    rows, wide = [], []
    for number, record in enumerate(records[1:], start=2):
        if len(record.cells) == width:
            rows.append(TableRow(number, record.line, record.cells))
            continue
        if any(cell.strip() for cell in record.cells[width:]):
            wide.append(record)
            continue
        cells = record.cells[:width] + [""] * (width - len(record.cells))
        rows.append(TableRow(number, record.line, cells))
    if len(wide) > _MOST_WIDE * len(records):
        raise DataError(
            f"{name} has {len(wide[0].cells)} cells in {lines([row.line for row in wide])}, its "
            f"header has {width}; put cells that hold the delimiter in double quotes"
        )
    return rows, wide


def _spoken(delimiter: str) -> str:
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    return names.get(delimiter, repr(delimiter))

"""One cell of a table as an input of its own, so that texts and photos need not lie in files.

`mails.csv#cell=12,2` is the second cell of the twelfth row of mails.csv (RFC 7111; counted from 1,
the header line included, blank lines not). In JSON and Parquet the names of the columns, in the
order in which they occur, are the first row as well, and a cell of Parquet may hold an image.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from pathlib import Path

from regraft.errors import DataError, MissingExtraError, UnreadableInputError
from regraft.tables.parquet import SUFFIXES as PARQUET
from regraft.tables.parquet import read_parquet_cell
from regraft.tables.reading import read_cells

_CELL = re.compile(r"(?P<table>.+)#cell=(?P<row>[1-9]\d*),(?P<column>[1-9]\d*)", re.DOTALL)
_turn = threading.Lock()  # two threads that miss would parse the same table twice


def cell_path(table: str, row: int, column: int) -> str:
    """The path of a cell; `row` and `column` count from 1.

    >>> cell_path("mails.csv", 12, 2)
    'mails.csv#cell=12,2'
    """
    return f"{table}#cell={row},{column}"


def table_of(path: str | Path) -> str:
    """The table that a path of a cell names; "" if it is none."""
    found = _CELL.fullmatch(str(path))
    return found["table"] if found else ""


def row_of(path: str | Path) -> int:
    """The row that a path of a cell names, from 1; 0 if it is none."""
    found = _CELL.fullmatch(str(path))
    return int(found["row"]) if found else 0


def read_cell(path: str | Path) -> bytes:
    """The text of a cell, as UTF-8, or the bytes of the file in it.

    Raises:
        UnreadableInputError: the table is not there, is none, or has no such cell, or an empty one.
    """
    found = _CELL.fullmatch(str(path))
    assert found is not None, path
    table, row, column = Path(found["table"]), int(found["row"]), int(found["column"])
    try:
        with _turn:
            content = _content(table, row, column)
    except FileNotFoundError as error:
        raise UnreadableInputError("the table is not there") from error
    except OSError as error:
        raise UnreadableInputError(f"the table could not be read: {error.strerror}") from error
    except (DataError, MissingExtraError) as error:
        raise UnreadableInputError(str(error)) from error
    except IndexError as error:
        raise UnreadableInputError("the table has no such cell (any more)") from error
    if not content:
        raise UnreadableInputError("the cell is empty")
    return content


def _content(table: Path, row: int, column: int) -> bytes:
    status = table.stat()
    if table.suffix.lower() in PARQUET:
        return read_parquet_cell(table, row - 2, column - 1)
    return _rows(str(table), status.st_size, status.st_mtime_ns)[row - 1][column - 1].encode()


@lru_cache(maxsize=4)
def _rows(table: str, _size: int, _modified: int) -> list[list[str]]:
    """All cells; a table that has not changed is parsed once."""
    return read_cells(Path(table))

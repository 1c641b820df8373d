"""One cell of a table as an input of its own, so that texts need not lie in a file each.

`mails.csv#cell=12,2` is the second cell of the twelfth record of mails.csv (RFC 7111; counted
from 1, the header line included, blank lines not).
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from pathlib import Path

from regraft.errors import DataError, UnreadableInputError
from regraft.modality.delimited import decode, parse

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
    """The text of a cell, as UTF-8.

    Raises:
        UnreadableInputError: the table is not there, is none, or has no such cell.
    """
    found = _CELL.fullmatch(str(path))
    assert found is not None, path
    table = Path(found["table"])
    try:
        status = table.stat()
        with _turn:
            records = _records(str(table), status.st_size, status.st_mtime_ns)
        return records[int(found["row"]) - 1][int(found["column"]) - 1].encode()
    except FileNotFoundError as error:
        raise UnreadableInputError("the table is not there") from error
    except OSError as error:
        raise UnreadableInputError(f"the table could not be read: {error.strerror}") from error
    except DataError as error:
        raise UnreadableInputError(str(error)) from error
    except IndexError as error:
        raise UnreadableInputError("the table has no such cell (any more)") from error


@lru_cache(maxsize=4)
def _records(table: str, _size: int, _modified: int) -> list[list[str]]:
    """All cells; a table that has not changed is parsed once."""
    path = Path(table)
    text, _ = decode(path.read_bytes(), name=path.name)
    return [record.cells for record in parse(text, name=path.name)[0]]

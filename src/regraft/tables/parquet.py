"""Parquet tables: the names of the columns, their cells as texts, and the bytes of files in them.

Enters: a file, as Hugging Face's `datasets` or pandas write it. A column of bytes, or of structs of
`bytes` and `path`, holds files; its cells are read one at a time. Whole numbers that the schema's
Hugging Face metadata names (`ClassLabel`) become these names. Needs pyarrow (extra `parquet`).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.errors import DataError, MissingExtraError
from regraft.tables.delimited import Record

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, DataType, Field
    from pyarrow.parquet import ParquetFile

SUFFIXES = frozenset({".parquet", ".pq"})

_KEPT_GROUPS = 4  # row groups whose column is held, for threads that read on side by side


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """The columns, the records, and the positions of columns that hold files.

    The cell of a file is its name, if the table has one, or "a file"; "" where there is none.
    """

    header: list[str]
    records: list[Record]
    files: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column lies in the file, what its numbers mean, and where the names of files lie."""

    name: str
    leaf: str
    classes: tuple[str, ...] = ()
    holds_files: bool = False
    names: str = ""


def read_parquet(path: Path) -> ParquetTable:
    """All cells of a table but those that hold files.

    Raises:
        DataError: it is no Parquet file, or is damaged.
        MissingExtraError: pyarrow is not installed.
    """
    with _refusals(path):
        file = _opened(path)
        columns = _columns(file)
        there = {i: _is_there(file, c.leaf) for i, c in enumerate(columns) if c.holds_files}
        cells = [_cells(file, column, there.get(i)) for i, column in enumerate(columns)]
    rows = zip(*cells, strict=True) if cells else ()
    records = [Record(number, list(row)) for number, row in enumerate(rows, start=1)]
    files = frozenset(i for i, filled in there.items() if any(filled))
    return ParquetTable([column.name for column in columns], records, files)


def read_parquet_cell(path: Path, row: int, column: int) -> bytes:
    """The bytes of the file, or the text as UTF-8, in one cell; both count from 0.

    Raises:
        DataError: it is no Parquet file, or is damaged.
        IndexError: there is no such cell.
        MissingExtraError: pyarrow is not installed.
    """
    status = path.stat()
    with _refusals(path):
        file, columns, ends = _index(str(path), status.st_size, status.st_mtime_ns)
        if not 0 <= row < (ends[-1] if ends else 0):
            raise IndexError(row)
        group = bisect_right(ends, row)
        values = _group(file, columns[column].leaf, group)
        value = values[row - (ends[group - 1] if group else 0)].as_py()
    if isinstance(value, bytes):
        return value
    return _cell(value, columns[column].classes).encode()


@lru_cache(maxsize=4)
def _index(path: str, _size: int, _modified: int) -> tuple[ParquetFile, list[_Column], list[int]]:
    """An open file, its columns, and the number of rows up to the end of each row group."""
    file = _opened(Path(path))
    groups = (file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    return file, _columns(file), list(accumulate(groups))


@lru_cache(maxsize=_KEPT_GROUPS)
def _group(file: ParquetFile, leaf: str, group: int) -> ChunkedArray:
    """One column of one row group."""
    return _column_of(file.read_row_group(group, columns=[leaf]), leaf)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a file that it cannot read into a line."""
    try:
        from pyarrow import ArrowException
    except ImportError as error:
        raise MissingExtraError(f"reading {path.name}", "parquet") from error
    try:
        yield
    except (ArrowException, OSError) as error:
        why = str(error).partition("\n")[0]
        raise DataError(f"{path.name} is no whole Parquet table ({why}); write it again") from error


def _opened(path: Path) -> ParquetFile:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path)


def _columns(file: ParquetFile) -> list[_Column]:
    """The columns, structs taken apart, in the order of the schema."""
    classes = _class_names(file.schema_arrow.metadata or {})
    columns = []
    ahead: list[tuple[str, Field]] = [("", field) for field in file.schema_arrow]
    while ahead:
        prefix, field = ahead.pop(0)
        name = f"{prefix}{field.name}"
        if _is_file(field.type):
            within = {part.name for part in field.type} if _is_struct(field.type) else set()
            leaf = f"{name}.bytes" if within else name
            names = f"{name}.path" if "path" in within else ""
            columns.append(_Column(name, leaf, holds_files=True, names=names))
        elif _is_struct(field.type):
            ahead[:0] = [(f"{name}.", part) for part in field.type]
        else:
            columns.append(_Column(name, name, classes.get(name, ())))
    return columns


def _is_struct(kind: DataType) -> bool:
    from pyarrow import types

    return bool(types.is_struct(kind))


def _is_file(kind: DataType) -> bool:
    """Whether values are bytes, or structs of `bytes`, as the images of `datasets` are."""
    from pyarrow import types

    if _is_struct(kind):
        return any(part.name == "bytes" and _is_file(part.type) for part in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names that `datasets` keeps in the schema for the numbers of a column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def _cells(file: ParquetFile, column: _Column, there: Sequence[bool] | None) -> list[str]:
    """The cells of one column as texts; of files their names, and all of these if none is there.

    Args:
        file: the table.
        column: one of it.
        there: whether each row has a file; None where the column holds none.
    """
    if there is not None and not column.names:
        return ["a file" if filled else "" for filled in there]
    leaf = column.leaf if there is None else column.names
    values = _column_of(file.read(columns=[leaf]), leaf).to_pylist()
    if there is None or not any(there):
        return [_cell(value, column.classes) for value in values]
    return [
        str(name or "a file") if filled else "" for name, filled in zip(values, there, strict=True)
    ]


def _is_there(file: ParquetFile, leaf: str) -> list[bool]:
    """Whether each row has a file: by the counts of the file's own index, where it has one."""
    filled: list[bool] = []
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        at = next(i for i in range(about.num_columns) if about.column(i).path_in_schema == leaf)
        counts = about.column(at).statistics
        if counts is not None and counts.has_null_count and counts.null_count == 0:
            filled += [True] * about.num_rows
        else:
            column = _column_of(file.read_row_group(group, columns=[leaf]), leaf)
            filled += column.is_valid().to_pylist()
    return filled


def _column_of(table: Any, leaf: str) -> ChunkedArray:
    """The one column of a table, which may lie within structs."""
    while table.schema.names != [leaf]:
        before, table = table.schema.names, table.flatten()
        if table.schema.names == before:
            break
    return table.column(0)


def _cell(value: Any, classes: Sequence[str] = ()) -> str:
    """A value as text; a number that is none of the classes, such as -1, is no label."""
    if value is None:
        return ""
    if classes and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        if len(value) == 1 and not isinstance(value[0], list | dict):
            return _cell(value[0], classes)  # labels are often a list of one
        is_numbers = any(isinstance(entry, float) for entry in value)
        return "[numbers]" if is_numbers else json.dumps(value, ensure_ascii=False, default=str)
    return str(value)

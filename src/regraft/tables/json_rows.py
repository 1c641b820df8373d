"""Tables in JSON: from text to records.

Enters: JSON lines (an object a line), an array of objects, an object that holds one such array, or
what pandas writes (`orient` "columns", "index" or "split"). Leaves: the names of the columns and
the records, each a list of texts. Keys within objects are joined by dots: `{"meta": {"label": 1}}`
has the column `meta.label`. Null is an empty cell, a list of one its value, a longer one its JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.errors import DataError
from regraft.tables.delimited import Record

SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})

_MOST_BROKEN = 0.05  # of the lines; with more of them it is something else than JSON lines
_EXPECTED = "expected an object a line, or an array of objects"


@dataclass(frozen=True, slots=True)
class JsonTable:
    """The columns in the order in which they first occur, the records, and lines that are none."""

    header: list[str]
    records: list[Record]
    broken: tuple[int, ...] = ()


def parse_json(text: str, *, name: str) -> JsonTable:
    """The records of a table in JSON; an array's entries count as lines, from 1.

    Raises:
        DataError: it is no JSON, or none of the forms above.
    """
    whole = _loaded(text)
    if whole is None:
        objects, broken = _objects_of_lines(text, name)
    else:
        objects, broken = (
            list(enumerate(_objects_of(whole, name, is_line="\n" not in text.strip()), 1)),
            (),
        )
    flat = [(line, _flat(entry)) for line, entry in objects]
    header = list(dict.fromkeys(key for _, entry in flat for key in entry))
    records = [Record(line, [entry.get(key, "") for key in header]) for line, entry in flat]
    return JsonTable(header, records, broken)


def _loaded(text: str) -> Any:
    """The value that a text stands for; None if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a number of too many digits
        return None


def _objects_of_lines(
    text: str, name: str
) -> tuple[list[tuple[int, Mapping[str, Any]]], tuple[int, ...]]:
    """The objects of JSON lines with the number of their line, and the lines that are none."""
    objects, broken = [], []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        value = _loaded(line)
        if isinstance(value, Mapping):
            objects.append((number, value))
        else:
            broken.append(number)
    if len(broken) > _MOST_BROKEN * (len(objects) + len(broken)):
        raise DataError(f"{name}, line {broken[0]}: not an object in JSON; {_EXPECTED}")
    return objects, tuple(broken)


def _objects_of(value: Any, name: str, *, is_line: bool) -> list[Mapping[str, Any]]:
    """The objects that a document holds; a document of one line may be the only row itself."""
    if isinstance(value, Mapping):
        value = _by_column(value) or _array_within(value, name) or ([value] if is_line else [])
    is_table = isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)
    if not value or not is_table:
        raise DataError(f"{name} holds no objects; {_EXPECTED}")
    return list(value)


def _by_column(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects of a document that is written by column; empty if it is not."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        names = [str(column) for column in value["columns"]]
        rows = [row for row in value["data"] if isinstance(row, list) and len(row) == len(names)]
        return [dict(zip(names, row, strict=True)) for row in rows]
    columns = list(value.values())
    if all(isinstance(column, Mapping) and column for column in columns):
        keys = [tuple(column) for column in columns]
        if len(set(keys)) == 1 and _is_count(keys[0]):
            return [{name: column[key] for name, column in value.items()} for key in keys[0]]
        if _is_count(tuple(value)):  # by row, each under its number
            return columns
    if len(columns) > 1 and all(isinstance(column, list) for column in columns):
        is_plain = not any(isinstance(cell, Mapping) for column in columns for cell in column)
        if is_plain and len({len(column) for column in columns}) == 1:
            return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    return []


def _is_count(keys: Sequence[str]) -> bool:
    return all(key.isdecimal() for key in keys)


def _array_within(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The one array of objects that an object holds; empty if it holds none."""
    arrays = {
        key: entry
        for key, entry in value.items()
        if isinstance(entry, list) and entry and all(isinstance(one, Mapping) for one in entry)
    }
    if len(arrays) > 1:
        several = ", ".join(map(repr, list(arrays)[:4]))
        raise DataError(f"{name} holds several arrays of objects ({several}); {_EXPECTED}")
    return next(iter(arrays.values()), [])


def _flat(entry: Mapping[str, Any]) -> dict[str, str]:
    """The cells of an object, by the path of their keys."""
    cells: dict[str, str] = {}
    ahead: list[tuple[str, Iterable[tuple[str, Any]]]] = [("", entry.items())]
    while ahead:
        prefix, items = ahead.pop(0)
        for key, value in items:
            if isinstance(value, Mapping):
                ahead.append((f"{prefix}{key}.", value.items()))
            else:
                cells[_clean(f"{prefix}{key}")] = _cell(value)
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        if len(value) == 1 and not isinstance(value[0], list | dict):
            return _cell(value[0])  # labels are often a list of one
        return _clean(json.dumps(value, ensure_ascii=False))
    return str(value)


def _clean(text: str) -> str:
    """The text with a question mark for each half of a character, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

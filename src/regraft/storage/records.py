"""Frozen dataclasses as JSON values, and back: the one codec of what regraft records.

A leaf module. A record is a dataclass whose fields are the members of a JSON object. A member that
is null, or missing, has the default of its field, so that a version which did not measure something
leaves no damage; members that no field is named after are those of later versions, and ignored.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np

_DIGITS = 6  # after the point, of a field that does not say

Form = TypeVar("Form")


def digits(n: int) -> Mapping[str, int]:
    """Metadata of a field whose numbers are written with `n` digits after the point."""
    return {"digits": n}


def to_json(value: Any, *, n_digits: int | None = None) -> Any:
    """JSON values of a record, or of what holds records; NaN becomes null, bytes base64 text.

    Numbers in records are rounded, to `n_digits` if their field does not say; others are as they
    are. Properties that the class names in `TOLD` are written too, for people and other programs.
    """
    if is_dataclass(value) and not isinstance(value, type):
        members = {
            f.name: to_json(getattr(value, f.name), n_digits=f.metadata.get("digits", _DIGITS))
            for f in fields(value)
        }
        return members | {name: to_json(getattr(value, name)) for name in _told(value)}
    if isinstance(value, Mapping):
        return {str(name): to_json(part, n_digits=n_digits) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part, n_digits=n_digits) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float):
        number = float(value)  # of numpy's subclass too
        if math.isnan(number):
            return None
        return number if n_digits is None else round(number, n_digits)
    return value


def from_json(value: Any, form: type[Form]) -> Form:
    """The record in JSON values.

    Raises:
        ValueError: a member is of another type, out of its range, or missing without a default.
    """
    return msgspec.convert(without_nulls(value), form, dec_hook=_array)


def _told(record: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(record, "TOLD", ())
    return names


def from_cells(cells: Mapping[str, str], form: type[Form]) -> Form:
    """The record in a line of a table; an empty cell has the default of its field.

    Raises:
        ValueError: as `from_json`.
    """
    given = {name: cell for name, cell in cells.items() if cell}
    return msgspec.convert(given, form, strict=False)


def without_nulls(value: Any) -> Any:
    """JSON values without the members that are null."""
    if isinstance(value, Mapping):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list | tuple) else value


def _array(_form: type, value: Any) -> Any:
    """Of the types that are no JSON, records have arrays of numbers alone."""
    return np.asarray(value, dtype=np.float64)


__all__ = ["digits", "from_cells", "from_json", "to_json", "without_nulls"]

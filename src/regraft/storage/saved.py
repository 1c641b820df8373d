"""Files that regraft wrote, read back: regular, not too large, of the form that is expected.

A leaf module. Whoever holds a run or a model folder may have changed any file of it, by accident or
not: what is wrong with which file is said in one line, nothing waits for ever, and nothing of
another form goes on into the program. Forms are types of msgspec: structs with ranges.
"""

from __future__ import annotations

import contextlib
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from regraft.errors import RegraftError

MOST_BYTES = 256 * 2**20
"""Of a table or a record; graphs and weights have limits of their own."""

Number = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
"""A number that can be calculated with, whatever a file says: neither NaN nor infinite."""

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
"""How many there are of something."""

Positive = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
"""How many there are of something of which there is at least one."""

_MOST = 2**1000  # of an integer, a seed among them: it still has a value as a float
_DEEPEST = 64  # levels of a record; regraft's own have a dozen
Form = TypeVar("Form")


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """The content of a file.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no regular file (a pipe: never opened, for that could wait for ever), or
            larger than `most` bytes.
    """
    check_regular(path, most=most)
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:  # it grew since it was measured
        raise ValueError(f"it is larger than {most:,} bytes")
    return data


def check_regular(path: Path, *, most: int = MOST_BYTES) -> None:
    """Raises what `read_bytes` raises, without reading the file."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, more than {most:,}")


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """The content of a UTF-8 file; raises as `read_bytes` does, or ValueError for other bytes."""
    try:
        return read_bytes(path, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start:,} is not UTF-8") from error


def read_json(path: Path, form: type[Form] | Any = Any, *, most: int = MOST_BYTES) -> Form:
    """What a JSON file holds, as `form`: numbers in their range, texts as texts.

    Raises:
        OSError, ValueError: as `read_bytes`; or it is no JSON, or of another form.
    """
    found: Form = parse_json(read_bytes(path, most=most), form)
    return found


def parse_json(data: bytes | str, form: type[Form] | Any = Any) -> Form:
    """Like `read_json`, of text."""
    try:
        value = msgspec.json.decode(data)
        _check_values(value)
        found: Form = msgspec.convert(value, form)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels") from error
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise ValueError(f"it is not valid JSON ({error})") from error
    return found


@contextlib.contextmanager
def naming(path: Path, kind: type[RegraftError], advice: str) -> Iterator[None]:
    """Say of whatever goes wrong in the block that it is the file, as an error of `kind`.

    Args:
        path: of the file, or the folder, that is read or used in the block.
        kind: of the error; those of this kind pass as they are.
        advice: what to do next.
    """
    try:
        yield
    except (kind, MemoryError):
        raise
    except FileNotFoundError as error:
        raise kind(f"{error.filename or path} is missing; {advice}") from error
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror or error}; {advice}") from error
    except Exception as error:  # what else than the wrapped reading would have to be foreseen here
        raise kind(f"{path} is damaged ({reason_of(error)}); {advice}") from error


def reason_of(error: Exception) -> str:
    """One short line on what a reader stumbled over."""
    text = " ".join(str(error).split())[:200]
    if isinstance(error, KeyError):
        return f"it lacks {text}"
    if isinstance(error, ValueError | RegraftError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _check_values(value: Any) -> None:
    """Raises ValueError: levels or numbers beyond all that regraft writes."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, float) and not math.isfinite(each):
                raise ValueError("a number in it is infinite")
            elif isinstance(each, int) and abs(each) > _MOST:
                raise ValueError("a number in it is beyond all bounds")
        level = below


__all__ = [
    "MOST_BYTES",
    "Count",
    "Number",
    "Positive",
    "check_regular",
    "naming",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_text",
    "reason_of",
]

"""The path of a file in, its bytes out, read once and within bounds."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from regraft.errors import TooLargeError, UnreadableInputError

MAX_BYTES = 512 * 2**20
"""Larger files are refused unread: no photo needs them, and several are held at once."""


def read_file(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of one file; links are followed.

    Raises:
        UnreadableInputError: there is no such file, it is empty, larger than `max_bytes`, not
            a regular file (a folder, a pipe: never opened, for that could wait for ever) or
            not readable. The text is the reason shown in the file's row.
    """
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableInputError("is not a file but a folder")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInputError("is not a regular file")
        if status.st_size > max_bytes:
            raise _too_big(status.st_size, max_bytes)
        with path.open("rb", buffering=0) as file:
            data = file.read()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UnreadableInputError(_why(path, error)) from error
    except MemoryError as error:
        raise UnreadableInputError("there is not enough memory to read the file") from error
    if not data:
        raise UnreadableInputError("the file is empty")
    if len(data) > max_bytes:  # it grew since it was measured
        raise _too_big(len(data), max_bytes)
    return data


def _too_big(size: int, max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the file has {_bytes_text(size)}, over the limit of {_bytes_text(max_bytes)}"
    )


def _bytes_text(count: int) -> str:
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}"
    return f"{count} bytes"


def _why(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "is a link to a file that is not there"
        return "the file is not there"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "is a link that leads back to itself"
    text = error.strerror if isinstance(error, OSError) else str(error)
    return f"could not be read: {text or error}"

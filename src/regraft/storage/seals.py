"""Kept data that can be told from damaged data: a flipped bit must not change a prediction.

A leaf module. What is kept can be made again, so whoever finds a seal broken does that and says
nothing: a cache that is damaged costs time, never a result.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from regraft.storage.files import write_atomic


def write_sealed(path: Path, data: bytes | str) -> None:
    """Write a file whole, and beside it a file with its SHA-256, as `sha256sum` would.

    Raises:
        StorageError: the disk is full or the folder is not writable.
    """
    raw = data.encode() if isinstance(data, str) else data
    # First the seal: a process that is killed in between leaves no file that seems damaged.
    write_atomic(_seal_of(path), f"{hashlib.sha256(raw).hexdigest()}  {path.name}\n")
    write_atomic(path, raw)


def is_whole(path: Path) -> bool:
    """Whether a file is there and as `write_sealed` wrote it."""
    try:
        seal = _seal_of(path).read_text(encoding="utf-8")
        return seal == f"{sha256_of(path)}  {path.name}\n"
    except (OSError, UnicodeDecodeError):
        return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits; one that has not changed is read once in a process.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    return _sha256_of(str(path), status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1_000)
def _sha256_of(path: str, _file: int, _size: int, _modified: int) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - a key of the cache is text
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def checksum(value: bytes | memoryview, key: str = "") -> int:
    """CRC-32 of a value and of the key it is kept under: any one or two bits that differ show.

    It is three times as fast as SHA-256, for what is read in large amounts.
    """
    return zlib.crc32(value, zlib.crc32(key.encode()))


def sealed_json(values: Mapping[str, Any]) -> str:
    """JSON values with the SHA-256 of their text; `unsealed_json` takes it off again."""
    return json.dumps({"sha256": _digest(values), "values": values}, indent=1) + "\n"


def unsealed_json(text: str) -> dict[str, Any]:
    """The values that `sealed_json` was given.

    Raises:
        ValueError: they are not as they were written.
    """
    try:
        entry = json.loads(text)
        values = entry["values"]
        if isinstance(values, dict) and entry["sha256"] == _digest(values):
            return values
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError("it is no sealed JSON") from error
    raise ValueError("it is not as it was written")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

"""How much more the cache may hold; what was used least recently makes room."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from regraft.storage.files import cache_dir, limit_from_environment

KINDS = ("features", "graphs", "measures", "activations")
"""Folders of the cache."""

VARIABLE = "REGRAFT_CACHE_GB"
LIMIT_BYTES = 12 * 1024**3
_FREE_SHARE = 0.5  # of the free disk that may be used
_RECENT_S = 3_600.0  # a run comes back to what it has used: removing that would cost it the time
_REMOVABLE = ("features/*.sqlite", "measures/*.sqlite", "activations/*.bin")
# Graphs are not among them: all of them together are smaller than one view of a data set, and to
# make one takes PyTorch many seconds.


def limit_bytes() -> int:
    """The most that features, measures and activations may hold: `REGRAFT_CACHE_GB` or 12 GiB.

    Raises:
        UsageError: the variable is no number of gigabytes.
    """
    return limit_from_environment(VARIABLE, LIMIT_BYTES)


def used_now(path: Path) -> None:
    """Remember that a file was used, so that others go before it."""
    os.utime(path)


def make_room(kind: str, keep: str, wanted: int) -> int:
    """Bytes that may be written, at the most as many as the limit and half of the free disk allow.

    Where `wanted` bytes would not fit, files are deleted, the least recently used first, but for
    those that were used within the last hour. A process that still reads one is not disturbed.

    Args:
        kind: of what is to be written.
        keep: how the names of the files begin that it goes to, or is used with; they are left.
        wanted: bytes.

    Raises:
        UsageError: the limit is no number of gigabytes.
        OSError: the cache cannot be looked into.
    """
    limit = limit_bytes()
    total = 0
    removable: list[tuple[float, int, Path]] = []
    for pattern in _REMOVABLE:
        for path in cache_dir().glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # another process made room
                status = path.stat()
                total += status.st_size
                if path.parent.name != kind or not path.name.startswith(keep):
                    removable.append((status.st_mtime, status.st_size, path))
    before = time.time() - _RECENT_S
    for used, size, path in sorted(removable):
        if total + wanted <= limit or used > before:
            break
        total -= size
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)  # what lies where in it
    free = shutil.disk_usage(cache_dir()).free
    return int(min(limit - total, free * _FREE_SHARE))

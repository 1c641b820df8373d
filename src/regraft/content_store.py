"""Results kept on disk by the content they were made of: SHA-256 in, bytes out.

A leaf module. A store is one SQLite file: safe when two processes share it, and when one is
killed only the transaction under way is lost. What is kept can be made again, so no failure of
the disk ends the work.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from regraft.errors import StorageError
from regraft.storage import make_folder

_ROWS_PER_COMMIT = 256
_SECONDS_PER_COMMIT = 2.0  # what a killed process loses at the most


class ContentStore:
    """Values by SHA-256 of the content they belong to.

    If the disk is full or the file is damaged the store falls silent: nothing more is kept,
    work goes on, and `warning` says so in one line.

    Args:
        folder: of this store and others like it, named for what they hold.
        key: of what the values depend on beside the content.
        limit_bytes: the most all stores of the folder may hold; the least recently used go first.
    """

    def __init__(self, folder: Path, key: str, *, limit_bytes: int) -> None:
        self.warning = ""
        self._folder, self._limit = folder, limit_bytes
        self._name = folder.name.removesuffix("s")
        self._pending: list[tuple[str, bytes]] = []
        self._committed = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        try:
            self._path = make_folder(folder) / f"{key}.sqlite"
            _make_room(folder, keep=self._path, limit_bytes=limit_bytes)
            self._connection = _open_store(self._path)
        except (sqlite3.Error, OSError, StorageError) as error:
            self._give_up(error)

    def read(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The values that are there, in no particular order."""
        asked = list(keys)
        for start in range(0, len(asked), _ROWS_PER_COMMIT):
            part = asked[start : start + _ROWS_PER_COMMIT]
            if self._connection is None:
                return
            try:
                marks = ",".join("?" * len(part))
                query = f"SELECT sha256, value FROM contents WHERE sha256 IN ({marks})"  # noqa: S608
                found = self._connection.execute(query, part).fetchall()
            except sqlite3.Error as error:
                self._give_up(error)
                return
            yield from found

    def write(self, sha256: str, value: bytes) -> None:
        """Keep a value; it is on disk after the next commit."""
        self._pending.append((sha256, value))
        waited = time.monotonic() - self._committed
        if len(self._pending) >= _ROWS_PER_COMMIT or waited >= _SECONDS_PER_COMMIT:
            self._commit()

    def close(self) -> None:
        """Commit what is pending and close."""
        self._commit()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _commit(self) -> None:
        pending, self._pending = self._pending, []
        self._committed = time.monotonic()
        if self._connection is None or not pending:
            return
        try:
            if self._path.stat().st_size > self._limit:
                self.warning = (
                    f"the {self._name} cache holds its limit of {self._limit / 1024**3:.1f} GiB "
                    f"and keeps no more: run `regraft cache clear --{self._name}s` or set "
                    "REGRAFT_CACHE_GB"
                )
                return
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO contents VALUES (?, ?)", pending
                )
        except (sqlite3.Error, OSError) as error:  # also where another process cleared the cache
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.warning = (
            f"the {self._name} cache in {self._folder} cannot be used ({error}); work goes on "
            f"without it, and the next run will compute these {self._name}s again"
        )
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def count_contents(path: Path) -> int:
    """How many values a store holds; 0 for one that cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
            return int(connection.execute("SELECT count(*) FROM contents").fetchone()[0])
    except sqlite3.Error:
        return 0


def _open_store(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # full, locked or not writable: the file itself may be sound
        path.unlink()  # damaged: a cache can be made anew
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS contents (sha256 TEXT PRIMARY KEY, value BLOB) "
                "WITHOUT ROWID"
            )
        os.utime(path)  # the least recently used store goes first when room is needed
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make_room(folder: Path, *, keep: Path, limit_bytes: int) -> None:
    """Delete other stores, least recently used first, until the folder is within its limit.

    A process that still reads a deleted file is not disturbed.
    """
    stores = sorted(folder.glob("*.sqlite"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in stores)
    for path in stores:
        if total > limit_bytes and path != keep:
            total -= path.stat().st_size
            path.unlink(missing_ok=True)

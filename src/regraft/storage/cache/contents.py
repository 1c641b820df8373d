"""Results kept on disk by the content they were made of: SHA-256 in, bytes out.

A store is one SQLite file: safe when two processes share it, and when one is
killed only the transaction under way is lost. What is kept can be made again, so no failure of
the disk ends the work, and no damage changes it: a value comes with a checksum of its key and its
bytes, one that does not match is not there, and a file that SQLite finds damaged is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from regraft.errors import StorageError
from regraft.storage.cache.room import limit_bytes, make_room, used_now
from regraft.storage.files import cache_dir, make_folder
from regraft.storage.seals import checksum

ROWS_PER_COMMIT = 256
SECONDS_PER_COMMIT = 2.0  # what a killed process loses at the most
_COLUMNS = ["sha256", "checksum", "value"]
# Errors that say nothing of the file: no memory, locked, not allowed, full, the disk itself.
_NOT_DAMAGE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


class ContentStore:
    """Values by SHA-256 of the content they belong to.

    If the disk is full the store falls silent: nothing more is kept, work goes on, and `warning`
    says so in one line, as it does of damage.

    Args:
        kind: of what is kept, one of `KINDS`.
        key: of what the values depend on beside the content.
        rows_per_commit: values that are written at once, unless they take too long to come.

    Raises:
        UsageError: the limit of the cache is no number of gigabytes.
    """

    def __init__(self, kind: str, key: str, *, rows_per_commit: int = ROWS_PER_COMMIT) -> None:
        self.warning = ""
        self._kind, self._name = kind, kind.removesuffix("s")
        self._folder = cache_dir() / kind
        self._limit, self._room = limit_bytes(), 0
        self._rows_per_commit = rows_per_commit
        self._damaged = 0
        self._pending: list[tuple[str, bytes]] = []
        self._committed = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        try:
            self._path = make_folder(self._folder) / f"{key}.sqlite"
            self._open()
        except (sqlite3.Error, OSError, StorageError) as error:
            self._give_up(error)

    def read(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The values that are there, in no particular order."""
        asked = list(keys)
        for start in range(0, len(asked), ROWS_PER_COMMIT):
            part = asked[start : start + ROWS_PER_COMMIT]
            if self._connection is None:
                return
            try:
                marks = ",".join("?" * len(part))
                query = f"SELECT sha256, checksum, value FROM contents WHERE sha256 IN ({marks})"  # noqa: S608
                rows = self._connection.execute(query, part).fetchall()
            except sqlite3.Error as error:
                self._recover(error)
                return
            for name, expected, value in rows:
                key = name.decode()
                if isinstance(value, bytes) and checksum(value, key) == expected:
                    yield key, value
                else:
                    self._damaged += 1
                    self.warning = (
                        f"{self._damaged:,} of the {self._name}s in {self._folder} were damaged "
                        "and are made again"
                    )

    def write(self, sha256: str, value: bytes) -> None:
        """Keep a value; it is on disk after the next commit."""
        self._pending.append((sha256, value))
        waited = time.monotonic() - self._committed
        if len(self._pending) >= self._rows_per_commit or waited >= SECONDS_PER_COMMIT:
            self._commit()

    def close(self) -> None:
        """Commit what is pending and close."""
        self._commit()
        self._close()

    def _commit(self) -> None:
        pending, self._pending = self._pending, []
        self._committed = time.monotonic()
        if self._connection is None or not pending:
            return
        size = sum(len(value) for _, value in pending)
        try:
            if self._room < size:
                self._room = make_room(self._kind, self._path.name, size)
            if self._room < size:
                self.warning = (
                    f"the cache holds its limit of {self._limit / 1024**3:.1f} GiB and keeps no "
                    f"more {self._kind}: run `regraft cache clear --{self._kind}` or set "
                    "REGRAFT_CACHE_GB"
                )
                return
            before = self._path.stat().st_size
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)",
                    ((key, checksum(value, key), value) for key, value in pending),
                )
            self._room -= self._path.stat().st_size - before  # SQLite needs more than the values
        except (sqlite3.Error, OSError) as error:  # also where another process cleared the cache
            self._recover(error)

    def _open(self) -> None:
        try:
            self._connection = _connect(self._path)
        except sqlite3.Error as error:
            if not _is_damage(error, self._path):
                raise
            self._remove_damaged()
            self._connection = _connect(self._path)
        self._file = self._path.stat().st_ino

    def _recover(self, error: Exception) -> None:
        """Go on with a new file in the place of a damaged one, or without any."""
        self._close()
        if not _is_damage(error, self._path):
            self._give_up(error)
            return
        try:
            # Unless another process has noticed first: then its new file is there by now.
            if self._path.stat().st_ino == self._file:
                self._remove_damaged()
            self._open()
        except (sqlite3.Error, OSError) as another:
            self._give_up(another)

    def _remove_damaged(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self.warning = (
            f"the {self._name} cache {self._path} was damaged and has been removed; its "
            f"{self._name}s are made again"
        )

    def _give_up(self, error: Exception) -> None:
        self.warning = (
            f"the {self._name} cache in {self._folder} cannot be used ({error}); work goes on "
            f"without it, and the next run will compute these {self._name}s again"
        )
        self._close()

    def _close(self) -> None:
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


def _is_damage(error: Exception, path: Path) -> bool:
    """Whether it says that the file is not what was written, and not that it cannot be used now."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the system refused something
        return False
    if code & 0xFF == sqlite3.SQLITE_READONLY:  # the first bytes of the file can say so, too
        return os.access(path, os.W_OK)
    return code & 0xFF not in _NOT_DAMAGE


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        with connection:
            connection.execute(
                # With row numbers: a page of an index holds a quarter of a page of each value, and
                # the rest goes to pages of its own, 1.7 times the bytes and 3 times the seconds.
                "CREATE TABLE IF NOT EXISTS contents "
                "(sha256 TEXT PRIMARY KEY, checksum INTEGER, value BLOB)"
            )
        columns = [row[1] for row in connection.execute("PRAGMA table_info(contents)")]
        if columns != _COLUMNS:  # of an earlier version, whose values have no checksum
            connection.execute("DROP TABLE contents")
            connection.close()
            return _connect(path)
        connection.text_factory = bytes  # a damaged value may come as a text that is none
        used_now(path)
    except sqlite3.Error:
        connection.close()
        raise
    return connection

"""What a model said of every photo of every camera, in one SQLite file.

Rows are only added, or removed when they are older than the user keeps them. The file is in WAL
mode: it can be read while it is written, and a killed process loses at most the photos that it had
not written yet, which the next one predicts again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec

from regraft.errors import StorageError
from regraft.storage.saved import Number, check_regular, naming, parse_json
from regraft.watching.states import Event, Reading

FORMAT = 1
_PROBABILITIES = 8  # their column
_MOST_BYTES = 2**40
_ADVICE = "choose another --db"
_Moment = Annotated[float, msgspec.Meta(ge=-1e10, le=2.5e11)]  # seconds since 1970
_Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
_WAIT_S = 15  # for another process that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS photos (
  camera TEXT NOT NULL, sha256 TEXT NOT NULL, path TEXT NOT NULL,
  taken REAL NOT NULL, taken_from TEXT NOT NULL, seen REAL NOT NULL,
  predicted TEXT NOT NULL, confidence REAL, probabilities TEXT NOT NULL,
  flag TEXT NOT NULL, reason TEXT NOT NULL, unfamiliarity REAL, brightness REAL,
  model TEXT NOT NULL,
  PRIMARY KEY (camera, sha256));
CREATE INDEX IF NOT EXISTS photos_by_time ON photos (camera, taken);
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS told (
  camera TEXT NOT NULL, at REAL NOT NULL, state TEXT NOT NULL, output TEXT NOT NULL,
  PRIMARY KEY (camera, at, state, output));
"""


@dataclass(frozen=True, slots=True)
class Photo:
    """One row: a photo that was predicted, or found unreadable.

    `flag` is that of the prediction, or "dark"; `brightness` the mean grey level, 0 to 255, None
    where it could not be read.
    """

    camera: str
    sha256: str
    path: str
    taken: _Moment
    taken_from: str
    seen: _Moment
    predicted: str
    confidence: _Rate | None
    probabilities: tuple[_Rate, ...]
    flag: str
    reason: str
    unfamiliarity: Number | None
    brightness: Number | None
    model: str

    @property
    def is_known(self) -> bool:
        """Whether it says something of the state: it is neither dark, unreadable nor unfamiliar."""
        return self.flag in ("", "unsure")

    @property
    def reading(self) -> Reading:
        """What states are made of."""
        return Reading(self.taken, self.path, self.probabilities, self.is_known)


class _About(msgspec.Struct, kw_only=True):
    """The form of the facts on a history."""

    classes: list[str] = []
    model: str = ""
    folder: str = ""
    rules: dict[str, Number] = {}
    familiar: _Rate = 1.0


_COLUMNS = tuple(field.name for field in fields(Photo))


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file as it was when it was read: its path, size in bytes, and time in ns since 1970."""

    path: str
    size: int
    modified: int


class Store:
    """Opens, or makes, the file; close it in the end.

    Threads may share it: they take turns, since SQLite tells of an error per connection, and one
    thread would otherwise clear that of another before it is read.
    """

    def __init__(self, file: str | Path, *, must_exist: bool = False) -> None:
        """Open it.

        Raises:
            StorageError: it is not there, no such file, of a newer format, locked or not writable.
        """
        self.file = Path(file)
        self._turn = threading.RLock()
        if must_exist and not self.file.exists():
            raise StorageError(
                f"there is no history {self.file}; make one with regraft watch MODEL FOLDER"
            )
        if not self.file.parent.is_dir():
            raise StorageError(f"there is no folder {self.file.parent} for the history {self.file}")
        if os.path.lexists(self.file):
            with naming(self.file, StorageError, _ADVICE):
                check_regular(self.file, most=_MOST_BYTES)
        with _explained(self.file):
            self._connection = sqlite3.connect(
                self.file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.execute("PRAGMA trusted_schema=OFF")
                self._connection.executescript(_TABLES)
                self._check_format()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Write what is pending into the one file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def about(self) -> dict[str, Any]:
        """Facts on the history: classes, model, rules, folder; JSON values by name."""
        with self._explained():
            rows = self._connection.execute("SELECT name, value FROM about").fetchall()
        with naming(self.file, StorageError, _ADVICE):
            facts: dict[str, Any] = {name: parse_json(value) for name, value in rows}
            msgspec.convert(facts, _About)
            return facts

    def set_about(self, **facts: Any) -> None:
        """Keep facts, replacing those of the same name."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

    def is_seen(self, file: FileSeen) -> bool:
        """Whether this very file, unchanged, was read before."""
        with self._explained():
            row = self._connection.execute(
                "SELECT size, modified FROM files WHERE path = ?", (file.path,)
            ).fetchone()
        return bool(row == (file.size, file.modified))

    def has(self, camera: str, sha256: str) -> bool:
        """Whether a photo of this content was predicted for this camera."""
        with self._explained():
            row = self._connection.execute(
                "SELECT 1 FROM photos WHERE camera = ? AND sha256 = ?", (camera, sha256)
            ).fetchone()
        return row is not None

    def add(self, photos: Iterable[Photo], files: Iterable[FileSeen]) -> int:
        """Keep photos and the files they came from, at once or not at all; how many were new.

        A content that is there already stays as it is.
        """
        rows = [
            (
                *(p.camera, p.sha256, p.path, p.taken, p.taken_from, p.seen, p.predicted),
                *(p.confidence, json.dumps(p.probabilities), p.flag, p.reason),
                *(p.unfamiliarity, p.brightness, p.model),
            )
            for p in photos
        ]
        seen = [(f.path, f.size, f.modified) for f in files]
        with self._writing() as connection:
            before = connection.total_changes
            marks = ", ".join("?" * 14)
            connection.executemany(f"INSERT OR IGNORE INTO photos VALUES ({marks})", rows)  # noqa: S608
            added = connection.total_changes - before
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", seen)
        return added

    def cameras(self) -> list[str]:
        """All that have a photo, by name."""
        with self._explained():
            rows = self._connection.execute("SELECT DISTINCT camera FROM photos ORDER BY camera")
            return [row[0] for row in rows]

    def photos(self, camera: str, *, since: float = 0.0) -> Iterator[Photo]:
        """The photos of a camera in the order in which they were taken."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT * FROM photos WHERE camera = ? AND taken >= ? ORDER BY taken, sha256",
                (camera, since),
            ).fetchall()
        for row in rows:
            with naming(self.file, StorageError, _ADVICE):
                values = list(row)
                values[_PROBABILITIES] = msgspec.json.decode(values[_PROBABILITIES])
                photo = msgspec.convert(dict(zip(_COLUMNS, values, strict=True)), Photo)
            yield photo

    def count(self) -> int:
        """How many photos there are."""
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM photos").fetchone()[0])

    def forget_before(self, moment: float) -> int:
        """Remove photos taken before a moment; how many there were."""
        with self._writing() as connection:
            return int(connection.execute("DELETE FROM photos WHERE taken < ?", (moment,)).rowcount)

    def pending(self, camera: str, events: Sequence[Event], output: str) -> list[Event]:
        """Those of `events` that an output has not been told."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT at, state FROM told WHERE camera = ? AND output = ?", (camera, output)
            )
            known = set(rows)
        return [event for event in events if (event.at, event.state) not in known]

    def tell(self, camera: str, event: Event, output: str) -> None:
        """An output has been told of an event."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?)",
                (camera, event.at, event.state, output),
            )

    def _check_format(self) -> None:
        # A view could compute for ever, and a trigger do anything: regraft makes neither.
        odd = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
        if self._connection.execute(odd).fetchone() is not None:
            raise StorageError(f"{self.file} is damaged (it holds views or triggers); {_ADVICE}")
        row = self._connection.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
        if row is None:
            self._connection.execute(
                "INSERT OR IGNORE INTO about VALUES ('format', ?)", (json.dumps(FORMAT),)
            )
        elif self._number(row[0]) > FORMAT:
            raise StorageError(
                f"{self.file} was written by a newer regraft; upgrade with pip install --upgrade "
                "regraft"
            )

    def _number(self, text: Any) -> int:
        with naming(self.file, StorageError, _ADVICE):
            number: int = parse_json(text, int)
            return number

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """One turn with the connection."""
        with self._turn, _explained(self.file):
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line; what was written before stays."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        hint: Mapping[str, str] = {
            "locked": "another process writes it: wait for that one, or stop it",
            "full": "free some disk space; what was recorded is kept",
            "not a database": "it is no history of regraft: choose another --db",
            "readonly": "it may not be written: choose another --db",
            "unable to open": "it may not be opened: choose another --db",
        }
        advice = next((h for part, h in hint.items() if part in text), "choose another --db")
        raise StorageError(f"the history {file} cannot be used ({text}); {advice}") from error

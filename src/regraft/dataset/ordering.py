"""Names and times in, the orders that they put rows into out: which row comes right behind which.

Enters: rows, and when each was taken, where that is known. Leaves: `Order`s. Whether neighbours in
one are alike, as the frames of a film are, is told by `issues.series` from what the rows show.

Letters: n rows, m rows in an order.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.dataset.drafts import class_name
from regraft.dataset.split_names import split_within
from regraft.dataset.table import Row, natural_key
from regraft.tables.cells import row_of, table_of

SOURCES: Mapping[str, str] = {
    "names": "their names",
    "rows": "their rows in the table",
    "time taken": "the time they were taken",
    "time of the file": "the time of their files",
}
"""What puts rows in order, see `Order.source`, in words."""

_DIGITS = re.compile(r"\d+")
# Random parts of names, which put nothing in order: a UUID, or six and more hexadecimal digits of
# both kinds, as in "frame_0003_jpg.rf.7f3a9c2e.jpg". Numbers alone stay, they may count.
_HASH = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{6,})(?![0-9a-z])",
    re.IGNORECASE,
)
# A date and a time at the end of a name, whose last number counts nothing.
_CLOCK = re.compile(
    r"(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?([0-2]\d|3[01])[T _.-]?"
    r"([01]\d|2[0-3])[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?\D*$"
)
_FEWEST_IN_A_RUN = 3
# Files that were copied or unpacked are milliseconds apart, whatever the time between the photos.
_APART_S = 1.0
_LONG_GAP = 10  # times the usual one: a camera that was switched off


@dataclass(frozen=True, slots=True)
class Order:
    """Some rows, one after another.

    Attributes:
        source: what puts them in order, of `SOURCES`.
        rows: their numbers, int64 (m,).
        follows: whether each continues what the one before it belongs to (the same kind of name in
            the same folder, the same camera), bool (m,); the first does not.
        films: what may be of one film, int64 (m,), -1 where nothing says so: rows whose names
            differ in their last number alone, behind another number or in a folder of their own;
            or rows without a gap in time between them.
    """

    source: str
    rows: NDArray[np.int64]
    follows: NDArray[np.bool_]
    films: NDArray[np.int64]


class Runs(NamedTuple):
    """Files that are numbered in several runs, as frames of several films are.

    `first` and `last` are paths at both ends of the first run.
    """

    files: int
    runs: int
    first: str
    last: str


class _Film(NamedTuple):
    """What may be the name of a film: folders, a kind of name, and the numbers before the last."""

    home: tuple[str, ...]
    kind: str
    numbers: tuple[int, ...]


class _Name(NamedTuple):
    """A path taken apart: its folders but those of split and class, these, and what is left.

    `kind` is the name with "#" for every number in it, `numbers` what they are; `film` is what may
    be the name of a film, None where the last number counts in nothing; `time` is in seconds, NaN
    where the name does not end in one.
    """

    home: tuple[str, ...]
    cell: tuple[str, ...]
    kind: str
    numbers: tuple[int, ...]
    film: _Film | None
    time: float = math.nan


def orders_by_name(rows: Sequence[Row]) -> list[Order]:
    """The orders of numbered names: within each folder, and across those of splits and classes.

    The second finds a film whose frames were sorted into several of these folders. Names without a
    number are in none.
    """
    names = [_taken_apart(row) for row in rows]
    numbered = [i for i, name in enumerate(names) if name.numbers]
    orders = []
    for together in (False, True):
        families = [
            (names[i].home, "" if together else _folder(rows[i]), names[i].kind) for i in numbered
        ]
        keys = [(names[i].numbers, natural_key(rows[i].path)) for i in numbered]
        films = [
            None if names[i].film is None else (family, names[i].film)
            for family, i in zip(families, numbered, strict=True)
        ]
        source = "rows" if any(row_of(rows[i].path) for i in numbered) else "names"
        order = _in_order(source, numbered, families, keys, films)
        times = np.array([name.time for name in names], dtype=np.float64)
        orders.append(_parted_by_gaps(order, times) if np.isfinite(times).any() else order)
    apart, joined = orders
    return [apart] if np.array_equal(apart.rows, joined.rows) else [apart, joined]


def order_by_time(rows: Sequence[Row], times: NDArray[np.float64], cameras: Sequence[str]) -> Order:
    """The order in which each camera took its photos; rows without a time are not in it.

    Args:
        rows: n of them; of those taken in the same second the names decide.
        times: float64 (n,), seconds; NaN where the time is not known.
        cameras: n names, "" where unknown.
    """
    return _by_time("time taken", rows, times, cameras)


def order_by_file_time(rows: Sequence[Row], changed: NDArray[np.float64]) -> Order | None:
    """The order of the times at which files were written; None where these say nothing.

    They are believed only where files are a second and more apart in the median: those that were
    copied or unpacked by now are not.

    Args:
        rows: n of them.
        changed: float64 (n,), seconds; NaN where there is none.
    """
    known = [int(i) for i in np.flatnonzero(np.isfinite(changed))]
    steps = np.diff(np.sort(changed[known]))
    if not len(steps) or np.median(steps) < _APART_S:
        return None
    return _by_time("time of the file", rows, changed, [""] * len(rows))


def cells_of_order(rows: Sequence[Row]) -> NDArray[np.int64]:
    """A number for each row, int64 (n,): equal for rows of one class in one folder of a split.

    Were there no order among them, they could change places.
    """
    numbers: dict[tuple[str, tuple[str, ...]], int] = {}
    return np.array(
        [numbers.setdefault((row.label, _taken_apart(row).cell), len(numbers)) for row in rows],
        dtype=np.int64,
    )


def numbered_runs(rows: Sequence[Row]) -> Runs | None:
    """Whether names count anew several times, as those of frames of several films do.

    "clip3_frame0001", "clip3_frame0002"... or "clip3/0001"...: a number that counts within what
    stands before it. None where names count once only, or not at all.
    """
    runs: defaultdict[_Film, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        name = _taken_apart(row)
        if name.numbers and name.film is not None:
            runs[name.film].append((name.numbers[-1], row.path))
    alike: defaultdict[str, list[list[tuple[int, str]]]] = defaultdict(list)
    for film, files in runs.items():
        files.sort()
        step = min((b - a for (a, _), (b, _) in pairwise(files)), default=0)
        if len(files) < _FEWEST_IN_A_RUN or step == 0:
            continue
        if (files[-1][0] - files[0][0]) // step < 2 * len(files):  # not every number need be there
            alike[film.kind].append(files)
    several = [found for found in alike.values() if len(found) > 1]
    if not several:
        return None
    everything = [files for found in several for files in found]
    first = everything[0]
    return Runs(sum(map(len, everything)), len(everything), first[0][1], first[-1][1])


def _taken_apart(row: Row) -> _Name:
    if number := row_of(row.path):  # a cell of a table
        return _Name((table_of(row.path),), (), "", (number,), None)
    path = PurePosixPath(row.path)
    own = {name for name in path.parts[:-1] if _is_of_layout(name, row.label)}
    home = tuple(name for name in path.parts[:-1] if name not in own)
    stem = _HASH.sub("~", path.stem)
    kind = _DIGITS.sub("#", stem)
    numbers = tuple(map(int, _DIGITS.findall("/".join((*home, stem)))))
    if clock := _CLOCK.search(stem):
        time = _seconds([int(part or 0) for part in clock.groups()])
        return _Name(home, tuple(sorted(own)), kind, numbers, None, time)
    film = _Film(home, kind, numbers[:-1]) if home or len(numbers) > 1 else None
    return _Name(home, tuple(sorted(own)), kind, numbers, film)


def _seconds(parts: Sequence[int]) -> float:
    """A year, month, day, hour, minute and second as a number of seconds; NaN for no such day."""
    with contextlib.suppress(ValueError, OverflowError):
        year, month, day, hour, minute, second = parts
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    return math.nan


def _is_of_layout(folder: str, label: str) -> bool:
    """Whether a folder stands for a class or a split."""
    return class_name(folder) == label or split_within(folder)[0] != ""


def _folder(row: Row) -> str:
    return row.path.rpartition("/")[0]


def _by_time(
    source: str, rows: Sequence[Row], times: NDArray[np.float64], cameras: Sequence[str]
) -> Order:
    known = [int(i) for i in np.flatnonzero(np.isfinite(times))]
    keys = [(float(times[i]), natural_key(rows[i].path)) for i in known]
    order = _in_order(source, known, [cameras[i] for i in known], keys)
    return _parted_by_gaps(order, times)


def _parted_by_gaps(order: Order, times: NDArray[np.float64]) -> Order:
    """The order with films that end where it is unusually long until the next row, by times (n,).

    Rows without a time keep the films they have.
    """
    steps = np.diff(times[order.rows])
    inside = order.follows[1:] & np.isfinite(steps)
    usual = float(np.median(steps[inside])) if inside.any() else 0.0
    begins = np.ones(len(order.rows), dtype=bool)
    begins[1:] = ~inside | (steps > _LONG_GAP * usual) | (steps < 0)  # back: another camera's
    films = np.cumsum(begins) + order.films.max(initial=-1)
    return replace(order, films=np.where(np.isfinite(times[order.rows]), films, order.films))


def _in_order(
    source: str,
    rows: Sequence[int],
    families: Sequence[object],
    keys: Sequence[tuple[object, ...]],
    films: Sequence[object] = (),
) -> Order:
    """Rows by family, then by key; families in the order in which they first occur.

    `films` says for each row what it is of; None where that is not known.
    """
    place: dict[object, int] = {}
    of_row = [place.setdefault(family, len(place)) for family in families]
    by_key = sorted(range(len(rows)), key=lambda i: (of_row[i], keys[i]))
    found = np.array([rows[i] for i in by_key], dtype=np.int64)
    family = np.array([of_row[i] for i in by_key], dtype=np.int64)
    follows = np.zeros(len(found), dtype=bool)
    follows[1:] = family[1:] == family[:-1]
    number: dict[object, int] = {None: -1}
    of_film = np.full(len(found), -1, dtype=np.int64)
    if films:
        of_film[:] = [number.setdefault(films[i], len(number)) for i in by_key]
    return Order(source, found, follows, of_film)

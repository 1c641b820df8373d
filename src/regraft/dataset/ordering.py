"""Names and times in, the orders that they put rows into out: which row comes right behind which.

Enters: rows, and when each was taken, where that is known. Leaves: `Order`s. Whether neighbours in
one are alike, as the frames of a film are, is told by `issues.series` from what the rows show.

Letters: n rows, m rows in an order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.dataset.drafts import SPLIT_NAMES, class_name
from regraft.dataset.table import Row, natural_key

_DIGITS = re.compile(r"\d+")
# Random parts of names, which put nothing in order: a UUID, or six and more hexadecimal digits of
# both kinds, as in "frame_0003_jpg.rf.7f3a9c2e.jpg". Numbers alone stay, they may count.
_HASH = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{6,})(?![0-9a-z])",
    re.IGNORECASE,
)
_FEWEST_IN_A_RUN = 3
# Files that were copied or unpacked are milliseconds apart, whatever the time between the photos.
_APART_S = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """Some rows, one after another.

    Attributes:
        source: what puts them in order: "names", "time taken" or "time of the file".
        rows: their numbers, int64 (m,).
        follows: whether each continues what the one before it belongs to (the same kind of name in
            the same folder, the same camera), bool (m,); the first does not.
    """

    source: str
    rows: NDArray[np.int64]
    follows: NDArray[np.bool_]


class Runs(NamedTuple):
    """Files that are numbered in several runs, as frames of several films are.

    `first` and `last` are paths at both ends of the first run.
    """

    files: int
    runs: int
    first: str
    last: str


class _Name(NamedTuple):
    """A path taken apart: its folders but those of split and class, these, and what is left.

    `kind` is the name with "#" for every number in it, `numbers` what they are.
    """

    home: tuple[str, ...]
    cell: tuple[str, ...]
    kind: str
    numbers: tuple[int, ...]


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
        orders.append(_in_order("names", numbered, families, keys))
    apart, joined = orders
    return [apart] if np.array_equal(apart.rows, joined.rows) else [apart, joined]


def order_by_time(rows: Sequence[Row], times: NDArray[np.float64], cameras: Sequence[str]) -> Order:
    """The order in which each camera took its photos; rows without a time are not in it.

    Args:
        rows: n of them; of those taken in the same second the names decide.
        times: float64 (n,), seconds; NaN where the time is not known.
        cameras: n names, "" where unknown.
    """
    known = [int(i) for i in np.flatnonzero(np.isfinite(times))]
    keys = [(float(times[i]), natural_key(rows[i].path)) for i in known]
    return _in_order("time taken", known, [cameras[i] for i in known], keys)


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
    keys = [(float(changed[i]), natural_key(rows[i].path)) for i in known]
    return _in_order("time of the file", known, [""] * len(known), keys)


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
    runs: defaultdict[tuple[object, ...], list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        name = _taken_apart(row)
        if name.numbers:
            *before, last = name.numbers
            runs[name.home, name.kind, tuple(before)].append((last, row.path))
    alike: defaultdict[str, list[list[tuple[int, str]]]] = defaultdict(list)
    for (_, kind, _), files in runs.items():
        files.sort()
        step = min((b - a for (a, _), (b, _) in pairwise(files)), default=0)
        if len(files) < _FEWEST_IN_A_RUN or step == 0:
            continue
        if (files[-1][0] - files[0][0]) // step < 2 * len(files):  # not every number need be there
            alike[str(kind)].append(files)
    several = [found for found in alike.values() if len(found) > 1]
    if not several:
        return None
    everything = [files for found in several for files in found]
    first = everything[0]
    return Runs(sum(map(len, everything)), len(everything), first[0][1], first[-1][1])


def _taken_apart(row: Row) -> _Name:
    path = PurePosixPath(row.path)
    own = {name for name in path.parts[:-1] if _is_of_layout(name, row.label)}
    home = tuple(name for name in path.parts[:-1] if name not in own)
    stem = _HASH.sub("~", path.stem)
    kind = _DIGITS.sub("#", stem)
    numbers = tuple(map(int, _DIGITS.findall("/".join((*home, stem)))))
    return _Name(home, tuple(sorted(own)), kind, numbers)


def _is_of_layout(folder: str, label: str) -> bool:
    """Whether a folder stands for a class or a split."""
    return class_name(folder) == label or folder.lower() in SPLIT_NAMES


def _folder(row: Row) -> str:
    return row.path.rpartition("/")[0]


def _in_order(
    source: str,
    rows: Sequence[int],
    families: Sequence[object],
    keys: Sequence[tuple[object, ...]],
) -> Order:
    """Rows by family, then by key; families in the order in which they first occur."""
    place: dict[object, int] = {}
    of_row = [place.setdefault(family, len(place)) for family in families]
    by_key = sorted(range(len(rows)), key=lambda i: (of_row[i], keys[i]))
    found = np.array([rows[i] for i in by_key], dtype=np.int64)
    family = np.array([of_row[i] for i in by_key], dtype=np.int64)
    follows = np.zeros(len(found), dtype=bool)
    follows[1:] = family[1:] == family[:-1]
    return Order(source, found, follows)

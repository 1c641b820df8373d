"""What a look at the data found in, groups out: what no split may part.

Near copies and the photos of one series belong together; groups that somebody named stay as they
are. Where series leave a class in a single group nothing could be estimated of it: its photos are
then cut into blocks of their order, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import Dataset, Row, connected, pairs_by, split_groups
from regraft.dataset.checking import COPY_GROUP
from regraft.dataset.ordering import SOURCES
from regraft.inspection.issues import Findings, Series
from regraft.kinds import thing, things
from regraft.metrics.rates import IntArray

_MOST_LEFT_OUT = 0.2  # of the training photos; a split that leaks more is not mended by leaving out
_BLOCKS = 5  # of what is all there is of a class: as many as folds
_PATHS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Grouped:
    """The data with a group for all that belongs together.

    Attributes:
        data: training rows that show a picture of a given test set, or are of a series with it, are
            left out, unless that would leave too little.
        cut: classes whose training photos are all of one series, which was cut into blocks.
        leaks: test rows of whose picture or series there are training rows.
        parted: series with photos in several named groups, which were left as they are.
    """

    data: Dataset
    cut: tuple[str, ...] = ()
    leaks: int = 0
    parted: int = 0


def keep_together(data: Dataset, found: Findings) -> Grouped:
    """Groups for near copies and for series, so that no split parts them.

    Args:
        data: with the rows that `found` is of in use.
        found: with copies, with series, or with both.
    """
    rows = data.ok
    named = list(pairs_by(row.group for row in rows))
    copies = [(copy.first, copy.second) for copy in found.copies]
    in_series, parted = _series_pairs(rows, found.series)
    pictures = _Joined.of(len(rows), copies, named)
    together = _Joined.of(len(rows), [*copies, *in_series], named)
    names = _names(rows, together, {i for pair in in_series for i in pair})
    grouped = data.with_groups(names)
    notes = _notes(data, pictures, found.series, in_series, parted)
    told: set[str] = set()
    for joined, what in ((pictures, "a near copy of"), (together, "of one series with")):
        shared = {path: twin for path, twin in _shared(rows, joined).items() if path not in told}
        grouped, note = _left_out(grouped, shared, what)
        notes += note
        told.update(shared)
    grouped, cut = _cut(grouped, rows, found.series, in_series)
    several = things(data.modality)
    notes += [
        f"All training {several} of class {name!r} are of one series, so folds part it into blocks "
        f"of its order: how well the class is recognised in another series cannot be told. Add "
        f"{several} of {name!r} from a second one."
        for name in cut
    ]
    return Grouped(
        replace(grouped, notes=(*grouped.notes, *notes)), cut, count_leaks(grouped), len(parted)
    )


def blocks_of_order(data: Dataset, order: IntArray, *, blocks: int) -> Dataset:
    """The data with a group for each block of the order within each class; no other groups.

    Args:
        data: whose rows in use the order is of.
        order: numbers of rows in use, int64 (m,).
        blocks: of each class at the most.
    """
    rows = data.ok
    names: dict[str, str] = {}
    for name in data.classes:
        own = [rows[i].path for i in order.tolist() if rows[i].label == name]
        names |= _blocks(own, blocks, f"order of {name}")
    return data.with_groups(names)


@dataclass(frozen=True, slots=True)
class _Joined:
    """Numbers of n rows, equal for those that belong together, and which rows are not alone.

    Rows that only share a named group count as alone.
    """

    numbers: IntArray
    has_others: NDArray[np.bool_]

    @classmethod
    def of(
        cls, n: int, pairs: Sequence[tuple[int, int]], named: Sequence[tuple[int, int]]
    ) -> _Joined:
        numbers = connected(n, (*pairs, *named))
        return cls(numbers, np.isin(numbers, numbers[[i for i, _ in pairs]]))


def _series_pairs(
    rows: Sequence[Row], series: Series | None
) -> tuple[list[tuple[int, int]], list[int]]:
    """Neighbours of one series that no named group holds, and the series that named groups part."""
    pairs: list[tuple[int, int]] = []
    parted = []
    for number in range(0 if series is None else len(series)):
        assert series is not None
        members = series.members(number).tolist()
        if len({rows[i].group for i in members}) > 1:
            parted.append(number)
        free = [i for i in members if not rows[i].group]
        pairs += [(free[0], i) for i in free[1:]]
    return pairs, parted


def _names(rows: Sequence[Row], joined: _Joined, in_series: set[int]) -> dict[str, str]:
    """A group for every row that is not alone, by path: those that are named keep their names."""
    members: dict[int, list[int]] = {}
    for i in np.flatnonzero(joined.has_others).tolist():
        members.setdefault(int(joined.numbers[i]), []).append(i)
    names: dict[str, str] = {}
    for own in members.values():
        given = sorted({rows[i].group for i in own if rows[i].group})
        kind = "series" if in_series.intersection(own) else COPY_GROUP
        name = " and ".join(given) or f"{kind} {rows[own[0]].path}"
        names |= {rows[i].path: name for i in own}
    return names


def _notes(
    data: Dataset,
    pictures: _Joined,
    series: Series | None,
    in_series: Sequence[tuple[int, int]],
    parted: Sequence[int],
) -> list[str]:
    several = things(data.modality)
    notes = []
    if copies := int(pictures.has_others.sum()):
        notes.append(
            f"{copies:,} {several} are copies or near copies of another; they stay on one "
            "side of every split."
        )
    if in_series and series is not None:
        photos = len({i for pair in in_series for i in pair})
        count = len({first for first, _ in in_series})
        by = " and ".join(SOURCES[source] for source in series.sources)
        what = "is one series" if count == 1 else f"are {count:,} series"
        notes.append(
            f"{photos:,} {several} {what}, one after another by {by} and alike; each series stays "
            "on one side of every split."
        )
    if parted:
        what = "1 series has" if len(parted) == 1 else f"{len(parted):,} series have"
        notes.append(
            f"{what} {several} in several of the named groups: one after another and alike, they "
            "can be on both sides of a split. The groups were left as they are."
        )
    return notes


def _shared(rows: Sequence[Row], joined: _Joined) -> dict[str, str]:
    """The paths of training rows that belong to a test row, with the path of that one."""
    tested: dict[int, str] = {}
    members = np.flatnonzero(joined.has_others).tolist()
    for i in members:
        if rows[i].split == "test":
            tested.setdefault(int(joined.numbers[i]), rows[i].path)
    return {
        rows[i].path: tested[int(joined.numbers[i])]
        for i in members
        if rows[i].split != "test" and int(joined.numbers[i]) in tested
    }


def _left_out(data: Dataset, shared: Mapping[str, str], what: str) -> tuple[Dataset, list[str]]:
    """The data without training rows that belong to test rows, see `_shared`, and a note."""
    if not shared:
        return data, []
    one, several = thing(data.modality), things(data.modality)
    are = "near duplicates of" if what == "a near copy of" else what
    if len(shared) > _MOST_LEFT_OUT * len(data.train):
        return data, [
            f"{len(shared):,} of {len(data.train):,} training {several} are {are} test {several}, "
            "too many to be left out: the test set is not independent of the training."
        ]
    some = ", ".join(list(shared)[:_PATHS_SHOWN])
    more = len(shared) - _PATHS_SHOWN
    reasons = {
        path: ("excluded", f"is {what} the test {one} {twin}") for path, twin in shared.items()
    }
    return data.mark(reasons), [
        f"{len(shared):,} training {one if len(shared) == 1 else several} left out, {are} test "
        f"{several}: {some}{f' and {more:,} more' if more > 0 else ''}."
    ]


def _cut(
    data: Dataset,
    rows: Sequence[Row],
    series: Series | None,
    in_series: Sequence[tuple[int, int]],
) -> tuple[Dataset, tuple[str, ...]]:
    """Blocks of order for every class that series leave in one group, and these classes."""
    if series is None or not in_series:
        return data, ()
    place = {rows[i].path: int(series.places[i]) for pair in in_series for i in pair}
    groups: dict[str, set[int]] = {name: set() for name in data.classes}
    for row, number in zip(data.train, split_groups(data.train).tolist(), strict=True):
        groups[row.label].add(number)
    cut = []
    for name, numbers in groups.items():
        own = [row.path for row in data.train if row.label == name]
        if len(numbers) == 1 and any(path in place for path in own):
            own.sort(key=lambda path: place.get(path, -1))
            data = data.with_groups(_blocks(own, _BLOCKS, f"series of {name}"))
            cut.append(name)
    return data, tuple(cut)


def _blocks(paths: Sequence[str], count: int, name: str) -> dict[str, str]:
    """A group for each of `count` blocks of paths, as even as can be."""
    count = min(count, len(paths))
    return {path: f"{name}, block {1 + i * count // len(paths)}" for i, path in enumerate(paths)}


def count_leaks(data: Dataset) -> int:
    """How many test rows have a copy, or a member of their group, among the training rows."""
    groups = split_groups(data.ok)
    is_test = np.array([row.split == "test" for row in data.ok], dtype=bool)
    return int(np.isin(groups[is_test], groups[~is_test]).sum())


__all__ = ["Grouped", "blocks_of_order", "count_leaks", "keep_together"]

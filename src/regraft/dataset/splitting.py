"""Splits that do not leak: groups, a test set set aside, cross-validation folds.

Enters: rows in use. Leaves: group and fold numbers aligned with them, or a dataset in which some
training rows have become test rows. Rows that belong together (one content, or one named group)
always land on the same side.

Rows are dealt to the sides a group at a time. Groups of one class and one size are
interchangeable, so all of them are dealt in one step, and a million ordinary rows take one step
a class. Only groups of several classes are placed one by one, before the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.dataset.table import Dataset, Row
from regraft.errors import DataError, UsageError
from regraft.kinds import kind_named

_FEWEST_TEST_GROUPS = 20  # of fewer the interval would be wider than that of cross-validation

# Letters used below: n rows, m groups, c classes, k sides (folds, or training and test).


def connected(n: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """A number for each of `n` items, int64 (n,): equal for those that a chain of pairs links.

    Numbers count from 0 in the order in which they first occur.
    """
    parents = list(range(n))

    def top(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    for first, second in pairs:
        parents[top(second)] = top(first)
    numbers: dict[int, int] = {}
    return np.array(
        [numbers.setdefault(top(item), len(numbers)) for item in range(n)], dtype=np.int64
    )


def pairs_by(keys: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Every item paired with the first one of the same key; an item with "" is in no pair."""
    first: dict[str, int] = {}
    for item, key in enumerate(keys):
        if key:
            yield first.setdefault(key, item), item


def split_groups(rows: Sequence[Row]) -> NDArray[np.int64]:
    """A group number per row, int64 (n,): equal for rows that must not be parted.

    Rows with the same content or the same named group belong together, and so do rows linked by
    a chain of these. Numbers count from 0 in the order in which groups first occur.
    """
    same_content = pairs_by(row.sha256 for row in rows)
    same_group = pairs_by(row.group for row in rows)
    return connected(len(rows), (*same_content, *same_group))


def make_folds(rows: Sequence[Row], *, folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """The fold of each row, int64 (n,), from 0: stratified by label, groups kept together.

    There are `folds` folds, or as many as the class with the most groups has groups where that
    is fewer, but at least 2. No class of two or more groups lies wholly in one fold, so that
    every training side knows it; groups that mix as many classes as there are folds can make
    that impossible, and then it holds for as many classes as the dealing manages.

    Args:
        rows: rows in use.
        folds: number of folds wanted, at least 2.
        seed: chooses among the many equally good assignments.

    Raises:
        DataError: the rows are fewer than two groups.
        UsageError: `folds` is below 2.
    """
    if folds < 2:
        raise UsageError(f"the number of folds is {folds}; expected at least 2")
    group_of_row = split_groups(rows)
    groups = _Groups.of(rows, group_of_row)
    if len(groups.sizes) < 2:
        raise DataError(
            f"{len(rows)} images cannot be split: they are {len(groups.sizes)} group of copies "
            "or of one named group; expected at least 2"
        )
    count = max(2, min(folds, int(groups.per_class.max())))
    shares = np.full(count, 1 / count)
    fold_of_group = _deal(groups, shares, np.random.default_rng(seed))
    return fold_of_group[group_of_row]


def set_aside(
    data: Dataset, *, seed: int = 0, fraction: float = 0.2, from_size: int = 1_000
) -> Dataset:
    """A dataset with a test set: its own, or a stratified, group-aware part of a large one.

    With fewer than `from_size` rows in use nothing is set aside, and everything is to be
    estimated by cross-validation; nor with so few groups, such as series or patients, that a test
    set would be of a handful of them. At least two groups of every class stay for training.

    Args:
        data: returned as it is where it has a test set.
        seed: chooses the rows.
        fraction: of the rows in use, above 0 and at most 0.5.
        from_size: smallest number of rows in use from which a test set is set aside.

    Raises:
        UsageError: `fraction` is out of its range.
    """
    if not 0 < fraction <= 0.5:
        raise UsageError(f"the test fraction is {fraction}; expected above 0 and at most 0.5")
    if data.test:
        return data
    rows = data.train
    if len(rows) < from_size:
        noun = kind_named(data.modality).noun
        note = (
            f"No test set: of fewer than {from_size:,} {noun}s none is set aside, and "
            "cross-validation estimates everything."
        )
        return dataclasses.replace(data, notes=(*data.notes, note))

    group_of_row = split_groups(rows)
    groups = _Groups.of(rows, group_of_row)
    if fraction * len(groups.sizes) < _FEWEST_TEST_GROUPS:
        note = (
            f"No test set: the {len(rows):,} {kind_named(data.modality).noun}s are of "
            f"{len(groups.sizes):,} independent groups, too few to set a part of them aside, and "
            "cross-validation estimates everything."
        )
        return dataclasses.replace(data, notes=(*data.notes, note))
    shares = np.array([1 - fraction, fraction])
    is_test = _deal(groups, shares, np.random.default_rng(seed)) == 1  # (m,)
    stays = np.bincount(groups.pair_class[~is_test[groups.pair_group]], minlength=groups.n_classes)
    too_few = stays < 2  # (c,)
    is_test[groups.pair_group[too_few[groups.pair_class]]] = False

    chosen = {row.path for row, test in zip(rows, is_test[group_of_row], strict=True) if test}
    new_rows = [
        dataclasses.replace(row, split="test") if row.path in chosen and row.status == "ok" else row
        for row in data.rows
    ]
    noun = kind_named(data.modality).noun
    note = f"{len(chosen):,} of {len(rows):,} {noun}s set aside as the test set."
    return dataclasses.replace(data, rows=tuple(new_rows), notes=(*data.notes, note))


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups of rows, and for each pair of a group and a class in it the number of rows.

    Attributes:
        sizes: rows of each group, (m,).
        labels: class of each group, -1 where it has several, (m,).
        per_class: groups that each class occurs in, (c,).
        pair_group: group of each pair, ascending, (p,).
        pair_class: class of each pair, (p,).
        pair_rows: rows of each pair, (p,).
    """

    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    per_class: NDArray[np.int64]
    pair_group: NDArray[np.int64]
    pair_class: NDArray[np.int64]
    pair_rows: NDArray[np.int64]

    @property
    def n_classes(self) -> int:
        return len(self.per_class)

    @classmethod
    def of(cls, rows: Sequence[Row], group_of_row: NDArray[np.int64]) -> _Groups:
        """The groups of `rows`; `group_of_row` (n,) counts them from 0."""
        names = {name: index for index, name in enumerate(sorted({row.label for row in rows}))}
        class_of_row = np.array([names[row.label] for row in rows], dtype=np.int64)
        pairs, pair_rows = np.unique(group_of_row * len(names) + class_of_row, return_counts=True)
        pair_group, pair_class = np.divmod(pairs, max(1, len(names)))
        n_groups = int(group_of_row.max(initial=-1)) + 1
        first = np.searchsorted(pair_group, np.arange(n_groups))  # (m,) into the pairs
        is_pure = np.bincount(pair_group, minlength=n_groups) == 1
        return cls(
            sizes=np.bincount(group_of_row, minlength=n_groups),
            labels=np.where(is_pure, pair_class[first], -1),
            per_class=np.bincount(pair_class, minlength=len(names)),
            pair_group=pair_group,
            pair_class=pair_class,
            pair_rows=pair_rows,
        )


def _deal(
    groups: _Groups, shares: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """The side of each group, (m,), such that each side gets its share of every class.

    Args:
        groups: to be dealt.
        shares: part of the rows that each side should get, (k,), summing to 1.
        random: breaks ties between interchangeable groups.
    """
    side = np.empty(len(groups.sizes), dtype=np.int64)
    dealt = np.zeros((groups.n_classes, len(shares)))  # rows so far
    order = random.permutation(len(side))

    # The largest groups first, while there is still room for them everywhere; those of several
    # classes before all others, which can even out what they leave.
    is_mixed = groups.labels < 0
    mixed = order[is_mixed[order]]
    mixed = mixed[np.argsort(-groups.sizes[mixed], kind="stable")]
    _place_mixed(groups, mixed, shares, dealt, side)

    pure = order[~is_mixed[order]]
    pure = pure[np.lexsort((groups.labels[pure], -groups.sizes[pure]))]
    kind = np.stack([groups.sizes[pure], groups.labels[pure]])  # (2, pure groups)
    starts = np.flatnonzero(np.any(np.diff(kind, axis=1, prepend=-1) != 0, axis=0))
    # Groups of one size and class are interchangeable, so that only their numbers are decided:
    # millions of ungrouped rows are a handful of decisions.
    for alike in np.split(pure, starts[1:]):
        if not len(alike):
            continue
        label, size = groups.labels[alike[0]], int(groups.sizes[alike[0]])
        numbers = _fill(dealt[label], dealt.sum(axis=0), shares, count=len(alike), size=size)
        side[alike] = np.repeat(np.arange(len(shares)), numbers)
        dealt[label] += numbers * size
    return side


def _fill(
    dealt: NDArray[np.float64],
    totals: NDArray[np.float64],
    shares: NDArray[np.float64],
    *,
    count: int,
    size: int,
) -> NDArray[np.int64]:
    """How many of `count` groups of `size` rows each side gets, (k,).

    Like water into vessels as wide as the shares: the fullest are left alone until the others
    have caught up. What whole groups cannot fill goes where the most is missing.

    Args:
        dealt: rows of this class on each side, (k,).
        totals: rows of all classes on each side, (k,); decide between equals.
        shares: as for `_deal`.
        count: number of groups.
        size: rows of each.
    """
    by_level = np.argsort(dealt / shares, kind="stable")
    rows, width = np.cumsum(dealt[by_level]), np.cumsum(shares[by_level])
    levels = (rows + count * size) / width  # the level if only the first 1, 2, ... sides get any
    next_vessel = np.append((dealt / shares)[by_level][1:], np.inf)
    level = float(levels[np.argmax(levels <= next_vessel)])
    missing = np.maximum(0, level * shares - dealt)
    numbers = np.floor(missing / size + 1e-9).astype(np.int64)  # 2.9999999 groups are three
    for _ in range(count - int(numbers.sum())):
        still_missing = np.round(level * shares - dealt - numbers * size, 6)
        filled = (totals + numbers * size) / shares
        numbers[np.lexsort((filled, -still_missing))[0]] += 1
    return numbers


def _place_mixed(
    groups: _Groups,
    order: NDArray[np.int64],
    shares: NDArray[np.float64],
    dealt: NDArray[np.float64],
    side: NDArray[np.int64],
) -> None:
    """Place groups of several classes one by one, filling in `side` and adding to `dealt`.

    Each goes where it brings the classes closest to their shares, in squares. Where it is the
    last group of a class, the one side that has all the others comes last.
    """
    rows_per_class = np.bincount(
        groups.pair_class, weights=groups.pair_rows, minlength=groups.n_classes
    )
    left = groups.per_class.copy()  # groups of each class still to be placed
    start = np.searchsorted(groups.pair_group, np.arange(len(groups.sizes) + 1))
    for group in order:
        pairs = slice(start[group], start[group + 1])
        classes = groups.pair_class[pairs]  # (q,)
        rows = groups.pair_rows[pairs][:, None]  # (q, 1)
        total = rows_per_class[classes][:, None]
        before = dealt[classes]  # (q, k)
        # (before + rows - aim)^2 - (before - aim)^2, in shares of the class: what placing the group
        # there adds to the squared distance from the wanted shares.
        growth = (rows * (2 * (before - total * shares) + rows) / total**2).sum(axis=0)
        has_others = before.sum(axis=1, keepdims=True)
        would_hold_all = (left[classes] == 1)[:, None] & (before == has_others) & (has_others > 0)
        filled = dealt.sum(axis=0) / shares
        best = np.lexsort((filled, np.round(growth, 9), would_hold_all.sum(axis=0)))[0]
        side[group] = best
        dealt[classes, best] += rows[:, 0]
        left[classes] -= 1

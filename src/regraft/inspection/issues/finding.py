"""All kinds of issue together: a Dataset and what was measured on it in, one table out.

What is given decides what is looked for: rows alone tell copies and conflicts; features add near
duplicates, outliers and series, measures add quality and shortcuts, out-of-fold probabilities add
label suspects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.dataset import Dataset, Row, connected, pairs_by
from regraft.dataset.ordering import (
    Order,
    cells_of_order,
    order_by_file_time,
    order_by_time,
    orders_by_name,
)
from regraft.dataset.reading import file_times
from regraft.features.measures import Measures
from regraft.inspection.issues import rows as row_issues
from regraft.inspection.issues.base import Issue, in_order
from regraft.inspection.issues.copies import Copy, find_near_copies
from regraft.inspection.issues.labels import Doubt, Suspects, suspect_labels
from regraft.inspection.issues.neighbours import Neighbours, find_neighbours
from regraft.inspection.issues.outliers import Outliers, find_outliers
from regraft.inspection.issues.quality import Quality, find_faults
from regraft.inspection.issues.series import Series, find_series
from regraft.inspection.issues.shortcuts import Shortcuts, find_shortcuts
from regraft.kinds import kind_named, things
from regraft.metrics.rates import FloatArray, IntArray

NEIGHBOURS = 30
_SMALL_CLASS = 10  # training photos; below it nothing can be said of a class


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at a dataset found, before it is put into words.

    `rows` are those that were looked at; every array goes with them. What was not looked for is
    None.
    """

    rows: tuple[Row, ...]
    neighbours: Neighbours | None = None
    copies: tuple[Copy, ...] = ()
    series: Series | None = None
    suspects: Suspects | None = None
    outliers: Outliers | None = None
    quality: Quality | None = None
    shortcuts: Shortcuts | None = None
    issues: tuple[Issue, ...] = ()


def find_issues(
    data: Dataset,
    *,
    features: NDArray[Any] | None = None,
    measures: Measures | None = None,
    probabilities: FloatArray | None = None,
) -> tuple[Issue, ...]:
    """Everything to look at in `data`, sorted by kind, then by falling score, then by path.

    Args:
        data: what `scan` returned.
        features: float32 (n, d) of the rows in use (`data.ok`), in their order.
        measures: of the same rows, with signatures for near duplicates.
        probabilities: out-of-fold, float64 (n, k) for the same rows; NaN where not predicted.
    """
    return look(data, features=features, measures=measures, probabilities=probabilities).issues


def look(
    data: Dataset,
    *,
    features: NDArray[Any] | None = None,
    measures: Measures | None = None,
    probabilities: FloatArray | None = None,
    seed: int = 0,
) -> Findings:
    """Like `find_issues`, with what the issues were found from."""
    rows = data.ok
    labels = data.labels(rows)
    neighbours = copies = series = outliers = quality = shortcuts = None
    if features is not None and len(rows):
        alone = np.array(features, dtype=np.float32)
        alone[_later_copies(rows)] = np.nan  # many copies of a photo would be all its neighbours
        neighbours = find_neighbours(alone, min(NEIGHBOURS, max(1, len(rows) - 1)))
        series = look_for_series(data, alone, measures)
    if measures is not None and len(rows):
        copies = find_near_copies(data.modality, neighbours, measures.signatures)
    if neighbours is not None:
        outliers = find_outliers(neighbours, copies=_alike(rows, copies or (), series))
    if measures is not None and len(rows):
        quality = find_faults(measures)
        train = [i for i, row in enumerate(rows) if row.split != "test"]
        shortcuts = find_shortcuts(
            [rows[i] for i in train],
            [measures.attributes[i] for i in train],
            labels[train],
            examiner=measures.examiner,
            groups=_alike(rows, copies or (), series, named=True)[train],
            seed=seed,
        )
    found = Findings(
        rows=rows,
        neighbours=neighbours,
        copies=tuple(copies or ()),
        series=series,
        outliers=outliers,
        quality=quality,
        shortcuts=shortcuts,
    )
    if probabilities is not None:
        return with_suspects(data, found, probabilities)
    return replace(found, issues=_table(data, found))


def with_suspects(data: Dataset, found: Findings, probabilities: FloatArray) -> Findings:
    """The same findings with label suspects by out-of-fold probabilities (n, k) of their rows."""
    suspects = suspect_labels(_numbers(found.rows, data.classes), probabilities)
    found = replace(found, suspects=suspects)
    return replace(found, issues=_table(data, found))


def doubts_of(found: Findings, classes: Sequence[str]) -> list[Doubt]:
    """The label suspects among the findings, worst first."""
    s = found.suspects
    if s is None:
        return []
    return [Doubt(found.rows[i].label, classes[s.said[i]], float(s.sure[i])) for i in s.order]


def in_dataset(found: Findings, data: Dataset) -> Findings:
    """The same findings on rows as they are in `data` now: splits, groups and statuses may differ.

    `data` has a row for the path of each.
    """
    rows = {row.path: row for row in data.rows}
    found = replace(found, rows=tuple(rows[row.path] for row in found.rows))
    return replace(found, issues=_table(data, found))


def _table(data: Dataset, found: Findings) -> tuple[Issue, ...]:
    issues = [
        *row_issues.unreadable(data),
        *row_issues.exact_duplicates(data),
        *row_issues.label_conflicts(data),
        *_one_each(
            [
                *row_issues.leaked_copies(data),
                *_leaks(found.rows, found.copies),
                *_leaks_of_series(found.rows, found.series),
            ],
            of_groups=row_issues.leaked_groups(data),
        ),
        *_copies(found.rows, found.copies, found.series),
        *_series(data, found.rows, found.copies, found.series),
        *_suspects(found.rows, found.suspects, data.classes),
        *_outliers(found.rows, found.outliers),
        *_faults(data, found.rows, found.quality),
        *_of_the_whole(data, found.quality, found.shortcuts),
    ]
    return in_order(issues)


def _numbers(rows: Sequence[Row], classes: Sequence[str]) -> IntArray:
    """Class numbers (n,); -1 for a class that was left out, whose rows no model has predicted."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number.get(row.label, -1) for row in rows], dtype=np.int64)


def _later_copies(rows: Sequence[Row]) -> list[int]:
    """Every row whose content an earlier row has."""
    first: dict[str, int] = {}
    return [i for i, row in enumerate(rows) if first.setdefault(row.sha256, i) != i]


def look_for_series(
    data: Dataset, features: NDArray[Any], measures: Measures | None = None
) -> Series:
    """The series among the rows in use: by their names, by when they were taken, by their files.

    Args:
        data: their rows.
        features: float32 (n, d) of `data.ok`; rows with NaN are in no series.
        measures: of the same rows, for when they were taken.
    """
    rows = data.ok
    orders: list[Order] = orders_by_name(rows)
    taken = np.full(len(rows), np.nan)
    if measures is not None:
        moments = [measures.examiner.moment(one) for one in measures.attributes]
        taken = np.array([moment.taken for moment in moments])
        orders.append(order_by_time(rows, taken, [moment.camera for moment in moments]))
    changed = np.where(np.isfinite(taken), np.nan, file_times(rows, data.root))
    by_file = order_by_file_time(rows, changed)
    if by_file is not None:
        orders.append(by_file)
    return find_series(features, data.labels(rows), orders, cells=cells_of_order(rows))


def _alike(
    rows: Sequence[Row], copies: Sequence[Copy], series: Series | None, *, named: bool = False
) -> IntArray:
    """Equal numbers for rows of one picture or series, or also of one named group, int64 (n,)."""
    pairs = [(copy.first, copy.second) for copy in copies]
    pairs += pairs_by(row.sha256 for row in rows)
    if series is not None:
        pairs += pairs_by(str(number) if number >= 0 else "" for number in series.numbers)
    if named:
        pairs += pairs_by(row.group for row in rows)
    return connected(len(rows), pairs)


def _copies(rows: Sequence[Row], copies: Sequence[Copy], series: Series | None) -> Iterator[Issue]:
    """Near duplicates; an exact copy is listed as such, and a series as a whole."""
    told: set[str] = set()
    for copy in sorted(copies, key=lambda c: -c.alike):
        first, second = rows[copy.first], rows[copy.second]
        if first.sha256 == second.sha256 or second.path in told:
            continue
        if series is not None and series.holds(copy.first, copy.second):
            continue
        told.add(second.path)
        how = ", mirrored" if copy.mirrored else ""
        if first.label != second.label:
            how += f", labelled {first.label} and {second.label}"
        detail = first.path + how
        yield Issue(second.path, "near_duplicate", copy.alike, detail, other=first.path)


def _leaks(rows: Sequence[Row], copies: Sequence[Copy]) -> Iterator[Issue]:
    """Test photos of which training has a near duplicate, in use or left out because of it."""
    for copy in sorted(copies, key=lambda c: -c.alike):
        first, second = rows[copy.first], rows[copy.second]
        if (first.split == "test") == (second.split == "test") or first.sha256 == second.sha256:
            continue
        test, other = (first, second) if first.split == "test" else (second, first)
        detail = f"{other.path} (near duplicate)"
        yield Issue(test.path, "leakage", copy.alike, detail, other=other.path)


def _series(
    data: Dataset, rows: Sequence[Row], copies: Sequence[Copy], series: Series | None
) -> Iterator[Issue]:
    """One issue for each series, at its first photo; two copies are no series."""
    pairs = {(copy.first, copy.second) for copy in copies}
    for number in range(0 if series is None else len(series)):
        assert series is not None
        members = series.members(number).tolist()
        if len(members) == 2 and tuple(sorted(members)) in pairs:
            continue
        classes = {rows[i].label for i in members}
        several = f" of {len(classes)} classes" if len(classes) > 1 else ""
        first, last = rows[members[0]].path, rows[members[-1]].path
        how_many = f"{len(members):,} {things(data.modality)}{several}"
        detail = f"{last} ({how_many} one after another, alike)"
        yield Issue(first, "series", float(series.alike[number]), detail, other=last)


def _leaks_of_series(rows: Sequence[Row], series: Series | None) -> Iterator[Issue]:
    """Test photos of a series that training has photos of, in use or left out because of it."""
    for number in range(0 if series is None else len(series)):
        assert series is not None
        members = series.members(number).tolist()
        training = [i for i in members if rows[i].split != "test"]
        for i in members:
            if rows[i].split == "test" and training:
                near = min(training, key=lambda j: abs(series.places[j] - series.places[i]))
                other, alike = rows[near].path, float(series.alike[number])
                detail = f"{other} (of the same series)"
                yield Issue(rows[i].path, "leakage", alike, detail, other=other)


def _one_each(leaks: Iterable[Issue], *, of_groups: Iterable[Issue]) -> Iterator[Issue]:
    """One leak for each test photo: a copy before a near duplicate before a member of its group."""
    worst: dict[str, Issue] = {}
    for leak in [*sorted(leaks, key=lambda leak: -leak.score), *of_groups]:
        worst.setdefault(leak.path, leak)
    yield from worst.values()


def _suspects(
    rows: Sequence[Row], suspects: Suspects | None, classes: Sequence[str]
) -> Iterator[Issue]:
    if suspects is None:
        return
    for i in suspects.order:
        said = classes[suspects.said[i]]
        detail = f"labelled {rows[i].label}, looks like {said}"
        yield Issue(rows[i].path, "label_suspect", float(suspects.scores[i]), detail)


def _outliers(rows: Sequence[Row], outliers: Outliers | None) -> Iterator[Issue]:
    if outliers is None:
        return
    for place, i in enumerate(outliers.order):
        detail = f"unlike the others, rank {place + 1} by its distance to them"
        yield Issue(rows[i].path, "outlier", float(outliers.scores[i]), detail)


def _faults(data: Dataset, rows: Sequence[Row], quality: Quality | None) -> Iterator[Issue]:
    words = kind_named(data.modality).examiner().faults
    for fault in () if quality is None else quality.faults:
        yield Issue(rows[fault.row].path, "quality", fault.score, words[fault.what])


def _of_the_whole(
    data: Dataset, quality: Quality | None, shortcuts: Shortcuts | None
) -> Iterator[Issue]:
    """What concerns no single photo; the path is "." then."""
    of = things(data.modality)
    for culprit in () if shortcuts is None else shortcuts.alarming:
        assert shortcuts is not None
        a = culprit.accuracy
        detail = (
            f"{culprit.name} alone tells the class of {_percent(a.value)} % "
            f"[{_percent(a.low)}, {_percent(a.high)}] of {of}, guessing that of "
            f"{_percent(shortcuts.guess)} %"
        )
        yield Issue(".", "shortcut", min(1.0, culprit.told), detail)
    words = kind_named(data.modality).examiner().faults
    common: Mapping[str, float] = {} if quality is None else quality.common
    for what, share in common.items():
        detail = f"{_percent(share)} % of the {of} are {words[what]}: a property of this data"
        yield Issue(".", "quality", share, detail)
    if quality is None:  # the rows alone were asked for
        return
    sizes = dict.fromkeys(data.classes, 0)
    for row in data.train:
        sizes[row.label] += 1
    if not sizes:
        return
    most = max(sizes, key=lambda name: sizes[name])
    for name, size in sizes.items():
        if size < _SMALL_CLASS:
            score = 1.0 - size / _SMALL_CLASS
            yield Issue(".", "class_balance", score, f"{name} has only {size} training {of}")
        elif sizes[most] >= 3 * size:
            score = 1.0 - size / sizes[most]
            detail = f"{name} has {size} training {of}, {most} has {sizes[most]}"
            yield Issue(".", "class_balance", score, detail)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"

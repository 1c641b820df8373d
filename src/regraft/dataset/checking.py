"""What only shows once every file is read: conflicts, leaks, and classes too small to learn.

Enters: rows with their content hashes. Leaves: the same rows, some with the status "conflict"
or "excluded" and the reason, and notes. Nothing is dropped. `require_trainable` is the one
place that refuses a dataset.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from regraft.dataset.labels import TABLE_SUFFIXES
from regraft.dataset.split_names import split_within
from regraft.dataset.splitting import split_groups
from regraft.dataset.table import Dataset, Row
from regraft.errors import DataError
from regraft.kinds import kind_named
from regraft.wording import counted, listed

COPY_GROUP = "one picture"
"""How the name of a group of copies begins."""

_NAMES_SHOWN = 3


def check_data(data: Dataset, *, at_least: int = 2) -> Dataset:
    """A dataset with contradictions, leaks and classes too small left out, and notes on them.

    Args:
        data: as `scan` finds it with `check=False`.
        at_least: classes with fewer different training images are left out.
    """
    rows, notes = check_rows(data.rows, kind_named(data.modality).noun)
    checked = data.with_rows(rows, notes=[*data.notes, *notes])
    return leave_out_small_classes(checked, at_least=at_least)


def check_rows(rows: Sequence[Row], noun: str = "image") -> tuple[list[Row], list[str]]:
    """Mark contradictory labels and training rows that the test set holds too."""
    labels = {row.label for row in rows if row.label}
    rows, notes = _mark_conflicts(rows, noun)
    for leave_out in (_leave_out_copies_of_test, _leave_out_groups_of_test):
        rows, more = leave_out(rows, noun)
        notes += more
    lost = labels.difference(row.label for row in rows if row.status == "ok")
    notes += [f"No {noun} of class {name!r} can be used." for name in sorted(lost)]
    notes += _notes_on_single_groups(rows, noun)
    return list(rows), notes + _notes_on_similar_names(labels)


def _mark_conflicts(rows: Sequence[Row], noun: str) -> tuple[Sequence[Row], list[str]]:
    """One content with two labels: nobody can tell which is right, so all of it is left out."""
    by_content: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.status == "ok":
            by_content[row.sha256].append(row)
    reasons = {}
    for alike in by_content.values():
        if len({row.label for row in alike}) < 2:
            continue
        for row in alike:
            other = next(twin for twin in alike if twin.label != row.label)
            reasons[row.path] = f"the same {noun} is labelled {other.label!r} in {other.path}"
    if not reasons:
        return rows, []
    names = listed(reasons, shown=_NAMES_SHOWN)
    note = f"{counted(len(reasons), noun)} with two labels left out: {names}."
    return _with_status(rows, "conflict", reasons), [note]


def _leave_out_copies_of_test(rows: Sequence[Row], noun: str) -> tuple[Sequence[Row], list[str]]:
    """Training copies of a test image would be remembered, not recognised."""
    return _leave_out_shared(
        rows,
        noun,
        key=lambda row: row.sha256,
        reason="the same {noun} as {twin} in the test set",
        what=f"copies of test {noun}s",
    )


def _leave_out_groups_of_test(rows: Sequence[Row], noun: str) -> tuple[Sequence[Row], list[str]]:
    """Of a group in both, the test images are kept: they are what the result is about."""
    return _leave_out_shared(
        rows,
        noun,
        key=lambda row: row.group,
        reason="its group {key!r} is in the test set ({twin})",
        what="of groups in the test set",
    )


def _leave_out_shared(
    rows: Sequence[Row], noun: str, *, key: Callable[[Row], str], reason: str, what: str
) -> tuple[Sequence[Row], list[str]]:
    """Exclude training rows of which a test row in use has the same key."""
    test: dict[str, str] = {}
    for row in rows:
        if row.status == "ok" and row.split == "test":
            test.setdefault(key(row), row.path)
    reasons = {
        row.path: reason.format(key=key(row), twin=test[key(row)], noun=noun)
        for row in rows
        if row.status == "ok" and row.split != "test" and key(row) and key(row) in test
    }
    if not reasons:
        return rows, []
    names = listed(reasons, shown=_NAMES_SHOWN)
    note = f"{counted(len(reasons), f'training {noun}')} left out, {what}: {names}."
    return _with_status(rows, "excluded", reasons), [note]


def leave_out_small_classes(data: Dataset, *, at_least: int = 2) -> Dataset:
    """Exclude classes with fewer than `at_least` different training images.

    Test images of a class without training images are excluded as well: no model could name
    it. A dataset without any training image is returned as it is. Calling it again, after
    `Dataset.mark`, changes only what that made too small.
    """
    if not data.train:
        return data
    noun = kind_named(data.modality).noun
    contents: dict[str, set[str]] = {name: set() for name in data.classes}
    for row in data.train:
        contents[row.label].add(row.sha256 or row.path)
    in_test = Counter(row.label for row in data.test)
    why: dict[str, str] = {}
    notes = list(data.notes)
    for name, images in contents.items():
        if not images:
            why[name] = f"no training {noun} of class {name!r}"
            notes.append(
                f"{counted(in_test[name], noun)} of class {name!r} in the test set left out: "
                f"the class has no training {noun}s."
            )
        elif len(images) < at_least:
            found = counted(len(images), f"different {noun}")
            why[name] = f"class {name!r} has only {found}; at least {at_least} are needed"
            notes.append(f"Class {name!r} left out: it has only {found}, {at_least} are needed.")
    reasons = {row.path: why[row.label] for row in data.ok if row.label in why}
    if not reasons:
        return data
    rows = _with_status(data.rows, "excluded", reasons)
    return data.with_rows(rows, notes=notes)


def require_trainable(data: Dataset) -> None:
    """Raise unless at least two classes can be parted into training and validation images.

    That takes two images of each, which may not all belong to one named group.

    Raises:
        DataError: what was found, what is needed, and what to do, in one line.
    """
    sizes = Counter(row.label for row in data.train)
    noun = kind_named(data.modality).noun
    groups = split_groups(data.train).tolist()
    pairs = {(row.label, group) for row, group in zip(data.train, groups, strict=True)}
    parts = Counter(label for label, _ in pairs)
    if sum(count >= 2 for count in parts.values()) >= 2:
        return
    expected = f"expected at least 2 classes with at least 2 {noun}s each"
    whole = [name for name, size in sizes.items() if size >= 2 and parts[name] < 2]
    if not whole:
        raise DataError(
            f"{_what_was_found(data, sizes)} in {data.root}{_what_was_left_out(data)}; {expected}"
            f"{_hint(data)}"
        )
    few = set(whole[:_NAMES_SHOWN])
    together = [row for row in data.train if row.label in few]
    names = " and ".join(
        f"{counted(sizes[name], noun)} of class {name!r}" for name in whole[:_NAMES_SHOWN]
    )
    if all(row.group.startswith(COPY_GROUP) or not row.group for row in together):
        raise DataError(
            f"the {names} in {data.root} are copies or near copies of one another, so that none is "
            f"left to check on; {expected} that are no copies"
        )
    column = data.columns.get("group", "")
    way_out = f" (column {column!r}; --group-column '' if it means something else)" * bool(column)
    raise DataError(
        f"the {names} in {data.root} are of one group each{way_out}, and a group stays on one side "
        f"of every split; {expected} that are not all of one group"
    )


def _what_was_found(data: Dataset, sizes: Mapping[str, int]) -> str:
    noun = kind_named(data.modality).noun
    if sizes:
        classes = ", ".join(
            f"{name!r} ({counted(size, noun)})"
            for name, size in sorted(sizes.items())[:_NAMES_SHOWN]
        )
        found = f"found {counted(len(sizes), 'class', 'classes')}, {classes},"
    elif data.test:
        found = f"found {counted(len(data.test), noun)} for testing and none for training"
    elif data.unlabelled:
        found = f"found {counted(len(data.unlabelled), noun)} without labels"
    else:
        found = f"found no usable {noun}"
    return found


def _what_was_left_out(data: Dataset) -> str:
    """How many files cannot be used, with the first of each kind, as the end of a sentence."""
    parts = []
    for status, count in data.status_counts().items():
        if status in ("unreadable", "conflict", "excluded", "missing"):
            first = next(row for row in data.rows if row.status == status)
            such_as = "" if count == 1 else "such as "
            parts.append(f"{count:,} {status} ({such_as}{first.path}: {first.reason})")
    return f"; {', '.join(parts)}, see regraft scan" if parts else ""


def _hint(data: Dataset) -> str:
    """What would probably help, as the end of a sentence."""
    tables = [
        row.path
        for row in data.rows
        if row.status == "ignored"
        and PurePosixPath(row.path).suffix.lower() in TABLE_SUFFIXES
        and PurePosixPath(row.path).suffix.lower() != ".txt"
    ]
    if tables and not data.layout.startswith("the label table"):
        table = min(tables, key=lambda path: split_within(PurePosixPath(path).stem)[0] == "test")
        return f": give --labels {data.root / table} if it holds the labels"
    tops = {row.path.split("/")[0] for row in data.train if row.path.count("/") > 1}
    if len(data.classes) == 1 and len(tops) == 1:
        return f": if the classes are the folders in {data.root / min(tops)}, give that folder"
    if not data.ok and data.unlabelled:
        noun = kind_named(data.modality).noun
        return f": sort the {noun}s into one folder per class, or give --labels CSV"
    return ""


def _notes_on_single_groups(rows: Iterable[Row], noun: str) -> list[str]:
    """A warning for classes that cross-validation cannot estimate."""
    groups: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.status == "ok" and row.split != "test":
            groups[row.label].add(row.group)
    return [
        f"All training {noun}s of class {name!r} are of the group {min(found)!r}: how well the "
        "class is recognised in other groups cannot be told."
        for name, found in sorted(groups.items())
        if len(found) == 1 and found != {""}
    ]


def _notes_on_similar_names(names: Iterable[str]) -> list[str]:
    """A suggestion for class names that only letter case tells apart."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spellings[" ".join(name.casefold().split())].append(name)
    return [
        f"Classes {' and '.join(map(repr, alike))} differ only in letter case or spaces: if they "
        "are one class, give them one name."
        for alike in spellings.values()
        if len(alike) > 1
    ]


def _with_status(rows: Sequence[Row], status: str, reasons: Mapping[str, str]) -> list[Row]:
    return [
        dataclasses.replace(row, status=status, reason=reasons[row.path])
        if row.path in reasons
        else row
        for row in rows
    ]

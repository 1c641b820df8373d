"""Issues that the rows of a dataset tell by themselves: its files need not be opened again.

    unreadable       a file that cannot be decoded, or that the label table names in vain
    exact_duplicate  a byte-for-byte copy of another file
    leakage          a test image of which training has a copy or another of the same group
    label_conflict   one image with two labels

Training rows that leak are left out by `scan`; they are listed here all the same, because the
files are still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from regraft.dataset import Dataset, Row
from regraft.inspection.issues.base import Issue


def unreadable(data: Dataset) -> Iterator[Issue]:
    """Every file that cannot be decoded, or is not there."""
    for row in data.rows:
        if row.status in ("unreadable", "missing"):
            yield Issue(row.path, "unreadable", 1.0, row.reason)


def exact_duplicates(data: Dataset) -> Iterator[Issue]:
    """Every copy but the first of each content; conflicting labels are their own kind."""
    first: dict[str, str] = {}
    for row in data.rows:
        if not row.sha256 or row.status in ("conflict", "unreadable"):
            continue
        twin = first.setdefault(row.sha256, row.path)
        if twin != row.path:
            yield Issue(row.path, "exact_duplicate", 1.0, twin, other=twin)


def leaked_copies(data: Dataset) -> Iterator[Issue]:
    """Every test image of which training rows, in use or left out by the scan, hold a copy."""
    copies = _first_in_training(data, lambda row: row.sha256)
    for row in data.test:
        if twin := copies.get(row.sha256):
            yield Issue(row.path, "leakage", 1.0, twin, other=twin)


def leaked_groups(data: Dataset) -> Iterator[Issue]:
    """Every test image of a group of training rows, in use or left out by the scan."""
    members = _first_in_training(data, lambda row: row.group)
    for row in data.test:
        if other := members.get(row.group):
            detail = f"{other} (the same group {row.group!r})"
            yield Issue(row.path, "leakage", 1.0, detail, other=other)


def _first_in_training(data: Dataset, key: Callable[[Row], str]) -> dict[str, str]:
    """The path of the first training row for each key that is not empty."""
    first: dict[str, str] = {}
    for row in data.rows:
        is_training = row.split == "train" and row.label and row.sha256
        if is_training and row.status in ("ok", "excluded") and key(row):
            first.setdefault(key(row), row.path)
    return first


def label_conflicts(data: Dataset) -> Iterator[Issue]:
    """Every image with two labels."""
    for row in data.rows:
        if row.status == "conflict":
            yield Issue(row.path, "label_conflict", 1.0, row.reason)

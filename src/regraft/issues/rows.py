"""Issues that the rows of a dataset tell by themselves: its files need not be opened again.

    unreadable       a file that cannot be decoded, or that the label table names in vain
    exact_duplicate  a byte-for-byte copy; the detail is the path of its twin
    leakage          a test image of which training has a copy or another of the same group
    label_conflict   one image with two labels

Training rows that leak are left out by `scan`; they are listed here all the same, because the
files are still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from regraft.dataset import Dataset, Row
from regraft.issues.base import Issue


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
            yield Issue(row.path, "exact_duplicate", 1.0, twin)


def leakage(data: Dataset) -> Iterator[Issue]:
    """Every test image that training rows, in use or left out by the scan, give away."""
    training = [row for row in data.rows if row.split == "train" and row.label and row.sha256]
    training = [row for row in training if row.status in ("ok", "excluded")]
    copies = _first_by(training, lambda row: row.sha256)
    same_group = _first_by(training, lambda row: row.group)
    for row in data.test:
        if row.sha256 in copies:
            yield Issue(row.path, "leakage", 1.0, copies[row.sha256])
        elif row.group in same_group:
            twin = f"{same_group[row.group]} (the same group {row.group!r})"
            yield Issue(row.path, "leakage", 1.0, twin)


def _first_by(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, str]:
    """The path of the first row for each key that is not empty."""
    first: dict[str, str] = {}
    for row in rows:
        if key(row):
            first.setdefault(key(row), row.path)
    return first


def label_conflicts(data: Dataset) -> Iterator[Issue]:
    """Every image with two labels."""
    for row in data.rows:
        if row.status == "conflict":
            yield Issue(row.path, "label_conflict", 1.0, row.reason)

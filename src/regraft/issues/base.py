"""Issue: one thing to look at, and the table of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from regraft.csv_table import csv_text
from regraft.dataset import natural_key

COLUMNS = ("path", "issue", "score", "detail")
"""Of `issues.csv`."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing to look at.

    Attributes:
        path: of the file, as in the dataset's row; "." for the dataset as a whole.
        issue: kind, such as "leakage".
        score: 0 to 1, higher is worse.
        detail: what it is about: for copies and leakage the other file's path.
    """

    path: str
    issue: str
    score: float
    detail: str


def in_order(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Sorted by kind, then by falling score, then by path."""
    return tuple(
        sorted(issues, key=lambda issue: (issue.issue, -issue.score, natural_key(issue.path)))
    )


def named_file(detail: str, known: Collection[str]) -> str:
    """The path among `known` that a detail begins with; "" where it names none."""
    ends = [len(detail), *(m.start() for m in re.finditer(r", | \(", detail))]
    return next((detail[:end] for end in ends if detail[:end] in known), "")


def issues_csv(issues: Iterable[Issue]) -> str:
    """The issues as CSV text below the header of `COLUMNS`."""
    rows = ((issue.path, issue.issue, f"{issue.score:.6g}", issue.detail) for issue in issues)
    return csv_text([COLUMNS, *rows])

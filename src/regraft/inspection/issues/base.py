"""Issue: one thing to look at, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from regraft.dataset import natural_key
from regraft.storage.csv_table import csv_text

COLUMNS = ("path", "issue", "score", "detail")
"""Those that `issues.csv` has in all versions; `other` follows them."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing to look at.

    Attributes:
        path: of the file, as in the dataset's row; "." for the dataset as a whole.
        issue: kind, such as "leakage".
        score: 0 to 1, higher is worse.
        detail: what it is about, in words for people.
        other: path of the other file, for copies, series and leakage; else "".
    """

    path: str
    issue: str
    score: float
    detail: str
    other: str = ""


def in_order(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Sorted by kind, then by falling score, then by path."""
    return tuple(
        sorted(issues, key=lambda issue: (issue.issue, -issue.score, natural_key(issue.path)))
    )


def issues_csv(issues: Iterable[Issue]) -> str:
    """The issues as CSV text below a header: `COLUMNS`, and `other`."""
    rows = ((i.path, i.issue, f"{i.score:.6g}", i.detail, i.other) for i in issues)
    return csv_text([(*COLUMNS, "other"), *rows])

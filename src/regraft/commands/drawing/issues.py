"""What is wrong with data: the worst few issues of every kind, and doubts about the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console

from regraft.commands.drawing.lines import MOST_ISSUES, escaped, print_line
from regraft.dataset import Dataset
from regraft.inspection.auditing import ByOrder
from regraft.inspection.issues import Doubt, Issue, about_doubts
from regraft.kinds import things
from regraft.reporting.series import what_chance_makes, why_splits_leak
from regraft.reporting.words import THIN_SPACE, speaking_of

_COUNTABLE = {"exact_duplicate", "label_conflict", "near_duplicate", "label_suspect", "outlier"}
_TWIN = {
    "exact_duplicate": "the same as ",
    "near_duplicate": "almost the same as ",
    "leakage": "training has ",
    "series": "up to ",
}


def show_problems(console: Console, data: Dataset, issues: Iterable[Issue], *, all_in: str) -> None:
    """The worst issues and what was ignored; `all_in` is where the rest of the issues is."""
    left = show_issues(console, issues)
    ignored = [row for row in data.rows if row.status == "ignored"]
    for row in ignored[:MOST_ISSUES]:
        print_line(console, f"[dim]ignored: {escaped(row.path)} ({escaped(row.reason)})[/dim]")
    if len(ignored) > MOST_ISSUES:
        console.print(f"[dim]and {len(ignored) - MOST_ISSUES:,} more ignored files[/dim]")
    if left:
        print_line(console, f"[dim]all of them: {escaped(all_in)}[/dim]")


def show_issues(console: Console, issues: Iterable[Issue]) -> int:
    """The worst few of every kind; returns how many were left out."""
    by_kind: dict[str, list[Issue]] = {}
    for issue in issues:
        by_kind.setdefault(issue.issue, []).append(issue)
    left = 0
    for kind, of_kind in by_kind.items():
        name = kind.replace("_", " ") + ("s" if len(of_kind) > 1 and kind in _COUNTABLE else "")
        console.print(f"[yellow]{len(of_kind):,} {name}[/yellow]")
        for issue in of_kind[:MOST_ISSUES]:
            where = "" if issue.path == "." else f"{escaped(issue.path)}: "
            print_line(console, f"  {where}{escaped(_TWIN.get(kind, '') + issue.detail)}")
        more = len(of_kind) - MOST_ISSUES
        if more > 0:
            console.print(f"  [dim]and {more:,} more[/dim]")
            left += more
    return left


def show_doubts(console: Console, doubts: Sequence[Doubt], data: Dataset) -> None:
    """What can be said of all label suspects together."""
    about = about_doubts(doubts, things(data.modality), n_classes=len(data.classes))
    if about:
        console.print(escaped(f"label suspects: {about}"))


def show_order(console: Console, by_order: ByOrder | None, modality: str) -> None:
    """What folds by chance would have said, and what splits cannot keep together."""
    with speaking_of(modality):
        lines = [what_chance_makes(by_order), why_splits_leak(by_order)]
    for line in filter(None, lines):
        console.print(f"[yellow]{escaped(line.replace(THIN_SPACE, ' '))}[/yellow]")

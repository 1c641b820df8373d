"""What a scan found: files, classes, sizes and problems."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from regraft.commands.drawing.issues import show_problems
from regraft.commands.drawing.lines import (
    MOST_CLASSES,
    escaped,
    print_columns,
    print_line,
    show_next,
)
from regraft.dataset import Dataset
from regraft.dataset.ordering import numbered_runs
from regraft.inspection.issues import find_issues
from regraft.kinds import kind_named, thing
from regraft.tables.cells import table_of
from regraft.wording import counted


def show_dataset(
    console: Console, data: Dataset, *, shown_as: str, every_file: str, next_command: str
) -> None:
    """What a scan found, ending with what to do next; `every_file` is the command for the rest."""
    console.print()
    of_cells = any(table_of(row.path) for row in data.rows)
    count = counted(len(data.rows), thing(data.modality) if of_cells else "file")
    print_line(console, f"[bold]{count}[/bold] in {escaped(shown_as)}")
    console.print(escaped(data.layout))
    _show_classes(console, data)
    if data.unlabelled:
        console.print(f"without a label: {len(data.unlabelled):,}, predicted but not scored")
    _show_sizes(console, data)
    for note in data.notes:
        console.print(f"[yellow]note:[/yellow] {escaped(note)}")
    _show_numbering(console, data)
    show_problems(console, data, find_issues(data), all_in=every_file)
    console.print()
    show_next(console, next_command)


def _show_classes(console: Console, data: Dataset) -> None:
    if not data.classes:
        return
    train = Counter(row.label for row in data.train)
    test = Counter(row.label for row in data.test)
    most = max((train + test).values())
    rows = []
    for name in data.classes[:MOST_CLASSES]:
        bar = "█" * round(24 * train[name] / most) + "░" * round(24 * test[name] / most)
        of_test = f"{test[name]:,}" if test else ""
        rows.append((escaped(name), f"{train[name]:,}", of_test, f"[cyan]{bar}[/cyan]"))
    header = ("class", "training", "test" if test else "", "")
    print_columns(console, header, rows, right={"training", "test"})
    if len(data.classes) > MOST_CLASSES:
        console.print(f"[dim]and {len(data.classes) - MOST_CLASSES} more classes[/dim]")


def _show_sizes(console: Console, data: Dataset) -> None:
    sizes = sorted((row.width * row.height, row.width, row.height) for row in data.ok)
    if not sizes:
        return
    extremes = (sizes[0], sizes[len(sizes) // 2], sizes[-1])
    first, median, last = (f"{width}x{height}" for _, width, height in extremes)
    span = f"all {first}" if first == last else f"{first} to {last}, median {median}"
    unit = kind_named(data.modality).extent
    console.print(f"sizes: {span} {unit}")


def _show_numbering(console: Console, data: Dataset) -> None:
    runs = numbered_runs(data.ok)
    if runs is not None:
        print_line(
            console,
            f"[yellow]note:[/yellow] {runs.files:,} files are numbered in {runs.runs:,} runs, "
            f"{escaped(runs.first)} to {escaped(runs.last)} and others; whether they are series, "
            f"such as {kind_named(data.modality).examiner().series_example}, regraft audit tells",
        )

"""Lines and columns of text, and the next command: what every drawing is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from regraft.kinds import kind_named

MOST_CLASSES = 30
MOST_ISSUES = 3  # of each kind


def escaped(text: str) -> str:
    """Markup that shows `text` as it is, on one line: control characters as escape sequences."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return escape(text)


def print_line(console: Console, markup: str) -> None:
    """A line that is never broken: the terminal wraps it, and it can still be copied whole."""
    console.print(markup, soft_wrap=True)


def print_columns(
    console: Console,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
) -> None:
    """Aligned columns of markup, two spaces apart, a line a row; `right` names right-aligned ones.

    Columns are as wide as what they hold, whatever the width of the terminal.
    """
    lines = [[Text(name, style="dim") for name in header]]
    lines += [[Text.from_markup(cell) for cell in row] for row in rows]
    widths = [max(line[i].cell_len for line in lines) for i in range(len(header))]
    for line in lines:
        whole = Text()
        for name, width, cell in zip(header, widths, line, strict=True):
            gap = " " * (width - cell.cell_len)
            whole.append_text(Text(gap) + cell if name in right else cell + Text(gap))
            whole.append("  ")
        whole.rstrip()
        console.print(whole, soft_wrap=True)


def show_next(console: Console, command: str) -> None:
    """The next useful command, on a line of its own."""
    print_line(console, f"[cyan]next     {escaped(command)}[/cyan]")


def new_input(modality: str) -> str:
    """The name of a file that a model could predict, for a command to copy: "new_photo.jpg"."""
    return f"new_{kind_named(modality).example}"


def first_few(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

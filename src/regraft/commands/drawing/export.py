"""What was exported, how it was checked, and what another precision changed."""

from __future__ import annotations

import shlex

from rich.console import Console

from regraft.commands.drawing.lines import escaped, new_input, print_line, show_next
from regraft.exporting.exporter import Exported, facts_of
from regraft.exporting.forms import form_named
from regraft.exporting.precisions import PRECISIONS


def show_exported(console: Console, exported: Exported) -> None:
    """What was written, and how to use it."""
    console.print()
    console.print(f"[bold]{escaped(facts_of(exported.to_dict()))}[/bold]")
    checked, form = exported.checked, form_named(exported.modality)
    if checked.unread:
        unread, reason = next(iter(checked.unread.items()))
        print_line(
            console,
            f"[yellow]{len(checked.unread):,} not read by the script, which knows "
            f"{form.script_reads}:[/yellow] {escaped(unread)}: {escaped(reason)}",
        )
    if PRECISIONS[exported.precision].convert is not None:
        smaller = (
            f"{exported.bytes / 1e6:.1f} MB (was {exported.bytes_before / 1e6:.1f}), "
            f"{exported.ms:.1f} ms a {form.thing} (was {exported.ms_before:.1f})"
        )
        if checked.accuracy is not None:
            smaller += f", accuracy {checked.accuracy.points}"
        console.print(smaller)
    print_line(console, f"model    {escaped(str(exported.file))}")
    print_line(console, f"script   {escaped(str(exported.script))}")
    print_line(console, f"card     {escaped(str(exported.card))}")
    new = new_input(exported.modality)
    show_next(console, shlex.join(["python", str(exported.script), new]))
